"""When keys mounted from Secrets count as replaced."""

from pathlib import Path

from coderun.app.cluster import GitHubHostings, key_files
from coderun.app.configuration import packaged_configuration
from coderun.app.local import now
from coderun.app.metrics import Metrics


def mounted(folder: Path, generation: str, key: str) -> None:
    """As a kubelet writes a Secret: a folder of this generation, a link to it that is exchanged, links to what is behind it."""
    agent = folder / "rex"
    made = agent / f"..{generation}"
    made.mkdir(parents=True)
    (made / "private-key").write_text(key)
    fresh = agent / "..data_tmp"
    fresh.symlink_to(made.name)
    fresh.rename(agent / "..data")
    if not (agent / "private-key").is_symlink():
        (agent / "private-key").symlink_to("..data/private-key")


def test_a_secret_that_was_replaced_is_noticed_and_nothing_else_is(tmp_path: Path) -> None:
    hostings = GitHubHostings(packaged_configuration(), tmp_path, environment={}, clock=now, metrics=Metrics())
    assert hostings.fingerprint() == ()
    mounted(tmp_path, "2026_1", "one")
    first = hostings.fingerprint()
    assert first == hostings.fingerprint() != ()
    mounted(tmp_path, "2026_2", "two")
    assert hostings.fingerprint() != first


def test_only_what_a_secret_holds_counts(tmp_path: Path) -> None:
    mounted(tmp_path, "2026_1", "one")
    assert key_files(tmp_path) == [tmp_path / "rex" / "private-key"]
    assert key_files(tmp_path / "nowhere") == []
