"""Reads files with random damage, in a process of its own. Run by test_image_files.py, test_hostile_files.py and nightly.

Damage raises, or goes unnoticed, and what was read can be used; a signal fails the test. Arguments: a folder of good files,
whose names say what they are, and how many variants of each to try. Prints for each file how many were read and how many
refused.
"""

import gzip
import io
import json
import os
import random
import resource
import subprocess
import sys
import warnings
import zipfile
from pathlib import Path

import didact
import numpy as np

folder, rounds = Path(sys.argv[1]), int(sys.argv[2])
COMMAND = os.environ.get("DIDACT_COMMAND", "didact")
# What cannot be allocated must fail here rather than take the memory of other programs.
# (The address sanitizer reserves terabytes of addresses; it has a limit of its own.)
if "asan" not in os.environ.get("LD_PRELOAD", ""):
    resource.setrlimit(resource.RLIMIT_AS, (4 << 30, 4 << 30))
source = random.Random(0)
warnings.simplefilter("ignore")

ODD = [None, True, -1, 0, 1, 3, 1.5, 1e300, 2**31, 2**53, 2**62, 2**63 - 1, 2**63, 2**64, "", "x", "F64", "I64", "student", [], [1],
       [2**62, 2], [-1], [0, 2**62], {}, {"a": 1}, ["a", "b"]]  # fmt: skip
X = np.random.default_rng(0).standard_normal((6, 2))
Y = np.array([0, 1] * 3)
NETWORK = didact.mlp(2, [2], 2, batch_norm=True)


def mutated(content):
    content = bytearray(content)
    for _ in range(source.choice([1, 1, 2, 8])):
        # The beginning says what follows.
        place = source.randrange(len(content) if source.random() < 0.5 else min(len(content), 200))
        content[place] = source.choice([0, 255, 127, 128, content[place] ^ 1 << source.randrange(8)])
    if source.random() < 0.2:
        del content[source.randrange(len(content)) :]
    return bytes(content)


def mutated_value(value):
    """A JSON value with something else in one place, or without it."""
    if isinstance(value, dict) and value and source.random() < 0.95:
        key = source.choice(list(value))
        # A text that is itself JSON.
        if isinstance(value[key], str) and value[key].startswith("{"):
            return value | {key: json.dumps(mutated_value(json.loads(value[key])))}
        if source.random() < 0.1:
            return {name: part for name, part in value.items() if name != key}
        return value | {key: mutated_value(value[key])}
    if isinstance(value, list) and value and source.random() < 0.8:
        place = source.randrange(len(value))
        return value[:place] + [mutated_value(value[place])] + value[place + 1 :]
    return source.choice(ODD)


def mutated_safetensors(content):
    """Damage anywhere, in the data alone, or another header that is one."""
    roll, end = source.random(), 8 + int.from_bytes(content[:8], "little")
    if roll < 0.4:
        return mutated(content)
    if roll < 0.6:
        return content[:end] + mutated(content[end:])
    header = mutated_value(json.loads(content[8:end]))
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + content[end:]


def mutated_npz(content):
    """Half of them with other members, whose checksums are right."""
    if source.random() < 0.5:
        return mutated(content)
    result, damaged = io.BytesIO(), source.randrange(2)
    with zipfile.ZipFile(io.BytesIO(content)) as given, zipfile.ZipFile(result, "w") as made:
        for index, name in enumerate(given.namelist()):
            member = given.read(name)
            made.writestr(name, mutated(member) if index % 2 == damaged else member)
    return result.getvalue()


CELLS = ["", "x", "nan", "inf", "1e999", "-0", "1,5", '"', '""', '"a\nb"', "\0", "ü", "-1", "1" * 400, "0x10", "2024-01-01", ",", "\n", "\r",
         "None", "?", "1e", "\ufeff", ";", "\t"]  # fmt: skip


def mutated_csv(content):
    if source.random() < 0.3:
        return mutated(content)
    lines = [line.split(",") for line in content.decode().splitlines()]
    for _ in range(source.choice([1, 1, 2, 8])):
        line = source.choice(lines)
        if line:
            line[source.randrange(len(line))] = source.choice(CELLS)
        if source.random() < 0.1:
            source.choice(lines).append("1")
    return "\n".join(",".join(line) for line in lines).encode()


# What is done with each kind of file, by the end of its name: its damage, and a way to read and use it.


def attempt(*calls):
    for call in calls:
        try:
            call()
        except (didact.DidactError, ValueError):
            pass


def use_trainer(model):
    attempt(lambda: model.predict_proba(X), lambda: model.history, lambda: model.copy(), lambda: model.step(X, Y, X),
            lambda: model.fit(X, Y, steps=1), model.to_bytes)  # fmt: skip


def use_network(model):
    attempt(lambda: model.predict_proba(X), lambda: model.record(X), lambda: model.forward(X, training=True), lambda: model.statistics)


def student(path):
    trainer = didact.Trainer("reduced_meta_pseudo_labels", NETWORK, teacher_distributions=str(path), labeled_batch_size=2)
    trainer.fit(X, Y, steps=2)


def command(*arguments):
    """The command is at most refused."""
    done = subprocess.run([COMMAND, *map(str, arguments)], capture_output=True, text=True, timeout=60)
    assert done.returncode in (0, 1, 2), (done.returncode, done.stderr)
    if done.returncode:
        raise ValueError(done.stderr)


def train(path, *options):
    command("train", "--data", path, "--method", "supervised", "--hidden", "2", "--steps", "1", *options)


KINDS = {
    ".trainer.safetensors": (mutated_safetensors, lambda path: use_trainer(didact.Trainer.load(path))),
    ".network.safetensors": (mutated_safetensors, lambda path: use_network(didact.Network.load(path))),
    ".bytes.safetensors": (mutated_safetensors, lambda path: use_trainer(didact.Trainer.from_bytes(path.read_bytes()))),
    ".weights.safetensors": (mutated_safetensors, lambda path: didact.load_pretrained(didact.Network(NETWORK), path)),
    ".distributions.safetensors": (mutated_safetensors, student),
    ".classifier.safetensors": (mutated_safetensors, lambda path: didact.SemiSupervisedClassifier.load(path).predict_proba(X)),
    ".csv": (mutated_csv, train),
    ".npz": (mutated_npz, train),
    ".npy": (mutated, lambda path: train(path, "--label-file", path.parent.parent / "good" / "labels.npy")),
    ".labels.npy": (mutated, lambda path: train(path.parent.parent / "good" / "rows.npy", "--label-file", path)),
    ".mat": (mutated, didact.datasets.load_svhn),
    # Of one archive the content, which compression would protect by its checksum.
    "plain.tar.gz": (lambda content: gzip.compress(mutated(gzip.decompress(content)), 1), didact.datasets.load_cifar10),
    ".gz": (mutated, didact.datasets.load_cifar10),
    ".png": (mutated, lambda path: didact.datasets.load_image_folder(path.parent)),
    ".jpg": (mutated, lambda path: didact.datasets.load_image_folder(path.parent)),
}  # fmt: skip

for path in sorted(path for path in folder.iterdir() if path.is_file()):
    ending = max((ending for ending in KINDS if path.name.endswith(ending)), key=len, default=None)
    if ending is None:
        continue
    damage, read = KINDS[ending]
    good = path.read_bytes()
    target = folder / "mutated" / path.name
    target.parent.mkdir(exist_ok=True)
    target.write_bytes(good)
    read(target)
    accepted = refused = 0
    for _ in range(rounds):
        target.write_bytes(damage(good))
        try:
            read(target)
            accepted += 1
        except (didact.DidactError, ValueError) as error:
            if ending not in (".bytes.safetensors", ".classifier.safetensors"):
                assert path.name in str(error) or str(target.parent) in str(error), error
            refused += 1
    target.unlink()
    print(path.name, accepted, refused, flush=True)
