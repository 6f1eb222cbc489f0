"""What a stage of a pipeline is: one artifact, what it needs, and the function that makes it.

Each lies in `pipeline/stages/`, and `STAGES` of `pipeline/assets.py` lists them.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dagster as dg

from agent_assets.agent.mcp.choice import ToolChoice
from agent_assets.agent.mcp.permissions import ToolPermissions
from agent_assets.agent.mcp.servers import ToolServers
from agent_assets.errors import ConfigError
from agent_assets.pipeline.config import PipelineConfig
from agent_assets.planning.history import latest_materialization
from agent_assets.store.artifact_store import Artifact, ArtifactKey, ArtifactStore
from agent_assets.store.erasable_data import agent_logs
from agent_assets.store.manifest import CheckEntry, EngineEntry, hash_file

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from agent_assets.agent.weave_tracing import TraceFigures, WeaveTracing
    from agent_assets.engines.local_engines import LocalEngines
    from agent_assets.mongo.database import MemoryDatabase


MEMORIES = "elder_memories"
ELDER_PARTITIONS = "elders"  # Dagster's name of the partitions of all elders


@dataclass(frozen=True)
class PipelineSpec:
    """A pipeline as loaded: its configuration, and the folder of its YAML file (paths in it are
    relative to that).

    Args:
        base_folder: of the file that describes the base model, where that is another one.
        base_problem: why there is no base model.
    """

    config: PipelineConfig
    folder: Path
    base_folder: Path | None = None
    base_problem: ConfigError | None = None

    @property
    def partitioned(self) -> bool:
        """Whether the pipeline makes one agent per elder."""
        return self.config.partitions is not None

    def file(self, name: str) -> Path:
        """A file named in the configuration.

        Raises:
            ConfigError: it is not there.
        """
        path = self.folder / name
        if not path.is_file():
            raise ConfigError(
                f"Pipeline {self.config.name} names the file {name}, which is not in its folder.",
                next_step=f"add {name} beside its defs.yaml or correct the name.",
            )
        return path

    def file_hash(self, name: str) -> str:
        """Hex sha256 of a file named in the configuration."""
        return hash_file(self.file(name)).sha256

    def path_of(self, name: str | None) -> Path | None:
        """A file named in the configuration; None where none is named."""
        return None if name is None else self.file(name)

    def hash_of(self, name: str | None) -> str | None:
        """Hex sha256 of a file named in the configuration; None where none is named."""
        return None if name is None else self.file_hash(name)

    @property
    def tool_servers(self) -> ToolServers:
        """Its MCP servers.

        Raises:
            ConfigError: their configuration is not there.
        """
        tools, rows = self.config.tools, self.config.train_jsonl
        read_only = frozenset([*tools.read_only, *rows.read_only_tools])
        changing = frozenset([*tools.allow_writing, *rows.allow_writing])
        return ToolServers(
            self.file(tools.mcp_config),
            self.folder,
            tools.timeout_s,
            ToolChoice(
                only=None if tools.only is None else tuple(tools.only),
                without=tuple(tools.without),
            ),
            ToolPermissions(read_only, changing),
            ToolPermissions(
                read_only,
                "all"
                if tools.allow_in_serving == "all"
                else changing.union(tools.allow_in_serving),
            ),
        )

    def key(self, asset: str) -> dg.AssetKey:
        """Asset key of one stage: `[pipeline, artifact]`."""
        return dg.AssetKey([self.config.name, asset])


@dataclass(frozen=True, kw_only=True)
class SourceContext:
    """What a stage may use to read its source: in a run, and when the plan looks whether the source
    changed.
    """

    pipeline: PipelineSpec
    partition: str | None
    mongo: "MemoryDatabase"
    engines: "LocalEngines"

    @property
    def config(self) -> PipelineConfig:
        """Configuration of the pipeline."""
        return self.pipeline.config

    @property
    def logs(self) -> Path:
        """Folder for logs that belong to no artifact: what tool servers write, and programs that
        failed.
        """
        return agent_logs(self.engines.logs, self.config.name, self.partition)


@dataclass(frozen=True, kw_only=True)
class StageRun(SourceContext):
    """Everything the body of a stage may use while it makes one artifact."""

    context: dg.AssetExecutionContext
    inputs: Mapping[str, Artifact]
    tracing: "WeaveTracing"
    trace_file: Path
    llm_folder: Path
    incarnation: int  # how often an elder of this id was removed before

    def path(self, asset: str) -> Path:
        """Folder with the files of an input artifact."""
        return self.inputs[asset].path

    @property
    def memories(self) -> Path | None:
        """Folder of the elder's memories; None in a pipeline without elders."""
        memories = self.inputs.get(MEMORIES)
        return None if memories is None else memories.path

    def having(self, roles: Mapping[str, str]) -> dict[str, str]:
        """Those of the roles (role -> stage) whose stage is among the inputs: others are absent in
        this pipeline.
        """
        return {role: asset for role, asset in roles.items() if asset in self.inputs}

    def latest(self, asset: str) -> Artifact | None:
        """The artifact of an unpartitioned asset that is not an input, as it was last materialized;
        None without one.
        """
        recorded = latest_materialization(self.context.instance, self.pipeline.key(asset), None)
        key = ArtifactKey(self.config.name, asset, None)
        store: ArtifactStore = self.context.resources.store
        return None if recorded is None else store.find(key, recorded.fingerprint)

    def previous(self, asset: str) -> Artifact | None:
        """The artifact of this elder as it was last materialized, before this run; None without
        one, and where the elder was removed since.
        """
        recorded = latest_materialization(
            self.context.instance, self.pipeline.key(asset), self.partition
        )
        if recorded is None or recorded.incarnation != self.incarnation:
            return None
        store: ArtifactStore = self.context.resources.store
        key = ArtifactKey(self.config.name, asset, self.partition)
        return store.find(key, recorded.fingerprint)

    def traced(self) -> "AbstractContextManager[TraceFigures]":
        """Trace the agents that run inside; lost traces are a warning in the run's log."""
        ids = {
            "pipeline": self.config.name,
            "elder": self.partition or "",
            "run_id": self.context.run.run_id,
        }
        return self.tracing.session(self.trace_file, ids, report=self.context.log.warning)


@dataclass(frozen=True)
class Source:
    """What a stage read from outside the graph: digests that enter the fingerprint, and the data
    itself.

    Args:
        set_aside: what could not be used, by name, and why.
    """

    versions: Mapping[str, str]
    data: Any = None
    set_aside: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class StageResult:
    """What a stage reports after writing its files.

    Args:
        summary: numbers and short ids for the UI; never memory text.
        checks: evaluations of the stage's asset checks, in any order, each declared in
            `Stage.checks`.
        data_version: content hash when hashing the files would say too much; None hashes the files.
        version_suffixes: hash only files with these endings.
    """

    summary: Mapping[str, object]
    checks: list[CheckEntry] = field(default_factory=list)
    engine: EngineEntry | None = None
    device: str = "cpu"
    weights_loaded: Mapping[str, object] | None = None
    data_version: str | None = None
    version_suffixes: tuple[str, ...] | None = None


@dataclass(frozen=True)
class PostBuildResult:
    """What a stage decided about its artifact after it was built or found: shown with the
    materialization.
    """

    metadata: Mapping[str, object]
    checks: list[CheckEntry] = field(default_factory=list)


def always(_: PipelineSpec) -> bool:
    """In every pipeline."""
    return True


@dataclass(frozen=True)
class Check:
    """An asset check of a stage. A blocking one stops everything downstream of a broken
    artifact.
    """

    name: str
    description: str
    blocking: bool = True


@dataclass(frozen=True)
class Stage:
    """One asset of the graph.

    Args:
        name: artifact name, last part of the asset key.
        description: what an operator reads in the UI.
        deps: stages this one is made from; in a pipeline, those of them that are present there (see
            `present_stages`).
        kinds: technologies, shown as icons.
        code_version: raised by hand when the code of the stage changes what it makes.
        config: the part of the pipeline's configuration (and of the files it names) that the
            artifact depends on.
        build: writes the artifact's files into the given folder.
        read_source: reads what lies outside the graph; None when the stage depends on its inputs
            alone.
        has_source: whether it has one in this pipeline: most have none, and are never looked at
            twice.
        present: whether the pipeline has this stage at all.
        partitioned: one artifact per elder in a partitioned pipeline.
        gpu: runs in the `gpu` pool, on a GPU when there is one.
        draws: what is made depends on a seed, so that a person can ask for another one.
        on_materialized: acts on the artifact every time it is materialized, built or reused; its
            checks are `post_build_checks`.
    """

    name: str
    description: str
    deps: tuple[str, ...]
    kinds: frozenset[str]
    code_version: str
    config: Callable[[PipelineSpec], Mapping[str, object]]
    build: Callable[[StageRun, Source, Path], StageResult]
    read_source: Callable[[SourceContext], Source] | None = None
    has_source: Callable[[PipelineSpec], bool] = always
    present: Callable[[PipelineSpec], bool] = always
    checks: tuple[Check, ...] = ()
    partitioned: bool = True
    gpu: bool = False
    draws: bool = False
    on_materialized: Callable[[StageRun, Artifact], PostBuildResult] | None = None
    post_build_checks: tuple[Check, ...] = ()


def present_stages(stages: Iterable[Stage], pipeline: PipelineSpec) -> dict[str, Stage]:
    """The stages that a pipeline has, by name, each with the inputs and the source that it has
    there.

    This is the one place that asks what is present: whoever works with its result never has to.
    """
    present = {stage.name: stage for stage in stages if stage.present(pipeline)}
    return {
        name: replace(
            stage,
            deps=tuple(parent for parent in stage.deps if parent in present),
            read_source=stage.read_source if stage.has_source(pipeline) else None,
        )
        for name, stage in present.items()
    }


def resume_folder(staged: Path) -> Path:
    """Where a stage that was killed finds its work again: beside its staged folder, named by the
    same fingerprint.

    It is a temporary folder of the store like the staged one, and goes with those when nobody comes
    back for it.
    """
    stage, fingerprint = staged.name.split("-")[:2]
    return staged.with_name(f"{stage}-{fingerprint}-resume")
