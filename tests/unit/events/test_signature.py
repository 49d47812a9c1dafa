"""Who may post to us."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coderun.events.signature import is_signature, sign, verify
from coderun.model.errors import SignatureMismatchError

BODY = b"Hello, World!"
SECRET = "It's a Secret to Everybody"
# The example of GitHub's documentation.
KNOWN = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"


def test_the_signature_is_the_one_of_githubs_own_example() -> None:
    assert sign(BODY, SECRET) == KNOWN
    verify(BODY, KNOWN, [SECRET])
    verify(BODY, KNOWN.upper().replace("SHA256", "sha256"), [SECRET])


@pytest.mark.parametrize("secrets", [[SECRET, "new"], ["new", SECRET], ["", SECRET]])
def test_while_a_secret_is_replaced_old_and_new_are_taken(secrets: list[str]) -> None:
    verify(BODY, KNOWN, secrets)


@pytest.mark.lesson(23)
@pytest.mark.parametrize(
    ("header", "secrets"),
    [
        (KNOWN, []),
        (KNOWN, [""]),
        (KNOWN, ["other"]),
        ("", [SECRET]),
        (KNOWN.removeprefix("sha256="), [SECRET]),
        (KNOWN[:-1], [SECRET]),
        (KNOWN + "\n", [SECRET]),
        ("sha1=" + "0" * 40, [SECRET]),
        ("sha256=" + "é" * 64, [SECRET]),
        (sign(BODY, ""), [""]),
    ],
)
def test_what_no_secret_signs_is_refused(header: str, secrets: list[str]) -> None:
    with pytest.raises(SignatureMismatchError, match="not signed with one of the webhook's secrets") as refused:
        verify(BODY, header, secrets)
    assert refused.value.status == 401


@given(body=st.binary(max_size=200), other=st.binary(max_size=200), secret=st.text(min_size=1, max_size=20))
def test_a_signature_holds_for_its_own_body_alone(body: bytes, other: bytes, secret: str) -> None:
    header = sign(body, secret)
    assert is_signature(header)
    verify(body, header, [secret])
    if other != body:
        with pytest.raises(SignatureMismatchError):
            verify(other, header, [secret])
