"""The step in Didact, whose losses the other contenders have to reproduce."""

import didact
import numpy as np
from contenders import problem as common


class DidactStep:
    def __init__(self, problem, reports_norms=True):
        self.problem, self.batch = problem, problem.batch()
        optimizer = {"learning_rate": common.LEARNING_RATE, "momentum": common.MOMENTUM, "nesterov": True}
        self.trainer = didact.Trainer(
            "meta_pseudo_labels",
            didact.mlp(problem.inputs, problem.hidden, problem.classes),
            threads=problem.threads,
            feedback=problem.feedback,
            term_gradient_norms=reports_norms,
            feedback_weight=problem.feedback_weight,
            uda_weight=common.UDA_WEIGHT,
            uda_temperature=common.UDA_TEMPERATURE,
            uda_threshold=common.UDA_THRESHOLD,
            student_optimizer=optimizer,
            teacher_optimizer=optimizer,
        )

    def __call__(self):
        self.trainer.step(*self.batch)

    def reference(self, steps):
        """Initial weights of both networks, and the labels and losses of the first steps."""
        networks = {
            role: [np.array(values) for values in getattr(self.trainer, role).parameters.values()]
            for role in ("teacher", "student")
        }
        labels, losses = [], []
        for step in range(steps):
            labels.append(common.sampled_labels(self.trainer.teacher.predict_proba(self.batch[3]), step))
            metrics = self.trainer.step(*self.batch)
            # The loss after the student's step, or by how much it fell.
            feedback = metrics["loss/feedback" if self.problem.feedback == "exact" else "feedback"]
            losses.append([metrics["loss/student"], metrics["loss/supervised"], metrics["loss/uda"], feedback])
        return networks, labels, losses
