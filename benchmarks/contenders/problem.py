"""One Meta Pseudo Labels step: what every contender computes."""

import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "scripts"))
from random_stream import uniforms  # noqa: E402

# A small rate: weights that run away saturate the softmax, and denormal numbers would be timed.
LEARNING_RATE, MOMENTUM = 0.001, 0.9  # Nesterov's, of teacher and student
UDA_WEIGHT, UDA_TEMPERATURE, UDA_THRESHOLD = 1.0, 0.7, 0.6


@dataclass(frozen=True)
class Problem:
    """Teacher and student are of the same shape; the unlabelled rows come in a weak and a strong view."""

    inputs: int
    hidden: tuple
    classes: int
    labelled: int
    unlabelled: int
    feedback: str  # "loss_difference" or "exact"
    threads: int

    @property
    def widths(self):
        return [self.inputs, *self.hidden, self.classes]

    def network(self, didact):
        """What Didact makes of it; and beside that, the options of its trainer."""
        return didact.mlp(self.inputs, self.hidden, self.classes), {}

    @property
    def feedback_weight(self):
        """On sampled labels the feedback is a sum over rows; published code takes its mean, which trains steadily."""
        return 1.0 if self.feedback == "exact" else 1 / self.unlabelled

    def batch(self):
        """x, y, weak, strong; the same every time."""
        random = np.random.default_rng(0)
        x = random.standard_normal((self.labelled, self.inputs), dtype=np.float32)
        y = random.integers(self.classes, size=self.labelled)
        weak = random.standard_normal((self.unlabelled, self.inputs), dtype=np.float32)
        strong = weak + np.float32(0.2) * random.standard_normal(weak.shape, dtype=np.float32)
        return x, y, weak, strong

    def products(self):
        """Multiplications and additions in the matrix products that one step needs.

        With P the weights of a network, P' those behind its first layer, L labelled and U unlabelled rows, a forward of
        R rows takes R P multiplications, and its backward R P for the weights and R P' for the activations:

            teacher  forwards of weak, strong and x: (2 U + L) P; backwards of strong and x: (U + L) (P + P')
            student  forward and backward of strong: U P + U (P + P'); forward of x after the step: L P
            loss_difference   forward of x before the step: L P
            exact             backward of x after the step: L (P + P'); tangent on strong, along the weights and
                              through the activations: U (P + P')

        What a contender computes beyond that, such as the products of a double backward, does not count.
        """
        sizes = [inputs * outputs for inputs, outputs in zip(self.widths, self.widths[1:])]
        weights, behind_first = sum(sizes), sum(sizes[1:])
        backward = weights + behind_first
        labelled, unlabelled = self.labelled, self.unlabelled
        teacher = (2 * unlabelled + labelled) * weights + (unlabelled + labelled) * backward
        student = unlabelled * (weights + backward) + labelled * weights
        if self.feedback == "exact":
            feedback = (labelled + unlabelled) * backward
        else:
            feedback = labelled * weights
        return 2 * (teacher + student + feedback)


@dataclass(frozen=True)
class ImageProblem:
    """The same of a WideResNet-28-2 on images, each view with batch statistics of its own."""

    feedback: str
    threads: int
    labelled: int = 16
    unlabelled: int = 112
    size: int = 32  # height and width
    classes: int = 10
    options: tuple = ()  # of Didact's trainer: names and values

    def network(self, didact):
        return didact.wide_resnet([self.size, self.size, 3], self.classes), dict(self.options)

    feedback_weight = Problem.feedback_weight

    def batch(self):
        """x, y, weak, strong, images channels last."""
        random = np.random.default_rng(0)
        x = random.standard_normal((self.labelled, self.size, self.size, 3), dtype=np.float32)
        y = random.integers(self.classes, size=self.labelled)
        weak = random.standard_normal((self.unlabelled, self.size, self.size, 3), dtype=np.float32)
        strong = weak + np.float32(0.2) * random.standard_normal(weak.shape, dtype=np.float32)
        return x, y, weak, strong


def sampled_labels(probabilities, step):
    """The classes that Didact's trainer of seed 0 samples in a step: the first class whose cumulative probability
    exceeds the row's uniform number."""
    numbers = uniforms(0, "pseudo_labels", step, len(probabilities))
    cumulative = np.cumsum(probabilities.astype(np.float64), axis=1)
    return np.minimum((cumulative <= numbers[:, None]).sum(axis=1), probabilities.shape[1] - 1)


def peak_memory(step, steps=3):
    """By how many bytes the resident memory of this process grows at most during the first steps, and what it then is."""
    status = Path("/proc/self/status")

    def bytes_of(key):
        line = next(line for line in status.read_text().splitlines() if line.startswith(key))
        return 1024 * int(line.split()[1])

    # The peak starts anew.
    Path("/proc/self/clear_refs").write_text("5")
    before = bytes_of("VmRSS")
    for _ in range(steps):
        step()
    peak = bytes_of("VmHWM")
    return {"growth": peak - before, "process": peak}
