"""Calls functions of the C interface with what fits together and a few things that do not, in a process of its own.

Run by test_bad_input.py and scripts/nightly. Networks, trainers of every method and what was made of them change with the
calls before, so that calls get far: most arguments are good, arrays come in all types and strides, and a progress callback
calls back. A call returns a status; a signal or a hang fails the test. Arguments: the first case and how many.
"""

import collections
import ctypes
import json
import random
import sys

import numpy as np
import trap_sweep as interface
from trap_sweep import _ffi, library

first, count = (int(argument) for argument in sys.argv[1:3])
MLP = {"type": "mlp", "inputs": 2, "hidden": [3], "classes": 2}
LAYERS = [{"type": "convolution", "outputs": 2, "size": 1}, {"type": "batch_norm"}, {"type": "relu"}, {"type": "max_pool", "size": 1},
          {"type": "dropout", "rate": 0.2}, {"type": "global_average_pool"}, {"type": "dense", "outputs": 2}]  # fmt: skip
NETWORKS = [
    MLP, {**MLP, "hidden": [], "inputs": [1, 2, 1]}, {**MLP, "hidden": [140, 3], "batch_norm": True, "dropout": 0.3},
    {"type": "sequential", "inputs": [1, 2, 1], "layers": LAYERS},
    {"type": "small_cnn", "inputs": [1, 2, 1], "classes": 2, "width": 2, "stages": 1},
]  # fmt: skip
EXTRAS = [
    {}, {}, {"average_decay": 0.5}, {"finetune_steps": 2, "steps": 3}, {"validation_fraction": 0.3, "steps": 4},
    {"members": [{"method": "supervised"}, {}]}, {"input_scaling": "none"}, {"student_optimizer": {"name": "adamw"}},
    {"weak_augmentation": "flip"}, {"student_optimizer": {"name": "lars", "schedule": "cosine"}}, {"time_limit": 1e-9},
]  # fmt: skip
METHODS = json.loads(library.didact_build_info())["methods"]
KINDS = interface.KINDS
# Those that compute stand three times.
NAMES = [name for name in _ffi.FUNCTIONS if name in interface.STATUS_FUNCTIONS]
NAMES += [name for name in NAMES if name.endswith(("step", "fit", "predict", "forward", "backward", "tangent", "gradient", "run"))] * 2
statuses = collections.Counter()


def rows(source):
    """Rows and labels in some type and order, of which `good` makes its arguments."""
    number = source.choice([1, 2, 4, 4, 9, 70])
    random_numbers = np.random.default_rng(source.getrandbits(32))
    x = (40 * random_numbers.standard_normal((number, 2))).astype(source.choice([np.float32, np.float64, np.float64, np.uint8, np.int64]))
    y = (np.arange(number) % 2 - (source.random() < 0.2)).astype(np.int64)
    return x, np.abs(y) if source.random() < 0.8 else y


def laid_out(source, pointer):
    """The same elements as an array has, in another place and order of memory."""
    given = pointer.contents
    if not given.data or given.ndim != 2 or source.random() < 0.6:
        return pointer
    values = next(values for values, _, _ in reversed(interface.keep) if values.ctypes.data == given.data)
    step = source.choice([2, 3, -1, -2])
    wide = np.zeros((len(values) * abs(step), values.shape[1] * abs(step)), values.dtype)
    place = wide[::step, ::step]
    place[...] = values
    interface.keep.append((wide, None, None))
    return interface.array(values, data=place.ctypes.data, strides=place.strides)


def create(name, description):
    out = ctypes.c_void_p()
    text = json.dumps(description).encode()
    return out.value if interface.check(name, getattr(library, name)(ctypes.byref(out), text)) == 0 else None


def begin(source):
    """Other networks, trainers and what is made of them in place of those there are."""
    for kind in KINDS:
        getattr(library, f"didact_{kind}_free")(interface.live[kind])
    interface.keep.clear()
    description = source.choice(NETWORKS)
    settings = {"seed": source.randrange(100), "dtype": source.choice(["float32", "float64"])}
    interface.NETWORK = json.dumps({**description, **settings}).encode()
    trainer = None
    while trainer is None:
        # Not every method has every key.
        configuration = {"method": source.choice(METHODS), "network": description, "steps": 2, "labeled_batch_size": 2, **settings}
        trainer = create("didact_trainer_create", configuration | source.choice(EXTRAS))
    interface.X, interface.Y = rows(source)
    interface.PROBABILITIES = np.empty((len(interface.X), 2))
    for kind in KINDS:
        interface.live[kind] = trainer if kind == "trainer" else interface.fresh(kind)
    parameters = _ffi.didact_array()
    assert library.didact_network_parameter(ctypes.byref(parameters), interface.live["network"], None) == 0
    interface.COUNT = parameters.shape[0]


def shapes():
    """What the history of the trainer has now."""
    steps, metrics = ctypes.c_int64(), ctypes.c_int64()
    library.didact_trainer_steps(ctypes.byref(steps), interface.live["trainer"])
    library.didact_trainer_metric_count(ctypes.byref(metrics), interface.live["trainer"])
    interface.STEPS, interface.METRICS = steps.value, metrics.value


def arguments(source, name):
    result = interface.good(name)
    types = _ffi.FUNCTIONS[name][1]
    for index, ctype in enumerate(types):
        if ctype is interface.ARRAY and result[index]:
            result[index] = laid_out(source, result[index])
    for index in source.sample(range(len(types)), min(len(types), source.choice([0, 0, 1, 1, 2, 3]))):
        odd = interface.wrong(name, index, types[index])
        if types[index] is _ffi.didact_progress_callback:
            result[index] = _ffi.didact_progress_callback(lambda *report: call_back(source))
        elif odd and (types[index] is not interface.HANDLE or source.random() < 0.1):
            result[index] = source.choice(odd)
    return result


borrowed = []


def call_back(source):
    """From within a fit, which excludes other training calls and goes on for the rest."""
    name = source.choice([name for name in NAMES if not name.startswith("didact_trainer_fit")])
    run(source, name)
    return source.choice([0, 0, 1])


def run(source, name):
    given = arguments(source, name)
    if name == "didact_dataset_set_array":
        # The arrays of data must stay where they are.
        borrowed.append(given)
    status = interface.call(name, given)
    statuses[library.didact_status_name(status).decode()] += 1
    makes = _ffi.FUNCTIONS[name][1][0] is interface.OUT_HANDLE
    if makes and given[0] and given[0].contents.value:
        handle, kind = given[0].contents.value, interface.MADE.get(name, "network")
        if name == "didact_predictor_create":
            kind = "predictor"
        elif name in ("didact_trainer_member", "didact_trainer_copy"):
            kind = "trainer"
        # What another function made takes the place of what was there, or goes.
        old = interface.live[kind]
        if kind in ("pass", "network", "optimizer") and source.random() < 0.3:
            interface.live[kind], handle = handle, old
        getattr(library, f"didact_{kind}_free")(handle)


for case in range(first, first + count):
    print(case, end=" ", flush=True)
    source = random.Random(case)
    if case == first or case % 25 == 0:
        begin(source)
    if source.random() < 0.5:
        shapes()
    run(source, source.choice(NAMES))

print(f"\n{dict(statuses)}")
assert statuses["DIDACT_OK"] > count // 5, statuses
