"""Stage `eval_report`: base, SFT and RL model on the same held-out items, through the same agent
loop.
"""

import asyncio
import json
import time
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from agent_assets.pipeline.stage import Check, PipelineSpec, Source, Stage, StageResult, StageRun
from agent_assets.pipeline.stages.exam_source import (
    EXAM_FILE,
    exam_items,
    has_source,
    read_source,
)
from agent_assets.pipeline.stages.tools import read_artifact_tools
from agent_assets.store.manifest import CheckEntry, EngineEntry

if TYPE_CHECKING:
    from agent_assets.conversations.items import EvalItem
    from agent_assets.engines.servers.serve import Endpoint
    from agent_assets.evaluation.metrics import ItemResult
    from agent_assets.evaluation.report import Serving

# Final answers by variant and item: what the leak check of the release reads.
ANSWERS_FILE = "answers.json"

# Which artifact answers as which variant, in the order of the report; RL where the pipeline has it.
VARIANTS: Mapping[str, str] = {"base": "base_model", "sft": "merged_model", "rl": "rl_merged_model"}


def config(pipeline: PipelineSpec) -> Mapping[str, object]:
    """What the report depends on."""
    settings = pipeline.config.eval_report.fingerprint_settings()
    return settings | {"mcp_config": pipeline.tool_servers.version}


def build(run: StageRun, source: Source, folder: Path) -> StageResult:
    """Serve the variants, run every item, and write report.json and report.html."""
    from agent_assets.conversations.exam import write_exam
    from agent_assets.conversations.items import read_items
    from agent_assets.evaluation.plots import before_after
    from agent_assets.evaluation.report import (
        answered_share,
        build_report,
        headline_rows,
        markdown_summary,
        speed_summary,
        speed_totals,
    )
    from agent_assets.evaluation.report_html import render_report
    from agent_assets.evaluation.report_schema import REPORT_FILE
    from agent_assets.rl.comparison import compare_rewards
    from agent_assets.rl.scenarios.scenarios import HELDOUT_SCENARIOS_FILE

    started = time.monotonic()
    settings = run.config.eval_report
    heldout = read_items(run.path("train_jsonl") / "heldout.jsonl")
    exam = exam_items(run, source, heldout[0].system if heldout else "")
    items: list[EvalItem] = [*heldout, *exam]
    results: dict[str, list[ItemResult]] = {}
    serving: dict[str, Serving] = {}
    variants = run.having(VARIANTS)
    harder = (
        read_items(run.path("rl_checkpoint") / HELDOUT_SCENARIOS_FILE) if "rl" in variants else []
    )
    scenarios: dict[str, list[ItemResult]] = {}
    items_by_variant = {
        variant: items if variant == "base" else [*items, *harder] for variant in variants
    }
    asking_seconds = 0.0
    width = run.engines.servers_at_once()
    for first in range(0, len(items_by_variant), width):
        answered, seconds = _answer(
            run, dict(list(items_by_variant.items())[first : first + width]), folder
        )
        asking_seconds += seconds
        for variant, (item_results, serving[variant]) in answered.items():
            results[variant], scenarios[variant] = (
                item_results[: len(items)],
                item_results[len(items) :],
            )
    tools = read_artifact_tools(run.path("mcp_tool_schema"))
    report = build_report(
        pipeline=run.config.name,
        partition=run.partition,
        items=items,
        results=results,
        tools=tools,
        seconds=time.monotonic() - started,
        seed=settings.seed,
        samples=settings.bootstrap_samples,
        models={
            variant: run.inputs[artifact].manifest.data_version
            for variant, artifact in variants.items()
        },
        serving=serving,
    )
    if "rl" in variants:
        comparison = compare_rewards(
            {variant: outcome[: len(heldout)] for variant, outcome in results.items()},
            scenarios,
            tools,
            run.config.rl.rewards,
            changes=report.deltas["rl_vs_sft"],
            training=run.inputs["rl_checkpoint"].manifest.summary,
            seed=settings.seed,
            samples=settings.bootstrap_samples,
        )
        report = report.with_rl(comparison)
    _write_answers(folder / ANSWERS_FILE, results)
    if exam:
        write_exam(folder / EXAM_FILE, [item.turn for item in exam])
    (folder / REPORT_FILE).write_text(report.to_json(), encoding="utf-8")
    data = run.inputs["train_jsonl"].manifest.summary
    (folder / "report.html").write_text(
        render_report(report, items, results, training_data=data), encoding="utf-8"
    )
    (folder / "plots").mkdir()
    (folder / "plots" / "before_after.png").write_bytes(before_after(report))
    (folder / "plots" / "scores.md").write_text(markdown_summary(report), encoding="utf-8")
    (folder / "plots" / "speed.md").write_text(speed_summary(report), encoding="utf-8")
    trained, server = list(variants)[-1], run.engines.server
    share = answered_share(report)
    return StageResult(
        summary={
            "items": len(items),
            **({"exam_turns": len(exam)} if exam else {}),
            **({} if report.rl is None else {"rl": report.rl.line}),
            **{row.metric: row.values[trained] for row in headline_rows(report)},
            **speed_totals(report, asking_seconds),
        },
        checks=[
            CheckEntry(
                name="report_complete",
                passed=share >= settings.min_answered,
                description=f"{share:.0%} of the items were answered by every variant",
            )
        ],
        engine=EngineEntry(
            name=server.name, versions={server.name: run.engines.version(*server.packages)}
        ),
        device=run.engines.device_name(),
        data_version=report.digest()[:32],
    )


def _write_answers(path: Path, results: "Mapping[str, list[ItemResult]]") -> None:
    answers = {
        variant: {result.item.id: result.answer for result in item_results}
        for variant, item_results in results.items()
    }
    path.write_text(json.dumps(answers, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")


def _answer(
    run: StageRun, items_by_variant: "Mapping[str, list[EvalItem]]", folder: Path
) -> "tuple[dict[str, tuple[list[ItemResult], Serving]], float]":
    """What these variants, served side by side, answer to their items, and what serving took; the
    seconds of all.
    """
    from agent_assets.agent.chat_model import OpenAIChatModel
    from agent_assets.agent.loop import Limits
    from agent_assets.evaluation.report import Serving
    from agent_assets.evaluation.runner import run_items

    settings = run.config.eval_report
    tools = read_artifact_tools(run.path("mcp_tool_schema"))
    limits = Limits(max_turns=settings.max_turns, seconds=settings.item_seconds)
    show = run.engines.progress(run.context, stage=f"evaluating {' and '.join(items_by_variant)}")
    total, done = sum(map(len, items_by_variant.values())), Counter[str]()

    async def ask(variant: str, endpoint: "Endpoint") -> "tuple[list[ItemResult], Serving]":
        def count(answered: int, _: int) -> None:
            done[variant] = answered
            show(done.total(), total)

        started = time.monotonic()
        async with (
            run.pipeline.tool_servers.open(memories=run.memories, log_dir=run.logs) as toolbox,
            OpenAIChatModel(
                base_url=endpoint.base_url,
                api_key="local",
                model=endpoint.model,
                max_tokens=settings.max_tokens,
                seed=settings.seed,
            ) as chat,
        ):
            item_results = await run_items(
                chat,
                toolbox,
                tools,
                items_by_variant[variant],
                limits,
                concurrency=settings.concurrency,
                on_progress=count,
            )
        return item_results, Serving(time.monotonic() - started, endpoint.peak_memory_bytes)

    async def ask_all(
        endpoints: "Mapping[str, Endpoint]",
    ) -> "list[tuple[list[ItemResult], Serving]]":
        return await asyncio.gather(
            *(ask(variant, endpoint) for variant, endpoint in endpoints.items())
        )

    with (
        run.engines.serve(
            run.context,
            {variant: run.path(VARIANTS[variant]) for variant in items_by_variant},
            log_dir=folder / "logs",
            failed_logs=run.logs,
            max_model_len=settings.max_model_len,
            max_minutes=settings.max_minutes,
            max_memory_gb=settings.max_memory_gb,
            gpu_memory_utilization=settings.gpu_memory_share,
        ) as endpoints,
        run.traced(),
    ):
        started = time.monotonic()
        show(0, total)
        answered = asyncio.run(ask_all(endpoints))
        return dict(zip(endpoints, answered, strict=True)), time.monotonic() - started


STAGE = Stage(
    name="eval_report",
    description="Base, SFT and (where there is one) RL model on the same held-out items: tool "
    "calls, answers, memory "
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
    code_version="5",
    config=config,
    read_source=read_source,
    has_source=has_source,
    build=build,
    checks=(Check("report_complete", "Every variant answered (nearly) every held-out item."),),
    gpu=True,
)
