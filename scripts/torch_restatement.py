"""Networks, losses and optimisers in PyTorch (float64), written from the equations, with values by name."""

import json
import math

import numpy
import torch
import torch.nn.functional as functional
from random_stream import philox

torch.set_default_dtype(torch.float64)
torch.set_num_threads(1)

ACTIVATIONS = {
    "relu": functional.relu,
    "leaky_relu": lambda x: functional.leaky_relu(x, 0.01),
    "sigmoid": torch.sigmoid,
    "tanh": torch.tanh,
    "swish": functional.silu,
}


# Networks


def mlp(inputs, hidden, classes, activation="tanh", batch_norm=False):
    return {
        "type": "mlp",
        "inputs": inputs,
        "hidden": hidden,
        "classes": classes,
        "activation": activation,
        "batch_norm": batch_norm,
        "dropout": 0.0,
    }


def random_parameters(generator, specification, gain=1.0):
    """Random values for every parameter, by name, in public order."""
    widths = [specification["inputs"], *specification["hidden"], specification["classes"]]
    parameters = {}
    for i, (inputs, outputs) in enumerate(zip(widths, widths[1:])):
        weight = generator.normal(0, gain / math.sqrt(inputs), (outputs, inputs))
        parameters[f"dense{i}.weight"] = torch.tensor(weight)
        parameters[f"dense{i}.bias"] = torch.tensor(generator.normal(0, 0.2, outputs))
        if specification["batch_norm"] and i < len(specification["hidden"]):
            parameters[f"batch_norm{i}.weight"] = torch.tensor(generator.uniform(0.7, 1.5, outputs))
            parameters[f"batch_norm{i}.bias"] = torch.tensor(generator.normal(0, 0.3, outputs))
    return parameters


def initial_statistics(specification):
    statistics = {}
    if specification["batch_norm"]:
        for i, width in enumerate(specification["hidden"]):
            statistics[f"batch_norm{i}.running_mean"] = torch.zeros(width)
            statistics[f"batch_norm{i}.running_variance"] = torch.ones(width)
    return statistics


def forward(parameters, specification, x, statistics=None, training=True):
    """Logits. In training mode the statistics, if given, are updated in place."""
    activation = ACTIVATIONS[specification["activation"]]
    hidden_layers = len(specification["hidden"])
    for i in range(hidden_layers):
        x = functional.linear(x, parameters[f"dense{i}.weight"], parameters[f"dense{i}.bias"])
        if specification["batch_norm"]:
            mean = variance = None
            if statistics is not None:
                mean = statistics[f"batch_norm{i}.running_mean"]
                variance = statistics[f"batch_norm{i}.running_variance"]
            if training and statistics is not None:
                # Updates the running statistics; the value is computed below.
                functional.batch_norm(x.detach(), mean, variance, training=True, momentum=0.1)
            if training:
                mean = variance = None
            x = functional.batch_norm(
                x,
                mean,
                variance,
                parameters[f"batch_norm{i}.weight"],
                parameters[f"batch_norm{i}.bias"],
                training=training,
                eps=1e-5,
            )
        x = activation(x)
    last = f"dense{hidden_layers}"
    return functional.linear(x, parameters[f"{last}.weight"], parameters[f"{last}.bias"])


# Values by name


def leaves(values):
    return {name: value.detach().clone().requires_grad_(True) for name, value in values.items()}


def detached(values):
    return {name: value.detach().clone() for name, value in values.items()}


def gradient(value, inputs, **options):
    """The gradient of a scalar in inputs given by name."""
    gradients = torch.autograd.grad(value, list(inputs.values()), **options)
    return dict(zip(inputs, gradients))


def dot(a, b):
    return sum((a[name] * b[name]).sum() for name in a)


def norm(values):
    return torch.sqrt(dot(values, values))


def like(generator, values, scale=1.0):
    return {
        name: torch.tensor(generator.normal(0, scale, tuple(value.shape)))
        for name, value in values.items()
    }


# Losses


def cross_entropy(targets, logits):
    """Per row, of soft targets."""
    return -(targets * functional.log_softmax(logits, dim=1)).sum(dim=1)


def one_hot(labels, classes):
    return functional.one_hot(labels, classes).to(torch.float64)


def smoothed(targets, smoothing):
    return (1 - smoothing) * targets + smoothing / targets.shape[1]


def labelled_loss(parameters, specification, x, labels):
    return functional.cross_entropy(forward(parameters, specification, x), labels)


def unsupervised_data_augmentation(weak_logits, strong_logits, temperature, threshold):
    """Target, mask and masked cross-entropy per row."""
    target = functional.softmax(weak_logits.detach() / temperature, dim=1)
    confidence = target.max(dim=1).values
    if (confidence - threshold).abs().min() < 1e-5:
        raise ArithmeticError("a confidence is too near the threshold to be reproducible")
    mask = (confidence >= threshold).to(torch.float64)
    return target, mask, mask * cross_entropy(target, strong_logits)


# Optimisers


def clip_factor(configuration, values):
    limit = configuration.get("clip_norm")
    return torch.tensor(1.0) if limit is None else torch.clamp(limit / norm(values), max=1)


def entering_clip(configuration, parameters, gradients):
    """The vector that is clipped: the gradient, or gradient + decay * parameter."""
    if not configuration.get("decay_before_clip", False):
        return gradients
    decay = configuration["weight_decay"]
    return {name: gradients[name] + decay * parameters[name] for name in parameters}


def initial_state(configuration, parameters):
    if configuration["name"] == "adamw":
        state = {"step": torch.tensor(0.0)}
        for name, value in parameters.items():
            state[f"first_moment.{name}"] = torch.zeros_like(value)
            state[f"second_moment.{name}"] = torch.zeros_like(value)
        return state
    if configuration.get("momentum", 0) > 0:
        return {f"momentum.{name}": torch.zeros_like(v) for name, v in parameters.items()}
    return {}


def update(configuration, parameters, gradients, state):
    """new = old - update(gradient), and the new state; differentiable in the gradient."""
    vector = entering_clip(configuration, parameters, gradients)
    factor = clip_factor(configuration, vector)
    rate = configuration["learning_rate"]
    decay = configuration.get("weight_decay", 0.0)
    step, after = {}, {}
    if configuration["name"] == "adamw":
        beta1, beta2 = configuration["beta1"], configuration["beta2"]
        count = after["step"] = state["step"] + 1
        for name, parameter in parameters.items():
            g = factor * vector[name]
            m = beta1 * state[f"first_moment.{name}"] + (1 - beta1) * g
            v = beta2 * state[f"second_moment.{name}"] + (1 - beta2) * g * g
            unbiased_m = m / (1 - beta1**count)
            unbiased_v = v / (1 - beta2**count)
            direction = unbiased_m / (unbiased_v.sqrt() + configuration["epsilon"])
            step[name] = rate * (direction + decay * parameter)
            after[f"first_moment.{name}"], after[f"second_moment.{name}"] = m, v
        return step, after
    momentum = configuration.get("momentum", 0.0)
    for name, parameter in parameters.items():
        d = factor * vector[name]
        if not configuration.get("decay_before_clip", False):
            d = d + decay * parameter
        if momentum > 0:
            buffer = momentum * state[f"momentum.{name}"] + d
            after[f"momentum.{name}"] = buffer
            d = d + momentum * buffer if configuration.get("nesterov", False) else buffer
        step[name] = rate * d
    return step, after


def stepped(parameters, step):
    return {name: parameters[name] - step[name] for name in parameters}


def analytic_pullback(configuration, parameters, gradients, state, cotangent):
    """(d update / d gradient)^T cotangent from its formula: first the optimiser, last the clip."""
    rate = configuration["learning_rate"]
    vector = entering_clip(configuration, parameters, gradients)
    length, factor = norm(vector), clip_factor(configuration, vector)
    if configuration["name"] == "adamw":
        _, after = update(configuration, parameters, gradients, state)
        beta1, beta2 = configuration["beta1"], configuration["beta2"]
        unbias1, unbias2 = 1 - beta1 ** after["step"], 1 - beta2 ** after["step"]
        result = {}
        for name in parameters:
            root = (after[f"second_moment.{name}"] / unbias2).sqrt()
            denominator = root + configuration["epsilon"]
            unbiased_m = after[f"first_moment.{name}"] / unbias1
            second = unbiased_m * (1 - beta2) * factor * vector[name]
            second = second / (unbias2 * root * denominator)
            diagonal = rate / denominator * ((1 - beta1) / unbias1 - second)
            result[name] = diagonal * cotangent[name]
    else:
        momentum = configuration.get("momentum", 0.0)
        scale = rate * (1 + momentum) if configuration.get("nesterov", False) else rate
        result = {name: scale * cotangent[name] for name in parameters}
    if factor == 1:
        return result
    unit = {name: vector[name] / length for name in vector}
    along = dot(unit, result)
    return {name: factor * (result[name] - along * unit[name]) for name in result}


# The random numbers of the engine


def check_philox():
    known = [
        ("00000000 00000000 00000000 00000000", "00000000 00000000",
         "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
        ("ffffffff ffffffff ffffffff ffffffff", "ffffffff ffffffff",
         "408f276d 41c83b0e a20bc7c6 6d5451fd"),
        ("243f6a88 85a308d3 13198a2e 03707344", "a4093822 299f31d0",
         "d16cfe09 94fdcceb 5001e420 24126ea1"),
    ]
    for counter, key, expected in known:
        words = philox([int(w, 16) for w in counter.split()], [int(w, 16) for w in key.split()])
        assert " ".join(f"{int(word):08x}" for word in words) == expected


def sampled_labels(probabilities, numbers):
    """By inverse cumulative distribution."""
    cumulative = numpy.cumsum(probabilities.detach().numpy(), axis=1)
    if numpy.abs(cumulative - numbers[:, None]).min() < 1e-5:
        raise ArithmeticError("a sample is too near a boundary to be reproducible")
    exceeds = cumulative > numbers[:, None]
    last = cumulative.shape[1] - 1
    return torch.tensor(numpy.where(exceeds.any(axis=1), exceeds.argmax(axis=1), last))


# Archives


class Archive:
    def __init__(self):
        self.arrays = {"torch_version": numpy.array(torch.__version__)}

    def add(self, key, value):
        assert key not in self.arrays, key
        if isinstance(value, dict):
            value = json.dumps(value)
        if isinstance(value, torch.Tensor):
            value = value.detach().numpy()
        value = numpy.array(value)
        if value.dtype.kind == "f":
            assert numpy.isfinite(value).all(), key
        self.arrays[key] = value

    def add_all(self, prefix, values):
        for name, value in values.items():
            self.add(f"{prefix}/{name}", value)

    def save(self, path):
        numpy.savez(path, **self.arrays)
        print(f"  {path.name}: {len(self.arrays)} arrays, {path.stat().st_size} bytes")


# Data


def clusters(generator, labels, inputs, spread):
    """Points around one centre per class."""
    centres = numpy.random.default_rng(7).normal(0, 1.2, (3, inputs))
    return torch.tensor(centres[labels] + generator.normal(0, spread, (*labels.shape, inputs)))
