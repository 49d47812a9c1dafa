"""What all commands share: output forms, exit codes, errors for people, and getting at the local system.

Decides nothing and knows no command. What a person sees goes through `say`, texts of others through `safe`.
"""

import asyncio
import contextlib
import signal
import sys
import threading
from collections.abc import Callable, Coroutine, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from enum import IntEnum, StrEnum
from typing import TYPE_CHECKING, Annotated, Any, Final, TypeVar

import typer

if TYPE_CHECKING:
    from pathlib import Path
    from types import FrameType

    from coderun.app.local import LocalSystem
    from coderun.app.remote import Choice
    from coderun.app.system import Workplace

T = TypeVar("T")

_VERY_LONG: Final = 63
"""More than this has no cell of a table in which one looks for something; names that pods can have fit in."""


class Output(StrEnum):
    """Forms of output; the default is a table for people."""

    TABLE = "table"
    JSON = "json"
    YAML = "yaml"
    NAME = "name"


class Exit(IntEnum):
    """Exit codes, the same for every command."""

    OK = 0
    FAILED = 1
    USAGE = 2
    WAITING = 3
    NOT_FOUND = 4
    UNAVAILABLE = 5
    REFUSED = 6
    INTERRUPTED = 130


OutputOption = Annotated[Output, typer.Option("--output", "-o", help="Form of the output: table, json, yaml or name.")]
RepoOption = Annotated[str, typer.Option("--repo", "-C", help="Work on the repository in this folder.", metavar="DIR")]


class ReaderGoneError(Exception):
    """Whoever read our output has closed it (`coderun get | head`); there is nobody to tell."""


def say(text: str = "", *, err: bool = False) -> None:
    """Print a line of our own text.

    Raises:
        ReaderGoneError: nobody reads standard output any more.
    """
    try:
        print(text, file=sys.stderr if err else sys.stdout, flush=True)
    except BrokenPipeError as error:
        raise ReaderGoneError from error


def warn(text: str) -> None:
    """Print what goes wrong and is tried again; it may hold text of others."""
    say(f"warning: {safe(text)}", err=True)


def safe(text: object, limit: int | None = None) -> str:
    """Text of others, fit for a terminal: one line, without control characters."""
    from coderun.model.text import printable

    return printable(str(text), limit)


def clock_text(at: datetime) -> str:
    """The time of day on this machine's clock."""
    return f"{at.astimezone():%H:%M:%S}"


def duration(seconds: float) -> str:
    """A length of time for people: `42 s`, `3.5 min`, `2.0 h`, `1.2 d`."""
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds / size:.1f} {unit}"
    return f"{max(0.0, seconds):.0f} s"


def run_async(work: Coroutine[Any, Any, T], *, loop: "Callable[[], asyncio.AbstractEventLoop] | None" = None) -> T:
    """Run a coroutine to its end, on an event loop that `loop` makes where it is given.

    Ctrl-C goes to the programs we are waiting for too; what they then fail with is not reported in its place. SIGTERM is taken
    as Ctrl-C is: what is open is closed in order, and the command says how it goes on.
    """

    async def body() -> T:
        try:
            return await work
        except Exception as error:
            this = asyncio.current_task()
            if this is not None and this.cancelling():
                raise asyncio.CancelledError from error
            raise

    with _ended_as_by_ctrl_c(), asyncio.Runner(loop_factory=loop) as runner:
        return runner.run(body())


@contextlib.contextmanager
def _ended_as_by_ctrl_c() -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread() or signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
        yield
        return

    def interrupt(_: int, frame: "FrameType | None") -> None:
        ctrl_c = signal.getsignal(signal.SIGINT)
        if not callable(ctrl_c):  # started in the background of a script, where Ctrl-C is ignored
            raise KeyboardInterrupt
        ctrl_c(signal.SIGINT, frame)

    signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


def exit_code(error: Exception) -> Exit:
    """The exit code that tells of this error."""
    from coderun.model import errors

    table: tuple[tuple[type[Exception], Exit], ...] = (
        (errors.ConfigError, Exit.USAGE),
        (errors.NotFoundError, Exit.NOT_FOUND),
        (errors.UnavailableError, Exit.UNAVAILABLE),
        (errors.RefusedError, Exit.REFUSED),
    )
    return next((code for kind, code in table if isinstance(error, kind)), Exit.FAILED)


_chosen: "list[Choice]" = []


def choose_cluster(*, kubeconfig: str, context: str, namespace: str) -> None:
    """From now on commands speak to this cluster; called once, before any command, where one of these was given."""
    from coderun.app.remote import Choice

    _chosen[:] = [Choice(kubeconfig=kubeconfig, context=context, namespace=namespace)]


def with_system(repo: str, work: "Callable[[Workplace], Coroutine[Any, Any, T]]", *, create: bool = False) -> T:
    """Run `work` on the cluster that was chosen, else on the local system of the repository around `repo`.

    Raises:
        NotFoundError: nothing was ever played here and `create` is not set.
    """
    if not _chosen:
        return with_local(repo, work, create=create)

    async def body() -> T:
        from coderun.app.local import surroundings
        from coderun.app.logs import log_to_stderr
        from coderun.app.remote import open_cluster

        log_to_stderr()
        async with open_cluster(_chosen[0], surroundings(folder_of(repo)), tell=warn) as system:
            return await work(system)

    return run_async(body())


def with_local(repo: str, work: "Callable[[LocalSystem], Coroutine[Any, Any, T]]", *, create: bool = False) -> T:
    """Run `work` on the local system of the repository around `repo`.

    Raises:
        NotFoundError: nothing was ever played here and `create` is not set.
        ConfigError: a cluster was chosen, where this command has nothing to say.
    """
    if _chosen:
        from coderun.model.errors import ConfigError

        raise ConfigError("this command is for one machine; leave --context, --kubeconfig and --namespace out")

    async def body() -> T:
        from coderun.app.local import open_local
        from coderun.app.logs import log_to_stderr

        log_to_stderr()
        async with open_local(folder_of(repo), create=create, tell=warn) as system:
            system.tell = warn
            return await work(system)

    return run_async(body())


def folder_of(repo: str) -> "Path":
    """The folder a command works in. Raises `ConfigError` where it is gone."""
    from pathlib import Path

    try:
        return Path(repo).absolute() if repo else Path.cwd()
    except FileNotFoundError as error:
        from coderun.model.errors import ConfigError

        raise ConfigError("the folder this command was typed in is gone; go into one that is there") from error


def show(
    rows: Sequence[Mapping[str, Any]], output: Output, *, columns: Sequence[str], empty: str, single: bool = False
) -> None:
    """Print rows: as a table of `columns`, or whole as JSON or YAML, or only their `name`."""
    if output is Output.TABLE:
        print_table(rows, columns, empty)
    elif output is Output.NAME:
        for row in rows:
            say(safe(row["name"]))
    else:
        data: Any = rows[0] if single and rows else list(rows)
        say(to_text(data, output))


def plain(value: Any) -> Any:
    """An object as plain data with every field in it, also those at their defaults, named in camelCase."""
    import msgspec

    if isinstance(value, msgspec.Struct):
        return {_camel(field.encode_name): plain(getattr(value, field.name)) for field in msgspec.structs.fields(value)}
    if isinstance(value, Mapping):
        return {str(key): plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(each) for each in value]
    return msgspec.to_builtins(value)


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(map(str.capitalize, rest))


def to_text(data: Any, output: Output) -> str:
    """`data` as JSON or YAML; control characters come out escaped in both."""
    import msgspec

    everything = plain(data)
    if output is Output.YAML:
        from coderun.model.yaml import dump

        return dump(everything).rstrip("\n")
    text = msgspec.json.format(msgspec.json.encode(everything), indent=2).decode()
    return "".join(char if char.isprintable() or char == "\n" else f"\\u{ord(char):04x}" for char in text)


def print_table(rows: Iterable[Mapping[str, Any]], columns: Sequence[str], empty: str) -> None:
    """A plain table; columns as wide as what is in them, but for what is very long: that shifts its own line alone.

    On a terminal lines are cut where it ends, and before the last column what is very long; elsewhere nothing is.
    """
    import shutil

    room = max(40, shutil.get_terminal_size().columns) if sys.stdout.isatty() else None
    limits = [_VERY_LONG if room else None] * (len(columns) - 1) + [None]
    cells = [[safe(row.get(column, ""), limit) for column, limit in zip(columns, limits, strict=True)] for row in rows]
    if not cells:
        say(empty)
        return
    usual = [[len(line[at]) for line in cells if len(line[at]) <= _VERY_LONG] for at in range(len(columns))]
    widths = [max((len(column), *lengths)) for column, lengths in zip(columns, usual, strict=True)]
    for line in ([column.upper() for column in columns], *cells):
        say("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()[:room].rstrip())
