"""How the files of a run go into ConfigMaps and come out again."""

import base64
import gzip
import json
import random
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coderun.kube.bundle import MOST_PARTS, PART_BYTES, Parcel, pack, unpack
from coderun.model.errors import InvalidCodeRunError

ORDER = b'{"job":"j"}'


def mounted(parcels: tuple[Parcel, ...]) -> dict[str, bytes]:
    """As the kubelet lays them into one folder."""
    files: dict[str, bytes] = {}
    for parcel in parcels:
        files.update({name: text.encode() for name, text in parcel.data.items()})
        files.update({name: base64.b64decode(data) for name, data in parcel.binary_data.items()})
    return files


def sizes(parcel: Parcel) -> int:
    return sum(map(len, parcel.data.values())) + sum(len(base64.b64decode(data)) for data in parcel.binary_data.values())


def there_and_back(files: Mapping[str, str]) -> dict[str, bytes]:
    return unpack(mounted(pack(ORDER, files, job="j")))


def noise(size: int, seed: int = 1) -> str:
    """Text that hardly compresses."""
    return base64.b85encode(random.Random(seed).randbytes(size * 4 // 5)).decode()


def test_a_small_run_is_one_config_map_that_people_can_read() -> None:
    (parcel,) = pack(ORDER, {"container.sh": "exec x", "CLAUDE.md": "ü"}, job="j")
    assert parcel.fields() == {"data": {"order.json": '{"job":"j"}', "container.sh": "exec x", "CLAUDE.md": "ü"}}


@pytest.mark.lesson(8)
def test_another_content_is_another_config_map_and_the_same_is_the_same() -> None:
    first, again, other = (pack(ORDER, {"a": text}, job="j")[0].digest for text in ("1", "1", "2"))
    assert first == again != other


@pytest.mark.lesson(9)
@pytest.mark.parametrize("size", [PART_BYTES + 1, 3 * PART_BYTES])
def test_what_one_config_map_cannot_hold_is_compressed_and_cut(size: int) -> None:
    files = {"container.sh": "exec x", "big.txt": noise(size), "b": ""}
    parcels = pack(ORDER, files, job="j")
    assert all(sizes(parcel) <= PART_BYTES for parcel in parcels)
    assert parcels[0].data == {"container.sh": "exec x"}
    assert unpack(mounted(parcels)) == {"order.json": ORDER, **{name: text.encode() for name, text in files.items()}}
    assert pack(ORDER, dict(reversed(files.items())), job="j") == parcels


@pytest.mark.lesson(9)
def test_what_does_not_fit_at_all_is_refused_with_the_largest_files() -> None:
    files = {"small": "x", "task/spec.md": noise(2 * MOST_PARTS * PART_BYTES), "notes": noise(50_000, 2)}
    with pytest.raises(InvalidCodeRunError) as failure:
        pack(ORDER, files, job="coderun-1-shop-x-1")
    message = str(failure.value)
    assert message.startswith("job coderun-1-shop-x-1: the files of this run come to ")
    assert (
        "more than the 3600 KiB that fit into 4 ConfigMaps; the largest are task/spec.md (7200 KiB), notes (48 KiB)" in message
    )


def test_a_script_that_leaves_no_room_is_refused_too() -> None:
    with pytest.raises(InvalidCodeRunError, match=r"the largest are container\.sh"):
        pack(ORDER, {"container.sh": "x" * PART_BYTES}, job="j")


@pytest.mark.parametrize("name", ["a/b", "order.json", "bundle-1", "..data", "ä", "x" * 254, "."])
def test_a_file_whose_name_cannot_be_a_key_travels_in_a_bundle(name: str) -> None:
    files = {} if name == "order.json" else {name: "text"}
    assert there_and_back({**files, "plain": "p"}) == {"order.json": ORDER, **dict.fromkeys(files, b"text"), "plain": b"p"}


@given(
    st.dictionaries(
        st.text(min_size=1, max_size=20).filter(lambda n: n.isprintable() and n != "order.json"),
        st.text(st.characters(codec="utf-8"), max_size=200),
        max_size=5,
    )
)
def test_any_files_come_out_as_they_went_in(files: dict[str, str]) -> None:
    assert there_and_back(files) == {"order.json": ORDER, **{name: text.encode() for name, text in files.items()}}


def packed(value: object) -> bytes:
    return gzip.compress(json.dumps(value).encode())


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"bundle-000": b"x", "bundle-002": b"y"}, "one is missing"),
        ({"bundle-000": b"no gzip"}, "the bundle is damaged: "),
        ({"bundle-000": packed({"a": "b"})[:-9]}, "the bundle is cut short"),
        ({"bundle-000": packed(["a"])}, "the bundle is damaged: "),
    ],
)
def test_a_damaged_bundle_is_told_from_a_whole_one(files: dict[str, bytes], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        unpack(files)


def test_a_bundle_that_unpacks_to_more_than_anything_we_pack_is_not_unpacked() -> None:
    with pytest.raises(ValueError, match="larger than it may be"):
        unpack({"bundle-000": packed({"a": "0" * (65 << 20)})})
