"""Calls every function of the C interface with everything that is wrong, in a process of its own.

Run by test_bad_input.py. Whatever is passed, a call returns a status; a signal ends this process and
fails the test. Pointers are null or point to what they say: nobody can check for others.
"""

import atexit
import ctypes
import itertools
import json
import os
import random
import resource
import shutil
import tempfile

import numpy as np

from didact import _ffi
from didact._library import library

# What cannot be allocated must fail here rather than take the memory of other programs.
# (The address sanitizer reserves terabytes of addresses; it has a limit of its own.)
if "asan" not in os.environ.get("LD_PRELOAD", ""):
    resource.setrlimit(resource.RLIMIT_AS, (6 << 30, 6 << 30))

STATUSES = {value for name, value in vars(_ffi).items() if name.startswith("DIDACT_E")} | {0}
INT64_MAX, INT64_MIN = 2**63 - 1, -(2**63)
# Those that write a text into memory of the caller's, who says how much there is.
TEXT_OUT = [name for name, (_, types) in _ffi.FUNCTIONS.items()
            if types[:3] == [ctypes.c_char_p, ctypes.c_int64, ctypes.POINTER(ctypes.c_int64)]]  # fmt: skip
ARRAY, HANDLE, OUT_HANDLE = ctypes.POINTER(_ffi.didact_array), ctypes.c_void_p, ctypes.POINTER(ctypes.c_void_p)
# Those pointers that are memory of the caller's, of 64 bytes: how much there is, the next argument says truly.
MEMORY = {("didact_trainer_to_bytes", 0), ("didact_trainer_from_bytes", 1)}
LENGTHS = {(name, index + 1) for name, index in MEMORY}
# didact_status is an int32, and so is what this one returns.
STATUS_FUNCTIONS = {name for name, (result, _) in _ffi.FUNCTIONS.items() if result is _ffi.didact_status}
STATUS_FUNCTIONS.remove("didact_abi_version")
KINDS = ("network", "pass", "optimizer", "average", "trainer", "predictor", "dataset")

# Some of the texts are good file names: what is saved there goes away with this folder.
folder = tempfile.mkdtemp()
atexit.register(shutil.rmtree, folder)
os.chdir(folder)
keep = []
calls = 0


def array(values, **changes):
    """A didact_array of a copy of `values`, with some fields replaced by wrong ones."""
    values = np.array(values, order="C")
    codes = {"float32": 1, "float64": 2, "int64": 3, "uint8": 4}
    shape = changes.pop("shape", values.shape)
    strides = changes.pop("strides", None)
    lengths = None if shape is None else (ctypes.c_int64 * max(1, len(shape)))(*shape)
    steps = None if strides is None else (ctypes.c_int64 * max(1, len(strides)))(*strides)
    struct = _ffi.didact_array(values.ctypes.data, codes[str(values.dtype)], values.ndim, lengths, steps)
    for field, value in changes.items():
        setattr(struct, field, value)
    keep.append((values, lengths, steps))
    return ctypes.pointer(struct)


def check(name, status):
    global calls
    calls += 1
    if name not in STATUS_FUNCTIONS:
        return status
    assert status in STATUSES, (name, status)
    assert status != _ffi.DIDACT_EINTERNAL, (name, library.didact_last_error_message())
    message = library.didact_last_error_message()
    assert bool(message) == (status != 0), (name, status, message)
    message.decode("utf-8")
    return status


def call(name, arguments):
    return check(name, getattr(library, name)(*arguments))


def made(create, *arguments):
    out = ctypes.c_void_p()
    status = getattr(library, create)(ctypes.byref(out), *arguments)
    assert status == 0, (create, library.didact_last_error_message())
    return out.value


NETWORK = b'{"type": "mlp", "inputs": 2, "hidden": [3], "classes": 2, "batch_norm": true, "dropout": 0.1}'
TRAINER = (b'{"method": "meta_pseudo_labels", "network": %s, "average_decay": 0.9, "steps": 2,'
           b' "labeled_batch_size": 2, "unlabeled_batch_size": 3}') % NETWORK  # fmt: skip
X = np.array([[0.5, 1.0], [1.0, -1.0], [0.0, 0.25], [-1.0, 2.0]])
Y = np.array([0, 1, 1, 0])
FOUR_ROWS, FOUR_LABELS = X, Y
PROBABILITIES = np.empty((4, 2))
# A folder with an image of one pixel.
IMAGES = os.path.join(folder, "images").encode()
os.mkdir(IMAGES)
with open(os.path.join(IMAGES, b"pixel.png"), "wb") as file:
    file.write(bytes.fromhex(
        "89504e470d0a1a0a0000000d49484452000000010000000108000000003a7e9b55"
        "0000000a49444154789c636800000082008177cd72b60000000049454e44ae426082"))  # fmt: skip


def fresh(kind):
    if kind == "network":
        return made("didact_network_create", NETWORK)
    if kind == "trainer":
        return made("didact_trainer_create", TRAINER)
    if kind == "dataset":
        data = made("didact_dataset_create")
        assert library.didact_dataset_set_array(data, b"X", array(X)) == 0
        assert library.didact_dataset_set_array(data, b"y", array(Y)) == 0
        return data
    network = fresh("network")
    if kind == "pass":
        return made("didact_network_record", network, array(X), int(len(X) > 1), -1)
    if kind == "predictor":
        return made("didact_predictor_create", network, array(X), array(PROBABILITIES))
    if kind == "optimizer":
        return made("didact_optimizer_create", network, b'{"name": "sgd", "learning_rate": 0.1}')
    return made("didact_average_create", network, 0.5, 0)


live = {kind: fresh(kind) for kind in KINDS}
freed = {}
for kind in KINDS:
    freed[kind] = fresh(kind)
    getattr(library, f"didact_{kind}_free")(freed[kind])
network_file, trainer_file = (os.path.join(folder, name).encode() for name in ("network", "trainer"))
assert library.didact_network_save(live["network"], network_file) == 0
assert library.didact_trainer_save(live["trainer"], trainer_file) == 0
parameters = _ffi.didact_array()
assert library.didact_network_parameter(ctypes.byref(parameters), live["network"], None) == 0
COUNT = parameters.shape[0]
METRICS, STEPS = 12, 0
with open(trainer_file, "rb") as file:
    TRAINER_BYTES = file.read()


def is_payload(name, index):
    """What a fit hands to its callback: any pointer is right."""
    return (name, index) in (("didact_trainer_fit", 6), ("didact_trainer_fit_dataset", 4))


def handle_kind(name, index=0):
    """The class that the handle argument of a function has."""
    # Where it is not the first: behind the trainer.
    if name.startswith("didact_trainer_") and name.endswith("_dataset") and index == (2 if "_meta_" in name else 1):
        return "dataset"
    if name in ("didact_optimizer_create", "didact_average_create", "didact_predictor_create"):
        return "network"
    return next(kind for kind in KINDS if name.startswith(f"didact_{kind}_"))


def good(name):
    """Arguments with which the function succeeds, or nearly."""
    specific = {
        "didact_network_create": [OUT_HANDLE, NETWORK],
        "didact_trainer_create": [OUT_HANDLE, TRAINER],
        "didact_network_load": [OUT_HANDLE, network_file],
        "didact_trainer_load": [OUT_HANDLE, trainer_file],
        "didact_preset": [None, None, None, b"table", b"supervised", 2, 2],
        "didact_image_preset": [None, None, None, b"supervised", 8, 8, 1, 2, 1],
        "didact_network_compare_pretrained": [None, None, None, None, network_file],
        "didact_network_load_pretrained": [None, network_file, 1],
        "didact_trainer_from_bytes": [
            None, ctypes.cast(ctypes.create_string_buffer(TRAINER_BYTES, len(TRAINER_BYTES)), ctypes.c_void_p), len(TRAINER_BYTES)],
        "didact_trainer_set_annotation": [None, b"key", b"value"],
        "didact_trainer_annotation": [None, None, None, None, b"key"],
        "didact_trainer_predict_by": [array(np.empty((len(X), 2))), None, array(X), b"student"],
        "didact_trainer_store_distributions": [None, array(X), array(X), b"student", os.path.join(folder, "stored").encode()],
        "didact_trainer_network": [None, None, b"student"],
        "didact_augment": [array(np.zeros((2, 4, 4, 1), np.uint8)), array(np.ones((2, 4, 4, 1), np.uint8)), b'"crop"', 0, 0, 0, 1],
        "didact_configuration_fields": [None, 0, None, b"supervised"],
        "didact_trainer_names": [None, 0, None, None, b"class"],
        "didact_network_parameter": [None, None, b"dense0.weight"],
        "didact_network_gradient": [None, None, b"dense0.weight"],
        "didact_network_statistic": [None, None, b"batch_norm0.running_mean"],
        "didact_network_forward": [array(np.empty((len(X), 2))), None, array(X), 1],
        "didact_network_predict": [array(np.empty((len(X), 2))), None, array(X)],
        "didact_network_record": [None, None, array(X), 1, 0],
        "didact_pass_logits": [array(np.empty((len(X), 2))), None],
        "didact_pass_backward": [array(np.empty((len(X), 2))), None, array(X), 0],
        "didact_pass_tangent": [array(np.empty((len(X), 2))), None, array(np.ones(COUNT)), array(X)],
        "didact_optimizer_create": [None, None, b'{"name": "adamw"}'],
        "didact_optimizer_pullback": [array(np.empty(COUNT)), None, array(np.ones(COUNT))],
        "didact_optimizer_state": [None, None, b"momentum.dense0.weight"],
        "didact_optimizer_set_learning_rate": [None, 0.1],
        "didact_average_create": [None, None, 0.5, 1],
        "didact_predictor_create": [None, None, array(X), array(PROBABILITIES)],
        "didact_trainer_metrics": [array(np.empty(METRICS)), None],
        "didact_trainer_step": [None, array(X), array(Y), array(X), array(X)],
        "didact_trainer_student_step": [None, array(X), array(X)],
        "didact_trainer_teacher_step": [None, array(X), array(Y)],
        "didact_trainer_meta_gradient": [array(np.empty(COUNT)), None, array(X), array(Y), array(X), array(X), None, 0],
        "didact_trainer_meta_objective": [None, None, array(X), array(Y), array(X), array(X), None, 0],
        "didact_trainer_meta_gradient_dataset": [array(np.empty(COUNT)), None, None, 0],
        "didact_trainer_fit": [None, array(X), array(Y), array(X), 1, _ffi.didact_progress_callback(), None],
        "didact_trainer_predict": [array(np.empty((len(X), 2))), None, array(X)],
        "didact_trainer_optimizer": [None, None, b"student"],
        "didact_trainer_metric": [None, None, b"loss/student"],
        "didact_trainer_history": [array(np.empty((STEPS, METRICS))), None],
        "didact_trainer_set_names": [None, b"class", b'["a", "b"]'],
        "didact_network_save": [None, network_file],
        "didact_trainer_save": [None, trainer_file],
        "didact_dataset_open": [None, IMAGES, b"{}"],
        "didact_dataset_set_array": [None, b"y", array(Y)],
        "didact_trainer_fit_dataset": [None, None, b'{"steps": 1}', _ffi.didact_progress_callback(), None],
        "didact_network_output": [array(np.empty((len(X), 3))), None, array(X), b"features"],
        "didact_network_output_length": [None, None, b"features"],
        "didact_dataset_array": [None, None, b"X"],
        "didact_dataset_two_moons": [array(np.empty((len(X), 2))), array(np.empty(len(X), np.int64)), 0.1, 0],
        "didact_dataset_split": [array(np.empty(len(X), np.int64)), array(Y), 2, 0.0, 0],
    }.get(name)
    types = _ffi.FUNCTIONS[name][1]
    result = []
    for index, ctype in enumerate(types):
        given = specific[index] if specific is not None and index < len(specific) else None
        if given is not None and given is not OUT_HANDLE:
            result.append(given)
        elif (name, index) in MEMORY:
            result.append(ctypes.cast(ctypes.create_string_buffer(64), ctypes.c_void_p))
        elif (name, index) in LENGTHS:
            result.append(64)
        elif ctype is HANDLE:
            result.append(None if is_payload(name, index) else live[handle_kind(name, index)])
        elif ctype is ctypes.c_char_p:
            result.append(ctypes.create_string_buffer(64) if name in TEXT_OUT and index == 0 else None)
        elif ctype is _ffi.didact_progress_callback:
            result.append(_ffi.didact_progress_callback())
        elif ctype in (ctypes.c_int64, ctypes.c_int32, ctypes.c_uint64):
            result.append(64 if name in TEXT_OUT else 0)
        elif ctype is ctypes.c_double:
            result.append(0.5)
        elif ctype is ARRAY:
            result.append(None if name == "didact_trainer_meta_gradient" and index == 6 else ctypes.pointer(_ffi.didact_array()))
        else:
            result.append(ctypes.pointer(ctype._type_()))
    if name in ("didact_trainer_meta_gradient", "didact_trainer_meta_objective"):
        result[6] = None
    return result


def wrong_arrays():
    tiny = np.array([[0.5, 1.0]])
    nan, infinite = FOUR_ROWS.copy(), FOUR_ROWS.copy()
    nan[1, 1], infinite[2, 0] = np.nan, np.inf
    return [
        None,
        ctypes.pointer(_ffi.didact_array()),
        *(array(FOUR_ROWS, ndim=ndim, shape=[2] * max(1, min(abs(ndim), 1000))) for ndim in (-1, 0, 1, 3, 5, 1000, 2**31 - 1)),
        array(FOUR_ROWS, ndim=4, shape=(2, 2, 2, 1)),
        *(array(FOUR_ROWS, ndim=-(2**31)) for _ in range(1)),
        *(array(FOUR_ROWS, dtype=dtype) for dtype in (0, 5, 99, -1, 2**31 - 1, -(2**31))),
        *(array(FOUR_ROWS, shape=shape) for shape in (
            (-1, 2), (4, -2), (0, 2), (4, 0), (0, 0), (INT64_MIN, 2), (INT64_MAX, 2), (2**62, 2), (2**32, 2**32),
            (2**31, 2**31), (2**57, 2), (INT64_MAX, 0), (0, INT64_MAX), (INT64_MAX, INT64_MAX), (-1, -1), (1, 2), (4, 1))),
        *(array(FOUR_ROWS, data=data) for data in (None,)),
        array(FOUR_ROWS, data=None, shape=(0, 2)),
        array(FOUR_ROWS, shape=None),
        array(FOUR_ROWS, strides=(0, 0)),
        array(FOUR_ROWS, strides=(-8, 8), data=array(FOUR_ROWS).contents.data + 24),
        array(FOUR_LABELS), array(FOUR_LABELS * 0 - 1), array(FOUR_LABELS + 2**62), array(FOUR_LABELS, shape=(-4,)), array(FOUR_LABELS, data=None), array(FOUR_LABELS + INT64_MIN),
        array(FOUR_ROWS.astype(np.float32)), array(np.ones((4, 2), np.uint8)), array(np.ones(4, np.uint8)),
        array(nan), array(infinite), array(np.full((4, 2), 1e308)), array(tiny), array(np.ones(COUNT)), array(np.ones((4, 2, 1, 1))),
        array(np.array(3.0)), array(np.full(COUNT, np.nan)),
    ]  # fmt: skip


def random_handles():
    source = random.Random(1)
    result = [1, 2, 255, 256, 2**32, 2**63, 2**64 - 1, 0xFFFFFFFF, 0x100000000 | 1, 0x7FFFFFFF00000001]
    result += [source.getrandbits(64) for _ in range(40)]
    # Near live ones: other generations, other slots, other classes.
    result += [live[kind] ^ bit for kind in KINDS for bit in (1, 4, 1 << 8, 1 << 20, 1 << 31, 1 << 32, 1 << 62, 1 << 63)]
    return [value for value in result if value not in live.values()]


DEEP = 100_000
STRINGS = [
    None, b"", b"x", b"\xff\xfe\x80", b"dense0.weight" * 1000, b"\n\t\x01", "ü☃".encode(), b"/no/such/folder/file",
    b"/", b".", b"x" * 100_000, b"{}", b"[]", b"null", b"true", b'"', b"{", b"[", b'{"a"', b'{"a":}', b'{"a":1,}',
    b"[" * DEEP, b'{"a":' * DEEP, b"[" * DEEP + b"]" * DEEP, b'{"type":' + b"[" * DEEP + b"]" * DEEP + b"}",
    b'{"network": ' * DEEP + b"1" + b"}" * DEEP,
    b"1e999", b"-1e999", b"9" * 400, b"1e-999", b"1" + b"0" * 100_000, b"0x10", b"NaN", b"Infinity", b"01", b"+1", b"1.",
    b'"\\ud800"', b'"\\u0000"', b'{"a": 1, "a": 2}', b'{"type": "mlp", "type": "mlp"}', b'{"\\u0000": 1}',
    b'["a", "b", "c"]', b'["a", 1]', b'["\\u0000", "b"]', b'[[], []]',
]  # fmt: skip


def wrong(name, index, ctype):
    if (name, index) in MEMORY:
        return [None]
    if (name, index) in LENGTHS:
        return [-1, 0, 1, 7, 8, 9, 63, 64, INT64_MIN]
    if ctype is HANDLE:
        if is_payload(name, index):
            return [None]
        kind = handle_kind(name, index)
        others = [live[other] for other in KINDS if other != kind]
        return [None, *freed.values(), *others, *random_handles()]
    if ctype is ctypes.c_char_p:
        if name in TEXT_OUT and index == 0:
            return [None]
        return STRINGS
    if ctype is ARRAY:
        return wrong_arrays()
    if ctype is ctypes.c_double:
        return [float("nan"), float("inf"), -float("inf"), -1.0, 0.0, 1.0, 2.0, 1e308, -1e308, 5e-324]
    if ctype is ctypes.c_uint64:
        return [0, 1, 2**63, 2**64 - 1]
    if ctype is ctypes.c_int32:
        return [-1, 0, 1, 2, 2**31 - 1, -(2**31)]
    if ctype is ctypes.c_int64:
        if name in TEXT_OUT:
            return [-1, 0, 1, 2, 63, 64, INT64_MIN] if index == 1 else [-1, 0, 1, 2, 3, 2**32, INT64_MAX, INT64_MIN]
        numbers = [-1, 0, 1, 2, 3, 1000, 2**32, INT64_MAX, INT64_MIN, 2**62]
        # A fit would make so many steps.
        return [0, 1, -1, INT64_MAX, INT64_MIN, 2**62, 10**11 + 1] if name == "didact_trainer_fit" else numbers
    if ctype is _ffi.didact_progress_callback:
        return [_ffi.didact_progress_callback()]
    return [None]


def is_free(name):
    return name.endswith("_free")


def sweep():
    source = random.Random(0)
    for name, (_, types) in _ffi.FUNCTIONS.items():
        if name not in STATUS_FUNCTIONS and not is_free(name):
            continue
        pointers = [ctype for ctype in types if ctype not in (ctypes.c_int32, ctypes.c_int64, ctypes.c_uint64, ctypes.c_double)]
        nothing = [None if ctype in pointers else 0 for ctype in types]
        nothing = [_ffi.didact_progress_callback() if ctype is _ffi.didact_progress_callback else value
                   for value, ctype in zip(nothing, types)]  # fmt: skip
        status = call(name, nothing)
        if not is_free(name):
            assert status == _ffi.DIDACT_EINVALID, (name, status)
        for index, ctype in enumerate(types):
            for value in wrong(name, index, ctype):
                arguments = good(name)
                arguments[index] = value
                status = call(name, arguments)
                is_handle = ctype is HANDLE and (name, index) not in MEMORY
                if is_handle and not is_free(name) and not is_payload(name, index):
                    expected = _ffi.DIDACT_EINVALID if value is None else _ffi.DIDACT_EHANDLE
                    assert status == expected, (name, value, status)
                # Keep the table of handles small.
                if types[0] is OUT_HANDLE and arguments[0] and arguments[0].contents.value:
                    free_made(name, arguments[0].contents.value)
        # Several wrong at once; what frees would free what the others use.
        for _ in range(0 if is_free(name) else 60):
            arguments = good(name)
            for index, ctype in enumerate(types):
                if source.random() < 0.5:
                    arguments[index] = source.choice(wrong(name, index, ctype))
            call(name, arguments)
            if types and types[0] is OUT_HANDLE and arguments[0] and arguments[0].contents.value:
                free_made(name, arguments[0].contents.value)


MADE = {"didact_network_record": "pass", "didact_optimizer_create": "optimizer", "didact_average_create": "average",
        "didact_trainer_create": "trainer", "didact_trainer_copy": "trainer", "didact_trainer_load": "trainer",
        "didact_trainer_from_bytes": "trainer", "didact_dataset_open": "dataset", "didact_dataset_create": "dataset",
        "didact_trainer_optimizer": "optimizer"}  # fmt: skip


def free_made(name, handle):
    getattr(library, f"didact_{MADE.get(name, 'network')}_free")(handle)


def free_twice():
    for kind in KINDS:
        handle, free = fresh(kind), getattr(library, f"didact_{kind}_free")
        for other in KINDS:
            if other != kind:
                getattr(library, f"didact_{other}_free")(handle)
        for _ in range(3):
            free(handle)
    # A slot that is used again does not bring the old handle back.
    old = fresh("network")
    library.didact_network_free(old)
    for _ in range(50):
        new = fresh("network")
        assert new != old
        assert library.didact_network_save(old, network_file) == _ffi.DIDACT_EHANDLE
        library.didact_network_free(new)


VALUES = [
    "null", "true", '"x"', '""', "[]", "[1]", '["x"]', "{}", '{"x": 1}', "-1", "0", "1", "2", "0.5", "-0.0", "1e300", "-1e300",
    "1e-320", "1e999", "9223372036854775807", "9223372036854775808", "-9223372036854775808", "-9223372036854775809",
    "18446744073709551616", "16777216", "16777217", "[0]", "[-1]", "[0.5]", "[16777216, 16777216]", "[16777217]",
    "[9223372036854775807, 2]", "[[1]]", "1e11", "100000000000", "100000000001", "1" + "0" * 400,
]  # fmt: skip
# What a value of this size asks for could be given, and would be large.
LARGE = {"16777216"}


def create(function, text):
    out = ctypes.c_void_p()
    status = check(function, getattr(library, function)(ctypes.byref(out), text.encode()))
    assert (status == 0) == bool(out.value), (function, text, status)
    assert status in (0, _ffi.DIDACT_EINVALID, _ffi.DIDACT_EMEMORY), (function, text[:200], status)
    return status, out.value


def use(trainer):
    """Whatever a configuration accepted can be used: each call ends with a status."""
    for name in ("didact_trainer_student_step", "didact_trainer_step", "didact_trainer_teacher_step", "didact_trainer_fit",
                 "didact_trainer_meta_objective", "didact_trainer_meta_gradient", "didact_trainer_predict",
                 "didact_trainer_save"):  # fmt: skip
        arguments = good(name)
        index = next(i for i, ctype in enumerate(_ffi.FUNCTIONS[name][1]) if ctype is HANDLE)
        arguments[index] = trainer
        call(name, arguments)
    loaded = ctypes.c_void_p()
    if check("didact_trainer_load", library.didact_trainer_load(ctypes.byref(loaded), trainer_file)) == 0:
        library.didact_trainer_free(loaded)


def hostile_json():
    for method in ("meta_pseudo_labels", "supervised"):
        length = ctypes.c_int64()
        library.didact_configuration_fields(None, 0, ctypes.byref(length), method.encode())
        buffer = ctypes.create_string_buffer(length.value)
        library.didact_configuration_fields(buffer, length.value, ctypes.byref(length), method.encode())
        keys = [field["key"] for field in json.loads(buffer.value)]
        assert len(keys) > 20
        for key, value in itertools.product(keys, VALUES):
            base = {"method": f'"{method}"', "network": NETWORK.decode()}
            base[key] = value
            text = "{" + ", ".join(f'"{name}": {part}' for name, part in base.items()) + "}"
            status, trainer = create("didact_trainer_create", text)
            if trainer:
                use(trainer)
                library.didact_trainer_free(trainer)
            # As a nested object too.
            if "." in key:
                role, last = key.split(".")
                text = f'{{"method": "{method}", "network": {NETWORK.decode()}, "{role}": {{"{last}": {value}}}}}'
                nested, trainer = create("didact_trainer_create", text)
                assert nested == status, text
                library.didact_trainer_free(trainer)
    # As above, for networks alone.
    network = json.loads(NETWORK)
    for key, value in itertools.product([*network, "dtype", "seed"], VALUES):
        if value in LARGE:
            continue
        parts = {name: json.dumps(part) for name, part in network.items()}
        parts[key] = value
        _, made_one = create("didact_network_create", "{" + ", ".join(f'"{n}": {p}' for n, p in parts.items()) + "}")
        library.didact_network_free(made_one)
    for layers in VALUES + ['[{"type": "dense"}]', '[{"type": "dense", "outputs": 0}]', '[{"type": "dropout", "rate": 1}]',
                            '[{"type": "relu"}]', '[{}]', '[{"type": 1}]', '[{"type": "batch_norm", "x": 1}]',
                            '[{"type": "dense", "outputs": 16777216}, {"type": "dense", "outputs": 16777216}]',
                            "[" + ", ".join(['{"type": "relu"}'] * 10_000) + "]"]:  # fmt: skip
        _, made_one = create("didact_network_create", f'{{"type": "sequential", "inputs": 2, "layers": {layers}}}')
        library.didact_network_free(made_one)
    for text in STRINGS:
        if text is not None:
            out = ctypes.c_void_p()
            for function in ("didact_network_create", "didact_trainer_create"):
                assert check(function, getattr(library, function)(ctypes.byref(out), text)) == _ffi.DIDACT_EINVALID
    # Sizes that no machine has.
    for sizes in ("[16777216, 16777216]", "[65536, 65536]", "[16777216, 256]", "[" + ", ".join(["16777216"] * 1000) + "]"):
        text = f'{{"type": "mlp", "inputs": 64, "hidden": {sizes}, "classes": 10}}'
        assert create("didact_network_create", text)[0] in (_ffi.DIDACT_EMEMORY, _ffi.DIDACT_EINVALID), sizes
        status, _ = create("didact_trainer_create", f'{{"method": "supervised", "network": {text}}}')
        assert status in (_ffi.DIDACT_EMEMORY, _ffi.DIDACT_EINVALID), sizes
    text = '{"type": "mlp", "inputs": 16777216, "hidden": [], "classes": 16777216}'
    assert create("didact_network_create", text)[0] in (_ffi.DIDACT_EMEMORY, _ffi.DIDACT_EINVALID)
    for seed in ("-1", "1e300", "9223372036854775808", "0.5", "-9223372036854775808"):
        text = NETWORK.decode()[:-1] + f', "seed": {seed}}}'
        assert create("didact_network_create", text)[0] == _ffi.DIDACT_EINVALID, seed
    for settings in itertools.product(("name", "learning_rate", "momentum", "nesterov", "weight_decay", "clip_norm", "beta1",
                                       "beta2", "epsilon", "decay_exclude", "decay_before_clip", "x"), VALUES):  # fmt: skip
        out = ctypes.c_void_p()
        text = '{"%s": %s}' % settings
        status = check("didact_optimizer_create", library.didact_optimizer_create(ctypes.byref(out), live["network"], text.encode()))
        if status == 0:
            call("didact_optimizer_step", [out.value])
            call("didact_optimizer_pullback", [array(np.empty(COUNT)), out.value, array(np.ones(COUNT))])
        library.didact_optimizer_free(out)


def still_works():
    out = array(np.zeros((4, 2)))
    probabilities = keep[-1][0]
    # The steps above may have left this one without finite parameters, which predictions refuse.
    assert library.didact_network_predict(out, live["network"], array(X)) in (0, _ffi.DIDACT_EDATA)
    assert library.didact_network_predict(out, fresh("network"), array(X)) == 0
    fresh_trainer = fresh("trainer")
    assert library.didact_trainer_fit(fresh_trainer, array(X), array(Y), None, 5, _ffi.didact_progress_callback(), None) == 0
    assert library.didact_trainer_predict(out, fresh_trainer, array(X)) == 0
    assert np.allclose(probabilities.sum(axis=1), 1), probabilities


def status_names():
    for status in (*range(-3, 120), 2**31 - 1, -(2**31)):
        name = library.didact_status_name(status).decode()
        assert (name == "unknown status") == (status not in STATUSES), (status, name)
    for code, value in vars(_ffi).items():
        if code.startswith("DIDACT_E"):
            assert library.didact_status_name(value).decode() == code


if __name__ == "__main__":
    sweep()
    free_twice()
    hostile_json()
    status_names()
    still_works()
    assert calls > 5000, calls
    print("calls", calls)
