"""The page that describes every field of the custom resources, made from their definitions; `make chart` writes it."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from coderun.kube.crd import definitions

PAGE: Final = Path(__file__).parents[2] / "docs" / "objects.md"
_INTRO: Final = """# Objects in a cluster, field by field

Made from the custom resource definitions by `make chart`; [kubernetes.md](kubernetes.md) says what they are for, and
`kubectl explain cr.spec` tells the same. `[]` is an item of a list, `<name>` a name of your
choice. A field in **bold** must be written.
"""
_TYPES: Final = {
    "boolean": "true or false",
    "integer": "whole number",
    "number": "number",
    "string": "text",
    "object": "mapping",
    "array": "list",
}


def page() -> str:
    """The whole page."""
    return "\n".join([_INTRO, *(_kind(made) for made in definitions())])


def _kind(made: dict[str, Any]) -> str:
    names = made["spec"]["names"]
    schema = made["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    short = f", short `{names['shortNames'][0]}`" if "shortNames" in names else ""
    parts = [f"## {names['kind']}", f"{schema['description']} `kubectl get {names['plural']}`{short}."]
    for part in ("spec", "status"):
        told = schema["properties"][part]
        parts += [f"### {names['kind']} {part}", told["description"]]
        parts.append("\n".join(["| field | kind | meaning |", "|---|---|---|", *_rows(told, "")]))
    return "\n\n".join(parts) + "\n"


def _rows(schema: dict[str, Any], before: str) -> Iterator[str]:
    needed = set(schema.get("required", ()))
    for name, field in schema.get("properties", {}).items():
        path = f"{before}{name}"
        shown = f"**`{path}`**" if name in needed else f"`{path}`"
        yield f"| {shown} | {_what(field)} | {_cell(field['description'])} |"
        yield from _rows(field, f"{path}.")
        for inside, mark in (("items", "[]"), ("additionalProperties", ".<name>")):
            if isinstance(field.get(inside), dict):
                yield from _rows(field[inside], f"{path}{mark}.")


def _what(field: dict[str, Any]) -> str:
    """The kind of a value, its choices and limits."""
    words = "time" if field.get("format") == "date-time" else _TYPES.get(field.get("type", ""), "anything")
    if "enum" in field:
        words = " or ".join(f"`{one}`" for one in field["enum"] if one)
    low, high = field.get("minimum"), field.get("maximum")
    if low is not None:
        words += f", {low} to {high}" if high is not None else f", at least {low}"
    if field.get("items", {}).get("type") not in {None, "object"}:
        words += f" of {_TYPES[field['items']['type']]}s" if field["items"]["type"] != "string" else " of texts"
    return f"{words}; `{field['default']}`" if "default" in field else words


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;")
