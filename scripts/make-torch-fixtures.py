#!/usr/bin/env python3
"""Reference values from PyTorch (float64, CPU), for the tests of the Python package.

Needs PyTorch and NumPy, and nothing else; it was last run with torch 2.13.0. Usage:

    python scripts/make-torch-fixtures.py [DIRECTORY]

writes layers.npz, losses.npz, optimizers.npz, meta_gradient.npz, meta_pseudo_labels_steps.npz,
method_steps.npz (see torch_methods.py) and images.npz (see torch_images.py) to DIRECTORY (default: bindings/python/tests/fixtures), the same bytes every time. In the keys below
<case>, <network>, <series> and <parameter> stand for names. A list of names is a string array, a
configuration is a JSON string: `json.loads(str(archive[key]))`. All numbers are float64, labels are
int64. A key that is present in some cases only is marked (if any).

Parameters are named and ordered dense0.weight [outputs, inputs], dense0.bias, batch_norm0.weight,
batch_norm0.bias, dense1.weight, ...; statistics batch_norm0.running_mean,
batch_norm0.running_variance, ... Every archive also has torch_version.

layers.npz: one pass through a multilayer perceptron, in three directions
    cases                               names of the cases
    <case>/specification                JSON, as didact.mlp gives it
    <case>/training                     True: batch statistics; False: running statistics
    <case>/parameters/<parameter>
    <case>/statistics/<statistic>       before the pass (if any)
    <case>/x                            input [rows, inputs]
    <case>/logits
    <case>/cotangent                    of the logits
    <case>/gradients/<parameter>        of sum(cotangent * logits)
    <case>/input_gradient
    <case>/directions/<parameter>
    <case>/input_direction
    <case>/tangent                      of the logits, along all directions at once
    <case>/parameter_tangent            of the logits, along those of the parameters alone
    <case>/statistics_after/<statistic> after one pass in that mode (if any)

losses.npz: functions of logits [7, 5]; a gradient is that of the mean over rows
    logits, labels, targets             targets: soft, rows add to 1
    temperature, smoothing              smoothed targets are (1 - e) q + e / classes
    softmax, log_softmax                at temperature 1
    tempered_softmax, tempered_log_softmax                  of logits / temperature
    hard/values, hard/mean, hard/gradient                   cross-entropy with the labels
    soft/values, soft/mean, soft/gradient                   with the targets
    smoothed_hard/values, .../mean, .../gradient            with the smoothed one-hot labels
    smoothed_soft/values, .../mean, .../gradient            with the smoothed targets
    tempered_hard/values, .../mean, .../gradient            labels against softmax(z / temperature)
    tempered_soft/values, .../mean, .../gradient            targets against softmax(z / temperature)
    extreme/logits, extreme/log_softmax, extreme/labels, extreme/values, extreme/gradient
    uda/weak_logits, uda/strong_logits, uda/temperature, uda/threshold
    uda/target                          softmax(weak / temperature), a constant
    uda/mask                            1 where max(target) >= threshold, else 0
    uda/values                          mask * cross-entropy(target, softmax(strong))
    uda/mean                            over all rows, masked or not
    uda/gradient                        with respect to the strong logits

optimizers.npz: ten steps on a linear network 3 -> 2, from given gradients
    cases                               names of the cases
    specification                       of the network
    initial/<parameter>, cotangent/<parameter>
    gradients/<parameter>               [10, ...], one per step, as they are before clipping
    <case>/configuration                JSON: name, learning_rate, momentum, ..., clip_norm (if any)
    <case>/parameters/<parameter>       [10, ...], after every step
    <case>/state/<name>                 after ten steps: momentum.<parameter>,
                                        first_moment.<parameter>, second_moment.<parameter>, step
    <case>/clip_factor                  [10], the factor applied to the gradient (1: not clipped)
    <case>/pullback_1/<parameter>       (d update / d gradient)^T cotangent, of the first step
    <case>/pullback_10/<parameter>      the same of the tenth; new = old - update(gradient)
    AdamW's pullback_1 is a difference of nearly equal numbers: compare it absolutely.

meta_gradient.npz: the exact one-step meta-gradient, by double backward
    networks, cases                     names: plain and batch_norm; the cases
    xl [6, 5], yl [6], xu [9, 5], xu_strong [9, 5]
    <network>/specification             of the teacher and of the student
    <network>/teacher/<parameter>, <network>/student/<parameter>       before the step
    <network>/optimizer_state/<name>    of the student, before the step: momentum.<parameter> for
                                        sgd with momentum; first_moment.<parameter>,
                                        second_moment.<parameter> and step for adamw
    <case>/network                      which network
    <case>/configuration                JSON, as didact.Trainer("meta_pseudo_labels", ...) takes it
    <case>/mask                         [9], 1 where max_c q_ic >= pseudo_label_threshold
    <case>/student_loss, <case>/student_gradient_norm, <case>/clip_factor
    <case>/student_after/<parameter>    after the student's step
    <case>/meta_objective               labelled loss of the student after its step
    <case>/meta_gradient/<parameter>    its gradient in the teacher's parameters
    Before a batch norm, the gradient of a dense bias is zero but for rounding: compare absolutely.
    adamw decouples the decay: it is neither clipped nor part of the gradient.

meta_pseudo_labels_steps.npz: ten steps of training
    networks, series                    names: plain and batch_norm; the series
    xl [10, 8, 4], yl [10, 8], xu [10, 16, 4], xu_strong [10, 16, 4]    one batch per step
    seed                                of the trainer
    uniforms                            [10, 16], RandomStream(seed, "pseudo_labels"), draw = step
    initial/<network>/specification
    initial/<network>/teacher/<name>, initial/<network>/student/<name>
                                        parameters and statistics; the average starts as the student
    <series>/network, <series>/configuration
    <series>/pseudo_labels              [10, 16], sampled (feedback gradient_dot, loss_difference)
    <series>/feedback                   [10], the factor h (the same)
    <series>/loss/student               [10]; likewise loss/supervised, loss/uda, loss/feedback: the
                                        meta objective (exact) or sum_i h CE_i; all unweighted
    <series>/gradient_norm/student      [10], before clipping; likewise gradient_norm/supervised,
                                        gradient_norm/uda, gradient_norm/feedback: unweighted
    <series>/uda_mask_rate              [10]
    <series>/clip_factor/student, <series>/clip_factor/teacher          [10]
    <series>/step_<n>/teacher/<name>    after steps n = 1, 2 and 10: parameters, and after step 10
                                        statistics; likewise step_<n>/student, step_<n>/average

One step, all of it in training mode (batch statistics), every forward on its own rows:
    1. z = teacher(xu_strong), which updates the teacher's running statistics; q = softmax(z)
    2. targets: q (exact), or one-hot labels sampled from q: the smallest class whose cumulative
       probability exceeds the uniform number, the last class if there is none
    3. the student's pass on xu_strong, which updates its running statistics;
       student loss = mean cross-entropy with the targets
    4. the student's update: clip by min(1, c / norm), add the decay, Nesterov momentum
    5. teacher(xl), then teacher(xu), update the teacher's running statistics
    6. the feedback term. exact: the student's labelled loss after its step, as a function of q.
       Otherwise h * sum_i -log q_i[label_i]; h = labelled loss before - after (loss_difference), or
       <gradient of the labelled loss after, update(gradient) - update(0)> (gradient_dot). Labelled
       losses are means over xl, with its batch statistics, and update no running statistics.
    7. the teacher's update, as in 4, from supervised_weight * CE(teacher(xl), yl)
       + uda_weight * UDA(softmax(teacher(xu) / 0.7), z) + feedback_weight * feedback term,
       all at the teacher's parameters before this update
    8. average = 0.9 average + 0.1 student; statistics are copied from the student
    No schedule, warm-up or ramp; learning rates and weights are constant.
"""

import sys
from pathlib import Path

import numpy
import torch
import torch.nn.functional as functional
from random_stream import uniforms
from torch_images import make_images
from torch_methods import make_method_steps
from torch_restatement import (
    ACTIVATIONS,
    Archive,
    analytic_pullback,
    check_philox,
    clip_factor,
    clusters,
    cross_entropy,
    detached,
    dot,
    entering_clip,
    forward,
    gradient,
    initial_state,
    initial_statistics,
    labelled_loss,
    leaves,
    like,
    mlp,
    norm,
    one_hot,
    random_parameters,
    sampled_labels,
    smoothed,
    stepped,
    unsupervised_data_augmentation,
    update,
)

# layers.npz


def make_layers(path):
    print("layers")
    generator = numpy.random.default_rng(101)
    archive = Archive()
    cases = [("linear", mlp(4, [], 3), True)]
    for activation in ACTIVATIONS:
        plain = mlp(4, [6, 5], 3, activation)
        normalized = mlp(4, [6, 5], 3, activation, batch_norm=True)
        cases += [
            (activation, plain, True),
            (f"{activation}_batch_norm_training", normalized, True),
            (f"{activation}_batch_norm_evaluation", normalized, False),
        ]
    archive.add("cases", [name for name, _, _ in cases])
    for case, specification, training in cases:
        parameters = random_parameters(generator, specification, gain=1.3)
        statistics = initial_statistics(specification)
        for name, value in statistics.items():
            drawn = generator.uniform(0.3, 2.0, tuple(value.shape))
            value += torch.tensor(drawn - (1 if name.endswith("variance") else 1.15))
        x = torch.tensor(generator.normal(0, 1, (7, 4)))
        cotangent = torch.tensor(generator.normal(0, 1, (7, 3)))
        directions = like(generator, parameters)
        input_direction = torch.tensor(generator.normal(0, 1, (7, 4)))

        # In training mode the value does not depend on the running statistics.
        used = None if training else statistics

        def network(p, rows):
            return forward(p, specification, rows, used, training)

        p, rows = leaves(parameters), x.clone().requires_grad_(True)
        logits = network(p, rows)
        gradients = gradient((cotangent * logits).sum(), {**p, "input": rows})
        input_gradient = gradients.pop("input")
        _, tangent = torch.func.jvp(network, (parameters, x), (directions, input_direction))
        _, parameter_tangent = torch.func.jvp(lambda p: network(p, x), (parameters,), (directions,))
        transposed = dot(gradients, directions) + (input_gradient * input_direction).sum()
        assert abs((cotangent * tangent).sum() - transposed) < 1e-11 * (1 + abs(transposed))

        after = detached(statistics)
        with torch.no_grad():
            forward(parameters, specification, x, after, training)

        archive.add(f"{case}/specification", specification)
        archive.add(f"{case}/training", training)
        archive.add_all(f"{case}/parameters", parameters)
        archive.add_all(f"{case}/statistics", statistics)
        archive.add(f"{case}/x", x)
        archive.add(f"{case}/logits", logits)
        archive.add(f"{case}/cotangent", cotangent)
        archive.add_all(f"{case}/gradients", gradients)
        archive.add(f"{case}/input_gradient", input_gradient)
        archive.add_all(f"{case}/directions", directions)
        archive.add(f"{case}/input_direction", input_direction)
        archive.add(f"{case}/tangent", tangent)
        archive.add(f"{case}/parameter_tangent", parameter_tangent)
        archive.add_all(f"{case}/statistics_after", after)
    archive.save(path)


# losses.npz


def make_losses(path):
    print("losses")
    generator = numpy.random.default_rng(102)
    archive = Archive()
    rows, classes, temperature, smoothing = 7, 5, 0.7, 0.1
    logits = torch.tensor(generator.normal(0, 2, (rows, classes))).requires_grad_(True)
    labels = torch.tensor(generator.integers(0, classes, rows))
    targets = functional.softmax(torch.tensor(generator.normal(0, 1.5, (rows, classes))), dim=1)
    hard = one_hot(labels, classes)
    archive.add("logits", logits)
    archive.add("labels", labels)
    archive.add("targets", targets)
    archive.add("temperature", temperature)
    archive.add("smoothing", smoothing)
    archive.add("softmax", functional.softmax(logits, dim=1))
    archive.add("log_softmax", functional.log_softmax(logits, dim=1))
    archive.add("tempered_softmax", functional.softmax(logits / temperature, dim=1))
    archive.add("tempered_log_softmax", functional.log_softmax(logits / temperature, dim=1))

    def add_loss(name, values):
        archive.add(f"{name}/values", values)
        archive.add(f"{name}/mean", values.mean())
        archive.add(f"{name}/gradient", torch.autograd.grad(values.mean(), logits)[0])

    torch_values = functional.cross_entropy(logits, labels, reduction="none")
    assert (torch_values - cross_entropy(hard, logits)).abs().max() < 1e-14
    torch_values = functional.cross_entropy(
        logits, labels, reduction="none", label_smoothing=smoothing
    )
    assert (torch_values - cross_entropy(smoothed(hard, smoothing), logits)).abs().max() < 1e-14
    add_loss("hard", cross_entropy(hard, logits))
    add_loss("soft", cross_entropy(targets, logits))
    add_loss("smoothed_hard", cross_entropy(smoothed(hard, smoothing), logits))
    add_loss("smoothed_soft", cross_entropy(smoothed(targets, smoothing), logits))
    add_loss("tempered_hard", cross_entropy(hard, logits / temperature))
    add_loss("tempered_soft", cross_entropy(targets, logits / temperature))

    extreme = torch.tensor(
        [[1000.0, 0, -1000], [-800, -801, -802], [710, 710, 709], [0, -750, 0]]
    ).requires_grad_(True)
    extreme_labels = torch.tensor([2, 0, 1, 1])
    values = functional.cross_entropy(extreme, extreme_labels, reduction="none")
    archive.add("extreme/logits", extreme)
    archive.add("extreme/labels", extreme_labels)
    archive.add("extreme/log_softmax", functional.log_softmax(extreme, dim=1))
    archive.add("extreme/values", values)
    archive.add("extreme/gradient", torch.autograd.grad(values.mean(), extreme)[0])

    weak = torch.tensor(generator.normal(0, 1.2, (12, classes)))
    strong = (weak + torch.tensor(generator.normal(0, 1, (12, classes)))).requires_grad_(True)
    threshold = 0.6
    target, mask, values = unsupervised_data_augmentation(weak, strong, temperature, threshold)
    assert 0 < mask.sum() < 12
    archive.add("uda/weak_logits", weak)
    archive.add("uda/strong_logits", strong)
    archive.add("uda/temperature", temperature)
    archive.add("uda/threshold", threshold)
    archive.add("uda/target", target)
    archive.add("uda/mask", mask)
    archive.add("uda/values", values)
    archive.add("uda/mean", values.mean())
    archive.add("uda/gradient", torch.autograd.grad(values.mean(), strong)[0])
    archive.save(path)


# optimizers.npz


def sgd(learning_rate, momentum=0.0, nesterov=False, weight_decay=0.0, **clipping):
    return {
        "name": "sgd",
        "learning_rate": learning_rate,
        "momentum": momentum,
        "nesterov": nesterov,
        "weight_decay": weight_decay,
        **clipping,
    }


def adamw(learning_rate, weight_decay=0.0, **clipping):
    return {
        "name": "adamw",
        "learning_rate": learning_rate,
        "weight_decay": weight_decay,
        "beta1": 0.9,
        "beta2": 0.999,
        "epsilon": 1e-8,
        **clipping,
    }


def torch_optimizer(configuration, parameters):
    if configuration["name"] == "adamw":
        return torch.optim.AdamW(
            parameters,
            lr=configuration["learning_rate"],
            betas=(configuration["beta1"], configuration["beta2"]),
            eps=configuration["epsilon"],
            weight_decay=configuration["weight_decay"],
        )
    decays_first = configuration.get("decay_before_clip", False)
    return torch.optim.SGD(
        parameters,
        lr=configuration["learning_rate"],
        momentum=configuration["momentum"],
        nesterov=configuration["nesterov"],
        weight_decay=0.0 if decays_first else configuration["weight_decay"],
    )


def autograd_pullback(configuration, parameters, gradients, state, cotangent):
    g = leaves(gradients)
    step, _ = update(configuration, parameters, g, state)
    return gradient(dot(step, cotangent), g)


def make_optimizers(path):
    print("optimizers")
    generator = numpy.random.default_rng(103)
    archive = Archive()
    specification = mlp(3, [], 2)
    initial = random_parameters(generator, specification)
    cotangent = like(generator, initial)
    # Lengths on both sides of the clipping limit; the first and the last gradient are clipped.
    lengths = [2.0, 0.3, 1.4, 0.6, 3.0, 0.2, 0.9, 1.7, 0.4, 1.5]
    all_gradients = []
    for length in lengths:
        drawn = like(generator, initial)
        scale = length / norm(drawn)
        all_gradients.append({name: value * scale for name, value in drawn.items()})

    configurations = {
        "sgd": sgd(0.1),
        "sgd_momentum": sgd(0.1, momentum=0.9),
        "sgd_nesterov": sgd(0.1, momentum=0.9, nesterov=True),
        "sgd_weight_decay": sgd(0.1, weight_decay=0.05),
        "sgd_momentum_weight_decay": sgd(0.1, momentum=0.9, weight_decay=0.05),
        "sgd_nesterov_weight_decay": sgd(0.1, momentum=0.9, nesterov=True, weight_decay=0.05),
        "adamw": adamw(0.02),
        "adamw_weight_decay": adamw(0.02, weight_decay=0.05),
    }
    for name in list(configurations):
        configurations[f"{name}_clipped"] = {**configurations[name], "clip_norm": 0.8}
    configurations["sgd_nesterov_decay_before_clip"] = {
        **configurations["sgd_nesterov_weight_decay_clipped"],
        "decay_before_clip": True,
    }

    archive.add("cases", list(configurations))
    archive.add("specification", specification)
    archive.add_all("initial", initial)
    archive.add_all("cotangent", cotangent)
    for name in initial:
        archive.add(f"gradients/{name}", torch.stack([g[name] for g in all_gradients]))

    for case, configuration in configurations.items():
        state, parameters = initial_state(configuration, initial), detached(initial)
        reference = leaves(initial)
        optimizer = torch_optimizer(configuration, list(reference.values()))
        history = {name: [] for name in initial}
        factors, pullbacks = [], {}
        for i, gradients in enumerate(all_gradients):
            vector = entering_clip(configuration, detached(reference), gradients)
            factor = clip_factor(configuration, vector)
            factors.append(factor)
            for name, parameter in reference.items():
                parameter.grad = (factor * vector[name]).clone()
            if i in (0, 9):
                arguments = (configuration, parameters, gradients, state, cotangent)
                pullbacks[i] = autograd_pullback(*arguments)
                analytic = analytic_pullback(*arguments)
                error = norm(stepped(pullbacks[i], analytic))
                scale = configuration["learning_rate"] * norm(cotangent)
                assert error < 1e-12 * scale, (case, error)
            optimizer.step()
            step, state = update(configuration, parameters, gradients, state)
            parameters = stepped(parameters, step)
            for name in initial:
                assert (parameters[name] - reference[name]).abs().max() < 1e-14, case
                history[name].append(reference[name].detach().clone())
        assert ("clip_norm" in configuration) == (float(factors[-1]) < 1)
        assert ("clip_norm" in configuration) == (float(factors[0]) < 1)
        archive.add(f"{case}/configuration", configuration)
        for name in initial:
            archive.add(f"{case}/parameters/{name}", torch.stack(history[name]))
        archive.add_all(f"{case}/state", state)
        archive.add(f"{case}/clip_factor", torch.stack(factors))
        archive.add_all(f"{case}/pullback_1", pullbacks[0])
        archive.add_all(f"{case}/pullback_10", pullbacks[9])
        print(f"  {case}: |pullback| {norm(pullbacks[0]):.3e} {norm(pullbacks[9]):.3e}")
    archive.save(path)


# The exact meta-gradient


def student_loss(student, specification, x, targets, mask):
    """Mean over all rows, masked or not."""
    logits = forward(student, specification, x)
    return (mask * cross_entropy(targets, logits)).mean()


def exact_meta_gradient(configuration, specification, teacher, student, state, batch):
    """By double backward. The parameters are constants; returns a dictionary of results."""
    xl, yl, xu, xu_strong = batch
    smoothing = configuration["label_smoothing"]
    teacher, student = leaves(teacher), leaves(student)
    view = xu if configuration["pseudo_label_view"] == "weak" else xu_strong
    logits = forward(teacher, specification, view)
    q = functional.softmax(logits / configuration["teacher_temperature"], dim=1)
    confidence, threshold = q.detach().max(dim=1).values, configuration["pseudo_label_threshold"]
    if (confidence - threshold).abs().min() < 1e-4:
        raise ArithmeticError("a confidence is too near the threshold to be reproducible")
    mask = (confidence >= threshold).to(torch.float64)
    loss = student_loss(student, specification, xu_strong, smoothed(q, smoothing), mask)
    g = gradient(loss, student, create_graph=True)
    optimizer = configuration["student_optimizer"]
    step, state_after = update(optimizer, student, g, state)
    student_after = stepped(student, step)
    objective = labelled_loss(student_after, specification, xl, yl)
    return {
        "mask": mask,
        "student_loss": loss.detach(),
        "student_gradient": detached(g),
        "clip_factor": clip_factor(optimizer, entering_clip(optimizer, student, g)).detach(),
        "student_after": detached(student_after),
        "state_after": detached(state_after),
        "meta_objective": objective.detach(),
        "meta_gradient": gradient(objective, teacher),
    }


def analytic_meta_gradient(configuration, specification, teacher, student, state, batch, exact):
    """From the formula, without a second-order graph."""
    xl, yl, xu, xu_strong = batch
    temperature, smoothing = configuration["teacher_temperature"], configuration["label_smoothing"]
    teacher, student_after = leaves(teacher), leaves(exact["student_after"])
    v = gradient(labelled_loss(student_after, specification, xl, yl), student_after)
    w = analytic_pullback(
        configuration["student_optimizer"], student, exact["student_gradient"], state, v
    )

    def log_probabilities(parameters):
        return functional.log_softmax(forward(parameters, specification, xu_strong), dim=1)

    _, a = torch.func.jvp(log_probabilities, (detached(student),), (w,))
    view = xu if configuration["pseudo_label_view"] == "weak" else xu_strong
    logits = forward(teacher, specification, view)
    q = functional.softmax(logits.detach() / temperature, dim=1)
    centred = a - (q * a).sum(dim=1, keepdim=True)
    scale = (1 - smoothing) / (len(xu_strong) * temperature)
    cotangent = scale * exact["mask"][:, None] * q * centred
    return gradient((cotangent * logits).sum(), teacher)


def make_meta_gradient(path):
    print("meta_gradient")
    generator = numpy.random.default_rng(104)
    archive = Archive()
    yl, yu = generator.integers(0, 3, 6), generator.integers(0, 3, 9)
    xl, xu = clusters(generator, yl, 5, 0.8), clusters(generator, yu, 5, 0.8)
    xu_strong = xu + torch.tensor(generator.normal(0, 0.4, (9, 5)))
    yl = torch.tensor(yl)
    batch = (xl, yl, xu, xu_strong)
    for name, value in zip(("xl", "yl", "xu", "xu_strong"), batch):
        archive.add(name, value)

    optimizers = {
        "sgd": sgd(0.5),
        "heavy_ball": sgd(0.3, momentum=0.9),
        "nesterov": sgd(0.3, momentum=0.9, nesterov=True),
        "nesterov_clipped": sgd(
            0.5, momentum=0.9, nesterov=True, weight_decay=5e-3, clip_norm=0.1
        ),
        "decay_before_clip": sgd(
            0.5, momentum=0.9, nesterov=True, weight_decay=5e-3, clip_norm=0.1,
            decay_before_clip=True,
        ),
        "adamw": adamw(0.01, weight_decay=0.01),
        "adamw_clipped": adamw(0.01, weight_decay=0.01, clip_norm=0.1),
    }
    networks = {
        "plain": mlp(5, [7, 6], 3),
        "batch_norm": mlp(5, [7, 6], 3, batch_norm=True),
    }
    teachers, students, states = {}, {}, {}
    for network, specification in networks.items():
        teachers[network] = random_parameters(generator, specification, gain=1.8)
        student = random_parameters(generator, specification, gain=1.2)
        # The moments are those of ten steps of AdamW; the student is where they lead.
        warm_up = optimizers["adamw"]
        state = initial_state(warm_up, student)
        for _ in range(10):
            labels = generator.integers(0, 3, 9)
            x, labels = clusters(generator, labels, 5, 0.8), torch.tensor(labels)
            p = leaves(student)
            step, state = update(
                warm_up, student, gradient(labelled_loss(p, specification, x, labels), p), state
            )
            student = stepped(student, step)
        students[network], states[network] = student, detached(state)
        for name, value in like(generator, student, 0.05).items():
            states[network][f"momentum.{name}"] = value
        archive.add(f"{network}/specification", specification)
        archive.add_all(f"{network}/teacher", teachers[network])
        archive.add_all(f"{network}/student", students[network])
        archive.add_all(f"{network}/optimizer_state", states[network])

    cases = {}
    for network in networks:
        for name, optimizer in optimizers.items():
            for temperature, smoothing in ((1.0, 0.0), (0.7, 0.1)):
                suffix = "" if temperature == 1 else "_tempered_smoothed"
                cases[f"{network}_{name}{suffix}"] = (
                    network, optimizer, temperature, smoothing, 0.0, "strong"
                )
        nesterov = optimizers["nesterov"]
        cases[f"{network}_nesterov_masked"] = (network, nesterov, 1.0, 0.0, 0.6, "strong")
        cases[f"{network}_nesterov_masked_tempered_smoothed"] = (
            network, nesterov, 0.7, 0.1, 0.7, "strong"
        )
        cases[f"{network}_nesterov_weak"] = (network, nesterov, 1.0, 0.0, 0.0, "weak")
        cases[f"{network}_nesterov_weak_masked_tempered_smoothed"] = (
            network, nesterov, 0.7, 0.1, 0.7, "weak"
        )
    archive.add("networks", list(networks))
    archive.add("cases", list(cases))

    for case, (network, optimizer, temperature, smoothing, threshold, view) in cases.items():
        configuration = {
            "feedback": "exact",
            "teacher_temperature": temperature,
            "label_smoothing": smoothing,
            "pseudo_label_threshold": threshold,
            "pseudo_label_view": view,
            "batch_composition": "separate",
            "student_optimizer": optimizer,
        }
        arguments = (
            configuration, networks[network], teachers[network], students[network],
            states[network], batch,
        )
        result = exact_meta_gradient(*arguments)
        expected, formula = result["meta_gradient"], analytic_meta_gradient(*arguments, result)
        error = norm(stepped(expected, formula)) / norm(expected)
        assert error < 1e-10, (case, error)
        assert norm(expected) > 1e-4, case
        assert ("clip_norm" in optimizer) == bool(result["clip_factor"] < 1), case
        assert (threshold > 0) == bool(2 < result["mask"].sum() < 9), case
        archive.add(f"{case}/network", network)
        archive.add(f"{case}/configuration", configuration)
        archive.add(f"{case}/mask", result["mask"])
        archive.add(f"{case}/student_loss", result["student_loss"])
        archive.add(f"{case}/student_gradient_norm", norm(result["student_gradient"]))
        archive.add(f"{case}/clip_factor", result["clip_factor"])
        archive.add_all(f"{case}/student_after", result["student_after"])
        archive.add(f"{case}/meta_objective", result["meta_objective"])
        archive.add_all(f"{case}/meta_gradient", expected)
        print(
            f"  {case}: objective {result['meta_objective']:.4f}, |gradient| {norm(expected):.3e},"
            f" |student gradient| {norm(result['student_gradient']):.3f},"
            f" kept {int(result['mask'].sum())}, formula differs by {error:.0e}"
        )
    archive.save(path)


# Ten steps of Meta Pseudo Labels


class MetaPseudoLabels:
    def __init__(self, configuration, specification, seed, teacher, student, statistics):
        self.configuration = configuration
        self.specification = specification
        self.seed = seed
        self.teacher, self.student = detached(teacher), detached(student)
        self.average = detached(student)
        self.teacher_statistics = detached(statistics)
        self.student_statistics = detached(statistics)
        self.average_statistics = detached(statistics)
        self.teacher_state = initial_state(configuration["teacher_optimizer"], teacher)
        self.student_state = initial_state(configuration["student_optimizer"], student)
        self.steps = 0

    def step(self, batch):
        """One step, in the order given at the top of this file; returns the metrics."""
        xl, yl, xu, xu_strong = batch
        configuration, specification = self.configuration, self.specification
        feedback = configuration["feedback"]
        student_optimizer = configuration["student_optimizer"]
        teacher_optimizer = configuration["teacher_optimizer"]
        metrics = {}

        # The student's step.
        teacher, student = leaves(self.teacher), leaves(self.student)
        strong_logits = forward(teacher, specification, xu_strong, self.teacher_statistics)
        q = functional.softmax(strong_logits, dim=1)
        targets = q
        if feedback != "exact":
            numbers = uniforms(self.seed, "pseudo_labels", self.steps, len(xu_strong))
            labels = metrics["pseudo_labels"] = sampled_labels(q, numbers)
            targets = one_hot(labels, q.shape[1])
        loss = cross_entropy(
            targets, forward(student, specification, xu_strong, self.student_statistics)
        ).mean()
        g = gradient(loss, student, create_graph=feedback == "exact")
        step, student_state = update(student_optimizer, student, g, self.student_state)
        student_after = stepped(student, step)
        metrics["loss/student"] = loss
        metrics["gradient_norm/student"] = norm(g)
        metrics["clip_factor/student"] = clip_factor(student_optimizer, g)

        # The teacher's step.
        supervised = functional.cross_entropy(
            forward(teacher, specification, xl, self.teacher_statistics), yl
        )
        weak_logits = forward(teacher, specification, xu, self.teacher_statistics)
        _, mask, values = unsupervised_data_augmentation(
            weak_logits, strong_logits, configuration["uda_temperature"],
            configuration["uda_threshold"],
        )
        if feedback == "exact":
            term = labelled_loss(student_after, specification, xl, yl)
        else:
            after = leaves(student_after)
            loss_after = labelled_loss(after, specification, xl, yl)
            if feedback == "loss_difference":
                h = labelled_loss(student, specification, xl, yl) - loss_after
            else:
                nothing = {name: torch.zeros_like(value) for name, value in g.items()}
                without, _ = update(student_optimizer, student, nothing, self.student_state)
                h = dot(gradient(loss_after, after), stepped(step, without))
            h = metrics["feedback"] = h.detach()
            term = h * cross_entropy(targets, strong_logits).sum()

        terms = {"supervised": supervised, "uda": values.mean(), "feedback": term}
        total = {name: torch.zeros_like(value) for name, value in teacher.items()}
        for name, value in terms.items():
            contribution = gradient(value, teacher, retain_graph=True)
            metrics[f"loss/{name}"] = value
            metrics[f"gradient_norm/{name}"] = norm(contribution)
            weight = configuration[f"{name}_weight"]
            total = {key: total[key] + weight * contribution[key] for key in total}
        metrics["uda_mask_rate"] = mask.mean()
        metrics["clip_factor/teacher"] = clip_factor(teacher_optimizer, total)
        step, teacher_state = update(teacher_optimizer, teacher, total, self.teacher_state)

        self.student, self.student_state = detached(student_after), detached(student_state)
        self.teacher, self.teacher_state = detached(stepped(teacher, step)), detached(teacher_state)
        decay = configuration["average_decay"]
        for name, value in self.student.items():
            self.average[name] = decay * self.average[name] + (1 - decay) * value
        self.average_statistics = detached(self.student_statistics)
        self.steps += 1
        return {name: value.detach() for name, value in metrics.items()}


def make_meta_pseudo_labels_steps(path):
    print("meta_pseudo_labels_steps")
    generator = numpy.random.default_rng(105)
    archive = Archive()
    seed, steps = 20210620, 10
    yl, yu = generator.integers(0, 3, (steps, 8)), generator.integers(0, 3, (steps, 16))
    xl, xu = clusters(generator, yl, 4, 0.9), clusters(generator, yu, 4, 0.9)
    xu_strong = xu + torch.tensor(generator.normal(0, 0.5, (steps, 16, 4)))
    yl = torch.tensor(yl)
    for name, value in (("xl", xl), ("yl", yl), ("xu", xu), ("xu_strong", xu_strong)):
        archive.add(name, value)
    archive.add("seed", seed)
    archive.add(
        "uniforms", numpy.stack([uniforms(seed, "pseudo_labels", k, 16) for k in range(steps)])
    )

    networks = {
        "plain": mlp(4, [8, 8], 3),
        "batch_norm": mlp(4, [8, 8], 3, batch_norm=True),
    }
    initial = {}
    for network, specification in networks.items():
        teacher = random_parameters(generator, specification, gain=1.2)
        student = random_parameters(generator, specification, gain=1.2)
        statistics = initial_statistics(specification)
        initial[network] = (teacher, student, statistics)
        archive.add(f"initial/{network}/specification", specification)
        archive.add_all(f"initial/{network}/teacher", {**teacher, **statistics})
        archive.add_all(f"initial/{network}/student", {**student, **statistics})

    def optimizer(learning_rate):
        return sgd(learning_rate, momentum=0.9, nesterov=True, weight_decay=1e-4, clip_norm=1.0)

    series = {}
    for network in networks:
        for feedback in ("exact", "gradient_dot", "loss_difference"):
            for weight in (1.0, 30.0):
                series[f"{network}_{feedback}_weight_{weight:.0f}"] = (network, feedback, weight)
    archive.add("networks", list(networks))
    archive.add("series", list(series))

    ends = {}
    for name, (network, feedback, feedback_weight) in series.items():
        configuration = {
            "feedback": feedback,
            "feedback_weight": feedback_weight,
            "supervised_weight": 1.0,
            "uda_weight": 2.0,
            "uda_temperature": 0.7,
            "uda_threshold": 0.5,
            "teacher_temperature": 1.0,
            "label_smoothing": 0.0,
            "pseudo_label_threshold": 0.0,
            "pseudo_label_view": "strong",
            "batch_composition": "separate",
            "average_decay": 0.9,
            "student_optimizer": optimizer(0.1),
            "teacher_optimizer": optimizer(0.05),
        }
        trainer = MetaPseudoLabels(configuration, networks[network], seed, *initial[network])
        archive.add(f"{name}/network", network)
        archive.add(f"{name}/configuration", configuration)
        history = []
        for k in range(steps):
            history.append(trainer.step((xl[k], yl[k], xu[k], xu_strong[k])))
            if k + 1 in (1, 2, 10):
                for role in ("teacher", "student", "average"):
                    archive.add_all(f"{name}/step_{k + 1}/{role}", getattr(trainer, role))
        for role in ("teacher", "student", "average"):
            archive.add_all(
                f"{name}/step_{steps}/{role}", getattr(trainer, f"{role}_statistics")
            )
        metrics = {key: torch.stack([m[key] for m in history]) for key in history[0]}
        archive.add_all(name, metrics)
        ends[name] = trainer.teacher
        print(f"  {name}")
        for term in ("student", "supervised", "uda", "feedback"):
            norms = metrics[f"gradient_norm/{term}"]
            assert norms.min() > 1e-4, (name, term, norms)
            print(f"    |gradient|, {term}: {norms.min():.2e} to {norms.max():.2e}")
        rates, clips = metrics["uda_mask_rate"], metrics["clip_factor/teacher"]
        print(
            f"    mask rate {rates.min():.2f} to {rates.max():.2f}, clipped: teacher"
            f" {int((clips < 1).sum())}, student {int((metrics['clip_factor/student'] < 1).sum())}"
        )
    for network in networks:
        for feedback in ("exact", "gradient_dot", "loss_difference"):
            one, thirty = (ends[f"{network}_{feedback}_weight_{w}"] for w in (1, 30))
            difference = norm(stepped(one, thirty))
            assert difference > 1e-2
            print(f"  {network}_{feedback}: weight 1 and 30 end {difference:.2e} apart")
    archive.save(path)


def main():
    root = Path(__file__).resolve().parent.parent
    directory = root / "bindings" / "python" / "tests" / "fixtures"
    if len(sys.argv) > 1:
        directory = Path(sys.argv[1])
    directory.mkdir(parents=True, exist_ok=True)
    check_philox()
    make_layers(directory / "layers.npz")
    make_losses(directory / "losses.npz")
    make_optimizers(directory / "optimizers.npz")
    make_meta_gradient(directory / "meta_gradient.npz")
    make_meta_pseudo_labels_steps(directory / "meta_pseudo_labels_steps.npz")
    make_method_steps(directory / "method_steps.npz")
    make_images(directory / "images.npz")


if __name__ == "__main__":
    main()
