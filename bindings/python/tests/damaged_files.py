"""Loads a model file with every kind of damage, in a process of its own. Run by test_bad_input.py.

A damaged file raises, or loads as a model that can be used; a signal fails the test. Arguments: a
saved trainer or network, its class, and the distance in bytes between two places of damage.
"""

import os
import sys
from pathlib import Path

import numpy as np

import didact

source, kind, distance = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
load = {"trainer": didact.Trainer.load, "network": didact.Network.load}[kind]
content = source.read_bytes()
path = source.with_suffix(".damaged")
whole = load(source)
inputs = (whole.student if kind == "trainer" else whole).specification["inputs"]
x = np.random.default_rng(0).standard_normal((6, inputs))
expected = whole.predict_proba(x)
loaded = refused = 0


def attempt(data):
    """The model in a damaged file, or None."""
    global loaded, refused
    path.write_bytes(data)
    try:
        model = load(path)
    except didact.DidactError as error:
        assert str(error), "a message"
        refused += 1
        return None
    loaded += 1
    return model


def use(model):
    """Each call ends, by returning or by raising what the package raises."""
    for call in (
        lambda: model.predict_proba(x),
        lambda: model.save(path),
        lambda: model.copy(),
        lambda: model.history if kind == "trainer" else model.statistics,
        lambda: model.step(x, [0, 1] * 3, x) if kind == "trainer" else model.record(x),
        lambda: model.fit(x, [0, 1] * 3, steps=1) if kind == "trainer" else model.forward(x, training=True),
    ):
        try:
            call()
        except didact.DidactError:
            pass


model = attempt(content)
assert model is not None and model.predict_proba(x).tobytes() == expected.tobytes()

for length in sorted({*range(0, len(content), distance), *range(16), len(content) - 1}):
    assert attempt(content[:length]) is None, f"the first {length} bytes of {len(content)} load"
for extra in (b"\0", b"x" * 100):
    assert attempt(content + extra) is None, "bytes after the end"

header = 8 + int.from_bytes(content[:8], "little")
assert 8 < header < len(content)
for place in sorted({*range(0, len(content), distance), *range(8)}):
    for change in (0x01, 0x80, 0xFF):
        damaged = bytearray(content)
        damaged[place] ^= change
        model = attempt(bytes(damaged))
        if model is not None:
            use(model)

for length in (0, 1, len(content), 2**31, 2**62, 2**63 - 1, 2**63, 2**64 - 1):
    if length != header - 8:
        assert attempt(length.to_bytes(8, "little") + content[8:]) is None, f"a header of {length} bytes"

os.remove(path)
assert refused > len(content) // distance
print("refused", refused, "loaded", loaded)
