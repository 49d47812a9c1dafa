"""The node process that differential tests ask."""

import os
from collections.abc import Iterator

import pytest
from tests.differential.reference import Reference, UnavailableError, installed


@pytest.fixture(scope="session")
def reference() -> Iterator[Reference]:
    """npm handlebars; skips where node is absent, fails there where `CODERUN_REQUIRE` is `all`."""
    try:
        folder = installed()
    except UnavailableError as error:
        reason = f"handlebars.js is not available: {error}"
        if os.environ.get("CODERUN_REQUIRE") == "all":
            pytest.fail(reason)
        pytest.skip(reason)
    with Reference(folder) as process:
        yield process
