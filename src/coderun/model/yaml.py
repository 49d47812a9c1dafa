"""YAML in and out: the one module that knows a YAML library. Text in, plain data with positions out.

A document is read from parser events, never through constructors: no tag makes an object, aliases are counted by what they
expand to, nesting and size have limits. Scalars follow the core schema of YAML 1.2: `yes`, `on`, `12:30` and `010` are text,
only `true` and `false` are booleans; keys are always text.
"""

import re
from typing import Any, Final, NoReturn, TypeAlias, TypeVar

import msgspec
import yaml

from coderun.model.errors import ConfigError
from coderun.model.schema import advice, describe
from coderun.model.text import printable

T = TypeVar("T")
Path: TypeAlias = tuple[str | int, ...]

MAX_CHARACTERS: Final = 1 << 20
MAX_DEPTH: Final = 50
MAX_ALIASES: Final = 100
MAX_NODES: Final = 100_000

_FORBIDDEN = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_ODD_BREAK = re.compile("[\x85\u2028\u2029]")
_BREAK = re.compile("[\n\r\x85\u2028\u2029]")
_INT = re.compile(r"[-+]?(?:0|[1-9][0-9]{0,17})")
_FLOAT = re.compile(r"[-+]?(?:(?:0|[1-9][0-9]*)(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][-+]?[0-9]+)?")
_CONSTANTS: Final[dict[str, bool | None]] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
_STR_TAGS: Final = {None, "!", "tag:yaml.org,2002:str"}
_READER: Final[type[yaml.SafeLoader]] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class Mark(msgspec.Struct, frozen=True):
    """A place in a text, both counted from 1."""

    line: int
    column: int


class Document(msgspec.Struct, frozen=True, kw_only=True):
    """Plain data, and where each piece of it was written.

    Attributes:
        name: What a person calls the text: a file name as they would type it.
        data: Dicts with text keys, lists, str, int, float, bool, None.
        root: The tree of positions behind `mark`.
    """

    name: str
    data: Any
    root: "_Node"

    def mark(self, path: Path, *, key: bool = False) -> Mark:
        """Where the value at `path` starts, or its key with `key`; the nearest thing above it where it was not written."""
        node, place = self.root, self.root.mark
        for step in path:
            entry = node.children.get(step)
            if entry is None:
                return place
            key_mark, node = entry
            place = key_mark if key and key_mark else node.mark
        return place

    def error(self, path: Path, message: str, *, key: bool = False) -> ConfigError:
        """A `ConfigError` that reads `name:line:column: path: message`."""
        place = self.mark(path, key=key)
        where = f"{describe(path)}: " if path else ""
        return ConfigError(f"{self.name}:{place.line}:{place.column}: {where}{printable(message)}")


class _Node(msgspec.Struct):
    """A value being read: where it starts, how many values it stands for, and its entries with the places of their keys."""

    mark: Mark
    value: Any
    size: int = 1
    children: dict[str | int, tuple[Mark | None, "_Node"]] = {}
    key: tuple[str, Mark] | None = None
    anchor: str | None = None


def load(text: str, *, name: str) -> Document:
    """The one document in `text`; an empty text is a document of None.

    Raises:
        ConfigError: no YAML, a duplicate key, a tag, a merge key, more than one document, or larger, deeper or more repetitive
            than anything a person writes. The message starts with `name:line:column`.
    """
    text = text.removeprefix("\ufeff")
    if len(text) > MAX_CHARACTERS:
        raise ConfigError(f"{name}: {len(text)} characters are more than the {MAX_CHARACTERS} this file may have; shorten it")
    bad = _FORBIDDEN.search(text)
    if bad:
        line = text.count("\n", 0, bad.start()) + 1
        column = bad.start() - text.rfind("\n", 0, bad.start())
        raise ConfigError(
            f"{name}:{line}:{column}: control character {bad.group()!a} in YAML; remove it or write it as an escape"
        )
    builder = _Builder(name)
    try:
        for event in yaml.parse(text, Loader=_READER):
            builder.take(event)
    except yaml.YAMLError as error:
        raise _syntax_error(name, text, error) from error
    root = builder.root or _Node(Mark(1, 1), None)
    return Document(name=name, data=root.value, root=root)


def decode(document: Document, type_: type[T]) -> T:
    """The document as a `type_`, without any conversion between kinds of values.

    Raises:
        ConfigError: the first thing that does not fit, as `name:line:column: path: what was found; what to write`.
    """
    try:
        return msgspec.convert(document.data, type_, strict=True)
    except msgspec.ValidationError as error:
        path, message, at_key = advice(document.data, type_, str(error))
        raise document.error(path, message, key=at_key) from error


def dump(data: Any) -> str:
    """`data` (structs, enums and times too) as YAML that this module and readers of YAML 1.1 read back as it was.

    Nothing in it moves a cursor or reorders what is shown: where there is such a character, all but ASCII is escaped.
    """
    text = _dump(data, allow_unicode=True)
    is_plain = all(char.isprintable() or char == "\n" for char in text)
    return text if is_plain else _dump(data, allow_unicode=False)


def _dump(data: Any, *, allow_unicode: bool) -> str:
    return yaml.dump(
        msgspec.to_builtins(data),
        Dumper=_WRITER,
        sort_keys=False,
        allow_unicode=allow_unicode,
        default_flow_style=False,
        width=120,
    )


def scalar(text: str) -> str:
    """`text` as one line of YAML that stands for exactly this text, quoted where it must be."""
    style = '"' if _BREAK.search(text) else None
    written = yaml.dump(text, Dumper=_SCALAR_WRITER, allow_unicode=True, default_style=style, width=1 << 30)
    return written.removesuffix("\n").removesuffix("\n...")


class _Builder:
    """Makes one tree of nodes out of parser events; a stack instead of recursion."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.root: _Node | None = None
        self.stack: list[_Node] = []
        self.anchors: dict[str, _Node | None] = {}
        self.aliases = 0
        self.total = 0

    def take(self, event: yaml.Event) -> None:
        """Go on by one event."""
        match event:
            case yaml.ScalarEvent():
                self.scalar(event)
            case yaml.MappingStartEvent():
                self.open(event, {})
            case yaml.SequenceStartEvent():
                self.open(event, [])
            case yaml.MappingEndEvent() | yaml.SequenceEndEvent():
                node = self.stack.pop()
                if node.anchor:
                    self.anchors[node.anchor] = node
                self.add(node)
            case yaml.AliasEvent():
                self.alias(event)
            case yaml.DocumentStartEvent() if self.root is not None:
                self.refuse(_mark(event), "a second document starts here; write one document only")
            case _:
                pass

    def scalar(self, event: yaml.ScalarEvent) -> None:
        """A scalar: a key of the mapping being read, or a value."""
        self.refuse_tag(event)
        place = _mark(event)
        parent = self.stack[-1] if self.stack else None
        if parent is not None and isinstance(parent.value, dict) and parent.key is None:
            self.take_key(parent, event, place)
            return
        node = _Node(place, _resolve(event.value) if _is_plain(event) else event.value)
        if event.anchor:
            self.anchors[event.anchor] = node
        self.add(node)

    def take_key(self, parent: _Node, event: yaml.ScalarEvent, place: Mark) -> None:
        """A key: text, once only."""
        key = event.value
        if key == "<<" and _is_plain(event):
            self.refuse(place, "merge keys (<<) are not read; write the keys out")
        if key in parent.value:
            first = parent.children[key][0] or parent.mark
            self.refuse(place, f"key {key!r} is written twice (first in line {first.line}); remove one of them")
        parent.key = (key, place)

    def open(self, event: yaml.CollectionStartEvent, empty: Any) -> None:
        """A mapping or a list starts."""
        self.refuse_tag(event)
        place = _mark(event)
        parent = self.stack[-1] if self.stack else None
        if parent is not None and isinstance(parent.value, dict) and parent.key is None:
            self.refuse(place, "a key must be text, not a list or a mapping")
        if len(self.stack) >= MAX_DEPTH:
            self.refuse(place, f"nested deeper than {MAX_DEPTH} levels; flatten it")
        if event.anchor:
            self.anchors[event.anchor] = None
        self.stack.append(_Node(place, empty, anchor=event.anchor, children={}))

    def alias(self, event: yaml.AliasEvent) -> None:
        """A repetition of something written before."""
        place = _mark(event)
        self.aliases += 1
        if self.aliases > MAX_ALIASES:
            self.refuse(place, f"more than {MAX_ALIASES} aliases (*name); write the values out")
        if event.anchor not in self.anchors:
            self.refuse(place, f"alias *{event.anchor} has no anchor &{event.anchor} before it")
        node = self.anchors[event.anchor]
        if node is None:
            self.refuse(place, f"alias *{event.anchor} stands inside what it repeats; write the value out")
        parent = self.stack[-1] if self.stack else None
        if parent is not None and isinstance(parent.value, dict) and parent.key is None:
            self.refuse(place, "a key must be text, not an alias")
        self.total += node.size - 1
        self.add(node)

    def add(self, node: _Node) -> None:
        """Put a finished value where it belongs."""
        self.total += 1
        if self.total > MAX_NODES:
            self.refuse(node.mark, f"more than {MAX_NODES} values, aliases expanded; shorten it")
        if not self.stack:
            self.root = node
            return
        parent = self.stack[-1]
        parent.size += node.size
        if parent.key is None:
            parent.children[len(parent.value)] = (None, node)
            parent.value.append(node.value)
            return
        key, key_mark = parent.key
        parent.key = None
        parent.children[key] = (key_mark, node)
        parent.value[key] = node.value

    def refuse_tag(self, event: yaml.ScalarEvent | yaml.CollectionStartEvent) -> None:
        """No tag means anything here, but `!!str`."""
        if event.tag not in _STR_TAGS:
            self.refuse(_mark(event), f"tag {event.tag!r} is not read; write the plain value")

    def refuse(self, place: Mark, message: str) -> NoReturn:
        """Stop here."""
        raise ConfigError(f"{self.name}:{place.line}:{place.column}: {printable(message)}")


def _is_plain(event: yaml.ScalarEvent) -> bool:
    return not event.style and event.tag is None  # libyaml says "", the pure parser None


def _resolve(text: str) -> Any:
    if text in _CONSTANTS:
        return _CONSTANTS[text]
    if _INT.fullmatch(text):
        return int(text)
    if _FLOAT.fullmatch(text) and any(sign in text for sign in ".eE"):
        number = float(text)
        return number if abs(number) != float("inf") else text
    return text


def _mark(event: yaml.Event) -> Mark:
    start = event.start_mark
    return Mark(start.line + 1, start.column + 1) if start else Mark(1, 1)


def _syntax_error(name: str, text: str, error: yaml.YAMLError) -> ConfigError:
    said, mark = str(error), None
    if isinstance(error, yaml.MarkedYAMLError):
        said = ", ".join(filter(None, (error.context, error.problem)))
        mark = error.problem_mark or error.context_mark
    if mark is None:
        return ConfigError(f"{name}: not valid YAML: {printable(said)}")
    hint = "; indent with spaces, not tabs" if text[mark.index : mark.index + 1] == "\t" else ""
    return ConfigError(f"{name}:{mark.line + 1}:{mark.column + 1}: not valid YAML: {printable(said)}{hint}")


def _write_text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    style = "|" if "\n" in text.rstrip("\n") else None
    # The pure-Python emitter takes these for line breaks inside single quotes; only double quotes escape them.
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style='"' if _ODD_BREAK.search(text) else style)


def _make_writer(name: str) -> type[yaml.SafeDumper]:
    # What only `load` takes for a number must be quoted too; YAML 1.1 readers want a dot and a sign in `1e3`.
    base: type[yaml.SafeDumper] = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
    writer: type[yaml.SafeDumper] = type(name, (base,), {"ignore_aliases": lambda *_: True})
    float_text = re.compile(f"^(?:{_FLOAT.pattern})$")
    writer.add_implicit_resolver("tag:yaml.org,2002:float", float_text, list("-+0123456789."))
    return writer


_SCALAR_WRITER: Final = _make_writer("ScalarWriter")
_WRITER: Final = _make_writer("Writer")
_WRITER.add_representer(str, _write_text)
