"""Predictors, threads and instruction sets through the C interface."""

import json
import os
import subprocess
import sys
import threading

import didact
import numpy as np
import pytest


@pytest.fixture
def network():
    return didact.Network(didact.mlp(5, [64, 64], 3), seed=1)


def rows(count, seed=0, dtype=np.float32):
    return np.random.default_rng(seed).standard_normal((count, 5)).astype(dtype)


# Predictors


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("count", [1, 3, 200])
def test_predictor_predicts(network, count, dtype):
    x, out = rows(count, dtype=dtype), np.empty((count, 3), dtype)
    predictor = didact.Predictor(network, x, out)
    assert predictor() is out
    np.testing.assert_allclose(out, network.predict_proba(x), atol=1e-7)
    x[...] = rows(count, seed=1, dtype=dtype)
    predictor()
    np.testing.assert_allclose(out, network.predict_proba(x), atol=1e-7)


def test_predictor_takes_strides_and_makes_its_output(network):
    table = np.zeros((4, 10), np.uint8)
    x = table[::2, ::2]
    predictor = didact.Predictor(network, x)
    table[...] = 7
    np.testing.assert_allclose(predictor(), network.predict_proba(np.full((2, 5), 7.0)), atol=1e-6)


def test_predictor_is_frozen(network):
    predictor = didact.Predictor(network, rows(1))
    before = predictor().copy()
    network.parameters["dense0.weight"][...] *= 3
    assert (predictor() == before).all()
    assert not (network.predict_proba(predictor.x) == before).all()


def test_predictor_outlives_its_network(network):
    x = rows(1)
    expected = network.predict_proba(x)
    predictor = didact.Predictor(network, x)
    del network
    assert (predictor() == expected).all()


def test_predictor_refuses(network):
    for x, out, error, match in [
        (rows(2)[:, :4], None, ValueError, r"\[2, 4\]; expected \[rows, 5\]"),
        (rows(2), np.empty((3, 3), np.float32), ValueError, r"\[3, 3\]; expected \[2, 3\]"),
        (rows(2), np.empty((2, 3), np.int64), TypeError, "int64"),
        (rows(2).astype(np.float16), None, TypeError, "not copied"),
        ([[1, 2, 3, 4, 5]], None, TypeError, "not copied"),
        (rows(0), None, ValueError, "no rows"),
    ]:
        with pytest.raises(error, match=match):
            didact.Predictor(network, x, out)
    read_only = np.empty((2, 3), np.float32)
    read_only.flags.writeable = False
    with pytest.raises(ValueError, match="writable"):
        didact.Predictor(network, rows(2), read_only)
    x = rows(2)
    x[1, 2] = np.nan
    predictor = didact.Predictor(network, x)
    with pytest.raises(ValueError, match="row 1"):
        predictor()
    x[1, 2] = 0
    predictor()


def test_predictor_runs_in_one_thread_at_a_time(network):
    x = rows(2000)
    predictor = didact.Predictor(network, x)
    outcomes = set()

    def run():
        for _ in range(100):
            try:
                predictor()
                outcomes.add("done")
            except RuntimeError as error:
                assert error.status_name == "DIDACT_EBUSY"
                outcomes.add("busy")

    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert "done" in outcomes


def test_predictor_keeps_its_arrays(network):
    predictor = didact.Predictor(network, rows(2))
    for name in ("x", "probabilities"):
        with pytest.raises(AttributeError):
            setattr(predictor, name, rows(2))


@pytest.mark.parametrize("wrong", [None, "network", 3])
def test_predictor_takes_a_network(wrong):
    with pytest.raises(TypeError, match="didact.Network"):
        didact.Predictor(wrong, rows(1))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, -1e300])
def test_input_that_is_not_finite_is_refused(value):
    """Also where a ReLU would hide it."""
    network = didact.Network(didact.mlp(1, [2], 2))
    network.parameters["dense0.weight"] = 1
    for x in ([[0.5], [value]], [[0.5]] * 1500 + [[value]]):
        with pytest.raises(ValueError, match=f"row {len(x) - 1}, column 0"):
            network.predict_proba(x)


def test_swish_of_large_negative_values_vanishes():
    specification = {"type": "sequential", "inputs": 1, "layers": [{"type": "swish"}, {"type": "dense", "outputs": 1}]}
    network = didact.Network(specification)
    network.parameters["dense0.weight"] = 1
    network.parameters["dense0.bias"] = 0
    for value in (-50, -90, -1e6, -1e30, -3e38):
        assert abs(network.forward(np.array([[value]], np.float32))[0, 0]) < 1e-18


# Few rows go through arrays that are kept


def test_predictions_do_not_share_memory(network):
    first, second = network.predict_proba(rows(2)), network.predict_proba(rows(2, seed=1))
    assert (first == network.predict_proba(rows(2))).all() and not (first == second).all()


def test_many_threads_predict_few_rows(network):
    inputs = [rows(1, seed=seed) for seed in range(8)]
    expected = [network.predict_proba(x) for x in inputs]
    wrong = []

    def run(index):
        for _ in range(500):
            if not (network.predict_proba(inputs[index]) == expected[index]).all():
                wrong.append(index)

    threads = [threading.Thread(target=run, args=(index,)) for index in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_steps_from_arrays_of_changing_shape_and_kind():
    """The descriptions of arrays are kept from step to step, and must follow every change."""
    random = np.random.default_rng(0)
    kinds = [np.float32, np.float64, np.int64, np.uint8]

    def batches():
        for step in range(12):
            count = 3 + step % 4
            xl, xu = random.standard_normal((count, 2)) * 3, random.standard_normal((count + 2, 2)) * 3
            if step % 3 == 0:
                xu = np.asfortranarray(xu)
            yield xl.astype(kinds[step % 4]), np.arange(count) % 2, xu.astype(kinds[step // 2 % 4])

    kept = didact.Trainer("meta_pseudo_labels", didact.mlp(2, [4], 2), dtype="float64")
    for xl, yl, xu in batches():
        fresh = kept.copy()
        assert kept.step(xl, yl, xu) == fresh.step(xl, yl, xu)
        for name, value in kept.teacher.parameters.items():
            assert (value == fresh.teacher.parameters[name]).all()


def test_arrays_are_free_after_a_step():
    trainer = didact.Trainer("supervised", didact.mlp(2, [4], 2))
    x, y = np.zeros((4, 2), np.float32), np.array([0, 1, 0, 1])
    before = sys.getrefcount(x), sys.getrefcount(y)
    for _ in range(3):
        trainer.step(x, y)
    assert (sys.getrefcount(x), sys.getrefcount(y)) == before
    x.resize((8, 2))


# Threads and instruction sets


PROGRAM = """
import json, sys
import didact
import numpy as np
random = np.random.default_rng(0)
x, y = random.standard_normal((64, 6)).astype(np.float32), random.integers(3, size=64)
u = random.standard_normal((448, 6)).astype(np.float32)
network = didact.mlp(6, [64, 150], 3)
trainer = didact.Trainer("meta_pseudo_labels", network, threads=int(sys.argv[1]), student_optimizer={"learning_rate": 0.01})
for _ in range(10):
    trainer.step(x, y, u)
flat = np.concatenate([p.ravel() for p in trainer.student.parameters.values()])
print(json.dumps([didact.build_info()["instruction_sets"]["loops"], flat.tolist()]))
"""


def trained(threads=0, **environment):
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(threads)],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    name, values = json.loads(done.stdout)
    return name, np.array(values)


def test_same_bits_again_and_beyond_the_cores():
    _, usual = trained()
    assert (trained()[1] == usual).all()
    # More than there are cores are not used.
    assert (trained(1024)[1] == usual).all()
    assert np.abs(trained(1)[1] - usual).max() < 1e-4


@pytest.mark.parametrize("loops, library", [("avx2", "AVX2"), ("baseline", "SSE41"), ("baseline", "AVX512_CORE")])
def test_machines_without_the_newest_instructions(loops, library):
    _, usual = trained()
    name, values = trained(DIDACT_MAX_CPU_ISA=loops, DNNL_MAX_CPU_ISA=library)
    assert name in (loops, "baseline")
    assert np.abs(values - usual).max() < 1e-4


WIDE = """
import didact
import numpy as np
random = np.random.default_rng(0)
fast = didact.Network(didact.mlp(200, [300], 4), threads=2)
reference = didact.Network(didact.mlp(200, [300], 4), dtype="float64")
for name, value in fast.parameters.items():
    reference.parameters[name] = value
for _ in range(2):
    x, cotangent = random.standard_normal((256, 200)).astype(np.float32), random.standard_normal((256, 4))
    direction = {name: random.standard_normal(value.shape) / 10 for name, value in fast.parameters.items()}
    results = []
    for network in (fast, reference):
        recorded = network.record(x)
        recorded.backward(cotangent)
        recorded.backward(cotangent, accumulate=True)
        parts = [recorded.logits, *network.gradients.values(), recorded.tangent(direction), network.predict_proba(x)]
        results.append([part.copy() for part in parts])
    for a, b in zip(*results):
        assert np.abs(a - b).max() <= 1e-4 * max(1, np.abs(b).max()), np.abs(a - b).max()
"""


@pytest.mark.parametrize(
    "environment",
    [
        {"OMP_THREAD_LIMIT": "1"},
        {"OMP_DYNAMIC": "true"},
        {"OMP_MAX_ACTIVE_LEVELS": "0"},
        {"OMP_NUM_THREADS": "64", "DNNL_MAX_CPU_ISA": "AVX2"},
    ],
)
def test_wide_products_where_openmp_gives_other_threads(environment):
    done = subprocess.run(
        [sys.executable, "-c", WIDE], env={**os.environ, **environment}, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("threads", [-1, 1025, 1.5])
def test_threads_out_of_range(threads):
    with pytest.raises(ValueError, match="threads"):
        didact.Trainer("supervised", didact.mlp(2, [3], 2), threads=threads)
