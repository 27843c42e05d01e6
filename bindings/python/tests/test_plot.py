"""Pictures: what is drawn, and what is refused."""

import sys
import types

import numpy as np
import pytest

import didact
from didact import plot
from didact.callbacks import PseudoLabelAccuracy
from support import run_python

matplotlib = pytest.importorskip("matplotlib")
matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402

TERMS = ["student", "supervised", "uda", "feedback"]


@pytest.fixture(autouse=True)
def closed_figures():
    """Also draws what a test made, which can fail where making it does not."""
    yield
    for number in plt.get_fignums():
        plt.figure(number).canvas.draw()
    plt.close("all")


def moons():
    x, classes = didact.datasets.make_two_moons(100)
    return x, np.where(np.arange(len(classes)) % 20 == 0, classes, -1), classes


def make(method="meta_pseudo_labels", **configuration):
    if method != "supervised":
        configuration.setdefault("unlabeled_batch_size", 32)
    return didact.Trainer(method, didact.mlp(2, [16], 2), labeled_batch_size=10, **configuration)


@pytest.fixture(scope="module")
def trained():
    x, y, _ = moons()
    return make().fit(x, y, steps=100)


class Model:
    """Gives probabilities that a test has chosen: the rows themselves."""

    def predict_proba(self, X):
        return np.asarray(X)


class Linear:
    """Of two features: the class in whose direction a row lies."""

    def __init__(self, classes):
        self.directions = np.array([(np.cos(a), np.sin(a)) for a in 2 * np.pi * np.arange(classes) / classes])

    def predict_proba(self, X):
        logits = 3 * np.asarray(X) @ self.directions.T
        exponentials = np.exp(logits - logits.max(axis=1, keepdims=True))
        return exponentials / exponentials.sum(axis=1, keepdims=True)


def estimator(trainer, classes=("inner", "outer")):
    return types.SimpleNamespace(
        predict_proba=trainer.predict_proba, trainer_=trainer, history_=[], classes_=np.array(classes)
    )


def legend(ax):
    return [text.get_text() for text in ax.get_legend().get_texts()]


def lines(ax):
    """The lines of the legend by name: pale ones and marks have none."""
    return {line.get_label(): line for line in ax.get_lines() if line.get_label()[:1] not in ("", "_")}


DRAWN = {
    "decision_regions": lambda trainer, ax: plot.decision_regions(trainer, *moons()[:2], ax=ax),
    "confidence": lambda trainer, ax: plot.confidence(trainer, moons()[0], moons()[2], ax=ax),
    "confusion": lambda trainer, ax: plot.confusion(trainer, moons()[0], moons()[2], ax=ax),
    "curves": lambda trainer, ax: plot.curves(trainer, ax=ax),
    "gradient_norms": lambda trainer, ax: plot.gradient_norms(trainer, ax=ax),
    "learning_rates": lambda trainer, ax: plot.learning_rates(trainer, ax=ax),
    "pseudo_labels": lambda trainer, ax: plot.pseudo_labels(recorded(), ax=ax),
}


def recorded():
    x, y, classes = moons()
    recorder = PseudoLabelAccuracy(x, classes, every=10)
    make(average_decay=0.9).fit(x, y, steps=30, callback=recorder)
    return recorder


@pytest.mark.parametrize("name", DRAWN)
def test_axes_in_and_out(name, trained, monkeypatch):
    monkeypatch.setattr(plt, "show", lambda *arguments: pytest.fail("show was called"))
    plt.close("all")
    _, ax = plt.subplots()
    assert DRAWN[name](trained, ax) is ax
    assert plt.get_fignums() == [1]
    new = DRAWN[name](trained, None)
    assert new is not ax and new.figure is not ax.figure
    assert new.get_xlabel() and new.get_ylabel()


# Decision regions


def test_decision_regions(trained):
    x, y, _ = moons()
    ax = plot.decision_regions(trained, x, y)
    assert legend(ax) == ["no label", "0", "1"]
    unlabeled, *labeled = (collection for collection in ax.collections if collection.get_label() in legend(ax))
    np.testing.assert_array_equal(unlabeled.get_offsets(), x[y < 0])
    for index, points in enumerate(labeled):
        np.testing.assert_array_equal(points.get_offsets(), x[y == index])
        assert points.get_sizes()[0] > 3 * unlabeled.get_sizes()[0]
        assert matplotlib.colors.same_color(points.get_facecolor()[0], plot.COLORS[index])
    (left, right), (bottom, top) = ax.get_xlim(), ax.get_ylim()
    assert left < x[:, 0].min() and right > x[:, 0].max() and bottom < x[:, 1].min() and top > x[:, 1].max()
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("feature 0", "feature 1")


@pytest.mark.parametrize("classes", [2, 3, 5, 12])
def test_regions_have_the_colour_of_their_class(classes):
    model = Linear(classes)
    corners = np.array([[-1.0, -2.0], [1.0, 2.0]])
    ax = plot.decision_regions(model, corners, [-1, -1], resolution=40)
    (image,) = ax.images
    shade = np.asarray(image.get_array())
    assert shade.shape == (40, 40, 3) and image.origin == "lower"
    left, right, bottom, top = image.get_extent()
    for row, column in ((3, 30), (37, 4), (20, 39)):
        point = [[left + (column + 0.5) / 40 * (right - left), bottom + (row + 0.5) / 40 * (top - bottom)]]
        probabilities = model.predict_proba(point)[0]
        color = np.array(matplotlib.colors.to_rgb(plot.COLORS[probabilities.argmax() % len(plot.COLORS)]))
        # Mixed with white, the more of it the less sure the model is.
        mixed = (1 - shade[row, column]) / (1 - color + 1e-12)
        strength = mixed[1 - color > 0.01]
        certainty = (probabilities.max() - 1 / classes) / (1 - 1 / classes)
        np.testing.assert_allclose(strength, 0.1 + 0.4 * certainty, rtol=1e-6)


def test_decision_regions_of_an_estimator(trained):
    x, y, _ = moons()
    trained = trained.copy()
    trained.feature_names = ["length", "width"]
    model = estimator(trained)
    model.feature_names_in_ = np.array(["length", "width"])
    for none in (-1, None, np.nan):
        named = np.array(["inner", "outer", none], object)[y]
        ax = plot.decision_regions(model, x, named)
        assert legend(ax) == ["no label", "inner", "outer"]
        assert (ax.get_xlabel(), ax.get_ylabel()) == ("length", "width")
    assert plot.decision_regions(trained, x, y).get_xlabel() == "length"
    trained.class_names = ["a", "b"]
    assert legend(plot.decision_regions(trained, x, y))[1:] == ["a", "b"]


def test_minus_one_can_be_a_class(trained):
    x, y, classes = moons()
    ax = plot.decision_regions(estimator(trained, (-1, 1)), x, 2 * classes - 1)
    assert legend(ax) == ["-1", "1"]
    assert "accuracy 1.000" in plot.confusion(estimator(Model(), (-1, 1)), np.eye(2), [-1, 1]).get_title()


def test_rows_that_all_have_a_label_or_none(trained):
    x, _, classes = moons()
    assert legend(plot.decision_regions(trained, x, classes)) == ["0", "1"]
    assert legend(plot.decision_regions(trained, x, np.full(len(x), -1))) == ["no label"]
    assert legend(plot.decision_regions(trained, x[:1], [1])) == ["1"]


def test_what_decision_regions_refuse(trained):
    x, y, _ = moons()
    three = np.column_stack([x, x[:, 0]])
    for arguments, message in (
        ((trained, three, y), r"decision_regions draws two features; X has shape \(200, 3\)"),
        ((trained, x[:, 0], y), "two features"),
        ((trained, x[:0], y[:0]), "X must have rows"),
        ((trained, np.where(x > 1, np.nan, x), y), "neither NaN nor infinity"),
        ((trained, x, y[:-1]), "y has 199 entries, but X has 200 rows"),
        ((trained, x, np.where(y == 1, 7, y)), r"y: 7 in row \d+ is none of the classes 0, 1"),
        ((trained, x, np.where(y == 1, -2, y)), "y: -2 in row"),
    ):
        with pytest.raises(ValueError, match=message):
            plot.decision_regions(*arguments)
    with pytest.raises(ValueError, match="resolution must be at least 2"):
        plot.decision_regions(trained, x, y, resolution=1)
    with pytest.raises(TypeError, match="expected a model with predict_proba, got int"):
        plot.decision_regions(3, x, y)
    assert not plt.get_fignums(), "nothing is left behind"


# Confidence and confusion


def test_confidence():
    largest = np.array([0.5, 0.55, 0.85, 0.95, 0.95, 1.0])
    probabilities = np.column_stack([largest, 1 - largest])
    ax = plot.confidence(Model(), probabilities, bins=5)
    np.testing.assert_allclose([bar.get_height() for bar in ax.patches], np.array([2, 0, 0, 1, 3]) / 6)
    np.testing.assert_allclose([bar.get_x() for bar in ax.patches], [0.5, 0.6, 0.7, 0.8, 0.9])
    assert ax.get_xlim() == (0.5, 1) and ax.get_ylabel() == "share of rows" and not lines(ax)
    y = [0, 1, 0, 0, 1, -1]
    ax = plot.confidence(Model(), probabilities, y, bins=5)
    np.testing.assert_allclose([bar.get_height() for bar in ax.patches], np.array([2, 0, 0, 1, 3]) / 6)
    accuracy = ax.containers[1].lines[0]
    np.testing.assert_allclose(accuracy.get_xdata(), [0.525, 0.85, 0.95])
    np.testing.assert_allclose(accuracy.get_ydata(), [0.5, 1, 0.5])
    error = (2 * 0.025 + 1 * 0.15 + 2 * 0.45) / 5
    assert ax.get_title() == f"accuracy 0.600, expected calibration error {error:.3f}"
    assert set(legend(ax)) == {"share of rows", "accuracy", "accuracy = confidence"}
    for low, high in (segment[:, 1] for segment in ax.collections[0].get_segments()):
        assert 0 <= low < high <= 1


def test_wilson_intervals():
    """Two standard errors at 8 right of 10: roots of (p − 0.8)² = 4 p (1 − p) / 10."""
    probabilities = np.tile([0.8, 0.2], (10, 1))
    ax = plot.confidence(Model(), probabilities, [0] * 8 + [1] * 2)
    (segment,) = ax.collections[0].get_segments()
    np.testing.assert_allclose(segment[:, 1], np.sort(np.roots([1 + 0.4, -1.6 - 0.4, 0.64])))


def test_confidence_of_more_classes(trained):
    random = np.random.default_rng(0)
    probabilities = random.dirichlet(np.ones(10), 500)
    ax = plot.confidence(Model(), probabilities, random.integers(0, 10, 500), bins=20)
    assert ax.get_xlim() == (0.1, 1) and len(ax.patches) == 20
    assert sum(bar.get_height() for bar in ax.patches) == pytest.approx(1)


def test_what_confidence_refuses(trained):
    x, _, classes = moons()
    for keywords, message in (
        ({"y_true": classes[:-1]}, "y_true has 199 entries, but X has 200 rows"),
        ({"y_true": classes + 1}, "y_true: 2 in row 100 is none of the classes 0, 1"),
        ({"y_true": np.full(200, -1)}, "y_true: at least one row must have a class"),
        ({"bins": 0}, "bins must be at least 1"),
    ):
        with pytest.raises(ValueError, match=message):
            plot.confidence(trained, x, **keywords)
    with pytest.raises(ValueError, match="expected probabilities"):
        plot.confidence(Model(), np.ones((3, 1)))


def test_confusion():
    probabilities = np.eye(3)[[0, 0, 1, 2, 2, 2, 0]]
    ax = plot.confusion(Model(), probabilities, [0, 1, 1, 2, 2, 0, -1], class_names=["cat", "dog", "mouse"])
    # Rows are the truth; empty cells stay empty.
    texts = {(text.get_position()[1], text.get_position()[0]): text.get_text() for text in ax.texts}
    assert texts == {(0, 0): "1", (0, 2): "1", (1, 0): "1", (1, 1): "1", (2, 2): "2"}
    np.testing.assert_allclose(ax.images[0].get_array(), [[0.5, 0, 0.5], [0.5, 0.5, 0], [0, 0, 1]])
    assert [label.get_text() for label in ax.get_xticklabels()] == ["cat", "dog", "mouse"]
    assert [label.get_text() for label in ax.get_yticklabels()] == ["cat", "dog", "mouse"]
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("predicted", "true")
    assert ax.get_title() == "accuracy 0.667 (4 of 6)"


def test_confusion_of_a_matrix():
    ax = plot.confusion([[5, 1], [0, 0]])
    assert [text.get_text() for text in ax.texts] == ["5", "1"]
    assert [label.get_text() for label in ax.get_xticklabels()] == ["0", "1"]
    assert not plot.confusion(np.eye(31)).texts, "too many to be read"


def test_confusion_of_an_estimator(trained):
    x, _, classes = moons()
    ax = plot.confusion(estimator(trained), x, np.array(["inner", "outer"])[classes])
    assert [label.get_text() for label in ax.get_xticklabels()] == ["inner", "outer"]
    right = (trained.predict(x) == classes).sum()
    assert ax.get_title() == f"accuracy {right / 200:.3f} ({right} of 200)"


def test_what_confusion_refuses(trained):
    x, _, classes = moons()
    with pytest.raises(TypeError, match="a model needs X and y"):
        plot.confusion(trained, x)
    with pytest.raises(TypeError, match="X and y go with a model, got list"):
        plot.confusion([[1, 2], [3, 4]], x, classes)
    for matrix in ([[1, 2]], [1, 2], [["a"]]):
        with pytest.raises(ValueError, match="expected counts"):
            plot.confusion(matrix)
    for matrix in ([[1, -2], [3, 4]], [[0, 0], [0, 0]], [[np.nan]]):
        with pytest.raises(ValueError, match="counts must be"):
            plot.confusion(matrix)
    with pytest.raises(ValueError, match="class_names: expected 2, got 3"):
        plot.confusion(trained, x, classes, class_names="abc")
    with pytest.raises(ValueError, match="y has 199 entries, but X has 200 rows"):
        plot.confusion(trained, x, classes[:-1])
    with pytest.raises(ValueError, match="at least one row"):
        plot.confusion(trained, x, np.full(200, -1))


# Training


@pytest.mark.parametrize(("draw", "kind"), [(plot.curves, "loss"), (plot.gradient_norms, "gradient_norm")])
def test_a_line_for_each_term(draw, kind, trained):
    ax = draw(trained, smooth=1)
    assert legend(ax) == list(lines(ax)) == TERMS
    for term, line in lines(ax).items():
        assert line.get_xdata().tolist() == list(range(1, 101))
        np.testing.assert_array_equal(line.get_ydata(), trained.history[f"{kind}/{term}"])
    assert len(ax.get_lines()) == 4
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("step", kind.replace("_", " "))
    assert ax.get_yscale() == ("linear" if kind == "loss" else "log")
    assert draw(trained, log=kind == "loss").get_yscale() == ("log" if kind == "loss" else "linear")


def test_all_kinds_of_history(trained):
    expected = lines(plot.curves(trained))["uda"].get_ydata()
    forgotten = estimator(trained)
    del forgotten.trainer_
    forgotten.history_ = trained.history
    for source in (trained.history, estimator(trained), forgotten, {"loss/uda": list(trained.history["loss/uda"])}):
        np.testing.assert_array_equal(lines(plot.curves(source, terms=["uda"]))["uda"].get_ydata(), expected)
    del forgotten.history_
    for wrong in (forgotten, [1, 2], None):
        with pytest.raises(TypeError, match="expected a trainer, a fitted estimator or their history"):
            plot.curves(wrong)


def test_a_term_has_one_colour(trained):
    def colors(ax):
        return {name: line.get_color() for name, line in lines(ax).items()}

    everything = colors(plot.curves(trained))
    assert len(set(everything.values())) == 4
    assert colors(plot.gradient_norms(trained)) == everything
    assert colors(plot.curves(trained, terms=["feedback"])) == {"feedback": everything["feedback"]}
    assert colors(plot.learning_rates(trained))["student"] == everything["student"]
    recorded_colors = {name.split(":")[0]: color for name, color in colors(plot.pseudo_labels(recorded())).items()}
    assert recorded_colors["student"] == everything["student"]
    assert recorded_colors["teacher"] == colors(plot.learning_rates(trained))["teacher"]


def test_terms_that_were_not_computed_are_left_out():
    x, y, _ = moons()
    trainer = make(uda_weight=0, term_gradient_norms=False).fit(x, y, steps=5)
    assert legend(plot.curves(trainer)) == ["student", "supervised", "feedback"]
    assert legend(plot.gradient_norms(trainer)) == ["student"]
    with pytest.raises(ValueError, match="loss/uda is 0 or missing at every step; there are student, supervised"):
        plot.curves(trainer, terms=["student", "uda"])
    with pytest.raises(ValueError, match="loss/typo is not in the history"):
        plot.curves(trainer, terms=["typo"])
    with pytest.raises(TypeError, match="terms: expected a sequence of names"):
        plot.curves(trainer, terms="student")
    with pytest.raises(ValueError, match="one length, got {'student': 2, 'uda': 3}"):
        plot.curves({"loss/student": [1, 2], "loss/uda": [1, 2, 3]})
    with pytest.raises(ValueError, match="nothing to draw under loss/"):
        plot.curves(make())
    supervised = make("supervised").fit(x, y, steps=5)
    assert legend(plot.curves(supervised)) == ["supervised"]
    assert legend(plot.learning_rates(supervised)) == ["student"]


def test_stages_of_training():
    x, y, _ = moons()
    trainer = make("self_training").fit(x, y, steps=20)
    assert trainer.configuration["steps"] == 1000
    assert legend(plot.curves(trainer, smooth=1)) == ["teacher"]
    trainer = make("self_training", steps=20, finetune_steps=5).fit(x, y)
    stages = {"teacher": (1, 10), "supervised": (11, 20), "pseudo_label": (11, 20), "finetune": (21, 25)}
    for draw in (plot.curves, plot.gradient_norms):
        for window in (1, 3):
            drawn = lines(draw(trainer, smooth=window))
            assert set(drawn) == set(stages)
            assert {term: (line.get_xdata()[0], line.get_xdata()[-1]) for term, line in drawn.items()} == stages
    history = {"loss/uda": [0.0, 1.0, 0.0, 3.0, 0.0], "learning_rate/student": [0.0, 0.1, 0.2, 0.1, 0.0]}
    assert lines(plot.curves(history))["uda"].get_ydata().tolist() == [1, 0, 3]
    assert lines(plot.learning_rates(history))["student"].get_ydata().tolist() == [0, 0.1, 0.2, 0.1, 0]


def test_missing_values():
    column = np.array([1.0, np.nan, 3.0, np.nan, 5.0, 7.0])
    history = {"loss/student": column, "loss/never": np.full(6, np.nan)}
    ax = plot.curves(history, smooth=1)
    assert legend(ax) == ["student"]
    line = lines(ax)["student"]
    assert line.get_xdata().tolist() == [1, 3, 5, 6] and line.get_ydata().tolist() == [1, 3, 5, 7]
    line = lines(plot.curves(history, smooth=3))["student"]
    assert line.get_xdata().tolist() == [1, 2, 3, 4, 5, 6]
    np.testing.assert_allclose(line.get_ydata(), [1, 2, 3, 4, 6, 6])


@pytest.mark.parametrize("window", [2, 3, 7, 50, 101, 500, 10**12])
def test_smoothing(window, trained):
    values = trained.history["loss/student"]
    ax = plot.curves(trained, terms=["student"], smooth=window)
    before = window - 1 - window // 2
    expected = [values[max(0, i - before) : i + window // 2 + 1].mean() for i in range(100)]
    np.testing.assert_allclose(lines(ax)["student"].get_ydata(), expected)
    raw, smooth = sorted(ax.get_lines(), key=lambda line: line.get_alpha() or 1)
    np.testing.assert_array_equal(raw.get_ydata(), values)
    low, high = min(expected), max(expected)
    if window < 100:
        np.testing.assert_allclose(ax.get_ylim(), (low - 0.05 * (high - low), high + 0.05 * (high - low)), rtol=1e-6)


def test_smoothing_is_checked(trained):
    with pytest.raises(ValueError, match="smooth must be at least 1"):
        plot.curves(trained, smooth=0)
    with pytest.raises(TypeError, match="smooth must be a whole number"):
        plot.curves(trained, smooth=0.9)
    with pytest.raises(TypeError, match="ax must be"):
        plot.curves(trained, ax=5)


def test_log_scale():
    history = {"loss/uda": [0.0, 1.0, 0.1, 0.0, 0.01], "loss/student": [5.0, 4.0, 3.0, 2.0, 1.0]}
    ax = plot.curves(history, log=True)
    assert ax.get_yscale() == "log"
    assert lines(ax)["uda"].get_xdata().tolist() == [2, 3, 5], "zeros are gaps"
    ax = plot.curves({**history, "loss/feedback": [-3.0, 1.0, -0.1, 0.2, 0.0]}, log=True)
    assert ax.get_yscale() == "symlog"
    assert lines(ax)["uda"].get_ydata().tolist() == [1.0, 0.1, 0.0, 0.01]
    assert lines(ax)["feedback"].get_ydata().tolist() == [-3.0, 1.0, -0.1, 0.2]


def test_learning_rates():
    history = {"learning_rate/student": np.linspace(0.1, 0.05, 10), "learning_rate/teacher": np.full(10, 0.05)}
    ax = plot.learning_rates(history)
    assert legend(ax) == ["student", "teacher"]
    assert ax.get_ylim()[0] == 0
    assert lines(ax)["student"].get_linestyle() != lines(ax)["teacher"].get_linestyle()
    assert plot.learning_rates(history, log=True).get_yscale() == "log"


def test_pseudo_labels():
    recorder = recorded()
    ax = plot.pseudo_labels(recorder)
    networks = ("teacher", "student", "average")
    assert set(lines(ax)) == {f"{name}: {kind}" for name in networks for kind in ("accuracy", "confidence")}
    for label, line in lines(ax).items():
        network, kind = label.split(": ")
        assert line.get_xdata().tolist() == [1, 10, 20, 30]
        np.testing.assert_array_equal(line.get_ydata(), recorder.history[f"{kind}/{network}"])
        assert line.get_linestyle() == {"accuracy": "-", "confidence": "--"}[kind]
    x, y, classes = moons()
    for wrong in (PseudoLabelAccuracy(x, classes), make(), 3):
        with pytest.raises(ValueError, match="a didact.callbacks.PseudoLabelAccuracy that a fit has called"):
            plot.pseudo_labels(wrong)


# Loading


def test_matplotlib_is_loaded_when_it_is_used():
    result = run_python(
        "import sys, didact\n"
        "assert 'didact.plot' not in sys.modules and 'plot' in dir(didact)\n"
        "assert didact.plot.curves and 'matplotlib' not in sys.modules\n"
        "from didact import plot\n"
        "import matplotlib; matplotlib.use('Agg')\n"
        "plot.confusion([[1, 2], [3, 4]])\n"
    )
    assert (result.returncode, result.stderr) == (0, "")


def test_without_matplotlib(trained, monkeypatch):
    for name in [name for name in sys.modules if name.split(".")[0] == "matplotlib"]:
        monkeypatch.setitem(sys.modules, name, None)
    x, y, classes = moons()
    for draw in (
        lambda: plot.decision_regions(trained, x, y),
        lambda: plot.curves(trained),
        lambda: plot.confidence(trained, x),
        lambda: plot.confusion(trained, x, classes),
    ):
        with pytest.raises(ImportError, match=r"pip install didact\[plot\]"):
            draw()


def test_unknown_names():
    with pytest.raises(AttributeError, match="module 'didact' has no attribute 'plots'"):
        didact.plots


def test_contact_sheets_show_the_images_and_what_becomes_of_them():
    random = np.random.default_rng(0)
    colour = random.integers(0, 256, (3, 8, 8, 3), dtype=np.uint8)
    ax = plot.augmentations(colour, "fixmatch", copies=4, seed=2)
    sheet = ax.images[0].get_array()
    assert sheet.shape == (3 * 10, 5 * 10, 3) and ax.get_title() == "fixmatch"
    np.testing.assert_array_equal(sheet[1:9, 1:9], colour[0])
    np.testing.assert_array_equal(sheet[11:19, 31:39], didact.augment(colour, "fixmatch", seed=2, draw=2)[1])
    gray = colour[..., 0]
    assert plot.augmentations(gray, {"operation": "flip"}, copies=1).images[0].get_array().shape == (30, 20, 3)
    for images, message in [(np.zeros((2, 4, 4, 2), np.uint8), "1 or 3 channels"), (gray[0], "1 or 3 channels"),
                            (gray[:0], "1 or 3 channels")]:
        with pytest.raises(ValueError, match=message):
            plot.augmentations(images, "crop")
