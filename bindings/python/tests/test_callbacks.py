"""The callbacks that come with the package."""

import io
import json

import numpy as np
import pytest

import didact
from didact.callbacks import JSONLines, PseudoLabelAccuracy


def make(method="meta_pseudo_labels", **configuration):
    if method != "supervised":
        configuration.setdefault("unlabeled_batch_size", 32)
    return didact.Trainer(method, didact.mlp(2, [8], 2), labeled_batch_size=8, **configuration)


def data():
    """Rows, labels of every fifth, all classes. The inputs need their scaling."""
    x, classes = didact.datasets.make_two_moons(50)
    return 100 * x + 1000, np.where(np.arange(len(classes)) % 5 == 0, classes, -1), classes


@pytest.mark.parametrize("method", ["supervised", "meta_pseudo_labels"])
def test_json_lines(method, tmp_path):
    path = tmp_path / "log.jsonl"
    trainer, log = make(method), JSONLines(path, every=3)
    trainer.fit(*data()[:2], steps=7, callback=log)
    trainer.fit(*data()[:2], steps=2, callback=log)
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert [line["step"] for line in lines] == [3, 6, 7, 9]
    assert [line["steps"] for line in lines] == [7, 7, 7, 9]
    for name, values in trainer.history.items():
        assert [line[name] for line in lines] == values[[2, 5, 6, 8]].tolist()
    assert set(lines[0]) == {"step", "steps", "seconds", *trainer.history}


def test_json_lines_to_an_open_file(tmp_path):
    file = io.StringIO()
    make().fit(*data()[:2], steps=2, callback=JSONLines(file))
    assert not file.closed
    assert [json.loads(line)["step"] for line in file.getvalue().splitlines()] == [1, 2]
    with pytest.raises(FileNotFoundError):
        make().fit(*data()[:2], steps=2, callback=JSONLines(tmp_path / "no" / "log.jsonl"))


def test_json_lines_can_be_read_while_they_are_written(tmp_path):
    path = tmp_path / "log.jsonl"
    counts = []
    count = lambda now: counts.append(path.read_text().count("\n"))  # noqa: E731
    make().fit(*data()[:2], steps=3, callback=[JSONLines(path), count])
    assert counts == [1, 2, 3]


@pytest.mark.parametrize("scaling", ["standard", "unit", "none"])
def test_pseudo_label_accuracy(scaling):
    x, y, classes = data()
    if scaling == "none":
        x = (x - 1000) / 100
    classes = np.where(np.arange(len(classes)) % 7 == 0, -1, classes)
    known = classes >= 0
    recorder = PseudoLabelAccuracy(x, classes, every=20)
    trainer = make(input_scaling=scaling, student_network=didact.mlp(2, [5], 2))
    expected = []

    def check(now):
        if now["step"] in (1, 20, 40, 50):
            probabilities = trainer.predict_proba(x)
            accuracy = (probabilities.argmax(axis=1) == classes)[known].mean()
            expected.append((accuracy, probabilities.max(axis=1).mean()))

    trainer.fit(x, y, steps=50, callback=[recorder, check])
    history = recorder.history
    assert list(history) == [
        "step", "accuracy/student", "confidence/student", "accuracy/teacher", "confidence/teacher",
    ]  # fmt: skip
    assert history["step"].tolist() == [1, 20, 40, 50]
    np.testing.assert_allclose(history["accuracy/student"], [accuracy for accuracy, _ in expected])
    np.testing.assert_allclose(history["confidence/student"], [sure for _, sure in expected], rtol=1e-5)
    assert len(set(history["confidence/teacher"])) == 4
    assert history["accuracy/teacher"][-1] > 0.7
    trainer.fit(x, y, steps=5, callback=recorder)
    assert recorder.history["step"].tolist() == [1, 20, 40, 50, 51, 55]


def test_pseudo_label_accuracy_of_an_average():
    x, y, classes = data()
    recorder = PseudoLabelAccuracy(x, classes)
    trainer = make(average_decay=0.9)
    trainer.fit(x, y, steps=30, callback=recorder)
    probabilities = trainer.predict_proba(x)
    assert recorder.history["accuracy/average"][-1] == (probabilities.argmax(axis=1) == classes).mean()
    assert recorder.history["confidence/average"][-1] == pytest.approx(probabilities.max(axis=1).mean(), rel=1e-5)
    assert recorder.history["confidence/average"][-1] != recorder.history["confidence/student"][-1]


def test_pseudo_label_accuracy_of_stages():
    x, y, classes = data()
    recorder = PseudoLabelAccuracy(x, classes, every=10)
    trainer = make("self_training", steps=20, finetune_steps=10).fit(x, y, callback=recorder)
    history = recorder.history
    assert history["step"].tolist() == [1, 10, 20, 30]
    assert np.isnan(history["accuracy/finetuned"]).tolist() == [True, True, True, False]
    assert history["accuracy/finetuned"][-1] == (trainer.predict(x) == classes).mean()
    assert history["accuracy/teacher"][0] != history["accuracy/teacher"][1] == history["accuracy/teacher"][-1]


def test_pseudo_label_accuracy_without_a_teacher():
    x, y, classes = data()
    recorder = PseudoLabelAccuracy(x, classes)
    make("supervised").fit(x, y, steps=2, callback=recorder)
    assert list(recorder.history) == ["step", "accuracy/student", "confidence/student"]


def test_pseudo_label_accuracy_after_steps_without_fit():
    """Such a trainer has no scaling."""
    x, y, classes = data()
    x = (x - 1000) / 100
    trainer = make(input_scaling="standard")
    trainer.step(x[:4], classes[:4], x)
    recorder = PseudoLabelAccuracy(x, classes)
    trainer.fit(x, y, steps=3, callback=recorder)
    probabilities = trainer.predict_proba(x)
    assert recorder.history["confidence/student"][-1] == pytest.approx(probabilities.max(axis=1).mean(), rel=1e-5)


def test_recording_changes_nothing():
    x, y, classes = data()
    one, two = make(), make()
    one.fit(x, y, steps=20, callback=PseudoLabelAccuracy(x, classes, every=1))
    two.fit(x, y, steps=20)
    assert one.history["loss/student"].tobytes() == two.history["loss/student"].tobytes()


def test_what_the_recorder_refuses():
    x, y, classes = data()
    for arguments, message in (
        ((x, classes[:-1]), r"y_true has shape \(99,\), but X has 100 rows"),
        ((x, np.full(100, -1)), "at least one row must have a class"),
        ((x, classes - 2), "-2 is neither a class nor -1"),
        ((x, classes, 0), "every must be at least 1"),
    ):
        with pytest.raises(ValueError, match=message):
            PseudoLabelAccuracy(*arguments)
    trainer = make()
    with pytest.raises(ValueError, match="y_true: 2 is none of the 2 classes"):
        trainer.fit(x, y, steps=1, callback=PseudoLabelAccuracy(x, classes + 1))
    assert trainer.steps == 0


def test_the_end_of_a_callback_does_not_take_the_error_of_a_fit():
    class Asks(didact.callbacks.Callback):
        def end(self, trainer):
            trainer.steps  # noqa: B018

    trainer = didact.Trainer("supervised", didact.mlp(2, [4], 2))
    with pytest.raises(ValueError, match="5 labels for X of shape"):
        trainer.fit(np.zeros((6, 2)), [0, 1, 0, 1, 0], callback=Asks())


def test_checkpoints_are_what_training_goes_on_from(tmp_path):
    path = tmp_path / "model.safetensors"
    x, y = didact.datasets.make_two_moons(60, seed=0)
    y[np.arange(120) % 6 > 0] = -1
    network, settings = didact.mlp(2, [4], 2), {"steps": 40, "labeled_batch_size": 4, "unlabeled_batch_size": 8}
    trainer = didact.Trainer("meta_pseudo_labels", network, **settings)

    class Killed(BaseException):
        pass

    def kill(progress):
        if progress["step"] == 25:
            raise Killed

    with pytest.raises(Killed):
        trainer.fit(x, y, callback=[didact.callbacks.Checkpoint(path, 1e-9), kill])
    loaded = didact.Trainer.load(path)
    assert loaded.steps == 25
    whole = didact.Trainer("meta_pseudo_labels", network, **settings).fit(x, y)
    assert (loaded.fit(x, y).predict_proba(x) == whole.predict_proba(x)).all()
    # Not so often.
    rare = didact.callbacks.Checkpoint(tmp_path / "never", 1000)
    whole.copy().fit(x, y, steps=5, callback=rare)
    assert not (tmp_path / "never").exists()
    for wrong in (0, -1, float("nan")):
        with pytest.raises(ValueError, match="positive"):
            didact.callbacks.Checkpoint(path, wrong)
