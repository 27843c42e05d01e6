"""The step in Didact, whose losses the other contenders have to reproduce."""

import didact
import numpy as np
from contenders import problem as common


class DidactStep:
    def __init__(self, problem, reports_norms=True):
        self.problem, self.batch = problem, problem.batch()
        network, options = problem.network(didact)
        optimizer = {"learning_rate": common.LEARNING_RATE, "momentum": common.MOMENTUM, "nesterov": True}
        self.trainer = didact.Trainer(
            "meta_pseudo_labels",
            network,
            threads=problem.threads,
            feedback=problem.feedback,
            term_gradient_norms=reports_norms,
            feedback_weight=problem.feedback_weight,
            uda_weight=common.UDA_WEIGHT,
            uda_temperature=common.UDA_TEMPERATURE,
            uda_threshold=common.UDA_THRESHOLD,
            student_optimizer=optimizer,
            teacher_optimizer=optimizer,
            **options,
        )

    def __call__(self):
        self.trainer.step(*self.batch)

    def distribution(self):
        """The teacher's on the strong view, which the step samples from."""
        logits = self.trainer.teacher.forward(self.batch[3], training=True).astype(np.float64)
        exponentials = np.exp(logits - logits.max(1, keepdims=True))
        return exponentials / exponentials.sum(1, keepdims=True)

    def reference(self, steps):
        """Initial weights of both networks by name, and the labels and losses of the first steps."""
        networks = {
            role: {name: np.array(values) for name, values in getattr(self.trainer, role).parameters.items()}
            for role in ("teacher", "student")
        }
        labels, losses = [], []
        for step in range(steps):
            labels.append(common.sampled_labels(self.distribution(), step))
            metrics = self.trainer.step(*self.batch)
            # The loss after the student's step, or by how much it fell.
            feedback = metrics["loss/feedback" if self.problem.feedback == "exact" else "feedback"]
            losses.append([metrics["loss/student"], metrics["loss/supervised"], metrics["loss/uda"], feedback])
        return networks, labels, losses

    def memory(self):
        return common.peak_memory(self)
