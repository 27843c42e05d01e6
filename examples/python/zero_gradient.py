"""Why a gradient should be checked: a well-known feedback term whose gradient is exactly zero.

Google's released Meta Pseudo Labels code (google-research, meta_pseudo_labels/training_utils.py) trains the
teacher with CE(stop_gradient(softmax(z)), z) · (new loss − old loss). The cross-entropy of a distribution
against itself has the gradient softmax(z) − softmax(z) = 0, whatever it is multiplied with.

Run: python examples/python/zero_gradient.py
"""

import numpy as np

import didact


def softmax(logits):
    exponentials = np.exp(logits - logits.max(axis=1, keepdims=True))
    return exponentials / exponentials.sum(axis=1, keepdims=True)


def norm(gradients):
    return float(np.sqrt(sum((gradient**2).sum() for gradient in gradients.values())))


def main():
    random = np.random.default_rng(0)
    x, y = random.standard_normal((16, 4)), random.integers(3, size=16)
    u = random.standard_normal((64, 4))
    network = didact.mlp(4, [32], 3, activation="tanh")

    norms = {}
    for feedback in ("exact", "gradient_dot", "loss_difference"):
        trainer = didact.Trainer("meta_pseudo_labels", network, dtype="float64", feedback=feedback)
        norms[feedback] = norm(trainer.meta_gradient(x, y, u))

    # The released term, on the same teacher, student and data.
    before = trainer.copy()
    trainer.student_step(u)
    labeling = before.teacher.record(u)
    target = softmax(labeling.logits)  # stop_gradient
    difference = cross_entropy(trainer.student, x, y) - cross_entropy(before.student, x, y)
    labeling.backward(difference * (softmax(labeling.logits) - target))
    norms["released term"] = norm(before.teacher.gradients)

    print("norm of the feedback's gradient with respect to the teacher")
    for name, value in norms.items():
        print(f"{name:>18}: {value:.3e}")
    return norms


def cross_entropy(network, x, y):
    return float(-np.log(softmax(network.forward(x, training=True))[np.arange(len(y)), y]).mean())


if __name__ == "__main__":
    main()
