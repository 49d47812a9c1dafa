"""What is applied is read as YAML by the API server: texts come through whole all the same."""

import msgspec
import yaml
from hypothesis import given
from hypothesis import strategies as st

from coderun.kube.api import as_yaml

TEXTS = st.text(alphabet=st.characters(exclude_categories=["Cs"]))


@given(TEXTS)
def test_any_text_means_the_same_as_yaml(text: str) -> None:
    encoded = as_yaml(msgspec.json.encode({"message": text, text: 1}))
    assert msgspec.json.decode(encoded) == {"message": text, text: 1}
    assert yaml.safe_load(encoded)["message"] == text


def test_what_yaml_has_no_place_for_is_escaped_and_the_rest_stays() -> None:
    assert (
        as_yaml('"a\x7fb\x90c\ufeffd\uffffe\U0001f600é"'.encode()) == '"a\\u007fb\\u0090c\\ufeffd\\uffffe\U0001f600é"'.encode()
    )
    plain = '"nothing to do é 漢"'.encode()
    assert as_yaml(plain) is plain
