"""Writes statements: texts, blocks, partials, and the functions that bodies of blocks become.

`if`, `unless`, `each` and `with` become Python's own `if` and `for`; the body of any other block is a function of its own that
is called through a `Body`. Programs that nest too deeply for Python, or are too long to compile quickly, go on in another one.
"""

from dataclasses import dataclass
from typing import Any, Final, NoReturn

from coderun.handlebars.calls import BLOCKS, MAX_HEIGHT, CallWriter, as_path
from coderun.handlebars.errors import TemplateSyntaxError
from coderun.handlebars.helpers import Helper, OptionsHelper
from coderun.handlebars.nodes import Block, Call, Expression, Mustache, Partial, Program, Statement, Text
from coderun.handlebars.parser import INLINE_PARTIAL, PARTIAL_BLOCK, RAW_BLOCK, literal_name
from coderun.handlebars.scope import Loop, Scope, above_root, body_scope, loop_scope, root_scope, with_scope
from coderun.handlebars.source import Source
from coderun.handlebars.writer import Lines

MAX_INDENT: Final = 10
SPLIT_AFTER: Final = 250


@dataclass(frozen=True, slots=True)
class _Work:
    """A program that is written as a function of its own once the function in hand is done."""

    name: str
    program: Program
    scope: Scope
    outer: Scope
    start: int
    goes_on: bool


class StatementWriter:
    """Writes the functions of one template."""

    def __init__(self, source: Source, calls: CallWriter) -> None:
        self._source = source
        self._calls = calls
        self._level = 0
        self._waiting: list[_Work] = []
        self._lines = Lines()
        self._indent = 0

    def module(self, program: Program) -> tuple[str, list[Any]]:
        """The text of the module and the node of each of its lines."""
        result = Lines()
        scope = root_scope()
        lines = self._inside(program, scope, above_root())
        if scope.climbs:
            lines.prepend("D0 = (c0, TOP)")
        _function(result, "main(R, P0, f0, c0)", lines)
        while self._waiting:
            self._write_waiting(result)
        return "\n".join(result.text) + "\n", result.marks

    def _write_waiting(self, result: Lines) -> None:
        work = self._waiting.pop()
        scope, outer, name = work.scope, work.outer, work.name
        if work.goes_on:
            head = f"{name}(R, OUTPUT, {''.join(f'{known}, ' for known in scope.names)})"
            _function(result, head, self._inside(work.program, scope, outer, work.start), output="OUTPUT")
            return
        level = scope.level
        known = "".join(f"{known}, " for known in outer.names if known != outer.partials)
        head = f"{name}(R, {outer.partials}, f{level}, c{level}, b{level}, {known})"
        lines = self._inside(work.program, scope, outer, work.start)
        if scope.climbs:
            lines.prepend(f"D{level} = D(c{level}, {outer.depths})")
        _function(result, head, lines)

    def _inside(self, program: Program, scope: Scope, outer: Scope, start: int = 0) -> Lines:
        """The lines of `program`, one block further in; `start` is -1 where its inline partials are declared already."""
        kept, self._lines = self._lines, Lines()
        self._indent += 1
        lines = self._lines
        if start == 0:
            self._declare_inlines(program, scope, outer)
        self._program(program, scope, outer, max(start, 0))
        lines.flush()
        self._lines = kept
        self._indent -= 1
        return lines

    def _program(self, program: Program, scope: Scope, outer: Scope, start: int) -> None:
        body = program.body
        for index in range(start, len(body)):
            if index - start >= SPLIT_AFTER and len(body) - index > 1:
                self._continue(program, scope, outer, index)
                return
            self._statement(body[index], scope)

    def _continue(self, program: Program, scope: Scope, outer: Scope, start: int) -> None:
        # A long or deeply nested program goes on in another function: Python limits nesting, long functions compile slowly.
        name = self._new("k")
        self._lines.line(f"{name}(R, out, {scope.captured()})")
        self._waiting.append(_Work(name, program, scope, outer, start, goes_on=True))

    def _new(self, letter: str) -> str:
        self._level += 1
        return f"{letter}{self._level}"

    def _statement(self, node: Statement, scope: Scope) -> None:
        if isinstance(node, Text):
            self._lines.constant(node.value)
        elif isinstance(node, Mustache):
            self._hoist(node.call, scope)
            self._lines.piece(self._calls.printed(node, scope), self._calls.taken_marks())
        elif isinstance(node, Partial):
            self._partial(node.call, node, scope, None, node.indent)
        elif isinstance(node, Block):
            self._block(node, scope)

    def _hoist(self, call: Call, scope: Scope, limit: int = MAX_HEIGHT) -> None:
        """Gives names to the results of deeply nested calls, since Python limits how deep parentheses nest."""
        if call.height <= limit:
            return
        for argument in [*call.params, *call.hash.values(), call.name]:
            if isinstance(argument, Call) and argument.height >= limit:
                self._hoist(argument, scope, limit)
                if argument.height % limit == 0:
                    name = self._new("v")
                    self._assign(name, self._calls.call(argument, scope))
                    self._calls.hoisted[id(argument)] = name

    def _assign(self, name: str, expression: str) -> None:
        self._lines.line(f"{name} = ({expression})", self._calls.taken_marks())

    # --- blocks -----------------------------------------------------------------------------------------------------------

    def _block(self, node: Block, scope: Scope) -> None:
        if node.kind == INLINE_PARTIAL:
            return
        call = node.call
        self._hoist(call, scope)
        if node.kind == PARTIAL_BLOCK:
            self._partial(call, node, scope, node.program, "")
            return
        name = call.original
        if name in BLOCKS and self._calls.is_helper(call.name, scope) and name not in self._calls.helpers:
            inlined = {"if": self._if, "unless": self._if, "each": self._each, "with": self._with, "raw": self._raw}
            inlined[name](node, scope)
            return
        if self._calls.is_helper(call.name, scope) or not call.bare:
            expression = self._calls.call(call, scope, block=lambda: self._bodies(node, scope))
            self._lines.piece(f"\nV({expression})", [call, *self._calls.taken_marks()])
            return
        self._section(node, scope)

    def _argument(self, node: Block) -> Expression:
        call = node.call
        if len(call.params) != 1:
            self._fail(call.offset, f"#{call.original} requires exactly one argument, found {len(call.params)}")
        return call.params[0]

    def _if(self, node: Block, scope: Scope) -> None:
        test = self._test(node, scope)
        self._lines.line(f"if {test}:", self._calls.taken_marks())
        self._branch(node.program, scope)
        inverse = node.inverse
        while inverse and self._is_plain_link(inverse, scope):
            link = inverse.body[0]
            assert isinstance(link, Block)  # noqa: S101 - a chained program holds exactly one block
            test = self._test(link, scope)
            self._lines.line(f"elif {test}:", self._calls.taken_marks())
            self._branch(link.program, scope)
            inverse = link.inverse
        if inverse:
            self._lines.line("else:")
            self._branch(inverse, scope)

    def _is_plain_link(self, inverse: Program, scope: Scope) -> bool:
        # A link that can be an elif: `if` or `unless`, and no result of it needs a name first.
        if not inverse.chained or not isinstance(inverse.body[0], Block):
            return False
        call = inverse.body[0].call
        plain = call.original in {"if", "unless"} and self._calls.is_helper(call.name, scope)
        return plain and call.original not in self._calls.helpers and call.height <= MAX_HEIGHT

    def _test(self, node: Block, scope: Scope) -> str:
        argument = self._argument(node)
        zero = node.call.hash.get("includeZero")
        if zero is None:
            test = self._calls.condition(argument, scope)
        else:
            test = f"Z({self._calls.value(argument, scope)},{self._calls.value(zero, scope)})"
        return f"(not {test})" if node.call.original == "unless" else f"({test})"

    def _branch(self, program: Program | None, scope: Scope, outer: Scope | None = None) -> None:
        if program is None:
            self._lines.block(Lines())
            return
        own = scope
        if outer is None and any(isinstance(item, Block) and item.kind == INLINE_PARTIAL for item in program.body):
            own = _same_place(scope)
        self._lines.block(self._lines_of(program, own, outer or scope))

    def _lines_of(self, program: Program, scope: Scope, outer: Scope) -> Lines:
        if self._indent < MAX_INDENT:
            return self._inside(program, scope, outer)
        kept = self._lines
        self._lines = lines = Lines()
        self._continue(program, scope, outer, 0)
        self._lines = kept
        return lines

    def _each(self, node: Block, scope: Scope) -> None:
        items = self._calls.value(self._argument(node), scope)
        self._level += 1
        level = self._level
        self._lines.line(f"v{level} = ({items})", self._calls.taken_marks())
        self._lines.line(f"p{level} = (\nE(R, v{level}))", [node.call])
        body = Lines()
        if node.program:
            inner = loop_scope(level, scope, node.program.block_params)
            self._indent += 1
            body = self._lines_of(node.program, inner, scope)
            self._indent -= 1
            head = self._loop_head(inner, body, level, scope)
            body.line("if len(out) > out.mark: (\nC(R, out))", [node.call])
        else:
            head = ""
        if node.inverse is None:
            self._loop(self._lines, head, level, body)
            return
        self._lines.line(f"if p{level}:")
        loop = Lines()
        self._loop(loop, head, level, body)
        self._lines.block(loop)
        self._lines.line("else:")
        self._branch(node.inverse, scope)

    def _loop_head(self, inner: Scope, body: Lines, level: int, scope: Scope) -> str:
        loop = inner.frames[0]
        assert isinstance(loop, Loop)  # noqa: S101 - loop_scope puts it there
        if inner.climbs:
            body.prepend(f"D{level} = D(c{level}, {scope.depths})")
        if "i" in loop.used:
            body.prepend(f"i{level} += 1")
        return f"i{level} = -1; n{level} = len(v{level}) - 1 if p{level} else -1" if loop.used else ""

    def _loop(self, lines: Lines, head: str, level: int, body: Lines) -> None:
        if head:
            lines.line(head)
        lines.line(f"for k{level}, c{level} in p{level}:")
        lines.block(body)

    def _with(self, node: Block, scope: Scope) -> None:
        value = self._calls.value(self._argument(node), scope)
        self._level += 1
        level = self._level
        self._lines.line(f"c{level} = ({value})", self._calls.taken_marks())
        self._lines.line(f"if not e(c{level}):")
        inner = with_scope(level, scope, node.program.block_params if node.program else ())
        body = self._lines_of(node.program, inner, scope) if node.program else Lines()
        if inner.climbs:
            body.prepend(f"D{level} = D(c{level}, {scope.depths})")
        self._lines.block(body)
        if node.inverse:
            self._lines.line("else:")
            self._branch(node.inverse, scope)

    def _raw(self, node: Block, scope: Scope) -> None:
        if node.call.params or node.call.hash:
            self._fail(node.offset, "raw takes no arguments")
        if node.kind == RAW_BLOCK and node.program:
            for statement in node.program.body:
                self._statement(statement, scope)
            return
        self._lines.line("if 1:")
        self._branch(node.program, scope)

    # --- bodies as values -------------------------------------------------------------------------------------------------

    def _body(self, program: Program, scope: Scope, outer_frame: str, *, inlines: bool = False) -> str:
        name = self._new("b")
        inner = body_scope(self._level, scope, program.block_params)
        self._waiting.append(_Work(name, program, inner, scope, -1 if inlines else 0, goes_on=False))
        captured = "".join(f"{known}, " for known in scope.names if known != scope.partials)
        _ = scope.captured()
        extra = f",{{{','.join(self._inline_items(program, scope))}}}" if inlines else ""
        return f"BODY(R,{scope.partials},{name},{outer_frame},({captured}){extra})"

    def _bodies(self, node: Block, scope: Scope) -> str:
        frame = scope.frame()
        body = f",body={self._body(node.program, scope, frame)}" if node.program else ""
        return body + (f",inverse_body={self._body(node.inverse, scope, frame)}" if node.inverse else "")

    def _section(self, node: Block, scope: Scope) -> None:
        hook = self._calls.helpers.get("blockHelperMissing")
        path = as_path(node.call.name)
        missing = self._calls.helpers.get("helperMissing") if path.simple and path.original not in scope.params else None
        value = self._calls.value(path, scope, needed=missing is None and hook is None)
        if missing is not None:
            value = f"H({value},lambda:{self._calls.call(node.call, scope)})"
        marks = self._calls.taken_marks()
        if hook is not None:
            self._hooked_section(node, scope, hook, value, marks)
            return
        frame = scope.frame()
        body = self._body(node.program, scope, frame) if node.program else "None"
        inverse = self._body(node.inverse, scope, frame) if node.inverse else "None"
        self._lines.piece(f"\nK({value},{scope.context},{frame},{body},{inverse})", [node.call, *marks])

    def _hooked_section(self, node: Block, scope: Scope, hook: Helper, value: str, marks: list[Any]) -> None:
        name = node.call.original
        first = ""
        if isinstance(hook, OptionsHelper):
            bodies = self._bodies(node, scope)
            first = f"OPTIONS(name={name!r},context={scope.context},data={scope.frame()},hash={{}}{bodies}),"
        function = self._calls.function("blockHelperMissing", hook)
        named = Call(node.offset, as_path(node.call.name), [], {}, nested=True, height=1)
        self._lines.piece(f"\nV(\n{function}({first}{value}))", [named, named, *marks])

    # --- partials ---------------------------------------------------------------------------------------------------------

    def _partial(self, call: Call, node: Partial | Block, scope: Scope, program: Program | None, indent: str) -> None:
        literal = literal_name(call)
        self._hoist(call, scope)
        assert literal is not None or isinstance(call.name, Call)  # noqa: S101 - literal_name says so
        name = repr(literal) if literal is not None else self._calls.value(call.name, scope)
        context = self._calls.value(call.params[0], scope, needed=True) if call.params else scope.context
        extra = self._calls.hash(call, scope) if call.hash else "None"
        marks = self._calls.taken_marks()
        frame = scope.frame()
        block = self._body(program, scope, frame, inlines=True) if program else "None"
        marks += self._calls.taken_marks()
        text = f"\nI(R,{scope.partials},{name},{context},{frame},{extra},{block},{indent!r})"
        self._lines.piece(text, [node, *marks])

    def _declare_inlines(self, program: Program, scope: Scope, outer: Scope) -> None:
        if not _declares(program):
            return
        name = f"P{self._new('P')[1:]}"
        self._lines.line(f"{name} = {{**{scope.partials}}}")
        scope.partials = name
        scope.names = (*scope.names, name)
        inner = Scope(outer.level, outer.context, outer, outer.frames, outer.params, (*outer.names, name), name)
        for key, body in self._inline_pairs(program, inner):
            self._lines.line(f"{name}[{key}] = {body}", self._calls.taken_marks())

    def _inline_items(self, program: Program, scope: Scope) -> list[str]:
        return [f"{key}:{body}" for key, body in self._inline_pairs(program, scope)]

    def _inline_pairs(self, program: Program, scope: Scope) -> list[tuple[str, str]]:
        found = []
        for node in program.body:
            if isinstance(node, Block) and node.kind == INLINE_PARTIAL and node.program:
                key = self._calls.value(node.call.params[0], scope)
                found.append((f"V({key})", self._body(node.program, scope, scope.frame())))
        return found

    def _fail(self, offset: int, message: str) -> NoReturn:
        raise self._source.error(TemplateSyntaxError, offset, message)


def _declares(program: Program) -> bool:
    return any(isinstance(node, Block) and node.kind == INLINE_PARTIAL for node in program.body)


def _same_place(scope: Scope) -> Scope:
    # A branch with inline partials of its own: the same variables, another set of partials.
    return Scope(scope.level, scope.context, scope, scope.frames, scope.params, scope.names, scope.partials)


def _function(result: Lines, head: str, lines: Lines, output: str = "") -> None:
    result.line(f"def {head}:")
    body = Lines()
    body.line(f"out = {output or 'OUT()'}; A = out.append; X = out.extend")
    body.text += lines.text
    body.marks += lines.marks
    if not output:
        body.line("return F(R, out)")
    result.block(body)
