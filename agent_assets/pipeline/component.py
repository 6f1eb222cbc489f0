"""`AgentPipeline`: the Dagster component that turns one `defs.yaml` into the asset graph of one
agent.
"""

from pathlib import Path
from typing import Self

import dagster as dg
from pydantic import BaseModel

from agent_assets.base_models.registry import read_base_models, registry_file
from agent_assets.pipeline.base_choice import with_base_model
from agent_assets.pipeline.config import PipelineConfig
from agent_assets.pipeline.stage import PipelineSpec
from agent_assets.settings import load_settings


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
        file = registry_file(load_settings().home)
        config = with_base_model(
            PipelineConfig.model_validate(attributes), read_base_models(file), file
        )
        by_key = config.base_model.key is not None
        return cls(PipelineSpec(config, Path(context.path), file.parent if by_key else None))

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
