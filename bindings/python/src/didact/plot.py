"""Pictures of data, training and predictions with matplotlib (``pip install didact[plot]``).

Each function draws on ``ax``, or on a new figure without one, and returns the Axes. None calls ``show``. A *model* is
anything with ``predict_proba``: a `Trainer`, a fitted estimator, a `Network`. (The networks of a trainer take inputs as
it scales them; give the trainer itself.) A *history* is the dict of ``trainer.history``, or what has one: a trainer or
a fitted estimator.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from . import _plotting
from ._arrays import whole_number
from ._frames import column_names, in_order, is_missing, plain, positional
from ._labels import Rule, as_array, without_label
from ._plotting import COLORS

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from .callbacks import PseudoLabelAccuracy

_MARKERS = "os^DvP*X<>"


# Data and predictions


def decision_regions(model: Any, X: Any, y: Any, ax: Axes | None = None, resolution: int = 200) -> Axes:
    """What a model predicts over the plane of two features. The colour is that of the most probable class, paler where
    it is less sure; lines are the borders between classes.

    Parameters
    ----------
    model : model of two features
    X : array [N, 2]
        Rows to draw: labelled ones large, in the colour of their class, others small.
    y : array [N]
        The class of each row; -1, None or NaN for none. Classes are 0, 1, …, or their names in ``model.class_names``; of
        an estimator those of ``model.classes_``.
    resolution : int
        Into how many parts each axis is divided.
    """
    columns = column_names(X, "X")
    rows = np.asarray(plain(X, "X", columns), np.float64)
    if rows.ndim != 2 or rows.shape[1] != 2:
        raise ValueError(f"decision_regions draws two features; X has shape {rows.shape}")
    if not len(rows) or not np.isfinite(rows).all():
        raise ValueError("decision_regions: X must have rows, and neither NaN nor infinity")
    if whole_number(resolution, "resolution") < 2:
        raise ValueError(f"resolution must be at least 2, got {resolution}")
    low, high = rows.min(axis=0), rows.max(axis=0)
    margin = np.where(high > low, 0.08 * (high - low), 1.0)
    low, high = low - margin, high + margin
    # The middles of the cells of a grid.
    axes = [low[i] + (high[i] - low[i]) * (np.arange(resolution) + 0.5) / resolution for i in range(2)]
    grid = np.stack(np.meshgrid(*axes), axis=-1).reshape(-1, 2)
    if hasattr(X, "iloc"):
        # A data frame of pandas, whose column names an estimator expects again.
        grid = type(X)(grid, columns=X.columns)
    elif columns is not None:
        grid = in_order(grid, columns, _known_names(model) or columns, "X")
    probabilities = _probabilities(model, grid).reshape(resolution, resolution, -1)
    count = probabilities.shape[2]
    classes = _classes(model, count)
    indices = _class_indices(model, y, classes, "y")
    if len(indices) != len(rows):
        raise ValueError(f"y has {len(indices)} entries, but X has {len(rows)} rows")

    ax = _plotting.axes(ax)
    colors = _plotting.class_colors(count)
    best = probabilities.argmax(axis=2)
    certainty = (probabilities.max(axis=2) - 1 / count) / (1 - 1 / count)
    shade = 1 - (0.1 + 0.4 * certainty[..., None]) * (1 - colors[best])
    ax.imshow(
        shade.clip(0, 1), extent=(low[0], high[0], low[1], high[1]), origin="lower", aspect="auto",
        interpolation="bilinear", zorder=0,
    )  # fmt: skip
    for index in range(1 if count == 2 else count):
        others = np.delete(probabilities, index, axis=2).max(axis=2)
        lead = probabilities[..., index] - others
        if lead.min() < 0 < lead.max():
            ax.contour(*axes, lead, levels=[0], colors=_plotting.GRAY, linewidths=0.8, zorder=1)

    labeled = indices >= 0
    if not labeled.all():
        size = np.clip(6000 / (~labeled).sum(), 4, 14)
        ax.scatter(*rows[~labeled].T, s=size, color=_plotting.GRAY, alpha=0.6, linewidths=0, label="no label", zorder=2)
    size = np.clip(4000 / max(1, labeled.sum()), 16, 70)
    for index, name in enumerate(_class_names(model, classes)):
        of_class = indices == index
        if of_class.any():
            ax.scatter(
                *rows[of_class].T, s=size, color=[colors[index]], marker=_MARKERS[index % len(_MARKERS)],
                edgecolors="black", linewidths=0.8, label=name, zorder=3,
            )  # fmt: skip
    names = _feature_names(model, X)
    ax.set(xlim=(low[0], high[0]), ylim=(low[1], high[1]), xlabel=names[0], ylabel=names[1])
    ax.legend(framealpha=0.9)
    return ax


def confidence(model: Any, X: Any, y_true: Any = None, ax: Axes | None = None, bins: int = 10) -> Axes:
    """How sure a model is: a histogram of each row's largest probability. With classes also how often it is right at
    each confidence, with Wilson's interval of two standard errors, and the expected calibration error (Guo et al.,
    ICML 2017).

    Parameters
    ----------
    model : model
    X : array [N, inputs]
    y_true : array [N], optional
        The class of each row; rows of -1, None or NaN count for the histogram alone.
    bins : int
        How many equal parts 1 / classes to 1, where the largest probability is, is divided into.
    """
    if whole_number(bins, "bins") < 1:
        raise ValueError(f"bins must be at least 1, got {bins}")
    probabilities = _probabilities(model, X)
    largest, count = probabilities.max(axis=1), probabilities.shape[1]
    lowest = 1 / count
    edges = np.linspace(lowest, 1, bins + 1)
    bin_of = np.clip(((largest - lowest) / (1 - lowest) * bins).astype(int), 0, bins - 1)
    share = np.bincount(bin_of, minlength=bins) / len(largest)

    ax = _plotting.axes(ax)
    ax.bar(
        edges[:-1], share, np.diff(edges), align="edge", color="0.8", edgecolor="white", label="share of rows", zorder=1
    )
    ax.set(xlabel="confidence (largest probability)", ylabel="share of rows", xlim=(lowest, 1))
    if y_true is None:
        return ax

    indices = _class_indices(model, y_true, _classes(model, count), "y_true")
    if len(indices) != len(largest):
        raise ValueError(f"y_true has {len(indices)} entries, but X has {len(largest)} rows")
    known = indices >= 0
    if not known.any():
        raise ValueError("y_true: at least one row must have a class")
    right = (probabilities.argmax(axis=1) == indices)[known]
    rows, sure, correct = (
        np.bincount(bin_of[known], weights, minlength=bins) for weights in (None, largest[known], right)
    )
    filled = rows > 0
    sure, accuracy, rows = sure[filled] / rows[filled], correct[filled] / rows[filled], rows[filled]
    error = (rows * np.abs(accuracy - sure)).sum() / rows.sum()
    # E. B. Wilson, Journal of the American Statistical Association (1927), at two standard errors; for few rows too.
    middle = (accuracy + 2 / rows) / (1 + 4 / rows)
    spread = 2 * np.sqrt(accuracy * (1 - accuracy) / rows + 1 / rows**2) / (1 + 4 / rows)
    bars = np.stack([accuracy - (middle - spread), (middle + spread) - accuracy]).clip(0)
    ax.plot([0, 1], [0, 1], color=_plotting.GRAY, linestyle="--", linewidth=1, label="accuracy = confidence", zorder=2)
    ax.errorbar(
        sure, accuracy, bars, color=COLORS[0], marker="o", markersize=5, linewidth=1.5, elinewidth=0.8,
        label="accuracy", zorder=3, clip_on=False,
    )  # fmt: skip
    ax.set(
        ylabel="share of rows, accuracy", ylim=(0, 1),
        title=f"accuracy {right.mean():.3f}, expected calibration error {error:.3f}",
    )  # fmt: skip
    ax.legend(loc="upper left")
    return ax


def confusion(
    model_or_matrix: Any, X: Any = None, y: Any = None, class_names: Sequence[str] | None = None, ax: Axes | None = None
) -> Axes:
    """Which classes are taken for which: a row for each true class, a column for each predicted one, coloured by the
    share of the row.

    Parameters
    ----------
    model_or_matrix : model or array [classes, classes]
        A matrix of counts is drawn as it is, without ``X`` and ``y``.
    X : array [N, inputs]
    y : array [N]
        The class of each row; rows of -1, None or NaN are left out.
    class_names : sequence of str, optional
        Those of the model by default.
    """
    if hasattr(model_or_matrix, "predict_proba"):
        if X is None or y is None:
            raise TypeError("confusion: a model needs X and y")
        matrix, names = _confusion_matrix(model_or_matrix, X, y)
    elif X is not None or y is not None:
        raise TypeError(f"confusion: X and y go with a model, got {type(model_or_matrix).__name__}")
    else:
        matrix = np.asarray(model_or_matrix)
        if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1] or matrix.dtype.kind not in "iuf":
            raise ValueError(f"confusion: expected counts [classes, classes], got {matrix.dtype} {matrix.shape}")
        if not (matrix >= 0).all() or not matrix.any():
            raise ValueError("confusion: counts must be at least 0, and one of them greater")
        names = [str(index) for index in range(len(matrix))]
    if class_names is not None:
        if len(class_names) != len(names):
            raise ValueError(f"class_names: expected {len(names)}, got {len(class_names)}")
        names = [str(name) for name in class_names]

    ax = _plotting.axes(ax)
    share = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), np.finfo(float).tiny)
    ax.imshow(share, cmap="Blues", vmin=0, vmax=1)
    size = 10 if len(names) <= 12 else 7
    # More would not be readable.
    if len(names) <= 30:
        for (row, column), count in np.ndenumerate(matrix):
            if count:
                color = "white" if share[row, column] > 0.5 else "black"
                ax.text(column, row, f"{count:g}", ha="center", va="center", color=color, fontsize=size)
    rotation = 45 if len(names) * max(map(len, names)) > 40 else 0
    ax.set_xticks(range(len(names)), names, rotation=rotation, ha="right" if rotation else "center", fontsize=size)
    ax.set_yticks(range(len(names)), names, fontsize=size)
    right, total = np.trace(matrix), matrix.sum()
    ax.set(xlabel="predicted", ylabel="true", title=f"accuracy {right / total:.3f} ({right:g} of {total:g})")
    return ax


def augmentations(
    images: Any, policy: Any, copies: int = 7, seed: int = 0, ax: Axes | None = None
) -> Axes:
    """A contact sheet: a row for each image, as it is and as a policy changes it.

    Parameters
    ----------
    images : uint8 array [N, height, width, channels] or [N, height, width]
        Of 1 or 3 channels.
    policy : str, dict or list
        As for `didact.augment`.
    copies : int
        How many changed ones.
    seed : int
        Of their random numbers.
    """
    from .augmentation import augment

    images = positional(images, "images")
    copies = whole_number(copies, "copies")
    if images.ndim == 3:
        images = images[..., None]
    if images.ndim != 4 or images.shape[3] not in (1, 3) or not len(images):
        raise ValueError(f"augmentations draws images of 1 or 3 channels; images have shape {images.shape}")
    rows = np.stack([images, *(augment(images, policy, seed=seed, draw=draw) for draw in range(copies))], axis=1)
    # A white line of a pixel around each.
    padded = np.pad(rows, ((0, 0), (0, 0), (1, 1), (1, 1), (0, 0)), constant_values=255)
    count, columns, height, width, channels = padded.shape
    sheet = padded.transpose(0, 2, 1, 3, 4).reshape(count * height, columns * width, channels)
    ax = _plotting.axes(ax)
    ax.imshow(np.broadcast_to(sheet, (*sheet.shape[:2], 3)), interpolation="nearest")
    ax.set_axis_off()
    ax.set_title(policy if isinstance(policy, str) else "augmentations")
    return ax


def _confusion_matrix(model: Any, X: Any, y: Any) -> tuple[np.ndarray, list[str]]:
    probabilities = _probabilities(model, X)
    count = probabilities.shape[1]
    classes = _classes(model, count)
    indices = _class_indices(model, y, classes, "y")
    if len(indices) != len(probabilities):
        raise ValueError(f"y has {len(indices)} entries, but X has {len(probabilities)} rows")
    known = indices >= 0
    if not known.any():
        raise ValueError("y: at least one row must have a class")
    cells = indices[known] * count + probabilities.argmax(axis=1)[known]
    return np.bincount(cells, minlength=count * count).reshape(count, count), _class_names(model, classes)


# Training


def curves(
    history_or_model: Any,
    terms: Sequence[str] | None = None,
    smooth: int | None = None,
    log: bool = False,
    ax: Axes | None = None,
) -> Axes:
    """The loss terms over the steps, as they are without their weights.

    Parameters
    ----------
    history_or_model : history
    terms : sequence of str, optional
        Which ones, such as ``["student", "uda"]``; by default all that were computed. What was not reads 0, so that a
        line goes from the first to the last step with another value.
    smooth : int, optional
        Lines are averages over so many steps, with the steps themselves pale behind them; a fiftieth of all by default,
        1 for none.
    log : bool
        A logarithmic axis, on which zeros are gaps; around 0 it is linear where a term has negative values (the
        feedback of sampled labels).
    """
    return _plotting.lines(history_or_model, "loss", terms, smooth, log, ax)


def gradient_norms(
    history_or_model: Any,
    terms: Sequence[str] | None = None,
    smooth: int | None = None,
    log: bool = True,
    ax: Axes | None = None,
) -> Axes:
    """The norm of each loss term's gradient over the steps, without the weights. Takes what `curves` takes."""
    return _plotting.lines(history_or_model, "gradient_norm", terms, smooth, log, ax)


def learning_rates(history_or_model: Any, log: bool = False, ax: Axes | None = None) -> Axes:
    """The learning rates of student and teacher over the steps. Takes what `curves` takes."""
    ax = _plotting.lines(history_or_model, "learning_rate", None, 1, log, ax)
    if not log:
        ax.set_ylim(bottom=0)
    return ax


def pseudo_labels(recorder: PseudoLabelAccuracy, ax: Axes | None = None) -> Axes:
    """Accuracy and confidence of teacher, student and the other networks over the steps, as a
    `didact.callbacks.PseudoLabelAccuracy` recorded them. Confidence above accuracy is overconfidence."""
    history = getattr(recorder, "history", None)
    if not isinstance(history, Mapping) or not any(name.startswith("accuracy/") for name in history):
        raise ValueError("pseudo_labels: expected a didact.callbacks.PseudoLabelAccuracy that a fit has called")
    ax = _plotting.axes(ax)
    marker = "o" if len(history["step"]) <= 30 else None
    networks = [name.partition("/")[2] for name in history if name.startswith("accuracy/")]
    colors = _plotting.line_colors(networks)
    for kind, style in (("accuracy", "-"), ("confidence", "--")):
        for network in networks:
            ax.plot(
                history["step"], history[f"{kind}/{network}"], color=colors[network], linestyle=style,
                marker=marker, markersize=4, label=f"{network}: {kind}",
            )  # fmt: skip
    ax.set(xlabel="step", ylabel="accuracy, mean confidence")
    ax.margins(x=0.02)
    ax.grid(alpha=0.25)
    ax.legend(ncols=2)
    return ax


# What is asked of models


def _probabilities(model: Any, X: Any) -> np.ndarray:
    if not hasattr(model, "predict_proba"):
        raise TypeError(f"expected a model with predict_proba, got {type(model).__name__}")
    probabilities = np.asarray(model.predict_proba(X), np.float64)
    if probabilities.ndim != 2 or probabilities.shape[1] < 2 or not len(probabilities):
        raise ValueError(f"expected probabilities [rows, classes] of two classes or more, got {probabilities.shape}")
    return probabilities


def _classes(model: Any, count: int) -> list[Any]:
    classes = getattr(model, "classes_", None)
    return list(range(count)) if classes is None else np.asarray(classes).tolist()


def _class_indices(model: Any, y: Any, classes: list[Any], name: str) -> np.ndarray:
    """The position of each label among the classes, -1 for none."""
    values = as_array(y, name)
    if values.ndim == 2 and values.shape[1] == 1:
        values = values[:, 0]
    if values.ndim != 1:
        raise ValueError(f"{name} must have one entry a row, got shape {values.shape}")
    position = {value: index for index, value in enumerate(classes)}
    if not hasattr(model, "classes_"):
        # A trainer's classes have names too.
        position.update({text: index for index, text in enumerate(getattr(model, "class_names", None) or ())})
    # A fitted estimator has decided what means no label. What is a class stays one.
    rule = getattr(model, "_rule", Rule(-1, True))
    gone = without_label(values, rule, name, classes=position, has_parameter=hasattr(model, "_rule"))

    def index(row: int, value: Any) -> int:
        if not is_missing(value) and value in position:
            return position[value]
        if gone[row]:
            return -1
        raise ValueError(f"{name}: {value!r} in row {row} is none of the classes {', '.join(map(str, position))}")

    return np.array([index(row, value) for row, value in enumerate(values.tolist())], np.int64)


def _known_names(model: Any) -> list[str]:
    """The names of the features that a model was trained on."""
    for names in (getattr(model, "feature_names_in_", None), getattr(model, "feature_names", None)):
        if names is not None and len(names):
            return [str(name) for name in names]
    return []


def _class_names(model: Any, classes: list[Any]) -> list[str]:
    return [str(name) for name in getattr(model, "class_names", None) or classes]


def _feature_names(model: Any, X: Any) -> list[str]:
    sources = ((X, "columns"), (model, "feature_names_in_"), (model, "feature_names"))
    for names in (getattr(source, attribute, None) for source, attribute in sources):
        if names is not None and len(names) == 2:
            return [str(name) for name in names]
    return ["feature 0", "feature 1"]
