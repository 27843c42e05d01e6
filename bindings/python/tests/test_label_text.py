"""What means "no label": missing values, masked entries, and markers that arrays and files have turned into text."""

import re
import subprocess
import warnings

import numpy as np
import pytest

import didact
from didact import _label_words, plot
from support import CHECKOUT, same_bits
from test_command_line import COMMAND

pytest.importorskip("sklearn")
pandas = pytest.importorskip("pandas")

X = np.random.default_rng(0).standard_normal((60, 2)) + np.where(np.arange(60) % 2, 3, -3)[:, None]
TRUTH = np.array(["b", "r"])[np.arange(60) % 2]
FEW = np.arange(60) < 20


def make(**parameters):
    return didact.SemiSupervisedClassifier(**{"steps": 10, "random_state": 0, "n_jobs": 1, **parameters})


def hidden(none, truth=TRUTH):
    """Labels of the first 20 rows; `none` for the others, as objects."""
    labels = np.empty(60, object)
    labels[:] = [value if known else none for value, known in zip(truth.tolist(), FEW)]
    return labels


def expected():
    return make().fit(X, hidden(None)).predict_proba(X)


@pytest.fixture(autouse=True)
def strict():
    """A warning about text that a test does not expect is an error."""
    with warnings.catch_warnings():
        warnings.filterwarnings("error", ".* is taken for no label", didact.DidactWarning)
        yield


# Text


@pytest.mark.parametrize("word", _label_words.NO_LABEL)
def test_texts_that_are_no_label_are_warned_of(word):
    with pytest.warns(didact.DidactWarning, match=rf"'{re.escape(word)}' in 40 rows \(the first is row 20\)") as caught:
        classifier = make().fit(X, hidden(word).astype(str))
    assert caught[0].message.code == "label_text" and caught[0].filename == __file__
    assert f"unlabeled={word!r} says so" in str(caught[0].message)
    assert "unlabeled=None makes it a class" in str(caught[0].message)
    assert classifier.classes_.tolist() == ["b", "r"]
    assert same_bits(classifier.predict_proba(X), expected())
    # Said once, it is silent; and None makes a class of it.
    assert same_bits(make(unlabeled=word).fit(X, hidden(word)).predict_proba(X), expected())
    assert word in make(unlabeled=None).fit(X, hidden(word)).classes_


def test_text_that_numpy_made_of_nan():
    with pytest.warns(didact.DidactWarning, match="'nan' in 20 rows"):
        assert make().fit(X, np.array(["r", "b", np.nan] * 20)).classes_.tolist() == ["b", "r"]
    with pytest.raises(ValueError, match="text 'None' in 20 rows, the first of them row 2"):
        make().fit(X, np.array(["r", "b", None] * 20, str))


@pytest.mark.parametrize("first, second", [("1", "1.0"), ("07", "7"), ("\u22123", "-3")])
def test_one_number_in_two_spellings_is_refused(first, second):
    labels = np.where(np.arange(60) % 2, first, "9").astype(object)
    labels[31] = second
    with pytest.raises(ValueError, match=rf"'{first}' in row 1 and '{second}' in row 31 would be two classes, but are one number"):
        make().fit(X, labels)
    assert len(make(unlabeled=None).fit(X, labels).classes_) == 3
    # Numbers that are equal are one class.
    assert len(make().fit(X, np.array([2, 1.0, 1] * 20, object)).classes_) == 2


@pytest.mark.parametrize("labels", [["0.5", "1", "2.5"], ["0,5", "1,5", "2"], ["1,5", "0", "1"]])
def test_texts_that_are_measurements_are_no_classes(labels):
    y = np.array(labels)[np.arange(60) % 3]
    with pytest.raises(ValueError, match="is not a whole number, and all labels are numbers: they look like measurements"):
        make().fit(X, y)
    assert len(make(unlabeled=None).fit(X, y).classes_) == 3
    # One that is no number makes names of all.
    assert len(make().fit(X, np.where(y == labels[0], "low", y)).classes_) == 3


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.uint32, np.uint64])
def test_minus_one_in_an_array_of_unsigned_numbers_is_warned_of(dtype):
    y = np.array([0, 1, -1])[np.arange(60) % 3].astype(dtype)
    largest = str(np.iinfo(dtype).max)
    with pytest.warns(didact.DidactWarning, match=f"the label {largest} is what -1 becomes in an array of unsigned numbers") as caught:
        make().fit(X, y)
    assert caught[0].message.code == "label_text"
    for unlabeled, labels in ((int(largest), y), (None, y), ("auto", y + (y > 2) * dtype(1))):
        with warnings.catch_warnings():
            warnings.filterwarnings("error", ".* unsigned numbers", didact.DidactWarning)
            make(unlabeled=unlabeled).fit(X, labels)
    # A set may have so many classes.
    if dtype is np.uint8:
        with warnings.catch_warnings():
            warnings.filterwarnings("error", ".* unsigned numbers", didact.DidactWarning)
            make().fit(np.arange(1024.0).reshape(512, 2), np.arange(512).astype(dtype))


@pytest.mark.parametrize("word", ["none", "Missing", "unknown", "-", "."])
def test_a_class_that_may_be_a_mark_is_warned_of(word):
    with pytest.warns(didact.DidactWarning, match=rf"'{re.escape(word)}' in 40 rows \(the first is row 20\) is taken for a class") as caught:
        classifier = make().fit(X, hidden(word))
    assert caught[0].message.code == "label_text" and word in classifier.classes_
    with warnings.catch_warnings():
        warnings.filterwarnings("error", ".* is taken for a class", didact.DidactWarning)
        assert word not in make(unlabeled=word).fit(X, hidden(word)).classes_
        assert word in make(unlabeled=None).fit(X, hidden(word)).classes_


def test_spellings_of_one_text():
    labels = np.array(["yes", "no", "yes "], object)[np.arange(60) % 3]
    with pytest.raises(ValueError, match="'yes' in row 0 and 'yes ' in row 2 .* other blanks around it"):
        make().fit(X, labels)
    labels = np.array(["True", "False", "true"])[np.arange(60) % 3]
    with pytest.warns(didact.DidactWarning, match="'True' in row 0 and 'true' in row 2 differ in capitals alone"):
        assert len(make().fit(X, labels).classes_) == 3


def test_two_unicode_forms_of_one_text():
    labels = np.array(["caf\u00e9", "cafe\u0301", "tea"])[np.arange(60) % 3]
    with pytest.raises(ValueError, match="in row 0 and .* in row 1 would be two classes, but are one text in two Unicode forms"):
        make().fit(X, labels)


@pytest.mark.parametrize(
    "texts",
    [
        ["0", "-0", "a"], ["1e999", "1e998", "a"], ["1e999", "2", "3"], ["1e\u22121", "2", "3"], ["\u22125", "-5", "a"], ["\x1cNA", "a", "b"],
        ["NA \u0301", "a", "b"], ["a\x1f", "a", "b"], ["\xa0NA", "a", "b"], ["caf\u00e9", "cafe\u0301", "a"], ["0.5", "1", "2"], ["1.0", "2", "3"],
    ],
)  # fmt: skip
def test_python_and_the_command_read_labels_alike(texts, tmp_path):
    labels = np.array(texts)[np.arange(60) % 3]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            ours = list(map(str, make().fit(X, labels).classes_))
        except ValueError:
            ours = None
    np.savez(tmp_path / "a.npz", X=X, y=labels)
    model = tmp_path / "m.safetensors"
    command = ["train", "--method", "supervised", "--data", tmp_path / "a.npz", "--model", model, "--steps", "1"]
    result = subprocess.run([COMMAND, *map(str, command)], capture_output=True, text=True)
    assert result.returncode in (0, 1)
    assert (sorted(didact.Trainer.load(model).class_names) if result.returncode == 0 else None) == ours, result.stderr


def test_minus_one_beside_classes_that_it_may_belong_to():
    """Moods are often -1, 0 and 1."""
    moods = np.arange(60) % 3 - 1
    with pytest.warns(didact.DidactWarning, match="-1 in 20 of 60 rows is taken for no label, beside the classes 0 and 1"):
        assert make().fit(X, moods).classes_.tolist() == [0, 1]
    with warnings.catch_warnings():
        warnings.filterwarnings("error", ".*-1 in", didact.DidactWarning)
        assert make(unlabeled=None).fit(X, moods).classes_.tolist() == [-1, 0, 1]
        assert make(unlabeled=-1).fit(X, moods).classes_.tolist() == [0, 1]
        make().fit(X, np.where(FEW, np.arange(60) % 2, -1))
        make().fit(X, moods, X)


def test_a_mark_that_no_row_has():
    with pytest.warns(didact.DidactWarning, match="no row has the label 'unk', which unlabeled says means none"):
        make(unlabeled="unk").fit(X, hidden("UNK"))
    with pytest.raises(ValueError, match="give unlabeled=-1"):
        make(unlabeled="-1").fit(X, np.array([0, 1, -1, None] * 15, object))


def test_labels_that_do_not_repeat_are_no_classes():
    with pytest.raises(ValueError, match="60 different labels in 60 labelled rows, the first of them 0: an identifier"):
        make().fit(X, np.arange(60))
    with pytest.warns(didact.DidactWarning, match="20 different labels in 20 labelled rows"):
        make().fit(X, np.where(np.arange(60) < 20, np.arange(60), -1))


def test_several_texts_are_counted():
    labels = hidden("nan")
    labels[50] = "?"
    with pytest.warns(didact.DidactWarning, match=r"'\?' in 1 row .* and 'nan' in 39 rows .*; pass None in their place"):
        make().fit(X, labels)


@pytest.mark.parametrize("word", ["None", "<NA>", "NaT", "-1", "-1.0", "#N/A", "unlabeled", "Unlabelled", "UNLABELED", "na", "Null", "\u22121"])
def test_texts_that_may_mean_either_are_refused(word):
    for labels in (hidden(word), hidden(word).astype(str), pandas.Series(hidden(word))):
        with pytest.raises(ValueError, match=rf"text '{word}' in 40 rows, the first of them row 20.*unlabeled='{word}'"):
            make().fit(X, labels)
        with pytest.raises(ValueError, match="if it is a class, pass unlabeled=None"):
            make(unlabeled="other").fit(X, labels)
        assert same_bits(make(unlabeled=word).fit(X, labels).predict_proba(X), expected())
        assert word in make(unlabeled=None).fit(X, labels).classes_
    one = hidden(None)
    one[30] = word
    with pytest.raises(ValueError, match=f"text '{word}' in row 30"):
        make().fit(X, one)


def test_text_minus_one_and_one_are_two_classes():
    labels = np.array(["-1", "1"])[np.arange(60) % 2]
    assert make().fit(X, labels).classes_.tolist() == ["-1", "1"]
    for none in (None, ""):
        holed = labels.astype(object)
        holed[5:] = none
        classifier = make().fit(X, holed)
        assert classifier.classes_.tolist() == ["-1", "1"] and classifier.score(X, labels) > 0.9
    holed[5:] = "nan"
    with pytest.warns(didact.DidactWarning, match="'nan' in 55 rows"):
        assert make().fit(X, holed).classes_.tolist() == ["-1", "1"]
    with pytest.raises(ValueError, match="text '-1'"):
        make().fit(X, np.array(["-1", "1", "0"])[np.arange(60) % 3])


def test_empty_text_is_no_label():
    for labels in (hidden(""), hidden("").astype(str), pandas.Series(hidden("")), hidden("").tolist()):
        assert same_bits(make().fit(X, labels).predict_proba(X), expected())
    labels = hidden("")
    labels[40:] = "?"
    assert same_bits(make(unlabeled="?").fit(X, labels).predict_proba(X), expected())
    assert make(unlabeled=None).fit(X, hidden("")).classes_.tolist() == ["", "b", "r"]


def test_score_follows_what_fit_decided():
    classifier = make().fit(X, hidden(None))
    right = classifier.score(X[FEW], TRUTH[FEW])
    assert classifier.score(X, hidden("")) == right
    with pytest.warns(didact.DidactWarning, match="'NA' in 40 rows"):
        assert classifier.score(X, hidden("NA")) == right
    with pytest.raises(ValueError, match="text 'None'"):
        classifier.score(X, hidden("None"))
    assert make(unlabeled="NA").fit(X, hidden("NA")).score(X, hidden("NA")) == right
    # What was a class is one.
    three = np.array(["b", "r", "NA"])[np.arange(60) % 3]
    classes = make(unlabeled=None).fit(X, three)
    assert classes.score(X, three) == (classes.predict(X) == three).mean()
    two = np.array(["-1", "1"])[np.arange(60) % 2]
    assert make().fit(X, two).score(X[::2], two[::2]) == 1
    counted = make(unlabeled=-1).fit(X, np.where(FEW, np.arange(60) % 2, -1))
    assert counted.score(X, np.where(FEW, np.arange(60) % 2, -1)) == counted.score(X[FEW], np.arange(20) % 2)


def test_blanks_around_a_text_mean_nothing():
    labels = np.array(["r", "b", " nan", "  "])[np.arange(60) % 4]
    with pytest.warns(didact.DidactWarning, match="' nan'"):
        assert make().fit(X, labels).classes_.tolist() == ["b", "r"]
    with pytest.raises(ValueError, match="' -1'"):
        make().fit(X, np.array(["r", "b", " -1"])[np.arange(60) % 3])


def test_a_mark_that_is_text_among_numbers_is_an_error():
    with pytest.raises(ValueError, match="give unlabeled=-1"):
        make(unlabeled="-1").fit(X, np.where(FEW, np.arange(60) % 2, -1))


def test_the_lists_are_those_of_the_engine():
    folder = CHECKOUT / "Sources/Didact/Data"
    text = (folder / "LabelText.swift").read_text() + (folder / "CSVReader.swift").read_text()
    for word in (*_label_words.NO_LABEL, *_label_words.UNCLEAR, *_label_words.UNCLEAR_IN_ANY_CASE, *_label_words.SUSPECTS):
        assert f'"{word}"' in text, word


# Missing values


def series():
    """Labels with missing values of every kind, of text and of numbers, and the classes that they have."""
    codes = (np.arange(60) % 2).tolist()
    numbers = [code if known else None for code, known in zip(codes, FEW)]
    booleans = [None if value is None else bool(value) for value in numbers]
    text, two = hidden(None), ["b", "r"]
    many_na = np.array(["r", pandas.NA] + ["b"] * 58, object)
    return {
        "object, NA": (hidden(pandas.NA), two), "one NA": (many_na, two),
        "Series of object": (pandas.Series(hidden(pandas.NA), dtype=object), two),
        "string": (pandas.Series(text, dtype="string"), two), "str": (pandas.Series(text.tolist()), two),
        "category": (pandas.Series(text, dtype="category"), two),
        "category of numbers": (pandas.Series(numbers, dtype=object).astype("category"), [0, 1]),
        "Categorical": (pandas.Categorical(text.tolist()), two),
        "boolean": (pandas.Series(booleans, dtype="boolean"), [False, True]),
        "Int64": (pandas.Series(numbers, dtype="Int64"), [0, 1]), "Int64 array": (pandas.array(numbers, "Int64"), [0, 1]),
        "UInt8": (pandas.Series(numbers, dtype="UInt8"), [0, 1]),
        "frame of one column": (pandas.DataFrame({"y": pandas.Series(numbers, dtype="Int64")}), [0, 1]),
        "objects, numbers": (np.array(numbers, object), [0, 1]), "list": (text.tolist(), two),
        "masked": (np.ma.array(np.array(codes), mask=~FEW), [0, 1]),
        "masked text": (np.ma.array(TRUTH, mask=~FEW), two),
        "masked booleans": (np.ma.array(np.array(codes, bool), mask=~FEW), [False, True]),
        "list with masked": ([code if known else np.ma.masked for code, known in zip(codes, FEW)], [0, 1]),
    }  # fmt: skip


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.DataConversionWarning")
@pytest.mark.parametrize("name", series())
def test_missing_labels_of_every_type(name):
    labels, classes = series()[name]
    classifier = make().fit(X, labels)
    assert classifier.classes_.tolist() == classes
    assert [type(value) for value in classifier.classes_.tolist()] == [type(value) for value in classes]
    assert classifier.predict(X).dtype == classifier.classes_.dtype
    if name != "one NA":
        assert same_bits(classifier.predict_proba(X), expected())
        assert classifier.score(X, labels) == classifier.score(X[FEW], np.array(classes)[np.arange(20) % 2])
    if isinstance(classes[0], int):
        trainer = didact.Trainer("supervised", didact.mlp(2, [4], 2)).fit(X, labels, steps=3)
        numbers = np.where(FEW, np.arange(60) % 2, -1)
        again = didact.Trainer("supervised", didact.mlp(2, [4], 2)).fit(X, numbers, steps=3)
        assert same_bits(trainer.predict_proba(X), again.predict_proba(X))


def test_masked_labels_hide_what_is_under_the_mask():
    """The labels under the mask are wrong, and nobody sees them."""
    codes = np.arange(60) % 2
    wrong = np.ma.array(np.where(FEW, codes, 1 - codes), mask=~FEW)
    classifier = make().fit(X, wrong)
    assert same_bits(classifier.predict_proba(X), expected())
    assert classifier.score(X, wrong) == 1
    assert didact.callbacks.PseudoLabelAccuracy(X, wrong)._labels.tolist() == np.where(FEW, codes, -1).tolist()
    trainer = didact.Trainer("supervised", didact.mlp(2, [4], 2)).fit(X, wrong, steps=30)
    assert plot._class_indices(trainer, wrong, [0, 1], "y").tolist() == np.where(FEW, codes, -1).tolist()


def test_masked_labels_of_a_step_name_the_row():
    codes = np.ma.array(np.arange(60) % 2, mask=np.arange(60) == 7)
    trainer = didact.Trainer("meta_pseudo_labels", didact.mlp(2, [4], 2))
    for call in (lambda: trainer.step(X, codes, X), lambda: trainer.teacher_step(X, codes),
                 lambda: trainer.meta_gradient(X, codes, X), lambda: trainer.step(X, list(codes), X)):  # fmt: skip
        with pytest.raises(ValueError, match="yl, row 7: no label; leave rows without a label out"):
            call()
    with pytest.raises(ValueError, match="y, row 7: no label"):
        didact.datasets.split(codes, labels=4)
    assert trainer.steps == 0


def test_masked_sample_weights_are_refused():
    classifier = make().fit(X, hidden(None))
    with pytest.raises(ValueError, match="sample_weight, row 3 is masked"):
        classifier.score(X, TRUTH, sample_weight=np.ma.array(np.ones(60), mask=np.arange(60) == 3))


# Text for a trainer


def named():
    trainer = didact.Trainer("meta_pseudo_labels", didact.mlp(2, [4], 2), dtype="float64", feedback="exact")
    trainer.class_names = ["b", "r"]
    return trainer


def test_a_trainer_with_class_names_takes_them():
    codes = np.where(FEW, np.arange(60) % 2, -1)
    want = named().fit(X, codes, steps=5).predict_proba(X)
    for labels in (hidden(None), hidden(-1), hidden(np.nan), hidden(""), pandas.Series(hidden(None)),
                   pandas.Series(hidden(None), dtype="category"), hidden(None).tolist()):  # fmt: skip
        assert same_bits(named().fit(X, labels, steps=5).predict_proba(X), want)
    with pytest.warns(didact.DidactWarning, match="'nan' in 40 rows .*pass None in its place") as caught:
        assert same_bits(named().fit(X, hidden("nan"), steps=5).predict_proba(X), want)
    assert caught[0].filename == __file__
    left, right = named(), named()
    assert left.step(X, TRUTH, X) == right.step(X, np.arange(60) % 2, X)
    assert left.meta_objective(X, TRUTH, X) == right.meta_objective(X, np.arange(60) % 2, X)
    recorder = [didact.callbacks.PseudoLabelAccuracy(X, labels, every=1) for labels in (hidden(None), codes)]
    left.fit(X, codes, steps=3, callback=recorder)
    assert same_bits(recorder[0].history["accuracy/student"], recorder[1].history["accuracy/student"])
    assert plot._class_indices(left, hidden(None), [0, 1], "y").tolist() == codes.tolist()


def test_text_that_is_no_class_of_a_trainer():
    trainer = named()
    trainer.class_names = ["blue", "red"]
    with pytest.raises(ValueError, match="y, row 3: 'bleu' is none of the trainer's class_names; did you mean 'blue'"):
        trainer.fit(X, ["blue", "red", None, "bleu"] * 15)
    with pytest.raises(ValueError, match="yl, row 1: no label"):
        trainer.step(X, ["blue", None] * 30, X)
    with pytest.raises(ValueError, match="holds the text 'None' in 30 rows.*name it in class_names"):
        trainer.fit(X, np.array(["blue", "None"] * 30))
    with pytest.raises(TypeError, match="row 1: labels must all be text or all whole numbers, got 1 beside text"):
        trainer.fit(X, np.array(["blue", 1] * 30, object))
    trainer.class_names = ["NA", "None"]
    assert trainer.fit(X, np.array(["NA", "None"] * 30), steps=2).steps == 2
    assert trainer.steps == 2


def test_text_without_class_names():
    trainer = didact.Trainer("meta_pseudo_labels", didact.mlp(2, [4], 2))
    recorder = didact.callbacks.PseudoLabelAccuracy(X, TRUTH)
    for call in (lambda: trainer.fit(X, TRUTH), lambda: trainer.step(X, TRUTH, X),
                 lambda: trainer.fit(X, np.arange(60) % 2, callback=recorder)):  # fmt: skip
        with pytest.raises(TypeError, match="got text such as 'b'; set trainer.class_names .*SemiSupervisedClassifier"):
            call()
    with pytest.raises(TypeError, match="y: labels must be whole numbers, got text such as 'b'"):
        didact.datasets.split(TRUTH, labels=4)
    assert trainer.steps == 0
