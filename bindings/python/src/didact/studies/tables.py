"""The study "tables": Didact's default beside what people have, on tables that nobody chose by and on some that are for
choosing (`table_data`)."""

from __future__ import annotations

import math
import statistics
import warnings
from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from . import CHOOSING_SEEDS, Study, table_data
from .table_data import Task

DEFAULT, SUPERVISED = "SemiSupervisedClassifier", "SemiSupervisedClassifier, supervised"
ALONE = "SemiSupervisedClassifier, meta_pseudo_labels"
CONTROL = "SemiSupervisedClassifier, meta_pseudo_labels, feedback weight 0 (control)"
NETWORKS = "SemiSupervisedClassifier, without trees (control)"
OLD_DEFAULT = "SemiSupervisedClassifier as of version 0.1"
FOREST, EXTRA_TREES, VOTE = "random forest", "extra trees", "soft vote of random forest and extra trees"
# Peers that take rows as they are, and peers that are also tried with standardised columns.
_TREES = (FOREST, EXTRA_TREES, VOTE, "LightGBM")
_SCALED = ("logistic regression", "SVC", "LabelSpreading")


# Classifiers


def _didact(method: str, configuration: Callable[[int], dict[str, Any]] = lambda columns: {}, **parameters: Any) -> Callable:
    def make(task: Task, seed: int) -> Any:
        import didact

        chosen = configuration(task.features.shape[1])
        return didact.SemiSupervisedClassifier(method, configuration=chosen, random_state=seed, n_jobs=1, **parameters)

    return make


def _of_version_0_1(columns: int) -> dict[str, Any]:
    """What the preset of tables was, where it is another today."""
    return {
        "network.batch_norm": True, "network.activation": "relu", "network.dropout": 0, "input_scaling": "standard",
        "strong_noise": min(0.6, 0.15 * math.sqrt(columns)), "uda_weight": 4, "uda_wait_steps": 0, "share_limit": None,
        "teacher_optimizer.learning_rate": 0.2, "student_optimizer.learning_rate": 0.2,
        "student_optimizer.clip_norm": None,
    }  # fmt: skip


def _peer(name: str, seed: int) -> Any:
    if name == "logistic regression":
        from sklearn.linear_model import LogisticRegression

        return LogisticRegression(max_iter=1000)
    if name == "SVC":
        from sklearn.svm import SVC

        return SVC(probability=True, random_state=seed)
    if name == FOREST:
        from sklearn.ensemble import RandomForestClassifier

        return RandomForestClassifier(random_state=seed)
    if name == EXTRA_TREES:
        from sklearn.ensemble import ExtraTreesClassifier

        return ExtraTreesClassifier(random_state=seed)
    if name == VOTE:
        from sklearn.ensemble import VotingClassifier

        return VotingClassifier([(each, _peer(each, seed)) for each in (FOREST, EXTRA_TREES)], voting="soft")
    if name == "LightGBM":
        from lightgbm import LGBMClassifier

        # Its own least number of rows a leaf, 20, would make no tree at all of so few labels.
        return LGBMClassifier(min_child_samples=2, random_state=seed, n_jobs=1, verbose=-1)
    from sklearn.semi_supervised import LabelSpreading

    return LabelSpreading(kernel="knn", n_neighbors=7)


class _Peer:
    """A classifier of another library, given rows without labels too: it uses them, or leaves them out."""

    def __init__(self, model: Any, uses_unlabelled: bool, standardised: bool):
        self.model, self.uses_unlabelled, self.standardised = model, uses_unlabelled, standardised

    def fit(self, X: np.ndarray, y: np.ndarray) -> _Peer:
        # One-hot columns stay 0 and 1 here as in Didact.
        is_indicator, deviation = np.isin(X, (0, 1)).all(axis=0), X.std(axis=0)
        fixed = is_indicator | (deviation <= 1e-12 * np.abs(X.mean(axis=0))) | (not self.standardised)
        self.mean, self.scale = np.where(fixed, 0, X.mean(axis=0)), np.where(fixed, 1, deviation)
        kept = np.ones(len(y), bool) if self.uses_unlabelled else y >= 0
        self.model.fit(self._scaled(X[kept]), y[kept])
        self.classes_ = self.model.classes_
        return self

    def predict(self, X: np.ndarray) -> np.ndarray:
        return self.model.predict(self._scaled(X))

    def predict_proba(self, X: np.ndarray) -> np.ndarray:
        return self.model.predict_proba(self._scaled(X))

    def _scaled(self, X: np.ndarray) -> np.ndarray:
        return (X - self.mean) / self.scale


def _of_scikit_learn(name: str, standardised: bool, self_training: bool) -> Callable:
    def make(task: Task, seed: int) -> _Peer:
        from sklearn.semi_supervised import SelfTrainingClassifier

        model = _peer(name, seed)
        model = SelfTrainingClassifier(model) if self_training else model
        return _Peer(model, self_training or name == "LabelSpreading", standardised)

    return make


def _classifiers() -> dict[str, Callable[[Task, int], Any]]:
    found = {
        DEFAULT: _didact("auto"),
        NETWORKS: _didact("auto", lambda columns: {"forest_trees": 0}),
        ALONE: _didact("meta_pseudo_labels"),
        OLD_DEFAULT: _didact("meta_pseudo_labels", _of_version_0_1, class_prior="none"),
        CONTROL: _didact("meta_pseudo_labels", lambda columns: {"feedback_weight": 0}),
        SUPERVISED: _didact("supervised"),
    }
    for name in (*_TREES, *_SCALED):
        for standardised in (False, True) if name in _SCALED else (False,):
            for self_training in (False, True) if name not in ("LabelSpreading", VOTE) else (False,):
                words = [name, *(["standardised"] * standardised), *(["self-training"] * self_training)]
                found[", ".join(words)] = _of_scikit_learn(name, standardised, self_training)
    return found


CLASSIFIERS = _classifiers()


# Runs


def runs(seeds: Sequence[int]) -> list[dict[str, Any]]:
    """On the choosing seeds the sets to choose on, on others those to report."""
    return [
        {"data": data, "labels": scheme, "classifier": classifier, "seed": seed}
        for seed in seeds
        for data in (table_data.CHOOSING if seed in CHOOSING_SEEDS else (*table_data.REPORTED, *table_data.MADE))
        if table_data.has_seed(data, seed)
        for scheme in table_data.schemes(data)
        for classifier in CLASSIFIERS
    ]


def measure(run: dict[str, Any]) -> dict[str, Any]:
    """Accuracy, balanced accuracy and log loss on the rows to test, and the codes of Didact's warnings."""
    task = table_data.task(run["data"], run["labels"], run["seed"])
    classifier = CLASSIFIERS[run["classifier"]](task, run["seed"])
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        classifier.fit(task.features, task.labels)
        # A support vector machine's probabilities, fitted to few labels, may name another class than it predicts.
        predicted, found = classifier.predict(task.test_features), classifier.predict_proba(task.test_features)
    probabilities = np.zeros((len(found), task.classes))
    probabilities[:, classifier.classes_] = np.nan_to_num(found)
    labels = task.test_labels
    right = predicted == labels
    # A class without a label has no probability: a floor keeps its loss finite.
    likely = probabilities[np.arange(len(labels)), labels].clip(1e-3, 1)
    return {
        "accuracy": float(right.mean()),
        "balanced_accuracy": float(np.mean([right[labels == label].mean() for label in np.unique(labels)])),
        "log_loss": float(-np.log(likely).mean()),
        "warnings": sorted({warning.message.code for warning in caught if hasattr(warning.message, "code")}),
    }


# Tables


_GROUPS = {
    "Sets that nobody chose by": table_data.REPORTED,
    "Made sets": table_data.MADE,
    "Sets that settings were chosen by": tuple(data for data in table_data.CHOOSING if data not in table_data.MADE),
}


def report(lines: list[dict[str, Any]]) -> str:
    """For each group of sets and each way of labelling a table of all classifiers, then one of the default's distances for
    each set."""
    scores: dict[tuple[str, str], dict[str, dict[int, dict[str, Any]]]] = defaultdict(lambda: defaultdict(dict))
    for line in lines:
        run = line["run"]
        scores[run["labels"], run["data"]][run["classifier"]][run["seed"]] = line["score"]
    parts = [_heading(lines)]
    for title, group in _GROUPS.items():
        schemes = sorted({scheme for scheme, data in scores if data in group})
        parts += [f"## {title}\n"] if schemes else []
        for scheme in schemes:
            of_scheme = {data: scores[scheme, data] for data in group if (scheme, data) in scores}
            parts += [_classifier_table(scheme, of_scheme), _set_table(of_scheme)]
    return "\n".join(parts)


def _heading(lines: list[dict[str, Any]]) -> str:
    commits = sorted({line.get("commit", "") for line in lines} - {""})
    return (
        "# Tables\n\n"
        "Made from the lines of docs/studies/tables.jsonl; [studies.md](studies.md#tables) says what is measured and how. Accuracies in %; a mean over sets has its standard error over sets, a distance that of paired "
        "splits. Rows of fewer splits are of the first ones. \"Warned\" counts the splits on which the default's fit gave a "
        "warning.\n\n"
        f"{len(lines):,} runs, {sum(line.get('seconds', 0) for line in lines) / 3600:.1f} hours of a core; "
        f"commits {', '.join(commits) or 'unknown'}.\n"
    )


def _classifier_table(scheme: str, sets: dict[str, dict[str, dict[int, dict[str, Any]]]]) -> str:
    # Only what was run on every set can be averaged over sets.
    names = [name for name in CLASSIFIERS if all(name in found for found in sets.values())]
    means = {
        name: {
            key: [100 * _mean(score[key] for score in found[name].values()) for found in sets.values()]
            for key in ("accuracy", "balanced_accuracy", "log_loss")
        }
        for name in names
    }
    by_set = list(zip(*(means[name]["accuracy"] for name in names)))
    ranks = {
        name: [1 + sum(other > accuracy for other in of_set) for accuracy, of_set in zip(means[name]["accuracy"], by_set)]
        for name in names
    }
    lines = [
        f"### Labels: {scheme}\n",
        f"{len(sets)} {'set' if len(sets) == 1 else 'sets'}: {', '.join(sets)}\n",
        "| classifier | accuracy | balanced accuracy | log loss | lowest set | mean rank | splits a set |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for name in sorted(names, key=lambda name: -_mean(means[name]["accuracy"])):
        accuracies, splits = means[name]["accuracy"], [len(found[name]) for found in sets.values()]
        lines.append(
            f"| {name} | {_mean(accuracies):.1f} ± {_standard_error(accuracies):.1f} | "
            f"{_mean(means[name]['balanced_accuracy']):.1f} | {_mean(means[name]['log_loss']) / 100:.2f} | "
            f"{min(accuracies):.1f} | {_mean(ranks[name]):.1f} | {min(splits)} to {max(splits)} |"
        )
    return "\n".join(lines) + "\n"


def _set_table(sets: dict[str, dict[str, dict[int, dict[str, Any]]]]) -> str:
    lines = [
        "| set | default | version 0.1 | supervised | forest | vote | default − supervised | upper 95 % bound | default − forest "
        "| upper 95 % bound | default − vote | default − without trees | meta_pseudo_labels − control | warned |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for data, found in sets.items():
        if DEFAULT not in found:
            continue
        cells = [
            f"{100 * _mean(score['accuracy'] for score in found[name].values()):.1f}" if name in found else ""
            for name in (DEFAULT, OLD_DEFAULT, SUPERVISED, FOREST, VOTE)
        ]
        pairs = ((DEFAULT, SUPERVISED), (DEFAULT, FOREST), (DEFAULT, VOTE), (DEFAULT, NETWORKS), (ALONE, CONTROL))
        distances = [_differences(found.get(left, {}), found.get(right, {})) for left, right in pairs]
        texts = [f"{_mean(d):+.1f} ± {_standard_error(d):.1f}" if d else "" for d in distances]
        bounds = [f"{_mean(d) + 1.96 * _standard_error(d):+.1f}" if d else "" for d in distances[:2]]
        texts = [texts[0], bounds[0], texts[1], bounds[1], *texts[2:]]
        warned = sum(bool(score["warnings"]) for score in found[DEFAULT].values())
        lines.append(
            f"| {data} | {' | '.join([*cells, *texts])} | {warned} of {len(found[DEFAULT])} |"
        )
    return "\n".join(lines) + "\n"


def _differences(left: dict[int, dict[str, Any]], right: dict[int, dict[str, Any]]) -> list[float]:
    """In points, on the splits that both have."""
    return [100 * (left[seed]["accuracy"] - right[seed]["accuracy"]) for seed in sorted(left.keys() & right.keys())]


def _mean(values: Any) -> float:
    return statistics.fmean(values)


def _standard_error(values: Sequence[float]) -> float:
    return statistics.stdev(values) / math.sqrt(len(values)) if len(values) > 1 else 0.0


STUDY = Study(
    "tables", runs, measure, report,
    {
        "data": (*table_data.CHOOSING, *table_data.REPORTED),
        "labels": (*table_data.SCHEMES, *table_data.BOOK_SCHEMES, "balanced-100"),
        "classifier": tuple(CLASSIFIERS),
    },
)  # fmt: skip
