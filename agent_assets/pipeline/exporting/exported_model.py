"""Stage `exported_model`: one GGUF file of the model that `release` judged, compared with the
weights it was made from.

It is off by default: who serves by this installation needs no such file. Whether the agent is
released is the gate's to say; `agent-assets export-model` hands out what answers.
"""

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

from agent_assets.engines.environment import find_export_tools
from agent_assets.engines.export_contracts import GGUF_EXPORT, GgufParams
from agent_assets.export.config import why_not_verified
from agent_assets.export.sizes import check_room, gguf_room
from agent_assets.pipeline.evaluating.variants import ADAPTERS
from agent_assets.pipeline.stage import (
    Check,
    PipelineSpec,
    Source,
    Stage,
    StageResult,
    StageRun,
)
from agent_assets.release.records import read_candidate
from agent_assets.store.manifest import CheckEntry, EngineEntry

GGUF_FILE = "model.gguf"


def config(pipeline: PipelineSpec) -> Mapping[str, object]:
    """What the file depends on."""
    return pipeline.config.exported_model.fingerprint_settings()


def present(pipeline: PipelineSpec) -> bool:
    """Whether the pipeline makes one."""
    return pipeline.config.exported_model.enabled


def build(run: StageRun, source: Source, folder: Path) -> StageResult:
    """Write model.gguf of the candidate's merged weights, and compare it with them."""
    settings = run.config.exported_model
    candidate = read_candidate(run.path("release"))
    merged = run.inputs[ADAPTERS[candidate.variant][1]]
    tools = find_export_tools(Path(run.engines.environments))
    check_room(folder, gguf_room(merged.path, settings.quantization))
    engine_run = run.engines.run(
        run.context,
        GGUF_EXPORT,
        GgufParams(
            model_dir=merged.path,
            out_file=folder / GGUF_FILE,
            work_dir=folder,
            name=candidate.name,
            quantization=settings.quantization,
            system_prompt=candidate.system_prompt,
        ),
        work_dir=folder / "logs",
        failed_logs=run.logs,
        max_minutes=settings.max_minutes,
        max_memory_gb=settings.max_memory_gb,
        search_path=tools,
    )
    result = engine_run.result
    problems = why_not_verified(result.agreement, result.reference, settings.threshold)
    return StageResult(
        summary={
            "name": candidate.name,
            "variant": candidate.variant,
            "quantization": settings.quantization,
            "bytes": result.bytes,
            "token_agreement": result.agreement.token_agreement,
            "answer_agreement": result.agreement.answer_agreement,
            "reference_token_agreement": result.reference.token_agreement,
            "min_token_agreement": settings.threshold,
            "export_seconds": round(engine_run.seconds, 1),
        },
        checks=[
            CheckEntry(
                name="verified",
                passed=not problems,
                metadata=asdict(result.agreement),
                description="; ".join(problems)
                or f"the same token at {result.agreement.token_agreement:.1%} of "
                f"{result.agreement.positions} positions",
            )
        ],
        engine=EngineEntry(name="llama.cpp", versions=result.versions),
        device=result.device,
        version_suffixes=(".gguf",),
    )


STAGE = Stage(
    name="exported_model",
    description="One GGUF file, for llama.cpp and Ollama, of the model that `release` judged; "
    "llama.cpp reads it back, and what it finds most likely is compared with the weights in "
    "float32. Off by default.",
    deps=("merged_model", "rl_merged_model", "release"),
    kinds=frozenset({"huggingface"}),
    code_version="1",
    config=config,
    build=build,
    checks=(
        Check(
            "verified",
            "llama.cpp, reading the file, finds the same tokens most likely as the weights in "
            "float32, on fixed prompts, at no fewer positions than the threshold asks for.",
        ),
    ),
    gpu=True,
    present=present,
)
