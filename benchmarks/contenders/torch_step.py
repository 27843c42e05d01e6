"""The step in PyTorch: eager as it is usually written, eager at its best, and compiled."""

import numpy as np
import torch
import torch.nn.functional as F
from contenders import problem as common


def forward(network, x):
    """Logits; a network is a list of weights [outputs, inputs] and biases, in turn. Functions in place of modules
    compute the same with fewer calls."""
    for weight, bias in zip(network[:-2:2], network[1:-2:2]):
        x = F.relu(F.linear(x, weight, bias))
    return F.linear(x, network[-2], network[-1])


def consistency(strong_logits, target):
    """Soft cross-entropy of the rows whose target is confident, as a mean over all rows."""
    mask = (target.amax(-1) >= common.UDA_THRESHOLD).to(target.dtype)
    return (mask * F.cross_entropy(strong_logits, target, reduction="none")).mean()


class TorchStep:
    """Eager: autograd, and the optimiser in its fused form."""

    def __init__(self, problem, networks):
        torch.set_num_threads(problem.threads)
        torch.manual_seed(0)
        self.problem = problem
        self.batch = [torch.from_numpy(array) for array in problem.batch()]
        self.teacher, self.student = (
            [torch.from_numpy(np.array(array)).requires_grad_() for array in networks[role].values()]
            for role in ("teacher", "student")
        )
        self.optimizers = [
            torch.optim.SGD(n, lr=common.LEARNING_RATE, momentum=common.MOMENTUM, nesterov=True, fused=True)
            for n in (self.teacher, self.student)
        ]
        # Exact feedback moves the student itself, because its gradient goes through the move.
        self.momentum = [torch.zeros_like(array) for array in self.student]

    def __call__(self, labels=None):
        x, y, weak, strong = self.batch
        teacher_optimizer, _ = self.optimizers
        with torch.no_grad():
            target = torch.softmax(forward(self.teacher, weak) / common.UDA_TEMPERATURE, -1)
        logits = forward(self.teacher, torch.cat([x, strong]))
        labelled_logits, strong_logits = logits[: len(x)], logits[len(x) :]
        supervised = F.cross_entropy(labelled_logits, y)
        uda = consistency(strong_logits, target)
        if self.problem.feedback == "exact":
            student_loss, reported, term = self.exact(x, y, strong, strong_logits)
        else:
            student_loss, reported, term = self.loss_difference(x, y, strong, strong_logits, labels)
        (supervised + common.UDA_WEIGHT * uda + self.problem.feedback_weight * term).backward()
        teacher_optimizer.step()
        teacher_optimizer.zero_grad()
        return torch.stack([student_loss, supervised, uda, reported]).tolist()

    def loss_difference(self, x, y, strong, strong_logits, labels):
        _, optimizer = self.optimizers
        if labels is None:
            cumulative = torch.softmax(strong_logits.detach(), -1).cumsum(-1)
            labels = (cumulative[:, :-1] <= torch.rand(len(strong), 1)).sum(-1)
        with torch.no_grad():
            before = F.cross_entropy(forward(self.student, x), y)
        loss = F.cross_entropy(forward(self.student, strong), labels)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        with torch.no_grad():
            improvement = before - F.cross_entropy(forward(self.student, x), y)
        return loss, improvement, improvement * F.cross_entropy(strong_logits, labels, reduction="sum")

    def exact(self, x, y, strong, strong_logits):
        """The gradient of the student's labelled loss after its step, by double backward."""
        logits = strong_logits.detach().requires_grad_()
        loss = F.cross_entropy(forward(self.student, strong), torch.softmax(logits, -1))
        gradients = torch.autograd.grad(loss, self.student, create_graph=True)
        momentum = torch._foreach_add(gradients, self.momentum, alpha=common.MOMENTUM)
        update = torch._foreach_add(gradients, momentum, alpha=common.MOMENTUM)
        moved = torch._foreach_add([array.detach() for array in self.student], update, alpha=-common.LEARNING_RATE)
        objective = F.cross_entropy(forward(moved, x), y)
        (cotangent,) = torch.autograd.grad(objective, logits)
        with torch.no_grad():
            torch._foreach_copy_(self.student, moved)
            torch._foreach_copy_(self.momentum, momentum)
        return loss, objective, (strong_logits * cotangent).sum()

    def losses(self, labels):
        """Of the first steps, with their labels given."""
        exact = self.problem.feedback == "exact"
        return [self(None if exact else torch.from_numpy(given)) for given in labels]


class ModuleTorchStep:
    """Eager, in the usual style of research code: modules, optimisers with their defaults, a forward for each view."""

    def __init__(self, problem, networks):
        torch.set_num_threads(problem.threads)
        torch.manual_seed(0)
        self.problem = problem
        self.batch = [self.tensor(array) for array in problem.batch()]
        self.teacher, self.student = (self.module(problem, networks[role]) for role in ("teacher", "student"))
        self.optimizers = [
            torch.optim.SGD(n.parameters(), lr=common.LEARNING_RATE, momentum=common.MOMENTUM, nesterov=True)
            for n in (self.teacher, self.student)
        ]

    tensor = staticmethod(torch.from_numpy)

    @staticmethod
    def module(problem, values):
        layers = []
        for inputs, outputs in zip(problem.widths, problem.widths[1:]):
            layers += [torch.nn.Linear(inputs, outputs), torch.nn.ReLU()]
        network = torch.nn.Sequential(*layers[:-1])
        with torch.no_grad():
            for parameter, array in zip(network.parameters(), values.values()):
                parameter.copy_(torch.from_numpy(np.array(array)))
        return network

    def __call__(self, labels=None):
        x, y, weak, strong = self.batch
        teacher_optimizer, student_optimizer = self.optimizers
        strong_logits = self.teacher(strong)
        if self.problem.feedback == "exact":
            student_loss, reported, term = self.exact(x, y, strong, strong_logits, student_optimizer)
        else:
            if labels is None:
                labels = torch.multinomial(torch.softmax(strong_logits.detach(), -1), 1)[:, 0]
            with torch.no_grad():
                before = F.cross_entropy(self.student(x), y)
            student_loss = F.cross_entropy(self.student(strong), labels)
            student_optimizer.zero_grad()
            student_loss.backward()
            student_optimizer.step()
            with torch.no_grad():
                reported = before - F.cross_entropy(self.student(x), y)
            term = reported * F.cross_entropy(strong_logits, labels, reduction="sum")
        supervised = F.cross_entropy(self.teacher(x), y)
        with torch.no_grad():
            target = torch.softmax(self.teacher(weak) / common.UDA_TEMPERATURE, -1)
        uda = consistency(strong_logits, target)
        teacher_optimizer.zero_grad()
        (supervised + common.UDA_WEIGHT * uda + self.problem.feedback_weight * term).backward()
        teacher_optimizer.step()
        return [value.item() for value in (student_loss, supervised, uda, reported)]

    def exact(self, x, y, strong, strong_logits, optimizer):
        """The gradient of the student's labelled loss after its step, by double backward."""
        parameters = dict(self.student.named_parameters())
        loss = F.cross_entropy(self.student(strong), torch.softmax(strong_logits, -1))
        gradients = torch.autograd.grad(loss, list(parameters.values()), create_graph=True)
        moved = {}
        for (name, parameter), gradient in zip(parameters.items(), gradients):
            momentum = optimizer.state[parameter].get("momentum_buffer") if optimizer.state[parameter] else None
            momentum = gradient if momentum is None else common.MOMENTUM * momentum + gradient
            moved[name] = parameter - common.LEARNING_RATE * (gradient + common.MOMENTUM * momentum)
        objective = F.cross_entropy(torch.func.functional_call(self.student, moved, (x,)), y)
        # Up to the teacher's logits, so that the student may move before the teacher's own backward.
        (cotangent,) = torch.autograd.grad(objective, strong_logits)
        for parameter, gradient in zip(parameters.values(), gradients):
            parameter.grad = gradient.detach()
        optimizer.step()
        return loss, objective, (strong_logits * cotangent).sum()

    losses = TorchStep.losses


# For the compiler the step is one function of tensors: gradients by torch.func, which it takes apart as a whole, double
# backward included, and networks and momentum moved in place.


def nesterov(network, momentum, gradients):
    """The moved network and its momentum."""
    momentum = [common.MOMENTUM * m + g for m, g in zip(momentum, gradients)]
    moved = [p - common.LEARNING_RATE * (g + common.MOMENTUM * m) for p, g, m in zip(network, gradients, momentum)]
    return moved, momentum


def student_step(student, momentum, targets, strong):
    """Targets: classes, or rows of probabilities."""

    def loss(network):
        return F.cross_entropy(forward(network, strong), targets)

    gradients, loss = torch.func.grad_and_value(loss)(student)
    return (*nesterov(student, momentum, gradients), loss)


def whole_step(teacher, teacher_momentum, student, student_momentum, batch, labels, feedback, feedback_weight):
    """One step, in place; returns the losses. Labels below 0 are sampled, so that one compilation serves both uses."""
    x, y, weak, strong = batch
    target = torch.softmax(forward(teacher, weak) / common.UDA_TEMPERATURE, -1)

    def total(teacher):
        logits = forward(teacher, torch.cat([x, strong]))
        labelled_logits, strong_logits = logits[: len(x)], logits[len(x) :]
        if feedback == "exact":
            q = torch.softmax(strong_logits, -1)
            moved, momentum, student_loss = student_step(student, student_momentum, q, strong)
            term = reported = F.cross_entropy(forward(moved, x), y)
        else:
            # The largest logit after adding Gumbel noise is a sample of the softmax.
            noise = -torch.log(-torch.log(torch.rand_like(strong_logits)))
            sampled = (strong_logits.detach() + noise).argmax(-1)
            chosen = torch.where(labels < 0, sampled, labels)
            moved, momentum, student_loss = student_step(student, student_momentum, chosen, strong)
            reported = F.cross_entropy(forward(student, x), y) - F.cross_entropy(forward(moved, x), y)
            term = reported * F.cross_entropy(strong_logits, chosen, reduction="sum")
        supervised = F.cross_entropy(labelled_logits, y)
        uda = consistency(strong_logits, target)
        loss = supervised + common.UDA_WEIGHT * uda + feedback_weight * term
        return loss, (moved, momentum, torch.stack([student_loss, supervised, uda, reported]))

    gradients, (moved, momentum, losses) = torch.func.grad(total, has_aux=True)(teacher)
    after, after_momentum = nesterov(teacher, teacher_momentum, gradients)
    for old, new in (
        *zip(teacher, after),
        *zip(teacher_momentum, after_momentum),
        *zip(student, moved),
        *zip(student_momentum, momentum),
    ):
        old.copy_(new)
    return losses


class CompiledTorchStep(TorchStep):
    def __init__(self, problem, networks):
        super().__init__(problem, networks)
        for array in (*self.teacher, *self.student):
            array.requires_grad_(False)
        self.teacher_momentum = [torch.zeros_like(array) for array in self.teacher]
        self.sample = torch.full([problem.unlabelled], -1)
        # Its calls of kernels in C++ too, which saves a quarter of the time of a small step.
        self.step = torch.compile(whole_step, fullgraph=True, dynamic=False, options={"cpp_wrapper": True})

    def __call__(self, labels=None):
        with torch.no_grad():
            losses = self.step(
                self.teacher,
                self.teacher_momentum,
                self.student,
                self.momentum,
                self.batch,
                self.sample if labels is None else labels,
                self.problem.feedback,
                self.problem.feedback_weight,
            )
        return losses.tolist()
