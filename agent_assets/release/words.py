"""What the gate says, in words for a family: what the agent can do, counted in things, with the
figures behind in parentheses.
"""

from collections.abc import Mapping, Sequence

from agent_assets.release.config import Group

# What an agent does in so many of so many items, by metric.
_DOES = {
    "recall_open": "remembers {} things it was told",
    "recall_closed": "remembers {} things it was told without looking them up",
    "tool_call_accuracy": "uses its tools exactly right in {} requests",
    "tool_call_accuracy_unseen_wording": "uses its tools exactly right in {} requests in new words",
    "answer_accuracy": "tells everything that its tools returned in {} answers",
    "abstention": "says so in {} cases when it was never told",
    "conversation": "answers {} turns of a conversation rightly",
}
CURRENT = "current"
_CHECKED: Mapping[Group, str] = {
    "recall": "whether it remembers what it was told",
    "recall_closed": "whether it remembers what it was told without looking it up",
    "tools": "whether it uses its tools rightly",
    "answers": "whether it tells what its tools return",
    "abstention": "whether it says so when it was never told",
    "conversation": "whether it answers as a family talks to it",
}
_MORE_ITEMS: Mapping[Group, str] = {
    "recall": "train_jsonl.heldout_recall, or more memories",
    "recall_closed": "train_jsonl.heldout_recall, or more memories",
    "tools": "questions.heldout_per_tool and train_jsonl.heldout_memory_tool_questions",
    "answers": "questions.heldout_per_tool and train_jsonl.heldout_memory_tool_questions",
    "abstention": "train_jsonl.heldout_recall, or more questions of the questionnaire",
    "conversation": "more turns in its exam (docs/exam.md)",
}

AGAINST: Mapping[str, str] = {
    "base": "the base model",
    "search_and_quote": "a search that quotes, without any model,",
    CURRENT: "the agent that answers now",
}
CROSS_NOT_ASKED = (
    "Nobody asked it what other people told: there was no question of theirs (materialize their "
    "elder_memories and then this eval_report again; eval_report.cross_questions says how many "
    "are asked)"
)

Figures = Mapping[str, float | int]


def does(metric: str, share: float, items: int) -> str:
    """`remembers 9 of 10 things it was told`."""
    return _DOES[metric].format(right_of(share, items))


def right_of(share: float, items: int) -> str:
    """`9 of 10`; a percentage where items were half right."""
    right = share * items
    whole = abs(right - round(right)) < 0.01
    return f"{round(right)} of {items}" if whole else f"{share:.0%} of {items}"


def figures_of(metric: str, figures: Figures) -> str:
    """`recall_open 0.92 [0.65, 0.99], floor 0.50`."""
    return (
        f"{metric} {figures['after']:.2f} [{figures['share_low']:.2f}, "
        f"{figures['share_high']:.2f}], floor {figures['floor']:.2f}"
    )


def change(metric: str, figures: Figures) -> str:
    """`recall_open fell by 0.25 on 12 items [-0.50, +0.00], the margin is 0.05`."""
    return (
        f"{metric} fell by {-figures['change']:.2f} on {figures['items']} items "
        f"[{figures['low']:+.2f}, {figures['high']:+.2f}], the margin is {figures['margin']:.2f}"
    )


def below_floor(metric: str, figures: Figures, *, certain: bool) -> str:
    """A share that is too small."""
    share, items = float(figures["after"]), int(figures["items"])
    lack = "too few" if certain else "fewer than asked for, which may be luck"
    return (
        f"It {does(metric, share, items)}: {lack}, at least {figures['floor']:.0%} is needed "
        f"({figures_of(metric, figures)})"
    )


def fell(metric: str, figures: Figures, against: str, *, certain: bool) -> str:
    """A share that is smaller than that of what answered before, or of a peer."""
    before, after, items = float(figures["before"]), float(figures["after"]), int(figures["items"])
    luck = "" if certain else ", which may be luck"
    return (
        f"It {does(metric, after, items)}, where {against} had {right_of(before, items)}{luck} "
        f"({change(metric, figures)})"
    )


def not_checked(group: Group) -> str:
    """A group without a single item."""
    return (
        f"Nobody checked {_CHECKED[group]}: there is no item that could be scored (get some with "
        f"{_MORE_ITEMS[group]}; or say in `release.required` what has to be checked)"
    )


def too_few(group: Group, power: Mapping[str, float | int | None]) -> str:
    """A group whose items cannot show what they claim."""
    needed, items = power["needed"], power["items"]
    more = (
        "no number of items is enough"
        if needed is None
        else f"{needed} are needed, {needed - (items or 0)} more"
    )
    return (
        f"It was asked too little to know {_CHECKED[group]} as before: {items} questions, {more} "
        f"(get them with {_MORE_ITEMS[group]}; a true fall of {power['fall']:.2f} would be "
        f"noticed with probability {power['power']:.2f}, {power['wanted']:.2f} is asked for)"
    )


def leaks_not_checked(elders: int) -> str:
    """A leak check that compared with nobody."""
    return (
        "Nobody checked whether it tells what other people told: "
        f"{elders or 'unknown'} others are known here and the memories of none were compared "
        "(materialize their elder_memories and then this release again; release.leak_elders says "
        "how many are compared)"
    )


def knows_others(leaks: Mapping[str, int]) -> str:
    """Other elders' questions that it answered."""
    return (
        f"It knows what other people told: {leaks['cross_told']} of {leaks['cross_questions']} of "
        f"their questions were answered, {leaks['cross_chance']} by the base model, which cannot "
        f"know; {leaks['cross_repeated']} answers repeat their words"
    )


def verdict_summary(metrics: Mapping[str, Figures]) -> str:
    """What the agent can do, with the figures."""
    can = [
        does(metric, float(figures["after"]), int(figures["items"]))
        for metric, figures in metrics.items()
        if figures["floor"] or figures["after"]
    ]
    figures = "; ".join(figures_of(metric, figures) for metric, figures in metrics.items())
    return f"It {_listed(can)} ({figures})" if can else "Nothing was asked of it"


def nothing_fell(shared: int, against: str | None) -> str:
    """Why a candidate passes."""
    other = "the base model: there was no release" if against is None else against
    return f"Nothing fell beyond its margin on {shared} items against {other}"


def _listed(parts: Sequence[str]) -> str:
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"
