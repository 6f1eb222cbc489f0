"""`report.html` of training rows: what was kept, what was rejected and why, what it covers, what
the model learns.

It holds memory text, so it lives in the artifact store only. Equal rows give equal bytes.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from agent_assets.conversations.messages import JsonObject
from agent_assets.conversations.rendered import Rendered, RowRenderer
from agent_assets.evaluation.frames import counts, rows_frame
from agent_assets.evaluation.pages.parts import KINDS, page_environment

SAMPLES_PER_KIND = 6
_BINS = 24


@dataclass(frozen=True)
class Bar:
    """One bar: its label, its height or length, and that as a share of the largest."""

    label: str
    amount: int
    share: float


@dataclass(frozen=True)
class Sample:
    """One row as it is trained on: runs of text, each learned or not."""

    id: str
    kind: str
    tokens: int
    learned: int
    sources: list[str]
    runs: list[tuple[str, bool]]


@dataclass(frozen=True)
class Lengths:
    """Tokens per row, prompt and tool list included; `learned` is how many of all tokens the loss
    counts.
    """

    counts: list[int]
    learned: int

    def summary(self) -> JsonObject:
        """Numbers for the UI."""
        ordered = sorted(self.counts)
        return {
            "tokens": sum(ordered),
            "tokens_learned": self.learned,
            "row_tokens_median": ordered[len(ordered) // 2],
            "row_tokens_max": ordered[-1],
        }


def render_rows(rows: Sequence[JsonObject], renderer: RowRenderer) -> list[Rendered]:
    """Every row as the model reads it."""
    return [renderer.render(row) for row in rows]


def lengths_of(rendered: Sequence[Rendered]) -> Lengths:
    """How long the rows are."""
    return Lengths([len(row.ids) for row in rendered], sum(sum(row.loss_mask) for row in rendered))


def data_report(
    title: str,
    rows: Sequence[JsonObject],
    rejects: Sequence[JsonObject],
    coverage: JsonObject,
    rendered: Sequence[Rendered],
    *,
    model: str,
    max_length: int,
) -> str:
    """The whole page.

    Args:
        title: the agent.
        rows: rows of train.jsonl.
        rejects: rows of rejects.jsonl.
        coverage: coverage.json.
        rendered: what `render_rows` made of the rows; empty when there is no base model to render
            them for.
        model: which base model's tokens are counted.
        max_length: tokens; a longer row is not trained on.
    """
    lengths = lengths_of(rendered) if rendered else None
    return (
        page_environment()
        .get_template("data_report.html.jinja")
        .render(
            title=title,
            rows=rows,
            rejects=rejects,
            coverage=coverage,
            model=model,
            max_length=max_length,
            lengths=None if lengths is None else lengths.summary(),
            histogram=[] if lengths is None else histogram(lengths.counts),
            too_long=0 if lengths is None else sum(count > max_length for count in lengths.counts),
            reasons=_bars(
                {
                    name.replace("_", " "): count
                    for name, count in coverage["rejected_by_reason"].items()
                }
            ),
            tools=_bars(coverage["calls_by_tool"]),
            kinds=_bars(
                {KINDS.get(kind, kind): count for kind, count in coverage["by_kind"].items()}
            ),
            languages=_bars(coverage["by_language"]),
            memories=_bars(counts(rows_frame(rows)["sources"])),
            samples=_samples(rows, rendered),
        )
    )


def histogram(counts: Sequence[int]) -> list[Bar]:
    """At most 24 bins of equal width, from the shortest row to the longest; the label is the range
    in tokens.
    """
    low, high = min(counts), max(counts)
    width = max(1, -(-(high - low + 1) // _BINS))
    bins = Counter((count - low) // width for count in counts)
    most = max(bins.values())
    return [
        Bar(
            f"{low + number * width}–{low + (number + 1) * width - 1}",
            bins[number],
            bins[number] / most,
        )
        for number in range((high - low) // width + 1)
    ]


def _samples(rows: Sequence[JsonObject], rendered: Sequence[Rendered]) -> list[Sample]:
    """The first rows of each kind."""
    shown: Counter[str] = Counter()
    samples = []
    for row, text in zip(rows, rendered, strict=bool(rendered)):
        shown[row["kind"]] += 1
        if shown[row["kind"]] <= SAMPLES_PER_KIND:
            learned = sum(text.loss_mask)
            samples.append(
                Sample(
                    row["id"],
                    row["kind"],
                    len(text.ids),
                    learned,
                    row["sources"],
                    list(text.runs()),
                )
            )
    return samples


def _bars(counts: Mapping[str, int]) -> list[Bar]:
    most = max(counts.values(), default=0) or 1
    ordered = sorted(counts.items(), key=lambda entry: (-entry[1], entry[0]))
    return [Bar(label, count, count / most) for label, count in ordered]
