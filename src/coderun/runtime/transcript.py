"""The output of a pod for people: the runner's JSON lines as they stand in `output.log`, everything else as it came. Pure."""

from typing import Any, Final

import msgspec

_decoder: Final = msgspec.json.Decoder(dict[str, Any])
_HIDDEN: Final = frozenset({"at", "event"})


def spoken(line: bytes) -> bytes:
    """One line of a pod's output, without its end, as a person reads it. What it says stays as harmless as it was written."""
    if not line.startswith(b'{"at":'):
        return line
    try:
        entry = _decoder.decode(line)
    except msgspec.DecodeError:
        return line
    name = entry.get("event")
    if name == "output":
        return _text(entry.get("line", ""))
    details = " ".join(f"{key}={value}" for key, value in entry.items() if key not in _HIDDEN)
    return _text(f"coderun: {name} {details}".rstrip())


def _text(text: object) -> bytes:
    """On one line, with all that does not print as escapes."""
    plain = str(text)
    if not plain.isprintable():
        plain = "".join(c if c.isprintable() or c == "\t" else c.encode("unicode_escape").decode("ascii") for c in plain)
    return plain.encode("utf-8", "replace")
