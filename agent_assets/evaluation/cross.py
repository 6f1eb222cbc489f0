"""Does an agent know what other elders told? Counts, against a base model that cannot know."""

from collections.abc import Iterable, Mapping, Sequence

from agent_assets.conversations.memories import Memory
from agent_assets.evaluation.bootstrap import Interval, paired_bootstrap, wilson_interval
from agent_assets.evaluation.metrics import RECALL_THRESHOLD, ItemResult, score_items
from agent_assets.evaluation.report import variant_label
from agent_assets.evaluation.report_schema import BASE, CrossQuestions
from agent_assets.text.answers import recall_share
from agent_assets.text.languages.rules import LanguageCode


def count_cross(
    results: Mapping[str, Sequence[ItemResult]],
    repeated: Mapping[str, int],
    *,
    elders: int,
    seed: int,
    samples: int,
) -> CrossQuestions:
    """Shares of the questions on which each variant told what the other elder had told.

    Args:
        results: of `base` and of trained variants on the same questions; the gold answers are the
            other elders' memories.
        repeated: by variant, answers that repeat a memory of others word for word.
        elders: whose memories were looked at.
        seed, samples: of the bootstrap of the change against the base model.
    """
    scores = {variant: score_items(found, ()) for variant, found in results.items()}
    told = {
        variant: {name: score["recall_open"] for name, score in found.items() if score}
        for variant, found in scores.items()
    }
    changes = {}
    for variant in results:
        both = [name for name in told[BASE] if name in told[variant]]
        if variant != BASE:
            changes[variant] = paired_bootstrap(
                [told[BASE][name] for name in both],
                [told[variant][name] for name in both],
                seed=seed,
                samples=samples,
            )
    counted = CrossQuestions(
        elders=elders,
        questions=len(results[BASE]),
        told={
            variant: wilson_interval(sum(values.values()), len(values))
            for variant, values in told.items()
            if values
        },
        changes=changes,
        repeated=dict(repeated),
        lines={},
    )
    lines = {variant: _line(counted, variant, changes[variant]) for variant in changes}
    return counted.model_copy(update={"lines": lines})


def tell_as_well(memory: Memory, own: Iterable[Memory], language: LanguageCode) -> bool:
    """Whether own memories answer the question of somebody else's memory with the same content: a
    right answer would prove nothing.
    """
    return any(
        recall_share(memory.answer, memory.question, mine.answer, language) >= RECALL_THRESHOLD
        for mine in own
    )


def _line(counted: CrossQuestions, variant: str, change: Interval | None) -> str:
    if change is None:
        return f"{variant_label(variant)}: no question of another elder was answered."
    share, chance = counted.told[variant], counted.told[BASE]
    verdict = (
        "knows what other elders told"
        if counted.leaks(variant)
        else "knows nothing of what other elders told beyond chance"
    )
    return (
        f"{variant_label(variant)} {verdict}: of {counted.questions} of their questions it tells "
        f"{share.mean:.0%} [{share.low:.0%}, {share.high:.0%}], the base model {chance.mean:.0%}; "
        f"{counted.repeated[variant]} answers repeat a memory of theirs."
    )
