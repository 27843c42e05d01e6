"""Whatever is passed in, the answer is right or an exception that says what is wrong."""

import ctypes
import decimal
import gc
import json
import os
import pickle
import struct
import subprocess
import sys
import threading
import warnings
import weakref
from pathlib import Path

import numpy as np
import pytest

import didact
from didact import _errors, _ffi
from didact._arrays import borrow, make_handle
from didact._library import library
from support import ACTIVATIONS, HERE, assert_same_bits, run_python, same_bits, snapshot

NETWORK = didact.mlp(3, [5], 4)


def make(network=NETWORK, **configuration):
    return didact.Trainer("meta_pseudo_labels", network, **configuration)


def batch():
    random = np.random.default_rng(0)
    return random.standard_normal((6, 3)), np.array([0, 1, 2, 3, 0, 1]), random.standard_normal((8, 3))


def assert_unchanged_by(trainer, call, error, match=None, status=None):
    """`call` raises, and the trainer is as it was."""
    before = snapshot(trainer)
    with pytest.raises(error, match=match) as caught:
        call()
    if status is not None:
        assert caught.value.status_name == status
    assert_same_bits(snapshot(trainer), before)


# Layouts and element types


def layouts(x):
    """The same values in other places in memory."""
    big = np.zeros((2 * x.shape[0], 3 * x.shape[1]), x.dtype)
    big[::2, ::3] = x
    deep = np.zeros((2, *x.shape, 2), x.dtype)
    deep[1, ..., 1] = x
    unaligned = np.frombuffer(b"\0" + x.tobytes(), x.dtype, offset=1).reshape(x.shape)
    read_only = x.copy()
    read_only.flags.writeable = False
    return {
        "fortran": np.asfortranarray(x),
        "every other": big[::2, ::3],
        "inner": deep[1, ..., 1],
        "negative rows": x[::-1].copy()[::-1],
        "negative columns": x[:, ::-1].copy()[:, ::-1],
        "negative both": x[::-1, ::-1].copy()[::-1, ::-1],
        "transposed": x.T.copy().T,
        "unaligned": unaligned,
        "read-only": read_only,
        "list": x.tolist(),
        "memoryview": memoryview(x),
        "matrix rows": list(x),
        "other byte order": x.astype(x.dtype.newbyteorder()),
    }


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_layouts(dtype):
    x = np.random.default_rng(0).standard_normal((6, 3)).astype(dtype)
    network = didact.Network(didact.mlp(3, [5], 4, activation="tanh"), dtype="float64")
    trainer = make(network.specification, dtype="float64")
    expected = network.forward(x)
    recorded = network.record(x)
    cotangent = np.random.default_rng(1).standard_normal((6, 4)).astype(dtype)
    input_gradient = recorded.backward(cotangent, input_gradient=True)
    gradients = {name: value.copy() for name, value in network.gradients.items()}
    y = np.array([0, 1, 2, 3, 0, 1])
    meta = trainer.meta_gradient(x, y, x)
    assert len(layouts(x)) == 13
    for name, other in layouts(x).items():
        assert same_bits(network.forward(other), expected), name
        assert same_bits(network.record(other).logits, expected), name
        assert_same_bits(trainer.meta_gradient(other, y, other, other), meta)
    for name, other in layouts(cotangent).items():
        assert same_bits(recorded.backward(other, input_gradient=True), input_gradient), name
        assert_same_bits(dict(network.gradients), gradients)
    strided = np.repeat(y, 2)[::2]
    backwards = y[::-1].copy()[::-1]
    for labels in (strided, backwards, y.astype(np.int32), y.astype(np.uint8), y.astype(float), y.tolist(), y[:, None],
                   y.astype(">i8"), y.astype(np.uint64), tuple(y)):  # fmt: skip
        assert_same_bits(trainer.meta_gradient(x, labels, x), meta)


def test_zero_strides():
    row, network = np.array([0.5, -1.0, 2.0]), didact.Network(NETWORK, dtype="float64")
    same = np.broadcast_to(row, (5, 3))
    assert same.strides == (0, 8)
    assert same_bits(network.forward(same), network.forward(np.tile(row, (5, 1))))
    number = np.broadcast_to(np.float64(0.5), (5, 3))
    assert number.strides == (0, 0)
    assert same_bits(network.forward(number), network.forward(np.full((5, 3), 0.5)))
    trainer, other = make(dtype="float64"), make(dtype="float64")
    ones = np.broadcast_to(np.int64(1), (5,))
    assert trainer.step(same, ones, number) == other.step(np.tile(row, (5, 1)), [1] * 5, np.full((5, 3), 0.5))


@pytest.mark.parametrize(
    "dtype", ["bool", "int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64", "float16", "float32",
              "float64", "longdouble", "object"],
)  # fmt: skip
def test_element_types(dtype):
    x = np.random.default_rng(0).integers(0, 2, (6, 3))
    network = didact.Network(NETWORK, dtype="float64")
    assert same_bits(network.forward(x.astype(dtype)), network.forward(x.astype(np.float64)))


def test_large_unsigned_numbers_keep_their_sign():
    network = didact.Network(didact.mlp(1, [], 1), dtype="float64")
    network.parameters["dense0.weight"] = 1
    assert network.forward(np.array([[2**64 - 1]], np.uint64))[0, 0] == 2.0**64


@pytest.mark.parametrize(
    "x", [np.full((2, 3), "1"), np.ones((2, 3), complex), np.zeros((2, 3), "datetime64[s]"), np.full((2, 3), b"1"),
          [["a", "b", "c"]], np.array([[{}, [], None]], dtype=object)],
)  # fmt: skip
def test_what_is_not_a_number(x):
    network, trainer = didact.Network(NETWORK), make()
    for call in (network.forward, network.predict_proba, network.record, trainer.predict, trainer.student_step):
        with pytest.raises(TypeError, match="numbers"):
            call(x)


def test_outputs_may_have_strides():
    network = didact.Network(NETWORK, dtype="float64")
    x = batch()[0]
    expected = network.predict_proba(x)
    for make_output in (
        lambda: np.empty((6, 4), order="F"),
        lambda: np.empty((12, 8))[::2, ::2],
        lambda: np.empty((6, 4))[::-1, ::-1],
        lambda: np.empty((6, 4), np.float32),
    ):
        output = make_output()
        status = library.didact_network_predict(borrow(output).pointer, network._handle.value, borrow(x).pointer)
        assert status == _ffi.DIDACT_OK
        np.testing.assert_allclose(output, expected, rtol=1e-6 if output.dtype == np.float32 else 0)
    for output, status in (
        (np.empty((6, 5)), _ffi.DIDACT_ESHAPE),
        (np.empty(24), _ffi.DIDACT_ESHAPE),
        (np.empty((6, 4), np.int64), _ffi.DIDACT_EDTYPE),
        (np.empty((6, 4), np.uint8), _ffi.DIDACT_EDTYPE),
    ):
        assert library.didact_network_predict(borrow(output).pointer, network._handle.value, borrow(x).pointer) == status


# Shapes


SHAPES = [(), (3,), (6, 2), (6, 4), (0, 3), (6, 0), (0, 0), (6, 3, 1), (1, 6, 3), (2, 3, 1, 1)]


@pytest.mark.parametrize("shape", SHAPES)
def test_wrong_shapes(shape):
    x, (xl, yl, xu), trainer = np.zeros(shape), batch(), make()
    trainer.fit(xl, yl, steps=1)
    calls = [
        lambda: trainer.predict_proba(x),
        lambda: trainer.predict(x),
        lambda: trainer.step(x, yl, xu),
        lambda: trainer.step(xl, yl, x),
        lambda: trainer.step(xl, yl, xu, x),
        lambda: trainer.student_step(x),
        lambda: trainer.student_step(xu, x),
        lambda: trainer.meta_gradient(x, yl, xu),
        lambda: trainer.meta_objective(xl, yl, x),
        lambda: trainer.meta_gradient(xl, yl, xu, x),
        lambda: trainer.fit(x, yl, steps=1),
        lambda: trainer.student.forward(x),
        lambda: trainer.student.forward(x, training=True),
        lambda: trainer.student.predict_proba(x),
        lambda: trainer.student.record(x),
    ]
    if shape[:1] != (0,):
        calls.append(lambda: trainer.fit(xl, yl, X_unlabeled=x, steps=1))
    for number, call in enumerate(calls):
        before = snapshot(trainer)
        with pytest.raises(ValueError) as caught:
            call()
        assert caught.value.status_name in ("DIDACT_ESHAPE", "DIDACT_EDATA"), number
        assert_same_bits(snapshot(trainer), before)


def test_no_rows_are_an_error_that_says_so():
    network = didact.Network(NETWORK)
    with pytest.raises(ValueError, match="rows"):
        network.forward(np.empty((0, 3)))
    with pytest.raises(ValueError, match="no rows"):
        make().predict(np.empty((0, 3)))


def test_row_counts_that_differ():
    xl, yl, xu = batch()
    trainer = make()
    assert_unchanged_by(trainer, lambda: trainer.step(xl, yl[:-1], xu), ValueError, "5 labels for 6 rows")
    assert_unchanged_by(trainer, lambda: trainer.step(xl, yl, xu, xu[:-1]), ValueError, "7 rows")
    assert_unchanged_by(trainer, lambda: trainer.fit(xl, yl[:-1]), ValueError, "5 labels")
    sampled = make(feedback="gradient_dot")
    with pytest.raises(ValueError, match="7 pseudo_labels for 8"):
        sampled.meta_gradient(xl, yl, xu, pseudo_labels=[0] * 7)
    recorded = didact.Network(NETWORK).record(xl)
    for shape in ((6, 3), (5, 4), (6, 4, 1), (24,)):
        with pytest.raises(ValueError):
            recorded.backward(np.zeros(shape))
    for shape in ((6, 2), (5, 3), (18,)):
        with pytest.raises(ValueError):
            recorded.tangent({}, np.zeros(shape))


def test_a_batch_of_one():
    xl, yl, xu = batch()
    trainer = make(didact.mlp(3, [5], 4, batch_norm=True))
    for call in (
        lambda: trainer.step(xl, yl, xu[:1]),
        lambda: trainer.step(xl[:1], yl[:1], xu),
        lambda: trainer.meta_gradient(xl, yl, xu[:1]),
    ):
        assert_unchanged_by(trainer, call, ValueError, "batch_norm0 needs at least 2 rows", "DIDACT_EDATA")
    assert trainer.predict(xl[:1]).shape == (1,)
    trainer.step(xl, yl, xu)
    assert make().step(xl[:1], yl[:1], xu[:1])["loss/student"] > 0


# Values


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_not_finite(value):
    xl, yl, xu = batch()
    bad = xu.copy()
    bad[4, 2] = value
    trainer = make()
    for call in (
        lambda: trainer.step(xl, yl, bad),
        lambda: trainer.step(xl, yl, xu, bad),
        lambda: trainer.step(bad[:6], yl, xu),
        lambda: trainer.student_step(bad),
        lambda: trainer.meta_gradient(xl, yl, bad),
        lambda: trainer.predict(bad),
        lambda: trainer.fit(bad, [0, 1] * 4),
        lambda: trainer.fit(xl, yl, X_unlabeled=bad),
    ):
        assert_unchanged_by(trainer, call, ValueError, "row 4, column 2", "DIDACT_EDATA")
    trainer.feature_names = ["height", "width", "depth"]
    with pytest.raises(ValueError, match=r"row 4, column 2 \(depth\)"):
        trainer.predict(bad)


def test_too_large_for_float32():
    x = np.zeros((3, 3))
    x[1, 0] = 1e300
    with pytest.raises(ValueError, match="row 1, column 0.*float32"):
        make(input_scaling="none").predict(x)
    assert np.isfinite(make(dtype="float64").predict_proba(x)).all()


@pytest.mark.parametrize("label, row", [(4, 2), (-1, 0), (-2, 5), (2**62, 1), (-(2**63), 3), (2**63 - 1, 4)])
def test_labels_out_of_range(label, row):
    xl, yl, xu = batch()
    yl[row] = label
    trainer = make(feedback="gradient_dot")
    message = f"row {row}: label {label}"
    assert_unchanged_by(trainer, lambda: trainer.step(xl, yl, xu), ValueError, message, "DIDACT_EDATA")
    assert_unchanged_by(trainer, lambda: trainer.meta_gradient(xl, yl, xu), ValueError, message)
    pseudo = np.zeros(8, np.int64)
    pseudo[row] = label
    good = batch()[1]
    call = lambda: trainer.meta_gradient(xl, good, xu, pseudo_labels=pseudo)  # noqa: E731
    assert_unchanged_by(trainer, call, ValueError, f"pseudo_labels, {message}")
    if label != -1:
        assert_unchanged_by(trainer, lambda: trainer.fit(xl, yl), ValueError, message)
    trainer.student_step(xu)
    assert_unchanged_by(trainer, lambda: trainer.teacher_step(xl, yl), ValueError, message)
    # The student step still waits for its answer.
    assert trainer.teacher_step(xl, good)["loss/supervised"] > 0


@pytest.mark.parametrize(
    "labels, error",
    [
        ([0.5, 1, 2, 3, 0, 1], ValueError),
        ([np.nan, 1, 2, 3, 0, 1], ValueError),
        ([np.inf, 1, 2, 3, 0, 1], ValueError),
        ([1e300, 1, 2, 3, 0, 1], ValueError),
        (np.array([2**64 - 1, 1, 2, 3, 0, 1], np.uint64), ValueError),
        (["a", "b", "c", "d", "a", "b"], TypeError),
        ([None, 1, 2, 3, 0, 1], TypeError),
        (np.zeros(6, complex), TypeError),
        (np.zeros((6, 2), int), ValueError),
        (0, ValueError),
    ],
)
def test_labels_that_are_none(labels, error):
    xl, _, xu = batch()
    trainer = make()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert_unchanged_by(trainer, lambda: trainer.step(xl, labels, xu), error)


def test_fit_wants_two_classes():
    xl, yl, xu = batch()
    for labels, message in (
        (np.full(6, -1), "no row has a label"),
        (np.full(6, 2), "all labels are class 2"),
        ([-1, 3, -1, 3, -1, -1], "all labels are class 3"),
        ([None] * 6, "no row has a label"),
        (np.full(6, np.nan), "no row has a label"),
    ):
        trainer = make()
        assert_unchanged_by(trainer, lambda t=trainer, y=labels: t.fit(xl, y), ValueError, message, "DIDACT_EDATA")
    with pytest.raises(ValueError):
        make().fit(np.empty((0, 3)), np.empty(0, int))


def test_constant_columns_can_be_scaled():
    xl, yl, _ = batch()
    xl[:, 1] = 7
    trainer = make()
    trainer.fit(xl, yl, steps=2)
    assert np.isfinite(trainer.predict_proba(xl)).all()
    zeros = make(input_scaling="unit")
    zeros.fit(np.zeros((6, 3)), yl, steps=2)
    assert np.isfinite(zeros.predict_proba(xl)).all()


def test_more_labels_than_there_are():
    _, y = didact.datasets.load_digits()
    with pytest.raises(ValueError, match="ask for fewer"):
        didact.datasets.split(y, labels=1797)
    with pytest.raises(ValueError, match="ask for fewer"):
        didact.datasets.split([0, 0, 0, 1, 1], labels=5, test_fraction=0.3)
    for labels in (0, -1, 2**63, 2**64):
        with pytest.raises(ValueError):
            didact.datasets.split(y, labels=labels)
    for fraction in (-0.1, 1.0, 1.5, np.nan, np.inf):
        with pytest.raises(ValueError):
            didact.datasets.split(y, 40, test_fraction=fraction)
    for classes in ([], [-1, -1], [0], [0, 2**62, 0, 2**62], [0, 2**63 - 1], [0, -5, -(2**63), 1]):
        with pytest.raises(ValueError):
            didact.datasets.split(classes, labels=4)


def test_whole_numbers_that_do_not_fit():
    """ctypes would drop the bits that do not fit."""
    xl, yl, xu = batch()
    trainer, network = make(), didact.Network(NETWORK)
    for call in (
        lambda n: trainer.meta_gradient(xl, yl, xu, draw=n),
        lambda n: trainer.meta_objective(xl, yl, xu, draw=n),
        lambda n: network.record(xl, draw=n),
        lambda n: trainer.fit(xl, yl, steps=n),
        lambda n: didact.Network(NETWORK, seed=n),
        lambda n: make(seed=n),
        lambda n: didact.datasets.make_two_moons(5, seed=n),
    ):
        for number in (-1, 2**64, 10**30):
            with pytest.raises(ValueError):
                call(number)
        with pytest.raises(TypeError, match="must be a whole number, got True"):
            call(True)
        for number in (0.5, "1", [1]):
            with pytest.raises(TypeError):
                call(number)
    assert trainer.meta_objective(xl, yl, xu, draw=2**64 - 1) > 0
    for steps in (2**63 - 1, 10**11 + 1):
        with pytest.raises(ValueError, match="steps"):
            trainer.fit(xl, yl, steps=steps)
    assert trainer.steps == 0
    for count in (0, -1, 2**62, 2**64):
        with pytest.raises((ValueError, MemoryError)):
            didact.datasets.make_two_moons(count)
    for noise in (-1, np.nan, np.inf):
        with pytest.raises(ValueError):
            didact.datasets.make_two_moons(5, noise=noise)


# Configuration


@pytest.mark.parametrize(
    "key, nearest",
    [
        ("uda_wieght", "uda_weight"),
        ("temperature", "uda_temperature|teacher_temperature"),
        ("student_optimizer.learningrate", "student_optimizer.learning_rate"),
        ("student_optimiser.momentum", "student_optimizer.momentum"),
        ("feedbak", "feedback"),
    ],
)
def test_unknown_keys(key, nearest):
    with pytest.raises(ValueError, match=f'unknown key "{key}".*({nearest})') as caught:
        make(**{key: 1})
    assert caught.value.status_name == "DIDACT_EINVALID"


def test_unknown_nested_keys():
    with pytest.raises(ValueError, match="student_optimizer.nesterov"):
        make(student_optimizer={"nesterow": True})
    with pytest.raises(ValueError, match="hidden"):
        make({**NETWORK, "hiden": [3]})
    with pytest.raises(ValueError, match="meta_pseudo_labels"):
        didact.Trainer("meta_pseudo_label", NETWORK)
    with pytest.raises(ValueError, match="meta_pseudo_labels"):
        didact.configuration_fields("meta_pseudo_lables")
    with pytest.raises(ValueError, match="dropout"):
        didact.Network(didact.sequential(3, [{"type": "dropuot", "rate": 0.5}]))
    with pytest.raises(ValueError, match="given twice"):
        make(student_optimizer={"momentum": 0.5}, **{"student_optimizer.momentum": 0.5})


@pytest.mark.parametrize(
    "key, value",
    [
        ("feedback", "exactly"), ("feedback", 1), ("feedback_weight", "1"), ("feedback_weight", None),
        ("supervised_weight", -1), ("uda_weight", -0.1), ("uda_temperature", 0), ("uda_threshold", -1),
        ("teacher_temperature", 0), ("label_smoothing", 1), ("label_smoothing", -0.1), ("average_decay", 1.1),
        ("average_decay", -0.1), ("pseudo_label_threshold", -1), ("pseudo_label_view", "medium"),
        ("batch_composition", "mixed"), ("eman", 1), ("eman", "yes"), ("steps", -1), ("steps", 1.5), ("threads", -1),
        ("labeled_batch_size", 0), ("unlabeled_batch_size", 2.5), ("weak_noise", -1), ("strong_feature_dropout", 1),
        ("input_scaling", "minmax"), ("student_optimizer.name", "lion"), ("student_optimizer.learning_rate", -1),
        ("student_optimizer.momentum", 1), ("student_optimizer.nesterov", 1), ("student_optimizer.clip_norm", 0),
        ("student_optimizer.decay_exclude", "bias"), ("teacher_optimizer.weight_decay", -1),
        ("teacher_optimizer.beta1", 1), ("teacher_optimizer.beta2", 1.5), ("teacher_optimizer.epsilon", 0),
    ],
)  # fmt: skip
def test_values_out_of_range(key, value):
    with pytest.raises(ValueError) as caught:
        make(**{key: value})
    message = str(caught.value)
    assert f'"{key}"' in message and "must be" in message and json.dumps(value) in message


@pytest.mark.parametrize("value", [float("nan"), float("inf"), object(), {1, 2}, 1j])
def test_values_that_json_does_not_have(value):
    with pytest.raises((ValueError, TypeError)):
        make(uda_weight=value)


@pytest.mark.parametrize(
    "network",
    [
        {}, {"type": "cnn"}, {**NETWORK, "inputs": 0}, {**NETWORK, "inputs": -1}, {**NETWORK, "inputs": 2**24 + 1},
        {**NETWORK, "classes": 0}, {**NETWORK, "hidden": [0]}, {**NETWORK, "hidden": 5}, {**NETWORK, "hidden": ["a"]},
        {**NETWORK, "activation": "gelu"}, {**NETWORK, "dropout": 1}, {**NETWORK, "batch_norm": 1},
        didact.sequential(3, []), didact.sequential(3, [{"type": "dense"}]), didact.sequential(3, [{"outputs": 2}]),
    ],
)  # fmt: skip
def test_bad_networks(network):
    with pytest.raises(ValueError):
        didact.Network(network)
    with pytest.raises(ValueError):
        make(network)
    with pytest.raises((ValueError, TypeError)):
        didact.Network(NETWORK, dtype="float16")


def test_sizes_that_no_machine_has():
    for hidden in ([2**24, 2**24], [2**24] * 1000):
        with pytest.raises((MemoryError, ValueError)) as caught:
            didact.Network(didact.mlp(64, hidden, 10))
        assert caught.value.status_name in ("DIDACT_EMEMORY", "DIDACT_EINVALID")
    assert didact.Network(NETWORK).forward(batch()[0]).shape == (6, 4)


@pytest.mark.parametrize("arguments, message", [
    (("pictures", "uda", 4, 2), 'no preset "pictures"; there are two-moons, digits, table, images'),
    (("table", "uda", 0, 2), "columns and classes must be positive; got 0 and 2"),
    (("images", "uda", (8, 70_000, 3), 2), r"width of images must be in \[1, 65536\]; got 70000"),
    (("images", "uda", (2**62, 2**62, 1), 2), r"height of images must be in \[1, 65536\]; got 4611686018427387904"),
    (("images", "uda", (8, 8, 0), 2), r"channels of images must be in \[1, 65536\]; got 0"),
    (("images", "uda", (1, 1, 3), 2), 'images of one pixel are rows of 3 columns: take the preset "table"'),
    (("images", "uda", (8, 8, 1), 0), "classes must be positive; got 0"),
    (("images", "uda", 64, 2), r"inputs of images are \(height, width, channels\), got 64"),
])  # fmt: skip
def test_presets_that_are_none(arguments, message):
    with pytest.raises(ValueError, match=message):
        didact.preset(*arguments)


def test_duplicate_keys():
    for text in (
        b'{"type": "mlp", "inputs": 3, "hidden": [5], "classes": 4, "classes": 5}',
        b'{"type": "mlp", "inputs": 3, "hidden": [5], "classes": 4, "cl\\u0061sses": 4}',
    ):
        with pytest.raises(ValueError, match="classes"):
            make_handle(library.didact_network_create, library.didact_network_free, text)


# Handles


def test_freed_and_foreign_handles():
    network, trainer = didact.Network(NETWORK), make()
    handle = network._handle.value
    with pytest.raises(RuntimeError) as caught:
        _errors.check(library.didact_trainer_update_average(handle))
    assert caught.value.status_name == "DIDACT_EHANDLE"
    assert "didact_trainer" in str(caught.value)
    library.didact_network_free(handle)
    with pytest.raises(RuntimeError, match="freed") as caught:
        network.forward(batch()[0])
    assert caught.value.status_name == "DIDACT_EHANDLE"
    # Its end frees it once more, which does nothing; nor does freeing what is of another class.
    del network
    library.didact_network_free(trainer._handle.value)
    library.didact_network_free(None)
    assert trainer.steps == 0


def test_errors_are_those_of_the_language_too():
    for kind, base in (("Value", ValueError), ("Type", TypeError), ("File", OSError), ("Memory", MemoryError),
                       ("Runtime", RuntimeError)):  # fmt: skip
        error = getattr(didact, f"Didact{kind}Error")
        assert issubclass(error, base) and issubclass(error, didact.DidactError)
        assert error.__name__ == f"Didact{kind}Error"
        # A process pool sends errors as pickles.
        again = pickle.loads(pickle.dumps(error("what was wrong")))
        assert type(again) is error and str(again) == "what was wrong"


def test_an_error_keeps_nothing_alive():
    xl, yl, xu = batch()
    trainer = make()
    handle = weakref.ref(trainer._handle)
    gc.disable()
    try:
        with pytest.raises(ValueError, match="labels"):
            trainer.step(xl, yl[:-1], xu)
        del trainer
        assert handle() is None
    finally:
        gc.enable()


# The address sanitizer reserves terabytes of addresses.
needs_a_limit_of_addresses = pytest.mark.skipif(
    sys.platform != "linux" or "asan" in os.environ.get("LD_PRELOAD", ""), reason="needs a limit of addresses"
)


@needs_a_limit_of_addresses
@pytest.mark.parametrize("network", ["didact.mlp(768, [512, 300], 5)", "didact.small_cnn((16, 16, 3), 5, width=16)"])
def test_want_of_memory_never_ends_the_process(network):
    program = f"""
import resource
import sys
import numpy as np
import didact
x = np.zeros((64, 768), np.float32)
# Threads and the library start.
didact.Network(didact.small_cnn((8, 8, 3), 3), threads=2).record(np.zeros((4, 192), np.float32))
used = 4096 * int(open("/proc/self/statm").read().split()[0])
resource.setrlimit(resource.RLIMIT_AS, (used + (int(sys.argv[1]) << 20),) * 2)
try:
    network = didact.Network({network}, threads=2)
    recorded = network.record(x)
    recorded.backward(recorded.logits)
    recorded.tangent(network.parameters)
    print("fine")
except MemoryError as error:
    print(type(error).__name__)
"""
    found = []
    for mebibytes in (*range(2, 90, 4), 1000):
        done = run_python(program, str(mebibytes))
        assert done.returncode == 0, f"{mebibytes} MiB: {done.returncode}, {done.stderr[-1000:]}"
        found.append(done.stdout.strip())
    assert found[0] == "DidactMemoryError" and found[-1] == "fine" and set(found) <= {"DidactMemoryError", "fine"}


@needs_a_limit_of_addresses
def test_a_smaller_batch_fits_after_one_that_was_too_large():
    program = """
import resource
import numpy as np
import didact
x, y = np.zeros((20, 64), np.float32), np.arange(20) % 10
trainer = didact.Trainer("meta_pseudo_labels", didact.mlp(64, [32], 10))
used = 4096 * int(open("/proc/self/statm").read().split()[0])
resource.setrlimit(resource.RLIMIT_AS, (used + (500 << 20),) * 2)
for rows in (1_000_000, 250_000):
    try:
        trainer.step(x, y, np.broadcast_to(np.float32(0), (rows, 64)))
        print("fine", trainer.steps)
    except MemoryError as error:
        print(type(error).__name__, trainer.steps)
"""
    done = run_python(program)
    assert (done.stdout, done.returncode) == ("DidactMemoryError 0\nfine 1\n", 0), done.stderr


def test_messages_belong_to_their_thread():
    messages = {}

    def fail(key):
        for _ in range(200):
            try:
                make(**{key: 1})
            except ValueError as error:
                messages.setdefault(key, set()).add(str(error))

    threads = [threading.Thread(target=fail, args=(f"unknown_{letter}",)) for letter in "abcdef"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(messages) == 6
    for key, seen in messages.items():
        assert len(seen) == 1 and f'"{key}"' in seen.pop()


def run_program(name, *arguments):
    """A program of this folder, in a process of its own."""
    result = run_python((HERE / name).read_text(), *map(str, arguments), timeout=300)
    assert result.returncode == 0, f"exit code {result.returncode}\n{result.stdout[-2000:]}\n{result.stderr[-4000:]}"
    return result.stdout


def test_every_function_with_everything_wrong():
    out = run_program("trap_sweep.py")
    assert int(out.split("calls")[1]) > 10_000


# Files


@pytest.mark.parametrize("kind", ["trainer", "network"])
def test_damaged_files(kind, tmp_path):
    trainer = make(didact.mlp(2, [2], 2, batch_norm=True), average_decay=0.9)
    x, y = didact.datasets.make_two_moons(10)
    trainer.fit(x, y, steps=2)
    trainer.class_names = ["a", "b"]
    path = tmp_path / "model.safetensors"
    (trainer if kind == "trainer" else trainer.student).save(path)
    out = run_program("damaged_files.py", path, kind, 97 if kind == "trainer" else 13)
    assert out.startswith("refused")


class SafetensorsFile:
    """Reads and writes the format by hand, rules broken or not."""

    def __init__(self, path):
        content = Path(path).read_bytes()
        (length,) = struct.unpack("<Q", content[:8])
        self.header = json.loads(content[8 : 8 + length])
        self.data = content[8 + length :]
        self.description = json.loads(self.header["__metadata__"]["didact.description"])

    def write(self, path, header=None):
        self.header["__metadata__"]["didact.description"] = json.dumps(self.description)
        text = json.dumps(self.header) if header is None else header
        text = text.encode()
        text += b" " * (-len(text) % 8)
        Path(path).write_bytes(struct.pack("<Q", len(text)) + text + self.data)


@pytest.mark.parametrize("rows", [2**59 - 1, 2**28, 0, 2**62])
def test_a_tensor_of_no_bytes_that_names_rows_is_refused(tmp_path, rows):
    """A file of 4 KB made the reader ask for gigabytes, or trap."""
    path = tmp_path / "model.safetensors"
    x, y = didact.datasets.make_two_moons(10)
    didact.Trainer("temporal_ensembling", didact.mlp(2, [2], 2), steps=2).fit(x, y).save(path)
    file = SafetensorsFile(path)
    tensors = {name: entry for name, entry in file.header.items() if name != "__metadata__"}
    assert {"method.ensemble", "method.updates"} <= set(tensors)
    data = b""
    for name, entry in sorted(tensors.items(), key=lambda item: item[1]["data_offsets"]):
        content = file.data[slice(*entry["data_offsets"])]
        if name.startswith("method."):
            content, entry["shape"] = b"", [rows, 0]
        entry["data_offsets"] = [len(data), len(data) + len(content)]
        data += content
    file.data = data
    file.write(path)
    before = peak_memory()
    with pytest.raises(ValueError, match="method|shape"):
        didact.Trainer.load(path)
    assert peak_memory() - before < 100 << 20


def peak_memory():
    import resource

    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def change_tensor(name, **changes):
    def apply(file):
        file.header[name].update(changes)

    return apply


def set_value(name, value, dtype="<f4"):
    def apply(file):
        start, end = file.header[name]["data_offsets"]
        data = np.frombuffer(file.data[start:end], dtype).copy()
        data[-1] = value
        file.data = file.data[:start] + data.tobytes() + file.data[end:]

    return apply


def describe(*keys, value):
    def apply(file):
        target = file.description
        for key in keys[:-1]:
            target = target[key]
        target[keys[-1]] = value

    return apply


HOSTILE = {
    "a tensor is missing": lambda file: file.header.pop("student.dense0.weight"),
    "another name": lambda file: file.header.update({"student.dense9.weight": file.header.pop("student.dense0.weight")}),
    "another dtype": change_tensor("student.dense0.weight", dtype="F64"),
    "an unknown dtype": change_tensor("student.dense0.weight", dtype="F8_E5M2"),
    "another shape": change_tensor("student.dense0.weight", shape=[2, 5]),
    "a transposed shape": change_tensor("student.dense1.weight", shape=[5, 4]),
    "a negative length": change_tensor("student.dense0.weight", shape=[-5, -3]),
    "a huge shape": change_tensor("student.dense0.weight", shape=[2**62, 4]),
    "an overflowing shape": change_tensor("student.dense0.weight", shape=[2**32, 2**32]),
    "five dimensions": change_tensor("student.dense0.weight", shape=[5, 3, 1, 1, 1]),
    "offsets out of range": change_tensor("student.dense0.weight", data_offsets=[0, 2**40]),
    "negative offsets": change_tensor("student.dense0.weight", data_offsets=[-60, 0]),
    "offsets in reverse": change_tensor("student.dense0.weight", data_offsets=[60, 0]),
    "fractional offsets": change_tensor("student.dense0.weight", data_offsets=[0.5, 60.5]),
    "overlapping tensors": change_tensor("teacher.dense0.weight", data_offsets=[0, 60]),
    "bytes that nothing uses": lambda file: setattr(file, "data", file.data + b"\0" * 8),
    "data cut off": lambda file: setattr(file, "data", file.data[:-8]),
    "not a number": set_value("student.dense0.weight", np.nan),
    "infinity": set_value("teacher.dense1.bias", -np.inf),
    "an infinite momentum": set_value("optimizer.student.momentum.dense0.weight", np.inf),
    "a negative step": set_value("optimizer.student.step", -1, "<i8"),
    "a huge step": set_value("optimizer.student.step", 2**62, "<i8"),
    "a scale of 0": set_value("input.scale", 0, "<f8"),
    "a scale that is no number": set_value("input.scale", np.nan, "<f8"),
    "more steps than history": describe("steps", value=7),
    "negative steps": describe("steps", value=-1),
    "steps that are text": describe("steps", value="2"),
    "huge steps": describe("steps", value=2**62),
    "another method": describe("configuration", "method", value="supervised"),
    "an unknown method": describe("configuration", "method", value="magic"),
    "an unknown key": describe("configuration", "magic", value=1),
    "a value out of range": describe("configuration", "uda_temperature", value=-1),
    "a larger network": describe("configuration", "network", "hidden", value=[2**24, 2**24]),
    "more classes": describe("configuration", "network", "classes", value=5),
    "another element type": describe("configuration", "dtype", value="float64"),
    "too few names": describe("class_names", value=["a"]),
    "names that are numbers": describe("class_names", value=[1, 2, 3, 4]),
    "a learning rate that is text": describe("learning_rates", "student", value="fast"),
    "a negative learning rate": describe("learning_rates", "student", value=-1.0),
    "no learning rate": describe("learning_rates", value={}),
    "no configuration": lambda file: file.description.pop("configuration"),
    "no description": lambda file: file.header["__metadata__"].update({"didact.kind": "trainer?"}),
    "another format": lambda file: file.header["__metadata__"].update({"didact.format": "2"}),
    "metadata that is a number": lambda file: file.header["__metadata__"].update({"didact.kind": 1}),
}


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    trainer = make()
    x, y, _ = batch()
    trainer.fit(x, y, steps=2)
    trainer.class_names = list("abcd")
    path = tmp_path_factory.mktemp("saved") / "trainer.safetensors"
    trainer.save(path)
    return path


def test_writing_by_hand_changes_nothing(saved, tmp_path):
    SafetensorsFile(saved).write(tmp_path / "same.safetensors")
    assert_same_bits(snapshot(didact.Trainer.load(tmp_path / "same.safetensors")), snapshot(didact.Trainer.load(saved)))


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_files(name, saved, tmp_path):
    file = SafetensorsFile(saved)
    HOSTILE[name](file)
    path = tmp_path / "hostile.safetensors"
    file.write(path)
    with pytest.raises((ValueError, MemoryError), match="hostile.safetensors") as caught:
        didact.Trainer.load(path)
    assert caught.value.status_name == ("DIDACT_EMEMORY" if name == "a larger network" else "DIDACT_EFORMAT")


def test_hostile_headers(saved, tmp_path):
    file = SafetensorsFile(saved)
    path = tmp_path / "hostile.safetensors"
    whole = json.dumps(file.header)
    for header in (
        "", "null", "[]", "{", whole[:-1], whole + "x", whole[:-1] + ', "__metadata__": {}}',
        whole[:-1] + ', "student.dense0.bias": ' + json.dumps(file.header["student.dense0.bias"]) + "}",
        "[" * 100_000, '{"a":' * 100_000, whole.replace("F32", "\ud800".encode("utf-8", "surrogatepass").decode("latin1")),
        '{"__metadata__": {}}', '{"__metadata__": []}', '{"a": {}}', '{"a": {"dtype": "F32"}}', '{"a": []}',
    ):  # fmt: skip
        file.write(path, header)
        for load in (didact.Trainer.load, didact.Network.load):
            with pytest.raises(ValueError) as caught:
                load(path)
            assert caught.value.status_name == "DIDACT_EFORMAT", header[:60]


def test_files_that_are_none(tmp_path):
    (tmp_path / "empty").write_bytes(b"")
    (tmp_path / "text").write_text("hello, this is no model\n" * 10)
    (tmp_path / "zeros").write_bytes(b"\0" * 4096)
    for load in (didact.Trainer.load, didact.Network.load):
        for name in ("empty", "text", "zeros"):
            with pytest.raises(ValueError, match=name):
                load(tmp_path / name)
        for path in (tmp_path, tmp_path / "missing", "", "/dev/null/x"):
            with pytest.raises((OSError, ValueError)):
                load(path)
        with pytest.raises((ValueError, OSError)):
            load("a\udcff\udcfe")


def test_a_save_that_fails_leaves_the_old_file(tmp_path):
    trainer = make()
    path = tmp_path / "model.safetensors"
    trainer.save(path)
    before = path.read_bytes()
    (tmp_path / "folder").mkdir()
    for target in (tmp_path / "folder", tmp_path / "none" / "model.safetensors"):
        with pytest.raises(OSError):
            trainer.save(target)
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["folder", "model.safetensors"]
    assert list((tmp_path / "folder").iterdir()) == []
    trainer.step(*batch())
    trainer.save(path)
    assert path.read_bytes() != before


# Fork

FORK = """
import os, sys
import didact
from didact._library import library
when = sys.argv[1]
network = didact.Network(didact.mlp(2, [3], 2)) if when == "after" else None
child = os.fork()
if child == 0:
    code = 1
    try:
        if when == "before":
            network = didact.Network(didact.mlp(2, [3], 2))
            code = 0 if network.forward([[1.0, 2.0]]).shape == (1, 2) else 2
        else:
            calls = [
                lambda: network.forward([[1.0, 2.0]]),
                lambda: network.copy(),
                lambda: didact.Network(didact.mlp(2, [3], 2)),
                lambda: didact.Trainer("supervised", didact.mlp(2, [3], 2)),
                lambda: didact.datasets.make_two_moons(3),
            ]
            names = set()
            for call in calls:
                try:
                    call()
                except RuntimeError as error:
                    names.add(error.status_name)
                    assert "spawn" in str(error), error
                else:
                    names.add("none")
            code = 0 if names == {"DIDACT_EFORK"} else 3
            del network
    finally:
        os._exit(code)
_, status = os.waitpid(child, 0)
assert status == 0, status
network = network or didact.Network(didact.mlp(2, [3], 2))
assert network.forward([[1.0, 2.0]]).shape == (1, 2)
print("parent works")
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.parametrize("when", ["before", "after"])
def test_fork(when):
    result = run_python(FORK, when)
    assert (result.returncode, result.stdout.strip()) == (0, "parent works"), result.stderr


POOL = """
import multiprocessing, sys
import numpy as np
import didact

def use(trainer):
    return trainer.predict_proba(np.zeros((1, 2)))

if __name__ == "__main__":
    trainer = didact.Trainer("supervised", didact.mlp(2, [3], 2))
    with multiprocessing.get_context("fork").Pool(1) as pool:
        try:
            pool.apply_async(use, (trainer,)).get(timeout=60)
        except RuntimeError as error:
            assert error.status_name == "DIDACT_EFORK" and "spawn" in str(error), error
            print("told")
        # It comes back as it was.
        try:
            # A method is looked up while the task is read.
            pool.map_async(trainer.predict_proba, [np.zeros((1, 2))]).get(timeout=60)
        except didact.DidactRuntimeError as error:
            assert "spawn" in str(error)
        else:
            raise AssertionError("a method worked after a fork")
        back = pool.apply_async(list, ([trainer],)).get(timeout=60)[0]
        assert back.predict_proba(np.zeros((1, 2))).tolist() == trainer.predict_proba(np.zeros((1, 2))).tolist()
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_pool_by_fork_tells_its_parent(tmp_path):
    """An error while a worker reads its task ended the worker, and the pool began another for ever."""
    (tmp_path / "forking.py").write_text(POOL)
    environment = {**os.environ, "PYTHONPATH": str(Path(didact.__file__).parents[1])}
    result = subprocess.run(
        [sys.executable, str(tmp_path / "forking.py")], capture_output=True, text=True, timeout=120, env=environment
    )
    assert (result.returncode, result.stdout.strip()) == (0, "told"), result.stderr


NAMES_AFTER_FORK = """
import os, threading
import didact
from didact._library import library

trainer = didact.Trainer("supervised", didact.mlp(2, [3], 2))

def ask():
    while True:
        library.didact_status_name(3), library.didact_version(), trainer.roles

def inform():
    while True:
        library.didact_build_info()

for work in (ask, ask, ask, inform):
    threading.Thread(target=work, daemon=True).start()
for _ in range(200):
    child = os.fork()
    if child == 0:
        # A lock that another thread held stays held for ever here: the alarm ends a child that waits for it.
        import signal
        signal.alarm(10)
        fine = library.didact_status_name(5) == b"DIDACT_ESHAPE" and library.didact_version() == didact.__version__.encode()
        fine = fine and library.didact_last_error_message() == b"" and library.didact_abi_version() > 0
        fine = fine and library.didact_build_info().startswith(b"{")
        os._exit(0 if fine else 1)
    assert os.waitpid(child, 0)[1] == 0
print("all fine")
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_names_and_versions_need_no_lock_after_a_fork():
    result = run_python(NAMES_AFTER_FORK, timeout=120)
    assert (result.returncode, result.stdout.strip()) == (0, "all fine"), result.stderr


CALL_BEFORE_FORK = """
import os
import numpy as np
import didact

# No handle is made, but threads and locks are.
didact.augment(np.zeros((40, 30, 30, 3), np.uint8), "crop", threads=2)
child = os.fork()
if child == 0:
    try:
        didact.augment(np.zeros((40, 30, 30, 3), np.uint8), "crop", threads=2)
    except didact.DidactError as error:
        os._exit(0 if error.status_name == "DIDACT_EFORK" else 2)
    os._exit(1)
assert os.waitpid(child, 0)[1] == 0
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_any_call_before_a_fork_counts():
    result = run_python(CALL_BEFORE_FORK)
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize("method", ["ict", "mixmatch"])
def test_a_huge_mixing_parameter_mixes_halves(method):
    """No number of tries would have drawn from the distribution."""
    x, y, _ = batch()
    for value in (1e15, 1e300, 1.7e308):
        trainer = didact.Trainer(method, didact.mlp(x.shape[1], [3], 2), labeled_batch_size=4, mixing_parameter=value, steps=2)
        trainer.fit(np.tile(x, (4, 1)), np.tile(y, 4) % 2)


def test_calls_whose_output_does_not_fit_change_nothing():
    network = didact.Network(didact.mlp(2, [3], 2, batch_norm=True))
    x = np.random.default_rng(0).standard_normal((5, 2))
    recorded = network.record(x)
    recorded.backward(np.ones((5, 2)))
    gradients = {name: value.copy() for name, value in network.gradients.items()}
    statistics = {name: value.copy() for name, value in network.statistics.items()}
    for wrong in (np.empty((5, 3)), np.empty((5, 2), np.int64)):
        status = library.didact_pass_backward(borrow(wrong).pointer, recorded._handle.value, borrow(np.ones((5, 2))).pointer, 1)
        assert status != 0
    for wrong in (borrow(np.empty((5, 3))).pointer, borrow(np.empty((5, 2), np.int64)).pointer, None):
        assert library.didact_network_forward(wrong, network._handle.value, borrow(x).pointer, 1) != 0
    for name, value in network.gradients.items():
        np.testing.assert_array_equal(value, gradients[name])
    for name, value in network.statistics.items():
        np.testing.assert_array_equal(value, statistics[name])


def test_a_strangers_model_opens_no_file_of_its_choice(tmp_path):
    secret = tmp_path / "secret"
    secret.write_bytes(b"SECRETS!" * 100)
    trainer = didact.Trainer("reduced_meta_pseudo_labels", didact.mlp(2, [3], 2), teacher_distributions=str(secret))
    data = trainer.to_bytes()
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    end = max(entry["data_offsets"][1] for name, entry in header.items() if name != "__metadata__")
    header["method.z"] = {"dtype": "F32", "shape": [4, 2], "data_offsets": [end, end + 32]}
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with pytest.raises(ValueError, match='tensor "method.z" does not belong') as caught:
        didact.Trainer.from_bytes(len(text).to_bytes(8, "little") + text + data[8 + length :] + bytes(32))
    assert "secret" not in str(caught.value)


def test_messages_are_short_and_hold_nothing_that_a_terminal_obeys(tmp_path):
    for call in (
        lambda: didact.Network({"type": "\x1b[2Jx" + "y" * 1_000_000}),
        lambda: didact.Trainer("\x1b]0;\x07" + "z" * 100_000, didact.mlp(2, [3], 2)),
        lambda: didact.Trainer.load(str(tmp_path / "\x1b[31mred")),
    ):
        with pytest.raises(didact.DidactError) as caught:
            call()
        message = str(caught.value)
        assert "\\x1b" in message and "\x1b" not in message and len(message.encode()) < 4100


def test_a_network_file_with_a_wrong_description_is_a_wrong_file(tmp_path):
    path = tmp_path / "network.safetensors"
    didact.Network(didact.mlp(2, [3], 2)).save(path)
    path.write_bytes(path.read_bytes().replace(b'relu', b'rolu'))
    with pytest.raises(ValueError) as caught:
        didact.Network.load(path)
    assert caught.value.status_name == "DIDACT_EFORMAT" and str(path) in str(caught.value)


def test_texts_are_read_whole_while_a_training_changes_them():
    x, y, _ = batch()
    trainer = make(validation_fraction=0.4, validation_steps=1, patience=10**6)
    worker = threading.Thread(target=lambda: trainer.fit(np.tile(x, (10, 1)), np.tile(y, 10), steps=300))
    worker.start()
    while worker.is_alive():
        assert set(trainer.roles) <= {"student", "teacher", "average", "best", "finetuned"}
    worker.join()


SPAWN = """
import multiprocessing
import didact

def probabilities(seed):
    return didact.Network(didact.mlp(2, [3], 2), seed=seed).predict_proba([[1.0, 2.0]]).tolist()

if __name__ == "__main__":
    here = [probabilities(seed) for seed in range(3)]
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        assert pool.map(probabilities, range(3)) == here
    print("spawned")
"""


def test_spawn(tmp_path):
    (tmp_path / "spawning.py").write_text(SPAWN)
    environment = {**os.environ, "PYTHONPATH": str(Path(didact.__file__).parents[1])}
    result = subprocess.run(
        [sys.executable, str(tmp_path / "spawning.py")], capture_output=True, text=True, timeout=120, env=environment
    )
    assert (result.returncode, result.stdout.strip()) == (0, "spawned"), result.stderr


def test_live_handles_count():
    out = ctypes.c_int64(-1)
    assert library.didact_live_handles(ctypes.byref(out)) == 0
    first = out.value
    network = didact.Network(NETWORK)
    assert library.didact_live_handles(ctypes.byref(out)) == 0
    assert out.value == first + 1
    del network


# Values that are not finite


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_nan_in_parameters_is_not_hidden(activation):
    trainer = didact.Trainer("supervised", didact.mlp(2, [8], 2, activation=activation))
    trainer.student.parameters["dense0.weight"][0, 0] = np.nan
    x = np.ones((4, 2))
    with pytest.raises(didact.DidactError, match="not finite"):
        trainer.predict_proba(x)
    with pytest.raises(didact.DidactError, match="step 0: the supervised loss is NaN"):
        trainer.step(x, [0, 1, 0, 1])


@pytest.mark.parametrize("call", ["step", "teacher_step"])
def test_missing_labels_of_a_step_are_named(call):
    trainer = didact.Trainer("meta_pseudo_labels", didact.mlp(2, [4], 2))
    rows = np.zeros((3, 2))
    trainer.student_step(rows)
    with pytest.raises(TypeError, match="yl is None; give a label for each row"):
        getattr(trainer, call)(rows, None)


def test_a_meta_gradient_that_is_not_finite_says_after_which_step():
    xl, yl, xu = batch()
    trainer = make()
    trainer.step(xl, yl, xu)
    trainer.teacher.parameters["dense0.weight"][0, 0] = np.nan
    for call in (trainer.meta_gradient, trainer.meta_objective):
        with pytest.raises(didact.DidactError, match="step 1: the meta-gradient.*nothing was changed"):
            call(xl, yl, xu)


@pytest.mark.parametrize("feedback", ["exact", "gradient_dot", "loss_difference"])
def test_a_meta_gradient_that_overflows_behind_the_student_s_step(feedback):
    xl, yl, xu = batch()
    trainer = make(feedback=feedback)
    trainer.student.parameters["dense0.weight"][0, 0] = 1e38
    for call in (trainer.meta_gradient, trainer.meta_objective):
        try:
            result = call(xl, yl, xu)
        except didact.DidactError as error:
            assert "step 0: the meta-gradient" in str(error)
        else:
            # Not every kind of feedback needs what is too large.
            values = result.values() if isinstance(result, dict) else [result]
            assert all(np.isfinite(each).all() for each in values)


def test_predictions_that_overflow_name_the_row():
    network = didact.Network(didact.mlp(2, [8], 2))
    x = np.ones((3, 2), np.float32)
    x[1] = 3e38
    with pytest.raises(didact.DidactError, match="row 1"):
        network.predict_proba(x)


def test_what_could_not_be_read_is_not_written(tmp_path):
    network = didact.Network(didact.mlp(2, [8], 2))
    path = tmp_path / "model.safetensors"
    network.save(path)
    before = path.read_bytes()
    network.parameters["dense0.bias"][3] = np.inf
    with pytest.raises(didact.DidactError, match="dense0.bias"):
        network.save(path)
    assert path.read_bytes() == before and os.listdir(tmp_path) == [path.name]


@pytest.mark.parametrize("key", ["feedback_weight", "supervised_weight", "uda_weight"])
def test_a_gradient_that_overflows_names_step_and_role(key):
    trainer = didact.Trainer("meta_pseudo_labels", didact.mlp(2, [8], 2), **{key: 1e300})
    random = np.random.default_rng(0)
    with pytest.raises(didact.DidactError, match="step 0: the teacher's gradient"):
        trainer.step(random.normal(size=(4, 2)), [0, 1, 0, 1], random.normal(size=(6, 2)))
    assert all(np.isfinite(array).all() for array in trainer.teacher.parameters.values())


# Files and names


def test_a_nul_in_a_file_name_is_refused(tmp_path):
    network = didact.Network(didact.mlp(2, [8], 2))
    network.save(tmp_path / "keep")
    before = (tmp_path / "keep").read_bytes()
    for save in (network.save, didact.Trainer("supervised", didact.mlp(2, [8], 2)).save):
        with pytest.raises(ValueError, match="NUL"):
            save(f"{tmp_path}/keep\0.safetensors")
    assert (tmp_path / "keep").read_bytes() == before


def test_a_pipe_is_refused_at_once(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OSError, match="pipe"):
        didact.Network.load(tmp_path / "pipe")


def rewritten(path, change):
    """Writes a model file again after `change(description, tensors)`."""
    from safetensors import safe_open
    from safetensors.numpy import load_file, save_file

    with safe_open(path, "np") as file:
        metadata = dict(file.metadata())
    tensors, description = load_file(path), json.loads(metadata["didact.description"])
    change(description, tensors)
    save_file(tensors, path, {**metadata, "didact.description": json.dumps(description)})


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda d, t: t.update(stranger=np.zeros(3, np.float32)), "stranger"),
        (lambda d, t: d["configuration"].update({"student_optimizer.momentum": 0.0}), "momentum"),
        (lambda d, t: t["student.batch_norm0.running_variance"].fill(-1), "negative variance"),
        (lambda d, t: t["input.scale"].fill(-1), "input.scale"),
    ],
)
def test_descriptions_that_do_not_fit_the_tensors(tmp_path, change, message):
    trainer = didact.Trainer("supervised", didact.mlp(2, [4], 2, batch_norm=True))
    x, y = didact.datasets.make_two_moons(20)
    trainer.fit(x, y, steps=2)
    trainer.save(tmp_path / "model")
    rewritten(tmp_path / "model", lambda description, tensors: None)
    didact.Trainer.load(tmp_path / "model")
    rewritten(tmp_path / "model", change)
    with pytest.raises(ValueError, match=message):
        didact.Trainer.load(tmp_path / "model")


# Configuration


@pytest.mark.parametrize("value", ["sgd", None, 3])
def test_an_optimizer_that_is_no_object(value):
    with pytest.raises(ValueError, match='"student_optimizer" must be an object such as {"name": "sgd"}'):
        make(student_optimizer=value)


def test_nan_in_a_configuration_names_its_place():
    with pytest.raises(ValueError, match="uda_weight"):
        make(uda_weight=float("nan"))
    with pytest.raises(ValueError, match="student_optimizer.learning_rate is not a finite number"):
        make(student_optimizer={"learning_rate": float("inf")})
    layers = [{"type": "dense", "outputs": 3}, {"type": "leaky_relu", "slope": np.float32("nan")}]
    with pytest.raises(ValueError, match=r"layers\[1\].slope is not a finite number"):
        didact.Network(didact.sequential(4, layers))


def test_a_network_larger_than_the_machine_is_refused_before_it_is_made():
    with pytest.raises(MemoryError, match="bytes"):
        didact.Network(didact.mlp(64, [200_000, 200_000], 10))


def test_a_batch_larger_than_what_others_leave_of_the_machine_is_refused():
    try:
        lines = (line.split() for line in Path("/proc/meminfo").read_text().splitlines())
        available = next(1024 * int(words[1]) for words in lines if words[0] == "MemAvailable:")
    except (OSError, StopIteration):
        pytest.skip("the system does not say how much memory is available")
    xl, yl, xu = batch()
    trainer = make()
    large = np.broadcast_to(np.float32(0), (int(1.03 * available) // (4 * xu.shape[1]), xu.shape[1]))
    call = lambda: trainer.step(xl, yl, large)  # noqa: E731
    assert_unchanged_by(trainer, call, MemoryError, "use a smaller batch", "DIDACT_EMEMORY")


@pytest.mark.parametrize("network", [None, "mlp", 3, didact.Network(NETWORK)])
def test_a_network_that_is_no_specification(network):
    with pytest.raises(TypeError, match=r"network: expected a specification, such as didact.mlp"):
        didact.Trainer("supervised", network)


@pytest.mark.parametrize("nothing", ["NaN", "sNaN"])
def test_decimal_labels_are_refused_by_name(nothing):
    pytest.importorskip("sklearn")
    x = np.random.default_rng(0).standard_normal((6, 2))
    labels = [decimal.Decimal(nothing), decimal.Decimal(1), decimal.Decimal(0), None, None, None]
    with pytest.raises(TypeError, match="y: labels must all be text, all whole numbers or all booleans, got Decimal"):
        didact.SemiSupervisedClassifier(steps=1).fit(x, labels)
