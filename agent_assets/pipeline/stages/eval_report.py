"""Stage `eval_report`: base, SFT and RL on the same held-out items, asked as `/chat` asks."""

import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from agent_assets.evaluation.report_schema import BASE, QUOTE, REPORT_FILE, AskedAs
from agent_assets.pipeline.artifact_tools import read_artifact_tools
from agent_assets.pipeline.evaluating.cross_questions import ask_cross_questions
from agent_assets.pipeline.evaluating.served_answers import (
    VariantAnswers,
    answers_version,
    differences,
    own_template,
    serve_variants,
)
from agent_assets.pipeline.evaluating.variants import adapters_of, content_name
from agent_assets.pipeline.exam_source import (
    EXAM_FILE,
    exam_items,
    has_exams,
    read_exam_source,
)
from agent_assets.pipeline.stage import Check, PipelineSpec, Source, Stage, StageResult, StageRun
from agent_assets.store.manifest import CheckEntry, EngineEntry

if TYPE_CHECKING:
    from agent_assets.conversations.items import EvalItem
    from agent_assets.evaluation.metrics import ItemResult
    from agent_assets.evaluation.report_schema import CrossQuestions, Report, RlComparison

# Final answers by variant and item: what the leak check of the release reads.
ANSWERS_FILE = "answers.json"


def config(pipeline: PipelineSpec) -> Mapping[str, object]:
    """What the report depends on."""
    settings = pipeline.config.eval_report.fingerprint_settings()
    return settings | {
        "mcp_config": pipeline.tool_servers.version,
        "answers": answers_version(pipeline.config.eval_report, pipeline.config.base_model),
    }


def build(run: StageRun, source: Source, folder: Path) -> StageResult:
    """Ask every variant and peer every item, and write report.json and report.html."""
    from agent_assets.conversations.exam import write_exam
    from agent_assets.conversations.items import read_items
    from agent_assets.evaluation.peers import with_peers
    from agent_assets.evaluation.report import answered_share, headline_rows, speed_totals

    started = time.monotonic()
    settings = run.config.eval_report
    heldout = read_items(run.path("train_jsonl") / "heldout.jsonl")
    exam = exam_items(run, source, heldout[0].system if heldout else "")
    items: list[EvalItem] = [*heldout, *exam]
    answered, cross = _ask(run, items, folder)
    results = {variant: found[: len(items)] for variant, found in answered.results.items()}
    scenarios = {variant: found[len(items) :] for variant, found in answered.results.items()}
    report = _report(run, items, results, answered, time.monotonic() - started)
    if "rl" in results:
        known = {variant: found[: len(heldout)] for variant, found in results.items()}
        report = report.with_rl(_rl_comparison(run, report, known, scenarios))
    report = with_peers(report, items)
    if cross is not None:
        report = report.model_copy(update={"cross": cross})
    _write_answers(folder / ANSWERS_FILE, results)
    if exam:
        write_exam(folder / EXAM_FILE, [item.turn for item in exam])
    _write_report(run, folder, report, items, results)
    server, share = run.engines.server, answered_share(report)
    return StageResult(
        summary={
            **({"peers": report.first_line} if report.first_line else {}),
            "items": len(items),
            **({"exam_turns": len(exam)} if exam else {}),
            **({} if report.rl is None else {"rl": report.rl.line}),
            **{row.metric: row.values[report.trained[-1]] for row in headline_rows(report)},
            **speed_totals(report, answered.seconds),
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


def _ask(
    run: StageRun, items: "Sequence[EvalItem]", folder: Path
) -> "tuple[VariantAnswers, CrossQuestions | None]":
    """Answers of the peers and of every trained variant, of those also to held-out scenarios; and
    what they know of other elders.
    """
    from agent_assets.conversations.items import read_items
    from agent_assets.evaluation.search_and_quote import can_search
    from agent_assets.rl.scenarios.scenarios import HELDOUT_SCENARIOS_FILE

    asked: dict[str, Sequence[EvalItem]] = {BASE: items}
    if can_search(read_artifact_tools(run.path("mcp_tool_schema"))):
        asked[QUOTE] = items
    adapters = adapters_of(run)
    harder = (
        read_items(run.path("rl_checkpoint") / HELDOUT_SCENARIOS_FILE) if "rl" in adapters else []
    )
    asked |= {variant: [*items, *harder] for variant in adapters}
    with serve_variants(run, folder) as served:
        with run.traced():
            answered = served.ask(asked, stage="evaluating")
        # Traces are this elder's: nothing of others may stand in them.
        return answered, ask_cross_questions(run, served, items[0].system if items else "")


def _report(
    run: StageRun,
    items: "Sequence[EvalItem]",
    results: "Mapping[str, list[ItemResult]]",
    answered: VariantAnswers,
    seconds: float,
) -> "Report":
    from agent_assets.evaluation.report import build_report

    settings, adapters = run.config.eval_report, adapters_of(run)
    report = build_report(
        pipeline=run.config.name,
        partition=run.partition,
        items=items,
        results=results,
        tools=read_artifact_tools(run.path("mcp_tool_schema")),
        seconds=seconds,
        seed=settings.seed,
        samples=settings.bootstrap_samples,
        models={
            variant: artifact.manifest.data_version
            for variant, artifact in {BASE: run.inputs["base_model"], **adapters}.items()
        },
        serving=answered.serving,
    )
    own = {} if own_template(run.path("base_model")) is None else {"base_speaks": "own"}
    answering = AskedAs(
        server=run.engines.server.name,
        names={variant: content_name(run, adapter) for variant, adapter in adapters.items()},
        settings={
            **answers_version(settings, run.config.base_model),
            "base_max_tokens": settings.base_max_tokens,
        },
        differs=differences(settings, run.config.base_model),
        **own,
    )
    return report.model_copy(update={"answering": answering})


def _rl_comparison(
    run: StageRun,
    report: "Report",
    results: "Mapping[str, list[ItemResult]]",
    scenarios: "Mapping[str, list[ItemResult]]",
) -> "RlComparison":
    from agent_assets.rl.comparison import compare_rewards

    return compare_rewards(
        {variant: found for variant, found in results.items() if variant != QUOTE},
        scenarios,
        read_artifact_tools(run.path("mcp_tool_schema")),
        run.config.rl.rewards,
        changes=report.deltas["rl_vs_sft"],
        training=run.inputs["rl_checkpoint"].manifest.summary,
        seed=run.config.eval_report.seed,
        samples=run.config.eval_report.bootstrap_samples,
    )


def _write_report(
    run: StageRun,
    folder: Path,
    report: "Report",
    items: "Sequence[EvalItem]",
    results: "Mapping[str, list[ItemResult]]",
) -> None:
    from agent_assets.evaluation.pages.plots import before_after
    from agent_assets.evaluation.pages.report_html import render_report
    from agent_assets.evaluation.report import markdown_summary, speed_summary

    (folder / REPORT_FILE).write_text(report.to_json(), encoding="utf-8")
    data = run.inputs["train_jsonl"].manifest.summary
    page = render_report(report, items, results, training_data=data)
    (folder / "report.html").write_text(page, encoding="utf-8")
    (folder / "plots").mkdir()
    (folder / "plots" / "before_after.png").write_bytes(before_after(report))
    (folder / "plots" / "scores.md").write_text(markdown_summary(report), encoding="utf-8")
    (folder / "plots" / "speed.md").write_text(speed_summary(report), encoding="utf-8")


def _write_answers(path: Path, results: "Mapping[str, list[ItemResult]]") -> None:
    answers = {
        variant: {result.item.id: result.answer for result in item_results}
        for variant, item_results in results.items()
    }
    path.write_text(json.dumps(answers, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")


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
        "sft_adapter",
        "rl_checkpoint",
    ),
    kinds=frozenset({"vllm", "report"}),
    code_version="6",
    config=config,
    read_source=read_exam_source,
    has_source=has_exams,
    build=build,
    checks=(Check("report_complete", "Every variant answered (nearly) every held-out item."),),
    gpu=True,
)
