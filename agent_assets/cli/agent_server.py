"""The agent's own trained model, served as by the API: for `ask` and `exam` where none answers."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import click
import dagster as dg

from agent_assets.errors import BaseModelError
from agent_assets.pipeline.stage import PipelineSpec
from agent_assets.planning.history import latest_materialization
from agent_assets.release.records import read_candidate
from agent_assets.runs.instance import open_instance
from agent_assets.settings import Settings
from agent_assets.store.artifact_store import Artifact, ArtifactKey, ArtifactStore

_ADAPTERS = ("rl_checkpoint", "sft_adapter")  # the furthest trained first
_DEVICE_SECONDS = 600.0  # to wait for a device that trains


def latest_artifact(
    settings: Settings, pipeline: PipelineSpec, asset: str, elder: str | None
) -> Artifact | None:
    """The artifact of the latest materialization."""
    key = ArtifactKey(pipeline.config.name, asset, elder)
    with open_instance(settings) as instance:
        recorded = latest_materialization(instance, dg.AssetKey([key.pipeline, asset]), elder)
    store = ArtifactStore(settings.store, cache=settings.home / "store-cache")
    return None if recorded is None else store.find(key, recorded.fingerprint)


def trained_adapter(
    settings: Settings, pipeline: PipelineSpec, elder: str | None
) -> Artifact | None:
    """The adapter that answers: the furthest trained one, unless the release stage found that RL
    did not help it.
    """
    release = latest_artifact(settings, pipeline, "release", elder)
    took_sft = release is not None and read_candidate(release.path).variant == "sft"
    assets = _ADAPTERS[1:] if took_sft else _ADAPTERS
    return next(
        filter(None, (latest_artifact(settings, pipeline, asset, elder) for asset in assets)), None
    )


def base_of(settings: Settings, pipeline: PipelineSpec, adapter: Artifact) -> Artifact:
    """The base model that an adapter was trained on.

    Raises:
        BaseModelError: the store has another one now.
    """
    base = latest_artifact(settings, pipeline, "base_model", None)
    trained_on = adapter.manifest.inputs.get("base_model")
    if base is None or base.manifest.data_version != trained_on:
        raise BaseModelError(
            f"{adapter.key} was trained on another base model than the store has now.",
            next_step=f"materialize {adapter.key.asset} again, on this base model.",
        )
    return base


@contextmanager
def served_adapter(
    settings: Settings,
    pipeline: PipelineSpec,
    base: Artifact,
    adapter: Artifact,
    failed_logs: Path,
) -> Iterator[str]:
    """Base URL of a server on which the adapter answers under its data version."""
    from agent_assets.engines.base_settings import read_base_serving
    from agent_assets.engines.devices.hand_over import lease_alone
    from agent_assets.engines.launch.process import EngineLimits
    from agent_assets.engines.local_engines import LocalEngines
    from agent_assets.engines.servers.loaded import ensure_loaded
    from agent_assets.engines.servers.serve import serve_model
    from agent_assets.pipeline.evaluating.served_answers import evaluation_share
    from agent_assets.serving_settings import load_serving

    config, inference = pipeline.config.eval_report, load_serving().inference
    engines = LocalEngines(
        environments=str(settings.engines), device=settings.device, home=str(settings.home)
    )
    click.echo(f"model     {adapter.key} (starting its server)")
    with (
        TemporaryDirectory() as logs,
        lease_alone(
            engines.devices(),
            settings.home / "leases",
            holder="ask",
            timeout_seconds=_DEVICE_SECONDS,
            report=lambda line: click.echo(f"          {line}"),
        ) as lease,
        serve_model(
            engines.server,
            env=engines.environment(),
            model_dir=base.path,
            log_dir=Path(logs),
            lease=lease,
            limits=EngineLimits(60 * config.max_minutes, int(config.max_memory_gb * 2**30)),
            max_model_len=inference.context_length(read_base_serving(base.path).context_length),
            max_loras=1,
            max_lora_rank=inference.max_rank,
            failed_logs=failed_logs,
            gpu_memory_utilization=evaluation_share(config),
            tool_call_parser=inference.tool_call_parser,
        ) as server,
    ):
        ensure_loaded(engines.server, server.base_url, adapter.manifest.data_version, adapter.path)
        yield server.base_url
