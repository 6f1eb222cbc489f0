"""What is stale, and making it fresh; removing what is old."""

import sys

import click

from agent_assets.settings import load_settings
from agent_assets.store.partition_keys import as_partition_key


@click.command()
@click.option("--pipeline", "pipelines", multiple=True, help="Only this pipeline (repeatable).")
@click.option("--elder", "elders", multiple=True, help="Only this elder (repeatable).")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.option("--all", "with_fresh", is_flag=True, help="Name the fresh artifacts, too.")
@click.option(
    "--cached-sources",
    is_flag=True,
    help="Ask no tool server and hash no weights: take the last answers.",
)
def plan(
    pipelines: tuple[str, ...],
    elders: tuple[str, ...],
    as_json: bool,
    with_fresh: bool,
    cached_sources: bool,
) -> None:
    """Say what is stale or missing and why, and which runs would make it fresh. Changes nothing."""
    from agent_assets.automation.commands import Scope, show_plan

    scope = Scope(pipelines, _keys(elders), cached_sources)
    sys.exit(show_plan(load_settings(), scope, as_json=as_json, with_fresh=with_fresh))


@click.command()
@click.option("--pipeline", "pipelines", multiple=True, help="Only this pipeline (repeatable).")
@click.option("--elder", "elders", multiple=True, help="Only this elder (repeatable).")
@click.option("--dry-run", is_flag=True, help="Say what would be started, and start nothing.")
def refresh(pipelines: tuple[str, ...], elders: tuple[str, ...], dry_run: bool) -> None:
    """Start the runs of the plan and show their progress; one that fails does not stop the others.

    While a daemon is alive the runs go through its queue; otherwise they run here, one after the
    other.
    """
    from agent_assets.automation.commands import Scope, run_plan

    sys.exit(run_plan(load_settings(), Scope(pipelines, _keys(elders)), dry_run=dry_run))


@click.command()
@click.option("--pipeline", "pipelines", multiple=True, help="Only this pipeline (repeatable).")
@click.option("--elder", "elders", multiple=True, help="This elder (repeatable).")
@click.option("--match", "pattern", help="Elders whose id matches, as in `a*`.")
@click.option("--all", "everyone", is_flag=True, help="All elders.")
@click.option("--dry-run", is_flag=True, help="Say who is chosen, and start nothing.")
def backfill(
    pipelines: tuple[str, ...],
    elders: tuple[str, ...],
    pattern: str | None,
    everyone: bool,
    dry_run: bool,
) -> None:
    """Materialize everything of chosen elders; what is fresh is reused. One that fails does not
    stop the others.
    """
    from agent_assets.automation.commands import Scope, backfill_elders

    if not (elders or pattern or everyone):
        raise click.UsageError("give --elder, --match or --all.")
    sys.exit(
        backfill_elders(
            load_settings(), Scope(pipelines, _keys(elders)), pattern=pattern, dry_run=dry_run
        )
    )


@click.command()
@click.option("--dry-run", is_flag=True, help="Say what would go, and remove nothing.")
def prune(dry_run: bool) -> None:
    """Remove old versions of artifacts (never one in use or released) and temporary folders nobody
    uses.
    """
    from agent_assets.automation.prune import prune_store

    sys.exit(prune_store(load_settings(), dry_run=dry_run))


@click.command()
@click.option("--test", "test", is_flag=True, help="Send a test alert now.")
def alerts(test: bool) -> None:
    """Say what was noticed and sent, and what waits. Exit code 1 when a test alert is not taken."""
    from agent_assets.alerts.commands import send_test, show_alerts
    from agent_assets.automation.config import load_automation

    work = send_test if test else show_alerts
    sys.exit(work(load_settings(), load_automation().alerts))


def _keys(elders: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(as_partition_key(elder) for elder in elders)


COMMANDS = (plan, refresh, backfill, prune, alerts)
