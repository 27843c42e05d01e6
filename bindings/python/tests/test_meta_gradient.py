"""The exact meta-gradient is the derivative of the student's labelled loss after its step.

Shown by central differences in float64, for everything that the student's step can contain; by full
enumeration of the pseudo labels where they are sampled; and once with NumPy alone.
"""

import itertools

import numpy as np
import pytest

import didact
from support import FEEDBACKS, assert_same_bits, flat, same_bits, set_all, snapshot

TOLERANCE = 1e-6
INPUTS, CLASSES = 3, 3


def data(seed=0, labeled=6, unlabeled=9):
    random = np.random.default_rng(seed)
    xl = random.standard_normal((labeled, INPUTS))
    yl = random.integers(0, CLASSES, labeled)
    xu = random.standard_normal((unlabeled, INPUTS))
    return xl, yl, xu, xu + 0.3 * random.standard_normal(xu.shape)


def make_trainer(network=None, warm_up=3, student_network=None, **configuration):
    """A float64 trainer some steps into training, so that momenta, moments and statistics are not
    those of the start, with a teacher and student of some confidence."""
    specification = didact.mlp(INPUTS, [6, 5], CLASSES, activation="tanh", **(network or {}))
    settings = {
        "student_optimizer": {"learning_rate": 0.3},
        "teacher_optimizer": {"learning_rate": 0.1},
        **configuration,
    }
    trainer = didact.Trainer(
        "meta_pseudo_labels", specification, dtype="float64", seed=7, student_network=student_network, **settings
    )
    random = np.random.default_rng(3)
    for network in (trainer.teacher, trainer.student):
        for parameter in network.parameters.values():
            parameter += 0.3 * random.standard_normal(parameter.shape)
    trainer.teacher.parameters["dense2.weight"] *= 3
    for step in range(warm_up):
        trainer.step(*data(seed=100 + step))
    return trainer


NORM = {"batch_norm": True}
NOISE = {"batch_norm": True, "dropout": 0.3}
SGD = {"learning_rate": 0.3, "momentum": 0.0, "nesterov": False}
HEAVY_BALL = {"learning_rate": 0.3, "momentum": 0.9, "nesterov": False}
NESTEROV = {"learning_rate": 0.3, "momentum": 0.9, "nesterov": True}
CLIPPED = {**NESTEROV, "clip_norm": 0.05, "weight_decay": 0.01}
ADAMW = {"name": "adamw", "learning_rate": 0.01, "weight_decay": 0.01}

CASES = {
    "sgd": {"student_optimizer": SGD},
    "heavy_ball": {"student_optimizer": HEAVY_BALL},
    "nesterov": {"student_optimizer": NESTEROV},
    "first_step": {"student_optimizer": NESTEROV, "warm_up": 0},
    "weight_decay": {"student_optimizer": {**NESTEROV, "weight_decay": 0.05}},
    "weight_decay_of_weights_alone": {
        "network": NORM,
        "student_optimizer": {**NESTEROV, "weight_decay": 0.05, "decay_exclude": "bias_and_norm"},
    },
    "clipped": {"student_optimizer": CLIPPED},
    "clipped_after_decay": {"student_optimizer": {**CLIPPED, "decay_before_clip": True}},
    "clipped_sgd": {"student_optimizer": {**SGD, "clip_norm": 0.05}},
    "adamw": {"student_optimizer": ADAMW, "warm_up": 10},
    "adamw_clipped": {"student_optimizer": {**ADAMW, "clip_norm": 0.05}, "warm_up": 10},
    "label_smoothing": {"label_smoothing": 0.15},
    "temperature": {"teacher_temperature": 0.6},
    "high_temperature": {"teacher_temperature": 2.5},
    "mask": {"pseudo_label_threshold": 0.6},
    "weak_view": {"pseudo_label_view": "weak"},
    "batch_norm": {"network": NORM},
    "dropout": {"network": {"dropout": 0.3}},
    "batch_norm_and_dropout": {"network": NOISE},
    "eman": {"network": NORM, "eman": True},
    "eman_weak_view": {"network": NOISE, "eman": True, "pseudo_label_view": "weak"},
    "joint": {"network": NORM, "batch_composition": "joint"},
    "joint_weak_view": {"network": NOISE, "batch_composition": "joint", "pseudo_label_view": "weak"},
    "other_student": {
        "network": NORM,
        "student_network": didact.mlp(INPUTS, [4], CLASSES, activation="swish", dropout=0.2),
    },
    "other_teacher": {
        "network": {"dropout": 0.2},
        "student_network": didact.mlp(INPUTS, [7, 4], CLASSES, activation="sigmoid", batch_norm=True),
    },
    "everything": {
        "network": NOISE,
        "student_optimizer": CLIPPED,
        "label_smoothing": 0.1,
        "teacher_temperature": 0.7,
        "pseudo_label_threshold": 0.9,
    },
    "everything_adamw_joint": {
        "network": NOISE,
        "student_optimizer": {**ADAMW, "clip_norm": 0.05},
        "warm_up": 10,
        "label_smoothing": 0.1,
        "teacher_temperature": 0.7,
        "pseudo_label_threshold": 0.6,
        "batch_composition": "joint",
    },
}


@pytest.mark.parametrize("name", CASES)
def test_against_finite_differences(name):
    check = didact.gradcheck(make_trainer(**CASES[name]), *data(), draw=11)
    assert check.norm > 1e-6
    assert len(check.errors) == 11
    assert check.error <= TOLERANCE, check
    assert check


def test_the_cases_are_what_they_say():
    """Clipping is active, masks leave some rows out, momenta are not zero, dropout matters."""
    for name in CASES:
        trainer = make_trainer(**CASES[name])
        configuration = trainer.configuration
        clip = configuration["student_optimizer.clip_norm"]
        momenta = [array for key, array in trainer.student_optimizer.state.items() if key.startswith("momentum.")]
        if trainer.steps and configuration["student_optimizer.name"] == "sgd":
            uses_momentum = configuration["student_optimizer.momentum"] > 0
            assert any(np.abs(array).max() > 0 for array in momenta) == uses_momentum, name
        objective = trainer.meta_objective(*data(), draw=11)
        dropout = trainer.teacher.specification["dropout"] + trainer.student.specification["dropout"]
        assert (objective != trainer.meta_objective(*data(), draw=12)) == (dropout > 0), name
        if configuration["batch_composition"] == "joint":
            metrics = trainer.step(*data())
        else:
            xl, yl, xu, xu_strong = data()
            metrics = trainer.student_step(xu, xu_strong)
        if clip is not None:
            assert metrics["gradient_norm/student"] > clip, name
        if configuration["pseudo_label_threshold"] > 0:
            # Some rows count and some do not: neither all nor none would give the same.
            objectives = {objective}
            for threshold in (0.0, 2.0):
                other = make_trainer(**{**CASES[name], "pseudo_label_threshold": threshold, "warm_up": 0})
                trainer = make_trainer(**CASES[name])
                for role in ("teacher", "student"):
                    set_all(getattr(other, role).parameters, getattr(trainer, role).parameters)
                    set_all(getattr(other, role).statistics, getattr(trainer, role).statistics)
                set_all(other.student_optimizer.state, trainer.student_optimizer.state)
                objectives.add(other.meta_objective(*data(), draw=11))
            assert len(objectives) == 3, name


@pytest.mark.parametrize("wrong", ["reversed", "zero", "half", "one_parameter"])
def test_a_wrong_gradient_fails(wrong, monkeypatch):
    trainer = make_trainer()
    right = didact.Trainer.meta_gradient

    def meta_gradient(self, *arguments):
        gradient = right(self, *arguments)
        if wrong == "one_parameter":
            return {**gradient, "dense2.bias": -gradient["dense2.bias"]}
        return {name: {"reversed": -1.0, "zero": 0.0, "half": 0.5}[wrong] * part for name, part in gradient.items()}

    assert didact.gradcheck(trainer, *data()).passed
    monkeypatch.setattr(didact.Trainer, "meta_gradient", meta_gradient)
    check = didact.gradcheck(trainer, *data())
    assert not check.passed
    assert not check
    assert check.error > 1e-3


def test_gradcheck_puts_the_teacher_back():
    trainer = make_trainer()
    before = snapshot(trainer)
    didact.gradcheck(trainer, *data())
    assert_same_bits(snapshot(trainer), before)


def test_gradcheck_refuses_what_it_cannot_check():
    single = didact.Trainer("meta_pseudo_labels", didact.mlp(INPUTS, [4], CLASSES))
    with pytest.raises(ValueError, match="float64"):
        didact.gradcheck(single, *data())
    sampled = didact.Trainer(
        "meta_pseudo_labels", didact.mlp(INPUTS, [4], CLASSES), dtype="float64", feedback="gradient_dot"
    )
    with pytest.raises(ValueError, match="exact"):
        didact.gradcheck(sampled, *data())


# With NumPy alone: the student's step and loss are written out here, and differentiated numerically.


def softmax(logits):
    shifted = np.exp(logits - logits.max(axis=1, keepdims=True))
    return shifted / shifted.sum(axis=1, keepdims=True)


def forward(parameters, x):
    """Logits and hidden activations of mlp(inputs, [hidden], classes, "tanh")."""
    hidden = np.tanh(x @ parameters["dense0.weight"].T + parameters["dense0.bias"])
    return hidden @ parameters["dense1.weight"].T + parameters["dense1.bias"], hidden


def gradient(parameters, x, cotangent):
    """Of ⟨cotangent, logits⟩."""
    _, hidden = forward(parameters, x)
    inner = (cotangent @ parameters["dense1.weight"]) * (1 - hidden**2)
    return {
        "dense0.weight": inner.T @ x,
        "dense0.bias": inner.sum(axis=0),
        "dense1.weight": cotangent.T @ hidden,
        "dense1.bias": cotangent.sum(axis=0),
    }


def numpy_objective(teacher, student, momenta, settings, batch):
    """L(θ′(φ)): Nesterov momentum, decay, clipping, smoothing, temperature and mask, as documented."""
    xl, yl, _, xu_strong = batch
    q = softmax(forward(teacher, xu_strong)[0] / settings["temperature"])
    mask = (q.max(axis=1, keepdims=True) >= settings["threshold"]).astype(float)
    target = (1 - settings["smoothing"]) * q + settings["smoothing"] / CLASSES
    logits = forward(student, xu_strong)[0]
    g = gradient(student, xu_strong, mask * (softmax(logits) - target) / len(xu_strong))
    norm = np.sqrt(sum((part**2).sum() for part in g.values()))
    factor = min(1.0, settings["clip_norm"] / norm)
    moved = {}
    for name, value in student.items():
        part = factor * g[name] + settings["weight_decay"] * value
        momentum = settings["momentum"] * momenta[name] + part
        moved[name] = value - settings["learning_rate"] * (part + settings["momentum"] * momentum)
    log_probabilities = np.log(softmax(forward(moved, xl)[0]))
    return -log_probabilities[np.arange(len(yl)), yl].mean()


def test_against_numpy():
    settings = {
        "temperature": 0.8, "smoothing": 0.1, "threshold": 0.5, "clip_norm": 0.1, "weight_decay": 0.02,
        "momentum": 0.9, "learning_rate": 0.4,
    }  # fmt: skip
    trainer = didact.Trainer(
        "meta_pseudo_labels",
        didact.mlp(INPUTS, [5], CLASSES, activation="tanh"),
        dtype="float64",
        teacher_temperature=0.8,
        label_smoothing=0.1,
        pseudo_label_threshold=0.5,
        student_optimizer={
            "learning_rate": 0.4, "momentum": 0.9, "nesterov": True, "weight_decay": 0.02, "clip_norm": 0.1,
        },
    )  # fmt: skip
    random = np.random.default_rng(5)
    for network in (trainer.teacher, trainer.student):
        for parameter in network.parameters.values():
            parameter += 0.5 * random.standard_normal(parameter.shape)
    trainer.student_optimizer.state["step"] = 3
    momenta = {}
    for name in trainer.student.parameters:
        momenta[name] = 0.2 * random.standard_normal(trainer.student.parameters[name].shape)
        trainer.student_optimizer.state[f"momentum.{name}"] = momenta[name]
    batch = data(seed=8)
    teacher = {name: value.copy() for name, value in trainer.teacher.parameters.items()}
    student = {name: value.copy() for name, value in trainer.student.parameters.items()}

    def objective(values):
        return numpy_objective(values, student, momenta, settings, batch)

    assert abs(objective(teacher) - trainer.meta_objective(*batch)) < 1e-13
    found = trainer.meta_gradient(*batch)
    h = 1e-3
    for name, value in teacher.items():
        slopes = np.empty_like(value)
        for index in np.ndindex(value.shape):

            def at(offset, name=name, value=value, index=index):
                changed = value.copy()
                changed[index] += offset
                return objective({**teacher, name: changed})

            # A five-point stencil: its error is of the order of h⁴.
            slopes[index] = (8 * (at(h) - at(-h)) - (at(2 * h) - at(-2 * h))) / (12 * h)
        np.testing.assert_allclose(found[name], slopes, rtol=0, atol=1e-9 * np.linalg.norm(flat(found)))
    assert np.linalg.norm(flat(found)) > 1e-3


# Sampled labels: all that can be sampled, weighted by how probable it is.


def tiny(feedback, learning_rate=0.3, **configuration):
    optimizer = {"learning_rate": learning_rate, "momentum": 0.9, "nesterov": True}
    trainer = didact.Trainer(
        "meta_pseudo_labels",
        didact.mlp(2, [3], 2, activation="tanh"),
        dtype="float64",
        feedback=feedback,
        student_optimizer=optimizer,
        **configuration,
    )
    random = np.random.default_rng(1)
    for parameter in [*trainer.teacher.parameters.values(), *trainer.student.parameters.values()]:
        parameter[...] = random.standard_normal(parameter.shape)
    return trainer


def tiny_data():
    random = np.random.default_rng(2)
    return random.standard_normal((4, 2)), np.array([0, 1, 1, 0]), random.standard_normal((3, 2))


def expectation(trainer, temperature, value):
    """Σ_ŷ p(ŷ) value(ŷ) over all labellings of the unlabelled rows."""
    xl, yl, xu = tiny_data()
    q = softmax(trainer.teacher.forward(xu) / temperature)
    total = 0.0
    for labels in itertools.product(range(2), repeat=len(xu)):
        labels = np.array(labels)
        total = total + q[np.arange(len(xu)), labels].prod() * value(labels)
    return total


def expected_gradient(trainer, temperature):
    xl, yl, xu = tiny_data()
    return expectation(
        trainer, temperature, lambda labels: flat(trainer.meta_gradient(xl, yl, xu, pseudo_labels=labels))
    )


@pytest.mark.parametrize("temperature, smoothing", [(1.0, 0.0), (0.7, 0.1)])
def test_loss_difference_by_enumeration(temperature, smoothing):
    settings = {"teacher_temperature": temperature, "label_smoothing": smoothing}
    trainer = tiny("loss_difference", **settings)
    xl, yl, xu = tiny_data()

    def objective():
        return expectation(
            trainer, temperature, lambda labels: trainer.meta_objective(xl, yl, xu, pseudo_labels=labels)
        )

    found = expected_gradient(trainer, temperature)
    slopes, h = [], 1e-3
    for parameter in trainer.teacher.parameters.values():
        for index in np.ndindex(parameter.shape):
            start = parameter[index]
            values = []
            for offset in (-2 * h, -h, h, 2 * h):
                parameter[index] = start + offset
                values.append(objective())
            parameter[index] = start
            slopes.append((8 * (values[2] - values[1]) - (values[3] - values[0])) / (12 * h))
    norm = np.linalg.norm(found)
    assert norm > 1e-3
    assert np.abs(found - slopes).max() <= 1e-8 * norm


def test_gradient_dot_deviates_in_proportion_to_the_learning_rate():
    errors = []
    for learning_rate in (3e-4, 3e-5, 3e-6):
        expected = expected_gradient(tiny("loss_difference", learning_rate), 1.0)
        found = expected_gradient(tiny("gradient_dot", learning_rate), 1.0)
        errors.append(np.linalg.norm(found - expected) / np.linalg.norm(expected))
    assert errors[0] < 1e-2
    for coarse, fine in zip(errors, errors[1:]):
        assert 9 < coarse / fine < 11, errors


@pytest.mark.parametrize("feedback", ["gradient_dot", "loss_difference"])
def test_given_labels_are_those_that_are_used(feedback):
    trainer = tiny(feedback)
    xl, yl, xu = tiny_data()
    objectives = {
        trainer.meta_objective(xl, yl, xu, pseudo_labels=labels) for labels in itertools.product(range(2), repeat=3)
    }
    assert len(objectives) == 8
    # A draw samples one of them, and other draws sample others.
    sampled = {trainer.meta_objective(xl, yl, xu, draw=draw) for draw in range(40)}
    assert sampled <= objectives
    assert len(sampled) > 1


def test_exact_feedback_takes_no_labels():
    trainer = make_trainer()
    with pytest.raises(ValueError, match="pseudo_labels"):
        trainer.meta_gradient(*data(), pseudo_labels=np.zeros(9, int))
    with pytest.raises(ValueError, match="pseudo_labels"):
        tiny("gradient_dot").meta_gradient(*tiny_data(), pseudo_labels=[0, 1])


@pytest.mark.parametrize("optimizer", [{**NESTEROV, "clip_norm": 1e-3}, {**ADAMW, "weight_decay": 0.0}])
def test_gradient_dot_does_not_vanish(optimizer):
    """⟨pullback(v), g⟩ would be zero where clipping is active and at Adam's first step."""
    trainer = make_trainer(feedback="gradient_dot", student_optimizer=optimizer, warm_up=0)
    metrics = trainer.step(*data())
    assert abs(metrics["feedback"]) > 1e-7
    assert metrics["gradient_norm/feedback"] > 0
    assert metrics["gradient_norm/student"] > optimizer.get("clip_norm", 0)


def test_first_order_feedback_is_close_to_the_difference():
    results = {}
    for feedback in ("gradient_dot", "loss_difference"):
        trainer = make_trainer(
            feedback=feedback, student_optimizer={**NESTEROV, "learning_rate": 1e-4}, warm_up=0, network=NORM
        )
        results[feedback] = trainer.step(*data())["feedback"]
    assert results["gradient_dot"] != results["loss_difference"]
    assert results["gradient_dot"] == pytest.approx(results["loss_difference"], rel=1e-2)


# Nothing changes.


@pytest.mark.parametrize("feedback", FEEDBACKS)
@pytest.mark.parametrize("composition", ["separate", "joint"])
def test_nothing_changes(feedback, composition):
    settings = {"average_decay": 0.9, "batch_composition": composition, "feedback": feedback}
    untouched = make_trainer(network=NOISE, **settings)
    trainer = make_trainer(network=NOISE, **settings)
    before = snapshot(trainer)
    assert_same_bits(before, snapshot(untouched))
    first = trainer.meta_gradient(*data(), draw=5)
    trainer.meta_objective(*data(), draw=6)
    second = trainer.meta_gradient(*data(), draw=5)
    assert_same_bits(first, second)
    assert_same_bits(snapshot(trainer), before)
    assert_same_bits(
        {name: np.array(value) for name, value in trainer.step(*data(seed=50)).items()},
        {name: np.array(value) for name, value in untouched.step(*data(seed=50)).items()},
    )
    assert_same_bits(snapshot(trainer), snapshot(untouched))


@pytest.mark.parametrize("feedback", FEEDBACKS)
def test_nothing_changes_between_the_two_steps(feedback):
    trainers = [make_trainer(network=NOISE, feedback=feedback) for _ in range(2)]
    xl, yl, xu, xu_strong = data(seed=60)
    for trainer, looks in zip(trainers, (True, False)):
        trainer.student_step(xu, xu_strong)
        if looks:
            trainer.meta_gradient(*data(), draw=5)
            trainer.meta_objective(*data(), draw=5)
        trainer.teacher_step(xl, yl)
    assert_same_bits(snapshot(trainers[0]), snapshot(trainers[1]))


def test_the_draw_of_the_next_step_is_its_number():
    """`meta_gradient(draw=trainer.steps)` is the feedback of the next step."""
    trainer = make_trainer(
        network=NOISE, supervised_weight=0, uda_weight=0, teacher_optimizer=SGD, student_optimizer=CLIPPED
    )
    for _ in range(2):
        expected = trainer.meta_gradient(*data(), draw=trainer.steps)
        before = {name: value.copy() for name, value in trainer.teacher.parameters.items()}
        objective = trainer.meta_objective(*data(), draw=trainer.steps)
        metrics = trainer.step(*data())
        assert metrics["loss/feedback"] == pytest.approx(objective, rel=1e-12)
        assert metrics["gradient_norm/feedback"] == pytest.approx(np.linalg.norm(flat(expected)), rel=1e-10)
        moved = {name: before[name] - value for name, value in trainer.teacher.parameters.items()}
        assert np.abs(flat(moved) - 0.3 * flat(expected)).max() < 1e-13


def test_float32_agrees_with_float64():
    results = []
    for dtype in ("float32", "float64"):
        trainer = didact.Trainer("meta_pseudo_labels", didact.mlp(INPUTS, [6], CLASSES, "tanh"), dtype=dtype)
        random = np.random.default_rng(9)
        for parameter in [*trainer.teacher.parameters.values(), *trainer.student.parameters.values()]:
            parameter[...] = random.standard_normal(parameter.shape).astype(np.float32)
        found = trainer.meta_gradient(*data())
        assert all(part.dtype == dtype for part in found.values())
        results.append(flat(found))
    assert not same_bits(*results)
    assert np.linalg.norm(results[0] - results[1]) < 1e-4 * np.linalg.norm(results[1])
