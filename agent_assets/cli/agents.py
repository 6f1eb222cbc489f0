"""One agent: asking it, its training rows, its traces."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TextIO, TypeVar

import click

from agent_assets.settings import load_settings

if TYPE_CHECKING:
    from agent_assets.data import Table

Command = TypeVar("Command", bound=Callable[..., object])


def _count(name: str, default: int, meaning: str) -> Callable[[Command], Command]:
    return click.option(
        name, type=click.IntRange(1), default=default, show_default=True, help=meaning
    )


def _another_model(command: Command) -> Command:
    """Options of what asks an agent: another model than the trained one."""
    endpoint = click.option(
        "--base-url", help="OpenAI-compatible endpoint of --model. Default: OPENAI_BASE_URL."
    )
    model = click.option("--model", help="Ask this model instead of the agent's trained one.")
    return model(endpoint(command))


@click.command()
@click.argument("agent")
@click.argument("question")
@_another_model
@_count("--max-tokens", 512, "Most tokens of one model turn.")
def ask(
    agent: str, question: str, model: str | None, base_url: str | None, max_tokens: int
) -> None:
    """Ask AGENT (`pipeline` or `pipeline/elder`) one QUESTION and print every step: text, calls,
    results, answer.
    """
    from agent_assets.cli.ask import AskOptions, ask_agent

    ask_agent(load_settings(), agent, question, AskOptions(base_url, model, max_tokens))


@click.command()
@click.argument("agent")
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--half", type=click.Choice(["develop", "report"]), help="Only turns of this half.")
@click.option("--json", "as_json", is_flag=True, help="End with one line of JSON.")
@click.option("--api", help="Address of the API. Default: http://127.0.0.1:8000 if it answers.")
@click.option("--token", envvar="AGENT_ASSETS_TOKEN", help="Bearer token for the API.")
@_another_model
def exam(
    agent: str,
    file: Path,
    half: Literal["develop", "report"] | None,
    as_json: bool,
    api: str | None,
    token: str | None,
    model: str | None,
    base_url: str | None,
) -> None:
    """Put the turns of FILE to AGENT (`pipeline` or `pipeline/elder`) as a family talks to it, and
    print shares by kind, what was wrong and the time it took.
    """
    from agent_assets.cli.ask import AskOptions
    from agent_assets.cli.exam import ExamOptions, run_exam

    options = ExamOptions(half, as_json, api, token, AskOptions(base_url, model))
    run_exam(load_settings(), agent, file, options)


@click.command("export")
@click.argument("agent")
@click.option(
    "--format",
    "form",
    type=click.Choice(["swift", "sharegpt", "openai"]),
    default="swift",
    show_default=True,
)
@click.option(
    "--output",
    type=click.File("w", encoding="utf-8", lazy=True),
    default="-",
    help="File to write. Default: standard output.",
)
def export_training_rows(agent: str, form: str, output: TextIO) -> None:
    """Export the latest training rows of AGENT (`pipeline` or `pipeline/elder`) in one of three row
    formats.
    """
    from agent_assets.cli.export import export_rows

    count = export_rows(load_settings(), agent, form, output)
    click.echo(f"{count} rows", err=True)


@click.command()
@click.argument("trace_id", required=False)
@click.option("--elder", help="Only traces of this elder.")
@click.option("--pipeline", help="Only traces of this pipeline.")
@_count("--limit", 20, "How many of the latest traces to list.")
def traces(trace_id: str | None, elder: str | None, pipeline: str | None, limit: int) -> None:
    """List traces of model calls, tool calls and evaluations, or show the one whose id starts with
    TRACE_ID.
    """
    from agent_assets.cli.traces import show_traces

    show_traces(load_settings(), trace_id, elder=elder, pipeline=pipeline, limit=limit)


@click.command("data")
@click.argument("table", type=click.Choice(["rows", "rejects", "coverage", "scores"]))
@click.argument("where", required=False)
@click.option(
    "--to",
    "file",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write the table to this .parquet, .csv or .jsonl file.",
)
def show_data(table: "Table", where: str | None, file: Path | None) -> None:
    """Show a TABLE of all agents: training rows, rejects with their reasons, coverage by tool, or
    scores. WHERE is a query of pandas: "pipeline == 'energy_expert' and calls > 1".
    """
    from agent_assets.cli.data import show_table

    show_table(load_settings(), table, where, file)


COMMANDS = (ask, exam, export_training_rows, show_data, traces)
