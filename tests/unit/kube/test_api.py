"""What is applied is read as YAML by the API server: texts come through whole all the same."""

import msgspec
import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from coderun.kube.api import as_yaml

TEXTS = st.text(alphabet=st.characters(exclude_categories=["Cs"]))
# Longer than 1,024 characters no YAML reader takes a key; Kubernetes' own end at 317.
KEYS = st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=150)


@given(TEXTS)
def test_any_text_means_the_same_as_yaml(text: str) -> None:
    encoded = as_yaml(msgspec.json.encode({"message": text}))
    assert msgspec.json.decode(encoded) == {"message": text}
    assert yaml.safe_load(encoded) == {"message": text}


@given(KEYS)
@example("\u2028")
def test_any_key_means_the_same_as_yaml(key: str) -> None:
    encoded = as_yaml(msgspec.json.encode({key: 1}))
    assert msgspec.json.decode(encoded) == {key: 1}
    assert yaml.safe_load(encoded) == {key: 1}


def test_what_yaml_has_no_place_for_is_escaped_and_the_rest_stays() -> None:
    assert (
        as_yaml('"a\x7fb\x90c\ufeffd\uffffe\U0001f600é"'.encode()) == '"a\\u007fb\\u0090c\\ufeffd\\uffffe\U0001f600é"'.encode()
    )
    plain = '"nothing to do é 漢"'.encode()
    assert as_yaml(plain) is plain
