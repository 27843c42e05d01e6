"""Models, tables and arrays with damage of every kind: errors, but no signal, no hang, and no memory beyond the limit."""

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import didact
import numpy as np
import pytest
from support import CHECKOUT, HERE, HOSTILE_CASES, tried

pytest.importorskip("resource")

COMMAND = os.environ.get("DIDACT_COMMAND", str(CHECKOUT / "build" / "bin" / "didact"))
# For those kinds that a command is started for.
COMMAND_CASES = HOSTILE_CASES if HOSTILE_CASES >= 10_000 else HOSTILE_CASES // 5


def write_models(folder):
    x, y = didact.datasets.make_two_moons(6, seed=0)
    network = didact.mlp(2, [2], 2, batch_norm=True)
    trainer = didact.Trainer(
        "meta_pseudo_labels", network, average_decay=0.5, labeled_batch_size=2, validation_fraction=0.4, finetune_steps=2, steps=4,
        members=[{"method": "supervised"}],
    )  # fmt: skip
    trainer.class_names = ["a", "b"]
    trainer.fit(x, y)
    trainer.save(folder / "a.trainer.safetensors")
    (folder / "a.bytes.safetensors").write_bytes(trainer.to_bytes())
    trainer.student.save(folder / "a.network.safetensors")
    trainer.student.save(folder / "a.weights.safetensors")
    plain = didact.Trainer("supervised", network)
    plain.store_distributions(folder / "a.distributions.safetensors", np.random.default_rng(0).standard_normal((6, 2)))
    pytest.importorskip("sklearn")
    classifier = didact.SemiSupervisedClassifier("supervised", steps=2, configuration={"network": network})
    classifier.fit(x, np.where(y > 0, "yes", "no"))
    classifier.save(folder / "a.classifier.safetensors")


def write_tables(folder):
    random = np.random.default_rng(0)
    x, y = random.standard_normal((20, 3)), np.arange(20) % 2
    names = ["red", "green", "blue"]
    lines = [f"{a},{b},{names[i % 3]},{'' if i > 9 else 'yes' if i % 2 else 'no'}" for i, (a, b, _) in enumerate(x.round(3))]
    (folder / "a.csv").write_text("\n".join(["first,second,color,label", *lines]))
    np.savez(folder / "a.npz", X=x, y=y, X_unlabeled=x)
    np.savez(folder / "b.npz", X=x.astype(np.float32), y=np.where(y > 0, "yes", "no"))
    np.save(folder / "a.npy", x)
    np.save(folder / "a.labels.npy", y)
    np.save(folder / "b.labels.npy", np.where(y > 0, "yes", "no"))
    # Good ones beside the damaged.
    (folder / "good").mkdir()
    np.save(folder / "good" / "rows.npy", x)
    np.save(folder / "good" / "labels.npy", y)


def run(folder, cases):
    environment = {**os.environ, "PYTHONPATH": str(Path(didact.__file__).parents[1]), "DIDACT_COMMAND": COMMAND}
    return subprocess.run(
        [sys.executable, str(HERE / "mutated_files.py"), str(folder), str(cases)], env=environment, capture_output=True, text=True
    )


def test_no_file_ends_the_process(tmp_path):
    folders = [tmp_path / "models", tmp_path / "tables"]
    for folder in folders:
        folder.mkdir()
    write_models(folders[0])
    write_tables(folders[1])
    with ThreadPoolExecutor(2) as pool:
        results = list(pool.map(run, folders, [HOSTILE_CASES, COMMAND_CASES]))
    for result in results:
        assert result.returncode == 0, f"exit code {result.returncode}\n{result.stdout}\n{result.stderr[-3000:]}"
    for line in "".join(result.stdout for result in results).splitlines():
        name, accepted, refused = line.split()
        assert int(refused) > (int(accepted) + int(refused)) // 20, line
        tried(f"damaged files such as {name}", int(accepted) + int(refused))
