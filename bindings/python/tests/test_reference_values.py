"""Every layer, loss, optimiser, meta-gradient and training step against values from PyTorch.

The values were written by scripts/make-torch-fixtures.py, whose docstring explains the keys.
"""

import json

import numpy as np
import pytest

import didact
from support import FIXTURES, flat, set_all

RELATIVE = 1e-10


class Archive:
    """One .npz file, read by prefix."""

    def __init__(self, name):
        with np.load(FIXTURES / f"{name}.npz") as file:
            self.arrays = {key: file[key] for key in file.files}

    def __getitem__(self, key):
        return self.arrays[key]

    def json(self, key):
        return json.loads(str(self.arrays[key]))

    def names(self, key):
        return [str(name) for name in self.arrays[key]]

    def under(self, prefix):
        """{name: array} of the keys `prefix`/name."""
        prefix += "/"
        return {key[len(prefix) :]: value for key, value in self.arrays.items() if key.startswith(prefix)}


LAYERS = Archive("layers")
LOSSES = Archive("losses")
OPTIMIZERS = Archive("optimizers")
META = Archive("meta_gradient")
STEPS = Archive("meta_pseudo_labels_steps")
METHODS = Archive("method_steps")
IMAGES = Archive("images")


def assert_close(found, expected, relative=RELATIVE, absolute=None):
    """‖found − expected‖ ≤ relative · ‖expected‖, and no element that is far from its own scale."""
    found, expected = np.asarray(found), np.asarray(expected)
    assert found.shape == expected.shape
    scale = max(np.abs(expected).max(initial=0.0), 1e-300)
    np.testing.assert_allclose(found, expected, rtol=0, atol=relative * scale if absolute is None else absolute)


def assert_all_close(found, expected, relative=RELATIVE):
    """The same for dicts of arrays, relative to the largest element of any of them, because some are
    zero but for rounding."""
    assert set(found) == set(expected)
    scale = max(np.abs(value).max(initial=0.0) for value in expected.values())
    assert scale > 0
    for name, value in expected.items():
        assert found[name].shape == value.shape, name
        np.testing.assert_allclose(found[name], value, rtol=0, atol=relative * scale, err_msg=name)


# Layers


@pytest.mark.parametrize("case", LAYERS.names("cases"))
def test_layers(case):
    network = didact.Network(LAYERS.json(f"{case}/specification"), dtype="float64")
    assert list(network.parameters) == list(LAYERS.under(f"{case}/parameters"))
    set_all(network.parameters, LAYERS.under(f"{case}/parameters"))
    set_all(network.statistics, LAYERS.under(f"{case}/statistics"))
    training = bool(LAYERS[f"{case}/training"])

    recorded = network.record(LAYERS[f"{case}/x"], training=training)
    assert_close(recorded.logits, LAYERS[f"{case}/logits"])
    for name, value in LAYERS.under(f"{case}/statistics_after").items():
        assert_close(network.statistics[name], value)

    input_gradient = recorded.backward(LAYERS[f"{case}/cotangent"], input_gradient=True)
    assert_all_close(network.gradients, LAYERS.under(f"{case}/gradients"))
    assert_close(input_gradient, LAYERS[f"{case}/input_gradient"])

    directions = LAYERS.under(f"{case}/directions")
    assert_close(recorded.tangent(directions), LAYERS[f"{case}/parameter_tangent"])
    assert_close(recorded.tangent(directions, LAYERS[f"{case}/input_direction"]), LAYERS[f"{case}/tangent"])


@pytest.mark.parametrize("case", LAYERS.names("cases"))
def test_forward_equals_the_recorded_pass(case):
    network = didact.Network(LAYERS.json(f"{case}/specification"), dtype="float64")
    set_all(network.parameters, LAYERS.under(f"{case}/parameters"))
    set_all(network.statistics, LAYERS.under(f"{case}/statistics"))
    logits = network.forward(LAYERS[f"{case}/x"], training=bool(LAYERS[f"{case}/training"]))
    assert_close(logits, LAYERS[f"{case}/logits"])


# Losses. A network without hidden layers, weights 1 and biases 0, hands its input on as its logits,
# and one step of plain SGD with learning rate 1 shows the gradient of the loss: the bias moves by
# minus its sum over rows, the weights by minus its product with the inputs.


def set_identity(network):
    network.parameters["dense0.weight"] = np.eye(network.specification["inputs"])
    network.parameters["dense0.bias"] = 0.0


def gradient_of_logits(network, before, inputs):
    """∂loss/∂logits, recovered from one step with learning rate 1; needs linearly independent rows."""
    moved = {name: before[name] - network.parameters[name] for name in before}
    features = np.vstack([inputs.T, np.ones(len(inputs))])
    steps = np.vstack([moved["dense0.weight"].T, moved["dense0.bias"]])
    # features @ gradient = steps, with more rows than the features can tell apart; compared there.
    return features, steps


PLAIN = {"name": "sgd", "learning_rate": 1.0, "momentum": 0.0, "nesterov": False}


@pytest.mark.parametrize("loss, smoothing", [("hard", 0.0), ("smoothed_hard", float(LOSSES["smoothing"]))])
def test_supervised_losses(loss, smoothing):
    logits, labels = LOSSES["logits"], LOSSES["labels"]
    trainer = didact.Trainer(
        "supervised", didact.mlp(5, [], 5), dtype="float64", label_smoothing=smoothing, student_optimizer=PLAIN
    )
    set_identity(trainer.student)
    before = {name: value.copy() for name, value in trainer.student.parameters.items()}
    metrics = trainer.step(logits, labels)
    assert_close(metrics["loss/supervised"], LOSSES[f"{loss}/mean"])
    features, steps = gradient_of_logits(trainer.student, before, logits)
    expected = features @ LOSSES[f"{loss}/gradient"]
    assert_close(steps, expected)
    assert_close(metrics["gradient_norm/supervised"], np.linalg.norm(expected))


def test_each_rows_loss():
    for row, value in enumerate(LOSSES["hard/values"]):
        trainer = didact.Trainer("supervised", didact.mlp(5, [], 5), dtype="float64", student_optimizer=PLAIN)
        set_identity(trainer.student)
        metrics = trainer.step(LOSSES["logits"][row : row + 1], LOSSES["labels"][row : row + 1])
        assert_close(metrics["loss/supervised"], value)


def test_extreme_logits():
    logits, labels = LOSSES["extreme/logits"], LOSSES["extreme/labels"]
    for row in range(len(logits)):
        trainer = didact.Trainer("supervised", didact.mlp(3, [], 3), dtype="float64", student_optimizer=PLAIN)
        set_identity(trainer.student)
        probabilities = trainer.student.predict_proba(logits[row : row + 1])
        assert_close(probabilities[0], np.exp(LOSSES["extreme/log_softmax"][row]))
        before = trainer.student.parameters["dense0.bias"].copy()
        metrics = trainer.step(logits[row : row + 1], labels[row : row + 1])
        expected = LOSSES["extreme/values"][row]
        assert_close(metrics["loss/supervised"], expected, absolute=1e-12 * max(1.0, abs(expected)))
        # The stored gradient is that of the mean over all rows.
        gradient = LOSSES["extreme/gradient"][row] * len(logits)
        moved = before - trainer.student.parameters["dense0.bias"]
        assert_close(moved, gradient, absolute=1e-13)


@pytest.mark.parametrize("temperature", [1.0, float(LOSSES["temperature"])])
def test_softmax(temperature):
    network = didact.Network(didact.mlp(5, [], 5), dtype="float64")
    set_identity(network)
    expected = LOSSES["softmax"] if temperature == 1 else LOSSES["tempered_softmax"]
    assert_close(network.predict_proba(LOSSES["logits"] / temperature), expected)
    assert_close(expected, np.exp(LOSSES["log_softmax" if temperature == 1 else "tempered_log_softmax"]))


def meta_trainer(classes=5, **configuration):
    """Teacher and student that hand their inputs on, and steps of plain SGD with learning rate 1."""
    settings = {"supervised_weight": 0, "uda_weight": 0, "feedback_weight": 0, "pseudo_label_view": "weak"}
    settings.update(student_optimizer=PLAIN, teacher_optimizer=PLAIN)
    trainer = didact.Trainer(
        "meta_pseudo_labels", didact.mlp(classes, [], classes), dtype="float64", **{**settings, **configuration}
    )
    set_identity(trainer.teacher)
    set_identity(trainer.student)
    return trainer


@pytest.mark.parametrize("loss, smoothing", [("soft", 0.0), ("smoothed_soft", float(LOSSES["smoothing"]))])
def test_losses_with_soft_targets(loss, smoothing):
    # The teacher labels the weak view, whose logits are the logarithms of the targets.
    trainer = meta_trainer(label_smoothing=smoothing)
    before = {name: value.copy() for name, value in trainer.student.parameters.items()}
    metrics = trainer.student_step(np.log(LOSSES["targets"]), LOSSES["logits"])
    assert_close(metrics["loss/student"], LOSSES[f"{loss}/mean"])
    features, steps = gradient_of_logits(trainer.student, before, LOSSES["logits"])
    assert_close(steps, features @ LOSSES[f"{loss}/gradient"])
    assert_close(metrics["gradient_norm/student"], np.linalg.norm(features @ LOSSES[f"{loss}/gradient"]))


def test_tempered_targets():
    # q = softmax(z / temperature): the same step as with these probabilities given at temperature 1.
    tempered = meta_trainer(teacher_temperature=float(LOSSES["temperature"]))
    given = meta_trainer()
    found = tempered.student_step(LOSSES["logits"], LOSSES["logits"][::-1])
    expected = given.student_step(LOSSES["tempered_log_softmax"], LOSSES["logits"][::-1])
    assert_close(found["loss/student"], expected["loss/student"])
    assert_close(flat(tempered.student.parameters), flat(given.student.parameters))


def test_loss_of_sampled_labels():
    # The teacher's term is h · Σ_i −log q_i[label_i] at the teacher's temperature, and h is the fall
    # of the student's labelled loss; both are restated here.
    logits, labels = LOSSES["logits"], LOSSES["labels"]
    trainer = meta_trainer(feedback="loss_difference", teacher_temperature=float(LOSSES["temperature"]))
    arguments = (logits, labels, logits)
    fall = float(LOSSES["hard/mean"]) - trainer.meta_objective(*arguments, pseudo_labels=labels)
    assert abs(fall) > 1e-3
    gradient = trainer.meta_gradient(*arguments, pseudo_labels=labels)
    expected = fall * len(logits) * LOSSES["tempered_hard/gradient"]
    assert_close(gradient["dense0.bias"], expected.sum(axis=0))
    assert_close(gradient["dense0.weight"], expected.T @ logits)


def test_uda():
    weak, strong = LOSSES["uda/weak_logits"], LOSSES["uda/strong_logits"]
    trainer = meta_trainer(
        uda_weight=1.0,
        uda_temperature=float(LOSSES["uda/temperature"]),
        uda_threshold=float(LOSSES["uda/threshold"]),
        student_optimizer={**PLAIN, "learning_rate": 0.0},
    )
    before = {name: value.copy() for name, value in trainer.teacher.parameters.items()}
    metrics = trainer.step(strong[:3], [0, 1, 2], weak, strong)
    assert_close(metrics["loss/uda"], LOSSES["uda/mean"])
    assert metrics["mask_rate"] == LOSSES["uda/mask"].mean()
    assert 0 < metrics["mask_rate"] < 1
    features, steps = gradient_of_logits(trainer.teacher, before, strong)
    assert_close(steps, features @ LOSSES["uda/gradient"])
    assert_close(metrics["gradient_norm/uda"], np.linalg.norm(features @ LOSSES["uda/gradient"]))


# Optimisers


def make_optimizer(network, settings):
    settings = dict(settings)
    kind = {"sgd": didact.SGD, "adamw": didact.AdamW}[settings.pop("name")]
    return kind(network, **settings)


@pytest.mark.parametrize("case", OPTIMIZERS.names("cases"))
def test_optimizers(case):
    network = didact.Network(OPTIMIZERS.json("specification"), dtype="float64")
    set_all(network.parameters, OPTIMIZERS.under("initial"))
    optimizer = make_optimizer(network, OPTIMIZERS.json(f"{case}/configuration"))
    gradients = OPTIMIZERS.under("gradients")
    cotangent = OPTIMIZERS.under("cotangent")
    after = OPTIMIZERS.under(f"{case}/parameters")
    steps = len(next(iter(gradients.values())))
    assert steps == 10
    for step in range(steps):
        set_all(network.gradients, {name: value[step] for name, value in gradients.items()})
        optimizer.step()
        for name, parameter in network.parameters.items():
            assert_close(parameter, after[name][step])
        if step + 1 in (1, 10):
            expected = OPTIMIZERS.under(f"{case}/pullback_{step + 1}")
            found = optimizer.pullback(cotangent)
            if case.startswith("adamw") and step == 0:
                # A difference of nearly equal numbers: compared absolutely.
                for name, value in expected.items():
                    assert_close(found[name], value, absolute=1e-12)
            else:
                assert_all_close(found, expected)
    state = OPTIMIZERS.under(f"{case}/state")
    assert optimizer.state["step"] == state.pop("step", 10) == 10
    for name, value in state.items():
        assert_close(optimizer.state[name], value)


def test_clipping_is_active_in_the_clipped_cases():
    clipped = [case for case in OPTIMIZERS.names("cases") if "clip" in case]
    assert len(clipped) >= 9
    for case in clipped:
        assert OPTIMIZERS[f"{case}/clip_factor"].min() < 1


# The exact meta-gradient


@pytest.mark.parametrize("case", META.names("cases"))
def test_meta_gradient(case):
    network = str(META[f"{case}/network"])
    trainer = didact.Trainer(
        "meta_pseudo_labels",
        META.json(f"{network}/specification"),
        dtype="float64",
        **META.json(f"{case}/configuration"),
    )
    set_all(trainer.teacher.parameters, META.under(f"{network}/teacher"))
    set_all(trainer.student.parameters, META.under(f"{network}/student"))
    stored = META.under(f"{network}/optimizer_state")
    state = trainer.student_optimizer.state
    used = [name for name in state if name in stored]
    adamw = trainer.configuration["student_optimizer.name"] == "adamw"
    if adamw or trainer.configuration["student_optimizer.momentum"] > 0:
        assert used
        for name in used:
            if adamw or name != "step":
                state[name] = stored[name]

    batches = (META["xl"], META["yl"], META["xu"], META["xu_strong"])
    assert_close(trainer.meta_objective(*batches), META[f"{case}/meta_objective"])
    expected = META.under(f"{case}/meta_gradient")
    found = trainer.meta_gradient(*batches)
    assert list(found) == list(trainer.teacher.parameters)
    assert_all_close(found, expected)
    norm = np.linalg.norm(flat(expected))
    assert norm > 0
    difference = flat(found) - flat({name: expected[name] for name in found})
    assert np.linalg.norm(difference) <= 1e-9 * norm

    # And the student's step itself.
    metrics = trainer.student_step(META["xu"], META["xu_strong"])
    assert_close(metrics["loss/student"], META[f"{case}/student_loss"])
    assert_close(metrics["gradient_norm/student"], META[f"{case}/student_gradient_norm"])
    assert_all_close(trainer.student.parameters, META.under(f"{case}/student_after"))


def test_the_meta_gradient_cases_are_what_they_say():
    cases = META.names("cases")
    assert len(cases) == 36
    for case in cases:
        configuration = META.json(f"{case}/configuration")
        assert (META[f"{case}/clip_factor"] < 1) == ("clip_norm" in configuration["student_optimizer"])
        masked = configuration["pseudo_label_threshold"] > 0
        assert (META[f"{case}/mask"].mean() < 1) == masked
        assert META[f"{case}/mask"].mean() > 0


# Ten steps of training


@pytest.mark.parametrize("series", STEPS.names("series"))
def test_ten_steps(series):
    network = str(STEPS[f"{series}/network"])
    initial = f"initial/{network}"
    configuration = STEPS.json(f"{series}/configuration")
    trainer = didact.Trainer(
        "meta_pseudo_labels",
        STEPS.json(f"{initial}/specification"),
        dtype="float64",
        seed=int(STEPS["seed"]),
        **configuration,
    )
    roles = {"teacher": trainer.teacher, "student": trainer.student, "average": trainer.average}

    def named(network):
        return {**network.parameters, **network.statistics}

    for role, network in roles.items():
        stored = STEPS.under(f"{initial}/{'student' if role == 'average' else role}")
        for name, array in named(network).items():
            array[...] = stored[name]

    metrics = []
    for step in range(10):
        batch = [STEPS[key][step] for key in ("xl", "yl", "xu", "xu_strong")]
        metrics.append(trainer.step(*batch))
        for role, network in roles.items():
            stored = STEPS.under(f"{series}/step_{step + 1}/{role}")
            assert bool(stored) == (step + 1 in (1, 2, 10))
            found = named(network)
            for name, value in stored.items():
                scale = max(1.0, np.abs(value).max())
                assert_close(found[name], value, absolute=RELATIVE * scale)

    keys = {key: f"{kind}/{key}" for kind in ("loss", "gradient_norm") for key in STEPS.under(f"{series}/{kind}")}
    assert set(keys) == {"student", "supervised", "uda", "feedback"}
    for kind in ("loss", "gradient_norm"):
        for term, values in STEPS.under(f"{series}/{kind}").items():
            found = np.array([step[f"{kind}/{term}"] for step in metrics])
            assert_close(found, values)
            assert (found != 0).all(), f"{kind}/{term}"
            np.testing.assert_array_equal(trainer.history[f"{kind}/{term}"], found)
    assert_close([step["mask_rate"] for step in metrics], STEPS[f"{series}/uda_mask_rate"])
    if configuration["feedback"] != "exact":
        assert_close([step["feedback"] for step in metrics], STEPS[f"{series}/feedback"])
    assert STEPS[f"{series}/clip_factor/student"].min() < 1 or STEPS[f"{series}/clip_factor/teacher"].min() < 1


# Images


@pytest.mark.parametrize("case", IMAGES.names("cases"))
def test_networks_of_images(case):
    network = didact.Network(IMAGES.json(f"{case}/specification"), dtype="float64")
    set_all(network.parameters, IMAGES.under(f"{case}/parameters"))
    set_all(network.statistics, IMAGES.under(f"{case}/statistics"))
    x = IMAGES[f"{case}/x"]
    recorded = network.record(x, training=bool(IMAGES[f"{case}/training"]))
    assert_close(recorded.logits, IMAGES[f"{case}/logits"])
    input_gradient = recorded.backward(IMAGES[f"{case}/cotangent"], input_gradient=True)
    assert_all_close(network.gradients, IMAGES.under(f"{case}/gradients"))
    assert_close(input_gradient.reshape(x.shape), IMAGES[f"{case}/input_gradient"])
    assert_close(recorded.tangent(IMAGES.under(f"{case}/directions")), IMAGES[f"{case}/tangent"])
    after = IMAGES.under(f"{case}/statistics_after") or IMAGES.under(f"{case}/statistics")
    assert_all_close(network.statistics, after)


# Ten steps of every method


def write_distributions(path, values):
    """A safetensors file, as any program may write it."""
    description = {"dtype": "F64", "shape": values.shape, "data_offsets": [0, values.nbytes]}
    header = json.dumps({"distributions": description}).encode()
    header += b" " * (-len(header) % 8)
    path.write_bytes(len(header).to_bytes(8, "little") + header + values.tobytes())


@pytest.mark.parametrize("series", METHODS.names("series"))
def test_ten_steps_of_a_method(series, tmp_path):
    method, configuration = str(METHODS[f"{series}/method"]), METHODS.json(f"{series}/configuration")
    known = {field["key"] for field in didact.configuration_fields(method)}
    # In a fit, rows as they are.
    plain = {
        "weak_noise": 0, "strong_noise": 0, "strong_feature_dropout": 0, "input_scaling": "none",
        "labeled_batch_size": 24, "unlabeled_batch_size": 24,
    }  # fmt: skip
    configuration = {**{key: value for key, value in plain.items() if key in known}, "steps": 10, **configuration}
    if "teacher_distributions" in known:
        write_distributions(tmp_path / "distributions.safetensors", METHODS["distributions"])
        configuration["teacher_distributions"] = str(tmp_path / "distributions.safetensors")
    trainer = didact.Trainer(
        method, METHODS.json("specification"), dtype="float64", seed=int(METHODS["seed"]), **configuration
    )
    roles = {"student": trainer.student}
    for role in ("teacher", "average", "corrector"):
        if METHODS.under(f"{series}/step_10/{role}"):
            roles[role] = getattr(trainer, role)

    def named(network):
        return {**network.parameters, **network.statistics}

    for role, network in roles.items():
        for name, value in METHODS.under(f"initial/{'student' if role == 'average' else role}").items():
            named(network)[name][...] = value

    for step in range(10):
        if METHODS[f"{series}/by_fit"]:
            trainer.fit(METHODS["X"], METHODS["y"], steps=1)
        elif trainer.configuration.get("unlabeled_batch_size"):
            trainer.step(*(METHODS[key][step] for key in ("xl", "yl", "xu", "xu_strong")))
        else:
            trainer.step(METHODS["xl"][step], METHODS["yl"][step])
        for role, network in roles.items():
            for name, value in METHODS.under(f"{series}/step_{step + 1}/{role}").items():
                scale = max(1.0, np.abs(value).max())
                assert_close(named(network)[name], value, absolute=RELATIVE * scale)

    terms = METHODS.under(f"{series}/loss")
    assert terms
    for term, values in terms.items():
        assert_close(trainer.history[f"loss/{term}"], values)
        norms = METHODS[f"{series}/gradient_norm/{term}"]
        assert_close(trainer.history[f"gradient_norm/{term}"], norms)
        assert (norms > 0).sum() >= 4


def test_every_method_is_restated():
    methods = {str(METHODS[f"{series}/method"]) for series in METHODS.names("series")}
    assert methods | {"meta_pseudo_labels"} == set(didact.build_info()["methods"])
