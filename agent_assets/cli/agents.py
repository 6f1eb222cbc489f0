"""One agent: asking it, its training rows, its traces."""

from collections.abc import Callable
from typing import TextIO, TypeVar

import click

from agent_assets.settings import load_settings

Command = TypeVar("Command", bound=Callable[..., object])


def _count(name: str, default: int, meaning: str) -> Callable[[Command], Command]:
    return click.option(
        name, type=click.IntRange(1), default=default, show_default=True, help=meaning
    )


@click.command()
@click.argument("agent")
@click.argument("question")
@click.option("--model", help="Ask this model instead of the agent's trained one.")
@click.option("--base-url", help="OpenAI-compatible endpoint of --model. Default: OPENAI_BASE_URL.")
@_count("--max-tokens", 512, "Most tokens of one model turn.")
def ask(
    agent: str, question: str, model: str | None, base_url: str | None, max_tokens: int
) -> None:
    """Ask AGENT (`pipeline` or `pipeline/elder`) one QUESTION and print every step: text, calls,
    results, answer.
    """
    from agent_assets.cli.ask import Asked
    from agent_assets.cli.ask import ask as run_ask

    run_ask(load_settings(), agent, question, Asked(base_url, model, max_tokens))


@click.command()
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
def export(agent: str, form: str, output: TextIO) -> None:
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


COMMANDS = (ask, export, traces)
