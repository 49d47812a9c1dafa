"""Where coderun.handlebars differs from handlebars.js on purpose: each with its reason, and cases that show both sides.

`docs/handlebars.md` tells users the same.
"""

from typing import Any, NamedTuple


class Difference(NamedTuple):
    """One template and what each side makes of it; None stands for an error."""

    reason: str
    template: str
    context: Any
    theirs: str | None
    ours: str | None
    partials: dict[str, str] = {}


DIFFERENCES = (
    Difference("an index may end a path", "{{l.1}}", {"l": [1, 2]}, None, "2"),
    Difference("a literal word may end a path", "{{a.true}}", {"a": {"true": "t"}}, None, "t"),
    Difference(
        "integers print exactly; JavaScript has doubles only", "{{n}}", {"n": 2**53 + 1}, "9007199254740992", "9007199254740993"
    ),
    Difference(
        "members keep their order; JavaScript moves integer-like keys to the front",
        "{{#each m}}{{@key}}{{/each}}",
        {"m": {"b": 1, "1": 2}},
        "1b",
        "b1",
    ),
    Difference("the length of a text counts characters, not UTF-16 units", "{{t.length}}", {"t": "😀"}, "2", "1"),
    Difference(
        "a data variable is never a block parameter", "{{#each l as |index|}}{{@index}}{{/each}}", {"l": ["x"]}, "x", "0"
    ),
    Difference(
        "a name that ends in `this` is a name like any other",
        "{{#with m as |isthis|}}{{isthis.a}}{{/with}}",
        {"m": {"a": 1}},
        "",
        "1",
    ),
    Difference(
        "a null context stays null inside `#if`",
        "{{#each l}}{{#if true}}{{this}}{{/if}}{{/each}}",
        {"l": [None]},
        "[object Object]",
        "",
    ),
    Difference(
        "a number inside the list of that number is a step; JavaScript finds 3 == [3]",
        "{{#each l}}{{#each this}}{{../length}};{{/each}}{{/each}}",
        {"l": [[3]]},
        ";",
        "1;",
    ),
    Difference(
        "inline partials of one partial block see each other",
        '{{#> p}}{{#*inline "a"}}<{{> b}}>{{/inline}}{{#*inline "b"}}B{{/inline}}{{/p}}',
        {},
        None,
        "<B>",
        {"p": "{{> a}}"},
    ),
    Difference(
        "an inline partial does not know the block parameters of its own block, which is no crash",
        '{{#each l as |v|}}{{#*inline "x"}}{{v}}{{/inline}}{{> x}}{{/each}}',
        {"l": [1]},
        None,
        "",
    ),
    Difference(
        "a partial block with a computed name can be closed",
        "{{#> (lookup . 'n')}}b{{/lookup}}",
        {"n": "p"},
        None,
        "<b>",
        {"p": "<{{> @partial-block}}>"},
    ),
    Difference("a NUL character is text", "a\0{{b}}", {"b": 1}, None, "a\x001"),
)
