"""What the notebooks of `docs/notebooks` call, beside the tables of `agent_assets.data`:

    from agent_assets import workbench
    workbench.agents()
    workbench.materialize("elder_companion", ["sft_adapter"], "shen-fu")
    workbench.progress("shen-fu")

It opens the installation of the environment (AGENT_ASSETS_HOME) for each call, beside
`agent-assets up` or without it.
"""

import json
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dagster as dg

from agent_assets.automation.commands import opened
from agent_assets.automation.elders import PARTITIONS, add_elders
from agent_assets.automation.execute import Order, RunOutcome, execute_here
from agent_assets.automation.pipelines import Graph, load_graphs
from agent_assets.conversations.memories import read_profile
from agent_assets.data import materialized_artifact
from agent_assets.errors import ConfigError, EngineFailed, StoreError
from agent_assets.planning.history import ELDER_TAG, PIPELINE_TAG, known_partitions
from agent_assets.projects.project import load_definitions, require_project
from agent_assets.release.commands import open_store
from agent_assets.release.pointer import current_entry
from agent_assets.runs.instance import open_instance, prepare_dagster_home
from agent_assets.runs.stage_seconds import StageSeconds
from agent_assets.serving.job_progress import job_progress
from agent_assets.serving.runs import job_id_of, latest_run_of
from agent_assets.settings import load_settings
from agent_assets.store.artifact_store import ArtifactKey
from agent_assets.store.erasable_data import artifact_keys
from agent_assets.store.partition_keys import as_partition_key, elder_id_of_key

if TYPE_CHECKING:
    import dagster as dg
    import pandas as pd

_SETTINGS = ("epochs", "batch_size", "grad_accum", "learning_rate", "max_length", "precision")
_LORA = ("lora_rank", "lora_alpha", "lora_dropout")


def pipelines() -> Path:
    """The folder of this project that has a folder for each pipeline."""
    return require_project(load_settings().project).defs


def configuration() -> "pd.DataFrame":
    """How each pipeline trains, read from its `defs.yaml`: one line for each.

    Raises:
        ConfigError: a file is wrong; the message names the line.
    """
    import pandas as pd

    lines = []
    for graph in load_graphs():
        config = graph.spec.config
        sft = config.sft_adapter
        lines.append(
            {"pipeline": config.name, "base_model": config.base_model.source}
            | {name: getattr(sft, name) for name in (*_SETTINGS, *_LORA)}
        )
    return pd.DataFrame(lines).set_index("pipeline")


def agents() -> "pd.DataFrame":
    """Every agent that has training rows: how many, and which version answers now (None: none was
    released).
    """
    import pandas as pd

    settings = load_settings()
    store = open_store(settings)
    lines = []
    with _recorded() as instance:
        for key in artifact_keys(store):
            rows = materialized_artifact(settings, instance, key)
            if key.asset != "train_jsonl" or rows is None:
                continue
            entry = current_entry(store, (key.pipeline, key.partition or key.pipeline))
            elder = None if key.partition is None else elder_id_of_key(key.partition)
            lines.append(
                {
                    "pipeline": key.pipeline,
                    "elder": elder or key.partition,
                    "rows": rows.manifest.summary["rows"],
                    "rejected": rows.manifest.summary["rejected"],
                    "answers": None if entry is None else entry.name,
                    "since": None if entry is None else entry.at,
                }
            )
    columns = ["pipeline", "elder", "rows", "rejected", "answers", "since"]
    return pd.DataFrame(lines, columns=columns)


def prompt(pipeline: str, elder: str | None = None) -> str:
    """The system prompt of an agent: an elder's is made of who they are.

    Raises:
        ConfigError: there is no pipeline of this name.
        StoreError: the elder's memories are not materialized.
    """
    from agent_assets.agent.system_prompt import elder_prompt

    config = _graph(pipeline).spec.config
    if elder is None:
        return config.system_prompt or ""
    return elder_prompt(
        read_profile(_folder(pipeline, "elder_memories", elder)), config.system_prompt
    )


def materialize(pipeline: str, assets: Iterable[str], elder: str | None = None) -> dict[str, str]:
    """Materialize assets of one agent here, whose parents are materialized; what is fresh is
    reused.

    Returns:
        By asset, `built` or `reused`.

    Raises:
        EngineFailed: the run failed; its message says why.
    """
    with ThreadPoolExecutor(1) as thread:  # stages run event loops of their own; a kernel has one
        outcome = thread.submit(_materialize, pipeline, tuple(assets), elder).result()
    if outcome.failed:
        raise EngineFailed(outcome.failed, next_step="read the run in the Dagster UI.")
    return {asset: kind for asset, (kind, _) in outcome.stages.items()}


def _materialize(pipeline: str, assets: tuple[str, ...], elder: str | None) -> RunOutcome:
    key = None if elder is None else as_partition_key(elder)
    tags = {PIPELINE_TAG: pipeline} | ({} if key is None else {ELDER_TAG: key})
    settings = load_settings()
    definitions = load_definitions(require_project(settings.project))
    with opened(settings) as (installation, instance):
        if key is not None and key not in known_partitions(instance, PARTITIONS):
            add_elders(installation, instance, [key])
        return execute_here(instance, definitions, Order(pipeline, key, assets, tags))


def losses(pipeline: str, elder: str | None = None) -> "pd.DataFrame":
    """The loss curve of the latest training: step, epoch, loss.

    Raises:
        StoreError: nothing was trained.
    """
    import pandas as pd

    text = (_folder(pipeline, "sft_adapter", elder) / "loss.jsonl").read_text(encoding="utf-8")
    return pd.DataFrame([json.loads(line) for line in text.splitlines()])


def progress(agent: str) -> dict[str, Any]:
    """Progress of the latest run of an elder, or of a pipeline without elders: what
    `GET /train/progress/elder/{id}` answers, with `status: no_training` where there never was one.
    """
    with _recorded() as instance:
        run = latest_run_of(instance, as_partition_key(agent))
        if run is None:
            return {"elder_id": agent, "status": "no_training"}
        usual = StageSeconds().of(instance, run.asset_selection or ())
        return job_progress(instance, run, job_id_of(run), agent, usual=usual)


def _graph(pipeline: str) -> Graph:
    graphs = {graph.name: graph for graph in load_graphs()}
    if pipeline not in graphs:
        raise ConfigError(
            f"There is no pipeline {pipeline!r}.", next_step=f"choose from {', '.join(graphs)}."
        )
    return graphs[pipeline]


def _folder(pipeline: str, asset: str, elder: str | None) -> Path:
    key = ArtifactKey(pipeline, asset, None if elder is None else as_partition_key(elder))
    with _recorded() as instance:
        artifact = materialized_artifact(load_settings(), instance, key)
    if artifact is None:
        raise StoreError(f"{key} is not materialized.", next_step="materialize it first.")
    return artifact.path


@contextmanager
def _recorded() -> "Iterator[dg.DagsterInstance]":
    settings = load_settings()
    prepare_dagster_home(settings)
    with open_instance(settings) as instance:
        yield instance
