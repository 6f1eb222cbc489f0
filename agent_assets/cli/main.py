"""`agent-assets ...`: what is done from a terminal. Each command is a few lines over the room that does the work."""

import math
import sys
from typing import TextIO

import click

from agent_assets.errors import AgentAssetsError
from agent_assets.privacy import be_private
from agent_assets.settings import load_settings

_PORT, _COUNT, _DAYS = click.IntRange(1, 65_535), click.IntRange(1), click.FloatRange(0, 36_500, min_open=True)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="agent-assets")
def commands() -> None:
    """Train, evaluate and serve agents from people's memories and MCP tools."""
    be_private()


@commands.command()
@click.option("--elder", "elders", multiple=True, help="Only these sample elders (repeatable). Default: all three.")
def demo(elders: tuple[str, ...]) -> None:
    """Train and score the sample agents through Dagster; again at once, everything is reused."""
    from agent_assets.demo.run import run_demo

    sys.exit(run_demo(load_settings(), elders=list(elders) or None))


@commands.command()
@click.option("--port", type=_PORT, default=3000, show_default=True, help="Port of the Dagster UI on loopback.")
@click.option("--api-port", type=_PORT, default=8000, show_default=True, help="Port of the HTTP API on loopback.")
def up(port: int, api_port: int) -> None:
    """Start MongoDB (unless MONGODB_URI is set), the Dagster UI, its daemon and the HTTP API; Ctrl-C stops all."""
    from agent_assets.services import run_services

    sys.exit(run_services(load_settings(), port=port, api_port=api_port))


@commands.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="Other addresses need a token to exist.")
@click.option("--port", type=_PORT, default=8000, show_default=True)
def serve(host: str, port: int) -> None:
    """Serve released agents over HTTP; `up` does this, too. The model server starts with the first answer."""
    from agent_assets.serving.run import serve as run_server

    sys.exit(run_server(load_settings(), host=host, port=port))


@commands.command(hidden=True)
@click.option("--port", type=_PORT, default=3000, show_default=True)
def ui(port: int) -> None:
    """Serve the Dagster UI behind its guard: what `up` starts, beside the code server that it has started."""
    from agent_assets.serving.ui.run import run_ui

    sys.exit(run_ui(load_settings(), port=port))


@commands.command()
def openapi() -> None:
    """Print the OpenAPI document of the HTTP API."""
    import json

    from agent_assets.serving.app import openapi_document

    click.echo(json.dumps(openapi_document(), indent=2, ensure_ascii=False))


@commands.group()
def token() -> None:
    """Bearer tokens of the HTTP API. Once one exists, every request needs one."""


@token.command("create")
@click.option("--elder", help="It reaches this elder alone.")
@click.option("--admin", is_flag=True, help="It may do everything.")
@click.option("--read", is_flag=True, help="It may look, and do nothing.")
@click.option("--name", default="", help="Whose it is, for the list.")
@click.option("--days", type=_DAYS, help="How long it lives. Default: until it is revoked.")
def create_token(elder: str | None, admin: bool, read: bool, name: str, days: float | None) -> None:
    """Make a token and print it, once."""
    from agent_assets.serving.commands import create_token as create

    if days is not None and math.isnan(days):
        raise click.UsageError("--days is no number.")
    if (elder is not None) + admin + read != 1:
        raise click.UsageError("give one of --elder, --admin, --read.")
    scope = "elder" if elder is not None else "admin" if admin else "read"
    sys.exit(create(load_settings(), scope, elder, name, days))  # type: ignore[arg-type]


@token.command("list")
def list_tokens() -> None:
    """List tokens, without their secrets."""
    from agent_assets.serving.commands import list_tokens as show

    sys.exit(show(load_settings()))


@token.command("revoke")
@click.argument("token_id")
def revoke_token(token_id: str) -> None:
    """End a token, named by its id."""
    from agent_assets.serving.commands import revoke_token as revoke

    sys.exit(revoke(load_settings(), token_id))


@commands.command()
def doctor() -> None:
    """List what is present, what is missing or open to others, and the command that fixes it."""
    from agent_assets.cli.doctor import examine

    findings = examine(load_settings())
    for finding in findings:
        click.echo(f"{finding.state:<8} {finding.name:<12} {finding.detail}")
        if finding.state in {"MISSING", "OPEN"} and finding.fix:
            click.echo(f"{'':<21} fix: {finding.fix}")
    if exposed := [finding.name for finding in findings if finding.state == "OPEN"]:
        click.echo(f"Open to others: {', '.join(exposed)}.")
    missing = [finding.name for finding in findings if finding.state == "MISSING"]
    click.echo(f"Missing: {', '.join(missing)}." if missing else "Everything that is needed is there.")
    sys.exit(1 if missing else 0)


@commands.command()
@click.option("--elder", "elders", multiple=True, help="Only these sample elders (repeatable). Default: all three.")
def seed(elders: tuple[str, ...]) -> None:
    """Write the sample elders into MongoDB; documents that are already there unchanged are left alone."""
    from agent_assets.demo.run import seed_sample_elders

    for elder_id, count in seed_sample_elders(load_settings(), list(elders) or None).items():
        click.echo(f"{elder_id}: {count} memories")
    click.echo("Next: make demo, or make up and materialize an elder in the UI.")


@commands.command()
@click.argument("agent")
@click.option(
    "--format", "form", type=click.Choice(["swift", "sharegpt", "openai"]), default="swift", show_default=True
)
@click.option(
    "--output",
    type=click.File("w", encoding="utf-8", lazy=True),
    default="-",
    help="File to write. Default: standard output.",
)
def export(agent: str, form: str, output: TextIO) -> None:
    """Export the latest training rows of AGENT (`pipeline` or `pipeline/elder`) in one of three row formats."""
    from agent_assets.cli.export import export_rows

    count = export_rows(load_settings(), agent, form, output)
    click.echo(f"{count} rows", err=True)


@commands.command()
@click.argument("agent")
@click.argument("question")
@click.option("--model", help="Ask this model instead of the agent's trained one.")
@click.option("--base-url", help="OpenAI-compatible endpoint of --model. Default: OPENAI_BASE_URL.")
@click.option("--max-tokens", type=_COUNT, default=512, show_default=True, help="Most tokens of one model turn.")
def ask(agent: str, question: str, model: str | None, base_url: str | None, max_tokens: int) -> None:
    """Ask AGENT (`pipeline` or `pipeline/elder`) one QUESTION and print every step: text, calls, results, answer."""
    from agent_assets.cli.ask import Asked
    from agent_assets.cli.ask import ask as run_ask

    run_ask(load_settings(), agent, question, Asked(base_url, model, max_tokens))


@commands.command()
@click.option("--pipeline", "pipelines", multiple=True, help="Only this pipeline (repeatable).")
@click.option("--elder", "elders", multiple=True, help="Only this elder (repeatable).")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.option("--all", "with_fresh", is_flag=True, help="Name the fresh artifacts, too.")
@click.option("--cached-sources", is_flag=True, help="Ask no tool server and hash no weights: take the last answers.")
def plan(
    pipelines: tuple[str, ...], elders: tuple[str, ...], as_json: bool, with_fresh: bool, cached_sources: bool
) -> None:
    """Say what is stale or missing and why, and which runs would make it fresh. Changes nothing."""
    from agent_assets.automation.commands import Scope, show_plan

    scope = Scope(pipelines, elders, cached_sources)
    sys.exit(show_plan(load_settings(), scope, as_json=as_json, with_fresh=with_fresh))


@commands.command()
@click.option("--pipeline", "pipelines", multiple=True, help="Only this pipeline (repeatable).")
@click.option("--elder", "elders", multiple=True, help="Only this elder (repeatable).")
@click.option("--dry-run", is_flag=True, help="Say what would be started, and start nothing.")
def refresh(pipelines: tuple[str, ...], elders: tuple[str, ...], dry_run: bool) -> None:
    """Start the runs of the plan and show their progress; one that fails does not stop the others.

    While a daemon is alive the runs go through its queue; otherwise they run here, one after the other.
    """
    from agent_assets.automation.commands import Scope
    from agent_assets.automation.commands import refresh as run_refresh

    sys.exit(run_refresh(load_settings(), Scope(pipelines, elders), dry_run=dry_run))


@commands.command()
@click.option("--pipeline", "pipelines", multiple=True, help="Only this pipeline (repeatable).")
@click.option("--elder", "elders", multiple=True, help="This elder (repeatable).")
@click.option("--match", "pattern", help="Elders whose id matches, as in `a*`.")
@click.option("--all", "everyone", is_flag=True, help="All elders.")
@click.option("--dry-run", is_flag=True, help="Say who is chosen, and start nothing.")
def backfill(
    pipelines: tuple[str, ...], elders: tuple[str, ...], pattern: str | None, everyone: bool, dry_run: bool
) -> None:
    """Materialize everything of chosen elders; what is fresh is reused. One that fails does not stop the others."""
    from agent_assets.automation.commands import Scope
    from agent_assets.automation.commands import backfill as run_backfill

    if not (elders or pattern or everyone):
        raise click.UsageError("give --elder, --match or --all.")
    sys.exit(run_backfill(load_settings(), Scope(pipelines, elders), pattern=pattern, dry_run=dry_run))


@commands.command()
@click.option("--dry-run", is_flag=True, help="Say what would go, and remove nothing.")
def prune(dry_run: bool) -> None:
    """Remove old versions of artifacts (never one in use or released) and temporary folders nobody uses."""
    from agent_assets.automation.prune import prune_store

    sys.exit(prune_store(load_settings(), dry_run=dry_run))


@commands.command()
@click.argument("elder")
@click.option("--dry-run", is_flag=True, help="Say what would go, and remove nothing.")
@click.option("--yes", "confirmed", is_flag=True, help="Do not ask.")
def erase(elder: str, dry_run: bool, confirmed: bool) -> None:
    """Remove everything made from ELDER: artifacts, releases, traces, answers of teachers, logs.

    The memories have to be deleted in MongoDB first: this reads them, and never writes there.
    """
    from agent_assets.automation.erase import erase_elder

    sys.exit(erase_elder(load_settings(), elder, dry_run=dry_run, confirmed=confirmed))


@commands.command()
@click.argument("trace_id", required=False)
@click.option("--elder", help="Only traces of this elder.")
@click.option("--pipeline", help="Only traces of this pipeline.")
@click.option("--limit", type=_COUNT, default=20, show_default=True, help="How many of the latest traces to list.")
def traces(trace_id: str | None, elder: str | None, pipeline: str | None, limit: int) -> None:
    """List traces of model calls, tool calls and evaluations, or show the one whose id starts with TRACE_ID."""
    from agent_assets.cli.traces import show_traces

    show_traces(load_settings(), trace_id, elder=elder, pipeline=pipeline, limit=limit)


@commands.command()
@click.argument("agent", required=False)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def releases(agent: str | None, as_json: bool) -> None:
    """List who is released; of AGENT (an elder, a pipeline, or `pipeline/elder`) the history and the verdicts."""
    from agent_assets.release.commands import show_releases

    sys.exit(show_releases(load_settings(), agent, as_json=as_json))


@commands.command()
@click.argument("agent")
@click.option("--to", "to", help="Version or name (or the beginning of one). Default: the release before this one.")
@click.option("--author", help="Who decides. Default: the user of this terminal.")
@click.option("--reason", default="rolled back by hand", show_default=True, help="Why, for the history.")
def rollback(agent: str, to: str | None, author: str | None, reason: str) -> None:
    """Let an earlier release of AGENT answer again, at once: nothing is trained, nothing is restarted."""
    from agent_assets.release.commands import roll_back

    sys.exit(roll_back(load_settings(), agent, to=to, author=author, reason=reason))


@commands.command()
@click.argument("agent")
@click.argument("version")
@click.option("--author", help="Who decides. Default: the user of this terminal.")
@click.option("--reason", required=True, help="Why, for the history.")
def promote(agent: str, version: str, author: str | None, reason: str) -> None:
    """Release VERSION of AGENT against the verdict of the gate; author and reason stay in the history."""
    from agent_assets.release.commands import promote as promote_version

    sys.exit(promote_version(load_settings(), agent, version, author=author, reason=reason))


def main() -> None:
    """Run a command; an expected error is one line on standard error and exit code 1, never a traceback."""
    try:
        commands()
    except AgentAssetsError as error:
        click.echo(f"error: {error.message}", err=True)
        if error.next_step:
            click.echo(f"next:  {error.next_step}", err=True)
        sys.exit(1)
