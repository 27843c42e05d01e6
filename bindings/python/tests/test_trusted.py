"""Trusted rows: what the feedback is measured on, in place of labelled rows whose labels may be wrong."""

import numpy as np
import pytest
from test_command_line import didact as didact_command

import didact

NETWORK = {"type": "mlp", "inputs": 3, "hidden": [6], "classes": 3, "activation": "tanh"}


@pytest.fixture
def batch():
    random = np.random.default_rng(0)
    return {
        "xl": random.normal(size=(5, 3)), "yl": np.array([0, 1, 2, 1, 0]), "xu": random.normal(size=(7, 3)),
        "xu_strong": random.normal(size=(7, 3)),
    }  # fmt: skip


@pytest.fixture
def trusted():
    return np.random.default_rng(1).normal(size=(4, 3)), np.array([2, 0, 1, 1])


def make(method="meta_pseudo_labels", **changes):
    keys = {"dtype": "float64", "seed": 3, "student_optimizer.learning_rate": 0.3}
    return didact.Trainer(method, NETWORK, **{**keys, **changes})


def test_meta_gradient_is_that_of_the_trusted_rows(batch, trusted):
    trainer = make()
    gradient = trainer.meta_gradient(**batch, trusted=trusted)
    flat = np.concatenate([value.ravel() for value in gradient.values()])
    assert np.linalg.norm(flat) > 1e-3
    plain = trainer.meta_gradient(**batch)
    assert any((plain[name] != gradient[name]).any() for name in plain)
    random, before = np.random.default_rng(2), {name: value.copy() for name, value in trainer.teacher.parameters.items()}
    for _ in range(3):
        direction = {name: random.normal(size=value.shape) for name, value in before.items()}
        slope = sum((gradient[name] * direction[name]).sum() for name in before)
        losses = []
        for step in (1e-5, -1e-5):
            for name, value in before.items():
                trainer.teacher.parameters[name][...] = value + step * direction[name]
            losses.append(trainer.meta_objective(**batch, trusted=trusted))
        for name, value in before.items():
            trainer.teacher.parameters[name][...] = value
        assert abs((losses[0] - losses[1]) / 2e-5 - slope) < 1e-6 * np.linalg.norm(flat)


def test_a_step_is_its_parts(batch, trusted):
    whole, parts = make(), make()
    for _ in range(3):
        found = whole.step(**batch, trusted=trusted)
        parts.student_step(batch["xu"], batch["xu_strong"])
        assert parts.teacher_step(batch["xl"], batch["yl"], trusted=trusted) == found
        parts.update_average()
    for name, value in whole.teacher.parameters.items():
        np.testing.assert_array_equal(value, parts.teacher.parameters[name])
    other = make()
    other.step(**batch)
    assert other.metrics["feedback"] != make().step(**batch, trusted=trusted)["feedback"]


def test_fits_go_on(tmp_path):
    random = np.random.default_rng(4)
    X, y = random.normal(size=(60, 3)), np.arange(60) % 3
    X[np.arange(60), y] += 2
    noisy = np.where(np.arange(60) < 30, (y + np.arange(60) // 3 % 2) % 3, -1)
    kept = {"X_trusted": X[50:56], "y_trusted": y[50:56]}
    whole, half = make(steps=10), make(steps=10)
    whole.fit(X, noisy, **kept)
    half.fit(X, noisy, **kept, steps=4)
    half.save(tmp_path / "half.safetensors")
    resumed = didact.Trainer.load(tmp_path / "half.safetensors")
    resumed.fit(X, noisy, **kept)
    without = make(steps=10).fit(X, noisy)
    for name, value in whole.student.parameters.items():
        np.testing.assert_array_equal(value, resumed.student.parameters[name])
    assert any((value != without.student.parameters[name]).any() for name, value in whole.student.parameters.items())


def test_estimator():
    """With labels of which many are wrong, a few that are right help."""
    random = np.random.default_rng(5)
    X, y = random.normal(size=(400, 4)), np.arange(400) % 2
    X[:, 0] += 3 * y
    given = y.copy()
    given[:200][random.random(200) < 0.45] ^= 1
    given[200:] = -1
    names = np.array(["no", "yes"], object)
    labels = np.array([None if label < 0 else names[label] for label in given], object)
    kept = {"X_trusted": X[300:320], "y_trusted": names[y[300:320]]}
    configuration = {"feedback_weight": 20, "student_optimizer.learning_rate": 0.3}

    def accuracy(**more):
        found = []
        for seed in range(3):
            model = didact.SemiSupervisedClassifier(
                "meta_pseudo_labels", random_state=seed, configuration=configuration, steps=300
            )
            model.fit(X, labels, **more)
            found.append((model.predict(X[320:]) == names[y[320:]]).mean())
        return np.mean(found)

    assert accuracy(**kept) > accuracy()
    # Other members and trees would learn the wrong labels.
    alone = didact.SemiSupervisedClassifier(random_state=0, steps=20).fit(X, labels, **kept)
    assert alone.trainer_.method == "meta_pseudo_labels" and not alone.trainer_.members


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"y_trusted": None}, "give both or none"),
        ({"y_trusted": ["yes", "no", "maybe"]}, "row 2: no row of y has the label 'maybe'"),
        ({"y_trusted": ["yes", None, "no"]}, "row 1 has no label"),
        ({"y_trusted": ["yes", "yes", "yes"]}, 'all trusted labels are "yes"'),
        ({"y_trusted": ["yes", "no"]}, "y_trusted: 2 labels for 3 rows"),
        ({"X_trusted": np.ones((3, 2))}, "X_trusted: "),
        ({"X_trusted": np.full((3, 3), np.nan)}, "X_trusted: "),
    ],
)
def test_estimator_refuses(changes, message):
    X, y = np.random.default_rng(6).normal(size=(20, 3)), np.array((["yes", "no"] * 10), object)
    given = {"X_trusted": X[:3], "y_trusted": ["yes", "no", "yes"], **changes}
    model = didact.SemiSupervisedClassifier("meta_pseudo_labels", random_state=0)
    with pytest.raises(ValueError, match=message):
        model.fit(X, y, **given)
    assert not hasattr(model, "trainer_")


def test_refusals(batch, trusted):
    with pytest.raises(didact.DidactError, match="no feedback"):
        make("fixmatch").step(**batch, trusted=trusted)
    trainer = make()
    with pytest.raises(TypeError, match="pair of rows and their labels"):
        trainer.step(**batch, trusted=np.ones((4, 3)))
    with pytest.raises(TypeError, match="pair of rows and their labels"):
        trainer.step(**batch, trusted=(None, None))
    with pytest.raises(ValueError, match="y_trusted: 3 labels for 4 rows"):
        trainer.meta_gradient(**batch, trusted=(np.ones((4, 3)), [0, 1, 2]))
    with pytest.raises(ValueError, match="class 2, which no labelled row has"):
        X, y = np.random.default_rng(8).normal(size=(20, 3)), np.arange(20) % 3
        trainer.fit(X, y, X_trusted=X[:3], y_trusted=y[:3], sample_weight=(y != 2).astype(float))
    with pytest.raises(ValueError, match="X_trusted"):
        trainer.step(**batch, trusted=(np.ones((4, 2)), [0, 1, 2, 0]))
    with pytest.raises(ValueError, match="y_trusted"):
        trainer.step(**batch, trusted=(np.ones((4, 3)), [0, 1, 2, 7]))
    with pytest.raises(ValueError, match="both or none"):
        trainer.fit(np.ones((5, 3)), batch["yl"], X_trusted=np.ones((4, 3)))
    assert trainer.steps == 0


def table(path, rows, labels, trusted=None):
    lines = [",".join(f"{value:.6f}" for value in row) + f",{label}" for row, label in zip(rows, labels)]
    header = "a,b,c,kind"
    if trusted is not None:
        header, lines = header + ",checked", [f"{line},{cell}" for line, cell in zip(lines, trusted)]
    path.write_text("\n".join([header, *lines]) + "\n")
    return str(path)


def test_command(tmp_path):
    """The command trains as Python does on the same rows, and goes on with the same trusted ones alone."""
    random = np.random.default_rng(7)
    X, y = random.normal(size=(80, 3)), np.arange(80) % 2
    X[:, 0] += 3 * y
    kinds = np.array(["red", "blue"])
    noisy = [kinds[(label + row // 3) % 2] if row < 40 else "" for row, label in enumerate(y)]
    data, right = table(tmp_path / "noisy.csv", X, noisy), table(tmp_path / "right.csv", X[60:70], kinds[y[60:70]])
    model, settings = tmp_path / "model.safetensors", ("--label-column", "kind", "--steps", "20", "--seed", "3")

    def train(*arguments, method="meta_pseudo_labels", code=0):
        return didact_command(
            "train", "--method", method, "--data", data, *settings, "--model", model, *arguments, code=code
        )

    def feedback():
        return didact.Trainer.load(model).history["feedback"]

    train()
    without = feedback()
    assert "and 10 trusted ones" in train("--trusted", right).stdout
    found = feedback()
    assert (found != without).any()
    again = ("train", "--resume", model, "--data", data, "--label-column", "kind", "--steps", "25", "--model", model)
    assert "--trusted" in didact_command(*again, code=1).stderr
    didact_command(*again, "--trusted", right)
    assert len(feedback()) == 25
    assert "no feedback" in train("--trusted", right, method="fixmatch", code=1).stderr
    assert "give a .csv or .npz file" in train("--trusted", "digits", code=64).stderr
    some = table(tmp_path / "some.csv", X[:4], ["red", "blue", "", "red"])
    assert "rows without a label: 1 of 4" in train("--trusted", some, code=1).stderr
    other = table(tmp_path / "other.csv", X[:4], ["red", "blue", "green", "red"])
    assert '"green"' in train("--trusted", other, code=1).stderr


def test_command_takes_trusted_rows_from_a_column(tmp_path):
    """One table with a column that says which rows are trusted trains as two tables do."""
    random = np.random.default_rng(7)
    X, y = random.normal(size=(60, 3)), np.array(["red", "blue"])[np.arange(60) % 2]
    right = np.arange(60) % 6 < 2
    one = table(tmp_path / "one.csv", X, y, np.where(right, np.array(["yes", "TRUE", "1"])[np.arange(60) % 3], ["", "no", "0"] * 20))
    noisy, few = table(tmp_path / "noisy.csv", X[~right], y[~right]), table(tmp_path / "right.csv", X[right], y[right])
    models = [tmp_path / f"{name}.safetensors" for name in ("one", "two")]

    def train(data, *arguments, model=models[0], start=("--method", "meta_pseudo_labels", "--seed", "3"), steps=20, code=0):
        options = ("--data", data, "--label-column", "kind", "--steps", steps, "--model", model, *arguments)
        return didact_command("train", *start, *map(str, options), code=code)

    assert "40 with labels and 20 trusted ones" in train(one, "--trusted-column", "checked").stdout
    train(noisy, "--trusted", few, model=models[1])

    def same():
        found = [didact.Trainer.load(model) for model in models]
        assert all(np.array_equal(values, found[1].history[name], equal_nan=True) for name, values in found[0].history.items())
        return (found[0].predict(X) == found[1].predict(X)).all() and found[0].steps == found[1].steps

    assert same()
    again = {"start": ("--resume", str(models[0])), "steps": 30}
    assert "--trusted-column" in train(one, "--ignore", "checked", code=1, **again).stderr
    train(one, "--trusted-column", "checked", **again)
    train(noisy, "--trusted", few, model=models[1], start=("--resume", str(models[1])), steps=30)
    assert same()

    def refused(trusted, labels=y, code=1):
        return train(table(tmp_path / "bad.csv", X, labels, trusted), "--trusted-column", "checked", code=code).stderr

    assert 'line 3, column "checked": "maybe" does not say whether' in refused(["yes", "maybe", *[""] * 58])
    assert "no row is trusted" in refused([""] * 60)
    assert "every row is trusted" in refused(["1"] * 60)
    assert "trusted rows without a label: 1 of 20" in refused(right.astype(int), ["", *y[1:]])
    assert 'no training row has the label "green", which trusted rows have' in refused(right.astype(int), ["green", *y[1:]])
    assert "give one" in train(one, "--trusted-column", "checked", "--trusted", few, code=64).stderr
    assert "is for CSV files" in train("digits", "--trusted-column", "checked", code=64).stderr
    assert "cannot both have the labels" in train(one, "--trusted-column", "kind", code=64).stderr
    # Where the first line has no text but in that column, it is a row.
    lines = [f"{X[row, 0]:.4f},{X[row, 1]:.4f},{'yes' if right[row] else 'no'},{y[row]}" for row in range(60)]
    (tmp_path / "rows.csv").write_text("\n".join(lines))
    options = ("--label-column", "3", "--trusted-column", "2", "--steps", "3", "--method", "meta_pseudo_labels")
    train_rows = ("train", "--data", tmp_path / "rows.csv", *options, "--model", models[1])
    assert ": 40 rows, 40 with labels and 20 trusted ones" in didact_command(*train_rows).stdout
    # Without a header a model does not know which column that was.
    again = ("evaluate", "--model", models[1], "--data", tmp_path / "rows.csv", "--label-column", "3")
    assert "on 60 labelled rows" in didact_command(*again, "--trusted-column", "2").stdout


def test_a_trusted_file_may_lack_what_the_table_ignores(tmp_path):
    random = np.random.default_rng(7)
    X, y = random.normal(size=(40, 3)), np.array(["red", "blue"])[np.arange(40) % 2]
    few = table(tmp_path / "right.csv", X[:10], y[:10])
    rows = "\n".join(f"{row},{a:.4f},{b:.4f},{c:.4f},{label}" for row, ((a, b, c), label) in enumerate(zip(X, y)))
    (tmp_path / "noisy.csv").write_text("id,a,b,c,kind\n" + rows)
    found = didact_command(
        "train", "--data", tmp_path / "noisy.csv", "--label-column", "4", "--ignore", "id", "--trusted", few, "--steps", "3"
    )
    assert "meta_pseudo_labels on" in found.stdout and "and 10 trusted ones" in found.stdout
