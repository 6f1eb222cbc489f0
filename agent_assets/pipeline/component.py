"""`AgentPipeline`: the Dagster component that turns one `defs.yaml` into the asset graph of one
agent.
"""

from pathlib import Path
from typing import Self

import click
import dagster as dg
from pydantic import BaseModel

from agent_assets.base_models.registry import registry_file
from agent_assets.errors import ConfigError
from agent_assets.pipeline.base_choice import pipeline_spec
from agent_assets.pipeline.config import PipelineConfig
from agent_assets.pipeline.stage import PipelineSpec
from agent_assets.projects.templates import pipeline_files
from agent_assets.settings import load_settings


class AgentPipelineScaffolder(dg.Scaffolder[BaseModel]):
    """`dg scaffold defs agent_assets.AgentPipeline NAME`: a pipeline with tools of its own, which
    loads as it is.
    """

    def scaffold(self, request: dg.ScaffoldRequest[BaseModel]) -> None:
        """Write its files into the folder that `dg` has made."""
        if request.scaffold_format != "yaml" or request.append:
            raise click.UsageError("A pipeline is a folder with a defs.yaml: use --format yaml.")
        try:
            files = dict(pipeline_files(request.target_path.name))
        except ConfigError as error:
            request.target_path.rmdir()
            raise click.UsageError(str(error)) from None
        for name, content in files.items():
            (request.target_path / name).write_bytes(content)


@dg.scaffold_with(AgentPipelineScaffolder)
class AgentPipeline(dg.Component):
    """One kind of agent: its tools, its data, its training and its evaluation."""

    def __init__(self, spec: PipelineSpec) -> None:
        self.spec = spec

    @classmethod
    def get_model_cls(cls) -> type[BaseModel]:
        """Model of the `attributes` in defs.yaml."""
        return PipelineConfig

    @classmethod
    def load(cls, attributes: BaseModel | None, context: dg.ComponentLoadContext) -> Self:
        """Called by Dagster with the validated attributes."""
        config = PipelineConfig.model_validate(attributes)
        file = registry_file(load_settings().home)
        return cls(pipeline_spec(config, Path(context.path), file))

    def build_defs(self, context: dg.ComponentLoadContext) -> dg.Definitions:
        """The assets of the pipeline, and a job that materializes them."""
        from agent_assets.pipeline.assets import build_assets

        name = self.spec.config.name
        job = dg.define_asset_job(
            f"{name}_job",
            selection=dg.AssetSelection.groups(name),
            description=f"Materialize the whole pipeline {name}; what is fresh is reused.",
            tags={"agent_assets/pipeline": name},
        )
        return dg.Definitions(assets=build_assets(self.spec), jobs=[job])
