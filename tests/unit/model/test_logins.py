import pytest
from hypothesis import given
from hypothesis import strategies as st

from coderun.model.logins import normalise_login, same_login


@pytest.mark.lesson(26)
@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("rex", "rex[bot]", True),
        ("5DLabs-Rex", "5dlabs-rex[bot]", True),
        ("Rex[BOT]", "rex", True),
        (" rex ", "rex", True),
        ("rex", "cleo", False),
        ("rexbot", "rex[bot]", False),
        ("[bot]rex", "rex", False),
        ("", "", False),
        ("[bot]", "", False),
    ],
)
def test_logins_compare_without_case_and_bot(one: str, other: str, same: bool) -> None:
    assert same_login(one, other) is same
    assert same_login(other, one) is same


@given(st.text(alphabet="abcXYZ019-", min_size=1))
def test_a_login_is_the_same_as_its_bot_in_any_case(login: str) -> None:
    assert same_login(login, login.upper() + "[bot]")
    assert normalise_login(normalise_login(login)) == normalise_login(login)
