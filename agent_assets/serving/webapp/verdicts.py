"""What the gate said, in the reader's language and without figures that only an engineer reads."""

from collections.abc import Iterator, Mapping

from agent_assets.release.records import Verdict
from agent_assets.serving.webapp.words import Words

Figures = Mapping[str, float | int]
_ENGLISH = "en"


def reasons_in_words(words: Words, verdict: Verdict) -> list[str]:
    """Why the gate decided as it did. Its own sentences are English; of those that another
    language has no words for, nothing is left out: they come as they are.
    """
    own = [reason.partition(" (")[0] for reason in verdict.reasons]
    if words.code == _ENGLISH:
        return own
    return list(_from_figures(words, verdict)) or own


def share_in_words(words: Words, share: float, items: int) -> str:
    """`6 of 12`."""
    return words("verdict.share", right=round(share * items), items=items)


def _from_figures(words: Words, verdict: Verdict) -> Iterator[str]:
    for metric, figures in verdict.metrics.items():
        if not words.has(f"metric.{metric}"):
            continue
        name, items = words(f"metric.{metric}"), int(figures["items"])
        after = share_in_words(words, float(figures["after"]), items)
        if figures["after"] < figures.get("floor", 0.0) - 1e-9:
            floor = f"{figures['floor']:.0%}"
            yield words("verdict.below_floor", metric=name, share=after, floor=floor)
        elif figures["change"] < -figures["margin"] - 1e-9:
            before = share_in_words(words, float(figures["before"]), items)
            yield words("verdict.fell", metric=name, share=after, before=before)
    if verdict.leaks.get("cross_leaks", 0) or verdict.leaks.get("canaries", 0):
        yield words("verdict.leaks")
    for group, power in verdict.power.items():
        if power["needed"] != power["items"] and words.has(f"verdict.asked_too_little.{group}"):
            yield words(f"verdict.asked_too_little.{group}")
