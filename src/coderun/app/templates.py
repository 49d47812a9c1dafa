"""Template folders: the packaged one, and a repository's own, read into texts for `plan.templates`.

It reads files and nothing else. A repository's folder is its working tree's, as `coderun.yaml` is: never a branch's.
"""

import functools
import os
from collections.abc import Iterator
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Final

from coderun.app.textfiles import read_inside, show_path
from coderun.model.config import TEMPLATE_FOLDER
from coderun.model.errors import ConfigError
from coderun.model.text import printable
from coderun.plan.templates import SUFFIX, TemplateText, template_key

MAX_TEMPLATE_BYTES: Final = 1 << 20
MAX_TEMPLATES: Final = 500
_DEPTH: Final = 4


@functools.cache
def packaged_templates() -> tuple[TemplateText, ...]:
    """The templates that come with the program."""
    root = resources.files("coderun.plan").joinpath("packaged", "templates")
    return tuple(
        TemplateText(key=path.removesuffix(SUFFIX), text=file.read_text(encoding="utf-8"), origin=f"packaged {path}")
        for path, file in _walk(root, "")
    )


def user_templates(repository: Path, folder: str = "") -> tuple[TemplateText, ...]:
    """The templates of a repository: those in `folder` (relative to its root), else in `TEMPLATE_FOLDER` where that is there.

    Raises:
        ConfigError: a folder that was named is missing; it or a file leads outside the repository or cannot be read; two files
            stand for one template; a file's name can be none.
    """
    path = repository / (folder or TEMPLATE_FOLDER)
    if not folder and not (path.is_symlink() or path.exists()):
        return ()
    return read_folder(path, root=repository, named="templates in coderun.yaml" if folder else "")


def read_folder(folder: Path, *, root: Path, named: str = "") -> tuple[TemplateText, ...]:
    """The templates of a folder inside `root`; `named` says who named it. Raises `ConfigError` as `user_templates` does."""
    shown = show_path(folder, root)
    why = f" ({named})" if named else ""
    _check_folder(folder, root, shown, why)
    found: dict[str, TemplateText] = {}
    for path in _files(folder, shown):
        relative = path.relative_to(folder).as_posix()
        key = template_key(relative)
        name = show_path(path, root)
        if key is None:
            raise ConfigError(
                f"{name}: is no template of a run; put it in agents/, code/, code/hooks/, docs/, docs/hooks/ or partials/ of "
                f"{shown}, or name it in the flat form, like code_hooks_x.sh{SUFFIX}"
            )
        if key in found:
            raise ConfigError(f"{name}: stands for the same template as {found[key].origin}; keep one of them")
        text = read_inside(root, path, limit=MAX_TEMPLATE_BYTES + 1)
        if text is None:
            raise ConfigError(f"{name}: is a binary file; a template is UTF-8 text")
        if len(text.encode("utf-8", "replace")) > MAX_TEMPLATE_BYTES:
            raise ConfigError(f"{name}: is larger than the {MAX_TEMPLATE_BYTES} bytes a template may have; shorten it")
        if "\ufffd" in text:
            line = text[: text.index("\ufffd")].count("\n") + 1
            raise ConfigError(f"{name}:{line}: holds bytes that are no UTF-8; save it as UTF-8")
        found[key] = TemplateText(key=key, text=text, origin=name, is_users=True)
    return tuple(found.values())


def _check_folder(folder: Path, root: Path, shown: str, why: str) -> None:
    try:
        real = folder.resolve(strict=True)
    except (OSError, RuntimeError) as error:
        what = "leads nowhere" if folder.is_symlink() else "is not there"
        raise ConfigError(f"template folder {shown}{why}: {what}; make it, or correct the name") from error
    if not real.is_relative_to(root.resolve()) or ".git" in real.relative_to(root.resolve()).parts:
        raise ConfigError(
            f"template folder {shown}{why}: leads outside the repository, to {printable(str(real), 200)}; "
            "put the folder itself there"
        )
    if not real.is_dir():
        raise ConfigError(f"template folder {shown}{why}: is no folder")


def _files(folder: Path, shown: str) -> list[Path]:
    """All templates below a folder, sorted, without hidden files; links to folders are not followed."""
    found: list[Path] = []

    def refuse(error: OSError) -> None:
        raise ConfigError(f"template folder {shown}: cannot be read: {error.strerror}; check its permissions") from error

    for place, folders, names in os.walk(folder, onerror=refuse):
        depth = len(Path(place).relative_to(folder).parts)
        folders[:] = sorted(name for name in folders if not name.startswith(".")) if depth < _DEPTH else []
        found += [Path(place, name) for name in names if name.endswith(SUFFIX) and not name.startswith(".")]
        if len(found) > MAX_TEMPLATES:
            raise ConfigError(f"template folder {shown}: holds more than {MAX_TEMPLATES} templates; take some away")
    return sorted(found)


def _walk(folder: Traversable, prefix: str) -> Iterator[tuple[str, Traversable]]:
    for entry in sorted(folder.iterdir(), key=lambda entry: entry.name):
        path = f"{prefix}{entry.name}"
        if entry.is_dir():
            yield from _walk(entry, f"{path}/")
        elif path.endswith(SUFFIX):
            yield path, entry
