"""The step in JAX: one jitted function of the whole state, which it is given for good (donated)."""

from functools import partial

import jax
import jax.numpy as jnp
from contenders import problem as common
from jax import lax


def forward(network, x):
    """Logits; a network is a list of weights [outputs, inputs] and biases."""
    for weight, bias in network[:-1]:
        x = jax.nn.relu(x @ weight.T + bias)
    weight, bias = network[-1]
    return x @ weight.T + bias


def cross_entropy(logits, labels):
    """Of each row."""
    return -jnp.take_along_axis(jax.nn.log_softmax(logits), labels[:, None], axis=1)[:, 0]


def soft_cross_entropy(logits, targets):
    """Of each row."""
    return -(targets * jax.nn.log_softmax(logits)).sum(axis=1)


def nesterov(network, momentum, gradient):
    """The moved network and its momentum."""
    momentum = jax.tree.map(lambda m, g: common.MOMENTUM * m + g, momentum, gradient)
    moved = jax.tree.map(
        lambda p, m, g: p - common.LEARNING_RATE * (g + common.MOMENTUM * m), network, momentum, gradient
    )
    return moved, momentum


def student_step_on_samples(student, momentum, strong_logits, labels, x, y, strong):
    """Moves the student on sampled labels. Returns it, the feedback term and what is reported of it."""

    def loss(network):
        return cross_entropy(forward(network, strong), labels).mean()

    student_loss, gradient = jax.value_and_grad(loss)(student)
    moved, momentum = nesterov(student, momentum, gradient)
    improvement = cross_entropy(forward(student, x), y).mean() - cross_entropy(forward(moved, x), y).mean()
    term = improvement * cross_entropy(strong_logits, labels).sum()
    return term, (moved, momentum, student_loss, improvement)


def student_step_on_soft_labels(student, momentum, strong_logits, x, y, strong):
    """Moves the student on the teacher's distribution; the feedback term is the labelled loss after the step, which
    depends on that distribution through the student's gradient."""
    targets = jax.nn.softmax(strong_logits)

    def loss(network):
        return soft_cross_entropy(forward(network, strong), targets).mean()

    student_loss, gradient = jax.value_and_grad(loss)(student)
    moved, momentum = nesterov(student, momentum, gradient)
    objective = cross_entropy(forward(moved, x), y).mean()
    return objective, (moved, momentum, student_loss, objective)


@partial(jax.jit, static_argnames=("feedback", "feedback_weight"), donate_argnames="state")
def step(state, batch, labels, feedback, feedback_weight):
    """The next state, and the losses. Without labels, samples them."""
    x, y, weak, strong = batch
    student, student_momentum, teacher, teacher_momentum, key = state
    key, subkey = jax.random.split(key)

    def total(teacher):
        logits = forward(teacher, jnp.concatenate([x, strong]))
        labelled_logits, strong_logits = logits[: len(x)], logits[len(x) :]
        if feedback == "exact":
            term, moved = student_step_on_soft_labels(student, student_momentum, strong_logits, x, y, strong)
        else:
            fixed = lax.stop_gradient(strong_logits)
            chosen = jax.random.categorical(subkey, fixed) if labels is None else labels
            term, moved = student_step_on_samples(student, student_momentum, strong_logits, chosen, x, y, strong)
        supervised = cross_entropy(labelled_logits, y).mean()
        target = jax.nn.softmax(forward(lax.stop_gradient(teacher), weak) / common.UDA_TEMPERATURE)
        mask = target.max(axis=1) >= common.UDA_THRESHOLD
        uda = (mask * soft_cross_entropy(strong_logits, target)).mean()
        return supervised + common.UDA_WEIGHT * uda + feedback_weight * term, (moved, supervised, uda)

    gradient, (moved, supervised, uda) = jax.grad(total, has_aux=True)(teacher)
    student, student_momentum, student_loss, reported = moved
    teacher, teacher_momentum = nesterov(teacher, teacher_momentum, gradient)
    losses = jnp.stack([student_loss, supervised, uda, reported])
    return (student, student_momentum, teacher, teacher_momentum, key), losses


class JaxStep:
    def __init__(self, problem, networks):
        self.problem = problem
        self.batch = jax.device_put(problem.batch())

        def pairs(arrays):
            arrays = [jnp.array(array) for array in arrays]
            return list(zip(arrays[::2], arrays[1::2]))

        student, teacher = (pairs(list(networks[role].values())) for role in ("student", "teacher"))
        zeros = partial(jax.tree.map, jnp.zeros_like)
        self.state = (student, zeros(student), teacher, zeros(teacher), jax.random.key(0))
        self.step = partial(step, feedback=problem.feedback, feedback_weight=problem.feedback_weight)

    def __call__(self, labels=None):
        self.state, losses = jax.block_until_ready(self.step(self.state, self.batch, labels))
        return losses

    def losses(self, labels):
        """Of the first steps, with their labels given."""
        exact = self.problem.feedback == "exact"
        return [self(None if exact else jnp.asarray(given)).tolist() for given in labels]
