"""Rendered files outlive a crash of the machine, or are written again: `job.json` knows in which boot they were."""

from pathlib import Path

import msgspec
from tests.contracts.runtime_contract import plan

from coderun.runtime.runfolder import StateFolder
from coderun.runtime.runwriter import read_card, write_run


def test_files_of_another_boot_are_written_again_and_those_of_this_one_are_left(tmp_path: Path) -> None:
    state = StateFolder.at(tmp_path)
    order = plan()
    run, workspace = state.run(order.job), state.workspace(order.workspace)
    files = {run.files / "settings.json": b"{}"}
    write_run(order, run, workspace, files)
    first = (run.files / "settings.json").stat().st_ino
    write_run(order, run, workspace, files)
    assert (run.files / "settings.json").stat().st_ino == first

    card = read_card(run)
    assert card is not None
    (run.files / "settings.json").write_bytes(b"")  # what a crash may leave of it
    run.prepared.write_bytes(msgspec.json.encode(msgspec.structs.replace(card, boot="another")))
    write_run(order, run, workspace, files)
    assert (run.files / "settings.json").read_bytes() == b"{}"
    assert read_card(run) == card
