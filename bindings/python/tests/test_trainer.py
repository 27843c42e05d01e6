"""Trainers: steps and their halves, fit, files, callbacks, threads."""

import contextlib
import copy
import ctypes
import gc
import operator
import os
import pickle
import signal
import threading
import time
from pathlib import Path

import numpy as np
import pytest

import didact
from didact._library import library
from support import FEEDBACKS, assert_same_bits, run_python, same_bits, snapshot, tried

DTYPES = ("float32", "float64")
NETWORK = didact.mlp(4, [7, 5], 3, batch_norm=True, dropout=0.2)
METRICS = [
    "loss/student", "loss/supervised", "loss/uda", "loss/feedback",
    "gradient_norm/student", "gradient_norm/supervised", "gradient_norm/uda", "gradient_norm/feedback",
    "feedback", "mask_rate", "learning_rate/student", "learning_rate/teacher",
]  # fmt: skip


def batch(seed=0):
    """Labelled rows, classes, unlabelled rows and another view of them."""
    random = np.random.default_rng(seed)
    xl = random.standard_normal((6, 4))
    xu = random.standard_normal((10, 4))
    return xl, random.integers(0, 3, 6), xu, xu + 0.2 * random.standard_normal(xu.shape)


def table(seed=0, rows=90):
    """Three blobs, with a label on every third row."""
    random = np.random.default_rng(seed)
    classes = np.arange(rows) % 3
    x = random.standard_normal((rows, 4)) + 2.5 * np.eye(4)[classes]
    y = np.where(np.arange(rows) // 3 % 3 == 0, classes, -1)
    return x, y, classes


def make(method="meta_pseudo_labels", **configuration):
    settings = {"average_decay": 0.9, "labeled_batch_size": 8}
    if method == "meta_pseudo_labels":
        settings.update(unlabeled_batch_size=16, uda_threshold=0.3)
    settings.update(configuration)
    return didact.Trainer(method, settings.pop("network", NETWORK), **settings)


def arrays(metrics):
    return {name: np.array(value) for name, value in metrics.items()}


# Steps


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("feedback", FEEDBACKS)
@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_a_step_is_its_three_parts(feedback, dtype, optimizer):
    settings = {
        "feedback": feedback, "dtype": dtype, "student_optimizer": {"name": optimizer, "clip_norm": 1.0},
        "teacher_optimizer": {"name": optimizer, "weight_decay": 1e-3},
    }  # fmt: skip
    whole, parts = make(**settings), make(**settings)
    for step in range(5):
        xl, yl, xu, xu_strong = batch(step)
        metrics = whole.step(xl, yl, xu, xu_strong)
        first = parts.student_step(xu, xu_strong)
        second = parts.teacher_step(xl, yl)
        parts.update_average()
        assert_same_bits(arrays(metrics), arrays(second))
        assert first == {name: metrics[name] for name in first}
        assert whole.steps == parts.steps == step + 1
    assert_same_bits(snapshot(whole), snapshot(parts))


def test_the_same_view_twice_is_the_default():
    one, two = make(), make()
    xl, yl, xu, _ = batch()
    one.step(xl, yl, xu)
    two.step(xl, yl, xu, xu)
    assert_same_bits(snapshot(one), snapshot(two))
    three = make()
    three.step(xl, yl, xu, batch()[3])
    assert not same_bits(one.student.parameters["dense0.weight"], three.student.parameters["dense0.weight"])


@pytest.mark.parametrize("dtype", DTYPES)
def test_same_seed_same_bits(dtype):
    runs = []
    for seed in (0, 0, 1):
        trainer = make(dtype=dtype, seed=seed, feedback="gradient_dot")
        trainer.fit(*table()[:2], steps=20)
        runs.append(snapshot(trainer))
    assert_same_bits(runs[0], runs[1])
    assert not same_bits(runs[0]["history/loss/student"], runs[2]["history/loss/student"])


def test_the_networks_start_differently():
    trainer = make()
    teacher, student = trainer.teacher.parameters, trainer.student.parameters
    assert not np.array_equal(teacher["dense0.weight"], student["dense0.weight"])
    assert same_bits(trainer.average.parameters["dense0.weight"], student["dense0.weight"])


@pytest.mark.parametrize("feedback", FEEDBACKS)
def test_metrics(feedback):
    trainer = make(feedback=feedback)
    metrics = [trainer.step(*batch(step)) for step in range(4)]
    for step in metrics:
        assert list(step) == METRICS
        assert all(isinstance(value, float) and np.isfinite(value) for value in step.values())
        assert all(step[name] != 0 for name in METRICS)
        assert 0 < step["mask_rate"] <= 1
        assert step["learning_rate/student"] == trainer.student_optimizer.learning_rate == 0.05
    assert trainer.metrics == metrics[-1]
    history = trainer.history
    assert list(history) == METRICS
    for name, values in history.items():
        assert values.tolist() == [step[name] for step in metrics]


def test_terms_of_weight_zero_read_zero():
    trainer = make(supervised_weight=0, uda_weight=0, feedback_weight=0)
    before = {name: value.copy() for name, value in trainer.teacher.parameters.items()}
    metrics = trainer.step(*batch())
    zero = {name for name, value in metrics.items() if value == 0}
    terms = {f"{kind}/{term}" for kind in ("loss", "gradient_norm") for term in ("supervised", "uda", "feedback")}
    assert zero == terms | {"feedback", "mask_rate"}
    assert all(same_bits(trainer.teacher.parameters[name], value) for name, value in before.items())
    assert metrics["loss/student"] > 0


def test_the_weight_of_the_feedback_scales_it():
    """The teacher moves by learning rate · weight · meta-gradient; a negative weight reverses it."""
    moves = []
    for weight in (1.0, 3.0, -1.0):
        trainer = make(
            network=didact.mlp(4, [5], 3, activation="tanh"), dtype="float64", feedback_weight=weight,
            supervised_weight=0, uda_weight=0, teacher_optimizer={"momentum": 0, "nesterov": False},
        )  # fmt: skip
        before = trainer.teacher.parameters["dense0.weight"].copy()
        trainer.step(*batch())
        moves.append(trainer.teacher.parameters["dense0.weight"] - before)
    assert np.abs(moves[0]).max() > 1e-9
    np.testing.assert_allclose(moves[1], 3 * moves[0], rtol=1e-6)
    np.testing.assert_allclose(moves[2], -moves[0], rtol=1e-6)


def test_feedback_baseline():
    """The baseline starts at 0 and is subtracted before it is updated."""
    settings = {
        "network": didact.mlp(4, [5], 3, activation="tanh"), "dtype": "float64", "feedback": "loss_difference",
        "supervised_weight": 0, "uda_weight": 0,
    }  # fmt: skip
    plain, with_baseline = make(**settings), make(**settings, feedback_baseline_decay=0.9)
    assert plain.step(*batch()) == with_baseline.step(*batch())
    assert_same_bits(
        {name: value.copy() for name, value in plain.teacher.parameters.items()},
        {name: value.copy() for name, value in with_baseline.teacher.parameters.items()},
    )
    first = plain.metrics["feedback"]
    second, corrected = plain.step(*batch(1)), with_baseline.step(*batch(1))
    assert second["feedback"] == corrected["feedback"]
    ratio = (second["feedback"] - 0.1 * first) / second["feedback"]
    assert corrected["loss/feedback"] == pytest.approx(ratio * second["loss/feedback"], rel=1e-9)


def test_teacher_step_needs_a_student_step():
    trainer = make()
    xl, yl, xu, _ = batch()
    for _ in range(2):
        with pytest.raises(RuntimeError, match="student_step") as caught:
            trainer.teacher_step(xl, yl)
        assert caught.value.status_name == "DIDACT_ESTATE"
    trainer.student_step(xu)
    trainer.teacher_step(xl, yl)
    with pytest.raises(RuntimeError, match="student_step"):
        trainer.teacher_step(xl, yl)
    assert trainer.steps == 1


def test_joint_batches_need_whole_steps():
    trainer = make(batch_composition="joint")
    xl, yl, xu, xu_strong = batch()
    with pytest.raises(RuntimeError, match="joint"):
        trainer.student_step(xu)
    assert trainer.step(xl, yl, xu, xu_strong)["gradient_norm/uda"] > 0


def test_compositions_differ_only_where_batches_are_normalised():
    for batch_norm in (True, False):
        network = didact.mlp(4, [5], 3, batch_norm=batch_norm)
        trainers = [make(network=network, batch_composition=name) for name in ("joint", "separate")]
        losses = [trainer.step(*batch())["loss/supervised"] for trainer in trainers]
        assert (losses[0] != losses[1]) == batch_norm


def test_student_network():
    trainer = make(student_network=didact.mlp(4, [9], 3, activation="tanh"))
    assert trainer.student.specification["hidden"] == [9]
    assert trainer.teacher.specification["hidden"] == [7, 5]
    assert trainer.average.specification == trainer.student.specification
    metrics = trainer.step(*batch())
    assert metrics["gradient_norm/feedback"] > 0
    assert list(trainer.meta_gradient(*batch())) == list(trainer.teacher.parameters)
    assert trainer.predict_proba(batch()[0]).shape == (6, 3)
    for other in (didact.mlp(5, [9], 3), didact.mlp(4, [9], 4)):
        with pytest.raises(ValueError, match="student"):
            make(student_network=other)


def test_supervised():
    trainer = make("supervised")
    xl, yl, xu, _ = batch()
    assert list(trainer.step(xl, yl)) == ["loss/supervised", "gradient_norm/supervised", "learning_rate/student"]
    for call in (
        lambda: trainer.teacher,
        lambda: trainer.teacher_optimizer,
        lambda: trainer.student_step(xu),
        lambda: trainer.teacher_step(xl, yl),
        lambda: trainer.meta_gradient(xl, yl, xu),
    ):
        with pytest.raises(RuntimeError) as caught:
            call()
        assert caught.value.status_name == "DIDACT_EUNSUPPORTED"


def test_unlabelled_rows_are_needed():
    with pytest.raises(ValueError, match="unlabel"):
        make().step(*batch()[:2])


def test_predictions_come_from_the_average():
    trainer = make(average_decay=0.99)
    trainer.fit(*table()[:2], steps=30)
    x = table()[0]
    probabilities = trainer.predict_proba(x)
    scaled = (x - x.mean(axis=0)) / x.std(axis=0)
    np.testing.assert_allclose(probabilities, trainer.average.predict_proba(scaled), rtol=1e-4, atol=1e-6)
    assert np.abs(probabilities - trainer.student.predict_proba(scaled)).max() > 1e-3
    assert (trainer.predict(x) == probabilities.argmax(axis=1)).all()
    assert trainer.predict(x).dtype == np.int64
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-5)
    plain = make(average_decay=None)
    assert plain.average is None
    plain.fit(*table()[:2], steps=5)
    np.testing.assert_allclose(plain.predict_proba(x), plain.student.predict_proba(scaled), rtol=1e-4, atol=1e-6)


def test_average():
    trainer = make(dtype="float64", average_decay=0.75)
    before = trainer.average.parameters["dense0.weight"].copy()
    trainer.step(*batch())
    expected = 0.75 * before + 0.25 * trainer.student.parameters["dense0.weight"]
    np.testing.assert_allclose(trainer.average.parameters["dense0.weight"], expected, rtol=1e-12)
    for name, value in trainer.student.statistics.items():
        assert same_bits(trainer.average.statistics[name], value)
    averaged = make(dtype="float64", average_decay=0.75, average_statistics=True)
    before = averaged.average.statistics["batch_norm0.running_mean"].copy()
    averaged.step(*batch())
    expected = 0.75 * before + 0.25 * averaged.student.statistics["batch_norm0.running_mean"]
    np.testing.assert_allclose(averaged.average.statistics["batch_norm0.running_mean"], expected, rtol=1e-12)
    with pytest.raises(ValueError, match="average_decay"):
        make(average_decay=None, average_statistics=True)


def test_learning_rates_can_be_scheduled():
    trainer = make()
    trainer.student_optimizer.learning_rate = 0.01
    trainer.teacher_optimizer.learning_rate = 0.02
    metrics = trainer.step(*batch())
    assert (metrics["learning_rate/student"], metrics["learning_rate/teacher"]) == (0.01, 0.02)
    assert trainer.student_optimizer.state["step"] == 1
    trainer.student_optimizer.learning_rate = 0
    before = trainer.student.parameters["dense0.weight"].copy()
    trainer.step(*batch())
    assert same_bits(trainer.student.parameters["dense0.weight"], before)


def test_divergence_says_where_the_state_that_is_kept_cannot_predict():
    x, y, _ = table()
    network, outcomes = didact.mlp(4, [16], 3, batch_norm=True), set()
    for seed in range(12):
        trainer = didact.Trainer(
            "supervised", network, student_optimizer={"learning_rate": 10.0 ** (6 + seed // 3)}, steps=50, labeled_batch_size=10,
            seed=seed,
        )  # fmt: skip
        with pytest.raises(didact.DidactRuntimeError, match="the last finite state is kept") as caught:
            trainer.fit(x, y)
        try:
            trainer.predict_proba(x[y >= 0][:8])
            is_of_use = True
        except ValueError as error:
            assert "output is not finite; " in str(error) and str(error).endswith("as after a training that diverged")
            is_of_use = False
        assert ("That state cannot predict: begin anew" in str(caught.value)) != is_of_use
        outcomes.add(is_of_use)
    assert outcomes == {False, True}


def test_divergence_keeps_the_last_finite_state():
    trainer = make(
        network=didact.mlp(4, [5], 3), student_optimizer={"learning_rate": 1e30}, average_decay=None,
        input_scaling="none",
    )  # fmt: skip
    x, y, _ = table()
    with pytest.raises(RuntimeError, match=r"step \d+: the \w+ loss") as caught:
        trainer.fit(1e3 * x, y, steps=100)
    assert caught.value.status_name == "DIDACT_EDIVERGED"
    for network in (trainer.student, trainer.teacher):
        for name, value in network.parameters.items():
            assert np.isfinite(value).all(), name
    assert len(trainer.history["loss/student"]) == trainer.steps < 100


# Configuration


def test_configuration():
    trainer = make(student_optimizer={"learning_rate": 0.2}, **{"teacher_optimizer.clip_norm": 2.0})
    configuration = trainer.configuration
    assert configuration["student_optimizer.learning_rate"] == 0.2
    assert configuration["teacher_optimizer.clip_norm"] == 2.0
    assert configuration["uda_temperature"] == 0.7
    assert configuration["method"] == trainer.method == "meta_pseudo_labels"
    fields = {field["key"]: field for field in didact.configuration_fields("meta_pseudo_labels")}
    assert set(configuration) == set(fields)
    assert set(next(iter(fields.values()))) == {"key", "accepts", "default", "meaning", "source"}
    for key in ("feedback", "feedback_weight", "supervised_weight", "uda_weight", "uda_temperature", "uda_threshold",
                "teacher_temperature", "label_smoothing", "average_decay"):  # fmt: skip
        assert key in fields
    for role in ("student", "teacher"):
        for key in ("name", "learning_rate", "momentum", "nesterov", "weight_decay", "decay_exclude", "clip_norm"):
            assert f"{role}_optimizer.{key}" in fields
    configuration["method"] = "changed"
    assert trainer.configuration["method"] == "meta_pseudo_labels"


def test_defaults_are_as_listed():
    for method in ("meta_pseudo_labels", "supervised"):
        configuration = didact.Trainer(method, NETWORK).configuration
        for field in didact.configuration_fields(method):
            if field["default"] != "required":
                assert configuration[field["key"]] == field["default"], field["key"]


def test_numpy_values_configure():
    trainer = make(uda_weight=np.float32(2), seed=np.int64(3), network=didact.mlp(np.int64(4), np.array([5]), 3))
    assert trainer.configuration["uda_weight"] == 2
    assert trainer.student.specification["hidden"] == [5]


def test_names():
    trainer = make()
    assert trainer.class_names == trainer.feature_names == []
    trainer.class_names = ["a", 'quote " and \\', "ümlaut ☃"]
    trainer.feature_names = np.array(["w", "x", "y", "z"])
    assert trainer.class_names == ["a", 'quote " and \\', "ümlaut ☃"]
    for bad in (["a"], list("abcd")):
        with pytest.raises(ValueError, match="3 strings"):
            trainer.class_names = bad
    copied = trainer.copy()
    assert copied.class_names == trainer.class_names
    assert copied.feature_names == ["w", "x", "y", "z"]
    x = table()[0]
    x[2, 3] = np.nan
    with pytest.raises(ValueError, match=r"row 2, column 3 \(z\)"):
        trainer.predict(x)
    trainer.class_names = []
    assert trainer.class_names == []
    assert len(copied.class_names) == 3


def test_repr():
    trainer = make()
    trainer.step(*batch())
    assert "meta_pseudo_labels" in repr(trainer) and "1 steps" in repr(trainer)


# Fit


def test_fit_learns():
    x, y, classes = table(rows=300)
    for method in ("supervised", "meta_pseudo_labels"):
        trainer = make(method, steps=150)
        assert trainer.fit(x, y) is trainer
        assert trainer.steps == 150
        assert (trainer.predict(x) == classes).mean() > 0.9, method
        trainer.fit(x, y)
        assert trainer.steps == 150, "nothing is left of the configured steps"


def test_labels_that_are_missing():
    x, y, _ = table()
    runs = []
    for labels in (
        y,
        np.where(y < 0, np.nan, y),
        [None if label < 0 else int(label) for label in y],
        y[:, None],
        y.astype(np.int8),
    ):
        trainer = make()
        trainer.fit(x, labels, steps=3)
        runs.append(snapshot(trainer))
    for run in runs[1:]:
        assert_same_bits(run, runs[0])


def test_more_unlabelled_rows():
    x, y, _ = table()
    unlabeled = y < 0
    one, two = make(), make()
    one.fit(x[~unlabeled], y[~unlabeled], X_unlabeled=x[unlabeled], steps=3)
    two.fit(x, y, steps=3)
    assert one.steps == two.steps == 3
    assert one.history["loss/student"][0] != two.history["loss/student"][0], "rows come in another order"
    without = make()
    without.fit(x[~unlabeled], y[~unlabeled], steps=3)
    assert without.history["loss/student"][0] != one.history["loss/student"][0]
    empty = make()
    empty.fit(x[~unlabeled], y[~unlabeled], X_unlabeled=np.empty((0, 4)), steps=3)
    assert_same_bits(snapshot(empty), snapshot(without))


def test_input_scaling():
    x, y, _ = table()
    probabilities = {}
    for scaling in ("standard", "unit", "none"):
        for factor in (1.0, 1000.0):
            trainer = make(dtype="float64", input_scaling=scaling, weak_noise=0, strong_noise=0)
            trainer.fit(factor * x, y, steps=5)
            probabilities[scaling, factor] = trainer.predict_proba(factor * x)
    for scaling in ("standard", "unit"):
        np.testing.assert_allclose(probabilities[scaling, 1.0], probabilities[scaling, 1000.0], rtol=1e-6)
    assert np.abs(probabilities["none", 1.0] - probabilities["none", 1000.0]).max() > 1e-3


@pytest.mark.parametrize("kind", ["standard", "table"])
@pytest.mark.parametrize("dtype", DTYPES)
def test_a_column_far_from_zero_is_scaled_as_it_is(dtype, kind):
    """In float32 a time in milliseconds has steps of two minutes, and the mean of a constant is another number."""
    x, y, _ = table()

    def probabilities(column):
        rows = np.c_[x, column]
        trainer = make(network=didact.mlp(5, [8], 3), dtype=dtype, input_scaling=kind)
        return trainer.fit(rows, y, steps=5).predict_proba(rows)

    far = 1764370000123
    assert same_bits(probabilities(np.full(len(x), far)), probabilities(np.zeros(len(x))))
    near = np.arange(len(x)) % 7
    np.testing.assert_allclose(probabilities(far + near), probabilities(near), rtol=1e-3)


# Going on


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("feedback", FEEDBACKS)
@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_a_resumed_fit_equals_an_uninterrupted_one(feedback, dtype, optimizer, tmp_path):
    x, y, _ = table()
    settings = {
        "feedback": feedback, "dtype": dtype, "student_optimizer": {"name": optimizer},
        "teacher_optimizer": {"name": optimizer, "clip_norm": 0.5},
        **({} if feedback == "exact" else {"feedback_baseline_decay": 0.9}),
    }  # fmt: skip
    whole, twice, stopped = make(**settings), make(**settings), make(**settings)
    whole.fit(x, y, steps=60)
    twice.fit(x, y, steps=30)
    copied = twice.copy()
    twice.save(tmp_path / "twice.safetensors")
    twice.fit(x, y, steps=30)
    stopped.fit(x, y, steps=60, callback=lambda progress: progress["step"] == 30)
    assert stopped.steps == 30
    loaded = didact.Trainer.load(tmp_path / "twice.safetensors")
    assert_same_bits(snapshot(loaded), snapshot(copied))
    for other in (loaded, copied, stopped):
        other.fit(x, y, steps=30)
    for other in (twice, loaded, copied, stopped):
        assert_same_bits(snapshot(other), snapshot(whole))
        assert same_bits(other.predict_proba(x), whole.predict_proba(x))


@pytest.mark.parametrize("method", ["supervised", "meta_pseudo_labels"])
def test_resumed_steps_equal_uninterrupted_ones(method, tmp_path):
    arguments = 2 if method == "supervised" else 4
    optimizer = {"student_optimizer": {"name": "adamw"}}
    whole = make(method, **optimizer)
    resumed = make(method, **optimizer)
    for step in range(6):
        whole.step(*batch(step)[:arguments])
        resumed.step(*batch(step)[:arguments])
        resumed.student_optimizer.learning_rate = 0.01 / (step + 1)
        whole.student_optimizer.learning_rate = 0.01 / (step + 1)
        path = tmp_path / f"{step}.safetensors"
        resumed.save(path)
        resumed = didact.Trainer.load(path)
    assert_same_bits(snapshot(resumed), snapshot(whole))


def test_what_a_file_keeps(tmp_path):
    trainer = make(seed=4, student_network=didact.mlp(4, [9], 3, activation="tanh"), eman=True)
    trainer.class_names = ["red", "green", "blue"]
    trainer.feature_names = list("wxyz")
    trainer.fit(*table()[:2], steps=10)
    trainer.save(tmp_path / "model.safetensors")
    loaded = didact.Trainer.load(os.fspath(tmp_path / "model.safetensors"))
    assert loaded.configuration == trainer.configuration
    assert loaded.class_names == ["red", "green", "blue"]
    assert loaded.feature_names == list("wxyz")
    assert_same_bits(snapshot(loaded), snapshot(trainer))
    assert same_bits(loaded.predict_proba(table()[0]), trainer.predict_proba(table()[0]))
    loaded.save(tmp_path / "again.safetensors")
    assert (tmp_path / "again.safetensors").read_bytes() == (tmp_path / "model.safetensors").read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["again.safetensors", "model.safetensors"]


@pytest.mark.parametrize("copying", [copy.copy, copy.deepcopy, didact.Trainer.copy])
def test_copies(copying):
    trainer = make()
    trainer.fit(*table()[:2], steps=5)
    twin = copying(trainer)
    before = snapshot(trainer)
    assert_same_bits(before, snapshot(twin))
    twin.fit(*table()[:2], steps=5)
    assert_same_bits(snapshot(trainer), before)
    trainer.fit(*table()[:2], steps=5)
    assert_same_bits(snapshot(trainer), snapshot(twin))


# Callbacks


def test_a_callback_sees_every_step():
    seen = []
    trainer = make()
    trainer.fit(*table()[:2], steps=7, callback=seen.append)
    assert [progress["step"] for progress in seen] == list(range(1, 8))
    assert all(progress["steps"] == 7 for progress in seen)
    assert sorted(progress["seconds"] for progress in seen) == [progress["seconds"] for progress in seen]
    names = {"student_loss": "loss/student", "supervised_loss": "loss/supervised", "unlabeled_loss": "loss/uda"}
    for field, name in {**names, "feedback": "feedback"}.items():
        assert [progress[field] for progress in seen] == trainer.history[name].tolist()
    trainer.fit(*table()[:2], steps=2, callback=seen.append)
    assert (seen[-1]["step"], seen[-1]["steps"]) == (9, 9)


@pytest.mark.parametrize("method", ["supervised", "meta_pseudo_labels"])
def test_a_callback_gets_all_metrics(method):
    seen = []
    trainer = make(method)
    trainer.fit(*table()[:2], steps=3, callback=seen.append)
    for name, values in trainer.history.items():
        assert [progress[name] for progress in seen] == values.tolist()
    assert all(progress["unlabeled_loss"] == progress.get("loss/uda", 0) for progress in seen)


def test_several_callbacks():
    calls = []
    trainer = make()
    callbacks = [
        lambda progress: calls.append(("first", progress["step"])) or progress["step"] == 2,
        lambda progress: calls.append(("second", progress["step"])),
    ]
    trainer.fit(*table()[:2], steps=9, callback=callbacks)
    assert calls == [("first", 1), ("second", 1), ("first", 2), ("second", 2)], "all see the step that one stops at"
    trainer.fit(*table()[:2], steps=1, callback=())
    assert trainer.steps == 3
    for wrong in (3, [print, None], "print", {"step": print}):
        with pytest.raises(TypeError, match="callback must be a callable or a sequence of callables"):
            trainer.fit(*table()[:2], steps=1, callback=wrong)
    assert trainer.steps == 3


class Ends(didact.callbacks.Callback):
    def __init__(self):
        self.calls = []

    def begin(self, trainer):
        self.calls.append("begin")

    def __call__(self, progress):
        self.calls.append(progress["step"])

    def end(self, trainer):
        self.calls.append("end")


def test_a_callback_is_told_of_begin_and_end():
    trainer = make()
    x, y, _ = table()

    def interrupt(progress):
        raise KeyboardInterrupt

    def fail(trainer):
        raise ZeroDivisionError

    last = Ends()
    last.end = fail
    for others, error, calls in (
        ([], None, ["begin", 1, 2, "end"]),
        ([lambda progress: True], None, ["begin", 3, "end"]),
        ([interrupt], KeyboardInterrupt, ["begin", 4, "end"]),
        ([last], ZeroDivisionError, ["begin", 5, 6, "end"]),
    ):
        ends = Ends()
        with pytest.raises(error) if error else contextlib.nullcontext():
            trainer.fit(x, y, steps=2, callback=[ends, *others])
        assert ends.calls == calls
    refused = Ends()
    with pytest.raises(ValueError):
        trainer.fit(x[:, :3], y, steps=2, callback=refused)
    assert refused.calls == ["begin", "end"]


def test_a_callback_stops():
    trainer = make()
    trainer.fit(*table()[:2], steps=50, callback=lambda progress: progress["step"] >= 4)
    assert trainer.steps == 4
    trainer.fit(*table()[:2], steps=2, callback=lambda progress: None)
    assert trainer.steps == 6


@pytest.mark.parametrize("error", [ZeroDivisionError, KeyboardInterrupt, SystemExit])
def test_an_exception_in_a_callback_reaches_the_caller(error, capfd):
    trainer = make()

    def callback(progress):
        if progress["step"] == 3:
            raise error("from the callback")

    with pytest.raises(error, match="from the callback") as caught:
        trainer.fit(*table()[:2], steps=50, callback=callback)
    assert any(entry.name == "callback" for entry in caught.traceback)
    assert trainer.steps == 3
    assert np.isfinite(trainer.predict_proba(table()[0])).all()
    trainer.fit(*table()[:2], steps=2)
    assert trainer.steps == 5
    assert capfd.readouterr() == ("", "")


def test_predicting_within_a_callback():
    trainer = make(average_decay=None)
    x, y, _ = table()
    seen = []

    def callback(progress):
        seen.append(trainer.predict_proba(x))
        seen.append(trainer.student.predict_proba(x))
        assert trainer.steps == progress["step"]
        assert len(trainer.history["loss/student"]) == progress["step"]
        assert trainer.metrics["loss/student"] == progress["student_loss"]
        assert trainer.metrics.items() <= progress.items()

    trainer.fit(x, y, steps=4, callback=callback)
    assert len(seen) == 8
    assert not same_bits(seen[0], seen[6])
    assert same_bits(seen[6], trainer.predict_proba(x))


def test_saving_within_a_callback(tmp_path):
    trainer, uninterrupted = make(), make()
    x, y, _ = table()

    def callback(progress):
        if progress["step"] == 3:
            trainer.save(tmp_path / "three.safetensors")
            assert trainer.copy().steps == 3

    trainer.fit(x, y, steps=6, callback=callback)
    uninterrupted.fit(x, y, steps=6)
    loaded = didact.Trainer.load(tmp_path / "three.safetensors")
    assert loaded.steps == 3
    loaded.fit(x, y, steps=3)
    for other in (trainer, loaded):
        assert_same_bits(snapshot(other), snapshot(uninterrupted))


def test_training_within_a_callback_is_refused():
    trainer = make()
    x, y, _ = table()
    xl, yl, xu, _ = batch()
    calls = (
        lambda: trainer.fit(x, y, steps=1),
        lambda: trainer.step(xl, yl, xu),
        lambda: trainer.student_step(xu),
        lambda: trainer.teacher_step(xl, yl),
        lambda: trainer.update_average(),
    )
    refused = []

    def callback(progress):
        for call in calls:
            with pytest.raises(didact.DidactError, match="training already") as caught:
                call()
            refused.append(caught.value.status_name)

    trainer.fit(x, y, steps=2, callback=callback)
    assert refused == ["DIDACT_EBUSY"] * 2 * len(calls)
    assert trainer.steps == 2
    reference = make()
    reference.fit(x, y, steps=2)
    assert_same_bits(snapshot(trainer), snapshot(reference))


def test_another_trainer_within_a_callback():
    trainer, other = make(), make(seed=1)
    x, y, _ = table()
    trainer.fit(x, y, steps=3, callback=lambda progress: other.fit(x, y, steps=1) and None)
    assert trainer.steps == other.steps == 3


# Ctrl-C

INTERRUPTED = """
import os, signal, sys, threading
import didact
x, y = didact.datasets.load_digits()
y[100:] = -1
trainer = didact.Trainer("meta_pseudo_labels", didact.mlp(64, [32], 10), steps=10_000_000, unlabeled_batch_size=64)
seen = []
def interrupt(after):
    threading.Timer(after, os.kill, (os.getpid(), signal.SIGINT)).start()
def callback(progress):
    seen.append(progress["step"])
    if sys.argv[1] == "callback" and len(seen) == 5:
        os.kill(os.getpid(), signal.SIGINT)
if sys.argv[1] != "callback":
    interrupt(0.3)
try:
    trainer.fit(x, y, callback=None if sys.argv[1] == "silent" else callback)
except KeyboardInterrupt:
    print("interrupted")
assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
steps = trainer.steps
assert 0 < steps < 10_000_000, steps
assert sys.argv[1] != "callback" or steps == 5, steps
assert len(trainer.history["loss/student"]) == steps
assert abs(trainer.predict_proba(x[:9]).sum() - 9) < 1e-3
trainer.fit(x, y, steps=2)
assert trainer.steps == steps + 2
print("usable")
"""


@pytest.mark.parametrize("where", ["silent", "with a callback", "callback"])
def test_ctrl_c_stops_cleanly(where):
    result = run_python(INTERRUPTED, where, timeout=60)
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout.split() == ["interrupted", "usable"]


UNHANDLED = """
import os, signal, threading
import didact
x, y = didact.datasets.make_two_moons(100)
threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT)).start()
didact.Trainer("meta_pseudo_labels", didact.mlp(2, [32], 2), steps=10_000_000).fit(x, y)
"""


def test_ctrl_c_ends_a_script():
    result = run_python(UNHANDLED, timeout=60)
    assert result.returncode == -signal.SIGINT
    assert "KeyboardInterrupt" in result.stderr
    assert "ignored" not in result.stderr


def test_a_handler_of_ones_own_is_called_and_stays():
    calls = []
    previous = signal.signal(signal.SIGINT, lambda *arguments: calls.append(arguments[0]))
    try:
        handler = signal.getsignal(signal.SIGINT)
        trainer = make()

        def callback(progress):
            if progress["step"] == 2:
                os.kill(os.getpid(), signal.SIGINT)

        trainer.fit(*table()[:2], steps=5, callback=callback)
        assert trainer.steps == 5, "a handler that does not raise does not stop the fit"
        assert calls == [signal.SIGINT]
        assert signal.getsignal(signal.SIGINT) is handler
    finally:
        signal.signal(signal.SIGINT, previous)


# Threads


class Threads:
    """Runs functions over and over in threads until the block ends, and raises what they raised."""

    def __init__(self, *functions):
        self.errors, self.counts = [], [0] * len(functions)
        self.stop = threading.Event()
        self.threads = [threading.Thread(target=self.run, args=item) for item in enumerate(functions)]

    def run(self, index, function):
        try:
            while not self.stop.is_set():
                function()
                self.counts[index] += 1
        except BaseException as error:  # noqa: BLE001
            self.errors.append(error)

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *exception):
        self.stop.set()
        for thread in self.threads:
            thread.join(60)
        assert not any(thread.is_alive() for thread in self.threads)
        if self.errors:
            raise self.errors[0]


@pytest.mark.parametrize("average_decay", [None, 0.9])
def test_eight_threads_predict_while_another_fits(average_decay):
    x, y, classes = table(rows=300)
    trainer, reference = make(average_decay=average_decay), make(average_decay=average_decay)
    good = []

    def predict():
        probabilities = trainer.predict_proba(x)
        assert np.isfinite(probabilities).all() and (probabilities >= 0).all()
        np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-4)
        good.append((probabilities.argmax(axis=1) == classes).mean())

    with Threads(*[predict] * 8) as threads:
        # The first prediction comes before the fit has chosen the input scaling.
        while not good and not threads.errors:
            time.sleep(0.001)
        trainer.fit(x, y, steps=150)
        # The second prediction of a thread from now on began after the fit.
        enough = [count + 2 for count in threads.counts]
        while not threads.errors and any(map(operator.lt, threads.counts, enough)):
            time.sleep(0.001)
    assert good[-1] > 0.9
    reference.fit(x, y, steps=150)
    assert_same_bits(snapshot(trainer), snapshot(reference))


def test_reading_a_trainer_while_it_fits(tmp_path):
    trainer, reference = make(), make()
    x, y, _ = table()

    def history():
        columns = trainer.history
        assert len({len(column) for column in columns.values()}) == 1
        assert all(np.isfinite(column).all() for column in columns.values())

    def metrics():
        assert set(trainer.metrics) <= set(METRICS)
        assert trainer.steps >= 0
        trainer.class_names = ["a", "b", "c"]
        assert trainer.class_names == ["a", "b", "c"]

    def save():
        path = tmp_path / f"{threading.get_ident()}.safetensors"
        trainer.save(path)
        loaded = didact.Trainer.load(path)
        assert len(loaded.history["loss/student"]) == loaded.steps

    def copies():
        twin = trainer.copy()
        assert len(twin.history["loss/student"]) == twin.steps
        assert twin.student_optimizer.state["step"] == twin.steps

    with Threads(history, history, metrics, metrics, save, copies) as threads:
        trainer.fit(x, y, steps=300)
        while min(threads.counts) < 3 and not threads.errors:
            time.sleep(0.001)
    reference.fit(x, y, steps=300)
    reference.class_names = ["a", "b", "c"]
    assert_same_bits(snapshot(trainer), snapshot(reference))


def test_one_training_call_at_a_time():
    trainer = make()
    x, y, _ = table()
    started, go_on = threading.Event(), threading.Event()

    def callback(progress):
        started.set()
        go_on.wait(30)

    thread = threading.Thread(target=trainer.fit, args=(x, y), kwargs={"steps": 3, "callback": callback})
    thread.start()
    try:
        assert started.wait(30)
        with pytest.raises(RuntimeError) as caught:
            trainer.step(*batch())
        assert caught.value.status_name == "DIDACT_EBUSY"
        assert trainer.predict(x).shape == (90,)
    finally:
        go_on.set()
        thread.join(30)
    assert trainer.steps == 3
    trainer.step(*batch())
    assert trainer.steps == 4


def test_trainers_in_many_threads():
    x, y, _ = table()
    results = {}

    def fit(seed):
        trainer = make(seed=seed % 2)
        trainer.fit(x, y, steps=20)
        results[seed] = snapshot(trainer)

    threads = [threading.Thread(target=fit, args=(seed,)) for seed in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(results) == 6
    for seed in range(2, 6):
        assert_same_bits(results[seed], results[seed % 2])


def test_handles_are_freed():
    def alive():
        gc.collect()
        count = ctypes.c_int64()
        assert library.didact_live_handles(ctypes.byref(count)) == 0
        return count.value

    before = alive()
    trainer = make()
    trainer.fit(*table()[:2], steps=2)
    parts = [trainer.student, trainer.teacher, trainer.average, trainer.student_optimizer, trainer.copy()]
    parts.append(trainer.student.record(table()[0]))
    parts.append(didact.MovingAverage(trainer.student, 0.5))
    assert alive() >= before + 8
    del trainer, parts
    assert alive() == before


@pytest.mark.parametrize("stop", [True, np.True_, 1])
def test_anything_true_from_the_callback_stops(stop):
    trainer = make()
    trainer.fit(*table()[:2], steps=50, callback=lambda progress: stop if progress["step"] == 5 else np.False_)
    assert trainer.steps == 5


def test_memory_stays_flat():
    x, y = table()[:2]
    trainer = make()

    def resident():
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE")

    trainer.fit(x, y, steps=1000)
    before = resident()
    trainer.fit(x, y, steps=4000)
    # The history takes 12 numbers a step, 0.4 MB in all, and grows by doubling.
    assert resident() - before < 2_000_000


# Signals


@pytest.mark.parametrize("name", ["SIGALRM", "SIGTERM", "SIGUSR1", "SIGHUP"])
def test_an_exception_of_any_signal_handler_stops_the_fit(name):
    """Timeouts and schedulers raise from handlers; only Ctrl-C's was held, and the others' exceptions were lost."""
    x, y, _ = table()
    number = getattr(signal, name)

    class Stopped(BaseException):
        pass

    def handler(*arguments):
        raise Stopped

    previous = signal.signal(number, handler)
    try:
        for callback in (None, lambda progress: None):
            trainer = make(steps=1_000_000)
            timer = threading.Timer(0.2, os.kill, (os.getpid(), number))
            timer.start()
            with pytest.raises(Stopped):
                trainer.fit(x, y, callback=callback)
            timer.join()
            assert 0 < trainer.steps < 1_000_000 and np.isfinite(trainer.predict_proba(x)).all()
            assert signal.getsignal(number) is handler
    finally:
        signal.signal(number, previous)


def test_a_handler_that_a_callback_sets_stays():
    x, y, _ = table()
    previous = signal.getsignal(signal.SIGUSR1)
    other = lambda *arguments: None  # noqa: E731
    try:
        make().fit(x, y, steps=3, callback=lambda progress: signal.signal(signal.SIGUSR1, other) and None)
        assert signal.getsignal(signal.SIGUSR1) is other
    finally:
        signal.signal(signal.SIGUSR1, previous)


def test_a_storm_of_signals_changes_nothing(tmp_path):
    """Generated code may use the stack pointer for its own purposes, so that a handler's frame would lie in its data.

    DIDACT_STORM_STEPS says how many steps; scripts/nightly makes more than a minute of them.
    """
    steps = int(os.environ.get("DIDACT_STORM_STEPS", "60"))
    x, y, _ = table(rows=400)
    settings = {"network": didact.mlp(4, [300, 300], 3), "labeled_batch_size": 200, "unlabeled_batch_size": 200, "threads": 2}
    quiet = make(**settings).fit(x, y, steps=steps)
    code = (
        "import signal, sys, numpy as np, didact\n"
        "from test_trainer import make, table\n"
        "from support import snapshot\n"
        "count = 0\n"
        "def handler(*arguments):\n"
        "    global count; count += 1\n"
        "signal.signal(signal.SIGALRM, handler)\n"
        "signal.setitimer(signal.ITIMER_REAL, 0.0005, 0.0005)\n"
        "x, y, _ = table(rows=400)\n"
        "trainer = make(network=didact.mlp(4, [300, 300], 3), labeled_batch_size=200, unlabeled_batch_size=200, threads=2)\n"
        "trainer.fit(x, y, steps=int(sys.argv[2]))\n"
        "signal.setitimer(signal.ITIMER_REAL, 0)\n"
        "trainer.save(sys.argv[1])\n"
        "assert count > 20, count\n"
        "print(count)\n"
    )
    path = str(tmp_path / "stormy.safetensors")
    result = run_python(code, path, str(steps), timeout=60 + steps)
    assert result.returncode == 0, result.stderr
    assert_same_bits(snapshot(didact.Trainer.load(path)), snapshot(quiet))
    tried("signals during a training", int(result.stdout))


# Bytes


def test_bytes_are_those_of_a_file_and_need_no_folder(tmp_path, monkeypatch):
    x, y, _ = table()
    trainer = make().fit(x, y, steps=5)
    trainer.save(tmp_path / "model.safetensors")
    data = trainer.to_bytes()
    assert data == (tmp_path / "model.safetensors").read_bytes()
    for name in ("TMPDIR", "TEMP", "TMP"):
        monkeypatch.setenv(name, str(tmp_path / "nowhere"))
    monkeypatch.chdir("/proc")
    for same in (didact.Trainer.from_bytes(data), didact.Trainer.from_bytes(memoryview(bytearray(data))),
                 pickle.loads(pickle.dumps(trainer))):  # fmt: skip
        assert_same_bits(snapshot(same), snapshot(trainer))
        same.fit(x, y, steps=5)
        trainer_again = trainer.copy().fit(x, y, steps=5)
        assert_same_bits(snapshot(same), snapshot(trainer_again))


def test_damaged_bytes_are_refused():
    x, y, _ = table()
    data = make().fit(x, y, steps=2).to_bytes()
    for wrong in (b"", b"\0" * 8, data[:-1], data[: len(data) // 2], data + b"\0", b"\xff" * 64, data[:8] + b"x" + data[9:]):
        with pytest.raises(ValueError):
            didact.Trainer.from_bytes(wrong)
    with pytest.raises(TypeError):
        didact.Trainer.from_bytes("text")


def test_bytes_of_a_trainer_that_is_at_work():
    """The history grows between two calls; the bytes are of one step."""
    x, y, _ = table()
    trainer = make(steps=400)
    worker = threading.Thread(target=lambda: trainer.fit(x, y))
    worker.start()
    taken = []
    while worker.is_alive():
        taken.append(trainer.to_bytes())
    worker.join()
    for data in taken[:: max(1, len(taken) // 10)]:
        loaded = didact.Trainer.from_bytes(data)
        assert len(loaded.history["loss/student"]) == loaded.steps <= 400


def test_what_would_not_be_read_is_not_saved(tmp_path):
    """Views write anything to the engine's memory."""
    x, y, _ = table()
    path = tmp_path / "model.safetensors"

    def check(change, message):
        trainer = make(network=didact.mlp(4, [8], 3, batch_norm=True), average_decay=0.9).fit(x, y, steps=2)
        change(trainer)
        for save in (lambda: trainer.save(path), trainer.to_bytes, lambda: pickle.dumps(trainer)):
            with pytest.raises(ValueError, match=message):
                save()
        assert not path.exists()

    def set_variance(trainer):
        trainer.student.statistics["batch_norm0.running_variance"][0] = -1

    check(set_variance, "student.batch_norm0.running_variance.* holds a negative variance")
    for count in (-5, 2**40):
        def set_count(trainer, count=count):
            trainer.student_optimizer.state["step"][...] = count

        check(set_count, f"optimizer.student.step.* is {count}, no count of steps")

    def set_nan(trainer):
        trainer.teacher.parameters["dense0.weight"][0, 0] = np.nan

    check(set_nan, "teacher.dense0.weight.* holds NaN or infinity")


def test_loading_takes_time_in_proportion_to_the_file(tmp_path):
    """A tensor was looked for among all of them."""
    seconds = []
    for layers in (1000, 4000):
        network = didact.Network(didact.mlp(1, [1] * layers, 2))
        network.save(tmp_path / "deep.safetensors")
        start = time.perf_counter()
        didact.Network.load(tmp_path / "deep.safetensors")
        seconds.append(time.perf_counter() - start)
    assert seconds[1] < 10 * seconds[0], seconds


# What an attack found


def test_a_fit_without_a_step_leaves_no_scaling_behind():
    x, y = didact.datasets.make_two_moons(200, seed=0)
    trainer = didact.Trainer("supervised", didact.mlp(2, [32], 2), steps=300, validation_fraction=0.2)
    with pytest.raises(ValueError, match="validation_fraction"):
        trainer.fit(x, np.r_[0, 1, np.full(398, -1)])
    trainer.fit(x, y, steps=0)
    trainer.fit(1000 * x + 5e4, y)
    assert (trainer.predict(1000 * x + 5e4) == y).mean() > 0.95


def test_a_fit_that_is_refused_leaves_the_scaling_of_the_one_at_work():
    x, y, _ = table()
    trainer = make(network=didact.mlp(4, [8], 3), average_decay=None)
    alone = make(network=didact.mlp(4, [8], 3), average_decay=None).fit(1000 * x, y, steps=3)

    def callback(progress):
        with pytest.raises(didact.DidactError, match="training already"):
            trainer.fit(x, y)

    trainer.fit(1000 * x, y, steps=3, callback=callback)
    assert_same_bits(snapshot(trainer), snapshot(alone))
    assert same_bits(trainer.predict_proba(1000 * x), alone.predict_proba(1000 * x))


def test_what_the_last_step_moved_to_infinity_is_not_kept():
    x, y, _ = table()
    network = didact.mlp(4, [8], 3)
    for settings in ({"steps": 1, "student_optimizer": {"learning_rate": 1e308}}, {"steps": 3, "finetune_steps": 1,
                     "finetune_learning_rate": 1e300}, {"steps": 5, "student_optimizer": {"learning_rate": 1e308}}):  # fmt: skip
        trainer = didact.Trainer("supervised", network, **settings)
        with pytest.raises(didact.DidactRuntimeError, match="the last finite state is kept"):
            trainer.fit(x, y)
        trainer.copy().predict_proba(x)
        assert didact.Trainer.from_bytes(trainer.to_bytes()).steps == trainer.steps


def test_running_statistics_that_overflow_are_a_divergence():
    x, y, _ = table()
    trainer = didact.Trainer("supervised", didact.mlp(4, [8], 3, batch_norm=True), steps=5, input_scaling="none")
    with pytest.raises(didact.DidactRuntimeError, match="step 0: the running statistics of the student's normalisation"):
        trainer.fit(1e20 * x, y)
    assert trainer.steps == 0 and trainer.to_bytes()


def test_handlers_that_raise_around_a_fit_leave_no_handler_behind():
    code = """
import signal, random, numpy as np, didact
class Timeout(Exception): pass
def timeout(number, frame): raise Timeout
signal.signal(signal.SIGALRM, timeout)
before = {number: signal.getsignal(number) for number in signal.valid_signals()}
trainer = didact.Trainer("supervised", didact.mlp(2, [4], 2), steps=10**9)
x, y, raised = np.random.randn(40, 2), np.arange(40) % 2, 0
for _ in range(3000):
    try:
        try:
            signal.setitimer(signal.ITIMER_REAL, random.uniform(1e-5, 2e-3))
            trainer.fit(x, y, steps=2)
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
    except Timeout:
        raised += 1
    assert {number: signal.getsignal(number) for number in signal.valid_signals()} == before
    assert not signal.pthread_sigmask(signal.SIG_BLOCK, ())
assert raised > 100, raised
"""
    done = run_python(code, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]


def test_texts_for_c_have_no_nul():
    x, y, _ = table()
    trainer = make().fit(x, y, steps=2)
    for call in (lambda: trainer.predict_proba(x, "student\0junk"), lambda: didact.configuration_fields("uda\0z"),
                 lambda: didact.preset("table\0x", "supervised", 2, 2)):  # fmt: skip
        with pytest.raises(ValueError, match="has a NUL in it"):
            call()
    for call in (lambda: trainer.predict_proba(x, 5), lambda: didact.configuration_fields(5),
                 lambda: didact.preset(None, "supervised", 2, 2)):  # fmt: skip
        with pytest.raises(TypeError, match="must be text"):
            call()
