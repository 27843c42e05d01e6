"""Reduced Meta Pseudo Labels: stored distributions, memory-mapped, and what they save."""

import numpy as np
import pytest

import didact
from support import run_python

METHOD = "reduced_meta_pseudo_labels"


def problem():
    X, classes = didact.datasets.make_two_moons(120, seed=0)
    y = np.full(len(classes), -1)
    y[::20] = classes[::20]
    return X, y


@pytest.fixture
def stored(tmp_path):
    X, y = problem()
    teacher = didact.Trainer("supervised", didact.mlp(2, [16], 2), steps=50).fit(X, y)
    path = tmp_path / "teacher.safetensors"
    teacher.store_distributions(path, X)
    return teacher, path


def student(path, **changes):
    return didact.Trainer(
        METHOD, didact.mlp(2, [8], 2), teacher_distributions=None if path is None else str(path),
        **{"steps": 30, "unlabeled_batch_size": 16, **changes},
    )  # fmt: skip


def test_the_file_holds_what_the_teacher_predicts(stored):
    teacher, path = stored
    X, _ = problem()
    length = int.from_bytes(path.read_bytes()[:8], "little")
    values = np.frombuffer(path.read_bytes()[8 + length :], np.float32).reshape(-1, 2)
    np.testing.assert_array_equal(values, teacher.predict_proba(X))
    teacher.store_distributions(path, X[:50], X[50:], role="student")
    np.testing.assert_array_equal(np.frombuffer(path.read_bytes()[-values.nbytes :], np.float32), values.ravel())
    with pytest.raises(didact.DidactError, match="teacher"):
        teacher.store_distributions(path, X, role="teacher")
    with pytest.raises(ValueError, match="columns|inputs|expected"):
        teacher.store_distributions(path, X[:, :1])
    before = path.read_bytes()
    X[7, 1] = np.nan
    with pytest.raises(ValueError, match="row 7, column 1"):
        teacher.store_distributions(path, X)
    assert path.read_bytes() == before


def test_a_student_learns_from_it_and_needs_it_no_more(stored):
    _, path = stored
    X, y = problem()
    trainer = student(path).fit(X, y)
    assert trainer.roles == ["student"] and trainer.corrector.parameters["dense0.weight"].shape == (128, 2)
    assert (trainer.history["gradient_norm/feedback"] > 0).all()
    control = student(path, feedback_weight=0).fit(X, y)
    assert not control.corrector.parameters["dense1.weight"].any()
    assert trainer.corrector.parameters["dense1.weight"].any()
    model = path.with_suffix(".model")
    trainer.save(model)
    path.unlink()
    np.testing.assert_array_equal(didact.Trainer.load(model).predict_proba(X), trainer.predict_proba(X))
    with pytest.raises(OSError, match="teacher.safetensors"):
        didact.Trainer.load(model).fit(X, y, steps=1)


def test_other_data_are_refused_before_training(stored):
    _, path = stored
    X, y = problem()
    for rows, labels, message in (
        (X[:-1], y[:-1], "239 to learn from"), (X + 1, y, "other rows"), (X[::-1], y[::-1], "other rows"),
    ):  # fmt: skip
        trainer = student(path)
        with pytest.raises(ValueError, match=message):
            trainer.fit(rows, labels)
        assert trainer.steps == 0
        trainer.fit(X, y, steps=1)
    with pytest.raises(ValueError, match="store_distributions"):
        student(None).fit(X, y)
    with pytest.raises(didact.DidactError, match="fit"):
        student(path).step(X[:4], [0, 1, 0, 1], X[4:9])


MEASURE = r"""
import re, sys
import numpy as np
import didact
X = np.random.default_rng(0).normal(size=(3000, 64)).astype(np.float32)
y = np.where(np.arange(3000) < 40, np.arange(3000) % 10, -1)
large, small = didact.mlp(64, [2048, 2048], 10), didact.mlp(64, [32], 10)
if sys.argv[1] == "store":
    trainer = didact.Trainer("supervised", large, steps=2).fit(X, y)
    trainer.store_distributions(sys.argv[2], X)
elif sys.argv[1] == "full":
    didact.Trainer("meta_pseudo_labels", large, student_network=small, steps=5).fit(X, y)
else:
    didact.Trainer("reduced_meta_pseudo_labels", small, steps=5, teacher_distributions=sys.argv[2]).fit(X, y)
print(re.search(r"VmHWM:\s+(\d+)", open("/proc/self/status").read())[1])
"""


def test_the_teacher_is_not_in_memory(tmp_path):
    path = str(tmp_path / "teacher.safetensors")
    peaks = {}
    for what in ("store", "full", "reduced"):
        result = run_python(MEASURE, what, path)
        assert result.returncode == 0, result.stderr
        peaks[what] = int(result.stdout)
    # 4.3 million parameters in float32, with gradients, momentum and more.
    assert peaks["full"] - peaks["reduced"] > 60_000, peaks
