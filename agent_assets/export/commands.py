"""`agent-assets export-model` and `import`."""

from pathlib import Path
from typing import Literal

import click

from agent_assets.settings import load_settings

_KEY = click.Path(dir_okay=False, path_type=Path)


@click.command("export-model")
@click.argument("agent")
@click.option(
    "--to",
    "form",
    type=click.Choice(["gguf", "ollama", "hf", "adapter"]),
    help="One GGUF file for llama.cpp; that and a Modelfile for Ollama; merged weights as "
    "safetensors; or the adapter alone.",
)
@click.option(
    "--quantization",
    type=click.Choice(["f16", "q8_0", "q4_k_m"]),
    default="q8_0",
    show_default=True,
    help="Of a GGUF file.",
)
@click.option(
    "--min-agreement",
    type=click.FloatRange(0, 1, min_open=True),
    help="Least share of tokens for which a GGUF file has to agree with the weights. Default: 0.99 "
    "for f16, 0.9 for q8_0, 0.8 for q4_k_m.",
)
@click.option(
    "--bundle",
    is_flag=True,
    help="One zip file with adapter, prompt, tool schema, report and hashes instead.",
)
@click.option("--key", type=_KEY, help="Private Ed25519 key (PEM) that signs the bundle.")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    help="New folder, or file of a bundle. Default: below `exports` in the home, where an erasure "
    "finds it.",
)
def export_command(
    agent: str,
    form: Literal["gguf", "ollama", "hf", "adapter"] | None,
    quantization: Literal["f16", "q8_0", "q4_k_m"],
    min_agreement: float | None,
    bundle: bool,
    key: Path | None,
    out: Path | None,
) -> None:
    """Write out the released model of AGENT (an elder, a pipeline, or `pipeline/elder`)."""
    if bundle == (form is not None):
        raise click.UsageError("Say either --to, or --bundle.")
    if key is not None and not bundle:
        raise click.UsageError("--key signs a bundle: say --bundle.")
    settings = load_settings()
    if bundle:
        from agent_assets.export.bundle import export_bundle

        click.echo(export_bundle(settings, agent, out=out, key=key))
        return
    from agent_assets.export.model_folder import ExportRequest, export_model

    assert form is not None
    request = ExportRequest(agent, form, quantization, out, min_agreement)
    folder, verification = export_model(settings, request, lambda line: click.echo(line, err=True))
    click.echo(folder)
    if verification is not None:
        click.echo(
            f"verified: the same token as the weights in float32 at "
            f"{verification.token_agreement:.1%} of positions "
            f"(at least {verification.min_token_agreement:.1%} asked for)",
            err=True,
        )


@click.command("import")
@click.argument("bundle", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--key", type=_KEY, help="Public Ed25519 key (PEM) that has to have signed it.")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    help="New folder. Default: below `exports/imported` in the home.",
)
def import_command(bundle: Path, key: Path | None, out: Path | None) -> None:
    """Verify BUNDLE, which `export-model --bundle` wrote, and unpack it."""
    from agent_assets.export.bundle import import_bundle

    folder, manifest, signed = import_bundle(load_settings(), bundle, out=out, key=key)
    click.echo(folder)
    click.echo(
        f"{manifest.agent}, release {manifest.version[:8]}: {len(manifest.files)} files are as "
        "they were packed; " + ("signed with that key" if signed else "no signature was checked"),
        err=True,
    )


COMMANDS = (export_command, import_command)
