"""The rules of CRDs, as far as the fake evaluates them. Expected values are those of the language's definition."""

from typing import Any

import pytest
from tests.fakes.apiserver.cel import CelError, CelUnknownError, evaluate, parse

SELF = {"size": 3, "name": "a-b", "tags": {"x": "1"}, "words": ["one", "two"], "parts": [{"n": 1}, {"n": 2}]}


@pytest.mark.parametrize(
    ("rule", "value"),
    [
        ("self.size == 3 && self.name != 'b'", True),
        ("self.size < 3 || self.size >= 3", True),
        ("!(self.size > 2)", False),
        ("self.size + 2 * 3 - 1", 8),
        ("7 / 2", 3),
        ("-7 % 2 == -7 % 2", True),
        ("has(self.tags.x) && !has(self.tags.y)", True),
        ("has(self.note) ? self.note == 'x' : true", True),
        ("'x' in self.tags && !('y' in self.tags)", True),
        ("'two' in self.words && self.words[0] == \"one\"", True),
        ("size(self.words) == 2 && self.words.size() == 2 && self.name.size() == 3", True),
        ("self.parts.all(p, p.n > 0) && self.parts.exists(p, p.n == 2)", True),
        ("self.parts.exists_one(p, p.n == 1)", True),
        ("self.parts.filter(p, p.n > 1).map(p, p.n)", [2]),
        ("self.name.matches('^[a-z](-[a-z])*$') && self.name.startsWith('a') && self.name.endsWith('b')", True),
        ("self.name.contains('-') && 'ABC'.lowerAscii() == 'abc'", True),
        ("self.name == r'a-b' && 'it\\'s' == \"it's\"", True),
        ("self.missing == 1 || self.size == 3", True),
        ("self.size == 4 && self.missing == 1", False),
        ("null == null && [1, 2] == [1, 2]", True),
    ],
)
def test_a_rule_has_the_value_that_cel_gives_it(rule: str, value: Any) -> None:
    assert evaluate(parse(rule), {"self": SELF, "oldSelf": SELF}) == value


@pytest.mark.parametrize("rule", ["self.missing == 1", "self.words[9] == ''", "self.name > 3", "unknown == 1"])
def test_a_rule_that_cannot_be_evaluated_fails(rule: str) -> None:
    with pytest.raises(CelError):
        evaluate(parse(rule), {"self": SELF})


@pytest.mark.parametrize(
    "rule", ["self.name.find('a')", "self.size ==", "self @ 3", "(self.size", "{'a': 1}", "[1, 2", "self."]
)
def test_a_rule_outside_the_subset_is_refused(rule: str) -> None:
    with pytest.raises(CelUnknownError):
        parse(rule)
