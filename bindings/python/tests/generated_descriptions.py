"""Networks and trainers from generated descriptions, in a process of its own that may have little memory.

Run by test_hostile_descriptions.py and scripts/nightly. Whatever a description says, making and using what it describes
ends by returning or with an error; a signal ends this process and fails the test. Arguments: the first case, how many, and
the bytes of addresses. It prints the number of each case before trying it, and the seconds of the slowest.
"""

import json
import os
import random
import resource
import signal
import sys
import time

import numpy as np
from support import ACTIVATIONS

import didact
from didact._arrays import text
from didact._library import library

first, count, addresses = (int(argument) for argument in sys.argv[1:4])
# The address sanitizer reserves terabytes of addresses.
if "asan" not in os.environ.get("LD_PRELOAD", ""):
    resource.setrlimit(resource.RLIMIT_AS, (addresses, addresses))

CORNERS = [0, 1, 2, 3, 4, 5, 7, 8, 9, 16, 31, 32, 33, 63, 64, 65, 100, 127, 128, 129, 255, 256, 1000, 1023, 1024, 1025, 4096,
           65535, 65536, 65537, 2**20, 2**24 - 1, 2**24, 2**24 + 1, 2**31 - 1, 2**31, 2**32 - 1, 2**32, 2**53, 2**62, 2**63 - 1,
           2**63, 2**64, -1, -(2**31), -(2**63)]  # fmt: skip
REALS = [0, 1, 0.5, 0.1, 0.9, 0.999999, 1e-300, 5e-324, 1e-12, 1e12, 1e38, 1e39, 1e300, 1.7e308, -1, -0.5, 2]
ODD = [None, True, False, "", "x", [], {}, [1], "1", [None], {"a": 1}, [[]], 1.5, "input"]
METHODS = json.loads(library.didact_build_info())["methods"]
FIELDS = {method: json.loads(text(library.didact_configuration_fields, method.encode())) for method in METHODS}


def small(source):
    return source.choice([1, 2, 3, 4, 5, 8, 16, 33])


def length(source):
    """What works or a corner, one or the other more often in a case."""
    return source.choice(CORNERS) if source.random() < source.corners else small(source)


def value(source, *usual):
    roll = source.random()
    if roll < 0.05:
        return source.choice(ODD)
    if roll < 0.15:
        return source.choice(CORNERS if source.random() < 0.5 else REALS)
    return source.choice(usual)


def inputs(source):
    if source.random() < 0.4:
        return length(source)
    lengths = [length(source) for _ in range(3)]
    return lengths if source.random() < 0.97 else lengths[: source.randrange(3)]


def layer(source, index):
    kind = source.choice(["dense", "convolution", "batch_norm", "max_pool", "average_pool", "global_average_pool", "flatten",
                          "add", "gate", "stochastic_depth", "dropout", *ACTIVATIONS])  # fmt: skip
    result = {"type": kind}
    options = {
        "dense": [("outputs", lambda: length(source)), ("initialization", lambda: value(source, "he_uniform", "uniform_fan_out"))],
        "convolution": [("outputs", lambda: length(source)), ("size", lambda: length(source)), ("stride", lambda: length(source)),
                        ("padding", lambda: length(source)), ("groups", lambda: value(source, 1, 2)), ("bias", lambda: value(source, True))],
        "batch_norm": [("epsilon", lambda: value(source, 1e-5)), ("momentum", lambda: value(source, 0.1)), ("groups", lambda: value(source, 1, 2))],
        "max_pool": [("size", lambda: length(source)), ("stride", lambda: length(source)), ("padding", lambda: length(source))],
        "average_pool": [("size", lambda: length(source)), ("stride", lambda: length(source)), ("padding", lambda: length(source))],
        "stochastic_depth": [("rate", lambda: value(source, 0.2))], "dropout": [("rate", lambda: value(source, 0.2))],
        "leaky_relu": [("slope", lambda: value(source, 0.1))],
    }.get(kind, [])  # fmt: skip
    needed = {"dense": ["outputs"], "convolution": ["outputs"], "stochastic_depth": ["rate"], "dropout": ["rate"]}.get(kind, [])
    for key, make in options:
        if key in needed or source.random() < 0.4:
            result[key] = make()
    if kind in ("add", "gate") or source.random() < 0.05:
        names = [f"l{each}" for each in range(index)] + ["input"]
        result["from"] = [source.choice(names) for _ in range(2 if kind in ("add", "gate") else 1)]
    result["name"] = f"l{index}"
    return result


def network(source):
    kind = source.choice(["mlp", "mlp", "sequential", "sequential", "sequential", "small_cnn", "wide_resnet", "resnet", "efficientnet"])
    result = {"type": kind, "inputs": inputs(source)}
    if kind == "sequential":
        layers = [layer(source, index) for index in range(source.randrange(1, 7))]
        result["layers"] = layers + [{"type": "dense", "outputs": length(source)}]
        return result
    result["classes"] = length(source)
    if kind == "mlp":
        result["hidden"] = [length(source) for _ in range(source.randrange(4))]
        result["batch_norm"] = value(source, True, False)
        result["dropout"] = value(source, 0, 0.2)
    elif kind == "small_cnn":
        result["width"] = length(source)
    elif kind == "wide_resnet":
        result |= {"depth": value(source, 10, 16), "width": length(source)}
    elif kind == "resnet":
        result["depth"] = value(source, 18, 50)
    else:
        result["variant"] = value(source, "b0", "b1")
    if source.random() < 0.1:
        result[source.choice(["activation", "dropout", "width", "base", "stochastic_depth", "x"])] = value(source, 1, "relu")
    return result


def configuration(source):
    method = source.choice(METHODS)
    fields = [field for field in FIELDS[method] if field["key"] not in ("method", "network", "student_network", "threads", "steps")]
    result = {"network": {"type": "mlp", "inputs": 3, "hidden": [4], "classes": 2}, "steps": 2, "threads": 1, "labeled_batch_size": 4}
    if source.random() < 0.1:
        result["network"] = network(source)
    for field in source.sample(fields, source.randrange(1, 6)):
        key, default = field["key"], field["default"]
        quoted = [each for each in field["accepts"].split('"') if each.isidentifier()]
        usual = [default, *quoted] if default != "required" else quoted or [1]
        parts, place = key.split("."), result
        for part in parts[:-1]:
            place = place.setdefault(part, {})
            if not isinstance(place, dict):
                break
        else:
            roll = source.random()
            place[parts[-1]] = source.choice(CORNERS) if roll < 0.3 else source.choice(REALS) if roll < 0.5 else value(source, *usual)
    return method, result


def attempt(call):
    try:
        return call()
    except (didact.DidactError, TypeError, ValueError, OverflowError, MemoryError):
        return None


def use_network(source, description):
    made = attempt(lambda: didact.Network(description, dtype=source.choice(["float32", "float64"])))
    if made is None:
        return
    width = made._input_count()
    rows = source.choice([1, 2, 5, 40])
    if width * rows < 1 << 22:
        x = np.random.default_rng(0).standard_normal((rows, width))
        start = time.perf_counter()
        attempt(lambda: made.predict_proba(x[:1]))
        # A wide network of a large image is work and no hang: the reference kernels take seconds for each row of it.
        if time.perf_counter() - start > 1:
            x = x[:1]
        else:
            attempt(lambda: made.predict_proba(x))
        recorded = attempt(lambda: made.record(x))
        if recorded is not None:
            attempt(lambda: recorded.backward(np.ones_like(recorded.logits)))
            attempt(lambda: recorded.tangent({}))
    attempt(made.copy)
    attempt(lambda: made.resized((source.choice(CORNERS), source.choice(CORNERS))))
    attempt(lambda: didact.AdamW(made, 0.1).step())


def use_trainer(source, method, values):
    dtype = source.choice(["float32", "float64"])
    values = {"dtype": dtype, **values}
    description = values.pop("network")
    trainer = attempt(lambda: didact.Trainer(method, description, **values))
    if trainer is None:
        return
    width = trainer.student._input_count()
    if width > 1 << 16:
        return
    random_rows = np.random.default_rng(0)
    x, y = random_rows.standard_normal((12, width)), np.arange(12) % 2
    attempt(lambda: trainer.step(x[:4], y[:4], x[4:]))
    attempt(lambda: trainer.fit(x, np.where(np.arange(12) < 8, y, -1), steps=2))
    attempt(lambda: trainer.predict_proba(x))
    data = attempt(trainer.to_bytes)
    if data is not None:
        attempt(lambda: didact.Trainer.from_bytes(data))
    attempt(trainer.copy)


slowest = (0.0, -1)
for case in range(first, first + count):
    print(case, flush=True)
    # One that hangs is ended by a signal too.
    signal.alarm(240)
    source, start = random.Random(case), time.perf_counter()
    source.corners = source.choice([0.03, 0.15, 0.5, 0.9])
    if case % 3:
        use_network(source, network(source))
    else:
        import warnings

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            use_trainer(source, *configuration(source))
    slowest = max(slowest, (time.perf_counter() - start, case))
print("slowest", *slowest)
