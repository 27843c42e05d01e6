"""What a fit says of itself: each warning comes where it is deserved, and not where all is well."""

import json
import subprocess
import warnings
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import didact
from support import CHECKOUT

pytest.importorskip("sklearn", minversion="1.3")

import sklearn.datasets  # noqa: E402

SEEDS = range(10)


def fit(features, labels, seed, more=None, **parameters):
    """A classifier, and the codes of the warnings of its fit."""
    classifier = didact.SemiSupervisedClassifier(random_state=seed, n_jobs=1, **parameters)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", didact.DidactWarning)
        classifier.fit(features, labels, more)
    return [warning.code for warning in classifier.trainer_.warnings]


def hidden(labels, kept):
    result = np.full(len(labels), -1)
    result[kept] = labels[kept]
    return result


def split(features, labels, per_class, seed):
    kept = didact.datasets.split(labels, labels=per_class * len(np.unique(labels)), seed=seed).labeled
    return features, hidden(labels, kept)


# What deserves a warning


def contradictory_labels(seed):
    """Every labelled row is there twice, with two labels."""
    random = np.random.default_rng(seed)
    rows = random.normal(size=(10, 4))
    features = np.concatenate([rows, rows, random.normal(size=(300, 4))])
    return features, hidden(np.repeat([0, 1, 0], [10, 10, 300]), np.arange(20))


def class_under_another(seed):
    """Wherever there is a row of the third class, there are four of the first."""
    random = np.random.default_rng(seed)
    positions = np.arange(300) % 2
    features = np.array([[-3.0, 0, 0], [3.0, 0, 0]])[positions] + random.normal(size=(300, 3))
    labels = positions.copy()
    # Five copies of each of eight rows of the first class, one of them with the label of the third.
    kept = np.arange(100, 180, 2)
    features[kept] = np.repeat(features[0:16:2], 5, axis=0)
    labels[kept[::5]] = 2
    return features, hidden(labels, [*kept, *range(1, 20, 2)])


def single_labels(seed):
    random = np.random.default_rng(seed)
    positions = np.arange(200) % 4
    return 4 * np.eye(4)[positions] + random.normal(size=(200, 4)), hidden(positions, np.arange(4))


def other_units(seed):
    """The rows without labels are in other units, those of the labels in a corner of them."""
    random = np.random.default_rng(seed)
    positions = np.arange(40) % 2
    features = np.array([[-2.0, 0, 0], [2.0, 0, 0]])[positions] + random.normal(size=(40, 3))
    return features, positions, 100 * random.normal(size=(400, 3))


def octants(seed):
    """Eight classes without clusters: the signs of three of eight columns, three labels each."""
    random = np.random.default_rng(seed)
    features = random.normal(size=(600, 8))
    labels = (features[:, :3] > 0) @ np.array([1, 2, 4])
    return features, hidden(labels, np.concatenate([np.flatnonzero(labels == label)[:3] for label in range(8)]))


@pytest.mark.parametrize(
    "code, make, parameters",
    [
        ("members_disagree", octants, {}),
        ("poor_on_labels", contradictory_labels, {}),
        ("class_never_predicted", class_under_another, {}),
        ("few_labels", single_labels, {}),
        ("rows_far_from_labels", other_units, {}),
        # Features from other rows leave nothing of a row, so that all become the class that has a little more.
        (
            "class_shares",
            lambda seed: split(*sklearn.datasets.make_moons(600, noise=0.1, random_state=seed), 10, seed),
            {
                "method": "fixmatch",
                "configuration": {"strong_feature_mix": 0.6, "unlabeled_weight": 20.0, "pseudo_label_threshold": 0.0},
            },
        ),
    ],
)
def test_warning_comes_where_it_is_deserved(code, make, parameters):
    with ThreadPoolExecutor(2) as pool:
        found = list(pool.map(lambda seed: fit(*_arguments(make(seed), seed), **parameters), SEEDS))
    assert sum(code in codes for codes in found) >= 9, found


def _arguments(data, seed):
    features, labels, *more = data
    return (features, labels, seed, *more)


@pytest.mark.parametrize(
    "make",
    [
        lambda seed: split(*didact.datasets.load_digits(), 4, seed),
        lambda seed: split(*didact.datasets.make_two_moons(seed=seed), 3, seed),
        lambda seed: split(*sklearn.datasets.load_breast_cancer(return_X_y=True), 5, seed),
    ],
    ids=["digits", "two moons", "breast cancer"],
)
def test_no_warning_where_all_is_well(make):
    with ThreadPoolExecutor(2) as pool:
        found = list(pool.map(lambda seed: fit(*make(seed), seed), SEEDS))
    for code in {code for codes in found for code in codes}:
        assert sum(code in codes for codes in found) <= 1, found


# How they come


def test_warnings_are_python_warnings_with_a_code_and_are_kept():
    features, labels = single_labels(0)
    trainer = didact.Trainer("supervised", didact.mlp(4, [8], 4), steps=5)
    with pytest.warns(didact.DidactWarning, match="single label") as caught:
        trainer.fit(features, labels)
    assert "few_labels" in [warning.message.code for warning in caught]
    assert [warning.code for warning in trainer.warnings] == [warning.message.code for warning in caught]
    # They point at the line that called fit.
    assert caught[0].filename == __file__
    again = didact.Trainer("supervised", didact.mlp(4, [8], 4), steps=5)
    again.class_names = ["red", "green", "blue", "grey"]
    with pytest.warns(didact.DidactWarning, match='"red", "green", "blue", "grey"'):
        again.fit(features, labels)


def test_a_warning_turned_into_an_error_leaves_a_fitted_model():
    features, labels = single_labels(0)
    classifier = didact.SemiSupervisedClassifier("supervised", steps=5, random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("error", didact.DidactWarning)
        with pytest.raises(didact.DidactWarning, match="single label"):
            classifier.fit(features, labels)
    assert classifier.predict(features).shape == (200,)


def test_part_of_a_fit_says_nothing_yet():
    features, labels = single_labels(0)
    trainer = didact.Trainer("supervised", didact.mlp(4, [8], 4), steps=10)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        trainer.fit(features, labels, steps=5)
        trainer.fit(features, labels, callback=lambda progress: True)
    assert trainer.warnings == []
    with pytest.warns(didact.DidactWarning):
        trainer.fit(features, labels)


def test_a_training_that_ends_before_its_consistency_loss_says_so():
    features, labels = split(*didact.datasets.make_two_moons(200, seed=0), 5, 0)
    assert "few_steps" in fit(features, labels, 0, steps=100)
    assert "few_steps" not in fit(features, labels, 0, steps=101)
    assert "few_steps" not in fit(features, labels, 0, steps=20, configuration={"uda_weight": 0.0})
    assert "few_steps" not in fit(features, labels, 0, steps=20, method="fixmatch")


@pytest.mark.parametrize("schedule, more, warns", [("cosine", 3, True), ("cosine", 0, False), ("constant", 3, False)])
def test_steps_that_change_nothing_are_said_to(schedule, more, warns):
    features, labels = split(*didact.datasets.make_two_moons(200, seed=0), 5, 0)
    trainer = didact.Trainer(
        "supervised", didact.mlp(2, [4], 2), steps=10, **{"student_optimizer.schedule": schedule}
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", didact.DidactWarning)
        trainer.fit(features, labels)
        before = trainer.student.parameters["dense0.weight"].copy()
        trainer.fit(features, labels, steps=more)
    codes = [warning.code for warning in trainer.warnings]
    assert ("steps_beyond_schedule" in codes) == warns
    assert np.array_equal(trainer.student.parameters["dense0.weight"], before) == (warns or more == 0)


def test_a_copy_and_a_pickle_keep_a_warnings_code():
    import pickle

    warning = pickle.loads(pickle.dumps(didact.DidactWarning("few", "few_labels")))
    assert (str(warning), warning.code) == ("few", "few_labels")


def test_the_command_writes_warnings_to_standard_error(tmp_path):
    features, labels = single_labels(0)
    lines = ["a,b,c,d,label"]
    lines += [",".join(map(str, row)) + "," + (f"c{label}" if label >= 0 else "") for row, label in zip(features, labels)]
    (tmp_path / "few.csv").write_text("\n".join(lines))
    command = [CHECKOUT / "build/bin/didact", "train", "--data", tmp_path / "few.csv", "--steps", "5"]
    result = subprocess.run([*command, "--json"], capture_output=True, text=True, check=True)
    assert "few.csv: 4 of 4 classes have a single label to learn from" in result.stderr
    final = json.loads(result.stdout.splitlines()[-1])["result"]
    assert "few_labels" in [warning["code"] for warning in final["warnings"]]


def test_the_classifiers_warnings_point_at_its_fit():
    features, labels = single_labels(0)
    with pytest.warns(didact.DidactWarning, match="single label") as caught:
        didact.SemiSupervisedClassifier("supervised", steps=5).fit(features, labels)
    assert {warning.filename for warning in caught} == {__file__}
