"""Data sets of named arrays, and what a layer gives, through the C interface."""

import ctypes
import gc
import json
from concurrent.futures import ThreadPoolExecutor

import didact
import numpy as np
import pytest
from didact import _ffi
from didact._arrays import borrow, make_handle, text
from didact._errors import check
from didact._library import library


class Data:
    """A didact_dataset that borrows arrays."""

    def __init__(self, **arrays):
        self.handle = make_handle(library.didact_dataset_create, library.didact_dataset_free)
        self.kept = {}
        for name, array in arrays.items():
            self.set(name, array)

    def set(self, name, array):
        self.kept[name] = borrow(array)
        check(library.didact_dataset_set_array(self.handle.value, name.replace("view_", "view.").encode(), self.kept[name].pointer))

    def fit(self, trainer, **options):
        nothing = _ffi.didact_progress_callback()
        check(library.didact_trainer_fit_dataset(
            trainer._handle.value, self.handle.value, json.dumps(options).encode(), nothing, None))  # fmt: skip

    def step(self, trainer):
        check(library.didact_trainer_step_dataset(trainer._handle.value, self.handle.value))

    def array(self, name):
        view = _ffi.didact_array()
        check(library.didact_dataset_array(ctypes.byref(view), self.handle.value, name.encode()))
        return view


def rows():
    """Labelled and unlabelled rows of three classes."""
    random = np.random.default_rng(3)
    classes = np.arange(60) % 3
    x = random.standard_normal((60, 4)) + 2 * np.eye(3, 4)[classes]
    return x, np.where(np.arange(60) < 18, classes, -1), random.standard_normal((30, 4))


def trainer(method="meta_pseudo_labels", **keys):
    return didact.Trainer(method, didact.mlp(4, [8], 3), steps=6, labeled_batch_size=8, seed=2, **keys)


def test_a_fit_on_named_arrays_is_that_on_arguments():
    x, y, u = rows()
    named, plain = trainer(), trainer()
    data = Data(X=x, y=y, X_unlabeled=u, X_test=x, y_test=y)
    gc.collect()
    data.fit(named, steps=3)
    plain.fit(x, y, u, steps=3)
    assert named.to_bytes() == plain.to_bytes()
    check(library.didact_trainer_fit_dataset(named._handle.value, data.handle.value, None, _ffi.didact_progress_callback(), None))
    plain.fit(x, y, u)
    assert named.steps == 6 and named.to_bytes() == plain.to_bytes()


def test_strided_arrays_are_borrowed_and_read_where_they_are():
    x, y, _ = rows()
    wide = np.zeros((len(x), 8))
    wide[:, ::2] = x
    data = Data(X=wide[:, ::2], y=y)
    view = data.array("X")
    assert view.data == wide.ctypes.data and [view.shape[0], view.shape[1]] == list(x.shape)
    assert [view.strides[0], view.strides[1]] == list(wide[:, ::2].strides)
    named, plain = trainer("supervised"), trainer("supervised")
    data.fit(named)
    plain.fit(x, y)
    assert named.to_bytes() == plain.to_bytes()
    # What is set again takes the place of the first.
    data.set("X", x[::-1].copy())
    assert data.array("X").data != wide.ctypes.data
    assert json.loads(text(library.didact_dataset_description, data.handle.value)) == {"arrays": ["X", "y"]}


@pytest.mark.parametrize("views", [("u", "u_strong"), ("view_0", "view_1")])
def test_a_step_on_named_arrays_is_that_on_arguments(views):
    x, y, u = rows()
    few = np.flatnonzero(y >= 0)[:6]
    strong = u[:9] + 0.1
    named, plain = trainer(), trainer()
    data = Data(x=x[few], y=y[few], **dict(zip(views, (u[:9], strong))))
    for _ in range(3):
        data.step(named)
        plain.step(x[few], y[few], u[:9], strong)
    assert named.to_bytes() == plain.to_bytes()


def test_arrays_that_do_not_belong_together_are_refused():
    x, y, u = rows()
    one = trainer()
    before = one.to_bytes()
    with pytest.raises(ValueError, match='no array can be called "X_unlabelled". Did you mean "X_unlabeled"?'):
        Data(X_unlabelled=u)
    for arrays, error in (
        ({"y": y}, 'a fit needs the array "X"'), ({"X": x}, 'method "meta_pseudo_labels" needs the array "y"'),
        ({"X": x, "y": y, "u": u}, 'no use for "u"; it takes X, y, X_unlabeled'),
        ({"X": x, "y": y, "sample_weight": y}, "sample_weight, row 18"),
        ({"X": x, "y": y, "sample_weight": x}, "sample_weight has shape"),
        ({"X": x, "y": y, "X_validation": x}, 'no use for "X_validation"'),
        ({"X": x, "y": y, "X_trusted": x}, "give both or none"),
        ({"X": x, "y": y, "teacher_distributions": x}, "no use for teacher_distributions"),
        ({"X": x, "y": y[:-1]}, "labels for"), ({"X": x[:, :2], "y": y}, "expected"),
    ):  # fmt: skip
        with pytest.raises((ValueError, NotImplementedError, didact.DidactError), match=error):
            Data(**arrays).fit(one)
    with pytest.raises(ValueError, match="unknown key.*step|step.*unknown"):
        Data(X=x, y=y).fit(one, step=3)
    for arrays, error in (
        ({"x": x[:4], "u": u}, "both or none"), ({"u": u}, "needs labelled rows"), ({"x": x[:4], "y": y[:4] % 3}, "needs unlabelled rows"),
        ({"x": x[:4], "y": y[:4] % 3, "u_strong": u}, "a strong view needs"), ({"x": x[:4], "y": y[:4] % 3, "u": u, "view_0": u}, "views are"),
        ({"x": x[:4], "y": y[:4] % 3, "view_0": u, "view_2": u}, "without a gap"),
        ({"x": x[:4], "y": y[:4] % 3, "view_0": u, "view_1": u, "view_2": u}, "has 2 views"),
        ({"x": x[:4], "y": y[:4] % 3, "u": u[:4], "u_strong": u[:5]}, "the strong view has 5 rows"),
        ({"x": x[:4], "y": y[:4] % 3, "X": x}, 'no use for "X"'),
        ({"x": x[:4], "y": y[:4] % 3, "u": u, "y_trusted": y}, "give both or none"),
        ({"x": x[:4], "y": y[:4] % 3, "u": u, "pseudo_labels": y}, 'no use for "pseudo_labels"'),
    ):  # fmt: skip
        with pytest.raises((ValueError, didact.DidactError), match=error):
            Data(**arrays).step(one)
    assert one.to_bytes() == before


SPECIFICATIONS = [
    didact.mlp(4, [6, 5], 3, batch_norm=True), didact.mlp((4, 4, 2), [6], 3),
    {**didact.small_cnn((8, 8, 3), 4, width=4, stages=1)}, didact.wide_resnet((8, 8, 3), 3, depth=10, width=1),
]  # fmt: skip


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("specification", SPECIFICATIONS)
def test_features_are_what_the_last_layer_reads(specification, dtype):
    network = didact.Network(specification, dtype=dtype)
    x = np.random.default_rng(0).standard_normal((37, network._input_count()))
    network.forward(x, training=True)
    features = network.output(x)
    weight, bias = list(network.parameters.values())[-2:]
    np.testing.assert_allclose(features @ weight.T + bias, network.forward(x), atol=1e-5 if dtype == "float32" else 1e-12)
    np.testing.assert_array_equal(network.output(x, "logits"), network.forward(x))
    assert features.dtype == dtype


def test_a_layer_gives_what_it_computes():
    network = didact.Network(didact.mlp(4, [6, 5], 3), dtype="float64")
    x, parameters = np.random.default_rng(0).standard_normal((5, 4)), network.parameters
    dense = x @ parameters["dense0.weight"].T + parameters["dense0.bias"]
    np.testing.assert_allclose(network.output(x, "dense0"), dense, atol=1e-14)
    np.testing.assert_allclose(network.output(x, "relu0"), np.maximum(dense, 0), atol=1e-14)
    # A later write is seen.
    parameters["dense0.bias"][...] += 1
    np.testing.assert_allclose(network.output(x, "dense0"), dense + 1, atol=1e-14)
    with pytest.raises(ValueError, match='no layer "dense3". Did you mean "dense'):
        network.output(x, "dense3")
    with pytest.raises(ValueError, match="one layer"):
        didact.Network(didact.mlp(4, [], 3)).output(x)
    with pytest.raises(ValueError, match="expected"):
        network.output(x[:, :3])
    x[2, 1] = np.nan
    with pytest.raises(ValueError, match="row 2, column 1: nan is not a finite"):
        network.output(x)


def test_outputs_of_many_layers_are_not_kept():
    network = didact.Network(didact.mlp(2, [3] * 40, 2), dtype="float64")
    x = np.random.default_rng(0).standard_normal((4, 2))
    for _ in range(2):
        outputs = [network.output(x, f"relu{layer}") for layer in range(40)]
    for layer, output in enumerate(outputs):
        np.testing.assert_array_equal(output, network.output(x, f"relu{layer}"))
    np.testing.assert_array_equal(outputs[-1], network.output(x))


def test_outputs_of_several_threads_are_their_own():
    network = didact.Network(didact.mlp(8, [32, 32], 3, batch_norm=True))
    random = np.random.default_rng(0)
    inputs = [random.standard_normal((5, 8)) for _ in range(6)]
    expected = [network.output(x) for x in inputs]

    def same(index):
        return all(np.array_equal(network.output(inputs[index]), expected[index]) for _ in range(2000))

    with ThreadPoolExecutor(len(inputs)) as pool:
        assert all(pool.map(same, range(len(inputs))))
