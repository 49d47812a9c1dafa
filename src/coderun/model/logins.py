"""How logins of one forge compare."""


def normalise_login(login: str) -> str:
    """`login` as it compares: lower case, without a trailing `[bot]` and surrounding blanks."""
    return login.strip().lower().removesuffix("[bot]")


def same_login(one: str, other: str) -> bool:
    """Whether both logins are the same account, whatever their case and `[bot]` suffix."""
    return normalise_login(one) == normalise_login(other) != ""
