"""Ten steps of every method in PyTorch (float64), each loss written from its equation.

method_steps.npz
    series                              names of the series
    specification, seed                 of all networks and of the trainer
    xl [10, 8, 4], yl [10, 8], xu [10, 16, 4], xu_strong [10, 16, 4]    one batch per step
    X [24, 4], y [24]                   for the methods that train by fits alone: all rows in every step
    distributions [24, 3]               what a teacher says of X
    initial/teacher/<name>, initial/student/<name>      parameters and statistics
    <series>/method, <series>/configuration
    <series>/by_fit                     True: trained on X and y
    <series>/loss/<term>, <series>/gradient_norm/<term>     [10], unweighted; 0 where not computed
    <series>/step_<n>/<role>/<name>     after steps n = 1, 2 and 10, with statistics after step 10

Running statistics move by the labelled pass, which others may be in ("joint"), and by the one pass on unlabelled rows that
learns; other passes use their batch's statistics, or the running ones where an equation says "evaluation".
"""

import math

import numpy
import torch
import torch.nn.functional as functional
from random_stream import beta, normals, permutation
from torch_restatement import (
    Archive,
    clusters,
    cross_entropy,
    detached,
    forward,
    gradient,
    initial_state,
    initial_statistics,
    leaves,
    mlp,
    norm,
    one_hot,
    random_parameters,
    smoothed,
    stepped,
    update,
)

SPECIFICATION = mlp(4, [7, 6], 3, batch_norm=True)
SEED, STEPS = 20170306, 10
OPTIMIZER = {
    "name": "sgd", "learning_rate": 0.1, "momentum": 0.9, "nesterov": True, "weight_decay": 1e-3, "clip_norm": 2.0,
}  # fmt: skip


def softmax(logits):
    return functional.softmax(logits, dim=1)


def squared_difference(probabilities, targets):
    """The mean over rows and classes."""
    return ((probabilities - targets) ** 2).mean()


def most_probable(probabilities):
    return one_hot(probabilities.argmax(dim=1), probabilities.shape[1])


def confident(probabilities, threshold):
    largest = probabilities.max(dim=1).values
    assert (largest - threshold).abs().min() > 1e-6, "too near the threshold to be reproducible"
    return (largest >= threshold).to(torch.float64)


def ramp(shape, step, share):
    length = share * STEPS
    if step >= length:
        return 1.0
    t = step / length
    return t if shape == "linear" or step == 0 else math.exp(-5 * (1 - t) ** 2)


class Learner:
    """A network with its optimiser."""

    def __init__(self, parameters, statistics, configuration):
        self.parameters, self.statistics = leaves(parameters), detached(statistics)
        self.configuration = configuration
        self.state = initial_state(configuration, parameters)

    def __call__(self, x, updating=False):
        """Logits with the batch's statistics."""
        return forward(self.parameters, SPECIFICATION, x, self.statistics if updating else None)

    def together(self, *views):
        """Logits of views that share their statistics."""
        return torch.split(self(torch.cat(views), updating=True), [len(view) for view in views])

    def evaluate(self, x):
        with torch.no_grad():
            return forward(self.parameters, SPECIFICATION, x, self.statistics, training=False)

    def learn(self, terms):
        """A step along the sum of the weighted terms; losses and gradient norms without the weights."""
        total = {name: torch.zeros_like(value) for name, value in self.parameters.items()}
        metrics = {}
        for term, (loss, weight) in terms.items():
            if weight == 0:
                continue
            g = gradient(loss, self.parameters, retain_graph=True)
            metrics[f"loss/{term}"], metrics[f"gradient_norm/{term}"] = loss.detach(), norm(g).detach()
            total = {name: total[name] + weight * g[name] for name in total}
        step, state = update(self.configuration, self.parameters, total, self.state)
        self.parameters, self.state = leaves(stepped(self.parameters, step)), detached(state)
        return metrics


class Method:
    """One network that learns from labels, and from what `unlabeled` adds."""

    configuration = {}
    by_fit = False
    name = None

    def __init__(self, teacher, student, statistics):
        self.student = Learner(student, statistics, OPTIMIZER)
        self.teacher = Learner(teacher, statistics, OPTIMIZER)
        self.average, self.average_statistics = detached(student), detached(statistics)
        self.count = 0

    def supervised(self, learner, xl, yl):
        return self.of_labels(learner(xl, updating=True), yl)

    def of_labels(self, logits, yl):
        targets = smoothed(one_hot(yl, 3), self.configuration.get("label_smoothing", 0.0))
        return cross_entropy(targets, logits).mean()

    def step(self, xl, yl, xu, xu_strong):
        terms = {"supervised": (self.supervised(self.student, xl, yl), 1.0), **self.unlabeled(xu, xu_strong)}
        return self.student.learn(terms)

    def update_average(self):
        decay = self.configuration.get("average_decay")
        if decay is None:
            return
        if self.configuration.get("average_warmup") == "mean_teacher":
            decay = min(decay, 1 - 1 / (self.count + 1))
        elif self.configuration.get("average_warmup") == "tensorflow":
            decay = min(decay, (1 + self.count) / (10 + self.count))
        of_statistics = decay if self.configuration.get("eman") else 0.0
        for name, value in self.student.parameters.items():
            self.average[name] = decay * self.average[name] + (1 - decay) * value.detach()
        for name, value in self.student.statistics.items():
            self.average_statistics[name] = of_statistics * self.average_statistics[name] + (1 - of_statistics) * value
        self.count += 1

    def by_average(self, x, training):
        with torch.no_grad():
            return forward(
                self.average, SPECIFICATION, x, None if training else self.average_statistics, training=training
            )

    def roles(self):
        roles = {"student": (self.student.parameters, self.student.statistics)}
        if "teacher_optimizer" in self.configuration:
            roles["teacher"] = (self.teacher.parameters, self.teacher.statistics)
        if "average_decay" in self.configuration:
            roles["average"] = (self.average, self.average_statistics)
        return roles


class Supervised(Method):
    name = "supervised"
    configuration = {"label_smoothing": 0.1}

    def unlabeled(self, xu, xu_strong):
        return {}


class PseudoLabel(Method):
    name = "pseudo_label"
    configuration = {"pseudo_label_threshold": 0.6, "unlabeled_weight": 1.5, "unlabeled_ramp": 0.5}

    def unlabeled(self, xu, xu_strong):
        logits = self.student(xu)
        q = softmax(logits).detach()
        loss = (confident(q, 0.6) * cross_entropy(most_probable(q), logits)).mean()
        return {"pseudo_label": (loss, 1.5 * ramp("linear", self.count_of_steps, 0.5))}


class UDA(Method):
    name = "uda"
    configuration = {
        "unlabeled_weight": 2.0, "uda_temperature": 0.6, "uda_threshold": 0.6, "uda_confidence": "raw",
        "uda_divisor": "kept", "entropy_weight": 0.2, "student_batch": "separate",
    }  # fmt: skip

    def unlabeled(self, xu, xu_strong):
        return self.of_views(self.student(xu), self.student(xu_strong, updating=True))

    def of_views(self, weak, strong):
        target = softmax(weak / 0.6).detach()
        mask = confident(softmax(weak).detach(), 0.6)
        values = cross_entropy(target, strong)
        entropy = cross_entropy(softmax(weak), weak).mean()
        return {"uda": ((mask * values).sum() / mask.sum(), 2.0), "entropy": (entropy, 0.2)}


class JointUDA(UDA):
    configuration = {**UDA.configuration, "student_batch": "joint"}

    def step(self, xl, yl, xu, xu_strong):
        labeled, weak, strong = self.student.together(xl, xu, xu_strong)
        return self.student.learn({"supervised": (self.of_labels(labeled, yl), 1.0), **self.of_views(weak, strong)})


class AnnealedUDA(UDA):
    """Training-signal annealing: labels count whose probability is at most the threshold."""

    configuration = {"student_batch": "separate", "unlabeled_weight": 0.0, "signal_annealing": "exponential", "signal_annealing_divisor": "kept"}

    def unlabeled(self, xu, xu_strong):
        return {}

    def supervised(self, learner, xl, yl):
        logits = learner(xl, updating=True)
        threshold = math.exp(5 * (self.count_of_steps / STEPS - 1)) * (1 - 1 / 3) + 1 / 3
        probability = softmax(logits).detach()[torch.arange(len(yl)), yl]
        mask = (probability <= threshold).to(torch.float64)
        return (mask * cross_entropy(one_hot(yl, 3), logits)).sum() / max(1.0, float(mask.sum()))


class FixMatch(Method):
    name = "fixmatch"
    configuration = {"pseudo_label_threshold": 0.6, "unlabeled_weight": 1.5, "student_batch": "separate"}

    def labels(self, xu):
        return softmax(self.student(xu)).detach()

    def weights(self, q):
        return confident(q, 0.6)

    def unlabeled(self, xu, xu_strong):
        return self.of_view(self.labels(xu), self.student(xu_strong, updating=True))

    def of_view(self, q, strong):
        return {"pseudo_label": ((self.weights(q) * cross_entropy(most_probable(q), strong)).mean(), 1.5)}


class JointFixMatch(FixMatch):
    configuration = {**FixMatch.configuration, "student_batch": "joint"}

    def step(self, xl, yl, xu, xu_strong):
        labeled, weak, strong = self.student.together(xl, xu, xu_strong)
        terms = self.of_view(softmax(weak).detach(), strong)
        return self.student.learn({"supervised": (self.of_labels(labeled, yl), 1.0), **terms})


class FixMatchEMAN(FixMatch):
    configuration = {**FixMatch.configuration, "average_decay": 0.8, "eman": True}

    def labels(self, xu):
        return softmax(self.by_average(xu, training=False))


class JointFixMatchEMAN(FixMatchEMAN):
    """The average labels by itself."""

    configuration = {**FixMatchEMAN.configuration, "student_batch": "joint"}

    def step(self, xl, yl, xu, xu_strong):
        labeled, strong = self.student.together(xl, xu_strong)
        terms = self.of_view(self.labels(xu), strong)
        return self.student.learn({"supervised": (self.of_labels(labeled, yl), 1.0), **terms})


class FixMatchAligned(FixMatch):
    """Berthelot et al. 2020 (ReMixMatch), section 3.1."""

    configuration = {**FixMatch.configuration, "distribution_alignment": True}

    def __init__(self, *arguments):
        super().__init__(*arguments)
        # Equal shares that count as one batch.
        self.labeled_share = self.predicted_share = torch.full((3,), 1 / 3 / 128, dtype=torch.float64)

    def supervised(self, learner, xl, yl):
        self.labeled_share = self.labeled_share * (127 / 128) + one_hot(yl, 3).mean(0) / 128
        return super().supervised(learner, xl, yl)

    def labels(self, xu):
        return self.aligned(super().labels(xu))

    def aligned(self, q):
        self.predicted_share = self.predicted_share * (127 / 128) + q.mean(0) / 128
        aligned = q * self.labeled_share / self.predicted_share
        return aligned / aligned.sum(1, keepdim=True)


class FixMatchRelative(FixMatch):
    """The threshold of AdaMatch: Berthelot et al. 2022."""

    configuration = {**FixMatch.configuration, "threshold_rule": "relative", "pseudo_label_threshold": 0.9}

    def supervised(self, learner, xl, yl):
        logits = learner(xl, updating=True)
        self.labeled_confidence = softmax(logits).max(dim=1).values.mean().detach()
        return cross_entropy(one_hot(yl, 3), logits).mean()

    def weights(self, q):
        return confident(q, 0.9 * self.labeled_confidence)


class FixMatchAveraged(FixMatch):
    """The averages over steps that the thresholds of FreeMatch and SoftMatch go by."""

    decay = 0.7

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.updates, self.level = 1, torch.tensor(1 / 3, dtype=torch.float64)

    def next_decay(self):
        self.updates += 1
        return min(self.decay, 1 - 1 / self.updates)


class FixMatchAdaptive(FixMatchAveraged):
    """The thresholds of FreeMatch: Wang et al. 2023."""

    configuration = {**FixMatch.configuration, "threshold_rule": "adaptive", "threshold_decay": FixMatchAveraged.decay}

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.shares = torch.full((3,), 1 / 3, dtype=torch.float64)

    def weights(self, q):
        decay = self.next_decay()
        self.level = decay * self.level + (1 - decay) * q.max(dim=1).values.mean()
        self.shares = decay * self.shares + (1 - decay) * q.mean(0)
        thresholds = (self.level * self.shares / self.shares.max())[q.argmax(dim=1)]
        return confident(q, thresholds)


class FixMatchSoft(FixMatchAveraged, FixMatchAligned):
    """The weights of SoftMatch, with its uniform alignment to the labels' shares: Chen et al. 2023."""

    configuration = {**FixMatch.configuration, "threshold_rule": "soft", "threshold_decay": FixMatchAveraged.decay}
    variance = 1.0

    def labels(self, xu):
        return FixMatch.labels(self, xu)

    def weights(self, q):
        largest, decay = self.aligned(q).max(dim=1).values, self.next_decay()
        self.level = decay * self.level + (1 - decay) * largest.mean()
        self.variance = decay * self.variance + (1 - decay) * largest.var()
        return torch.exp(-2 * (largest - self.level).clamp(max=0) ** 2 / self.variance)


class MeanTeacher(Method):
    name = "mean_teacher"
    configuration = {
        "unlabeled_weight": 5.0, "unlabeled_ramp": 0.5, "average_decay": 0.9, "average_warmup": "mean_teacher",
        "student_batch": "separate",
    }  # fmt: skip
    trains = True

    def unlabeled(self, xu, xu_strong):
        # What has no weight is not computed, and moves no statistics.
        if self.count_of_steps == 0:
            return {}
        target = softmax(self.by_average(xu, training=self.trains))
        loss = squared_difference(softmax(self.student(xu_strong, updating=True)), target)
        return {"consistency": (loss, 5.0 * ramp("exponential", self.count_of_steps, 0.5))}


class MeanTeacherEMAN(MeanTeacher):
    configuration = {**MeanTeacher.configuration, "eman": True, "average_warmup": "tensorflow"}
    trains = False


class JointMeanTeacher(MeanTeacher):
    configuration = {**MeanTeacher.configuration, "student_batch": "joint"}

    def step(self, xl, yl, xu, xu_strong):
        labeled, strong = self.student.together(xl, xu_strong)
        target = softmax(self.by_average(torch.cat([xl, xu]), training=True))[len(xl) :]
        weight = 5.0 * ramp("exponential", self.count_of_steps, 0.5) if self.count_of_steps > 0 else 0
        return self.student.learn({
            "supervised": (self.of_labels(labeled, yl), 1.0),
            "consistency": (squared_difference(softmax(strong), target), weight),
        })  # fmt: skip


class PiModel(Method):
    name = "pi_model"
    configuration = {"unlabeled_weight": 5.0, "unlabeled_ramp": 0.5, "student_batch": "separate"}

    def unlabeled(self, xu, xu_strong):
        if self.count_of_steps == 0:
            return {}
        loss = squared_difference(softmax(self.student(xu_strong, updating=True)), softmax(self.student(xu)))
        return {"consistency": (loss, 5.0 * ramp("exponential", self.count_of_steps, 0.5))}


class JointPiModel(PiModel):
    configuration = {**PiModel.configuration, "student_batch": "joint"}

    def step(self, xl, yl, xu, xu_strong):
        labeled, weak = self.student.together(xl, xu)
        terms = {"supervised": (self.of_labels(labeled, yl), 1.0)}
        if self.count_of_steps > 0:
            loss = squared_difference(softmax(self.student.together(xl, xu_strong)[1]), softmax(weak))
            terms["consistency"] = (loss, 5.0 * ramp("exponential", self.count_of_steps, 0.5))
        return self.student.learn(terms)


class TemporalEnsembling(Method):
    name = "temporal_ensembling"
    configuration = {"unlabeled_weight": 5.0, "unlabeled_ramp": 0.5, "ensemble_decay": 0.6}
    by_fit = True
    ensemble = 0.0

    def unlabeled(self, xu, xu_strong):
        p = softmax(self.student(xu_strong, updating=True))
        terms = {}
        if self.count_of_steps > 0:
            target = self.ensemble / (1 - 0.6**self.count_of_steps)
            terms["consistency"] = (
                squared_difference(p, target), 5.0 * ramp("exponential", self.count_of_steps, 0.5),
            )  # fmt: skip
        self.ensemble = 0.6 * self.ensemble + 0.4 * p.detach()
        return terms


class InterpolationConsistency(Method):
    name = "ict"
    configuration = {"unlabeled_weight": 5.0, "unlabeled_ramp": 0.0, "mixing_parameter": 0.5, "average_decay": 0.9,
                     "average_warmup": "none", "teacher_mode": "evaluation"}  # fmt: skip

    def unlabeled(self, xu, xu_strong):
        share = beta(SEED, "mixing", self.count_of_steps, 0.5, lane=1)
        share = max(share, 1 - share)
        order = permutation(SEED, "mixing", self.count_of_steps, len(xu))
        target = softmax(self.by_average(xu, training=self.configuration["teacher_mode"] == "training"))
        mixed = self.student(share * xu + (1 - share) * xu[order], updating=True)
        loss = squared_difference(softmax(mixed), share * target + (1 - share) * target[order])
        return {"consistency": (loss, 5.0)}


class TrainingInterpolationConsistency(InterpolationConsistency):
    configuration = {**InterpolationConsistency.configuration, "teacher_mode": "training"}


class MixMatch(Method):
    name = "mixmatch"
    configuration = {"student_batch": "separate", "unlabeled_weight": 5.0, "unlabeled_ramp": 0.0, "mixing_parameter": 0.75,
                     "sharpening_temperature": 0.5, "label_smoothing": 0.1}  # fmt: skip

    def step(self, xl, yl, xu, xu_strong):
        mean = (softmax(self.student(xu)) + softmax(self.student(xu_strong))).detach() / 2
        q = mean**2 / (mean**2).sum(dim=1, keepdim=True)
        rows = torch.cat([xl, xu, xu_strong])
        targets = torch.cat([smoothed(one_hot(yl, 3), 0.1), q, q])
        share = beta(SEED, "mixing", self.count_of_steps, 0.75, lane=1)
        share = max(share, 1 - share)
        order = permutation(SEED, "mixing", self.count_of_steps, len(rows))
        rows, targets = (share * part + (1 - share) * part[order] for part in (rows, targets))
        labeled, unlabeled = self.passes(rows[: len(xl)], rows[len(xl) :])
        return self.student.learn({
            "supervised": (cross_entropy(targets[: len(xl)], labeled).mean(), 1.0),
            "consistency": (squared_difference(softmax(unlabeled), targets[len(xl) :]), 5.0),
        })  # fmt: skip

    def passes(self, labeled, unlabeled):
        return self.student(labeled, updating=True), self.student(unlabeled)


class JointMixMatch(MixMatch):
    configuration = {**MixMatch.configuration, "student_batch": "joint"}

    def passes(self, labeled, unlabeled):
        return self.student.together(labeled, unlabeled)


class VirtualAdversarialTraining(Method):
    name = "vat"
    configuration = {"unlabeled_weight": 2.0, "unlabeled_ramp": 0.0, "adversarial_radius": 0.7,
                     "power_iterations": 2, "entropy_weight": 0.3}  # fmt: skip

    def unlabeled(self, xu, xu_strong):
        clean = self.student(xu)
        p = softmax(clean).detach()

        def divergence(shift):
            return (p * (p.log() - functional.log_softmax(self.student(xu + shift), dim=1))).sum(dim=1)

        def unit(rows):
            return rows / rows.norm(dim=1, keepdim=True)

        draws = normals(SEED, "adversarial directions", self.count_of_steps, xu.numel())
        direction = unit(torch.tensor(draws).reshape(xu.shape))
        for _ in range(2):
            # The Hessian of the divergence at 0 times the direction.
            shift = torch.zeros_like(xu, requires_grad=True)
            (slope,) = torch.autograd.grad(divergence(shift).sum(), shift, create_graph=True)
            (change,) = torch.autograd.grad((slope * direction).sum(), shift)
            direction = unit(change)
        entropy = cross_entropy(softmax(clean), clean).mean()
        return {"consistency": (divergence(0.7 * direction).mean(), 2.0), "entropy": (entropy, 0.3)}


class Staged(Method):
    """The teacher learns from labels in the first half of the steps, and then labels."""

    def step(self, xl, yl, xu, xu_strong):
        if self.count_of_steps < STEPS // 2:
            return self.teacher.learn({"teacher": (self.supervised(self.teacher, xl, yl), 1.0)})
        return self.student_step(xl, yl, self.teacher.evaluate(xu), xu_strong)


class SelfTraining(Staged):
    name = "self_training"
    configuration = {"pseudo_label_threshold": 0.6, "supervised_weight": 0.5, "unlabeled_weight": 1.5,
                     "teacher_optimizer": OPTIMIZER}  # fmt: skip

    def student_step(self, xl, yl, teacher_logits, xu_strong):
        q = softmax(teacher_logits)
        supervised = self.supervised(self.student, xl, yl)
        values = cross_entropy(most_probable(q), self.student(xu_strong, updating=True))
        return self.student.learn({
            "supervised": (supervised, 0.5), "pseudo_label": ((confident(q, 0.6) * values).mean(), 1.5),
        })  # fmt: skip


class Distillation(Staged):
    name = "distillation"
    configuration = {"teacher_share": 0.5, "distillation_weight": 0.8, "distillation_temperature": 3.0,
                     "teacher_optimizer": OPTIMIZER}  # fmt: skip

    def student_step(self, xl, yl, teacher_logits, xu_strong):
        supervised = self.supervised(self.student, xl, yl)
        values = cross_entropy(softmax(teacher_logits / 3), self.student(xu_strong, updating=True) / 3)
        return self.student.learn({"supervised": (supervised, 0.2), "distillation": (9 * values.mean(), 0.8)})


class ReducedMetaPseudoLabels(Method):
    """With exact feedback, by double backward through the student's step."""

    name = "reduced_meta_pseudo_labels"
    configuration = {
        "feedback": "exact", "feedback_weight": 5.0, "teacher_temperature": 1.2, "label_smoothing": 0.1,
        "corrector_hidden": [5], "corrector_activation": "tanh", "corrector_optimizer": OPTIMIZER,
    }  # fmt: skip
    by_fit = True
    CORRECTOR = mlp(3, [5], 3)

    def begin(self, distributions, corrector):
        self.distributions = distributions
        self.corrector = leaves(corrector)
        self.corrector_state = initial_state(OPTIMIZER, corrector)

    def step(self, xl, yl, xu, xu_strong):
        p = self.distributions
        corrector = self.corrector
        z = p.log() + forward(corrector, self.CORRECTOR, p)
        targets = smoothed(softmax(z / 1.2), 0.1)
        student = self.student.parameters
        loss = cross_entropy(targets, self.student(xu_strong, updating=True)).mean()
        g = gradient(loss, student, create_graph=True)
        step, state = update(OPTIMIZER, student, g, self.student.state)
        after = stepped(student, step)
        feedback = functional.cross_entropy(forward(after, SPECIFICATION, xl), yl)
        pull = gradient(feedback, corrector)
        total = {name: 5.0 * value for name, value in pull.items()}
        corrector_step, corrector_state = update(OPTIMIZER, corrector, total, self.corrector_state)
        self.student.parameters, self.student.state = leaves(after), detached(state)
        self.corrector, self.corrector_state = leaves(stepped(corrector, corrector_step)), detached(corrector_state)
        return {
            "loss/student": loss.detach(), "gradient_norm/student": norm(g).detach(),
            "loss/feedback": feedback.detach(), "gradient_norm/feedback": norm(pull).detach(),
        }  # fmt: skip

    def roles(self):
        return {**super().roles(), "corrector": (self.corrector, {})}


SERIES = {
    "supervised": Supervised, "pseudo_label": PseudoLabel, "self_training": SelfTraining, "uda": UDA,
    "uda_annealed": AnnealedUDA, "fixmatch": FixMatch, "fixmatch_eman": FixMatchEMAN, "mean_teacher": MeanTeacher,
    "mean_teacher_eman": MeanTeacherEMAN, "pi_model": PiModel, "temporal_ensembling": TemporalEnsembling,
    "ict": InterpolationConsistency, "mixmatch": MixMatch, "vat": VirtualAdversarialTraining,
    "distillation": Distillation, "reduced": ReducedMetaPseudoLabels, "fixmatch_aligned": FixMatchAligned,
    "fixmatch_relative": FixMatchRelative, "fixmatch_adaptive": FixMatchAdaptive, "fixmatch_soft": FixMatchSoft,
    "uda_joint": JointUDA, "fixmatch_joint": JointFixMatch, "fixmatch_eman_joint": JointFixMatchEMAN,
    "mean_teacher_joint": JointMeanTeacher, "pi_model_joint": JointPiModel, "mixmatch_joint": JointMixMatch,
    "ict_training": TrainingInterpolationConsistency,
}  # fmt: skip


def make_method_steps(path):
    print("method_steps")
    generator = numpy.random.default_rng(106)
    archive = Archive()
    yl, yu = generator.integers(0, 3, (STEPS, 8)), generator.integers(0, 3, (STEPS, 16))
    xl, xu = clusters(generator, yl, 4, 0.9), clusters(generator, yu, 4, 0.9)
    xu_strong = xu + torch.tensor(generator.normal(0, 0.5, (STEPS, 16, 4)))
    classes = numpy.arange(24) % 3
    X = clusters(generator, classes, 4, 0.9)
    y = torch.tensor(numpy.where(numpy.arange(24) < 8, classes, -1))
    yl = torch.tensor(yl)
    distributions = torch.tensor(generator.dirichlet([1.0] * 3, 24))
    for name, value in dict(
        specification=SPECIFICATION, seed=SEED, xl=xl, yl=yl, xu=xu, xu_strong=xu_strong, X=X, y=y,
        distributions=distributions,
    ).items():  # fmt: skip
        archive.add(name, value)
    teacher = random_parameters(generator, SPECIFICATION, gain=1.2)
    student = random_parameters(generator, SPECIFICATION, gain=1.2)
    corrector = random_parameters(generator, ReducedMetaPseudoLabels.CORRECTOR)
    statistics = initial_statistics(SPECIFICATION)
    archive.add_all("initial/teacher", {**teacher, **statistics})
    archive.add_all("initial/student", {**student, **statistics})
    archive.add_all("initial/corrector", corrector)
    archive.add("series", list(SERIES))

    for name, kind in SERIES.items():
        method = kind(teacher, student, statistics)
        if isinstance(method, ReducedMetaPseudoLabels):
            method.begin(distributions, corrector)
        archive.add(f"{name}/method", kind.name)
        archive.add(f"{name}/by_fit", kind.by_fit)
        archive.add(f"{name}/configuration", {**kind.configuration, "student_optimizer": OPTIMIZER})
        history = []
        for step in range(STEPS):
            method.count_of_steps = step
            batch = (X[:8], y[:8], X, X) if kind.by_fit else (xl[step], yl[step], xu[step], xu_strong[step])
            history.append(method.step(*batch))
            method.update_average()
            if step + 1 in (1, 2, STEPS):
                for role, (parameters, state) in method.roles().items():
                    archive.add_all(f"{name}/step_{step + 1}/{role}", parameters)
                    if step + 1 == STEPS:
                        archive.add_all(f"{name}/step_{step + 1}/{role}", state)
        keys = dict.fromkeys(key for metrics in history for key in metrics)
        nothing = torch.tensor(0.0)
        for key in keys:
            values = torch.stack([metrics.get(key, nothing) for metrics in history])
            archive.add(f"{name}/{key}", values)
            if key.startswith("gradient_norm"):
                assert (values[values != 0] > 1e-4).all() and (values != 0).sum() >= 4, (name, key, values)
        print(f"  {name}: {', '.join(key for key in keys if key.startswith('loss'))}")
    archive.save(path)
