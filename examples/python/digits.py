"""A classifier of handwritten digits from 40 labelled and about 1,300 unlabelled images.

Run: python examples/python/digits.py
"""

import time

import numpy as np

import didact


def main(steps=400, seed=0):
    images, digits = didact.datasets.load_digits()
    split = didact.datasets.split(digits, labels=40, seed=seed)
    train = np.concatenate([split.labeled, split.unlabeled])
    labels = np.where(np.isin(train, split.labeled), digits[train], -1)

    accuracies = {}
    for method, options in {
        "supervised": {},
        "meta_pseudo_labels": {"unlabeled_batch_size": 256},
    }.items():
        start = time.perf_counter()
        trainer = didact.Trainer(
            method, didact.mlp(64, [128], 10), seed=seed, input_scaling="unit", steps=steps, **options
        )
        trainer.fit(images[train], labels)
        accuracies[method] = (trainer.predict(images[split.test]) == digits[split.test]).mean()
        print(
            f"{method:>18}: {accuracies[method]:.3f} on {len(split.test)} held-out images, "
            f"{time.perf_counter() - start:.1f} s"
        )
    return accuracies


if __name__ == "__main__":
    main()
