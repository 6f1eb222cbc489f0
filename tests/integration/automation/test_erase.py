"""`agent-assets erase`: an elder is gone everywhere, and nobody else loses anything."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from agent_assets.automation.commands import Scope, run_plan
from agent_assets.cli.main import commands
from agent_assets.erasure import forgetting
from agent_assets.erasure.forgetting import finished_erasures
from agent_assets.erasure.journal import ErasureJournal, Progress
from agent_assets.erasure.receipts import ReceiptChain
from agent_assets.erasure.request import ErasureRequest
from agent_assets.errors import AgentAssetsError
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


def erase(*arguments: str, answer: str = "") -> tuple[int, str]:
    """Exit code and output of `agent-assets erase`."""
    result = CliRunner().invoke(commands, ["erase", *arguments], input=answer)
    error = result.exception
    return (
        result.exit_code,
        f"{result.output}{error if isinstance(error, AgentAssetsError) else ''}",
    )


def test_an_elder_whose_memories_are_gone_is_erased_everywhere(commanded: Town) -> None:
    logs = lived(commanded)
    others = elder_data_locations(commanded.store, logs, BEN)
    commanded.db.answers.delete_many({"elderId": ADA})
    assert "'fleet' is a pipeline, not an elder" in erase("fleet", "--yes")[1]
    twin = {
        "version": VERSION[ADA],
        "name": f"{ADA}-1",
        "author": "eve",
        "reason": "twins",
        "elder": ADA,
    }
    move(commanded.store, ("fleet", "twin"), expected=None, action="copy", **twin)  # type: ignore[arg-type]
    code, output = erase(ADA, "--dry-run")
    assert code == 0 and "releases: 2 (" in output
    assert f"current release of fleet/{ADA}\n  current release of fleet/twin\n" in output
    assert current_entry(commanded.store, ("fleet", ADA)) is not None
    code, output = erase(ADA, "--yes", "--why", "asked for")
    assert code == 0 and f"{ADA} is erased: receipt 1, " in output
    assert "MongoDB is not this installation's own" in output
    assert released_agents(commanded.store) == [("fleet", BEN)]
    with open_instance(load_settings()) as instance:
        assert known_partitions(instance, "elders") == [BEN]
    left = [path for path in naming(commanded.folder, ADA) if ".tombstones" not in path.parts]
    assert left == []
    assert elder_data_locations(commanded.store, logs, BEN) == others
    code, output = erase(ADA, "--yes")
    assert code == 1 and "There is no data" in output
    (receipt,) = ReceiptChain(load_settings().home).all()
    assert receipt.places["releases"].count == 2 and receipt.is_of(ADA)
    assert run_plan(load_settings(), Scope(), dry_run=False) == 0
    assert commanded.world.built.count(("sft_adapter", ADA)) == 1  # not made again


def test_who_comes_back_after_it_inherits_nothing(commanded: Town) -> None:
    lived(commanded)
    answers = list(commanded.db.answers.find({"elderId": ADA}))
    commanded.db.answers.delete_many({"elderId": ADA})
    assert erase(ADA, "--yes")[0] == 0
    commanded.db.answers.insert_many(answers)
    commanded.world.built.clear()
    run_plan(load_settings(), Scope(), dry_run=False)
    assert ("sft_adapter", ADA) in commanded.world.built and (
        "sft_adapter",
        BEN,
    ) not in commanded.world.built
    assert current_entry(commanded.store, ("fleet", ADA)) is None


def test_memories_still_there_or_a_no_erase_nothing(commanded: Town) -> None:
    logs = lived(commanded)
    before = elder_data_locations(commanded.store, logs, ADA)
    code, output = erase(ADA, "--yes")
    assert code == 1 and "MongoDB still has memories" in output
    assert "delete the elder's answers" in output
    commanded.db.answers.delete_many({"elderId": ADA})
    code, output = erase(ADA, answer="n\n")
    assert code == 1 and "nothing brings it back" in output
    assert elder_data_locations(commanded.store, logs, ADA) == before


def test_what_was_interrupted_is_finished_by_the_next_start(commanded: Town) -> None:
    release(commanded.store, VERSION[ADA], pipeline="fleet", partition=ADA, name=f"{ADA}-1")
    settings = load_settings()
    request = ErasureRequest(elder=ADA, who="eve", source=True)
    ErasureJournal(settings.home).write(Progress(request=request))  # killed before the first place
    finished = "An erasure that was interrupted is finished: receipt 1.\n"
    assert erase(ADA, "--yes") == (0, finished)  # and nothing is left to erase
    assert commanded.db.answers.count_documents({"elderId": ADA}) == 0
    assert commanded.db.answers.count_documents({"elderId": BEN}) > 0
    left = [path for path in naming(commanded.folder, ADA) if ".tombstones" not in path.parts]
    assert left == [] and finished_erasures(settings) == []


@pytest.mark.parametrize("name", ["_", "*", "..", "a/b"])
def test_what_is_no_elder_is_refused(commanded: Town, name: str) -> None:
    """As ids, they are those of elders of whom there is no data."""
    code, output = erase("--yes", "--", name)
    assert code == 1 and f"There is no data of an elder '{name}'" in output


def test_what_nobody_can_be_called_is_refused(commanded: Town) -> None:
    assert "cannot be used" in erase("", "--yes")[1]


def test_a_run_going_on_is_waited_for(commanded: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    lived(commanded)
    commanded.db.answers.delete_many({"elderId": ADA})

    class Run:
        partition = ADA

    monkeypatch.setattr(forgetting, "active_runs", lambda instance: [Run()])
    assert "A run of" in erase(ADA, "--yes")[1]
