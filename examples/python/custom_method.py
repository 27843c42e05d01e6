"""Meta Pseudo Labels written from the building blocks: a training loop of one's own.

Everything that Didact's own method does with exact feedback stands in `step`; change it to try what
nobody has tried yet. Run: python examples/python/custom_method.py
"""

import numpy as np

import didact


def softmax(logits):
    exponentials = np.exp(logits - logits.max(axis=1, keepdims=True))
    return exponentials / exponentials.sum(axis=1, keepdims=True)


def one_hot(labels, classes):
    return np.eye(classes)[labels]


class MetaPseudoLabels:
    """A teacher labels, a student learns, the student's labelled loss corrects the teacher."""

    def __init__(self, specification, learning_rate=0.1, uda_weight=4.0):
        self.teacher = didact.Network(specification, dtype="float64", seed=1)
        self.student = didact.Network(specification, dtype="float64", seed=2)
        self.teacher_optimizer = didact.SGD(self.teacher, learning_rate, momentum=0.9, nesterov=True)
        self.student_optimizer = didact.SGD(self.student, learning_rate, momentum=0.9, nesterov=True)
        self.uda_weight = uda_weight

    def step(self, x, y, weak, strong):
        # The teacher labels, the student steps: θ′ = θ − update(∇ CE(q, S(u; θ))).
        labeling = self.teacher.record(strong)
        q = softmax(labeling.logits)
        learning = self.student.record(strong)
        learning.backward((softmax(learning.logits) - q) / len(q))
        self.student_optimizer.step()

        # Exact feedback: v = ∇L(θ′), pulled back through the update, then one forward-mode sweep.
        result = self.student.record(x)
        probabilities = softmax(result.logits)
        targets = one_hot(y, q.shape[1])
        result.backward((probabilities - targets) / len(y))
        w = self.student_optimizer.pullback(self.student.gradients)
        a = learning.tangent(w)
        feedback = q * (a - (q * a).sum(axis=1, keepdims=True)) / len(q)
        labeling.backward(feedback)
        feedback_norm = np.sqrt(sum((g**2).sum() for g in self.teacher.gradients.values()))

        # Supervised and consistency terms, then the teacher's step.
        supervised = self.teacher.record(x)
        supervised.backward((softmax(supervised.logits) - targets) / len(y), accumulate=True)
        target = softmax(self.teacher.record(weak).logits / 0.7)
        confident = target.max(axis=1, keepdims=True) >= 0.6
        consistency = confident * (softmax(labeling.logits) - target) / len(q)
        labeling.backward(self.uda_weight * consistency, accumulate=True)
        self.teacher_optimizer.step()
        return -(targets * np.log(probabilities)).sum() / len(y), feedback_norm


def main():
    x, y = didact.datasets.make_two_moons(seed=0)
    labeled = didact.datasets.split(y, labels=6, test_fraction=0, seed=0).labeled
    x_test, y_test = didact.datasets.make_two_moons(seed=1)
    random = np.random.default_rng(0)

    method = MetaPseudoLabels(didact.mlp(2, [64, 64], 2))
    for step in range(1, 601):
        u = x[random.integers(len(x), size=128)]
        strong = u + 0.15 * random.standard_normal(u.shape)
        loss, feedback_norm = method.step(x[labeled], y[labeled], u, strong)
        assert np.isfinite(loss) and feedback_norm > 0
        if step % 200 == 0:
            accuracy = (method.student.predict_proba(x_test).argmax(axis=1) == y_test).mean()
            print(
                f"step {step}: labelled loss {loss:.3f}, feedback gradient {feedback_norm:.1e}, "
                f"accuracy {accuracy:.3f}"
            )
    return accuracy


if __name__ == "__main__":
    main()
