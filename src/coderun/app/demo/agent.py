"""The demo's agents: one program in three roles. They edit files, run the lint and the tests, commit, and write their result.

Run as a script with the standard library alone, as any program of a user would be; see docs/agents.md for the contract.
"""

import ast
import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

TASK = int(os.environ["CODERUN_TASK_ID"])
ROLE = os.environ["CODERUN_ROLE"]
ITERATION = int(os.environ["CODERUN_ITERATION"])
LONG_TEST_SECONDS = 45.0

DISCOUNT = '''

    def discounted(self, percent):
        """The total after a discount of `percent`, rounded down to whole cents."""
{guard}        return self.total() * (100 - percent) // 100
'''
GUARD = """        if not 0 <= percent <= 100:
            raise ValueError(f"a discount of {percent} percent is not between 0 and 100")
"""
RECEIPT = '''"""Receipts for people."""
import os
import sys

from shop.cart import Cart


def money(cents):
    """Cents as 12.50."""
    return f"{cents // 100}.{cents % 100:02}"

def receipt(cart, percent=0):
    """One line an item, then the total after the discount."""   
    assert isinstance(cart, Cart)
    lines = [f"{name}: {money(cents)}" for name, cents in cart.items]
    lines.append(f"total: {money(cart.discounted(percent))}")
    return "\\n".join(lines)
'''
PRICES = '''"""Prices from text."""

import re

_PRICE = re.compile(r"([0-9]{1,9})(?:[.,]([0-9]{2}))?")


def parse_price(text):
    """'12.50', '12,50' and '12' as cents."""
    found = _PRICE.fullmatch(text.strip())
    if found is None:
        raise ValueError(f"not a price: {text!r}")
    return int(found[1]) * 100 + int(found[2] or 0)
'''
FIRST_TESTS = {
    1: (
        "tests/test_discount.py",
        """import unittest

from shop.cart import Cart


class DiscountTest(unittest.TestCase):
    def test_half_price(self):
        cart = Cart()
        cart.add("tea", 351)
        self.assertEqual(cart.discounted(50), 175)


if __name__ == "__main__":
    unittest.main()
""",
    ),
    2: (
        "tests/test_receipt.py",
        """import unittest

from shop.cart import Cart
from shop.receipt import receipt


class ReceiptTest(unittest.TestCase):
    def test_receipt_with_discount(self):
        cart = Cart()
        cart.add("tea", 350)
        self.assertEqual(receipt(cart, 10), "tea: 3.50\\ntotal: 3.15")


if __name__ == "__main__":
    unittest.main()
""",
    ),
    3: (
        "tests/test_prices.py",
        """import unittest

from shop.prices import parse_price


class PriceTest(unittest.TestCase):
    def test_prices_are_read_as_cents(self):
        for text, cents in (("12.50", 1250), ("12,50", 1250), (" 12 ", 1200)):
            self.assertEqual(parse_price(text), cents)


if __name__ == "__main__":
    unittest.main()
""",
    ),
}
EDGE_TESTS = {
    1: (
        "tests/test_discount_edges.py",
        """import unittest

from shop.cart import Cart


class DiscountEdgesTest(unittest.TestCase):
    def test_nothing_and_everything_off(self):
        cart = Cart()
        cart.add("tea", 350)
        self.assertEqual((cart.discounted(0), cart.discounted(100)), (350, 0))

    def test_impossible_discounts_are_refused(self):
        for percent in (-1, 101):
            with self.assertRaises(ValueError):
                Cart().discounted(percent)


if __name__ == "__main__":
    unittest.main()
""",
    ),
    2: (
        "tests/test_receipt_edges.py",
        """import unittest

from shop.cart import Cart
from shop.receipt import receipt


class ReceiptEdgesTest(unittest.TestCase):
    def test_an_empty_cart_has_a_total(self):
        self.assertEqual(receipt(Cart()), "total: 0.00")


if __name__ == "__main__":
    unittest.main()
""",
    ),
    3: (
        "tests/test_prices_edges.py",
        """import unittest

from shop.prices import parse_price


class PriceEdgesTest(unittest.TestCase):
    def test_other_texts_are_refused_by_name(self):
        for text in ("", "12.5", "-1", "twelve", "1.234,50"):
            with self.assertRaises(ValueError) as caught:
                parse_price(text)
            self.assertIn(repr(text), str(caught.exception))


if __name__ == "__main__":
    unittest.main()
""",
    ),
}


def say(text: str) -> None:
    """Progress, as an agent would give it."""
    print(f"[{ROLE}] {text}", flush=True)


def run(*command: str) -> tuple[int, str]:
    """Run a command of the repository; its exit code and output."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    say(f"$ {' '.join(command[1:] if command[0] == sys.executable else command)} → {done.returncode}")
    return done.returncode, done.stdout + done.stderr


def lint() -> tuple[int, str]:
    """Run the repository's lint."""
    return run(sys.executable, "lint.py")


def tests() -> tuple[int, str]:
    """Run the repository's unit tests."""
    return run(sys.executable, "-m", "unittest", "discover", "-s", "tests")


def commit(message: str) -> None:
    """Commit everything, if there is anything."""
    run("git", "add", "-A")
    if run("git", "diff", "--cached", "--quiet")[0]:
        run("git", "commit", "--quiet", "-m", message)


def finish(verdict: str, summary: str, comments: Sequence[str] = ()) -> NoReturn:
    """Write the result and end."""
    result = {"verdict": verdict, "summary": summary, "comments": list(comments)}
    Path(os.environ["CODERUN_RESULT"]).write_text(json.dumps(result), encoding="utf-8")
    say(f"{verdict}: {summary}")
    sys.exit(0)


def implement() -> None:
    """Write the code of the task; in a later round, what the review asked for."""
    asked = Path(os.environ["CODERUN_TASK_DIR"], "context", "requested-changes.md")
    cart = Path("shop/cart.py")
    if TASK == 1:
        code = cart.read_text(encoding="utf-8")
        if "def discounted" not in code:
            code += DISCOUNT.format(guard="").removeprefix("\n")
        elif asked.exists():
            say("reading what the review asked for")
            code = code.replace("        return self.total() * (100", GUARD + "        return self.total() * (100")
        cart.write_text(code, encoding="utf-8")
    elif TASK == 2:
        Path("shop/receipt.py").write_text(RECEIPT, encoding="utf-8")
    else:
        Path("shop/prices.py").write_text(PRICES, encoding="utf-8")
    name, text = FIRST_TESTS[TASK]
    Path(name).write_text(text, encoding="utf-8")
    failed, output = tests()
    if failed:
        finish("blocked", "my own tests fail", [output[-1500:]])
    commit(f"Implement task {TASK}")
    finish("done", "implemented, with a first test")


def improve() -> None:
    """Mend what the lint finds, until it finds nothing."""
    _, output = lint()
    for name in sorted({line.split(":")[0] for line in output.splitlines() if line.count(":") > 1}):
        path = Path(name)
        path.write_text(mended(path.read_text(encoding="utf-8")), encoding="utf-8")
    code, output = lint()
    if code:
        finish("blocked", "I cannot mend all that the lint finds", [output[-1500:]])
    code, output = tests()
    if code:
        finish("blocked", "the tests fail", [output[-1500:]])
    commit(f"Clean up task {TASK}")
    finish("done", "lint and tests are clean")


def mended(text: str) -> str:
    """`text` without trailing blanks and unused imports."""
    tree = ast.parse(text)
    used = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    unused = {
        node.lineno
        for node in tree.body
        if isinstance(node, ast.Import) and not any(alias.name.split(".")[0] in used for alias in node.names)
    }
    kept = [line.rstrip() for number, line in enumerate(text.splitlines(), 1) if number not in unused]
    return "\n".join(kept).rstrip("\n") + "\n"


def judge() -> None:
    """Add tests of the edges; approve if all pass, else ask for changes with what was seen."""
    name, text = EDGE_TESTS[TASK]
    Path(name).write_text(text, encoding="utf-8")
    code, output = tests()
    if code:
        Path(name).unlink()
        finish("request-changes", "tests of the edges fail", [output[-1500:]])
    if TASK == 3 and ITERATION == 1:
        say("running the long tests")
        begun = time.monotonic()
        while time.monotonic() - begun < LONG_TEST_SECONDS:
            tests()
            time.sleep(0.3)
    commit(f"Test the edges of task {TASK}")
    finish("approve", "all tests pass, edges included")


if __name__ == "__main__":
    {"implementation": implement, "quality": improve, "testing": judge}[ROLE]()
