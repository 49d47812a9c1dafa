"""Objects as rows, and back: what stands in the columns of `objects`.

Between the tables and the structs of `model`. Nothing here touches a file; what does not decode is `StoreCorruptError` naming
the object, what would not decode again is refused before it is written.
"""

from datetime import UTC, datetime, timedelta
from typing import Any, Final, NamedTuple

import msgspec

from coderun.model.errors import RefusedError, StoreCorruptError
from coderun.model.meta import ObjectMeta
from coderun.store.protocol import ObjectT

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)
_encoder: Final = msgspec.json.Encoder()
_words: Final = msgspec.json.Decoder(dict[str, str])
_decoders: Final[dict[tuple[type[Any], str], msgspec.json.Decoder[Any]]] = {}


class Row(NamedTuple):
    """One row of `objects` with its spec; `COLUMNS` names them in this order. `created` is in microseconds since 1970 UTC."""

    id: int
    name: str
    uid: str
    revision: int
    generation: int
    created: int
    api_version: str
    labels: bytes
    annotations: bytes
    status: bytes
    spec: bytes


COLUMNS: Final = ", ".join(Row._fields)


def to_number(moment: datetime) -> int:
    """`moment` (with a time zone) in microseconds since 1970 UTC."""
    return (moment - _EPOCH) // _MICROSECOND


def to_moment(number: int) -> datetime:
    """The moment, in UTC, of so many microseconds since 1970 UTC."""
    return _EPOCH + number * _MICROSECOND


def _decoder(kind: type[Any], part: str) -> msgspec.json.Decoder[Any]:
    known = _decoders.get((kind, part))
    if known is None:
        found = next(field for field in msgspec.structs.fields(kind) if field.name == part)
        known = _decoders[kind, part] = msgspec.json.Decoder(found.type)
    return known


def encode_part(kind: type[Any], name: str, part: str, value: Any) -> tuple[bytes, Any]:
    """`value` (the `spec` or `status` of an object) as stored, and as it will be read.

    Raises:
        RefusedError: it would not come back: text that is no Unicode, a number that JSON has no word for, a wrong type.
    """
    try:
        stored = _encoder.encode(value)
        return stored, _decoder(kind, part).decode(stored)
    except (ValueError, TypeError, RecursionError) as error:
        raise _refused(kind, name, part, error) from error


def encode_words(kind: type[Any], name: str, part: str, words: dict[str, str]) -> bytes:
    """`words` (labels or annotations) as stored. Raises `RefusedError` as `encode_part`."""
    try:
        stored = _encoder.encode(words)
        _words.decode(stored)
    except (ValueError, TypeError) as error:
        raise _refused(kind, name, part, error) from error
    return stored


def decode_part(kind: type[Any], name: str, part: str, stored: bytes) -> Any:
    """The `spec` or `status` that was stored. Raises `StoreCorruptError` naming the object."""
    try:
        return _decoder(kind, part).decode(stored)
    except (ValueError, TypeError) as error:
        raise _broken(kind, name, part, error) from error


def decode_object(kind: type[ObjectT], row: Row, namespace: str) -> ObjectT:
    """The object of a row. Raises `StoreCorruptError` naming it."""
    spec = decode_part(kind, row.name, "spec", row.spec)
    status = decode_part(kind, row.name, "status", row.status)
    return kind(api_version=row.api_version, metadata=decode_meta(kind, row, namespace), spec=spec, status=status)


def decode_meta(kind: type[Any], row: Row, namespace: str) -> ObjectMeta:
    """The metadata of a row. Raises `StoreCorruptError` naming the object."""
    try:
        labels = _words.decode(row.labels)
        annotations = _words.decode(row.annotations)
        created = to_moment(row.created)
    except (ValueError, TypeError, OverflowError) as error:
        raise _broken(kind, row.name, "metadata", error) from error
    return ObjectMeta(
        name=row.name,
        namespace=namespace,
        uid=row.uid,
        resource_version=str(row.revision),
        generation=row.generation,
        creation_timestamp=created,
        labels=labels,
        annotations=annotations,
    )


def _refused(kind: type[Any], name: str, part: str, error: Exception) -> RefusedError:
    return RefusedError(f"cannot store {kind.__name__} {name!r}: its {part} cannot be written as JSON and read again ({error})")


def _broken(kind: type[Any], name: str, part: str, error: Exception) -> StoreCorruptError:
    return StoreCorruptError(
        f"cannot read {kind.__name__} {name!r}: its stored {part} is not what this coderun understands ({error}); upgrade "
        f"coderun if a newer one wrote it, else delete the object; others are not affected"
    )
