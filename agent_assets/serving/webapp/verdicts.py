"""What the gate said, in the reader's language and without figures that only an engineer reads."""

from collections.abc import Iterator, Mapping

from agent_assets.release.records import Reason, Verdict
from agent_assets.serving.webapp.gate_words import AGAINST, GROUPS, METRICS, SENTENCES
from agent_assets.serving.webapp.words import Words

Figures = Mapping[str, float | int]


def reasons_in_words(words: Words, verdict: Verdict) -> list[str]:
    """Why the gate decided as it did. Its own sentences are English; another language says them by
    their codes. A verdict from before there were codes is told by its figures.
    """
    own = [reason.partition(" (")[0] for reason in verdict.reasons]
    if words.code not in SENTENCES:
        return own
    if verdict.codes:
        return [_in_words(words, reason) for reason in verdict.codes]
    return list(_from_figures(words, verdict)) or own


def share_in_words(words: Words, share: float, items: int) -> str:
    """`6 of 12`."""
    return words("verdict.share", right=round(share * items), items=items)


def _in_words(words: Words, reason: Reason) -> str:
    values = dict(reason.values)
    items = int(values.get("items") or 0)
    for slot, name in (("share", "after"), ("before", "before")):
        if values.get(name) is not None:
            values[slot] = share_in_words(words, float(values[name] or 0), items)
    if "floor" in values:
        values["floor"] = f"{float(values['floor'] or 0):.0%}"
    if "metric" in values:
        values["metric"] = _metric(words, str(values["metric"]))
    for slot, names in (("group", GROUPS), ("against", AGAINST)):
        if slot in values:
            values[slot] = names[words.code][str(values[slot])]
    code: str = reason.code
    if code == "too_few" and values["needed"] is None:
        code = "too_few.never"
    return SENTENCES[words.code][code].format(**values)


def _metric(words: Words, metric: str) -> str:
    own = METRICS[words.code].get(metric)
    return words(f"metric.{metric}") if own is None else own


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
        elif verdict.decision == "PROMOTE":
            yield f"{name}: {after}"
    if verdict.leaks.get("cross_leaks", 0) or verdict.leaks.get("canaries", 0):
        yield words("verdict.leaks")
    for group, power in verdict.power.items():
        if power["needed"] != power["items"] and words.has(f"verdict.asked_too_little.{group}"):
            yield words(f"verdict.asked_too_little.{group}")
