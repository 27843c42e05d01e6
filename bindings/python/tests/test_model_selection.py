"""Scorers and splitters that leave rows without a label out."""

import pickle
import re

import numpy as np
import pytest

import didact
from support import run_python, same_bits

pytest.importorskip("sklearn", minversion="1.3")

from sklearn.base import clone  # noqa: E402
from sklearn.linear_model import LogisticRegression  # noqa: E402
from sklearn.metrics import f1_score, log_loss, make_scorer, roc_auc_score  # noqa: E402
from sklearn.model_selection import GridSearchCV, cross_val_score, cross_validate  # noqa: E402
from sklearn.pipeline import make_pipeline  # noqa: E402
from sklearn.preprocessing import StandardScaler  # noqa: E402
from sklearn.semi_supervised import LabelSpreading, SelfTrainingClassifier  # noqa: E402

from didact.model_selection import LabeledKFold, labeled_scorer  # noqa: E402

RANDOM = np.random.default_rng(0)
CODES = np.arange(90) % 3
X = RANDOM.standard_normal((90, 4)) + 1.5 * np.eye(3, 4)[CODES]
LABELED = np.arange(90) < 45
FEW = np.where(LABELED, CODES, -1)


def make(**parameters):
    return didact.SemiSupervisedClassifier(**{"steps": 15, "random_state": 0, "n_jobs": 1, **parameters})


# Scorers


@pytest.mark.parametrize("name", ["accuracy", "f1_macro", "balanced_accuracy", "neg_log_loss", "roc_auc_ovr"])
def test_rows_without_a_label_are_left_out(name):
    classifier = make().fit(X, FEW)
    scorer = labeled_scorer(name)
    known = X[LABELED], CODES[LABELED]
    probabilities, predicted = classifier.predict_proba(known[0]), classifier.predict(known[0])
    expected = {
        "accuracy": lambda: (predicted == known[1]).mean(), "f1_macro": lambda: f1_score(known[1], predicted, average="macro"),
        "neg_log_loss": lambda: -log_loss(known[1], probabilities),
        "roc_auc_ovr": lambda: roc_auc_score(known[1], probabilities, multi_class="ovr"),
        "balanced_accuracy": lambda: np.mean([(predicted == code)[known[1] == code].mean() for code in range(3)]),
    }[name]()  # fmt: skip
    assert np.isclose(scorer(classifier, X, FEW), expected)
    assert np.isclose(scorer(classifier, *known), expected)
    text = np.array(["a", "b", "c"], object)[CODES]
    named = make().fit(X, np.where(LABELED, text, None))
    assert np.isclose(scorer(named, X, np.where(LABELED, text, None)), expected)
    masked = np.ma.array(CODES, mask=~LABELED)
    assert np.isclose(scorer(classifier, X, masked), expected)


def test_a_scorer_agrees_with_score():
    weights = np.arange(90) % 4
    classifier = make().fit(X, FEW)
    scorer = labeled_scorer("accuracy")
    assert scorer(classifier, X, FEW) == classifier.score(X, FEW)
    assert scorer(classifier, X, FEW, sample_weight=weights) == classifier.score(X, FEW, sample_weight=weights)
    # By the rule of the fit: -1 is a class there, whatever these rows look like.
    two = make().fit(X, np.where(CODES == 0, -1, 1))
    assert scorer(two, X, np.where(CODES == 0, -1, 1)) == two.score(X, np.where(CODES == 0, -1, 1))
    # And here it is none, though the rows have -1 and 1 alone.
    only = np.where(CODES == 1, 1, -1)
    assert scorer(classifier, X, only) == classifier.score(X[CODES == 1], CODES[CODES == 1])
    other = make(unlabeled=7).fit(X, np.where(LABELED, CODES, 7))
    assert scorer(other, X, np.where(LABELED, CODES, 7)) == other.score(X[LABELED], CODES[LABELED])


def test_scorers_within_pipelines_and_searches():
    cv = LabeledKFold(3)
    pipeline = make_pipeline(StandardScaler(), make(unlabeled=7))
    marked = np.where(LABELED, CODES, 7)
    scores = cross_val_score(pipeline, X, marked, cv=LabeledKFold(3, unlabeled=7), scoring=labeled_scorer("f1_macro"),
                             error_score="raise")  # fmt: skip
    assert scores.shape == (3,) and (scores > 0.5).all()
    search = GridSearchCV(make(), {"hidden_layers": [(16,), (8,)]}, cv=cv, error_score="raise", refit="loss", scoring={
        "loss": labeled_scorer("neg_log_loss"), "auc": labeled_scorer("roc_auc_ovr"),
    }).fit(X, FEW)  # fmt: skip
    assert np.isfinite(search.cv_results_["mean_test_loss"]).all() and (search.cv_results_["mean_test_auc"] > 0.6).all()
    assert labeled_scorer("accuracy")(search, X, FEW) == search.best_estimator_.score(X, FEW)
    # What scikit-learn's own scorers make of it.
    plain = cross_val_score(make(), X, FEW, scoring="accuracy", cv=3)
    assert plain.max() < cross_val_score(make(), X, FEW, scoring=labeled_scorer("accuracy"), cv=cv).min()


def test_scorers_of_other_estimators():
    cv, scorer = LabeledKFold(3), labeled_scorer("accuracy")
    for model in (LabelSpreading(kernel="knn", n_neighbors=5), SelfTrainingClassifier(LogisticRegression()),
                  make_pipeline(StandardScaler(), LabelSpreading())):  # fmt: skip
        scores = cross_val_score(model, X, FEW, cv=cv, scoring=scorer, error_score="raise")
        folds = list(cv.split(X, FEW))
        expected = [(clone(model).fit(X[a], FEW[a]).predict(X[b]) == CODES[b]).mean() for a, b in folds]
        assert same_bits(scores, np.array(expected))


def test_a_fold_may_lack_a_class():
    classifier = make().fit(X, FEW)
    two = np.where(CODES == 2, -1, FEW)
    assert np.isfinite(labeled_scorer("neg_log_loss")(classifier, X, two))


def test_callables_and_copies_of_scorers():
    classifier = make().fit(X, FEW)
    f2 = labeled_scorer(make_scorer(f1_score, average="micro"))
    assert np.isclose(f2(classifier, X, FEW), classifier.score(X, FEW))
    counted = labeled_scorer(lambda estimator, X, y: len(y))
    assert counted(classifier, X, FEW) == 45
    scorer = labeled_scorer("accuracy")
    assert pickle.loads(pickle.dumps(scorer)) == scorer and repr(scorer) == "labeled_scorer('accuracy')"
    jobs = [cross_val_score(make(), X, FEW, cv=LabeledKFold(2), scoring=scorer, n_jobs=n) for n in (1, 2)]
    assert same_bits(*jobs)
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(X, columns=list("abcd"))
    named = make().fit(frame, pandas.Series(FEW))
    assert scorer(named, frame, pandas.Series(FEW, index=range(100, 190))) == classifier.score(X, FEW)


def test_scorers_that_are_refused():
    with pytest.raises(ValueError, match="f1_marco"):
        labeled_scorer("f1_marco")
    with pytest.raises(TypeError, match="must be a name.*got 3"):
        labeled_scorer(3)
    classifier = make().fit(X, FEW)
    with pytest.raises(ValueError, match="no row of y has a label; didact.model_selection.LabeledKFold"):
        labeled_scorer("accuracy")(classifier, X, np.full(90, -1))
    with pytest.raises(ValueError, match="y is None"):
        labeled_scorer("accuracy")(classifier, X)
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        labeled_scorer("accuracy")(classifier, X, FEW[:-1])


# Splitters


@pytest.mark.parametrize("shuffle", [False, True])
def test_folds_are_stratified_over_the_labels(shuffle):
    order = np.random.default_rng(1).permutation(90)
    y = FEW[order]
    cv = LabeledKFold(5, shuffle=shuffle, random_state=0 if shuffle else None)
    folds = list(cv.split(X, y))
    assert len(folds) == cv.get_n_splits(X, y) == 5
    for train, test in folds:
        assert np.bincount(y[test]).tolist() == [3, 3, 3]
        assert np.isin(np.flatnonzero(y == -1), train).all()
        assert sorted([*train, *test]) == list(range(90))
    assert sorted(np.concatenate([test for _, test in folds])) == np.flatnonzero(y >= 0).tolist()
    again = list(cv.split(X, y))
    assert all(same_bits(left[1], right[1]) for left, right in zip(folds, again))
    if shuffle:
        other = list(LabeledKFold(5, shuffle=True, random_state=1).split(X, y))
        assert not all(same_bits(left[1], right[1]) for left, right in zip(folds, other))


def test_markers_of_folds():
    want = [test.tolist() for _, test in LabeledKFold(3).split(X, FEW)]
    text = np.where(LABELED, np.array(["a", "b", "c"], object)[CODES], None)
    for y, marker in ((np.where(LABELED, CODES, np.nan), "auto"), (np.ma.array(CODES, mask=~LABELED), "auto"),
                      (text, "auto"), (np.where(LABELED, CODES, 7), 7), (np.where(LABELED, text, "?"), "?")):  # fmt: skip
        assert [test.tolist() for _, test in LabeledKFold(3, unlabeled=marker).split(X, y)] == want
    classes = list(LabeledKFold(3, unlabeled=None).split(X, FEW))
    assert sum(len(test) for _, test in classes) == 90
    with pytest.warns(didact.DidactWarning, match=re.escape("'?' in 45 rows")):
        list(LabeledKFold(3).split(X, np.where(LABELED, text, "?")))


def test_folds_that_are_refused():
    with pytest.raises(ValueError, match="no row of y has a label"):
        next(LabeledKFold(3).split(X, np.full(90, -1)))
    with pytest.raises(ValueError, match="n_splits=5 cannot be greater than the number of members in each class"):
        next(LabeledKFold(5).split(X, np.where(np.arange(90) < 9, CODES, -1)))
    for wrong in ({"n_splits": 1}, {"shuffle": True, "n_splits": 0}, {"random_state": 3}):
        with pytest.raises(ValueError, match="n_splits|k-fold|random_state"):
            LabeledKFold(**wrong)
    with pytest.raises(ValueError, match="y is None"):
        next(LabeledKFold(3).split(X))
    assert repr(LabeledKFold(3)) == "LabeledKFold(n_splits=3, random_state=None, shuffle=False, unlabeled='auto')"


def test_cross_validation_of_many_scores():
    found = cross_validate(make(), X, FEW, cv=LabeledKFold(3), error_score="raise",
                           scoring={name: labeled_scorer(name) for name in ("accuracy", "f1_macro")})  # fmt: skip
    default = cross_val_score(make(), X, FEW, cv=LabeledKFold(3))
    assert same_bits(found["test_accuracy"], default)


def test_the_module_is_loaded_late():
    result = run_python(
        "import sys, didact\n"
        "assert 'model_selection' in dir(didact) and 'sklearn' not in sys.modules\n"
        "didact.model_selection.LabeledKFold(3)\n"
        "assert 'sklearn' in sys.modules"
    )
    assert result.returncode == 0, result.stderr
    result = run_python("import sys\nsys.modules['sklearn'] = None\nimport didact\ndidact.model_selection")
    assert result.returncode == 1 and "pip install didact[sklearn]" in result.stderr
