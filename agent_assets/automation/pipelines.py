"""The pipelines of this installation, as the plan sees them."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import dagster as dg

from agent_assets.errors import ConfigError
from agent_assets.pipeline.assets import pipeline_stages
from agent_assets.pipeline.component import AgentPipeline
from agent_assets.pipeline.stage import PipelineSpec, Stage
from agent_assets.pipeline.yaml_errors import yaml_errors_told
from agent_assets.planning.facts import PipelineFacts, StageFacts
from agent_assets.projects.project import require_project
from agent_assets.settings import load_settings


@dataclass(frozen=True)
class Graph:
    """One pipeline and its stages by name, parents first."""

    spec: PipelineSpec
    stages: Mapping[str, Stage]

    @property
    def name(self) -> str:
        """Name of the pipeline."""
        return self.spec.config.name

    def facts(self, elders: Iterable[str]) -> PipelineFacts:
        """What the plan needs to know; `elders` matter to a partitioned pipeline only."""
        return PipelineFacts(
            name=self.name,
            stages=tuple(
                StageFacts(
                    name=stage.name,
                    deps=stage.deps,
                    code_version=stage.code_version,
                    config=stage.config(self.spec),
                    partitioned=self.partitioned(stage),
                    gpu=stage.gpu,
                    reads_source=stage.read_source is not None,
                )
                for stage in self.stages.values()
            ),
            partitions=tuple(sorted(elders)) if self.spec.partitioned else (),
        )

    def partitioned(self, stage: Stage) -> bool:
        """Whether a stage has one artifact per elder in this pipeline."""
        return self.spec.partitioned and stage.partitioned


def load_graphs() -> list[Graph]:
    """Every pipeline below `defs/` of the project, read anew from its YAML, sorted by name.

    Runs load the YAML anew as well: the plan and the run that follows it see the same
    configuration.

    Raises:
        ConfigError: there is no project; a file is not valid YAML, or does not describe a
            pipeline, or two have one name.
    """
    project = require_project(load_settings().project)
    project.make_importable()
    with yaml_errors_told():
        tree = dg.ComponentTree.for_project(project.folder)
        specs = [component.spec for component in tree.get_all_components(AgentPipeline)]
    _check_names(specs)
    return [
        Graph(spec, pipeline_stages(spec))
        for spec in sorted(specs, key=lambda spec: spec.config.name)
    ]


def _check_names(specs: Iterable[PipelineSpec]) -> None:
    folders: dict[str, Path] = {}
    for spec in specs:
        other = folders.setdefault(spec.config.name, spec.folder)
        if other != spec.folder:
            raise ConfigError(
                f"Two pipelines have the name {spec.config.name}: those in {other} and "
                f"{spec.folder}.",
                next_step="give one of them another `name` in its defs.yaml.",
            )
