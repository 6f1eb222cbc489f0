"""What came out of an exam: shares by kind with 95% intervals (Wilson), misses, seconds."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from agent_assets.conversations.exam import KINDS, ExamTurn
from agent_assets.evaluation.bootstrap import wilson_interval
from agent_assets.evaluation.exam_judge import Judgement


@dataclass(frozen=True)
class Answered:
    """A turn with the agent's answer; `expected` says in words what would have been right."""

    turn: ExamTurn
    answer: str
    verdict: Judgement
    expected: str
    seconds: float


def shares(answers: Sequence[Answered]) -> dict[str, dict[str, float | int]]:
    """By kind, and `all`: right, items, share, low, high; answers without a verdict do not
    count.
    """
    judged = [answered for answered in answers if answered.verdict.right is not None]
    groups: dict[str, list[Answered]] = {
        kind: [answered for answered in judged if answered.turn.kind == kind] for kind in KINDS
    }
    table: dict[str, dict[str, float | int]] = {}
    for kind, group in {**groups, "all": judged}.items():
        if group:
            right = sum(bool(answered.verdict.right) for answered in group)
            share = wilson_interval(right, len(group))
            table[kind] = {
                "right": right,
                "items": len(group),
                "share": round(share.mean, 4),
                "low": round(share.low, 4),
                "high": round(share.high, 4),
            }
    return table


def table_lines(answers: Sequence[Answered]) -> Iterator[str]:
    """The shares, a line each."""
    for kind, row in shares(answers).items():
        counts = f"{row['right']} of {row['items']}"
        yield f"{kind:<10} {counts:>10}   {row['share']:.2f} [{row['low']:.2f}, {row['high']:.2f}]"
    unknown = sum(answered.verdict.right is None for answered in answers)
    if unknown:
        yield f"{unknown} answers have no verdict: nobody listed how this language refuses"


def miss_lines(answers: Sequence[Answered]) -> Iterator[str]:
    """Each wrong answer: what was asked, what was answered, what is right."""
    for answered in answers:
        if answered.verdict.right is False:
            yield f"{answered.turn.id} ({answered.turn.kind}): {answered.verdict.why}"
            for message in answered.turn.history:
                yield f"  {message.role:<9} {message.content}"
            yield f"  asked     {answered.turn.question}"
            yield f"  answered  {answered.answer or '(nothing)'}"
            yield f"  expected  {answered.expected}"


def expected_words(turn: ExamTurn, evidence: Sequence[str]) -> str:
    """What would have been right, for somebody who reads misses."""
    if turn.kind == "never":
        return "that it was never told"
    groups = " and ".join(" or ".join(repr(text) for text in group) for group in turn.groups)
    if turn.kind == "social":
        return f"a short reply{f' with {groups}' if groups else ''}"
    if turn.kind == "broad":
        return f"{min(2, len(evidence) or len(turn.groups))} of: {', '.join(evidence) or groups}"
    return f"{groups or 'the memory'} {f'({chr(44).join(evidence)})' if evidence else ''}".strip()
