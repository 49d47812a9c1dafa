from tests.contracts.runtime_contract import RuntimeContract


class TestProcessRuntime(RuntimeContract):
    """The runtime of processes keeps the contract."""
