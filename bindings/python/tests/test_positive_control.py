"""Feedback does something: by itself it corrects wrong labels.

Digits with 10 labels a class. The unlabelled images come with stored soft targets in which two pairs
of classes are swapped (3 and 8, 4 and 9), so that a student which believes them gets four classes of
ten wrong. A small perceptron sees a stored target and adds to its logits. It learns from nothing but
the student's result on the labelled images. Everything is made from the building blocks.
"""

import numpy as np
import pytest

import didact

CLASSES = 10
ONE_HOT = np.eye(CLASSES)
SWAPPED = np.array([0, 1, 2, 8, 9, 5, 6, 7, 3, 4])
BATCH, STEPS = 128, 1500
LEARNING_RATE, MOMENTUM = 0.1, 0.9


def softmax(logits):
    shifted = np.exp(logits - logits.max(axis=1, keepdims=True))
    return shifted / shifted.sum(axis=1, keepdims=True)


class Problem:
    def __init__(self):
        images, classes = didact.datasets.load_digits()
        images = images / 16.0
        split = didact.datasets.split(classes, labels=100, test_fraction=0.25, seed=0)
        assert (np.bincount(classes[split.labeled]) == 10).all()
        pool = np.concatenate([split.labeled, split.unlabeled])
        self.labeled, self.labels = images[split.labeled], classes[split.labeled]
        self.test, self.test_classes = images[split.test], classes[split.test]
        self.unlabeled = images[pool]
        self.stored = 0.9 * ONE_HOT[SWAPPED[classes[pool]]] + 0.1 / CLASSES


@pytest.fixture(scope="module")
def problem():
    return Problem()


def labeled_losses(student, problem):
    probabilities = softmax(student.forward(problem.labeled).astype(np.float64))
    return -np.log(probabilities[np.arange(len(problem.labels)), problem.labels])


def labeled_gradient(student, problem):
    recorded = student.record(problem.labeled)
    recorded.backward((softmax(recorded.logits) - ONE_HOT[problem.labels]) / len(problem.labels))
    return {name: gradient.copy() for name, gradient in student.gradients.items()}


def train(problem, feedback, weight):
    """The accuracy of the student on images that nobody has learned from."""
    random = np.random.default_rng(0)
    student = didact.Network(didact.mlp(64, [64], CLASSES), seed=1)
    corrector = didact.Network(didact.mlp(CLASSES, [32], CLASSES, activation="tanh"), seed=2)
    # It begins by correcting nothing.
    corrector.parameters["dense1.weight"] = 0
    student_optimizer = didact.SGD(student, LEARNING_RATE, momentum=MOMENTUM, nesterov=True)
    corrector_optimizer = didact.AdamW(corrector, 3e-3)

    for _ in range(STEPS):
        rows = random.choice(len(problem.unlabeled), BATCH, replace=False)
        stored = problem.stored[rows]
        correction = corrector.record(stored)
        q = softmax(np.log(stored) + correction.logits)
        if feedback == "exact":
            target = q
        else:
            target = ONE_HOT[(q.cumsum(axis=1) > random.random((BATCH, 1))).argmax(axis=1)]

        # The student learns from the corrected labels.
        old_losses = labeled_losses(student, problem)
        old = {name: value.copy() for name, value in student.parameters.items()}
        momenta = {name: student_optimizer.state[f"momentum.{name}"].copy() for name in old}
        recorded = student.record(problem.unlabeled[rows])
        recorded.backward((softmax(recorded.logits) - target) / BATCH)
        student_optimizer.step()

        # The corrector learns from how the student does on the labelled images.
        if feedback == "exact":
            w = student_optimizer.pullback(labeled_gradient(student, problem))
            a = recorded.tangent(w)
            cotangent = q * (a - (q * a).sum(axis=1, keepdims=True)) / BATCH
        elif feedback == "gradient_dot":
            v = labeled_gradient(student, problem)
            # ⟨v, update(g) − update(0)⟩; the update of a zero gradient is what momentum alone does.
            h = sum(
                float(((old[name] - student.parameters[name] - LEARNING_RATE * MOMENTUM**2 * momenta[name]) * v[name]).sum())
                for name in v
            )
            cotangent = h * (q - target)
        else:
            h = (old_losses - labeled_losses(student, problem)).mean()
            cotangent = h * (q - target)
        correction.backward(weight * cotangent)
        corrector_optimizer.step()

    return (student.forward(problem.test).argmax(axis=1) == problem.test_classes).mean()


@pytest.mark.parametrize("feedback", ["exact", "gradient_dot", "loss_difference"])
def test_feedback_alone_corrects_swapped_labels(problem, feedback):
    control = train(problem, feedback, weight=0)
    assert 0.55 <= control <= 0.63, "four classes of ten are swapped"
    assert train(problem, feedback, weight=1) >= 0.93
    assert train(problem, feedback, weight=-1) < 0.2
