"""plan, refresh, backfill and prune from the terminal, without a daemon."""

import json

import pytest

from agent_assets.automation import commands, prune
from agent_assets.automation.commands import Scope
from agent_assets.errors import ConfigError
from agent_assets.settings import load_settings
from support.fleet import NAMES
from support.town import ADA, BEN, ELDER, Town


def test_plan_refresh_and_plan_again_from_the_terminal(
    commanded: Town, capsys: pytest.CaptureFixture[str]
) -> None:
    assert commands.run_plan(load_settings(), Scope(), dry_run=True) == 0
    assert commanded.world.built == []
    assert commands.run_plan(load_settings(), Scope(), dry_run=False) == 0
    assert (
        "3 runs: 13 artifacts built, 0 reused, 0 skipped; 0 runs failed" in capsys.readouterr().out
    )
    commanded.tell(ADA, "A new story.")
    assert (
        commands.show_plan(load_settings(), Scope(elders=(ADA,)), as_json=True, with_fresh=False)
        == 0
    )
    plan = json.loads(capsys.readouterr().out)
    assert plan["runs"] == [
        {"pipeline": "fleet", "partition": ADA, "assets": [n for n in NAMES if n in ELDER]}
    ]
    assert plan["cells"][0] == {
        "pipeline": "fleet",
        "asset": "elder_memories",
        "partition": ADA,
        "status": "stale",
        "causes": [{"kind": "data", "input": "mongodb", "detail": "1 memory edited"}],
    }
    assert commands.run_plan(load_settings(), Scope(elders=(ADA,)), dry_run=False) == 0
    assert commands.show_plan(load_settings(), Scope(), as_json=False, with_fresh=False) == 0
    assert "Everything is fresh (13 artifacts)." in capsys.readouterr().out


def test_a_backfill_builds_what_is_stale_and_one_failure_stops_nobody(
    commanded: Town, capsys: pytest.CaptureFixture[str]
) -> None:
    commanded.world.failing = {("sft_adapter", BEN)}
    assert commands.backfill_elders(load_settings(), Scope(), pattern=None, dry_run=False) == 1
    out = capsys.readouterr().out
    assert "3 runs: 10 artifacts built, 0 reused, 0 skipped; 1 runs failed" in out
    assert f"failed: fleet/{BEN}: sft_adapter failed." in out
    commanded.world.failing = set()
    commanded.world.built.clear()
    assert commands.backfill_elders(load_settings(), Scope(), pattern="*", dry_run=False) == 0
    assert set(commanded.world.built) == {
        (name, BEN) for name in ("sft_adapter", "merged_model", "eval_report")
    }
    with pytest.raises(ConfigError, match="There is no elder 'nobody'"):
        commands.backfill_elders(
            load_settings(), Scope(elders=("nobody",)), pattern=None, dry_run=False
        )


def test_prune_from_the_terminal_keeps_what_is_in_use(
    commanded: Town, capsys: pytest.CaptureFixture[str]
) -> None:
    commands.run_plan(load_settings(), Scope(), dry_run=False)
    assert prune.prune_store(load_settings(), dry_run=False) == 0
    assert "0 versions and 0 temporary folders removed" in capsys.readouterr().out
    commanded.world.built.clear()
    commands.run_plan(load_settings(), Scope(), dry_run=False)
    assert commanded.world.built == []
