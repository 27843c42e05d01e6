"""A classifier in one file: what comes back, who else reads it, and what is refused."""

import json
import os
import pickle
import stat
import struct

import numpy as np
import pytest

import didact
from support import CHECKOUT, run_python, same_bits

pytest.importorskip("sklearn", minversion="1.3")

from sklearn.exceptions import NotFittedError  # noqa: E402

COMMAND = CHECKOUT / "build/bin/didact"
CODES = np.arange(60) % 3
X = np.random.default_rng(0).standard_normal((60, 4)) + 3 * np.eye(3, 4)[CODES]
Classifier = didact.SemiSupervisedClassifier


def make(**parameters):
    return Classifier(**{"steps": 10, "random_state": 0, "n_jobs": 1, **parameters})


def few(labels, none=None):
    result = np.empty(60, object)
    result[:] = [value if row < 30 else none for row, value in enumerate(labels.tolist())]
    return result


def header_of(data):
    length = struct.unpack_from("<Q", data)[0]
    return json.loads(data[8 : 8 + length]), data[8 + length :]


def with_header(header, rest):
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + rest


def changed(data, change):
    """A file whose description of the classifier was changed."""
    header, rest = header_of(data)
    found = json.loads(header["__metadata__"]["didact.classifier"])
    result = change(found)
    text = result if isinstance(result, str) else json.dumps(found if result is None else result)
    header["__metadata__"]["didact.classifier"] = text
    return with_header(header, rest)


def assert_equal(left, right):
    assert left.classes_.dtype == right.classes_.dtype and left.classes_.tolist() == right.classes_.tolist()
    assert [type(label) for label in left.classes_] == [type(label) for label in right.classes_]
    for name in ("n_iter_", "n_features_in_"):
        assert getattr(left, name) == getattr(right, name)
    for name in ("feature_names_in_", "image_shape_"):
        assert hasattr(left, name) == hasattr(right, name)
    assert list(left.history_) == list(right.history_)
    assert all(same_bits(left.history_[name], right.history_[name]) for name in left.history_)


LABELS = {
    "text": np.array(["a", "ü ☃", 'quote " and \\'], object), "U": np.array(["a", "b", "c"]), "int": np.array([5, -2, 7]),
    "int8": np.array([1, 2, 3], np.int8), "uint64": np.array([1, 2, 2**64 - 1], np.uint64), "float": np.array([0.0, 1, 2]),
    "float32": np.array([-1.0, 0, 2**20], np.float32), "digits as text": np.array(["0", "1", "2"]),
    "negative": np.array([-1, 1, 1]),
}  # fmt: skip


@pytest.mark.parametrize("way", ["file", "bytes"])
@pytest.mark.parametrize("name", LABELS)
def test_a_classifier_comes_back(name, way, tmp_path):
    labels = LABELS[name][CODES]
    classifier = make(configuration={"uda_weight": 0.0}).fit(X, labels)
    if way == "file":
        classifier.save(tmp_path / "model.safetensors")
        loaded = Classifier.load(tmp_path / "model.safetensors")
    else:
        loaded = Classifier.from_bytes(classifier.to_bytes())
    assert_equal(loaded, classifier)
    assert loaded.get_params() == classifier.get_params()
    assert same_bits(loaded.predict_proba(X), classifier.predict_proba(X))
    predicted, expected = loaded.predict(X), classifier.predict(X)
    assert predicted.dtype == expected.dtype and predicted.tolist() == expected.tolist()
    assert loaded.score(X, labels) == classifier.score(X, labels)
    assert not hasattr(loaded, "transduction_")
    assert loaded.to_bytes() == classifier.to_bytes()


def test_booleans_and_markers_come_back():
    classifier = make().fit(X, CODES > 0)
    loaded = Classifier.from_bytes(classifier.to_bytes())
    assert loaded.classes_.dtype == bool and loaded.predict(X).dtype == bool
    for parameters, labels in (
        ({"unlabeled": "?"}, few(np.array(["a", "b", "c"])[CODES], "?")), ({"unlabeled": 7}, few(CODES, 7)),
        ({"unlabeled": None}, np.array(["nan", "b", "-1"], object)[CODES]), ({}, np.where(CODES == 0, -1, 1)),
    ):  # fmt: skip
        classifier = make(**parameters).fit(X, labels)
        loaded = Classifier.from_bytes(classifier.to_bytes())
        assert loaded.score(X, labels) == classifier.score(X, labels)
        assert loaded._rule == classifier._rule and loaded.unlabeled == classifier.unlabeled


def test_parameters_come_back():
    given = dict(
        hidden_layers=(8, 4), steps=np.int64(7), random_state=np.int64(3), time_limit=60.5, verbose=0,
        configuration={"student_optimizer": {"learning_rate": np.float32(0.125)}, "network.dropout": 0.25},
    )  # fmt: skip
    loaded = Classifier.from_bytes(make(**given).fit(X, CODES).to_bytes())
    assert loaded.get_params(deep=False) == make(**given).get_params(deep=False)
    assert isinstance(loaded.hidden_layers, tuple) and type(loaded.steps) is int
    again = loaded.fit(X, CODES)
    assert same_bits(again.predict_proba(X), make(**given).fit(X, CODES).predict_proba(X))
    # What no file can hold comes back as None.
    state = np.random.RandomState(0)
    classifier = make(callback=lambda progress: None, random_state=state, hidden_layers=[8]).fit(X, CODES)
    loaded = Classifier.from_bytes(classifier.to_bytes())
    assert loaded.callback is None and loaded.random_state is None and loaded.hidden_layers == [8]
    assert classifier.callback is not None and classifier.random_state is state


def test_names_and_images_come_back():
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(X, columns=["a", "b", "ü", "d e"])
    loaded = Classifier.from_bytes(make().fit(frame, CODES).to_bytes())
    assert loaded.feature_names_in_.tolist() == list(frame.columns) and loaded.feature_names_in_.dtype == object
    with pytest.raises(ValueError, match="same order"):
        loaded.predict(frame[["b", "a", "ü", "d e"]])
    images, digits = didact.datasets.load_digits(images=True)
    classifier = make(method="supervised", steps=2, configuration={"network.width": 4}).fit(images[:100], digits[:100])
    loaded = Classifier.from_bytes(classifier.to_bytes())
    assert loaded.image_shape_ == (8, 8, 1) and loaded.n_features_in_ == 64
    assert same_bits(loaded.predict_proba(images[:9]), classifier.predict_proba(images[:9]))
    with pytest.raises(ValueError, match="4 × 8 × 1"):
        loaded.predict(images[:, :4])


def test_a_stopped_fit_comes_back():
    classifier = make(callback=lambda progress: progress["step"] == 3).fit(X, CODES)
    loaded = Classifier.from_bytes(classifier.to_bytes())
    assert loaded.n_iter_ == 3
    assert_equal(loaded, classifier)


# Other readers and writers


def test_the_trainer_and_the_command_read_a_classifier(tmp_path):
    path = tmp_path / "model.safetensors"
    labels = np.array(["red", "green", "blue"], object)[CODES]
    classifier = make().fit(X, few(labels))
    classifier.save(path)
    trainer = didact.Trainer.load(path)
    assert same_bits(trainer.predict_proba(X), classifier.predict_proba(X))
    assert trainer.class_names == ["blue", "green", "red"]
    safetensors = pytest.importorskip("safetensors")
    with safetensors.safe_open(path, "numpy") as file:
        assert same_bits(file.get_tensor("student.dense0.weight"), trainer.student.parameters["dense0.weight"])
    import subprocess

    np.save(tmp_path / "rows.npy", X)
    result = subprocess.run(
        [COMMAND, "predict", "--model", path, "--data", tmp_path / "rows.npy"], capture_output=True, text=True
    )
    assert result.returncode == 0, result.stderr
    assert [line.split(",")[0] for line in result.stdout.splitlines()[1:]] == classifier.predict(X).tolist()


def test_a_file_of_a_trainer_becomes_a_classifier(tmp_path):
    path = tmp_path / "model.safetensors"
    trainer = didact.Trainer("supervised", didact.mlp(4, [8], 3), input_scaling="standard").fit(X, CODES, steps=30)
    for names, classes in (([], [0, 1, 2]), (["0", "1", "2"], [0, 1, 2]), (["-5", "3", "12"], [-5, 3, 12]),
                           (["0", "01", "2"], ["0", "01", "2"]), (["b", "a", "c"], ["b", "a", "c"]),
                           (["1.0", "2.0", "3.0"], [1.0, 2.0, 3.0]), (["1.0", "2.5", "3.0"], ["1.0", "2.5", "3.0"])):  # fmt: skip
        trainer.class_names = names
        trainer.save(path)
        classifier = Classifier.load(path)
        assert classifier.classes_.tolist() == classes and classifier.method == "supervised"
        assert same_bits(classifier.predict_proba(X), trainer.predict_proba(X))
        assert classifier.predict(X).tolist() == [classes[index] for index in trainer.predict(X)]
        assert classifier.score(X, np.array(classes)[CODES]) == (trainer.predict(X) == CODES).mean()
        assert classifier.n_iter_ == 30 and classifier.n_features_in_ == 4
        assert same_bits(Classifier.from_bytes(classifier.to_bytes()).predict_proba(X), trainer.predict_proba(X))
    trainer.feature_names = list("abcd")
    trainer.save(path)
    assert Classifier.load(path).feature_names_in_.tolist() == list("abcd")
    # No trainer takes two classes of one name, but a file may have them.
    trainer.class_names = ["a", "q", "b"]
    trainer.save(path)
    data = path.read_bytes()
    assert data.count(b'\\"q\\"') == 1
    path.write_bytes(data.replace(b'\\"q\\"', b'\\"a\\"'))
    with pytest.raises(ValueError, match="two classes of the file have one name"):
        Classifier.load(path)


@pytest.mark.filterwarnings("ignore:X does not have valid feature names")
def test_a_file_of_the_command_becomes_a_classifier(tmp_path):
    import subprocess

    model = tmp_path / "model.safetensors"
    subprocess.run(
        [COMMAND, "train", "--data", "digits", "--labels", "40", "--steps", "5", "--model", model],
        check=True, capture_output=True,
    )  # fmt: skip
    classifier = Classifier.load(model)
    images, _ = didact.datasets.load_digits()
    assert classifier.classes_.tolist() == list(range(10))
    assert same_bits(classifier.predict(images), didact.Trainer.load(model).predict(images))


# Saving


def test_a_save_completes_or_leaves_the_old_file(tmp_path):
    path = tmp_path / "model.safetensors"
    classifier = make().fit(X, CODES)
    classifier.save(path)
    old = path.read_bytes()
    os.chmod(path, 0o640)
    other = make(random_state=1).fit(X, CODES)
    resource = pytest.importorskip("resource")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (len(old) // 2, hard))
        with pytest.raises(OSError, match="File too large"):
            other.save(path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert path.read_bytes() == old and os.listdir(tmp_path) == [path.name]
    link = tmp_path / "link"
    link.symlink_to(path)
    other.save(link)
    assert link.is_symlink() and path.read_bytes() == other.to_bytes()
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert sorted(os.listdir(tmp_path)) == ["link", path.name]
    with pytest.raises(OSError, match="No such file"):
        classifier.save(tmp_path / "nowhere" / "model.safetensors")
    with pytest.raises(OSError):
        classifier.save(tmp_path)
    classifier.save("/dev/null")
    assert stat.S_ISCHR(os.stat("/dev/null").st_mode)


def test_whatever_loads_and_saves_the_file_keeps_the_classifier(tmp_path):
    path, again = tmp_path / "model.safetensors", tmp_path / "again.safetensors"
    names = np.array(["-5", "3", "12"])
    classifier = make(steps=30, hidden_layers=(8,)).fit(X, few(names[CODES]))
    classifier.save(path)
    didact.Trainer.load(path).save(again)
    copied = pickle.loads(pickle.dumps(didact.Trainer.load(path).copy()))
    for found in (Classifier.load(again), Classifier.from_bytes(copied.to_bytes())):
        assert found.hidden_layers == (8,) and found.classes_.tolist() == sorted(names.tolist())
        assert same_bits(found.predict_proba(X), classifier.predict_proba(X))


def test_what_is_not_fitted_is_not_saved(tmp_path):
    with pytest.raises(NotFittedError):
        make().save(tmp_path / "model.safetensors")
    with pytest.raises(NotFittedError):
        make().to_bytes()
    assert os.listdir(tmp_path) == []


def test_what_would_not_load_is_not_saved(tmp_path):
    path = tmp_path / "model.safetensors"
    for kind in ("class_names", "feature_names"):
        classifier = make().fit(X, CODES)
        setattr(classifier.trainer_, kind, list("abcd")[: 3 if kind == "class_names" else 4])
        with pytest.raises(ValueError, match=kind):
            classifier.save(path)
    classifier = make().fit(X, CODES).set_params(time_limit=object())
    with pytest.raises(TypeError, match="the parameter time_limit is of type object"):
        classifier.save(path)
    assert os.listdir(tmp_path) == []


# Hostile files


@pytest.fixture(scope="module")
def saved():
    return make(hidden_layers=(8,)).fit(X, few(np.array(["a", "b", "c"])[CODES])).to_bytes()


def set_to(*keys, value):
    def change(found):
        for key in keys[:-1]:
            found = found[key]
        found[keys[-1]] = value

    return change


@pytest.mark.parametrize("change", [
    lambda found: "", lambda found: "[]", lambda found: "3", lambda found: "{", lambda found: "[" * 100_000,
    lambda found: '{"format": 1, "format": 1}', lambda found: '{"format": NaN}', lambda found: "9" * 10_000,
    lambda found: found.clear(), lambda found: found.pop("classes") and None,
    set_to("format", value=2), set_to("format", value=[1] * 1000), set_to("strange", value=1),
    set_to("parameters", value=[]), set_to("parameters", "stepz", value=3), set_to("parameters", "__class__", value=3),
    set_to("classes", value=None), set_to("classes", "kind", value="pickle"), set_to("classes", "kind", value=["text"]),
    set_to("classes", "kind", value="int"), set_to("classes", "values", value=["a", "b"]),
    set_to("classes", "values", value=["a", "b", "b"]), set_to("classes", "values", value=["a", "b", 3]),
    set_to("classes", "values", value=["a", "b", "d"]), set_to("classes", "values", value=["b", "a", "c"]),
    set_to("classes", "dtype", value=None), set_to("classes", "dtype", value="<U999999999"),
    set_to("classes", "dtype", value=["str"]),
    set_to("classes", "values", value=["a", "b", ["c"]]), set_to("classes", "values", value={"a": 1}),
    set_to("classes", value={"kind": "int", "dtype": "float64", "values": [0, 1, 2]}),
    set_to("classes", value={"kind": "int", "dtype": "int8", "values": [0, 1, 300]}),
    set_to("classes", value={"kind": "int", "dtype": "O", "values": [0, 1, 2]}),
    set_to("classes", value={"kind": "int", "dtype": "i4,i4", "values": [0, 1, 2]}),
    set_to("classes", value={"kind": "int", "dtype": "no", "values": [0, 1, 2]}),
    set_to("classes", value={"kind": "int", "dtype": 3, "values": [0, 1, 2]}),
    set_to("classes", value={"kind": "int", "dtype": "int64", "values": [0, 1, True]}),
    set_to("classes", value={"kind": "int", "dtype": "int64", "values": [0, 1, 2**70]}),
    set_to("classes", value={"kind": "float", "dtype": "float64", "values": [0, 1, 1e999]}),
    set_to("feature_names", value=["a"]), set_to("feature_names", value=3), set_to("feature_names", value={"a": 1}),
    set_to("image_shape", value=[2, 2, 2]), set_to("image_shape", value=[2, 2]), set_to("image_shape", value="abc"),
    set_to("image_shape", value=[-1, -1, 4]), set_to("image_shape", value=[1.0, 1, 4]),
    set_to("image_shape", value=[2**62, 2**62, 4]),
    set_to("no_label", value=None), set_to("no_label", "marker", value=1.5), set_to("no_label", "marker", value=True),
    set_to("no_label", "reads_text", value=1), set_to("no_label", "strange", value=1),
])  # fmt: skip
def test_damaged_descriptions_are_refused(saved, change):
    with pytest.raises(ValueError) as caught:
        Classifier.from_bytes(changed(saved, change))
    assert "classif" in str(caught.value) and len(str(caught.value)) < 500


def test_parameters_of_a_file_are_checked_by_fit(saved):
    """As those of `set_params` are: a file can hold what a constructor takes, no more."""
    loaded = Classifier.from_bytes(changed(saved, set_to("parameters", "steps", value="many")))
    assert loaded.predict(X).shape == (60,)
    with pytest.raises(ValueError, match="steps must be"):
        loaded.fit(X, CODES)


def test_damaged_files_are_refused(saved, tmp_path):
    path = tmp_path / "model.safetensors"
    header, rest = header_of(saved)
    for content in (b"", b"\0" * 7, b"\xff" * 100, saved[:-1], saved[: len(saved) // 2], saved + b"\0", b"\x80\x04." + saved):
        path.write_bytes(content)
        for call in (lambda: Classifier.load(path), lambda c=content: Classifier.from_bytes(c)):
            with pytest.raises(ValueError):
                call()
    header["__metadata__"]["didact.classifier"] = 3
    with pytest.raises(ValueError, match="not a text"):
        Classifier.from_bytes(with_header(header, rest))
    with pytest.raises(OSError):
        Classifier.load(tmp_path / "nowhere")
    with pytest.raises(TypeError):
        Classifier.from_bytes("text")
    didact.Network(didact.mlp(2, [], 2)).save(path)
    with pytest.raises(ValueError, match="holds a network"):
        Classifier.load(path)


def test_random_damage_is_refused_or_harmless(saved):
    random = np.random.default_rng(0)
    length = struct.unpack_from("<Q", saved)[0]
    start = saved.index(b"didact.classifier")
    for _ in range(300):
        content = bytearray(saved)
        for position in random.integers(start, min(start + 1500, 8 + length), random.integers(1, 4)):
            content[position] = random.integers(0, 256)
        try:
            loaded = Classifier.from_bytes(bytes(content))
        except ValueError:
            continue
        assert loaded.predict(X).shape == (60,)


def test_loading_imports_no_pickle_and_needs_no_fit(saved, tmp_path):
    path = tmp_path / "model.safetensors"
    path.write_bytes(saved)
    result = run_python(
        "import sys, pickle, didact, numpy as np\n"
        "def refused(*arguments): raise AssertionError('pickle')\n"
        "pickle.load = pickle.loads = pickle.Unpickler = refused\n"
        "print(didact.SemiSupervisedClassifier.load(sys.argv[1]).predict(np.zeros((2, 4))).tolist())",
        str(path),
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout.startswith("['")
