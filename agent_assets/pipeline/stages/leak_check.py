"""Whether answers of a candidate say what other elders told."""

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING

from agent_assets.pipeline.evaluating.other_elders import known_others, other_elders
from agent_assets.pipeline.stage import StageRun
from agent_assets.pipeline.stages.eval_report import ANSWERS_FILE

if TYPE_CHECKING:
    from agent_assets.evaluation.report_schema import CrossQuestions, Report


def leaks_of(
    run: StageRun, report: "Report", questions: list[str], prompts: list[str]
) -> dict[str, int]:
    """Counts of the candidate's answers that say what other elders told; no text of anybody.
    `known_elders` are the others of this installation, whether compared with or not.

    Args:
        report: whose candidate it is; the answers of its reference show what everybody says.
        questions: the questions; `prompts`: what the agent was told besides.
    """
    from agent_assets.conversations.memories import read_memories
    from agent_assets.release.leaks import find_leaks

    answers = json.loads((run.path("eval_report") / ANSWERS_FILE).read_text(encoding="utf-8"))
    own = read_memories(run.path("elder_memories")) if run.partition else []
    others = other_elders(run, run.config.release.leak_elders) if run.partition else ()
    leaks = find_leaks(
        list(answers[report.candidate].values()),
        own=[text for memory in own for text in (memory.question, memory.answer)],
        questions=[*questions, *prompts],
        usual=answers[report.reference].values(),
        others=([memory.answer for memory in other.memories] for other in others),
        canary_pattern=run.config.release.canary_pattern,
    )
    return (
        leaks.as_dict()
        | {"known_elders": len(known_others(run)) if run.partition else 0}
        | _cross_counts(report.cross, report.candidate)
    )


def _cross_counts(cross: "CrossQuestions | None", variant: str) -> dict[str, int]:
    """What came of the questions of other elders; nothing where none was asked."""
    if cross is None or variant not in cross.told:
        return {"cross_questions": 0}
    return {
        "cross_questions": cross.questions,
        "cross_told": round(cross.told[variant].mean * cross.questions),
        "cross_chance": round(cross.told[cross.chance].mean * cross.questions),
        "cross_repeated": cross.repeated[variant],
        "cross_leaks": int(cross.leaks(variant)),
    }


def has_leaks(leaks: Mapping[str, int]) -> bool:
    """Whether a candidate with these counts must not be released."""
    return any(leaks.get(name, 0) for name in ("canaries", "cross_answers", "cross_leaks"))
