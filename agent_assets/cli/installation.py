"""What an installation needs and runs: services, sample elders, the look around."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import click

from agent_assets.settings import load_settings

if TYPE_CHECKING:
    from agent_assets.cli.finding import Finding

_PORT = click.IntRange(1, 65_535)
_ELDERS = click.option(
    "--elder",
    "elders",
    multiple=True,
    help="Only these of the six sample elders (repeatable). Default: three.",
)


@click.command()
@_ELDERS
def demo(elders: tuple[str, ...]) -> None:
    """Train and score the sample agents through Dagster; again at once, everything is reused."""
    from agent_assets.demo.run import run_demo

    sys.exit(run_demo(load_settings(), elders=list(elders) or None))


@click.command()
@click.option(
    "--port",
    type=_PORT,
    default=3000,
    show_default=True,
    help="Port of the Dagster UI on loopback.",
)
@click.option(
    "--api-port",
    type=_PORT,
    default=8000,
    show_default=True,
    help="Port of the HTTP API on loopback.",
)
def up(port: int, api_port: int) -> None:
    """Start MongoDB (unless MONGODB_URI is set), the Dagster UI, its daemon and the HTTP API;
    Ctrl-C stops all.
    """
    from agent_assets.services import run_services

    sys.exit(run_services(load_settings(), port=port, api_port=api_port))


@click.command()
@_ELDERS
def seed(elders: tuple[str, ...]) -> None:
    """Write the sample elders into MongoDB; documents that are already there unchanged are left
    alone.
    """
    from agent_assets.demo.run import seed_sample_elders

    for elder_id, count in seed_sample_elders(load_settings(), list(elders) or None).items():
        click.echo(f"{elder_id}: {count} memories")
    click.echo("Next: agent-assets demo, or agent-assets up and materialize an elder in the UI.")


@click.command()
@click.argument("engine", type=click.Choice(["cpu", "gpu", "unsloth", "export"]), required=False)
def setup(engine: str | None) -> None:
    """Make an engine environment: what trains, serves and scores. A second when it is there.

    Default: gpu where this machine has one (or AGENT_ASSETS_DEVICE says so), else cpu. cpu and
    unsloth need Python 3.11, gpu needs 3.12, whatever runs this command. export makes the default
    one, and adds what writes GGUF files.
    """
    from agent_assets.engines.install import engine_for, make_engine, make_export_tools

    settings = load_settings()
    name = engine_for(settings.device) if engine in (None, "export") else engine
    made = make_engine(name, settings.engines, click.echo)
    if engine == "export":
        made |= make_export_tools(name, settings.engines, click.echo)
    if engine and not made:
        click.echo(f"{settings.engines / engine} is up to date.")


@click.command()
@click.argument("folder", type=click.Path(path_type=Path), metavar="DIR")
@click.option(
    "--samples/--no-samples",
    default=True,
    show_default=True,
    help="Copy the sample pipelines, which `agent-assets demo` trains, too.",
)
def init(folder: Path, samples: bool) -> None:
    """Write a project: a folder of your own with one pipeline that works, run by
    `agent-assets up`.

    The name of DIR becomes the name of its Python package and of its pipeline.
    """
    from agent_assets.projects.init import write_project

    for path in write_project(folder, samples=samples):
        click.echo(path)
    click.echo(f"Next: cd {folder} && agent-assets setup && agent-assets up")


@click.command()
@click.option(
    "--gpu",
    is_flag=True,
    help="Try the engines instead: imports, then one small training, merge, server and step of "
    "reinforcement learning on the device that stages use, with what was measured.",
)
def doctor(*, gpu: bool) -> None:
    """List what is present, what is missing or open to others, and the command that fixes it."""
    if gpu:
        _doctor_gpu()
    from agent_assets.cli.doctor.examine import examine

    findings = examine(load_settings())
    for finding in findings:
        _show(finding)
    if exposed := [finding.name for finding in findings if finding.state == "OPEN"]:
        click.echo(f"Open to others: {', '.join(exposed)}.")
    missing = [finding.name for finding in findings if finding.state == "MISSING"]
    click.echo(
        f"Missing: {', '.join(missing)}." if missing else "Everything that is needed is there."
    )
    sys.exit(1 if missing else 0)


def _doctor_gpu() -> NoReturn:
    from agent_assets.cli.doctor.gpu import examine_gpu

    failed = []
    for finding in examine_gpu(load_settings()):
        _show(finding)
        if finding.state == "MISSING":
            failed.append(finding.name)
    click.echo(f"Failed: {', '.join(failed)}." if failed else "Every engine works on this device.")
    sys.exit(1 if failed else 0)


def _show(finding: "Finding") -> None:
    click.echo(f"{finding.state:<8} {finding.name:<12} {finding.detail}")
    if finding.state in {"MISSING", "OPEN"} and finding.fix:
        click.echo(f"{'':<21} fix: {finding.fix}")


COMMANDS = (init, setup, demo, up, seed, doctor)
