"""The scikit-learn estimator: scikit-learn's own checks, labels, unlabelled rows, files, interruption."""

import copy
import io
import os
import pickle
import signal
import threading

import numpy as np
import pytest

import didact
from support import run_python, same_bits

pytest.importorskip("sklearn", minversion="1.3")

import joblib  # noqa: E402
import sklearn  # noqa: E402
from sklearn.base import clone  # noqa: E402
from sklearn.exceptions import NotFittedError  # noqa: E402
from sklearn.model_selection import GridSearchCV, StratifiedKFold, cross_val_score  # noqa: E402
from sklearn.pipeline import make_pipeline  # noqa: E402
from sklearn.preprocessing import StandardScaler  # noqa: E402
from sklearn.utils.estimator_checks import parametrize_with_checks  # noqa: E402

# Checks of scikit-learn that are known to fail, each with its reason.
EXPECTED_FAILURES: dict[str, str] = {
    "check_class_weight_classifiers": "a labelled row is repeated at most 30 times, so that weights of 10,000,000 to 1 count as 30 to 1",
    "check_sample_weight_equivalence_on_dense_data": "batches are drawn at random: rows that weigh twice and rows that are there twice come in another order",
}

# Before scikit-learn 1.6 an estimator named them itself.
_NEW_CHECKS = tuple(int(part) for part in sklearn.__version__.split(".")[:2]) >= (1, 6)
_CHECK_OPTIONS = {"expected_failed_checks": lambda estimator: EXPECTED_FAILURES} if _NEW_CHECKS else {}


@parametrize_with_checks([didact.SemiSupervisedClassifier()], **_CHECK_OPTIONS)
def test_checks_of_scikit_learn(estimator, check):
    check(estimator)


def blobs(rows=90, classes=3, columns=4, seed=0):
    random = np.random.default_rng(seed)
    positions = np.arange(rows) % classes
    return random.standard_normal((rows, columns)) + 4 * np.eye(classes, columns)[positions], positions


def make(**parameters):
    return didact.SemiSupervisedClassifier(**{"steps": 60, "random_state": 0, "n_jobs": 1, **parameters})


def few(labels, none, every=5, dtype=None):
    """Labels with `none` in place of most."""
    labels = np.asarray(labels)
    result = np.array(labels.tolist(), dtype=dtype or labels.dtype)
    result[np.arange(len(labels)) // 3 % every != 0] = none
    return result


# Labels


TYPES = {
    "int": (np.array([0, 1, 2]), -1, None),
    "int8": (np.array([5, 7, 9], np.int8), -1, None),
    "negative": (np.array([-3, -2, 4]), -1, None),
    "float": (np.array([0.0, 1.0, 2.0]), np.nan, None),
    "float, -1": (np.array([0.0, 1.0, 2.0]), -1, None),
    "text, None": (np.array(["a", "bb", "c"]), None, object),
    "text, NaN": (np.array(["a", "bb", "c"]), np.nan, object),
    "text, -1": (np.array(["a", "bb", "c"]), -1, object),
    "int, None": (np.array([10, 20, 30]), None, object),
}


@pytest.mark.parametrize("name", TYPES)
def test_labels_of_all_types(name):
    names, none, dtype = TYPES[name]
    X, positions = blobs()
    truth = names[positions]
    classifier = make().fit(X, few(truth, none, dtype=dtype))
    assert classifier.classes_.tolist() == names.tolist()
    assert classifier.classes_.dtype.kind == ("O" if names.dtype.kind == "U" else names.dtype.kind)
    predicted = classifier.predict(X)
    assert predicted.dtype == classifier.classes_.dtype
    assert (predicted == truth).mean() > 0.9
    assert classifier.score(X, truth) == (predicted == truth).mean()
    # A whole number in floating point is called like the whole number.
    assert classifier.trainer_.class_names == [str(name).removesuffix(".0") for name in names.tolist()]


def test_boolean_labels():
    X, positions = blobs(classes=2)
    truth = positions == 1
    whole = make().fit(X, truth)
    assert whole.classes_.dtype == bool and whole.classes_.tolist() == [False, True]
    partial = make().fit(X, few(truth, None, dtype=object))
    assert partial.classes_.dtype == bool
    assert partial.predict(X).dtype == bool and partial.score(X, truth) > 0.9


def test_a_list_of_text_and_numbers():
    """NumPy would turn -1 into text."""
    X, positions = blobs(rows=12, classes=2)
    labels = [["no", "yes"][position] if row < 6 else -1 for row, position in enumerate(positions)]
    classifier = make().fit(X.tolist(), labels)
    assert classifier.classes_.tolist() == ["no", "yes"]
    assert classifier.transduction_[:6].tolist() == labels[:6]


def test_text_minus_one():
    X, positions = blobs(rows=12)
    text = np.array(["a", "b", "-1"])[positions]
    with pytest.raises(ValueError, match="text '-1'.*unlabeled='-1'"):
        make().fit(X, text)
    assert make(unlabeled="-1").fit(X, text).classes_.tolist() == ["a", "b"]
    assert make(unlabeled=None).fit(X, text).classes_.tolist() == ["-1", "a", "b"]
    X, positions = blobs(rows=12, classes=2)
    assert make().fit(X, np.array(["-1", "1"])[positions]).classes_.tolist() == ["-1", "1"]


def test_minus_one_and_one_are_two_classes():
    X, positions = blobs(classes=2)
    for dtype in (int, float, object):
        truth = np.array([-1, 1], dtype)[positions]
        classifier = make().fit(X, truth)
        assert classifier.classes_.tolist() == [-1, 1]
        assert classifier.score(X, truth) > 0.9
    missing = few(truth, None, dtype=object)
    classifier = make().fit(X, missing)
    assert classifier.classes_.tolist() == [-1, 1]
    assert set(classifier.transduction_.tolist()) == {-1, 1}
    assert make().fit(X, few(truth.astype(float), np.nan), X_unlabeled=X).classes_.tolist() == [-1, 1]


def test_minus_one_beside_others_is_no_label():
    X, positions = blobs()
    # Whatever the other labels are, 1 among them.
    classifier = make().fit(X, np.array([-1, 1, 2])[positions])
    assert classifier.classes_.tolist() == [1, 2]
    with pytest.raises(ValueError, match="one class only, 0.*-1, None or NaN means no label"):
        make().fit(X, np.array([-1, 0, 0])[positions])


def test_explicit_markers():
    X, positions = blobs()
    labels = np.array([-1, 1, 2])[positions]
    assert make(unlabeled=None).fit(X, labels).classes_.tolist() == [-1, 1, 2]
    assert make(unlabeled=2).fit(X, labels).classes_.tolist() == [-1, 1]
    assert make(unlabeled=-1).fit(X, labels).classes_.tolist() == [1, 2]
    with pytest.raises(ValueError, match="one class only"):
        make(unlabeled=-1).fit(X, np.array([-1, 1, 1])[positions])
    words = np.array(["", "b", "c"])[positions]
    assert make(unlabeled="").fit(X, words).classes_.tolist() == ["b", "c"]
    for wrong in (1.5, [0], False):
        with pytest.raises(TypeError, match="unlabeled must be"):
            make(unlabeled=wrong).fit(X, labels)


def test_labels_that_are_refused():
    X, positions = blobs(rows=12)
    with pytest.raises(ValueError, match="Unknown label type: continuous. y, row 0: .*5 is not a whole number"):
        make().fit(X, positions + 0.5)
    with pytest.raises(TypeError, match="got int such as '0' and str such as 'a'"):
        make().fit(X, np.array([0, "a", 1], object)[positions])
    with pytest.raises(TypeError, match="dtype datetime64"):
        make().fit(X, np.array(["2020-01-01", "2021-01-01", "2022-01-01"], "datetime64[D]")[positions])
    with pytest.raises(ValueError, match="1d array"):
        make().fit(X, np.zeros((12, 2)))
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        make().fit(X, positions[:-1])
    for infinite in (np.inf, -np.inf):
        with pytest.raises(ValueError, match="y, row 2: the label is infinite"):
            make().fit(X, np.where(np.arange(12) == 2, infinite, positions))


@pytest.mark.parametrize("labels", [np.full(12, -1), np.full(12, np.nan), np.full(12, None)])
def test_no_labels(labels):
    with pytest.raises(ValueError, match="no row of y has a label; -1, None or NaN means none"):
        make().fit(blobs(rows=12)[0], labels)


def test_too_few_labels():
    X, positions = blobs(rows=12)
    one = np.full(12, -1)
    one[3] = 2
    with pytest.raises(ValueError, match="one class only, 2"):
        make().fit(X, one)
    one[4] = 0
    classifier = make().fit(X, one)
    # Class 1 exists only in rows without labels, so that nothing can know of it.
    assert classifier.classes_.tolist() == [0, 2]
    assert classifier.transduction_[[3, 4]].tolist() == [2, 0]


# Unlabelled rows


def test_transduction():
    X, positions = blobs()
    labels = few(np.array(["a", "b", "c"])[positions], None, dtype=object)
    labels[0] = "c"
    more = blobs(rows=30, seed=1)[0]
    classifier = make().fit(X, labels, X_unlabeled=more)
    assert classifier.transduction_.shape == (120,)
    given = labels != None  # noqa: E711
    assert (classifier.transduction_[:90][given] == labels[given]).all()
    predicted = np.concatenate([classifier.predict(X), classifier.predict(more)])
    rest = np.concatenate([~given, np.ones(30, bool)])
    assert (classifier.transduction_[rest] == predicted[rest]).all()


def test_two_doors_for_unlabelled_rows():
    """Marked rows behind the labelled ones are the same training as rows given by themselves."""
    X, positions = blobs()
    marked = make().fit(X, np.where(np.arange(90) < 15, positions, -1))
    apart = make().fit(X[:15], positions[:15], X_unlabeled=X[15:])
    assert same_bits(marked.predict_proba(X), apart.predict_proba(X))
    assert same_bits(marked.transduction_, apart.transduction_)


def test_unlabelled_rows_make_a_difference():
    X, positions = blobs()
    without = make().fit(X[:15], positions[:15])
    assert not same_bits(without.predict_proba(X), make().fit(X[:15], positions[:15], X[15:]).predict_proba(X))
    none = make().fit(X[:15], positions[:15], X[:0])
    assert same_bits(without.predict_proba(X), none.predict_proba(X))


def test_unlabelled_rows_that_are_refused():
    X, positions = blobs()
    with pytest.raises(ValueError, match="X_unlabeled: X has 3 features"):
        make().fit(X, positions, X_unlabeled=X[:, :3])
    with pytest.raises(ValueError, match="X_unlabeled: .*NaN"):
        make().fit(X, positions, X_unlabeled=np.where(X > 2, np.nan, X))
    with pytest.raises(ValueError, match="X_unlabeled: .*2D"):
        make().fit(X, positions, X_unlabeled=X[0])


# Inputs


def test_inputs_that_are_refused():
    X, positions = blobs()
    words = X.astype(object)
    words[3, 1] = "red"
    with pytest.raises(ValueError, match="red"):
        make().fit(words, positions)
    for value in (np.nan, np.inf):
        bad = X.copy()
        bad[4, 2] = value
        with pytest.raises(ValueError, match="NaN|infinity"):
            make().fit(bad, positions)
        with pytest.raises(ValueError, match="NaN|infinity"):
            make().fit(X, positions).predict(bad)


@pytest.mark.parametrize("convert", [
    lambda X: X.astype(np.float32), lambda X: np.asfortranarray(X), lambda X: X.tolist(), lambda X: X.astype(object),
    lambda X: np.repeat(X, 2, axis=0)[::2], lambda X: X.astype("U32").astype(object),
])  # fmt: skip
def test_inputs_of_all_kinds(convert):
    X, positions = blobs()
    X = X.astype(np.float32).astype(np.float64)
    expected = make().fit(X, positions).predict_proba(X)
    assert np.allclose(make().fit(convert(X), positions).predict_proba(convert(X)), expected, atol=1e-5)


def test_whole_numbers_and_booleans_as_inputs():
    X, positions = blobs()
    for converted in ((10 * X).astype(np.int16), np.clip(10 * X + 50, 0, 255).astype(np.uint8), X > 0):
        plain = converted.astype(np.float64)
        left, right = make().fit(converted, positions), make().fit(plain, positions)
        assert same_bits(left.predict_proba(converted), right.predict_proba(plain))


def test_odd_tables():
    X, positions = blobs(columns=3)
    constant = np.column_stack([X, np.full(90, 7.0), np.zeros(90)])
    assert make().fit(constant, few(positions, -1)).score(constant, positions) > 0.9
    assert make().fit(np.repeat(X, 10, axis=0), np.repeat(few(positions, -1), 10)).score(X, positions) > 0.9
    assert make().fit(np.ones((12, 3)), np.arange(12) % 2).predict(np.ones((1, 3))).shape == (1,)
    column = np.where(positions == 0, -2.0, 2.0)[:, None] + 0.1 * X[:, :1]
    assert make().fit(column, few(positions == 0, None, dtype=object)).score(column, positions == 0) > 0.9
    for factor in (1e-9, 1e20):
        assert make().fit(X * factor, few(positions, -1)).score(X * factor, positions) > 0.9


def test_one_row():
    X, positions = blobs()
    classifier = make().fit(X, positions)
    probabilities = classifier.predict_proba(X[:1])
    assert probabilities.shape == (1, 3) and probabilities.dtype == np.float32
    assert np.isclose(probabilities.sum(), 1)
    assert classifier.predict(X[:1])[0] == classifier.predict(X)[0]
    with pytest.raises(ValueError, match="2D array"):
        classifier.predict(X[0])
    with pytest.raises(ValueError, match="X has 3 features, but SemiSupervisedClassifier is expecting 4"):
        classifier.predict(X[:, :3])


def test_many_rows_and_few_labels():
    random = np.random.default_rng(0)
    positions = np.arange(100_000) % 2
    X = random.standard_normal((100_000, 10), np.float32) + np.where(positions, 1.5, -1.5)[:, None]
    labels = np.where(np.arange(100_000) < 5, positions, -1)
    classifier = make(steps=50).fit(X, labels)
    assert classifier.transduction_.shape == (100_000,)
    assert classifier.score(X, positions) > 0.9
    # Blocks make no difference.
    assert np.allclose(classifier.predict_proba(X)[8190:8195], classifier.predict_proba(X[8190:8195]), atol=1e-6)


class TestDataFrames:
    @pytest.fixture
    def pandas(self):
        return pytest.importorskip("pandas")

    def frame(self, pandas):
        X, positions = blobs()
        return pandas.DataFrame(X, columns=["width", "height", "depth", "mass"]), positions

    def test_names(self, pandas):
        X, positions = self.frame(pandas)
        classifier = make().fit(X, pandas.Series(positions, dtype="Int64"), X_unlabeled=X)
        assert classifier.feature_names_in_.tolist() == list(X.columns)
        assert classifier.trainer_.feature_names == list(X.columns)
        with pytest.raises(ValueError, match="same order"):
            classifier.predict(X[["height", "width", "depth", "mass"]])
        with pytest.raises(ValueError, match="unseen at fit time"):
            classifier.predict(X.rename(columns={"mass": "weight"}))
        with pytest.raises(ValueError, match=r"X_unlabeled: [\s\S]*unseen at fit time"):
            make().fit(X, positions, X_unlabeled=X.rename(columns={"mass": "weight"}))

    def test_missing_labels(self, pandas):
        X, positions = self.frame(pandas)
        labels = few(np.array(["a", "b", "c"])[positions], None, dtype=object)
        expected = make().fit(X, labels).predict_proba(X)
        numbers = pandas.Series(few(positions, None, dtype=object), dtype="Int64")
        for series in (pandas.Series(labels), pandas.Series(labels, dtype="category"), numbers):
            classifier = make().fit(X, series)
            assert len(classifier.classes_) == 3
            assert same_bits(classifier.predict_proba(X), expected)


# What scikit-learn does with estimators


def test_the_same_bits():
    X, positions = blobs()
    labels = few(positions, -1)
    classifier = make()
    first = classifier.fit(X, labels).predict_proba(X)
    assert same_bits(classifier.fit(X, labels).predict_proba(X), first)
    assert same_bits(clone(classifier).fit(X, labels).predict_proba(X), first)
    assert not same_bits(make(random_state=1).fit(X, labels).predict_proba(X), first)
    state = np.random.RandomState(0)
    shared = [make(random_state=state).fit(X, labels).predict_proba(X) for _ in range(2)]
    assert not same_bits(*shared)


@pytest.mark.parametrize("carry", [
    lambda model: pickle.loads(pickle.dumps(model)), copy.deepcopy,
    lambda model: joblib_copy(model), lambda model: pickle.loads(pickle.dumps(model, protocol=2)),
], ids=["pickle", "deepcopy", "joblib", "protocol 2"])  # fmt: skip
def test_copies(carry):
    X, positions = blobs()
    classifier = make().fit(X, few(positions, -1))
    other = carry(classifier)
    assert same_bits(other.predict_proba(X), classifier.predict_proba(X))
    assert other.get_params() == classifier.get_params()
    assert other.n_iter_ == other.trainer_.steps == 60
    assert same_bits(other.transduction_, classifier.transduction_)
    for name, values in classifier.history_.items():
        assert same_bits(other.history_[name], values) and same_bits(other.trainer_.history[name], values)
    # Each has a network of its own.
    classifier.trainer_.student.parameters["dense0.weight"][...] = 0
    assert not same_bits(other.predict_proba(X), classifier.predict_proba(X))
    fresh = pickle.loads(pickle.dumps(make()))
    assert same_bits(fresh.fit(X, positions).predict_proba(X), make().fit(X, positions).predict_proba(X))


def joblib_copy(model):
    file = io.BytesIO()
    joblib.dump(model, file)
    return joblib.load(io.BytesIO(file.getvalue()))


def test_a_pickled_trainer_goes_on():
    X, positions = blobs()
    trainer = didact.Trainer("meta_pseudo_labels", didact.mlp(4, [8], 3), average_decay=0.9)
    trainer.fit(X, positions, steps=5)
    other = pickle.loads(pickle.dumps(trainer))
    trainer.fit(X, positions, steps=5)
    other.fit(X, positions, steps=5)
    assert same_bits(other.predict_proba(X), trainer.predict_proba(X))
    assert other.steps == 10


def test_a_model_file_of_the_trainer(tmp_path):
    X, positions = blobs()
    classifier = make().fit(X, few(np.array(["a", "b", "c"])[positions], None, dtype=object))
    classifier.trainer_.save(tmp_path / "model.safetensors")
    trainer = didact.Trainer.load(tmp_path / "model.safetensors")
    assert same_bits(trainer.predict_proba(X), classifier.predict_proba(X))
    assert trainer.class_names == ["a", "b", "c"]


def test_pipelines_and_searches():
    X, positions = blobs()
    labels = few(positions, -1, every=2)
    pipeline = make_pipeline(StandardScaler(), make()).fit(X, labels)
    assert pipeline.score(X, positions) > 0.9
    grid = {"hidden_layers": [(8,), (16, 8)], "configuration": [None, {"uda_weight": 0.0}]}
    search = GridSearchCV(make(), grid, cv=3)
    # Stratified folds take -1 for a class; scores leave it out.
    search.fit(X, labels)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    assert search.best_score_ > 0.9
    assert search.best_estimator_.trainer_.student.parameters["dense0.weight"].shape in ((8, 4), (16, 4))


def test_processes_of_joblib():
    X, positions = blobs()
    scores = [cross_val_score(make(), X, positions, cv=StratifiedKFold(3), n_jobs=jobs) for jobs in (1, 2)]
    assert same_bits(*scores)


def test_score_leaves_out_rows_without_labels():
    X, positions = blobs()
    classifier = make().fit(X, few(positions, -1))
    wrong = np.where(np.arange(90) < 10, (positions + 1) % 3, positions)
    expected = classifier.score(X[:20], wrong[:20])
    hidden = np.where(np.arange(90) < 20, wrong, -1)
    assert classifier.score(X, hidden) == expected < 1
    weights = np.where(np.arange(90) < 10, 0.0, 1.0)
    assert classifier.score(X, hidden, sample_weight=weights) == classifier.score(X[10:20], positions[10:20])
    with pytest.raises(ValueError, match="no row of y has a label"):
        classifier.score(X, np.full(90, -1))
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        classifier.score(X, positions[:-1])
    # Where -1 is a class it counts.
    truth = np.where(positions == 0, -1, 1)
    assert make().fit(X, truth).score(X, -truth) < 0.2


def test_not_fitted():
    for action in ("predict", "predict_proba"):
        with pytest.raises(NotFittedError):
            getattr(make(), action)(np.zeros((1, 2)))
    # Nor after a fit that failed.
    classifier = make()
    with pytest.raises(ValueError):
        classifier.fit(np.zeros((3, 2)), [0, 0, 0])
    with pytest.raises(NotFittedError):
        classifier.predict(np.zeros((1, 2)))


# Parameters


def test_configuration():
    X, positions = blobs()
    classifier = make(hidden_layers=[8, 6], method="meta_pseudo_labels", configuration={
        "uda_weight": 2.5, "student_optimizer": {"learning_rate": 0.125, "momentum": 0.5}, "dtype": "float64",
        "teacher_optimizer.name": "adamw", "network": {"dropout": 0.25, "activation": "tanh"},
        "student_network": {"hidden": [5]},
    }).fit(X, positions)  # fmt: skip
    values = classifier.trainer_.configuration
    assert values["uda_weight"] == 2.5 and values["student_optimizer.learning_rate"] == 0.125
    assert values["student_optimizer.momentum"] == 0.5 and values["teacher_optimizer.name"] == "adamw"
    assert values["network"]["hidden"] == [8, 6] and values["student_network"]["hidden"] == [5]
    for network in (values["network"], values["student_network"]):
        assert network["dropout"] == 0.25 and network["activation"] == "tanh"
    assert classifier.predict_proba(X).dtype == np.float64
    assert list(classifier.history_) == list(classifier.trainer_.history)
    assert all(values.shape == (60,) for values in classifier.history_.values())


@pytest.mark.parametrize("method", ["meta_pseudo_labels", "supervised"])
def test_defaults_are_the_preset_of_tables(method):
    X, positions = blobs(columns=5)
    values = didact.SemiSupervisedClassifier(method, n_jobs=1).fit(X, positions).trainer_.configuration
    expected = didact.preset("table", method, 5, 3)
    network = expected.pop("network")
    assert {key: values[key] for key in expected} == expected
    assert {key: values["network"][key] for key in network} == network


def test_another_optimizer_starts_afresh():
    X, positions = blobs()
    given = {"student_optimizer": {"name": "adamw", "beta1": 0.8}}
    values = make(method="meta_pseudo_labels", configuration=given).fit(X, positions).trainer_.configuration
    assert values["student_optimizer.learning_rate"] == didact.Trainer(
        "supervised", didact.mlp(4, [8], 3), student_optimizer={"name": "adamw"}
    ).configuration["student_optimizer.learning_rate"]
    assert values["student_optimizer.beta1"] == 0.8 and values["student_optimizer.weight_decay"] == 0
    assert values["student_optimizer.schedule"] == "constant" and values["teacher_optimizer.schedule"] == "cosine"


@pytest.mark.parametrize("method", didact.build_info()["methods"])
def test_all_methods(method, tmp_path):
    X, positions = blobs()
    configuration = {}
    if method == "reduced_meta_pseudo_labels":
        configuration["teacher_distributions"] = str(tmp_path / "teacher.safetensors")
        teacher = make(method="uda").fit(X, few(positions, -1)).trainer_
        teacher.store_distributions(configuration["teacher_distributions"], X)
    classifier = make(method=method, configuration=configuration).fit(X, few(positions, -1))
    assert classifier.trainer_.method == method
    assert classifier.score(X, positions) > 0.9


@pytest.mark.parametrize("parameters, error, message", [
    ({"method": "magic"}, ValueError, "magic"),
    ({"steps": 0}, ValueError, "steps"),
    ({"steps": 2.5}, ValueError, "steps"),
    ({"n_jobs": 0}, ValueError, "n_jobs"),
    ({"time_limit": -1}, ValueError, "time_limit"),
    ({"callback": 3}, TypeError, "callback"),
    ({"configuration": ["uda_weight"]}, TypeError, "configuration"),
    ({"configuration": {"uda_wieght": 1}}, ValueError, "uda_weight"),
    ({"configuration": {"seed": 1}}, ValueError, "random_state"),
    ({"configuration": {"threads": 1}}, ValueError, "n_jobs"),
    ({"configuration": {"network": {"hiden": [3]}}}, ValueError, "hidden"),
    ({"configuration": {"network": 5}}, TypeError, "'network' must be a dict"),
    ({"configuration": {"student_network": "mlp"}}, TypeError, "'student_network' must be a dict"),
    ({"hidden_layers": 8}, TypeError, "hidden_layers"),
    ({"hidden_layers": (0,)}, ValueError, "hidden"),
])  # fmt: skip
def test_parameters_that_are_refused(parameters, error, message):
    X, positions = blobs(rows=12)
    with pytest.raises(error, match=message):
        make(**parameters).fit(X, positions)


@pytest.mark.parametrize("labels, message", [
    ([0, 2**70], "64 bits"),
    (["a", "\ud800"], "valid Unicode"),
])  # fmt: skip
def test_labels_that_no_model_file_holds(labels, message):
    with pytest.raises(ValueError, match=message):
        make().fit([[0.0], [1.0]], np.array(labels, dtype=object))


def test_verbose(capsys):
    X, positions = blobs()
    make().fit(X, positions)
    assert capsys.readouterr().out == ""
    make(verbose=1).fit(X, few(positions, -1), X_unlabeled=X[:7])
    printed = capsys.readouterr().out
    assert "90 rows, 18 of them with a label of 3 classes (-1, None or NaN means none); 7 more without" in printed
    assert "60/60" in printed


# Stopping


def test_callbacks():
    X, positions = blobs()
    seen = []
    classifier = make(callback=lambda progress: seen.append(progress) or len(seen) == 7).fit(X, positions)
    assert [progress["step"] for progress in seen] == list(range(1, 8))
    assert classifier.n_iter_ == 7 and seen[0]["steps"] == 60


def test_an_exception_in_the_callback():
    X, positions = blobs()

    def callback(progress):
        if progress["step"] == 5:
            raise LookupError("enough")

    # The preset's schedule runs over all steps, so that five of sixty are not five of five.
    constant = {
        "student_optimizer.schedule": "constant", "teacher_optimizer.schedule": "constant", "forest_trees": 0,
    }  # fmt: skip
    classifier = make(callback=callback, configuration=constant)
    with pytest.raises(LookupError, match="enough"):
        classifier.fit(X, positions)
    assert classifier.n_iter_ == 5
    whole = make(steps=5, configuration=constant).fit(X, positions)
    assert same_bits(classifier.predict_proba(X), whole.predict_proba(X))


def test_time_limit():
    X, positions = blobs()
    classifier = make(steps=10_000_000, time_limit=0.2).fit(X, positions)
    assert 0 < classifier.n_iter_ < 10_000_000
    assert make(time_limit=1e-9).fit(X, positions).n_iter_ == 1
    both = make(steps=10_000_000, time_limit=60, callback=lambda progress: progress["step"] == 3).fit(X, positions)
    assert both.n_iter_ == 3


def test_control_c():
    X, positions = blobs()
    classifier = make(steps=10_000_000)
    timer = threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGINT))
    timer.start()
    try:
        with pytest.raises(KeyboardInterrupt):
            classifier.fit(X, positions)
    finally:
        timer.cancel()
    assert 0 < classifier.n_iter_ < 10_000_000
    assert len(classifier.history_["loss/student"]) == classifier.n_iter_
    assert classifier.predict(X).shape == classifier.transduction_.shape == (90,)


# Loading


def test_scikit_learn_is_imported_late():
    result = run_python(
        "import sys, didact\n"
        "assert 'SemiSupervisedClassifier' in dir(didact)\n"
        "assert not [name for name in sys.modules if name.startswith('sklearn')]\n"
        "from didact import SemiSupervisedClassifier\n"
        "assert 'sklearn' in sys.modules and SemiSupervisedClassifier is didact.SemiSupervisedClassifier"
    )
    assert result.returncode == 0, result.stderr


def test_without_scikit_learn():
    result = run_python("import sys\nsys.modules['sklearn'] = None\nimport didact\ndidact.SemiSupervisedClassifier")
    assert result.returncode == 1
    assert "ImportError" in result.stderr and "pip install didact[sklearn]" in result.stderr


def test_names_that_are_not_there():
    with pytest.raises(AttributeError, match="no attribute 'SemiSupervised'"):
        didact.SemiSupervised  # noqa: B018


def test_images_are_learned_from_as_images():
    images, digits = didact.datasets.load_digits(images=True)
    images, digits = images[:400], digits[:400]
    few = np.where(np.arange(400) < 60, digits, -1)
    settings = {"network": {"width": 8}, "student_optimizer": {"learning_rate": 0.1}}
    classifier = didact.SemiSupervisedClassifier("fixmatch", steps=150, configuration=settings, random_state=0)
    classifier.fit(images[:300], few[:300], X_unlabeled=images[300:])
    assert classifier.score(images[300:], digits[300:]) > 0.7
    assert classifier.trainer_.configuration["network"]["type"] == "small_cnn"
    assert classifier.trainer_.configuration["strong_augmentation"] != "none"
    assert classifier.transduction_.shape == (400,)
    gray = didact.SemiSupervisedClassifier("supervised", steps=5, random_state=0).fit(images[..., 0], few)
    assert gray.predict_proba(images[:3, ..., 0]).shape == (3, 10)
    floats = didact.SemiSupervisedClassifier("supervised", steps=5, random_state=0).fit(images / 255, few)
    assert floats.trainer_.configuration["weak_augmentation"] == "none"
    assert classifier.n_features_in_ == 64 and classifier.image_shape_ == (8, 8, 1) == gray.image_shape_
    sizes = "X has images of height × width × channels 8 × 4 × 1, but SemiSupervisedClassifier was fitted on images of .* 8 × 8 × 1"
    with pytest.raises(ValueError, match=sizes):
        classifier.predict(images[:, :, :4])
    with pytest.raises(ValueError, match="X_unlabeled: X has images of .* 4 × 8 × 1"):
        gray.fit(images, few, X_unlabeled=images[:, :4])
    # Images as rows are the same images.
    np.testing.assert_array_equal(classifier.predict(images[:9].reshape(9, 64)), classifier.predict(images[:9]))
    with pytest.raises(ValueError, match="X has 32 features, but SemiSupervisedClassifier is expecting 64"):
        classifier.predict(images.reshape(400, 64)[:, :32])
    with pytest.raises(ValueError, match="hidden_layers are a perceptron's"):
        didact.SemiSupervisedClassifier(hidden_layers=(3,)).fit(images, few)
    with pytest.raises(ValueError, match="X has 5 dimensions; rows have two, images three or four"):
        gray.fit(images[..., None], few)


def test_channels_first_are_warned_of():
    images, digits = didact.datasets.load_digits(images=True)
    classifier = didact.SemiSupervisedClassifier("supervised", steps=1, random_state=0)
    with pytest.warns(UserWarning, match=r"1 × 8 × 8; where its channels come first, give X.transpose\(0, 2, 3, 1\)"):
        classifier.fit(images[:100].transpose(0, 3, 1, 2), digits[:100])


def test_images_after_rows_and_rows_after_images():
    images, digits = didact.datasets.load_digits(images=True)
    images, digits = images[:100], digits[:100]
    classifier = didact.SemiSupervisedClassifier("supervised", steps=2, random_state=0)
    classifier.fit(images, digits)
    classifier.fit(images.reshape(100, 64), digits)
    assert not hasattr(classifier, "image_shape_") and classifier.n_features_in_ == 64
    with pytest.raises(ValueError, match="X has images of .* 8 × 8 × 1, but .* was fitted on rows of 64 columns"):
        classifier.predict(images)


def test_lists_of_images():
    images, digits = didact.datasets.load_digits(images=True)
    images, digits = images[:100], digits[:100]
    settings = dict(steps=3, random_state=0)
    classifier = didact.SemiSupervisedClassifier("supervised", **settings).fit(list(images), digits)
    expected = didact.SemiSupervisedClassifier("supervised", **settings).fit(images, digits)
    assert classifier.trainer_.configuration["weak_augmentation"] != "none"
    np.testing.assert_array_equal(classifier.predict_proba(list(images)), expected.predict_proba(images))
    values = (images / 255).tolist()
    assert didact.SemiSupervisedClassifier("supervised", **settings).fit(values, digits).image_shape_ == (8, 8, 1)
    with pytest.raises(TypeError, match=r"X is a list of images of which NumPy makes int64; .* np.array\(X, np.uint8\)"):
        classifier.fit(images.tolist(), digits)
    with pytest.raises(ValueError, match=r"X is a list of images of several sizes, such as \(4, 8, 1\) and \(8, 8, 1\)"):
        classifier.fit([images[0][:4], *images[1:]], digits)


def test_keys_of_networks_with_dots():
    images, digits = didact.datasets.load_digits(images=True)
    settings = {"network.width": 4, "student_network": {"width": 8}, "student_network.stages": 1}
    classifier = didact.SemiSupervisedClassifier("supervised", steps=1, configuration={"network.width": 4})
    assert classifier.fit(images[:50], digits[:50]).trainer_.configuration["network"]["width"] == 4
    both = didact.SemiSupervisedClassifier(steps=1, configuration=settings).fit(images[:50], digits[:50]).trainer_
    assert both.configuration["network"]["width"] == 4
    assert both.configuration["student_network"]["width"] == 8 and both.configuration["student_network"]["stages"] == 1
    with pytest.raises(ValueError, match="wdth"):
        didact.SemiSupervisedClassifier(configuration={"network.wdth": 4}).fit(images[:50], digits[:50])


def test_a_refused_fit_leaves_the_last_one(tmp_path):
    pandas = pytest.importorskip("pandas")
    X, positions = blobs(rows=60)
    frame = pandas.DataFrame(X, columns=list("abcd"))
    classifier = make().fit(frame, np.array(["a", "b", "c"])[positions])
    before = classifier.predict_proba(frame)
    for wrong in ((X[:, :3], positions + 0.5), (X[:, :3], np.zeros(60, int)), (frame[["d", "a", "b", "c"]], positions + 0.5)):
        with pytest.raises(ValueError):
            classifier.fit(*wrong)
    with pytest.raises(ValueError):
        classifier.set_params(configuration={"no_such_key": 1}).fit(X[:, :3], positions)
    classifier.set_params(configuration=None)
    np.testing.assert_array_equal(classifier.predict_proba(frame), before)
    classifier.save(tmp_path / "model.safetensors")
    assert classifier.feature_names_in_.tolist() == list("abcd")


def test_an_interrupt_while_rows_are_predicted_keeps_the_model(monkeypatch):
    X, positions = blobs(rows=60)

    def interrupted(trainer, rows):
        raise KeyboardInterrupt

    classifier = make()
    monkeypatch.setattr("didact.estimators._probabilities", interrupted)
    with pytest.raises(KeyboardInterrupt):
        classifier.fit(X, positions)
    monkeypatch.undo()
    assert classifier.n_iter_ == classifier.trainer_.steps > 0 and classifier.score(X, positions) > 0.9


class TestClassShares:
    """`class_prior` and `class_weight`: how often a class counts."""

    def test_weights_and_shares_are_two_words_for_one_thing(self):
        X, y = blobs()
        labels = few(y, -1)
        keep = np.flatnonzero(labels == 0)[2:]
        labels[keep] = -1  # two labels of class 0, six of each other
        weighted = make(class_weight={0: 3.0}).fit(X, labels)
        shares = make(class_prior={0: 6, 1: 6, 2: 6}).fit(X, labels)
        assert same_bits(weighted.predict_proba(X), shares.predict_proba(X))
        assert same_bits(make(class_weight="balanced").fit(X, labels).predict_proba(X), shares.predict_proba(X))
        assert not same_bits(make(class_prior="none").fit(X, labels).predict_proba(X), shares.predict_proba(X))
        assert weighted.trainer_.configuration["class_prior"] == [6.0, 6.0, 6.0]

    def test_labels_of_text_have_shares(self):
        X, y = blobs(classes=2)
        names = np.array(["no", "yes"], dtype=object)[y]
        names[12:] = None
        classifier = make(class_prior={"yes": 0.8, "no": 0.2}).fit(X, names)
        assert classifier.trainer_.configuration["class_prior"] == [0.2, 0.8]

    def test_uneven_rows_with_even_labels(self):
        random = np.random.default_rng(1)
        y = (np.arange(600) >= 540).astype(int)
        X = random.standard_normal((600, 2)) + np.where(y == 1, 1.0, -1.0)[:, None]
        labels = np.full(600, -1)
        labels[:5], labels[-5:] = 0, 1
        fitted = {prior: make(class_prior=prior, steps=300).fit(X, labels) for prior in ("labels", "estimate", None)}
        taken = {prior: int((classifier.predict(X) == 1).sum()) for prior, classifier in fitted.items()}
        assert 54 <= taken["estimate"] < taken["labels"]  # 60 are of the rare class
        assert fitted["estimate"].score(X, y) > fitted["labels"].score(X, y)
        # The preset of tables estimates.
        assert same_bits(fitted[None].predict_proba(X), fitted["estimate"].predict_proba(X))

    @pytest.mark.parametrize(
        ("parameters", "error", "words"),
        [
            ({"class_prior": "even"}, ValueError, "'none', 'labels', 'estimate'"),
            ({"class_prior": {0: 1.0}}, ValueError, "class_prior has nothing for the class 1"),
            ({"class_prior": {0: 1, 1: 1, 2: 1, 7: 1}}, ValueError, "names 7, which is no label"),
            ({"class_prior": [1, 2]}, ValueError, "2 numbers for 3 classes"),
            ({"class_prior": [1, 2, -1]}, ValueError, "class 2: must be a number of at least 0; got -1"),
            ({"class_prior": [1, float("nan"), 1]}, ValueError, "class 1: must be"),
            ({"class_prior": [0, 0, 0]}, ValueError, "0 for every class"),
            ({"class_weight": "even"}, ValueError, "'balanced' or a dict"),
            ({"class_weight": [1, 2, 3]}, TypeError, "'balanced' or a dict"),
            ({"class_weight": {0: "much"}}, ValueError, "class 0: must be a number"),
            ({"class_weight": "balanced", "class_prior": "none"}, ValueError, "give one of them"),
            ({"configuration": {"class_prior": "none"}}, ValueError, "is set by the parameter 'class_prior'"),
        ],
    )
    def test_what_is_wrong_is_said(self, parameters, error, words):
        X, y = blobs()
        with pytest.raises(error, match=words):
            make(**parameters).fit(X, y)

    def test_files_keep_them(self, tmp_path):
        X, y = blobs()
        for parameters in ({"class_weight": {0: 2.0, 1: 1.0, 2: 1.5}}, {"class_prior": "estimate"}, {"class_prior": (1, 2, 3)}):
            fitted = make(**parameters).fit(X, few(y, -1))
            fitted.save(tmp_path / "model.safetensors")
            loaded = didact.SemiSupervisedClassifier.load(tmp_path / "model.safetensors")
            assert {name: loaded.get_params()[name] for name in parameters} == parameters
            assert same_bits(clone(loaded).fit(X, few(y, -1)).predict_proba(X), fitted.predict_proba(X))


def test_a_network_of_another_type_than_the_presets():
    X, y = blobs()
    layers = [{"type": "dense", "outputs": 8}, {"type": "tanh"}, {"type": "dense", "outputs": 3}]
    classifier = make(configuration={"network": {"type": "sequential", "layers": layers}}).fit(X, few(y, -1))
    assert classifier.score(X, y) > 0.9
    assert classifier.trainer_.student.specification["layers"][1]["type"] == "tanh"
