"""How the files of a run fit into ConfigMaps, and come out of them again in the pod. Pure.

Small runs stay readable: one ConfigMap, one key a file. What is larger than one may be, or has names no key may have, becomes
one compressed bundle, cut into parts over several ConfigMaps. What is too large even so is refused before anything is created.
The same files always give the same names and the same bytes.
"""

import base64
import gzip
import hashlib
import re
import zlib
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from coderun.model.errors import InvalidCodeRunError

ORDER: Final = "order.json"
START_SCRIPT: Final = "container.sh"
"""Rendered from a template: what a pod runs. It stays a file of its own in a bundle, too."""

PART_BYTES: Final = 900 * 1024
"""What of a ConfigMap's 1 MiB is used; metadata and base64 need room in a request as well."""

MOST_PARTS: Final = 4
MOST_UNPACKED: Final = 64 * 1024 * 1024
_PART: Final = "bundle-"
_KEY = re.compile(r"[-._a-zA-Z0-9]{1,253}")
_HASH_LENGTH: Final = 10


class Parcel(msgspec.Struct, frozen=True, kw_only=True):
    """The content of one ConfigMap, and the hash of it that its name ends in."""

    digest: str
    data: dict[str, str] = {}
    binary_data: dict[str, str] = {}

    def fields(self) -> dict[str, Any]:
        """As fields of a ConfigMap."""
        return {key: value for key, value in (("data", self.data), ("binaryData", self.binary_data)) if value}


def pack(order: bytes, files: Mapping[str, str], *, job: str) -> tuple[Parcel, ...]:
    """The order and the files of a run in as few ConfigMaps as they need.

    Raises:
        InvalidCodeRunError: they do not fit into `MOST_PARTS` of them, compressed.
    """
    texts = {ORDER: order.decode(), **files}
    if all(_is_key(name) for name in files):
        whole = _content(texts, {})
        # Quoted, they take no less room than they will: nearly always that is little enough.
        if len(whole) <= PART_BYTES or _size(texts) <= PART_BYTES:
            return (Parcel(digest=_digest(whole), data=texts),)
    packed = gzip.compress(msgspec.json.encode(texts, order="sorted"), compresslevel=9, mtime=0)
    script = {START_SCRIPT: files[START_SCRIPT]} if START_SCRIPT in files else {}
    room = PART_BYTES - _size(script)
    first, rest = packed[: max(room, 0)], packed[max(room, 0) :]
    parts = [first, *(rest[start : start + PART_BYTES] for start in range(0, len(rest), PART_BYTES))]
    if room <= 0 or len(parts) > MOST_PARTS:
        raise InvalidCodeRunError(_too_large(texts, len(packed), job))
    return tuple(
        _parcel(script if number == 0 else {}, {f"{_PART}{number:03}": base64.b64encode(part).decode()})
        for number, part in enumerate(parts)
    )


def unpack(mounted: Mapping[str, bytes]) -> dict[str, bytes]:
    """The files of a run by name, the order among them, from the files of all its ConfigMaps.

    Raises:
        ValueError: a part is missing or damaged, or it is larger than anything we pack.
    """
    parts = sorted(name for name in mounted if name.startswith(_PART))
    if not parts:
        return dict(mounted)
    expected = [f"{_PART}{number:03}" for number in range(len(parts))]
    if parts != expected:
        raise ValueError(f"the bundle has the parts {', '.join(parts)}; one is missing")
    reader = zlib.decompressobj(wbits=31)
    try:
        text = reader.decompress(b"".join(mounted[name] for name in parts), MOST_UNPACKED)
    except zlib.error as error:
        raise ValueError(f"the bundle is damaged: {error}") from error
    if not reader.eof:
        raise ValueError("the bundle is cut short, or larger than it may be")
    try:
        return {name: value.encode() for name, value in msgspec.json.decode(text, type=dict[str, str]).items()}
    except msgspec.DecodeError as error:
        raise ValueError(f"the bundle is damaged: {error}") from error


def _is_key(name: str) -> bool:
    return _KEY.fullmatch(name) is not None and name not in {".", "..", ORDER} and not name.startswith((_PART, ".."))


def _size(texts: Mapping[str, str]) -> int:
    return sum(len(name) + len(text.encode()) for name, text in texts.items())


def _parcel(data: dict[str, str], binary: dict[str, str]) -> Parcel:
    return Parcel(digest=_digest(_content(data, binary)), data=data, binary_data=binary)


def _content(data: dict[str, str], binary: dict[str, str]) -> bytes:
    return msgspec.json.encode([data, binary], order="sorted")


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:_HASH_LENGTH]


def _too_large(texts: Mapping[str, str], packed: int, job: str) -> str:
    largest = sorted(texts, key=lambda name: len(texts[name]), reverse=True)[:3]
    named = ", ".join(f"{name} ({len(texts[name].encode()) // 1024} KiB)" for name in largest)
    limit = PART_BYTES * MOST_PARTS // 1024
    return (
        f"job {job}: the files of this run come to {packed // 1024} KiB compressed, more than the {limit} KiB that fit into "
        f"{MOST_PARTS} ConfigMaps; the largest are {named}; shorten the task's files or the templates"
    )
