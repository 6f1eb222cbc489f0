"""Stage `release`: the candidate as serving would use it, the gate's verdict, and the pointer that
moves if it passes.

The artifact is the candidate: it depends on its inputs alone. The verdict depends on what is
released at the moment, so
it is taken anew each time the asset is materialized, also when the candidate was there already: an
edit that is reverted brings the earlier version back through the gate, at no cost of training.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from agent_assets.conversations.messages import JsonObject, canonical_json
from agent_assets.errors import ReleaseConflict, ReleaseError
from agent_assets.evaluation.report_schema import QUOTE
from agent_assets.pipeline.evaluating.variants import ADAPTERS, content_name
from agent_assets.pipeline.exam_source import asked_turns, required_groups
from agent_assets.pipeline.stage import (
    Check,
    PipelineSpec,
    PostBuildResult,
    Source,
    Stage,
    StageResult,
    StageRun,
)
from agent_assets.pipeline.stages.leak_check import has_leaks, leaks_of
from agent_assets.release.records import (
    CANDIDATE_FILE,
    ITEMS_FILE,
    NOTHING_ANSWERS,
    Candidate,
    Items,
    Ledger,
    Part,
    Verdict,
)
from agent_assets.store.artifact_store import Artifact, ArtifactStore
from agent_assets.store.manifest import CheckEntry

if TYPE_CHECKING:
    from agent_assets.evaluation.report_schema import VariantScores

AUTHOR = "gate"
# By role in a candidate: artifacts that serving or the gate reads besides adapter and merge.
ROLES: Mapping[str, str] = {
    "base": "base_model",
    "tools": "mcp_tool_schema",
    "rows": "train_jsonl",
    "report": "eval_report",
    "memories": "elder_memories",
}
_ATTEMPTS = 5
_NUMBERS = {"metrics", "peers", "power", "leaks", "shared_items"}  # of a verdict, shown in the UI


def config(pipeline: PipelineSpec) -> Mapping[str, object]:
    """What the candidate and its verdict depend on."""
    return pipeline.config.release.fingerprint_settings()


def build(run: StageRun, source: Source, folder: Path) -> StageResult:
    """Write candidate.json and items.json."""
    from agent_assets.conversations.items import read_items
    from agent_assets.evaluation.report_schema import read_report

    report = read_report(run.path("eval_report"))
    variant, reference = report.candidate, report.reference
    adapter, merged = (run.inputs[name] for name in ADAPTERS[variant])
    heldout = read_items(run.path("train_jsonl") / "heldout.jsonl")
    prompts = sorted({item.system for item in heldout})
    if len(prompts) != 1:
        raise ReleaseError(
            f"The held-out items have {len(prompts)} system prompts; an agent answers under one.",
            next_step="materialize train_jsonl again.",
        )
    turns = asked_turns(run.path("eval_report"))
    digests = {item.id: _digest(asdict(item)) for item in heldout}
    digests |= {f"exam-{turn.id}": _digest(turn.model_dump(mode="json")) for turn in turns}
    items: Items = {
        name: {
            "digest": digest,
            "base": report.scores[reference][name],
            "candidate": report.scores[variant][name],
            **({"peers": {QUOTE: report.scores[QUOTE][name]}} if QUOTE in report.scores else {}),
        }
        for name, digest in digests.items()
    }
    questions = [item.question for item in heldout]
    questions += [text for turn in turns for text in (turn.question, *turn.said_before)]
    parts = {role: Part.of(run.inputs[asset]) for role, asset in run.having(ROLES).items()}
    parts |= {"adapter": Part.of(adapter), "merged": Part.of(merged)}
    candidate = Candidate(
        pipeline=run.config.name,
        partition=run.partition,
        name=content_name(run, adapter),
        variant=variant,
        system_prompt=prompts[0],
        parts=parts,
        scores=_scores(report.variants[variant]),
        incomplete=tuple(_incomplete(run.inputs["eval_report"], merged)),
        leaks=leaks_of(run, report, questions, prompts),
        incarnation=run.incarnation,
    )
    (folder / CANDIDATE_FILE).write_text(
        candidate.model_dump_json(indent=1) + "\n", encoding="utf-8"
    )
    (folder / ITEMS_FILE).write_text(
        json.dumps(items, sort_keys=True, indent=1) + "\n", encoding="utf-8"
    )
    return StageResult(
        summary={
            "name": candidate.name,
            "system": variant,
            "adapter_bytes": sum(entry.bytes for entry in adapter.manifest.files.values()),
            "merged_bytes": sum(entry.bytes for entry in merged.manifest.files.values()),
            "items": len(items),
        },
        checks=[
            CheckEntry(
                name="candidate_complete",
                passed=not candidate.incomplete,
                blocking=False,
                description="; ".join(candidate.incomplete) or "report complete, parity proven",
            ),
            CheckEntry(
                name="no_leak",
                passed=not has_leaks(candidate.leaks),
                blocking=False,
                metadata=candidate.leaks,
                description=f"{candidate.leaks['answers']} answers, {candidate.leaks['elders']} "
                "other elders, "
                f"{candidate.leaks['cross_questions']} of their questions asked",
            ),
        ],
    )


def _digest(content: JsonObject) -> str:
    return hashlib.sha256(canonical_json(content).encode()).hexdigest()[:32]


def _scores(scores: "VariantScores") -> dict[str, float | None]:
    """What a candidate says of itself: every figure of its variant, tables only where there is
    none.
    """
    tables = scores.model_dump(
        include={"tool_call_accuracy_by_tool", "tool_call_accuracy_by_tool_unseen_wording"}
    )
    absent = {name: None for name, table in tables.items() if table is None}
    return {**scores.means, **absent, "majority_baseline": scores.majority_baseline}


def on_materialized(run: StageRun, artifact: Artifact) -> PostBuildResult:
    """Judge the candidate against what is released now, and move the pointer if it passes.

    Another promotion may come in between: then the candidate is judged again, against that one.
    """
    from agent_assets.release.pointer import agent_of, read_ledger

    store: ArtifactStore = run.context.resources.store
    agent = agent_of(run.config.name, run.partition)
    for attempt in range(_ATTEMPTS):
        ledger = read_ledger(store, agent)
        if ledger.current is not None and ledger.current.version == artifact.manifest.fingerprint:
            return _shown(
                "PROMOTE", ("this version is the current release",), ledger.current.name, None
            )
        try:
            verdict, answers = _judge_and_move(run, store, ledger, artifact)
        except ReleaseConflict:
            if attempt == _ATTEMPTS - 1:
                raise
            continue
        return _shown(verdict.decision, verdict.reasons, answers, verdict)
    raise AssertionError("unreachable")


def _judge_and_move(
    run: StageRun, store: ArtifactStore, ledger: Ledger, artifact: Artifact
) -> tuple[Verdict, str | None]:
    """The verdict, and the name of what answers afterwards."""
    from agent_assets.release.gate import judge
    from agent_assets.release.pointer import current_entry, move, note_verdict, release_key
    from agent_assets.release.records import read_candidate, read_release_items
    from agent_assets.release.rollback import rolled_back

    agent = ledger.pipeline, ledger.agent
    candidate = read_candidate(artifact.path)
    answering = current_entry(store, agent)
    current = None
    if answering is not None:
        released = store.find(release_key(agent[0], answering.elder), answering.version)
        if released is None:
            raise ReleaseError(
                f"The current release of {agent[0]}/{agent[1]} is not in the store any more.",
                next_step=f"roll back to one that is: `agent-assets releases {agent[1]}` lists "
                "them.",
            )
        current = (answering.name, read_release_items(released.path))
    version = artifact.manifest.fingerprint
    verdict = judge(
        candidate,
        read_release_items(artifact.path),
        current,
        run.config.release,
        version=version,
        required=required_groups(run),
        rolled_back=rolled_back(ledger, version),
    )
    if verdict.decision == "PROMOTE":
        move(
            store,
            agent,
            expected=None if ledger.current is None else ledger.current.version,
            version=version,
            name=candidate.name,
            action="promote",
            author=AUTHOR,
            reason="; ".join(verdict.reasons),
            elder=run.partition,
            size=artifact.manifest.summary["adapter_bytes"],
        )
        answering = current_entry(store, agent)
    note_verdict(store, agent, verdict)
    return verdict, None if answering is None else answering.name


def _shown(
    decision: str, reasons: Sequence[str], answers: str | None, verdict: Verdict | None
) -> PostBuildResult:
    numbers = (
        {}
        if verdict is None
        else verdict.model_dump(
            mode="json", include={"metrics", "peers", "power", "leaks", "shared_items"}
        )
    )
    against = {} if verdict is None else {"compared_with": verdict.compared_with}
    return PostBuildResult(
        metadata={
            "verdict": decision,
            "reasons": list(reasons),
            "answers_now": answers or NOTHING_ANSWERS,
            **against,
            **numbers,
        },
        checks=[
            CheckEntry(
                name="gate",
                passed=decision == "PROMOTE",
                blocking=False,
                description=f"{decision}: {'; '.join(reasons)}",
            )
        ],
    )


def _incomplete(report: Artifact, merged: Artifact) -> Iterator[str]:
    checks = {
        check.name: check for artifact in (report, merged) for check in artifact.manifest.checks
    }
    for name, words in (
        ("report_complete", "the evaluation report is complete"),
        ("parity", "merged equals base + adapter"),
    ):
        if name not in checks:
            yield f"nothing proves that {words}"
        elif not checks[name].passed:
            yield f"it failed the check that {words}"


STAGE = Stage(
    name="release",
    description="The candidate as serving would use it, and the gate's verdict: PROMOTE moves "
    "the pointer that serving "
    "follows, HOLD and REJECT leave it where it is.",
    deps=(
        "base_model",
        "mcp_tool_schema",
        "elder_memories",
        "train_jsonl",
        "sft_adapter",
        "merged_model",
        "rl_checkpoint",
        "rl_merged_model",
        "eval_report",
    ),
    kinds=frozenset({"python"}),
    code_version="6",
    config=config,
    build=build,
    checks=(
        Check(
            "candidate_complete",
            "The report is complete and the parity proof is there.",
            blocking=False,
        ),
        Check(
            "no_leak",
            "No answer repeats another elder's memories or a planted canary, and questions of "
            "other elders are answered no better than by chance.",
            blocking=False,
        ),
    ),
    on_materialized=on_materialized,
    post_build_checks=(Check("gate", "The candidate answers from now on.", blocking=False),),
)
