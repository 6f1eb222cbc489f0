"""Plots as PNG bytes, small enough for Dagster metadata. Equal input gives equal bytes; no global
state is touched.
"""

import base64
import io
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from agent_assets.conversations.messages import JsonObject
from agent_assets.evaluation.report import change_text, headline_rows, percent, variant_label
from agent_assets.evaluation.report_schema import Report

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_DPI = 110
_INK, _MUTED, _GRID = "#1d2733", "#5d6b7a", "#dfe4ea"
_ACCENT, _FAINT = "#0f766e", "#9fd0ca"
_SYSTEM_COLOURS = ("#a9b4c0", "#0f766e", "#b45309", "#6d28d9")


def loss_curve(steps: Sequence[int], losses: Sequence[float]) -> bytes:
    """Training loss by step: every step faint, the running mean over a twentieth of the run on
    top.
    """
    figure, axes = _figure("Training loss", 6.4, 3.2)
    window = max(1, len(losses) // 20)
    smooth = [
        sum(part) / len(part)
        for part in (losses[max(0, i - window + 1) : i + 1] for i in range(len(losses)))
    ]
    axes.plot(steps, losses, color=_FAINT, linewidth=1.0, label="each step")
    axes.plot(steps, smooth, color=_ACCENT, linewidth=2.0, label=f"mean of the last {window}")
    axes.set(xlabel="optimizer step", ylabel="loss (nats per token)", ylim=(0, None))
    axes.grid(axis="y", color=_GRID)
    if window > 1:
        axes.legend(frameon=False)
    if smooth:
        axes.annotate(
            f"{smooth[-1]:.3g}",
            (steps[-1], smooth[-1]),
            xytext=(4, 4),
            textcoords="offset points",
            color=_ACCENT,
            annotation_clip=False,
        )
    return _png(figure)


def reward_curve(curve: Sequence[JsonObject], *, max_reward: float) -> bytes:
    """Reinforcement learning by step: mean reward, the spread within groups, and the share of valid
    tool calls.

    Args:
        curve: numbers of each step: `step`, `reward`, `group_spread`, `call_validity` (null where
            there is none).
        max_reward: end of the axis.
    """
    figure, axes = _figure("Reward by step, sampled rollouts", 6.4, 3.2)
    series = (
        ("reward", "mean reward", _ACCENT, 2.0),
        ("group_spread", "spread within a group", _SYSTEM_COLOURS[2], 1.0),
        ("call_validity", "valid tool calls", _SYSTEM_COLOURS[0], 1.0),
    )
    for name, label, colour, width in series:
        points = [(step["step"], step[name]) for step in curve if step[name] is not None]
        if points:
            axes.plot(
                *zip(*points, strict=True),
                color=colour,
                linewidth=width,
                marker="o",
                markersize=3,
                label=label,
            )
    axes.set(xlabel="step", ylabel="0 to 1", ylim=(0, 1.05 * max_reward))
    axes.grid(axis="y", color=_GRID)
    if curve:
        axes.legend(
            frameon=False, ncols=3, loc="lower left", bbox_to_anchor=(-0.01, 0.99), borderpad=0
        )
    return _png(figure)


def coverage_bars(counts: Mapping[str, int]) -> bytes:
    """How many training calls each tool has, most first; the name of a tool without any is red."""
    ordered = sorted(counts.items(), key=lambda entry: (-entry[1], entry[0]))
    figure, axes = _figure("Training calls by tool", 6.4, 1.1 + 0.34 * max(1, len(ordered)))
    bars = axes.barh(
        range(len(ordered)), [count for _, count in ordered], color=_ACCENT, height=0.62
    )
    axes.set_yticks(range(len(ordered)), [name for name, _ in ordered])
    for label, (_, count) in zip(axes.get_yticklabels(), ordered, strict=True):
        label.set_color(_MUTED if count else "#b91c1c")
    axes.bar_label(bars, padding=4, color=_INK, fontsize=9)
    axes.invert_yaxis()
    axes.margins(x=0.1)
    axes.set(xlabel="tool calls in the training rows")
    return _png(figure)


def before_after(report: Report) -> bytes:
    """Every headline metric under every variant, with the change of the last one and its 95%
    interval beside it.
    """
    rows, variants = headline_rows(report), list(report.variants)
    height = 0.8 / len(variants)
    inches = max(1, len(rows)) * (0.26 + 0.22 * len(variants))
    figure, axes = _figure("Held-out items, before and after training", 8.2, 1.2 + inches)
    for number, variant in enumerate(variants):
        values = [100 * (row.values[variant] or 0.0) for row in rows]
        positions = [
            index + (number - (len(variants) - 1) / 2) * height for index in range(len(rows))
        ]
        colour = _SYSTEM_COLOURS[number % len(_SYSTEM_COLOURS)]
        bars = axes.barh(
            positions, values, height=height * 0.9, color=colour, label=variant_label(variant)
        )
        labels = [percent(row.values[variant], digits=0) for row in rows]
        axes.bar_label(bars, labels=labels, padding=3, color=_INK, fontsize=8.5)
    for index, row in enumerate(rows):
        if len(variants) > 1:
            axes.text(
                112,
                index,
                change_text(row.changes[variants[-1]]),
                va="center",
                color=_MUTED,
                fontsize=8.5,
            )
    names = [row.label if row.higher_is_better else f"{row.label} (less is better)" for row in rows]
    axes.set_yticks(range(len(rows)), names)
    axes.set(
        xlabel="% of held-out items      (right: change in points, 95% interval)", xlim=(0, 108)
    )
    axes.set_ylim(max(1, len(rows)) - 0.45, -0.55)
    if rows:
        axes.legend(
            frameon=False,
            ncols=len(variants),
            loc="lower left",
            bbox_to_anchor=(-0.01, 0.99),
            borderpad=0,
        )
    return _png(figure)


def png_markdown(png: bytes, alt: str) -> str:
    """A PNG as a Markdown image that carries its own data, for Dagster metadata."""
    return f"![{alt}](data:image/png;base64,{base64.b64encode(png).decode()})"


def _figure(title: str, width: float, height: float) -> "tuple[Figure, Axes]":
    from matplotlib.figure import (
        Figure,
    )  # not pyplot: that keeps every figure, and is not safe in threads

    figure = Figure(figsize=(width, height), dpi=_DPI, layout="constrained")
    axes = figure.add_subplot()
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(_GRID)
    axes.tick_params(colors=_MUTED, labelsize=9, length=0)
    axes.xaxis.label.set_color(_MUTED)
    axes.yaxis.label.set_color(_MUTED)
    axes.set_title(title, loc="left", color=_INK, pad=24)
    return figure, axes


def _png(figure: "Figure") -> bytes:
    from PIL import Image

    drawn, packed = io.BytesIO(), io.BytesIO()
    figure.savefig(drawn, format="png", metadata={"Software": None})
    # Flat colours: a palette keeps the file at a third of its size.
    Image.open(drawn).convert("RGB").quantize(64).save(packed, format="PNG", optimize=True)
    return packed.getvalue()
