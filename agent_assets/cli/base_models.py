"""What `agent-assets base` does."""

import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from agent_assets.base_models.config import BaseModelSettings
from agent_assets.base_models.registry import (
    BaseModels,
    read_base_models,
    registry_file,
    use_base_model,
)
from agent_assets.errors import ConfigError
from agent_assets.settings import Settings

if TYPE_CHECKING:
    from agent_assets.store.artifact_store import ArtifactStore


@dataclass(frozen=True)
class RestsOn:
    """A base model that released agents rest on.

    Args:
        key: under which it was made; None where a `defs.yaml` described it.
        name: of the weights.
        version: data version of the artifact.
    """

    key: str | None
    name: str
    version: str


def show_base_models(settings: Settings, *, as_json: bool) -> None:
    """Print the base models, and those that released agents rest on."""
    file = registry_file(settings.home)
    known = read_base_models(file)
    pipelines = _pipelines_by_key()
    agents = _agents_by_base(settings)
    if as_json:
        click.echo(json.dumps(_as_json(known, pipelines, agents), indent=2))
        return
    if not known.models:
        click.echo(f"no base models by key: {file} is not there, or empty (docs/base-models.md)")
    for key, entry in sorted(known.models.items()):
        names = ", ".join(sorted(pipelines.get(key, ()))) or "no pipeline"
        mark = "* " if key == known.current else "  "
        length = entry.context_length or "2048, the default"
        click.echo(f"{mark}{key}  {entry.source}  context {length}  used by {names}")
    for base, count in agents.most_common():
        click.echo(_rest_line(base, count, known))


def _as_json(
    known: BaseModels, pipelines: dict[str, list[str]], agents: "Counter[RestsOn]"
) -> dict[str, object]:
    models = {
        key: entry.model_dump() | {"pipelines": sorted(pipelines.get(key, ()))}
        for key, entry in sorted(known.models.items())
    }
    resting = [
        {"key": base.key, "weights": base.name, "version": base.version, "agents": count}
        for base, count in agents.most_common()
    ]
    return {"current": known.current, "models": models, "released": resting}


def _rest_line(base: RestsOn, count: int, known: BaseModels) -> str:
    rests = "1 released agent rests" if count == 1 else f"{count} released agents rest"
    line = f"{rests} on {base.key or base.name} ({base.version[:8]})"
    if base.key is not None and base.key not in known.models:
        line += ", which is not in base_models.yaml any more: they answer until a new release"
    return line


def make_current(settings: Settings, key: str) -> None:
    """Try the base model of a key, then make it the current one.

    Raises:
        ConfigError: there is no such key.
        BaseModelError: agents cannot rest on it; the current one stays.
    """
    file = registry_file(settings.home)
    before = read_base_models(file)
    _check(settings, before.settings(key, file), file.parent)
    followers = _pipelines_by_key().get(before.current, []) if before.current else []
    use_base_model(file, key)
    click.echo(f"{key} is the current base model.")
    if before.current is None:
        click.echo("It is that of every pipeline without `base_model` in its defs.yaml.")
    elif before.current != key:
        following = ", ".join(sorted(followers)) or "none"
        click.echo(f"Pipelines that had {before.current}: {following}.")
    click.echo(
        "`agent-assets plan` says what becomes stale; agents answer from their old base model "
        "until their new release is there. A running Dagster reads it when its code location is "
        "reloaded."
    )


def check_base_model(settings: Settings, name: str) -> None:
    """Try the base model of a key, or the model in a folder.

    Raises:
        ConfigError: there is neither.
        BaseModelError: agents cannot rest on it.
    """
    file = registry_file(settings.home)
    known = read_base_models(file)
    if name in known.models:
        return _check(settings, known.models[name], file.parent)
    if not Path(name).is_dir():
        raise ConfigError(
            f"{name} is neither a folder nor a key of {file}.",
            next_step="`agent-assets base list` shows the keys.",
        )
    return _check(settings, BaseModelSettings(source=str(Path(name).resolve())), file.parent)


def _check(settings: Settings, base: BaseModelSettings, folder: Path) -> None:
    from agent_assets.engines.base_check import inspect_base_model
    from agent_assets.engines.chat_templates.parsers import tool_call_parser
    from agent_assets.engines.contracts import PACKAGE_PREFIX, BaseModelParams
    from agent_assets.engines.local_engines import LocalEngines

    engines = LocalEngines(
        environments=str(settings.engines), device=settings.device, home=str(settings.home)
    )
    packed = base.source.startswith(PACKAGE_PREFIX)
    source = base.source if packed else str((folder / base.source).resolve())
    engines.source_weights_hash(source)  # says first what anybody can see: no weights, or pickles
    result, template = inspect_base_model(
        engines.environment(),
        BaseModelParams(
            source=source,
            sha256=base.sha256,
            chat_template=base.template,
            thinking=base.thinking,
            dtype=base.dtype,
            context_length=base.context_length,
            lora_target_modules=base.lora_target_modules,
            out_dir=Path(),
        ),
        engines.logs,
    )
    loaded = result.weights_loaded
    click.echo(f"weights    {loaded.name}, {result.parameters:,} parameters, {loaded.dtype}")
    click.echo(f"sha256     {loaded.sha256}")
    length = base.context_length or "2048 (the default)"
    longest = "unknown" if result.longest_context is None else result.longest_context
    click.echo(f"context    {length} tokens; the model's own limit is {longest}")
    parser = tool_call_parser(template) or "unknown: name it in inference.tool_call_parser"
    click.echo(f"speaks     {base.template.replace('hermes', 'compact')}, tool calls by {parser}")
    if result.padding is not None:
        click.echo(f"padding    {result.padding}, because the tokenizer names none")
    click.echo("Agents can rest on it.")


def _pipelines_by_key() -> dict[str, list[str]]:
    from agent_assets.automation.pipelines import load_graphs

    by_key: dict[str, list[str]] = {}
    for graph in load_graphs():
        key = graph.spec.config.base_model.key
        if key is not None:
            by_key.setdefault(key, []).append(graph.name)
    return by_key


def _agents_by_base(settings: Settings) -> "Counter[RestsOn]":
    from agent_assets.release.commands import open_store

    return Counter(rests_on(open_store(settings)))


def rests_on(store: "ArtifactStore") -> "list[RestsOn]":
    """The base model of every released agent whose release can be read."""
    from agent_assets.release.pointer import (
        current_entry,
        damaged_releases,
        release_key,
        released_agents,
    )
    from agent_assets.release.records import read_candidate

    bases, damaged = [], damaged_releases(store)
    for agent in released_agents(store):
        entry = None if agent in damaged else current_entry(store, agent)
        release = (
            None if entry is None else store.find(release_key(agent[0], entry.elder), entry.version)
        )
        if release is None:
            continue
        part = read_candidate(release.path).parts["base"]
        artifact = store.find(part.key(agent[0]), part.fingerprint)
        if artifact is None:
            bases.append(RestsOn(None, "a base model that is not in the store", part.version))
            continue
        manifest = artifact.manifest
        name = (manifest.weights_loaded or {}).get("name", "a base model")
        bases.append(RestsOn(manifest.summary.get("key"), str(name), manifest.data_version))
    return bases
