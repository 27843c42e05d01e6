"""Writes a model file of each method, trained by the library at hand, and what it predicts, to a folder of the tests.

    PYTHONPATH=bindings/python/src python scripts/make-version-fixtures.py bindings/python/tests/fixtures/version-0.1

Run once for each released version, and never again: the files show that later versions read what it wrote.
"""

import json
import sys
import warnings
from pathlib import Path

import didact
import numpy as np
from didact._library import library

folder = Path(sys.argv[1])
folder.mkdir(parents=True, exist_ok=True)
warnings.simplefilter("ignore")
random = np.random.default_rng(0)
x = random.standard_normal((60, 3))
x[np.arange(60), np.arange(60) % 3] += 2
y = np.where(np.arange(60) < 12, np.arange(60) % 3, -1)
network = didact.mlp(3, [5], 3, batch_norm=True)

distributions = folder / "distributions.safetensors"
teacher = didact.Trainer("supervised", didact.mlp(3, [4], 3), steps=5)
teacher.fit(x, y)
teacher.store_distributions(distributions, x)

predictions = {"x": x, "y": y}
for method in json.loads(library.didact_build_info())["methods"]:
    for dtype in ["float32", "float64"] if method == "meta_pseudo_labels" else ["float64"]:
        # What averages, chooses and fine-tunes has state of its own; members are trainers of their own.
        keys = {"average_decay": 0.5, "validation_fraction": 0.4, "validation_steps": 2, "finetune_steps": 3}
        if method == "meta_pseudo_labels":
            keys["members"] = [{"method": "supervised"}]
        if method != "supervised":
            keys["unlabeled_batch_size"] = 9
        if method == "reduced_meta_pseudo_labels":
            keys["teacher_distributions"] = str(distributions)
        trainer = didact.Trainer(method, network, steps=8, dtype=dtype, labeled_batch_size=4, seed=3, threads=1, **keys)
        trainer.fit(x, y)
        trainer.save(folder / f"{method}-{dtype}.safetensors")
        predictions[f"{method}-{dtype}"] = trainer.predict_proba(x)
distributions.unlink()
np.savez_compressed(folder / "predictions.npz", **predictions)
