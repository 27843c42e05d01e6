"""Data frames, masked arrays and missing values: names are kept and compared, nothing is taken silently."""

import warnings

import numpy as np
import pytest

import didact
from didact import plot
from support import same_bits

pandas = pytest.importorskip("pandas")
pytest.importorskip("matplotlib").use("Agg")
pytest.importorskip("sklearn")

NAMES = ["width", "height", "depth"]
OTHER = ["depth", "width", "height"]


class Frame:
    """A table of another library, as polars has them: column names, and an array on demand."""

    def __init__(self, frame):
        self._frame = frame
        self.columns = list(frame.columns)

    def __array__(self, dtype=None, copy=None):
        return np.array(self._frame, dtype)

    def __len__(self):
        return len(self._frame)


class ArrowTable(Frame):
    """pyarrow's tables have their columns under `columns`, and the names elsewhere."""

    def __init__(self, frame):
        self._frame = frame
        self.column_names = list(frame.columns)
        self.columns = [frame[name].to_numpy() for name in frame.columns]


def data(rows=60):
    random = np.random.default_rng(0)
    X = random.standard_normal((rows, 3)) * [1, 2, 3]
    return pandas.DataFrame(X, columns=NAMES), (X[:, 0] > 0).astype(int)


def make(**configuration):
    network = didact.mlp(3, [8], 2, activation="tanh")
    return didact.Trainer("meta_pseudo_labels", network, dtype="float64", feedback="exact", **configuration)


def fitted(frame, k, **configuration):
    return make(input_scaling="standard", **configuration).fit(frame, k, steps=20)


# Names at a fit


def test_a_fit_keeps_the_names_of_columns(tmp_path):
    frame, k = data()
    trainer = fitted(frame, k)
    assert trainer.feature_names == NAMES
    expected = fitted(frame.to_numpy(), k)
    assert expected.feature_names == []
    assert same_bits(trainer.predict_proba(frame), expected.predict_proba(frame.to_numpy()))
    trainer.save(tmp_path / "model.safetensors")
    loaded = didact.Trainer.load(tmp_path / "model.safetensors")
    assert same_bits(loaded.predict_proba(frame[OTHER]), expected.predict_proba(frame.to_numpy()))


@pytest.mark.parametrize("convert", [lambda frame: frame, Frame, ArrowTable])
def test_a_trainer_puts_columns_into_its_order(convert, tmp_path):
    frame, k = data()
    trainer = fitted(convert(frame), k, average_decay=0.9)
    other, plain = convert(frame[OTHER]), frame.to_numpy()
    for role in (None, *trainer.roles):
        assert same_bits(trainer.predict_proba(other, role), trainer.predict_proba(plain, role))
        assert same_bits(trainer.predict(other, role), trainer.predict(plain, role))
    for name, X in (("other", other), ("plain", plain)):
        trainer.store_distributions(tmp_path / name, X, X)
    assert (tmp_path / "other").read_bytes() == (tmp_path / "plain").read_bytes()
    again = trainer.copy()
    assert same_bits(trainer.fit(other, k, other, steps=3).predict_proba(plain),
                     again.fit(plain, k, plain, steps=3).predict_proba(plain))  # fmt: skip


def test_steps_and_the_meta_gradient_put_columns_into_order():
    frame, k = data(12)
    plain, other = frame.to_numpy(), frame[OTHER]
    for trainer in (make(), fitted(frame, k)):
        expected = trainer.copy()
        gradient = expected.meta_gradient(plain, k, plain, plain)
        for xl, xu, strong in ((frame, other, other), (frame, other, plain), (frame, plain, other)):
            found = trainer.meta_gradient(xl, k, xu, strong)
            assert all(same_bits(found[name], gradient[name]) for name in gradient)
        assert trainer.meta_objective(frame, k, other) == expected.meta_objective(plain, k, plain)
        assert didact.gradcheck(trainer, frame, k, other, directions=1)
        assert trainer.step(frame, k, other, other) == expected.step(plain, k, plain, plain)
        assert trainer.student_step(other, frame) == expected.student_step(plain, plain)
        assert trainer.teacher_step(other, k) == expected.teacher_step(plain, k)
        assert same_bits(trainer.predict_proba(other), expected.predict_proba(plain))
        assert trainer.feature_names == NAMES


def test_what_changes_nothing_keeps_no_names():
    frame, k = data(12)
    trainer = make()
    trainer.meta_gradient(frame, k, frame)
    trainer.predict(frame)
    assert trainer.feature_names == []
    with pytest.raises(ValueError, match="nan is not a finite"):
        trainer.step(frame * np.nan, k, frame)
    with pytest.raises(ValueError, match="labels"):
        trainer.fit(frame, k[:-1])
    assert trainer.feature_names == []
    # Nor does a fit that stops before its first step keep them.
    with pytest.raises(ValueError, match="all labels are class 0"):
        trainer.fit(frame, 0 * k)
    assert trainer.feature_names == []


def test_rows_of_one_fit_are_compared_without_names_of_the_trainer():
    frame, k = data()
    expected = make().fit(frame.to_numpy(), k, frame.to_numpy(), steps=3)
    found = make().fit(frame, k, frame[OTHER], steps=3)
    assert same_bits(found.predict_proba(frame), expected.predict_proba(frame.to_numpy()))
    with pytest.raises(ValueError, match=r"X_unlabeled: .*'depth' is missing .* is 'dept' meant to be 'depth'\?"):
        make().fit(frame, k, frame.rename(columns={"depth": "dept"}), steps=3)
    with pytest.raises(ValueError, match="xu: .*'height' is missing"):
        make().step(frame, k, frame[["width", "depth"]])


def test_columns_that_are_missing_or_too_many_are_named():
    frame, k = data()
    trainer = fitted(frame, k)
    wrong = {
        r"X: the model's column 'height' is missing; the model's columns are 'width', 'height', 'depth'":
            frame[["width", "depth"]],
        r"X: the model has no column 'weight'": frame.assign(weight=1.0),
        r"'height' is missing and the model has no column 'Heigth'; is 'Heigth' meant to be 'height'\?":
            frame.rename(columns={"height": "Heigth"}),
        r"the columns 0 and 1 are both called 'width'; rename one": frame.set_axis(["width", "width", "depth"], axis=1),
    }  # fmt: skip
    calls = [trainer.predict, trainer.predict_proba, lambda X: trainer.predict(X, "teacher"), trainer.student_step,
             lambda X: trainer.step(X, k, X), lambda X: trainer.teacher_step(X, k), lambda X: trainer.fit(X, k),
             lambda X: trainer.store_distributions("never", X), lambda X: trainer.meta_gradient(X, k, X)]  # fmt: skip
    for message, X in wrong.items():
        message = message.removeprefix("X")
        for call in calls:
            with pytest.raises(ValueError, match=message):
                call(X)
    with pytest.raises(TypeError, match="column 1 has not; name all columns by text"):
        trainer.predict(frame.set_axis(["width", 1, 2], axis=1))
    many = pandas.DataFrame(np.zeros((2, 40)), columns=[f"c{i}" for i in range(40)])
    with pytest.raises(ValueError, match="'c4' and 35 more"):
        trainer.predict(many)


def test_a_model_of_categories_says_how_columns_are_made():
    frame, k = data()
    trainer = fitted(frame.to_numpy(), k)
    trainer.feature_names = ["colour=blue", "colour=red", "size"]
    table = pandas.DataFrame({"colour": ["red"], "size": [1.0]})
    with pytest.raises(TypeError, match=r"X, row 0, column 0 \('colour'\) is 'red'"):
        trainer.predict(table)
    with pytest.raises(ValueError, match="takes 'colour' as columns of 0 and 1, such as 'colour=blue'; `didact predict`"):
        trainer.predict(table.assign(colour=1.0))
    made = pandas.DataFrame({"size": [1.0], "colour=red": [1], "colour=blue": [0]})
    assert same_bits(trainer.predict_proba(made), trainer.predict_proba(np.array([[0, 1, 1.0]])))


def test_labels_of_columns_that_are_no_text_bring_no_names():
    frame, k = data()
    numbered = frame.set_axis([2, 1, 0], axis=1)
    trainer = make().fit(numbered, k, steps=2)
    assert trainer.feature_names == []
    # Arrays and tables without names go by position, whatever the trainer knows.
    trainer = fitted(frame, k)
    assert same_bits(trainer.predict_proba(numbered), trainer.predict_proba(frame))
    # Names of several levels are names, but no model can keep them.
    levels = frame.set_axis(pandas.MultiIndex.from_product([["a"], NAMES]), axis=1)
    with pytest.raises(TypeError, match="2 levels"):
        trainer.predict_proba(levels)


def test_two_names_may_not_be_equal():
    trainer = make()
    for kind, names in (("feature_names", ["a", "b", "a"]), ("class_names", ["yes", "yes"])):
        with pytest.raises(ValueError, match="two are"):
            setattr(trainer, kind, names)


def test_given_names_are_compared_with_those_of_a_frame():
    frame, k = data()
    trainer = make()
    trainer.feature_names = OTHER
    assert same_bits(trainer.fit(frame, k, steps=2).predict_proba(frame),
                     make().fit(frame[OTHER].to_numpy(), k, steps=2).predict_proba(frame[OTHER].to_numpy()))  # fmt: skip
    assert trainer.feature_names == OTHER
    trainer = make()
    trainer.feature_names = list("abc")
    with pytest.raises(ValueError, match="'a', 'b', 'c' are missing and the model has no columns 'width'"):
        trainer.fit(frame, k)


# Estimator, callbacks, plots


def test_the_classifier_and_its_trainer_agree_about_names(tmp_path):
    frame, k = data()
    classifier = didact.SemiSupervisedClassifier(steps=20, n_jobs=1, random_state=0).fit(frame, k)
    classifier.trainer_.save(tmp_path / "model.safetensors")
    trainer = didact.Trainer.load(tmp_path / "model.safetensors")
    assert same_bits(trainer.predict_proba(frame[OTHER]), classifier.predict_proba(frame))
    with pytest.raises(ValueError, match="same order"):
        classifier.predict(frame[OTHER])
    with pytest.raises(ValueError, match="both called 'width'"):
        classifier.fit(frame.set_axis(["width", "width", "depth"], axis=1), k)


def test_callbacks_put_columns_into_order():
    frame, k = data()
    records = []
    for X in (frame, frame[OTHER], frame.to_numpy()):
        recorder = didact.callbacks.PseudoLabelAccuracy(X, k, every=1)
        make().fit(frame, k, steps=4, callback=recorder)
        records.append(recorder.history)
    for name, values in records[0].items():
        assert same_bits(values, records[1][name]) and same_bits(values, records[2][name])
    recorder = didact.callbacks.PseudoLabelAccuracy(frame.rename(columns={"width": "with"}), k)
    trainer = make()
    with pytest.raises(ValueError, match="is 'with' meant to be 'width'"):
        trainer.fit(frame, k, callback=recorder)
    assert trainer.steps == 0 and trainer.feature_names == []


@pytest.mark.parametrize("convert", [lambda frame: frame, Frame])
def test_plots_put_columns_into_order(convert):
    frame, k = data()
    two = frame[["width", "height"]]
    trainer = didact.Trainer("supervised", didact.mlp(2, [8], 2)).fit(two, k, steps=30)
    left = plot.decision_regions(trainer, convert(two), k, resolution=8)
    right = plot.decision_regions(trainer, convert(two[["height", "width"]]), k, resolution=8)
    assert np.allclose(left.images[0].get_array(), right.images[0].get_array().transpose(1, 0, 2))
    assert right.get_xlabel() == "height"
    matrices = [plot.confusion(trainer, convert(X), k).images[0].get_array() for X in (two, two[["height", "width"]])]
    assert same_bits(*matrices)
    with pytest.raises(ValueError, match="'height' is missing"):
        plot.confidence(trainer, convert(two.rename(columns={"height": "h"})))
    import matplotlib.pyplot as plt

    plt.close("all")


# Where no names are known


@pytest.mark.parametrize("convert", [lambda frame: frame, Frame, ArrowTable])
def test_what_knows_no_names_refuses_them(convert):
    frame, k = data()
    trainer = fitted(frame, k)
    network, X = trainer.student, convert(frame)
    recorded = network.record(frame.to_numpy())
    calls = [network.forward, network.predict_proba, network.record, lambda X: didact.Predictor(network, X),
             recorded.backward, lambda X: recorded.tangent({}, X), lambda X: didact.augment(X, "flip")]  # fmt: skip
    for call in calls:
        with pytest.raises(TypeError, match=r"give \w+\.to_numpy\(\)|give the array.to_numpy\(\)"):
            call(X)
    with pytest.raises(TypeError, match="dense0.weight.to_numpy"):
        network.parameters["dense0.weight"] = X
    with pytest.raises(TypeError, match="dense0.weight.to_numpy"):
        trainer.student_optimizer.pullback({"dense0.weight": X})
    assert same_bits(network.forward(frame.set_axis(range(3), axis=1)), network.forward(frame.to_numpy()))


def test_structured_arrays_are_refused():
    X = np.zeros(6, [("a", float), ("b", float), ("c", float)])
    for call in (make().predict, make().student.forward, lambda X: make().fit(X, [0, 1] * 3), make().student_step,
                 lambda X: didact.SemiSupervisedClassifier().fit(X, [0, 1] * 3)):  # fmt: skip
        for values in (X, X.view(np.recarray), np.ma.array(X)):
            with pytest.raises(TypeError, match="structured array with the fields 'a', 'b', 'c'"):
                call(values)


# Masked and missing values


def masked_calls():
    """What takes rows of three columns, with the name of the argument."""
    k = np.arange(6) % 2
    plain, trainer = np.ones((6, 3)), fitted(*data())
    network = trainer.student
    recorded = network.record(plain)
    classifier = didact.SemiSupervisedClassifier(steps=2, n_jobs=1).fit(plain, k)
    return {
        "fit": lambda X: trainer.fit(X, k), "fit, X_unlabeled": lambda X: trainer.fit(plain, k, X),
        "step": lambda X: trainer.step(X, k, plain), "step, xu": lambda X: trainer.step(plain, k, X),
        "step, xu_strong": lambda X: trainer.step(plain, k, plain, X),
        "student_step": trainer.student_step, "student_step, xu_strong": lambda X: trainer.student_step(plain, X),
        "meta_gradient": lambda X: trainer.meta_gradient(X, k, plain),
        "meta_objective": lambda X: trainer.meta_objective(plain, k, X),
        "predict": trainer.predict, "predict by role": lambda X: trainer.predict(X, "teacher"),
        "store": lambda X: trainer.store_distributions("never", X),
        "forward": network.forward, "record": network.record, "network.predict_proba": network.predict_proba,
        "Predictor": lambda X: didact.Predictor(network, X),
        "tangent": lambda X: recorded.tangent({}, X), "backward": lambda X: recorded.backward(X[:, :2]),
        "callback": lambda X: didact.callbacks.PseudoLabelAccuracy(X, k),
        "plot": lambda X: plot.confusion(trainer, X, k), "estimator": lambda X: classifier.fit(X, k),
        "estimator, X_unlabeled": lambda X: classifier.fit(plain, k, X), "estimator.predict": classifier.predict,
        "estimator.score": lambda X: classifier.score(X, k),
    }  # fmt: skip


def test_masked_rows_are_refused():
    X = np.ma.array(np.ones((6, 3)), mask=np.zeros((6, 3), bool))
    X[4, 1] = np.ma.masked
    for name, call in masked_calls().items():
        with pytest.raises(ValueError, match=r"row 4, column 1.* is masked.*\.filled\(0\)"):
            call(X)
    for name, call in masked_calls().items():
        # Slices and lists of masked rows are no way around it.
        if name not in ("Predictor", "backward"):
            with pytest.raises(ValueError, match="row 4, column 1.* is masked"):
                call(list(X))
    with pytest.raises(ValueError, match=r"dense0.weight, row 0, column 1 is masked"):
        make().student.parameters["dense0.weight"] = np.ma.array(np.ones((8, 3)), mask=[[0, 1, 0]] * 8)
    with pytest.raises(ValueError, match="images, row 0, pixel .* is masked"):
        didact.augment(np.ma.array(np.ones((2, 4, 4), np.uint8), mask=True), "flip")


def test_a_mask_without_masked_values_changes_nothing():
    frame, k = data()
    plain, masked = frame.to_numpy(), np.ma.array(frame.to_numpy(), mask=np.zeros((60, 3), bool))
    left, right = fitted(plain, k), fitted(masked, np.ma.array(k))
    assert same_bits(left.predict_proba(plain), right.predict_proba(masked))
    assert same_bits(left.student.forward(plain), left.student.forward(masked))
    make_one = lambda: didact.SemiSupervisedClassifier(steps=3, random_state=0, n_jobs=1)  # noqa: E731
    assert same_bits(make_one().fit(plain, k).predict(plain), make_one().fit(masked, np.ma.array(k)).predict(masked))


def test_missing_values_of_frames_are_named():
    frame, k = data()
    classifier = didact.SemiSupervisedClassifier(steps=2, n_jobs=1).fit(frame, k)
    trainer = fitted(frame, k)
    for column in (pandas.array([1, None, 3] * 20, dtype="Int64"), pandas.array([1.0, 2.0, None] * 20, dtype="Float64")):
        holed = frame.assign(height=column)
        row = int(np.argmax(pandas.isna(column)))
        for call in (trainer.predict, lambda X: trainer.fit(X, k), lambda X: make().step(X, k, X)):
            with pytest.raises(ValueError, match=rf"row {row}, column 1"):
                call(holed)
        for call in (classifier.predict, lambda X: classifier.fit(X, k), lambda X: classifier.fit(frame, k, X)):
            with pytest.raises(ValueError, match=rf"row {row}, column 1 \('height'\)"):
                call(holed)
    text = frame.astype(object)
    text.iloc[7, 2] = "deep"
    for call in (trainer.predict, lambda X: make().fit(X, k)):
        with pytest.raises(TypeError, match=r"row 7, column 2 \('depth'\) is 'deep'; turn categories into numbers"):
            call(text)
    with pytest.raises(ValueError, match=r"could not convert[\s\S]*row 7, column 2 \('depth'\) is 'deep'"):
        classifier.predict(text)


@pytest.mark.parametrize(
    "values, message",
    [
        (pandas.date_range("2022-01-01", periods=60), r"column 'width' has dates or times \(datetime64\[.s\]\)"),
        (pandas.timedelta_range("1h", periods=60), r"column 'width' has dates or times \(timedelta64\[.s\]\)"),
        (pandas.period_range("2022-01", periods=60, freq="M"), r"column 'width' has dates or times \(period\[M\]\)"),
        (pandas.date_range("2022-01-01", periods=60).date, r"row 0, column 0 \('width'\) is .*; write dates and times as numbers"),
        (pandas.Categorical(["oak", "ash", "elm"] * 20), r"row 0, column 0 \('width'\) is 'oak'; turn categories into numbers"),
    ],
    ids=["dates", "durations", "months", "objects", "categories"],
)
def test_columns_of_dates_and_categories_are_named(values, message):
    frame, k = data()
    # A table of such columns alone is an array of dates to NumPy.
    for table in (frame.assign(width=values), pandas.DataFrame({name: values for name in frame})):
        for call in (lambda X: make().fit(X, k), lambda X: didact.SemiSupervisedClassifier(steps=2).fit(X, k)):
            with pytest.raises(TypeError, match=message):
                call(table)


@pytest.mark.parametrize("library", ["polars", "pyarrow"])
def test_dates_of_other_libraries_are_named(library):
    frame, k = data()
    dated = frame.assign(width=pandas.date_range("2022-01-01", periods=60))
    if library == "polars":
        table = pytest.importorskip("polars").from_pandas(dated)
    else:
        table = pytest.importorskip("pyarrow").Table.from_pandas(dated)
    # NumPy would make microseconds of them.
    for call in (lambda X: make().fit(X, k), lambda X: didact.SemiSupervisedClassifier(steps=2).fit(X, k)):
        with pytest.raises(TypeError, match="column 'width' has dates or times"):
            call(table)


def test_dates_without_names_are_refused():
    dates = np.array(["2022-01-01"], "M8[s]").repeat(6).reshape(3, 2)
    for values in (dates, dates - dates[0, 0]):
        with pytest.raises(TypeError, match="x, row 0, column 0 is .*; write dates and times as numbers"):
            make().predict(values)


def test_a_batch_of_arrow_keeps_its_names():
    """scikit-learn sees none in it."""
    pyarrow = pytest.importorskip("pyarrow")
    frame, k = data()
    batch = pyarrow.RecordBatch.from_pandas(frame)
    classifier = didact.SemiSupervisedClassifier(steps=20, n_jobs=1).fit(batch, k)
    assert classifier.feature_names_in_.tolist() == NAMES
    other = batch.select(OTHER)
    for call in (classifier.predict, lambda X: classifier.score(X, k)):
        with pytest.raises(ValueError, match="are not those of fit, or in another order"):
            call(other)
    assert same_bits(classifier.predict_proba(batch), classifier.predict_proba(frame))


def test_sparse_data():
    frame, k = data()
    sparse = frame.astype(pandas.SparseDtype(float, 0.0))
    trainer = fitted(frame, k)
    assert same_bits(trainer.predict_proba(sparse[OTHER]), trainer.predict_proba(frame))
    with pytest.raises(TypeError, match=r"sparse columns, and dense data is required; give X.sparse.to_dense\(\)"):
        didact.SemiSupervisedClassifier().fit(sparse, k)
    scipy = pytest.importorskip("scipy.sparse")
    for call in (trainer.predict, trainer.student.forward, lambda X: trainer.fit(X, k)):
        with pytest.raises(TypeError, match=r"sparse matrix; give \w+.toarray\(\)"):
            call(scipy.csr_matrix(frame.to_numpy()))


def test_plain_arrays_ask_for_nothing():
    """The short ways stay short: no names are read for an array of NumPy."""
    frame, k = data(12)
    plain = frame.to_numpy()
    trainer = fitted(frame, k)
    trainer._names = None
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        trainer.predict_proba(plain)
        trainer.step(plain, k, plain, plain)


@pytest.mark.parametrize("text", ["2024_03_01", "1_000", "\uff11\uff12", b"12", "0x10", "1,5"])
def test_text_that_only_python_reads_as_a_number_is_refused(text):
    values = np.array([[1.0, "2"], ["-3.5e2", text]], object)
    with pytest.raises(TypeError, match=r"X, row 1, column 1"):
        didact._frames.plain(values, "X")
    frame = pandas.DataFrame({"a": [1.0, 2.0], "b": ["2", text]})
    with pytest.raises(TypeError, match=r"X, row 1, column 1 \('b'\)"):
        didact._frames.plain(frame, "X", ["a", "b"])
    np.testing.assert_array_equal(didact._frames.plain(values[:1], "X"), [[1, 2]])


def test_dates_in_columns_without_names_are_named_by_their_number():
    frame = pandas.DataFrame({0: [1.0, 2.0], 1: pandas.to_datetime(["2024-01-01", "2024-01-02"])})
    with pytest.raises(TypeError, match=r"X, column 1 has dates or times \(datetime64"):
        didact.SemiSupervisedClassifier().fit(frame, [0, 1])
