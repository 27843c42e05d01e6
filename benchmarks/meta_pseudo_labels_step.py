"""One Meta Pseudo Labels step on a multilayer perceptron: Didact beside eager PyTorch, in one run.

PyTorch runs the same terms, restated from the equations in its usual style: a supervised and a consistency term for
the teacher, feedback by the loss difference on sampled labels, or exact feedback by double backward. The two first
show that they compute the same losses over three steps, then they are timed in turn.

Run: scripts/bench
"""

import argparse
import importlib.util
import json
import statistics
import time
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

import didact

CHECKOUT = Path(__file__).resolve().parents[1]
SETTINGS = {"learning_rate": 0.05, "momentum": 0.9, "nesterov": True}
UDA_WEIGHT, UDA_TEMPERATURE, UDA_THRESHOLD = 1.0, 0.7, 0.6


class TorchStep:
    """The same step in eager PyTorch."""

    def __init__(self, trainer, sizes, feedback):
        self.feedback = feedback
        self.teacher, self.student = (self.network(sizes, n) for n in (trainer.teacher, trainer.student))
        self.optimizers = [
            torch.optim.SGD(network.parameters(), lr=0.05, momentum=0.9, nesterov=True)
            for network in (self.teacher, self.student)
        ]

    @staticmethod
    def network(sizes, source):
        layers = []
        for inputs, outputs in zip(sizes, sizes[1:]):
            layers += [torch.nn.Linear(inputs, outputs), torch.nn.ReLU()]
        network = torch.nn.Sequential(*layers[:-1])
        with torch.no_grad():
            for parameter, values in zip(network.parameters(), source.parameters.values()):
                parameter.copy_(torch.from_numpy(values.copy()))
        return network

    def __call__(self, x, y, weak, strong, draw_labels):
        teacher_optimizer, student_optimizer = self.optimizers
        strong_logits = self.teacher(strong)
        if self.feedback == "exact":
            student_loss, feedback_term = self.exact(x, y, strong, strong_logits, student_optimizer)
        else:
            labels = draw_labels(strong_logits.detach())
            with torch.no_grad():
                old = F.cross_entropy(self.student(x), y)
            student_loss = F.cross_entropy(self.student(strong), labels)
            student_optimizer.zero_grad()
            student_loss.backward()
            student_optimizer.step()
            with torch.no_grad():
                improvement = old - F.cross_entropy(self.student(x), y)
            feedback_term = improvement * F.cross_entropy(strong_logits, labels, reduction="sum")
        supervised = F.cross_entropy(self.teacher(x), y)
        with torch.no_grad():
            target = torch.softmax(self.teacher(weak) / UDA_TEMPERATURE, -1)
            mask = (target.max(-1).values >= UDA_THRESHOLD).to(target.dtype)
        consistency = (mask * -(target * F.log_softmax(strong_logits, -1)).sum(-1)).mean()
        teacher_optimizer.zero_grad()
        (supervised + UDA_WEIGHT * consistency + feedback_term).backward()
        teacher_optimizer.step()
        return student_loss.item(), supervised.item(), consistency.item()

    def exact(self, x, y, strong, strong_logits, optimizer):
        """The gradient of the student's labelled loss after its step, by double backward."""
        q = torch.softmax(strong_logits, -1)
        parameters = dict(self.student.named_parameters())
        loss = -(q * F.log_softmax(self.student(strong), -1)).sum(-1).mean()
        gradients = torch.autograd.grad(loss, list(parameters.values()), create_graph=True)
        moved = {}
        for (name, parameter), gradient in zip(parameters.items(), gradients):
            momentum = optimizer.state[parameter].get("momentum_buffer") if optimizer.state[parameter] else None
            momentum = gradient if momentum is None else 0.9 * momentum + gradient
            moved[name] = parameter - 0.05 * (gradient + 0.9 * momentum)
        objective = F.cross_entropy(torch.func.functional_call(self.student, moved, (x,)), y)
        # Up to the teacher's logits, so that the student may move before the teacher's own backward.
        (cotangent,) = torch.autograd.grad(objective, strong_logits)
        for parameter, gradient in zip(parameters.values(), gradients):
            parameter.grad = gradient.detach()
        optimizer.step()
        return loss, (strong_logits * cotangent).sum()


def agree(trainer, step, batch, tensors, labels_of_step):
    """Both sides' losses over three steps, to a relative 1e-4."""
    for index in range(3):
        metrics = trainer.step(*batch)
        losses = step(*tensors, lambda logits: labels_of_step(logits, index))
        for name, value in zip(("student", "supervised", "uda"), losses):
            ours = metrics[f"loss/{name}"]
            assert abs(ours - value) < 1e-4 * max(1, abs(value)), (index, name, ours, value)


def timed(calls, rounds):
    """Seconds of each call, taken in turn so that both see the same machine."""
    seconds = {name: [] for name in calls}
    for round_ in range(rounds + 20):
        for name, call in calls.items():
            start = time.perf_counter()
            call()
            if round_ >= 20:
                seconds[name].append(time.perf_counter() - start)
    return seconds


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--hidden", type=int, nargs="*", default=[64, 64])
    parser.add_argument("--inputs", type=int, default=2)
    parser.add_argument("--classes", type=int, default=2)
    parser.add_argument("--labeled", type=int, default=64)
    parser.add_argument("--unlabeled", type=int, default=448)
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--threads", type=int, default=2, help="PyTorch's")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)

    # The fixtures' script restates Didact's random stream, so that both sides sample the same labels.
    specification = importlib.util.spec_from_file_location("fixtures", CHECKOUT / "scripts/make-torch-fixtures.py")
    fixtures = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(fixtures)
    torch.set_default_dtype(torch.float32)  # the fixtures are float64

    random = np.random.default_rng(0)
    sizes = [arguments.inputs, *arguments.hidden, arguments.classes]
    x = random.standard_normal((arguments.labeled, arguments.inputs)).astype(np.float32)
    y = random.integers(arguments.classes, size=arguments.labeled)
    weak = random.standard_normal((arguments.unlabeled, arguments.inputs)).astype(np.float32)
    strong = weak + 0.2 * random.standard_normal(weak.shape).astype(np.float32)
    batch, tensors = (x, y, weak, strong), [torch.from_numpy(array) for array in (x, y, weak, strong)]

    def labels_of_step(logits, index):
        numbers = fixtures.uniforms(0, "pseudo_labels", index, len(logits))
        cumulative = torch.softmax(logits, -1).double().cumsum(-1).numpy()
        chosen = np.minimum((cumulative <= np.asarray(numbers)[:, None]).sum(-1), arguments.classes - 1)
        return torch.from_numpy(chosen)

    results = {}
    for feedback in ("loss_difference", "exact"):
        network = didact.mlp(arguments.inputs, arguments.hidden, arguments.classes)
        trainer = didact.Trainer(
            "meta_pseudo_labels", network, feedback=feedback, uda_weight=UDA_WEIGHT, uda_threshold=UDA_THRESHOLD,
            uda_temperature=UDA_TEMPERATURE, student_optimizer=SETTINGS, teacher_optimizer=SETTINGS,
        )  # fmt: skip
        step = TorchStep(trainer, sizes, feedback)
        agree(trainer, step, batch, tensors, labels_of_step)

        def sampled(logits):
            return torch.multinomial(torch.softmax(logits, -1), 1)[:, 0]

        seconds = timed({"didact": lambda: trainer.step(*batch), "torch": lambda: step(*tensors, sampled)}, arguments.rounds)
        results[feedback] = {
            name: dict(zip(("low", "median", "high"), np.percentile(values, [10, 50, 90]) * 1e3))
            for name, values in seconds.items()
        }
        results[feedback]["ratio"] = statistics.median(seconds["torch"]) / statistics.median(seconds["didact"])
    if arguments.json:
        print(json.dumps({"sizes": sizes, "torch": torch.__version__, **results}))
        return
    print(f"MLP {'-'.join(map(str, sizes))}, {arguments.labeled} labelled + {arguments.unlabeled} unlabelled rows in two views")
    print(f"milliseconds a step: median (10 % – 90 %); PyTorch {torch.__version__}, {arguments.threads} threads\n")
    for feedback, result in results.items():
        for name in ("didact", "torch"):
            row = result[name]
            print(f"{feedback:>16}  {name:7} {row['median']:7.3f} ({row['low']:.3f} – {row['high']:.3f})")
        print(f"{'':16}  torch / didact = {result['ratio']:.2f}\n")
    exact, difference = (results[key]["didact"]["median"] for key in ("exact", "loss_difference"))
    print(f"exact / loss_difference, didact = {exact / difference:.2f}")


if __name__ == "__main__":
    main()
