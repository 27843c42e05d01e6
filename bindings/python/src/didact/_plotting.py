"""The pictures of `didact.plot` share what is in this file: axes, colours, and lines over the steps of a history."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ._arrays import whole_number

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# M. Okabe and K. Ito, Color Universal Design (2008), but for its black and yellow; then three of P. Tol, Colour Schemes
# (2021). Colours come again from the eleventh class on.
COLORS = (
    "#0072B2", "#E69F00", "#009E73", "#CC79A7", "#D55E00", "#56B4E9", "#332288", "#882255", "#999933", "#44AA99",
)  # fmt: skip
GRAY = "0.35"
_AXIS_LABELS = {"loss": "loss", "gradient_norm": "gradient norm", "learning_rate": "learning rate"}
_NETWORK_COLORS = {"student": COLORS[0], "teacher": COLORS[4], "average": COLORS[5]}


def axes(ax: Axes | None) -> Axes:
    """The given ones, or those of a new figure."""
    if ax is not None:
        if not hasattr(ax, "set_xlabel"):
            raise TypeError(f"ax must be matplotlib's Axes or None, got {type(ax).__name__}")
        return ax
    try:
        import matplotlib.pyplot as plt
    except ImportError as error:
        raise ImportError("didact.plot needs matplotlib: pip install didact[plot]") from error
    return plt.subplots(layout="constrained")[1]


def class_colors(count: int) -> np.ndarray:
    """Red, green and blue of each class, in [0, 1]."""
    from matplotlib.colors import to_rgb

    return np.array([to_rgb(COLORS[index % len(COLORS)]) for index in range(count)])


def lines(
    history_or_model: Any, kind: str, terms: Sequence[str] | None, smooth: int | None, log: bool, ax: Axes | None
) -> Axes:
    """Draws the columns of a history that are of one kind, such as ``"loss"``, as `didact.plot.curves` describes it."""
    history = _history(history_or_model)
    if isinstance(terms, str):
        raise TypeError(f"terms: expected a sequence of names, got {terms!r}")
    # From the terms of all kinds, so that one has the same colour in every picture.
    colors = line_colors(list(dict.fromkeys(name.partition("/")[2] for name in history if "/" in name)))
    values = {
        term: np.asarray(history[f"{kind}/{term}"], np.float64) for term in colors if f"{kind}/{term}" in history
    }
    used = [term for term, column in values.items() if np.nan_to_num(column).any()]
    for term in terms or ():
        if term not in used:
            reason = "is 0 or missing at every step" if term in values else "is not in the history"
            raise ValueError(f"{kind}/{term} {reason}; there are {', '.join(used) or 'none'}")
    chosen = used if terms is None else list(terms)
    if not chosen:
        raise ValueError(f"the history has nothing to draw under {kind}/")
    lengths = {name: len(values[name]) for name in chosen}
    if len(set(lengths.values())) > 1:
        raise ValueError(f"the columns of a history must be of one length, got {lengths}")
    steps = np.arange(len(values[chosen[0]]))
    window = max(1, len(steps) // 50) if smooth is None else whole_number(smooth, "smooth")
    if window < 1:
        raise ValueError(f"smooth must be at least 1, got {smooth}")
    # Wider ones average over all steps anyway.
    window = min(window, 2 * len(steps))

    ax = axes(ax)
    symmetric = log and any((values[term] < 0).any() for term in chosen)
    for term in chosen:
        column = values[term]
        if kind != "learning_rate":
            # Other stages of training read 0.
            computed = np.flatnonzero(np.nan_to_num(column))
            column = np.where((steps >= computed[0]) & (steps <= computed[-1]), column, np.nan)
        if log and not symmetric:
            column = np.where(column > 0, column, np.nan)
        # The teacher often has the student's learning rate.
        _line(ax, column, window, color=colors[term], label=term, linestyle="--" if term == "teacher" else "-")
    if symmetric:
        sizes = np.abs(np.concatenate([values[term] for term in chosen]))
        ax.set_yscale("symlog", linthresh=float(np.percentile(sizes[sizes > 0], 10)))
    elif log:
        _set_log_scale(ax)
    ax.set(xlabel="step", ylabel=_AXIS_LABELS[kind])
    ax.margins(x=0.02)
    ax.grid(alpha=0.25)
    ax.legend()
    return ax


def line_colors(names: Sequence[str]) -> dict[str, str]:
    """A colour for each name; student, teacher and average have theirs in every picture."""
    others = [color for color in COLORS if color not in _NETWORK_COLORS.values()]
    terms = [name for name in names if name not in _NETWORK_COLORS]
    return {**_NETWORK_COLORS, **{name: others[index % len(others)] for index, name in enumerate(terms)}}


def _set_log_scale(ax: Axes) -> None:
    from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

    ax.set_yscale("log")
    low, high = ax.get_ylim()
    ax.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    if high < 100 * low:
        # So few powers of ten say little.
        ax.yaxis.set_minor_locator(LogLocator(subs=(2, 5)))
        ax.yaxis.set_minor_formatter(StrMethodFormatter("{x:g}"))
    else:
        ax.yaxis.set_minor_formatter(NullFormatter())


def _line(ax: Axes, column: np.ndarray, window: int, color: str, **style: Any) -> None:
    from matplotlib.lines import Line2D

    steps = np.arange(1, len(column) + 1)
    known = np.isfinite(column)
    average = column
    if window > 1:
        # Values that are missing have no part in the mean.
        sums, counts = (np.convolve(part, np.ones(window))[window // 2 :][: len(column)] for part in
                        (np.where(known, column, 0.0), known.astype(float)))  # fmt: skip
        # From the first value to the last.
        between = (np.cumsum(known) > 0) & (np.cumsum(known[::-1])[::-1] > 0)
        average = np.divide(sums, counts, out=np.full(len(column), np.nan), where=between & (counts > 0.5))
        # An artist, not a line: single steps far out do not set the limits.
        ax.add_artist(Line2D(steps[known], column[known], color=color, alpha=0.25, linewidth=0.8))
    shown = np.isfinite(average)
    # What is reported now and then is joined; a single value would be invisible without a mark.
    marker = "o" if shown.sum() <= 30 else None
    ax.plot(steps[shown], average[shown], color=color, linewidth=1.6, marker=marker, markersize=4, **style)


def _history(source: Any) -> Mapping[str, Any]:
    found = source
    if not isinstance(found, Mapping):
        trainer = getattr(source, "trainer_", source)
        found = getattr(trainer, "history", None)
        if not isinstance(found, Mapping):
            found = getattr(source, "history_", None)
    if not isinstance(found, Mapping):
        raise TypeError(f"expected a trainer, a fitted estimator or their history; got {type(source).__name__}")
    return found
