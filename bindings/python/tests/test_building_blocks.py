"""Networks, recorded passes, optimisers and moving averages."""

import copy
import gc
import json
import pickle

import numpy as np
import pytest
import safetensors.numpy
from safetensors import safe_open

import didact
from support import same_bits

SPECIFICATIONS = {
    "linear": didact.mlp(4, [], 3),
    "relu": didact.mlp(4, [6, 5], 3),
    "everything": didact.mlp(4, [6, 5], 3, activation="swish", batch_norm=True, dropout=0.25),
    "chain": didact.sequential(
        4,
        [
            {"type": "batch_norm"},
            {"type": "dense", "outputs": 5, "initialization": "he_uniform"},
            {"type": "leaky_relu"},
            {"type": "dropout", "rate": 0.5},
            {"type": "dense", "outputs": 3},
        ],
    ),
}
DTYPES = ("float32", "float64")


def rows(count=8, inputs=4, seed=0):
    return np.random.default_rng(seed).standard_normal((count, inputs))


def randomize(network, seed=1):
    random = np.random.default_rng(seed)
    for array in network.parameters.values():
        array[...] = random.standard_normal(array.shape)
    return network


def values(mapping):
    return {name: array.copy() for name, array in mapping.items()}


# Networks


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", SPECIFICATIONS)
def test_specification_round_trip(name, dtype):
    network = didact.Network(SPECIFICATIONS[name], dtype=dtype, seed=5)
    for key, value in SPECIFICATIONS[name].items():
        if key != "layers":
            assert network.specification[key] == value
    again = didact.Network(network.specification, dtype=network.dtype, seed=network.seed)
    assert again.specification == network.specification
    assert again.dtype == network.dtype == np.dtype(dtype)
    assert again.seed == network.seed == 5
    for parameter, twin in zip(network.parameters.values(), again.parameters.values()):
        assert same_bits(parameter, twin)
    json.dumps(network.specification)


def test_a_specification_is_a_copy():
    network = didact.Network(SPECIFICATIONS["relu"])
    network.specification["hidden"].append(99)
    assert network.specification["hidden"] == [6, 5]


def test_names_shapes_and_order():
    network = didact.Network(didact.mlp(4, [6], 3, batch_norm=True))
    assert {name: array.shape for name, array in network.parameters.items()} == {
        "dense0.weight": (6, 4),
        "dense0.bias": (6,),
        "batch_norm0.weight": (6,),
        "batch_norm0.bias": (6,),
        "dense1.weight": (3, 6),
        "dense1.bias": (3,),
    }
    assert list(network.parameters) == [
        "dense0.weight", "dense0.bias", "batch_norm0.weight", "batch_norm0.bias", "dense1.weight", "dense1.bias",
    ]  # fmt: skip
    assert list(network.gradients) == list(network.parameters)
    assert {name: array.tolist() for name, array in network.statistics.items()} == {
        "batch_norm0.running_mean": [0.0] * 6,
        "batch_norm0.running_variance": [1.0] * 6,
    }
    assert len(network.parameters) == 6
    assert "dense0.weight" in repr(network.parameters)
    assert "mlp" in repr(network) and "63 parameters" in repr(network)
    with pytest.raises(KeyError, match="dense0.weight"):
        network.parameters["dense0.weights"]
    with pytest.raises(ValueError, match=r"\(6, 4\)"):
        network.parameters["dense0.weight"] = np.zeros((4, 6))


@pytest.mark.parametrize("dtype", DTYPES)
def test_seeds(dtype):
    def first(seed):
        return didact.Network(SPECIFICATIONS["relu"], dtype=dtype, seed=seed).parameters["dense0.weight"].copy()

    assert same_bits(first(0), first(0))
    assert not np.array_equal(first(0), first(1))
    assert first(0).std() > 0.1
    assert not didact.Network(SPECIFICATIONS["relu"]).parameters["dense0.bias"].any()


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_write_is_seen_by_the_next_call(dtype):
    network = randomize(didact.Network(SPECIFICATIONS["relu"], dtype=dtype))
    x = rows()
    before = network.forward(x)
    weight = network.parameters["dense2.weight"]
    assert weight.flags.writeable and not weight.flags.owndata
    weight *= 2
    network.parameters["dense2.bias"][0] += 1
    # logits = h W' + b: doubling W and adding 1 to b₀.
    bias = network.parameters["dense2.bias"] - np.array([1, 0, 0], dtype)
    np.testing.assert_allclose(network.forward(x), 2 * (before - bias) + bias + [1, 0, 0], rtol=1e-4, atol=1e-5)


def test_writing_statistics():
    network = randomize(didact.Network(didact.mlp(4, [6], 3, batch_norm=True), dtype="float64"))
    before = network.forward(rows())
    network.statistics["batch_norm0.running_mean"] += 1
    assert not np.allclose(network.forward(rows()), before)
    network.statistics["batch_norm0.running_mean"] -= 1
    np.testing.assert_allclose(network.forward(rows()), before, rtol=1e-12)


def test_views_keep_the_network_alive():
    network = randomize(didact.Network(SPECIFICATIONS["everything"]))
    views = [
        *network.parameters.values(),
        *network.gradients.values(),
        *network.statistics.values(),
        network.parameters["dense0.weight"][1:, ::2],
    ]
    expected = [view.copy() for view in views]
    del network
    gc.collect()
    # Memory that was given back would be used again by these.
    others = [randomize(didact.Network(SPECIFICATIONS["everything"], seed=seed), seed) for seed in range(50)]
    for view, value in zip(views, expected):
        assert same_bits(view, value)
    for view in views:
        view[...] = 7
    assert all((view == 7).all() for view in views)
    assert others


def test_everything_else_keeps_the_network_alive():
    network = randomize(didact.Network(SPECIFICATIONS["everything"], dtype="float64"))
    recorded = network.record(rows())
    optimizer = didact.SGD(network, 0.1)
    average = didact.MovingAverage(network, 0.9)
    averaged = average.network
    parameter = network.parameters["dense2.bias"]
    del network
    gc.collect()
    recorded.backward(np.ones((8, 3)))
    before = parameter.copy()
    optimizer.step()
    assert not np.array_equal(parameter, before)
    average.update()
    del average
    gc.collect()
    np.testing.assert_allclose(averaged.parameters["dense2.bias"], 0.9 * before + 0.1 * parameter, rtol=1e-12)


def test_a_trainers_parts_outlive_it():
    trainer = didact.Trainer("meta_pseudo_labels", SPECIFICATIONS["relu"], average_decay=0.9)
    student, teacher, average = trainer.student, trainer.teacher, trainer.average
    optimizer = trainer.student_optimizer
    del trainer
    gc.collect()
    for network in (student, teacher, average):
        assert np.isfinite(network.forward(rows())).all()
    optimizer.step()
    assert optimizer.state["step"] == 1


@pytest.mark.parametrize("name", SPECIFICATIONS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_forward_and_probabilities(name, dtype):
    network = randomize(didact.Network(SPECIFICATIONS[name], dtype=dtype))
    logits, probabilities = network.forward(rows()), network.predict_proba(rows())
    assert logits.dtype == probabilities.dtype == np.dtype(dtype)
    assert logits.shape == probabilities.shape == (8, 3)
    expected = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(probabilities, expected, rtol=1e-4 if dtype == "float32" else 1e-12)
    # Rows do not see each other in evaluation mode.
    np.testing.assert_allclose(network.forward(rows()[2:3])[0], logits[2], rtol=1e-5)
    assert network.predict_proba(np.tile(rows(), (400, 1))).shape == (3200, 3)


def test_logits_by_hand():
    network = didact.Network(didact.mlp(2, [2], 2))
    network.parameters["dense0.weight"] = [[1, -1], [2, 0]]
    network.parameters["dense0.bias"] = [0, -1]
    network.parameters["dense1.weight"] = [[1, 1], [0, 3]]
    network.parameters["dense1.bias"] = [0.5, 0]
    assert network.forward([[3, 1], [0, 2]]).tolist() == [[7.5, 15], [0.5, 0]]


def test_training_mode_moves_statistics_and_draws_masks():
    network = randomize(didact.Network(SPECIFICATIONS["everything"], dtype="float64"))
    before = values(network.statistics)
    evaluation = network.forward(rows())
    assert all(same_bits(network.statistics[name], before[name]) for name in before)
    assert same_bits(network.forward(rows()), evaluation)
    first = network.forward(rows(), training=True)
    assert not any(np.array_equal(network.statistics[name], before[name]) for name in before)
    assert not np.array_equal(network.forward(rows(), training=True), first), "the next masks"


def test_a_batch_of_one_cannot_be_normalised():
    network = didact.Network(didact.mlp(4, [6], 3, batch_norm=True))
    with pytest.raises(ValueError, match="batch_norm0 needs at least 2 rows"):
        network.record(rows(1))
    with pytest.raises(ValueError, match="at least 2 rows"):
        network.forward(rows(1), training=True)
    assert network.forward(rows(1)).shape == (1, 3)
    assert network.record(rows(1), training=False).logits.shape == (1, 3)


@pytest.mark.parametrize("copying", [copy.copy, copy.deepcopy, didact.Network.copy])
def test_copies(copying):
    network = randomize(didact.Network(SPECIFICATIONS["everything"], seed=3))
    network.forward(rows(), training=True)
    twin = copying(network)
    for left, right in ((network.parameters, twin.parameters), (network.statistics, twin.statistics)):
        assert all(same_bits(left[name], right[name]) for name in left)
    # The next dropout masks too.
    assert same_bits(network.forward(rows(), training=True), twin.forward(rows(), training=True))
    twin.parameters["dense0.weight"] += 1
    assert not np.array_equal(network.parameters["dense0.weight"], twin.parameters["dense0.weight"])


@pytest.mark.parametrize("copying", [copy.deepcopy, pickle.dumps])
@pytest.mark.parametrize("make", [
    lambda network: didact.AdamW(network, 0.1), lambda network: didact.MovingAverage(network, 0.9),
    lambda network: network.record(np.ones((2, 3))),
])  # fmt: skip
def test_what_belongs_to_a_network_says_why_it_is_not_copied(make, copying):
    network = didact.Network(didact.mlp(3, [2], 2))
    with pytest.raises(TypeError, match="cannot be pickled or copied in part; pickle or copy the Trainer"):
        copying(make(network))


def test_networks_are_not_pickled_by_accident():
    with pytest.raises(TypeError, match="save a Network"):
        pickle.dumps(didact.Network(SPECIFICATIONS["relu"]))


# Files


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", SPECIFICATIONS)
def test_save_and_load(name, dtype, tmp_path):
    network = randomize(didact.Network(SPECIFICATIONS[name], dtype=dtype, seed=9))
    network.forward(rows(), training=True)
    network.save(tmp_path / "network.safetensors")
    loaded = didact.Network.load(tmp_path / "network.safetensors")
    assert loaded.specification == network.specification
    assert (loaded.dtype, loaded.seed) == (network.dtype, network.seed)
    for left, right in ((network.parameters, loaded.parameters), (network.statistics, loaded.statistics)):
        assert list(left) == list(right)
        assert all(same_bits(left[key], right[key]) for key in left)
    assert same_bits(network.predict_proba(rows()), loaded.predict_proba(rows()))
    loaded.save(str(tmp_path / "again.safetensors"))
    assert (tmp_path / "again.safetensors").read_bytes() == (tmp_path / "network.safetensors").read_bytes()


def test_safetensors_reads_our_files(tmp_path):
    network = randomize(didact.Network(SPECIFICATIONS["everything"], seed=9))
    path = tmp_path / "network.safetensors"
    network.save(path)
    tensors = safetensors.numpy.load_file(path)
    expected = {**network.parameters, **network.statistics}
    assert set(tensors) == set(expected)
    for name, array in expected.items():
        assert same_bits(tensors[name], array)
    with safe_open(path, "numpy") as file:
        metadata = file.metadata()
    assert metadata
    parsed = {key: json_or_text(value) for key, value in metadata.items()}
    assert any(
        isinstance(value, dict) and "swish" in json.dumps(value) for value in parsed.values()
    ), metadata


def json_or_text(text):
    try:
        return json.loads(text)
    except ValueError:
        return text


def test_safetensors_reads_a_trainers_file(tmp_path):
    trainer = didact.Trainer(
        "meta_pseudo_labels", SPECIFICATIONS["everything"], dtype="float64", average_decay=0.9,
        teacher_optimizer={"name": "adamw"},
    )  # fmt: skip
    trainer.step(rows(4), [0, 1, 2, 0], rows(8))
    trainer.save(tmp_path / "trainer.safetensors")
    tensors = safetensors.numpy.load_file(tmp_path / "trainer.safetensors")
    assert same_bits(tensors["student.dense0.weight"], trainer.student.parameters["dense0.weight"])
    assert same_bits(tensors["teacher.dense1.bias"], trainer.teacher.parameters["dense1.bias"])
    assert same_bits(
        tensors["average.batch_norm0.running_mean"], trainer.average.statistics["batch_norm0.running_mean"]
    )
    momentum = trainer.student_optimizer.state["momentum.dense0.weight"]
    assert same_bits(tensors["optimizer.student.momentum.dense0.weight"], momentum)
    moment = trainer.teacher_optimizer.state["second_moment.dense0.weight"]
    assert same_bits(tensors["optimizer.teacher.second_moment.dense0.weight"], moment)
    assert momentum.any() and moment.any()


def test_files_of_the_other_kind(tmp_path):
    trainer = didact.Trainer("supervised", SPECIFICATIONS["relu"])
    trainer.save(tmp_path / "trainer.safetensors")
    trainer.student.save(tmp_path / "network.safetensors")
    with pytest.raises(ValueError, match="trainer"):
        didact.Network.load(tmp_path / "trainer.safetensors")
    with pytest.raises(ValueError, match="network"):
        didact.Trainer.load(tmp_path / "network.safetensors")
    safetensors.numpy.save_file({"a": np.zeros(3)}, tmp_path / "foreign.safetensors")
    for load in (didact.Network.load, didact.Trainer.load):
        with pytest.raises(ValueError):
            load(tmp_path / "foreign.safetensors")
        with pytest.raises(OSError):
            load(tmp_path / "missing.safetensors")
    with pytest.raises(OSError):
        trainer.save(tmp_path / "no_such_folder" / "model.safetensors")


# Passes


@pytest.mark.parametrize("name", SPECIFICATIONS)
@pytest.mark.parametrize("training", [True, False])
def test_backward_and_tangent_agree(name, training):
    """⟨c, tangent(d, e)⟩ = ⟨gradients of c, d⟩ + ⟨input gradient of c, e⟩."""
    network = randomize(didact.Network(SPECIFICATIONS[name], dtype="float64"))
    random = np.random.default_rng(4)
    recorded = network.record(rows(), training=training, draw=3)
    cotangent = random.standard_normal((8, 3))
    direction = {key: random.standard_normal(array.shape) for key, array in network.parameters.items()}
    input_direction = random.standard_normal((8, 4))
    tangent = recorded.tangent(direction, input_direction)
    input_gradient = recorded.backward(cotangent, input_gradient=True)
    inner = sum((network.gradients[key] * part).sum() for key, part in direction.items())
    inner += (input_gradient * input_direction).sum()
    assert abs(inner) > 1e-3
    assert (cotangent * tangent).sum() == pytest.approx(inner, rel=1e-11)
    assert recorded.backward(cotangent) is None


@pytest.mark.parametrize("training", [True, False])
def test_tangent_is_the_derivative(training):
    network = randomize(didact.Network(SPECIFICATIONS["everything"], dtype="float64"))
    random = np.random.default_rng(4)
    direction = {key: random.standard_normal(array.shape) for key, array in network.parameters.items()}
    tangent = network.record(rows(), training=training, draw=3).tangent(direction)
    start, statistics, h = values(network.parameters), values(network.statistics), 1e-5

    def logits(offset):
        for key, array in network.parameters.items():
            array[...] = start[key] + offset * direction[key]
        for key, array in network.statistics.items():
            array[...] = statistics[key]
        return network.record(rows(), training=training, draw=3).logits

    slopes = (logits(h) - logits(-h)) / (2 * h)
    np.testing.assert_allclose(tangent, slopes, rtol=0, atol=1e-6 * np.abs(slopes).max())


def test_a_direction_may_leave_names_out():
    network = randomize(didact.Network(SPECIFICATIONS["relu"], dtype="float64"))
    recorded = network.record(rows())
    assert not recorded.tangent({}).any()
    tangent = recorded.tangent({"dense2.bias": [1.0, 0.0, -2.0]})
    np.testing.assert_array_equal(tangent, np.tile([1.0, 0.0, -2.0], (8, 1)))
    with pytest.raises(KeyError, match="dense9"):
        recorded.tangent({"dense9.bias": 1.0})
    with pytest.raises(ValueError, match="dense2.bias"):
        recorded.tangent({"dense2.bias": np.zeros(4)})


def test_several_passes_are_alive_at_once():
    network = randomize(didact.Network(SPECIFICATIONS["everything"], dtype="float64"))
    cotangent = np.random.default_rng(4).standard_normal((8, 3))
    inputs = [rows(seed=seed) for seed in range(6)]

    def gradients(recorded):
        recorded.backward(cotangent)
        return values(network.gradients)

    expected = []
    for seed, x in enumerate(inputs):
        recorded = network.record(x, draw=seed)
        expected.append((recorded.logits, gradients(recorded)))
        del recorded
    passes = [network.record(x, draw=seed) for seed, x in enumerate(inputs)]
    passes += [network.record(rows(5), draw=0)]
    for index in (3, 0, 5, 1, 4, 2):
        logits, gradient = expected[index]
        assert same_bits(passes[index].logits, logits)
        found = gradients(passes[index])
        assert all(same_bits(found[name], gradient[name]) for name in gradient)


def test_a_pass_is_about_the_parameters_of_its_forward():
    network = randomize(didact.Network(SPECIFICATIONS["relu"], dtype="float64"))
    x, cotangent = rows(), np.ones((8, 3))
    recorded = network.record(x)
    logits = recorded.logits
    recorded.backward(cotangent)
    expected = values(network.gradients)
    x[...] = 0
    for array in network.parameters.values():
        array[...] = 0
    assert same_bits(recorded.logits, logits)
    recorded.backward(cotangent)
    assert all(same_bits(network.gradients[name], expected[name]) for name in expected)
    assert np.abs(recorded.tangent({"dense0.weight": np.ones((6, 4))})).max() > 0


def test_accumulated_gradients():
    network = randomize(didact.Network(SPECIFICATIONS["relu"], dtype="float64"))
    recorded = network.record(rows())
    recorded.backward(np.ones((8, 3)))
    once = values(network.gradients)
    recorded.backward(np.ones((8, 3)), accumulate=True)
    for name, gradient in network.gradients.items():
        np.testing.assert_allclose(gradient, 2 * once[name], rtol=1e-14)
    recorded.backward(np.ones((8, 3)))
    assert all(same_bits(network.gradients[name], once[name]) for name in once)


def test_draws_choose_the_masks():
    network = randomize(didact.Network(SPECIFICATIONS["everything"], dtype="float64"))
    assert same_bits(network.record(rows(), draw=1).logits, network.record(rows(), draw=1).logits)
    assert not np.array_equal(network.record(rows(), draw=1).logits, network.record(rows(), draw=2).logits)
    assert not np.array_equal(network.record(rows()).logits, network.record(rows()).logits)


# Optimisers


def test_sgd_by_hand():
    network = didact.Network(didact.mlp(1, [], 1), dtype="float64")
    optimizer = didact.SGD(network, 0.5, momentum=0.5, nesterov=True, weight_decay=0.1, clip_norm=1.0)
    network.parameters["dense0.weight"] = 2.0
    network.parameters["dense0.bias"] = 0.0
    network.gradients["dense0.weight"] = 3.0
    network.gradients["dense0.bias"] = 4.0
    optimizer.step()
    # Clipped to (0.6, 0.8), decayed by (0.2, 0); the buffer starts as that, and Nesterov adds half of it.
    assert network.parameters["dense0.weight"] == pytest.approx(2 - 0.5 * 1.5 * 0.8)
    assert network.parameters["dense0.bias"] == pytest.approx(-0.5 * 1.5 * 0.8)
    assert optimizer.state["momentum.dense0.weight"] == pytest.approx(0.8)
    assert optimizer.state["step"] == 1
    assert optimizer.state["step"].dtype == np.int64


def test_decay_exclude():
    moved = {}
    for exclude in ("none", "bias_and_norm"):
        for kind in (didact.SGD, didact.AdamW):
            network = didact.Network(didact.mlp(2, [3], 2, batch_norm=True), dtype="float64")
            for array in network.parameters.values():
                array[...] = 1
            kind(network, 0.1, weight_decay=0.5, decay_exclude=exclude).step()
            moved[exclude, kind] = {name for name, array in network.parameters.items() if (array != 1).any()}
    for kind in (didact.SGD, didact.AdamW):
        assert moved["none", kind] == set(network.parameters)
        assert moved["bias_and_norm", kind] == {"dense0.weight", "dense1.weight"}


def test_adamw_by_hand():
    network = didact.Network(didact.mlp(1, [], 1), dtype="float64")
    optimizer = didact.AdamW(network, 0.1, beta1=0.8, beta2=0.9, epsilon=1e-3, weight_decay=0.2)
    network.parameters["dense0.weight"] = 2.0
    network.gradients["dense0.weight"] = 3.0
    optimizer.step()
    assert network.parameters["dense0.weight"] == pytest.approx(2 * (1 - 0.02) - 0.1 * 3 / (3 + 1e-3))
    assert optimizer.state["first_moment.dense0.weight"] == pytest.approx(0.6)
    assert optimizer.state["second_moment.dense0.weight"] == pytest.approx(0.9)


def test_learning_rate():
    network = didact.Network(didact.mlp(1, [], 1), dtype="float64")
    optimizer = didact.SGD(network, 0.5)
    assert optimizer.learning_rate == 0.5
    optimizer.learning_rate = 0.25
    network.gradients["dense0.bias"] = 1.0
    before = network.parameters["dense0.bias"].copy()
    optimizer.step()
    assert before - network.parameters["dense0.bias"] == 0.25
    for bad in (-1.0, float("nan"), float("inf")):
        with pytest.raises(ValueError):
            optimizer.learning_rate = bad
    assert optimizer.learning_rate == 0.25


@pytest.mark.parametrize(
    "kind, arguments, word",
    [
        (didact.SGD, {"learning_rate": -0.1}, "learning_rate"),
        (didact.SGD, {"learning_rate": 0.1, "momentum": 1.0}, "momentum"),
        (didact.SGD, {"learning_rate": 0.1, "momentum": float("nan")}, "configuration"),
        (didact.SGD, {"learning_rate": 0.1, "weight_decay": -1}, "weight_decay"),
        (didact.SGD, {"learning_rate": 0.1, "clip_norm": 0}, "clip_norm"),
        (didact.SGD, {"learning_rate": 0.1, "decay_exclude": "biases"}, "decay_exclude"),
        (didact.SGD, {"learning_rate": "fast"}, "learning_rate"),
        (didact.AdamW, {"beta1": 1.0}, "beta1"),
        (didact.AdamW, {"beta2": -0.1}, "beta2"),
        (didact.AdamW, {"epsilon": 0}, "epsilon"),
    ],
)
def test_bad_settings(kind, arguments, word):
    with pytest.raises(ValueError, match=word):
        kind(didact.Network(didact.mlp(1, [], 2)), **arguments)


def test_nesterov_needs_momentum():
    network = didact.Network(didact.mlp(1, [], 2))
    try:
        optimizer = didact.SGD(network, 0.1, nesterov=True)
    except ValueError as error:
        assert "momentum" in str(error)
    else:  # Then it is plain gradient descent.
        network.gradients["dense0.bias"] = 1.0
        before = network.parameters["dense0.bias"].copy()
        optimizer.step()
        np.testing.assert_allclose(before - network.parameters["dense0.bias"], 0.1, rtol=1e-6)


def test_pullback_by_differences():
    random = np.random.default_rng(0)
    for settings in (
        {"kind": didact.SGD, "momentum": 0.9, "nesterov": True, "clip_norm": 0.5, "weight_decay": 0.1},
        {"kind": didact.SGD, "momentum": 0.9, "clip_norm": 0.5, "weight_decay": 0.1, "decay_before_clip": True},
        {"kind": didact.AdamW, "clip_norm": 0.5, "weight_decay": 0.1},
    ):
        arguments = dict(settings)
        kind = arguments.pop("kind")
        network = randomize(didact.Network(didact.mlp(3, [], 2), dtype="float64"))
        optimizer = kind(network, 0.1, **arguments)
        for name in optimizer.state:
            if name == "step":
                optimizer.state[name] = 5
            else:
                optimizer.state[name] = 0.1 + random.random(optimizer.state[name].shape)
        state, start = values(optimizer.state), values(network.parameters)
        gradient = {name: random.standard_normal(array.shape) for name, array in start.items()}
        v = {name: random.standard_normal(array.shape) for name, array in start.items()}

        def inner(change, network=network, optimizer=optimizer, state=state, start=start, gradient=gradient, v=v):
            """⟨v, update(gradient + change)⟩."""
            for name, array in optimizer.state.items():
                array[...] = state[name]
            for name, array in network.parameters.items():
                array[...] = start[name]
                network.gradients[name] = gradient[name] + change.get(name, 0)
            optimizer.step()
            return sum(((start[name] - array) * v[name]).sum() for name, array in network.parameters.items())

        inner({})
        found = optimizer.pullback(v)
        for name, part in start.items():
            for index in np.ndindex(part.shape):
                change = np.zeros_like(part)
                change[index] = 1e-6
                slope = (inner({name: change}) - inner({name: -change})) / 2e-6
                assert found[name][index] == pytest.approx(slope, rel=1e-5, abs=1e-8), (settings, name, index)


def test_pullback_needs_a_step():
    optimizer = didact.SGD(didact.Network(didact.mlp(1, [], 2)), 0.1)
    with pytest.raises(RuntimeError) as caught:
        optimizer.pullback({})
    assert caught.value.status_name == "DIDACT_ESTATE"


def test_an_optimizer_learns():
    x, y = didact.datasets.make_two_moons(200, seed=3)
    for make in (lambda n: didact.SGD(n, 0.5, momentum=0.9, nesterov=True), lambda n: didact.AdamW(n, 0.02)):
        network = didact.Network(didact.mlp(2, [16], 2))
        optimizer = make(network)
        for _ in range(200):
            recorded = network.record(x)
            probabilities = np.exp(recorded.logits) / np.exp(recorded.logits).sum(axis=1, keepdims=True)
            recorded.backward((probabilities - np.eye(2)[y]) / len(x))
            optimizer.step()
        assert (network.forward(x).argmax(axis=1) == y).mean() > 0.97


# Moving averages


@pytest.mark.parametrize("statistics", [False, True])
def test_moving_average(statistics):
    network = randomize(didact.Network(SPECIFICATIONS["everything"], dtype="float64"))
    average = didact.MovingAverage(network, 0.75, statistics=statistics)
    assert all(same_bits(average.network.parameters[name], value) for name, value in network.parameters.items())
    old_statistics = values(network.statistics)
    old = values(network.parameters)
    randomize(network, seed=2)
    network.forward(rows(), training=True)
    assert all(same_bits(average.network.parameters[name], old[name]) for name in old)
    average.update()
    for name, value in network.parameters.items():
        np.testing.assert_allclose(average.network.parameters[name], 0.75 * old[name] + 0.25 * value, rtol=1e-12)
    for name, value in network.statistics.items():
        expected = 0.75 * old_statistics[name] + 0.25 * value if statistics else value
        assert not np.array_equal(value, old_statistics[name])
        np.testing.assert_allclose(average.network.statistics[name], expected, rtol=1e-12)


def test_average_bounds():
    network = randomize(didact.Network(SPECIFICATIONS["relu"]))
    frozen, follower = didact.MovingAverage(network, 1), didact.MovingAverage(network, 0)
    old = values(network.parameters)
    randomize(network, seed=2)
    frozen.update()
    follower.update()
    assert all(same_bits(frozen.network.parameters[name], old[name]) for name in old)
    assert all(same_bits(follower.network.parameters[name], value) for name, value in network.parameters.items())
    for bad in (-0.1, 1.1, float("nan"), float("inf")):
        with pytest.raises(ValueError, match="decay"):
            didact.MovingAverage(network, bad)


# Data


def test_digits_are_scikit_learns():
    datasets = pytest.importorskip("sklearn.datasets")
    x, y = didact.datasets.load_digits()
    expected = datasets.load_digits()
    assert (x.dtype, y.dtype) == (np.uint8, np.int64)
    np.testing.assert_array_equal(x, expected.data)
    np.testing.assert_array_equal(y, expected.target)
    x[...] = 0
    assert didact.datasets.load_digits()[0].any(), "a copy"


def test_two_moons_are_scikit_learns():
    datasets = pytest.importorskip("sklearn.datasets")
    x, y = didact.datasets.make_two_moons(100, noise=0)
    expected, labels = datasets.make_moons(200, shuffle=False, noise=None)
    np.testing.assert_allclose(x, expected, atol=1e-12)
    np.testing.assert_array_equal(y, labels)
    noisy = didact.datasets.make_two_moons(5000, noise=0.1, seed=1)[0] - didact.datasets.make_two_moons(5000, 0)[0]
    assert noisy.std() == pytest.approx(0.1, rel=0.03)
    assert abs(noisy.mean()) < 0.01
    assert not np.array_equal(*(didact.datasets.make_two_moons(5, seed=seed)[0] for seed in (0, 1)))


def test_split():
    _, y = didact.datasets.load_digits()
    split = didact.datasets.split(y, labels=40, test_fraction=0.25, seed=3)
    assert (np.bincount(y[split.labeled]) == 4).all()
    assert np.array_equal(np.sort(np.concatenate(split)), np.arange(len(y)))
    share = np.bincount(y[split.test]) / np.bincount(y)
    assert np.abs(share - 0.25).max() < 0.01
    again, other = didact.datasets.split(y, 40, seed=3), didact.datasets.split(y, 40, seed=4)
    assert np.array_equal(again.labeled, split.labeled)
    assert not np.array_equal(other.labeled, split.labeled)
    assert len(didact.datasets.split(y, 40, test_fraction=0).test) == 0
