"""Trees beside the networks, weights of rows, and scikit-learn's classifiers as teachers."""

import json

import numpy as np
import pytest
import warnings

pytest.importorskip("sklearn")
from sklearn.base import BaseEstimator, ClassifierMixin, clone  # noqa: E402
from sklearn.datasets import load_digits  # noqa: E402
from sklearn.ensemble import ExtraTreesClassifier, RandomForestClassifier  # noqa: E402
from sklearn.linear_model import LogisticRegression  # noqa: E402
from sklearn.naive_bayes import GaussianNB  # noqa: E402
from sklearn.neighbors import KNeighborsClassifier  # noqa: E402
from sklearn.pipeline import make_pipeline  # noqa: E402
from sklearn.preprocessing import StandardScaler  # noqa: E402
from sklearn.svm import SVC  # noqa: E402

import didact  # noqa: E402
from didact._teachers import distributions_of  # noqa: E402


def blobs(rows=120, labelled=24, classes=3, columns=4, seed=0):
    """Rows of blobs, of which the first have labels."""
    random = np.random.default_rng(seed)
    positions = np.arange(rows) % classes
    X = random.standard_normal((rows, columns)) + 3 * np.eye(classes, columns)[positions]
    return X, np.where(np.arange(rows) < labelled, positions, -1), positions


def quick(**parameters):
    return didact.SemiSupervisedClassifier(steps=parameters.pop("steps", 60), random_state=0, **parameters)


@pytest.fixture(autouse=True)
def quietly():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", didact.DidactWarning)
        yield


# Trees


def test_the_forest_is_as_good_as_scikit_learns():
    """Within two standard deviations of the mean of forests of 50 extremely randomised trees and 50 others."""
    X, y = load_digits(return_X_y=True)
    few = np.where(np.arange(len(y)) < 200, y, -1)
    peers = []
    for seed in range(10):
        voters = [
            model(50, random_state=seed).fit(X[:200], y[:200]) for model in (ExtraTreesClassifier, RandomForestClassifier)
        ]
        peers.append((sum(voter.predict_proba(X[200:]) for voter in voters).argmax(axis=1) == y[200:]).mean())
    ours = []
    for seed in range(5):
        trainer = didact.Trainer("supervised", didact.mlp(64, [4], 10), steps=1, forest_trees=100, seed=seed)
        ours.append((trainer.fit(X, few).predict(X[200:], role="forest") == y[200:]).mean())
    assert abs(np.mean(ours) - np.mean(peers)) < 2 * np.std(peers), (np.mean(ours), np.mean(peers), np.std(peers))


def test_the_default_has_a_forest_that_files_keep(tmp_path):
    X, y, truth = blobs()
    classifier = quick().fit(X, y)
    trainer = classifier.trainer_
    assert classifier.method_ == "ensemble" and trainer.predictor_role == "ensemble" and "forest" in trainer.roles
    report = classifier.report_
    assert report["forest"] == {"trees": 100, "weight": 0.5} and report["class_shares"] is None
    assert [member["method"] for member in report["members"]] == ["meta_pseudo_labels"] * 3 + ["supervised"] * 2
    assert sum(member["weight"] for member in report["members"]) == pytest.approx(0.5)
    members = np.mean([trainer.predict_proba(X, role="average" if "average" in trainer.roles else "student")]
                      + [member.predict_proba(X) for member in trainer.members], axis=0)  # fmt: skip
    both = 0.5 * members + 0.5 * trainer.predict_proba(X, role="forest")
    np.testing.assert_allclose(classifier.predict_proba(X), both, atol=1e-6)
    classifier.save(tmp_path / "model.safetensors")
    read = didact.SemiSupervisedClassifier.load(tmp_path / "model.safetensors")
    np.testing.assert_array_equal(read.predict_proba(X), classifier.predict_proba(X))
    assert {**read.report_, "warnings": []} == {**report, "warnings": []}
    assert classifier.score(X, truth) > 0.9


def test_trees_see_values_as_they_are():
    """A column whose values lie side by side beside one of 1e300: scaled, they would be one."""
    X = np.array([[1.0], [2.0], [3.0], [4.0]] * 10 + [[1e100]])
    y = np.array([0, 0, 1, 1] * 10 + [1])
    trainer = didact.Trainer("supervised", didact.mlp(1, [4], 2), dtype="float64", steps=3, forest_trees=20)
    assert (trainer.fit(X, y).predict(X, role="forest") == y).all()


def test_members_in_place_of_the_defaults():
    X, y, _ = blobs()
    classifier = quick(members=["supervised", {"method": "fixmatch", "strong_noise": 0.1}]).fit(X, y)
    assert [member["method"] for member in classifier.report_["members"]] == ["supervised", "fixmatch"]
    assert classifier.report_["forest"] is None and classifier.method_ == "ensemble"
    assert classifier.trainer_.members[0].configuration["strong_noise"] == 0.1
    one = quick(members=["supervised"]).fit(X, y)
    assert one.method_ == "supervised"
    np.testing.assert_array_equal(one.predict_proba(X), quick(method="supervised").fit(X, y).predict_proba(X))
    # Each has the preset of its method, wherever it stands, then the configuration, then its own keys.
    mixed = {"configuration": {"strong_noise": 0.1, "network.dropout": 0.2}}
    names = ["supervised", {"method": "meta_pseudo_labels", "strong_noise": 0.4, "network": {"activation": "tanh"}}]
    for members in (names, names[::-1]):
        trainer = quick(members=members, **mixed).fit(X, y).trainer_
        both = {each.method: each.configuration for each in (trainer, *trainer.members)}
        meta, plain = both["meta_pseudo_labels"], both["supervised"]
        preset = didact.preset("table", "meta_pseudo_labels", 4, 3)
        assert (meta["strong_noise"], meta["uda_weight"], meta["uda_wait_steps"]) == (0.4, preset["uda_weight"], 100)
        assert (meta["network"]["activation"], meta["network"]["dropout"]) == ("tanh", 0.2)
        assert (plain["network"]["activation"], plain["network"]["dropout"]) == ("swish", 0.2)
        assert plain["student_optimizer.learning_rate"] == meta["student_optimizer.learning_rate"] == 0.1
    for keys, words in (({"steps": 3}, "'steps' is the same for all"), ({"forest_trees": 3}, "forest_trees"), ({"seed": 3}, "seed")):
        for members in (["supervised", {"method": "supervised", **keys}], [{"method": "supervised", **keys}]):
            with pytest.raises(ValueError, match=words):
                quick(members=members).fit(X, y)
    with pytest.raises(ValueError, match="strong_nose"):
        quick(members=names, configuration={"strong_nose": 0.1}).fit(X, y)
    for members, words in (
        ("supervised", "must be a list"), ([], "must be a list"), ([{"strong_noise": 1}], r"members\[0\] must be"),
        ([3], r"members\[0\]"), (["supervised", "fixmtch"], "fixmatch"),
    ):  # fmt: skip
        with pytest.raises((TypeError, ValueError), match=words):
            quick(members=members).fit(X, y)
    with pytest.raises(ValueError, match="leave method at"):
        quick(method="supervised", members=["supervised"]).fit(X, y)
    with pytest.raises(ValueError, match="is set by the parameter 'members'"):
        quick(configuration={"members": []}).fit(X, y)


# Weights


def test_a_weight_is_so_many_rows():
    X, y, _ = blobs(rows=30, labelled=12)
    random = np.random.default_rng(1)
    weight = random.integers(0, 4, len(y)).astype(float)
    settings = {"steps": 20, "random_state": 0, "configuration": {"input_scaling": "none"}}
    weighted = didact.SemiSupervisedClassifier("supervised", **settings).fit(X, y, sample_weight=weight)
    rows = np.repeat(np.arange(len(y)), np.where(y >= 0, weight, 1).astype(int))
    repeated = didact.SemiSupervisedClassifier("supervised", **settings).fit(X[rows], y[rows])
    np.testing.assert_array_equal(weighted.predict_proba(X), repeated.predict_proba(X))
    pandas = pytest.importorskip("pandas")
    series = pandas.Series(weight, index=np.arange(len(y))[::-1])
    by_series = didact.SemiSupervisedClassifier("supervised", **settings).fit(X, y, sample_weight=series)
    np.testing.assert_array_equal(by_series.predict_proba(X), weighted.predict_proba(X))
    assert 0 <= weighted.score(X, y, sample_weight=series) <= 1
    same = didact.SemiSupervisedClassifier("supervised", **settings).fit(X, y, sample_weight=7)
    np.testing.assert_array_equal(same.predict_proba(X), didact.SemiSupervisedClassifier("supervised", **settings).fit(X, y).predict_proba(X))


def test_weights_of_classes_and_of_rows_go_together():
    X, y, _ = blobs(rows=30, labelled=12)
    weight = np.where(y == 0, 3.0, np.where(y == 1, 1.0, 2.0))
    settings = {"steps": 20, "random_state": 0, "configuration": {"input_scaling": "none"}}
    both = didact.SemiSupervisedClassifier("supervised", class_weight={0: 2, 2: 0.5}, **settings)
    product = didact.SemiSupervisedClassifier("supervised", class_prior="labels", **settings)
    both.fit(X, y, sample_weight=weight)
    product.fit(X, y, sample_weight=np.where(y == 0, 6.0, 1.0))
    np.testing.assert_array_equal(both.predict_proba(X), product.predict_proba(X))


def test_rows_of_weight_0_do_not_mislead():
    X, y, truth = blobs(labelled=120)
    wrong = np.arange(120) % 2 == 0
    classifier = quick().fit(X, np.where(wrong, (truth + 1) % 3, truth), sample_weight=~wrong)
    assert classifier.score(X, truth) > 0.95


def test_weights_that_are_none_are_refused():
    X, y, _ = blobs()
    for weight, words in (
        (np.ones(3), "shape"), (np.ones((120, 2)), "1D"), (np.full(120, np.nan), "NaN"), (-np.ones(120), "row 0"),
        (np.zeros(120), "non-zero|above 0"), (np.where(np.arange(120) % 3 == 0, 1.0, 0), "are class 0"),
    ):  # fmt: skip
        with pytest.raises(ValueError, match=words):
            quick().fit(X, y, sample_weight=weight)
    with pytest.raises(didact.DidactError, match="row 5"):
        didact.Trainer("supervised", didact.mlp(4, [3], 3), steps=1).fit(X, y, sample_weight=np.where(np.arange(120) == 5, -1, 1))


# Teachers


class Odd(ClassifierMixin, BaseEstimator):
    """A classifier that can be wrong in one way."""

    def __init__(self, way="none"):
        self.way = way

    def fit(self, X, y):
        if self.way == "fit":
            raise RuntimeError("no luck")
        self.classes_ = np.unique(y) + (self.way == "classes")
        return self

    def predict_proba(self, X):
        if self.way == "predict":
            raise RuntimeError("no luck")
        count = len(self.classes_) - (self.way == "shape")
        said = np.full((len(X), count), 1 / count)
        if self.way == "nan":
            said[3] = np.nan
        return 2 * said if self.way == "sum" else said


def test_a_teacher_labels_and_the_student_is_a_model_of_its_own(tmp_path):
    X, y, truth = blobs()
    names = np.array(["a", "b", "c"], dtype=object)
    labels = np.array([None if label < 0 else names[label] for label in y], dtype=object)
    for teacher in (RandomForestClassifier(20), [GaussianNB(), KNeighborsClassifier(3), LogisticRegression()]):
        classifier = quick(teacher=teacher, steps=300).fit(X, labels)
        assert classifier.method_ == "reduced_meta_pseudo_labels" and classifier.report_["forest"] is None
        assert classifier.score(X, names[truth]) > 0.9
        classifier.save(tmp_path / "model.safetensors")
        read = didact.SemiSupervisedClassifier.load(tmp_path / "model.safetensors")
        np.testing.assert_array_equal(read.predict_proba(X), classifier.predict_proba(X))
        assert read.teacher is None and read.method == "auto"
        assert didact.Trainer.load(tmp_path / "model.safetensors").predict(X).tolist() == [
            list(names).index(label) for label in classifier.predict(X)
        ]
        again = clone(classifier).fit(X, labels)
        np.testing.assert_array_equal(again.predict_proba(X), classifier.predict_proba(X))
    assert classifier.trainer_.configuration["teachers"] == 3
    assert quick(teacher=RandomForestClassifier(20)).set_params(teacher__n_estimators=3).teacher.n_estimators == 3


def test_teachers_know_labels_and_leave_rows_as_they_are():
    X, y, _ = blobs(classes=2)
    labels = np.where(y < 0, None, np.array(["b", "c", "a"], dtype=object)[y])
    heavy = LogisticRegression(class_weight={"b": 1, "c": 1000})
    classifier = quick(teacher=heavy, configuration={"feedback_weight": 0}).fit(X, labels)
    alone = heavy.fit(X[:24], list(labels[:24]))
    assert (classifier.predict(X) == alone.predict(X)).mean() > 0.9
    before, more = X.copy(), X[:7].copy()
    quick(teacher=make_pipeline(StandardScaler(copy=False), LogisticRegression())).fit(X, labels, more)
    np.testing.assert_array_equal(X, before)
    np.testing.assert_array_equal(more, before[:7])
    for parameters in ({"class_prior": [1, 2]}, {"class_weight": "balanced"}):
        with pytest.raises(ValueError, match="give the teacher a class_weight"):
            quick(teacher=GaussianNB(), **parameters).fit(X, labels)


def test_more_rows_and_weights_reach_the_teacher():
    X, y, truth = blobs(rows=90, labelled=30)
    more, _, _ = blobs(rows=40, seed=9)
    wrong = np.arange(90) % 3 == 1
    given = np.where(wrong & (y >= 0), 0, y)
    classifier = quick(teacher=GaussianNB(), steps=300)
    classifier.fit(np.concatenate([X, X[:30]]), np.concatenate([given, y[:30]]), more,
                   sample_weight=np.concatenate([np.where(wrong, 0, 1), np.ones(30)]))  # fmt: skip
    assert classifier.score(X, truth) > 0.9 and len(classifier.transduction_) == 160
    with pytest.raises(TypeError, match="KNeighborsClassifier.*does not take sample_weight"):
        quick(teacher=KNeighborsClassifier(3)).fit(X, y, sample_weight=np.ones(90))


def test_a_labelled_row_has_what_teachers_of_the_others_say():
    X, y, _ = blobs(rows=60, labelled=12)
    y[:12] = [0, 1, 2, 0, 1, 2, 0, 1, 2, 0, 1, 1]
    # What it was told, a nearest neighbour knows by heart.
    y[0] = 2
    classes = np.arange(3)
    said = distributions_of([KNeighborsClassifier(1)], X, y, classes, X[:5], None, 0)
    assert said.shape == (1, 65, 3)
    np.testing.assert_array_equal(said[0].sum(axis=1), 1)
    for row in range(12):
        others = np.flatnonzero((y >= 0) & (np.arange(60) != row))
        assert said[0, row, y[row]] == 0 or (y[others] == y[row]).any()
    assert said[0, 0].argmax() == 0
    full = KNeighborsClassifier(1).fit(X[:12], y[:12])
    np.testing.assert_array_equal(said[0, 12:60], full.predict_proba(X[12:]))
    # The only row of its class is left in.
    y[:12] = [0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 2]
    assert distributions_of([KNeighborsClassifier(1)], X, y, classes, None, None, 0)[0, 11].argmax() == 2


@pytest.mark.parametrize(
    "teacher, error, words",
    [
        (RandomForestClassifier, TypeError, r"RandomForestClassifier\(\)"),
        (SVC(), TypeError, "predict_proba"),
        ([], ValueError, "empty"),
        ("forest", TypeError, "has no fit"),
        ([GaussianNB(), None], TypeError, "has no fit"),
        (Odd("fit"), ValueError, r"teacher \(Odd\) failed to learn from 24 labelled rows: no luck"),
        (Odd("classes"), ValueError, r"classes \[1, 2, 3\]"),
        (Odd("predict"), ValueError, "predict_proba failed: no luck"),
        (Odd("shape"), ValueError, "shape"),
        ([GaussianNB(), Odd("nan")], ValueError, r"teacher\[1\] \(Odd\): predict_proba, row 3"),
        (Odd("sum"), ValueError, "no distribution"),
    ],
)
def test_teachers_that_cannot_teach_are_refused(teacher, error, words):
    X, y, _ = blobs()
    classifier = quick(teacher=teacher)
    with pytest.raises(error, match=words):
        classifier.fit(X, y)
    assert not hasattr(classifier, "trainer_")


def test_teachers_leave_no_room_for_other_methods():
    X, y, _ = blobs()
    with pytest.raises(ValueError, match="leave method at"):
        quick(method="fixmatch", teacher=GaussianNB()).fit(X, y)
    with pytest.raises(ValueError, match="give one of them"):
        quick(teacher=GaussianNB(), members=["supervised"]).fit(X, y)


def test_images_are_rows_to_a_teacher():
    random = np.random.default_rng(0)
    images = random.integers(0, 60, (40, 6, 6), dtype=np.uint8)
    labels = np.arange(40) % 2
    images[labels == 1, :3] += 150
    classifier = quick(teacher=GaussianNB(), steps=30).fit(images, np.where(np.arange(40) < 10, labels, -1))
    assert classifier.score(images, labels) > 0.8
