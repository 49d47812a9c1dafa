"""The local forge keeps the contract of all forges."""

from tests.contracts.forge_contract import ForgeContract


class TestLocalForge(ForgeContract):
    """Every clause."""
