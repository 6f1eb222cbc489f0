"""`agent-assets erase`: an elder is gone everywhere, and nobody else loses anything."""

import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from agent_assets.automation import erase
from agent_assets.automation.commands import Scope, run_plan
from agent_assets.cli.main import commands
from agent_assets.errors import ConfigError, MemoryDataError
from agent_assets.planning.history import known_partitions
from agent_assets.release.pointer import current_entry, move, released_agents
from agent_assets.runs.instance import open_instance
from agent_assets.settings import load_settings
from agent_assets.store.erasable_data import agent_logs, elder_data_locations, trace_file
from support.release_cases import release
from support.town import ADA, BEN, Town

VERSION = {ADA: "a" * 32, BEN: "b" * 32}


def lived(town: Town) -> Path:
    """Both elders are built and released, and left traces and logs; returns the folder of logs."""
    logs = load_settings().home / "logs"
    run_plan(load_settings(), Scope(), dry_run=False)
    for elder in (ADA, BEN):
        release(town.store, VERSION[elder], pipeline="fleet", partition=elder, name=f"{elder}-1")
        for path in (
            trace_file(town.store, "fleet", elder),
            agent_logs(logs, "fleet", elder) / "server.log",
        ):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(elder, encoding="utf-8")
    return logs


def naming(folder: Path, elder: str) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if elder in path.parts or path.stem == elder)


def test_an_elder_whose_memories_are_gone_is_erased_everywhere(
    commanded: Town, capsys: pytest.CaptureFixture[str]
) -> None:
    logs = lived(commanded)
    others = elder_data_locations(commanded.store, logs, BEN)
    commanded.db.answers.delete_many({"elderId": ADA})
    with pytest.raises(ConfigError, match="'fleet' is a pipeline, not an elder"):
        erase.erase_elder(load_settings(), "fleet", dry_run=False, confirmed=True)
    twin = {
        "version": VERSION[ADA],
        "name": f"{ADA}-1",
        "author": "eve",
        "reason": "twins",
        "elder": ADA,
    }
    move(commanded.store, ("fleet", "twin"), expected=None, action="copy", **twin)  # type: ignore[arg-type]
    assert erase.erase_elder(load_settings(), ADA, dry_run=True, confirmed=False) == 0
    output = capsys.readouterr().out
    assert "2 releases" in output and f"release of fleet/{ADA}\nrelease of fleet/twin\n" in output
    assert current_entry(commanded.store, ("fleet", ADA)) is not None
    assert erase.erase_elder(load_settings(), ADA, dry_run=False, confirmed=True) == 0
    out = capsys.readouterr().out
    assert f"{ADA} is erased." in out and "2 releases" in out
    assert released_agents(commanded.store) == [("fleet", BEN)]
    with open_instance(load_settings()) as instance:
        assert known_partitions(instance, "elders") == [BEN]
    left = [
        path
        for path in naming(commanded.folder, ADA)
        if not {".tombstones", ".locks"} & set(path.parts)
    ]
    assert left == []
    assert elder_data_locations(commanded.store, logs, BEN) == others
    with pytest.raises(ConfigError, match="There is no data"):
        erase.erase_elder(load_settings(), ADA, dry_run=False, confirmed=True)
    assert run_plan(load_settings(), Scope(), dry_run=False) == 0
    assert commanded.world.built.count(("sft_adapter", ADA)) == 1  # not made again


def test_who_comes_back_after_it_inherits_nothing(commanded: Town) -> None:
    lived(commanded)
    answers = list(commanded.db.answers.find({"elderId": ADA}))
    commanded.db.answers.delete_many({"elderId": ADA})
    erase.erase_elder(load_settings(), ADA, dry_run=False, confirmed=True)
    commanded.db.answers.insert_many(answers)
    commanded.world.built.clear()
    run_plan(load_settings(), Scope(), dry_run=False)
    assert ("sft_adapter", ADA) in commanded.world.built and (
        "sft_adapter",
        BEN,
    ) not in commanded.world.built
    assert current_entry(commanded.store, ("fleet", ADA)) is None


def test_memories_still_there_or_a_no_erase_nothing(
    commanded: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    logs = lived(commanded)
    before = elder_data_locations(commanded.store, logs, ADA)
    with pytest.raises(ConfigError, match="MongoDB still has memories") as refused:
        erase.erase_elder(load_settings(), ADA, dry_run=False, confirmed=True)
    assert "delete the elder's answers" in str(refused.value.next_step)
    commanded.db.answers.delete_many({"elderId": ADA})
    result = CliRunner().invoke(commands, ["erase", ADA], input="n\n")
    assert result.exit_code == 1 and "nothing brings it back" in result.output
    assert elder_data_locations(commanded.store, logs, ADA) == before


@pytest.mark.parametrize("name", ["_", "*", "..", "a/b"])
def test_what_is_no_elder_is_refused(commanded: Town, name: str) -> None:
    """As ids, they are those of elders of whom there is no data."""
    with pytest.raises(ConfigError, match=f"There is no data of an elder '{re.escape(name)}'"):
        erase.erase_elder(load_settings(), name, dry_run=False, confirmed=True)


def test_what_nobody_can_be_called_is_refused(commanded: Town) -> None:
    with pytest.raises(MemoryDataError):
        erase.erase_elder(load_settings(), "", dry_run=False, confirmed=True)


def test_a_run_going_on_is_waited_for(commanded: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    lived(commanded)
    commanded.db.answers.delete_many({"elderId": ADA})

    class Run:
        partition = ADA

    monkeypatch.setattr(erase, "active_runs", lambda instance: [Run()])
    with pytest.raises(ConfigError, match="A run of"):
        erase.erase_elder(load_settings(), ADA, dry_run=False, confirmed=True)
