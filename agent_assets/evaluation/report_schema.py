"""`report.json` as types: what an evaluation writes, and what release, the page and the terminal
read.

A report has item ids, tool names and numbers; no memory text, so every part of it may be shown
anywhere. Reports are kept for as long as their release, so a field that is added later needs a
default, and none changes its meaning.
"""

import hashlib
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field

from agent_assets.conversations.messages import canonical_json
from agent_assets.evaluation.bootstrap import Interval

REPORT_FILE = "report.json"
BASE, QUOTE = "base", "search_and_quote"
PEERS = (BASE, QUOTE)  # variants that nobody trained
_NOT_CONTENT = {"seconds", "timings"}

Variant = Annotated[
    str,
    Field(
        description="`base`, `search_and_quote`, `sft` or `rl`; the first of a report is the "
        "reference."
    ),
]
Metric = Annotated[str, Field(description="Name of a `metrics.Metric`.")]


class _Record(BaseModel):
    model_config = ConfigDict(
        frozen=True, extra="forbid", validate_by_name=True, serialize_by_alias=True
    )


class VariantScores(BaseModel):
    """Mean score of every metric for one variant (an extra field each; None where it does not
    apply), and tables.

    Args:
        tool_call_accuracy_by_tool: by gold tool, wordings that training also used; None without
            tool items.
        tool_call_accuracy_by_tool_unseen_wording: the same for wordings it never saw.
        majority_baseline: accuracy of always calling the most common tool, by its name alone.
    """

    model_config = ConfigDict(frozen=True, extra="allow")
    __pydantic_extra__: dict[str, float | None] = Field(init=False)

    tool_call_accuracy_by_tool: dict[str, float] | None = None
    tool_call_accuracy_by_tool_unseen_wording: dict[str, float] | None = None
    majority_baseline: float | None = None

    @property
    def means(self) -> dict[Metric, float | None]:
        """Mean score by metric."""
        return dict(self.__pydantic_extra__)


class Timings(_Record):
    """What serving one variant took. Seconds are wall-clock time, memory is the most its processes
    held together; None for what was not measured.
    """

    items: int
    item_seconds_median: float | None
    item_seconds_max: float | None
    seconds: float | None
    prompt_tokens: int | None
    completion_tokens: int | None
    tokens_per_s: float | None
    peak_memory_mb: int | None


class Bootstrap(_Record):
    """How the intervals were drawn."""

    samples: int
    seed: int


class RewardComparison(_Record):
    """Mean verifiable reward by variant, and the paired change from SFT to RL over `items` both
    answered.
    """

    rewards: dict[Variant, float | None]
    items: int
    interval: Interval | None


class RlComparison(RewardComparison):
    """Whether reinforcement learning helped, on held-out items and, where there are some, on
    held-out scenarios.

    Args:
        line: the same in a sentence.
        candidate: the variant to release.
    """

    scenarios: RewardComparison | None = None
    line: str
    candidate: Variant


class PeerComparison(_Record):
    """The candidate against a peer, on the items that both answered (see peers.py).

    Args:
        kinds: kinds of items that count.
        items: how many both answered.
        shares: of the items that each has right, with Wilson's interval; {} without items.
        change: mean of candidate minus peer, with the interval of a paired bootstrap.
        beats: the whole interval lies above zero.
        line: the same in a sentence.
    """

    candidate: Variant
    kinds: list[str]
    items: int
    shares: dict[Variant, Interval]
    change: Interval | None
    beats: bool
    line: str


class CrossQuestions(_Record):
    """Questions of other elders, put to the variants of this one. No text of anybody.

    Args:
        elders: whose memories were looked at.
        questions: how many were asked.
        told: share of them on which a variant told what the other elder had told, with Wilson's
            interval.
        changes: of each trained variant against the base model, which is chance: it cannot know.
        repeated: answers that repeat a memory of others word for word (release/leaks.py).
        lines: of each trained variant, the same in a sentence.
    """

    elders: int
    questions: int
    told: dict[Variant, Interval]
    changes: dict[Variant, Interval | None]
    repeated: dict[Variant, int]
    lines: dict[Variant, str]

    @property
    def chance(self) -> Variant:
        """The variant that cannot know."""
        return BASE

    def leaks(self, variant: Variant) -> bool:
        """Whether the share lies above chance with its whole interval, or a memory was repeated."""
        change = self.changes[variant]
        return self.repeated[variant] > 0 or (change is not None and change.low > 0)


class AskedAs(_Record):
    """How the items were asked.

    Args:
        server: kind of inference server.
        names: what each variant answers by on it: of a trained one the content name that serving
            uses.
        settings: limits of one answer.
        differs: those of them that are not those of `/chat`, and what it has.
        base_speaks: `own` where the base model was asked by the chat template that it came with,
            and the agents by ours; else they speak alike.
    """

    server: str
    names: dict[Variant, str]
    settings: dict[str, object]
    differs: dict[str, int]
    base_speaks: Literal["alike", "own"] = "alike"


class Report(_Record):
    """The comparison of variants on the same held-out items.

    Args:
        partition: the elder, None in an unpartitioned pipeline.
        items: number of items in all (`total`), by kind, and of the tool items by wording.
        deltas: `<later>_vs_<earlier>` -> metric -> mean difference over items both answered.
        seconds: wall-clock time of the whole evaluation.
        scored: number of items behind each mean.
        confusion: gold tool -> called tool -> items.
        failures: item id -> name of the error; such an item is not scored.
        stop_reasons: why the agent loop ended -> items.
        models: data version of the weights that answered.
        scores: item id -> metric -> score: what a later variant is paired with.
        rl: only with reinforcement learning.
        answering: how the items were asked; None in reports of before, which asked merged weights.
        shares: variant -> metric -> its mean with Wilson's interval; {} in reports of before.
        peers: how the candidate compares with each peer; {} in reports of before.
        cross: questions of other elders; None where nobody was asked about, and in reports of
            before.
    """

    pipeline: str
    partition: str | None
    items: dict[str, int]
    variants: dict[Variant, VariantScores] = Field(alias="systems")  # as every store has it
    deltas: dict[str, dict[Metric, Interval | None]]
    seconds: float
    scored: dict[Variant, dict[Metric, int]]
    confusion: dict[Variant, dict[str, dict[str, int]]]
    failures: dict[Variant, dict[str, str]]
    stop_reasons: dict[Variant, dict[str, int]]
    timings: dict[Variant, Timings]
    models: dict[Variant, str]
    bootstrap: Bootstrap
    scores: dict[Variant, dict[str, dict[Metric, float]]]
    rl: RlComparison | None = None
    answering: AskedAs | None = None
    shares: dict[Variant, dict[Metric, Interval]] = Field(default_factory=dict)
    peers: dict[Variant, PeerComparison] = Field(default_factory=dict)
    cross: CrossQuestions | None = None

    @property
    def reference(self) -> Variant:
        """The variant that the others are compared with."""
        return next(iter(self.variants))

    @property
    def candidate(self) -> Variant:
        """The trained variant to release."""
        return "sft" if self.rl is None else self.rl.candidate

    @staticmethod
    def is_peer(variant: Variant) -> bool:
        """Whether nobody trained this variant."""
        return variant in PEERS

    @property
    def trained(self) -> list[Variant]:
        """The variants that were trained, in their order."""
        return [variant for variant in self.variants if not self.is_peer(variant)]

    @property
    def first_line(self) -> str:
        """How the candidate compares with search and quote (with the base model, where there is no
        search); "" in reports of before.
        """
        peer = next((name for name in (QUOTE, BASE) if name in self.peers), None)
        return "" if peer is None else self.peers[peer].line

    def to_json(self) -> str:
        """The text of `report.json`."""
        # Absent is not null: a report without RL has no key `rl`, today as in every store before.
        return self.model_dump_json(indent=2, exclude_unset=True) + "\n"

    def digest(self) -> str:
        """Hex sha256 of what the report says, times left out: equal findings give an equal data
        version.
        """
        content = self.model_dump(mode="json", exclude_unset=True, exclude=_NOT_CONTENT)
        return hashlib.sha256(canonical_json(content).encode()).hexdigest()

    def with_rl(self, comparison: RlComparison) -> Self:
        """The report with what reinforcement learning brought."""
        return self.model_copy(update={"rl": comparison})


def read_report(folder: Path) -> Report:
    """The report of an eval_report artifact."""
    return Report.model_validate_json((folder / REPORT_FILE).read_bytes())
