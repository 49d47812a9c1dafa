from collections.abc import Callable
from typing import NoReturn

import pytest
from tests.cluster.harness import UnavailableError
from tests.cluster.harness.programs import program
from tests.deploy.chart import Helm


@pytest.fixture(scope="session")
def helm(leave_out: Callable[[str, str], NoReturn]) -> Helm:
    """The real `helm`, built from its module."""
    try:
        return Helm(str(program("helm")))
    except UnavailableError as error:
        leave_out("helm", str(error))
