"""Images as arrays: their orders and types, networks of them, and what is refused."""

import json

import numpy as np
import pytest

import didact
from support import ACTIVATIONS, run_python

SHAPE = (8, 8, 3)


def images(rows=24, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (rows, *SHAPE), dtype=np.uint8)


def labels(rows=24, known=12):
    return np.where(np.arange(rows) < known, np.arange(rows) % 3, -1)


def make(**changes):
    settings = {
        "method": "fixmatch", "network": didact.small_cnn(SHAPE, 3, width=4), "steps": 4, "input_scaling": "channel",
        "pseudo_label_threshold": 0.4, "unlabeled_batch_size": 12, "labeled_batch_size": 6, "threads": 1,
    }  # fmt: skip
    return didact.Trainer(**{**settings, **changes})


def nchw(x):
    return np.ascontiguousarray(x.transpose(0, 3, 1, 2))


@pytest.mark.parametrize("view", [
    lambda x: x.astype(np.float64), lambda x: x.reshape(len(x), -1), nchw, lambda x: x.transpose(0, 3, 1, 2),
    lambda x: np.asfortranarray(x), lambda x: np.repeat(x, 2, axis=2)[:, :, ::2],
], ids=["float64", "rows", "nchw", "strided nchw", "fortran", "strided"])  # fmt: skip
def test_orders_and_types_are_the_same_images(view):
    x, y = images(), labels()
    usual, other = make().fit(x, y), make().fit(view(x), y)
    np.testing.assert_array_equal(usual.predict_proba(x), other.predict_proba(view(x)))
    more = make().fit(x[:14], y[:14], X_unlabeled=view(x)[14:])
    np.testing.assert_array_equal(usual.predict_proba(x), more.predict_proba(nchw(x)))
    network = usual.student
    floats = x.astype(np.float32)
    np.testing.assert_array_equal(network.forward(floats), network.forward(view(floats)))
    predictor = didact.Predictor(network, np.ascontiguousarray(nchw(floats)[:1]))
    np.testing.assert_array_equal(predictor(), network.predict_proba(floats[:1]))


def test_gray_images_need_no_channel():
    x, classes = didact.datasets.load_digits()
    network = didact.Network(didact.small_cnn((8, 8, 1), 10, width=4), seed=1)
    flat = network.predict_proba(x[:20])
    for shape in ((20, 8, 8), (20, 8, 8, 1), (20, 1, 8, 8)):
        np.testing.assert_array_equal(network.predict_proba(x[:20].reshape(shape)), flat)


def test_channels_are_scaled_by_their_own_mean_and_deviation():
    x, y = images(), labels()
    scaled = (x - x.mean(axis=(0, 1, 2))) / x.std(axis=(0, 1, 2))
    by_hand = make(input_scaling="none", dtype="float64").fit(scaled, y)
    np.testing.assert_allclose(
        make(dtype="float64").fit(x, y).predict_proba(x), by_hand.predict_proba(scaled), rtol=1e-9
    )


def test_a_model_file_of_images(tmp_path):
    x, y = images(), labels()
    trainer = make(average_decay=0.9).fit(x, y)
    trainer.save(tmp_path / "model.safetensors")
    loaded = didact.Trainer.load(tmp_path / "model.safetensors")
    assert loaded.configuration["network"]["inputs"] == list(SHAPE)
    np.testing.assert_array_equal(loaded.predict_proba(nchw(x)), trainer.predict_proba(x))
    assert loaded.student.parameters["stage0.conv0.weight"].shape == (4, 3, 3, 3)


@pytest.mark.parametrize("method", [m for m in didact.build_info()["methods"] if m != "reduced_meta_pseudo_labels"])
def test_every_method_trains_on_images(method):
    known = {field["key"] for field in didact.configuration_fields(method)}
    settings = {"steps": 3, "unlabeled_batch_size": 12, "labeled_batch_size": 6, "threads": 1}
    trainer = didact.Trainer(
        method, didact.small_cnn(SHAPE, 3, width=4), **{key: value for key, value in settings.items() if key in known}
    )
    x, y = images(), labels()
    before = trainer.student.parameters["stage0.conv0.weight"].copy()
    trainer.fit(x, y, steps=3)
    assert (trainer.student.parameters["stage0.conv0.weight"] != before).any()
    assert np.isfinite(trainer.predict_proba(x)).all()


def test_a_small_network_learns_digits():
    x, classes = didact.datasets.load_digits()
    split = didact.datasets.split(classes, labels=400, test_fraction=0.25, seed=0)
    trainer = didact.Trainer(
        "supervised", didact.small_cnn((8, 8, 1), 10, width=16), steps=150, input_scaling="unit", threads=1
    ).fit(x[split.labeled].reshape(-1, 8, 8), classes[split.labeled])
    assert (trainer.predict(x[split.test]) == classes[split.test]).mean() > 0.95


def test_same_bits_again():
    x, y = images(), labels()
    one, two = (make(threads=2, method="meta_pseudo_labels", pseudo_label_threshold=0.0).fit(x, y) for _ in range(2))
    np.testing.assert_array_equal(one.predict_proba(x), two.predict_proba(x))


@pytest.mark.parametrize("shape", [(4, 8, 8), (4, 8, 3, 8), (4, 9, 8, 3), (4, 191), (4, 3, 8), (192,)])
def test_other_shapes_are_refused(shape):
    trainer, array = make(), np.zeros(shape)
    calls = [lambda: trainer.predict_proba(array), lambda: trainer.student.forward(array)]
    if len(shape) > 1:
        calls += [lambda: trainer.fit(array, [0, 1, 2, 0]), lambda: trainer.step(array, [0, 1, 2, 0], images(4))]
    for call in calls:
        with pytest.raises(ValueError, match=r"\[rows, 8, 8, 3\], \[rows, 3, 8, 8\] or \[rows, 192\]|labels for X"):
            call()
    assert trainer.steps == 0


@pytest.mark.parametrize("order", ["NHWC", "NCHW"])
def test_the_place_of_a_value_that_is_not_finite_is_that_in_the_image(order):
    array = np.zeros((4, *SHAPE))
    array[2, 3, 5, 1] = np.nan
    if order == "NCHW":
        array = array.transpose(0, 3, 1, 2)
    trainer = make()
    for call in (
        lambda: trainer.fit(array, [0, 1, 2, 0]), lambda: trainer.step(array, [0, 1, 2, 0], images(4)),
        lambda: trainer.predict(array), lambda: trainer.student.predict_proba(array),
    ):  # fmt: skip
        with pytest.raises(ValueError, match="row 2, y 3, x 5, channel 1"):
            call()


def test_networks_that_cannot_be_are_refused():
    for network, message in (
        (didact.wide_resnet((32, 32, 3), 10, depth=27), "6 n \\+ 4"),
        (didact.wide_resnet((32, 32, 3), 10, variant="other"), "variant"),
        (didact.sequential((4, 4, 1), [{"type": "convolution", "outputs": 2, "size": 9, "padding": 0}]), "does not fit"),
        (didact.sequential((4, 4, 1), [{"type": "add", "from": ["a", "input"]}]), '"a"'),
        (didact.sequential((4, 4), [{"type": "relu"}]), "inputs"),
    ):
        with pytest.raises(ValueError, match=message):
            didact.Network(network)


def test_image_by_image_is_as_together():
    # Also parts of other sizes than the usual ones.
    network = didact.Network(didact.wide_resnet((8, 8, 3), 4, depth=10, width=1), seed=3)
    x = np.random.default_rng(1).normal(size=(7, *SHAPE)).astype(np.float32)
    together = network.predict_proba(x)
    np.testing.assert_allclose([network.predict_proba(each[None])[0] for each in x], together, atol=1e-6)


@pytest.mark.parametrize("network", [
    didact.resnet((16, 16, 3), 3, depth=18, small_images=True), didact.resnet((16, 16, 3), 3, depth=50, small_images=True),
    didact.efficientnet((16, 16, 3), 3, small_images=True, dropout=0.0, stochastic_depth=0.0), didact.wide_resnet((16, 16, 3), 3, depth=10, width=1),
], ids=["resnet18", "resnet50", "efficientnet", "wide_resnet"])  # fmt: skip
def test_published_networks_train(network):
    x = np.random.default_rng(0).normal(size=(4, *network["inputs"])).astype(np.float32)
    metrics = didact.Trainer("meta_pseudo_labels", network, threads=2, seed=1).step(x, [0, 1, 2, 0], x)
    assert all(np.isfinite(value) for value in metrics.values()) and metrics["gradient_norm/feedback"] > 0
    descent = {"learning_rate": 0.0003, "momentum": 0, "nesterov": False}
    trainer = didact.Trainer("supervised", network, threads=2, seed=1, student_optimizer=descent)
    losses = [trainer.step(x, [0, 1, 2, 0])["loss/supervised"] for _ in range(4)]
    assert min(losses[1:]) < losses[0]
    assert trainer.predict_proba(x).shape == (4, 3)


# What convolutions compute in


def meta_gradient(**options):
    x, y = images().astype(np.float32) / 128 - 1, labels(24, 24)
    network = didact.sequential(SHAPE, [
        {"type": "convolution", "outputs": 16}, {"type": "batch_norm"}, {"type": "swish"},
        {"type": "convolution", "outputs": 64, "stride": 2}, {"type": "batch_norm"}, {"type": "swish"},
        {"type": "convolution", "outputs": 64}, {"type": "swish"}, {"type": "global_average_pool"},
        {"type": "dense", "outputs": 3},
    ])  # fmt: skip
    trainer = didact.Trainer("meta_pseudo_labels", network, seed=1, feedback="exact", **options)
    gradient = trainer.meta_gradient(x[:8], y[:8], x[8:])
    return np.concatenate([values.ravel() for values in gradient.values()]).astype(np.float64)


def cosine(a, b):
    return a @ b / np.linalg.norm(a) / np.linalg.norm(b)


def test_less_precise_convolutions_keep_the_feedbacks_direction():
    """With smooth activations: where a ReLU's input is near zero, rounding turns its derivative over."""
    exact = meta_gradient()
    assert cosine(exact, meta_gradient(dtype="float64")) > 0.999999
    fast, emulated = meta_gradient(math="fast"), meta_gradient(bfloat16="emulate")
    assert cosine(exact, fast) > 0.99999
    assert 0.99 < cosine(exact, emulated) < 0.999999
    try:
        native = meta_gradient(bfloat16="on")
    except didact.DidactError as error:
        assert "avx512_bf16" in str(error)
    else:
        assert cosine(exact, native) > 0.99
        assert cosine(emulated, native) > 0.999


@pytest.mark.parametrize("layer", [*ACTIVATIONS, "dropout", "stochastic_depth", "batch_norm", "flatten"])
@pytest.mark.parametrize("options", [{"bfloat16": "emulate"}, {"math": "fast"}, {}])
def test_images_read_as_vectors(layer, options):
    """Their elements lie in order, and are float32, whatever the form of images within a pass is."""
    layers = [
        {"type": "convolution", "outputs": 16, "size": 3}, {"type": "tanh"}, {"type": "flatten"},
        {"type": layer, **({"rate": 0.2} if layer in ("dropout", "stochastic_depth") else {})},
        {"type": "dense", "outputs": 5},
    ]  # fmt: skip
    random = np.random.default_rng(0)
    x, cotangent = random.standard_normal((12, 6, 5, 3)), random.standard_normal((12, 5))
    results = []
    for changes in ({"dtype": "float64"}, options):
        network = didact.Network(didact.sequential((6, 5, 3), layers), seed=0, **changes)
        if results:
            for name, value in reference.parameters.items():
                network.parameters[name] = value
        else:
            reference = network
        recorded = network.record(x, training=True, draw=0)
        recorded.backward(cotangent)
        tangent = recorded.tangent({name: np.ones(value.shape) for name, value in network.parameters.items()})
        results.append([recorded.logits.copy(), tangent, *(value.copy() for value in network.gradients.values())])
    for exact, other in zip(*results):
        # Eight bits turn some ReLUs over.
        assert np.linalg.norm(exact - other) < (0.2 if "bfloat16" in options else 1e-4) * np.linalg.norm(exact)


@pytest.mark.parametrize("loops, library", [("avx2", "AVX2"), ("baseline", "AVX512_CORE"), ("baseline", "SSE41")])
@pytest.mark.parametrize("options", ["", "math='fast'", "bfloat16='emulate'"])
def test_images_on_machines_without_the_newest_instructions(loops, library, options):
    """Images in blocks, which oneDNN wants with AVX-512, go through any loops; and where oneDNN 2.6 has convolutions that
    write or read what is not there, others are used."""
    code = f"""
import json
import didact, numpy as np
layers = [
    {{"type": "convolution", "outputs": 17, "size": 1, "stride": 2}},
    {{"type": "convolution", "outputs": 17, "groups": 17}},
]
for outputs in (16, 32):
    layers += [{{"type": "convolution", "outputs": outputs, "size": 3}}, {{"type": "batch_norm"}}, {{"type": "relu"}}]
layers += [{{"type": "global_average_pool"}}, {{"type": "dense", "outputs": 3}}]
network = didact.Network(didact.sequential((12, 14, 3), layers), threads=2, {options})
random = np.random.default_rng(0)
recorded = network.record(random.standard_normal((9, 12, 14, 3)), training=True)
recorded.backward(random.standard_normal((9, 3)))
tangent = recorded.tangent({{name: value.copy() for name, value in network.gradients.items()}})
print(json.dumps(np.concatenate([value.ravel() for value in (*network.gradients.values(), tangent)]).tolist()))
"""
    usual, limited = (
        np.array(json.loads(run_python(code, **environment).stdout))
        for environment in ({}, {"DIDACT_MAX_CPU_ISA": loops, "DNNL_MAX_CPU_ISA": library})
    )
    # What rounds to the other side in eight bits is further away.
    tolerance = 0.02 if "bfloat16" in options else 1e-4
    assert np.linalg.norm(usual - limited) < tolerance * np.linalg.norm(usual)


def test_bfloat16_needs_a_processor_with_it():
    code = "import didact; didact.Network(didact.small_cnn((8, 8, 3), 3), bfloat16='on')"
    done = run_python(code, DNNL_MAX_CPU_ISA="AVX512_CORE")
    assert done.returncode == 1 and "avx512_bf16" in done.stderr and "emulate" in done.stderr


@pytest.mark.parametrize("options, words", [
    ({"math": "fast", "bfloat16": "emulate"}, "exclude each other"),
    ({"math": "fast", "dtype": "float64"}, "float32"),
    ({"bfloat16": "emulate", "dtype": "float64"}, "float32"),
    ({"math": "quick"}, "math"),
    ({"bfloat16": "yes"}, "bfloat16"),
])  # fmt: skip
def test_arithmetic_that_does_not_go_together(options, words):
    with pytest.raises(ValueError, match=words):
        make(**options)
    with pytest.raises(didact.DidactError, match="convolutions"):
        didact.Network(didact.mlp(4, [3], 2), math="fast")
    with pytest.raises(didact.DidactError, match="convolutions"):
        didact.Trainer("supervised", didact.mlp(4, [3], 2), bfloat16="emulate")


# Other sizes, and weights from elsewhere


def test_a_resized_network_shares_its_parameters():
    network = didact.Network(didact.small_cnn(SHAPE, 3, width=4), seed=1)
    larger = network.resized((12, 10))
    x = np.random.default_rng(0).standard_normal((5, 12, 10, 3))
    before = larger.predict_proba(x)
    network.parameters["dense0.bias" if "dense0.bias" in network.parameters else list(network.parameters)[-1]][0] += 1
    assert (larger.predict_proba(x)[:, 0] > before[:, 0]).all()
    del network
    assert larger.predict_proba(x).shape == (5, 3)
    with pytest.raises(didact.DidactError, match="cannot be resized"):
        didact.Network(didact.mlp(4, [3], 2)).resized((2, 2))
    fixed = didact.Network(didact.sequential((4, 4, 1), [{"type": "flatten"}, {"type": "dense", "outputs": 2}]))
    with pytest.raises(didact.DidactError, match=r"dense0\.weight depends on the size"):
        fixed.resized((5, 4))


def test_weights_of_a_saved_network_for_larger_images(tmp_path):
    small = didact.Network(didact.resnet((16, 16, 3), 3, depth=18, small_images=True), seed=1)
    small.save(tmp_path / "small.safetensors")
    trainer = didact.Trainer("supervised", didact.resnet((24, 24, 3), 3, depth=18, small_images=True), seed=2)
    report = didact.load_pretrained(trainer.student, tmp_path / "small.safetensors")
    assert report["names"] == "didact" and not report["kept"] and not report["unused"]
    x = np.random.default_rng(0).standard_normal((3, 24, 24, 3))
    np.testing.assert_array_equal(trainer.student.predict_proba(x), small.resized((24, 24)).predict_proba(x))

    other = didact.Network(didact.resnet((16, 16, 3), 5, depth=18, small_images=True), seed=3)
    own = np.array(other.parameters["fc.weight"])
    report = didact.load_pretrained(other, tmp_path / "small.safetensors")
    assert report["kept"] == ["fc.weight", "fc.bias"]
    np.testing.assert_array_equal(other.parameters["fc.weight"], own)

    deeper = didact.Network(didact.resnet((16, 16, 3), 3, depth=34, small_images=True), seed=3)
    before = np.array(deeper.parameters["conv1.weight"])
    with pytest.raises(didact.DidactError, match=r"not of this network.*layer1\.2\.conv1\.weight"):
        didact.load_pretrained(deeper, tmp_path / "small.safetensors")
    np.testing.assert_array_equal(deeper.parameters["conv1.weight"], before)
    assert len(didact.load_pretrained(deeper, tmp_path / "small.safetensors", strict=False)["kept"]) > 0
    with pytest.raises(didact.DidactError, match="none of the network's names"):
        didact.load_pretrained(didact.Network(didact.mlp(4, [3], 2)), tmp_path / "small.safetensors")
    with pytest.raises(didact.DidactError, match=r"missing\.safetensors"):
        didact.load_pretrained(small, tmp_path / "missing.safetensors")


def test_what_is_no_file_of_weights(tmp_path):
    network, path = didact.Network(didact.small_cnn(SHAPE, 3, width=4)), tmp_path / "file.safetensors"
    make(steps=1).save(path)
    with pytest.raises(didact.DidactError, match="trainer's file"):
        didact.load_pretrained(network, path)
    didact.Network(didact.small_cnn(SHAPE, 3, width=4), dtype="float64").save(path)
    assert not didact.load_pretrained(network, path)["kept"]
    deeper = didact.Network(didact.small_cnn(SHAPE, 3, width=4, stages=1))
    with pytest.raises(didact.DidactError, match=r"not of this network.*dense\.weight"):
        didact.load_pretrained(deeper, path)
    with pytest.raises(TypeError, match=r"trainer\.student"):
        didact.load_pretrained(make(), path)
    with pytest.raises(TypeError, match=r"\(height, width\)"):
        network.resized(8)
    with pytest.raises(ValueError, match="got 0 × 8"):
        network.resized((0, 8))
    with pytest.raises(didact.DidactError, match="stages"):
        network.resized((16, 16))
    assert didact.Network(didact.small_cnn(SHAPE, 3, stages=2)).resized((16, 16)).specification["inputs"] == [16, 16, 3]


@pytest.mark.parametrize("threads", [1, 2])
def test_rounded_images_are_convolved_part_by_part(threads):
    """Parts are smaller than a thread's share here, and the cotangents of their weights are added up."""
    shape, rows = (32, 32, 32), 60
    x = np.random.default_rng(0).standard_normal((rows, *shape)).astype(np.float32)
    cotangent = np.random.default_rng(1).standard_normal((rows, 32)).astype(np.float32)
    specification = didact.sequential(shape, [{"type": "convolution", "outputs": 32}, {"type": "global_average_pool"}])
    results = []
    for bfloat16 in ("off", "emulate"):
        network = didact.Network(specification, seed=1, threads=threads, bfloat16=bfloat16)
        recorded = network.record(x)
        of_input = recorded.backward(cotangent, input_gradient=True)
        results.append((recorded.logits, network.gradients["convolution0.weight"].copy(), of_input))
    for direct, rounded in zip(*results):
        error = np.linalg.norm(direct - rounded) / np.linalg.norm(direct)
        assert 0 < error < 0.01


# Every layer of images, with values that several read, one that a dense layer reads as it lies, and a first layer that
# works on the network's input element by element. Activations are smooth: rounding turns a ReLU's derivative over.
EVERY_LAYER = didact.sequential((9, 9, 3), [
    {"type": "dropout", "rate": 0.0}, {"type": "batch_norm"},
    {"type": "convolution", "outputs": 16, "bias": True, "name": "stem"},
    {"type": "batch_norm"}, {"type": "swish", "name": "one"},
    {"type": "convolution", "outputs": 16, "groups": 4}, {"type": "batch_norm"}, {"type": "tanh"},
    {"type": "stochastic_depth", "rate": 0.0, "name": "branch"}, {"type": "add", "from": ["one", "branch"], "name": "sum"},
    {"type": "global_average_pool"}, {"type": "dense", "outputs": 16}, {"type": "sigmoid", "name": "factor"},
    {"type": "gate", "from": ["sum", "factor"]}, {"type": "average_pool", "size": 3, "stride": 2, "padding": 1},
    {"type": "convolution", "outputs": 40, "size": 3, "stride": 2}, {"type": "batch_norm"}, {"type": "swish"},
    {"type": "dropout", "rate": 0.0}, {"type": "dense", "outputs": 5},
])  # fmt: skip


@pytest.mark.parametrize("bfloat16", ["emulate", "on"])
@pytest.mark.parametrize("threads", [1, 2])
def test_every_layer_takes_images_kept_in_bfloat16(threads, bfloat16):
    random = np.random.default_rng(0)
    x, cotangent = random.standard_normal((24, 9, 9, 3)).astype(np.float32), random.standard_normal((24, 5))
    results = []
    for arithmetic in ("off", bfloat16):
        try:
            network = didact.Network(EVERY_LAYER, seed=1, threads=threads, bfloat16=arithmetic)
        except didact.DidactError as error:
            assert bfloat16 == "on" and "avx512_bf16" in str(error)
            pytest.skip("this processor has no bfloat16")
        recorded = network.record(x)
        of_input = recorded.backward(cotangent.astype(np.float32), input_gradient=True)
        gradients = {name: gradient.copy() for name, gradient in network.gradients.items()}
        directions = {name: np.cos(np.arange(value.size)).reshape(value.shape) for name, value in gradients.items()}
        tangent = recorded.tangent(directions)
        evaluated = network.forward(x)
        results.append({"logits": recorded.logits.copy(), "input": of_input, "tangent": tangent, "evaluated": evaluated})
        results[-1].update(gradients)
    assert not np.array_equal(results[0]["logits"], results[1]["logits"])
    for name, exact in results[0].items():
        rounded, size = results[1][name], np.linalg.norm(exact)
        # A bias before a normalisation has no gradient but rounding.
        if name == "stem.bias":
            assert np.linalg.norm(rounded) < 0.05 * np.linalg.norm(results[0]["stem.weight"])
            continue
        assert np.linalg.norm(rounded - exact) < 0.05 * size, (name, np.linalg.norm(rounded - exact) / size)


@pytest.mark.parametrize("network", [
    didact.wide_resnet((16, 16, 3), 4, depth=10), didact.resnet((16, 16, 3), 4, depth=18, small_images=True),
    didact.efficientnet((16, 16, 3), 4, small_images=True),
], ids=["wide_resnet", "resnet", "efficientnet"])  # fmt: skip
@pytest.mark.parametrize("feedback", ["exact", "loss_difference"])
def test_networks_train_on_images_kept_in_bfloat16(network, feedback):
    x = np.random.default_rng(0).standard_normal((24, 16, 16, 3)).astype(np.float32)
    metrics = {}
    for bfloat16 in ("off", "emulate"):
        rate = {"learning_rate": 0.001}
        trainer = didact.Trainer("meta_pseudo_labels", network, seed=1, feedback=feedback, bfloat16=bfloat16,
                                 student_optimizer=rate, teacher_optimizer=rate)  # fmt: skip
        metrics[bfloat16] = trainer.step(x[:8], np.arange(8) % 4, x[8:])
        following = trainer.step(x[:8], np.arange(8) % 4, x[8:])
        for name in ("gradient_norm/student", "gradient_norm/supervised", "gradient_norm/feedback"):
            assert np.isfinite(following[name]) and following[name] > 0
    assert metrics["emulate"]["loss/supervised"] == pytest.approx(metrics["off"]["loss/supervised"], rel=0.05)


@pytest.mark.parametrize("height, width, size, stride, channels", [
    (8, 1, 3, 2, 16), (8, 2, 3, 3, 16), (8, 2, 5, 3, 16), (1, 8, 5, 1, 128), (2, 4, 7, 1, 128), (9, 2, 2, 3, 8),
    (8, 8, 3, 2, 16),
])  # fmt: skip
def test_narrow_images_in_bfloat16(height, width, size, stride, channels):
    """oneDNN 2.6 leaves parts of its scratch memory as they are there; the second convolution fills that before."""
    network = didact.sequential((height, width, channels), [
        {"type": "convolution", "outputs": 32, "size": size, "stride": stride, "padding": size // 2, "name": "first"},
        {"type": "convolution", "outputs": 200, "size": 3}, {"type": "global_average_pool"}, {"type": "dense", "outputs": 3},
    ])  # fmt: skip
    x = np.random.default_rng(0).normal(size=(4, height, width, channels))
    cotangent = np.random.default_rng(1).normal(size=(4, 3)).astype(np.float32)
    gradients = []
    for bfloat16 in ("off", "emulate", "on"):
        try:
            made = didact.Network(network, seed=0, bfloat16=bfloat16, threads=1)
        except didact.DidactError as error:
            assert bfloat16 == "on" and "avx512_bf16" in str(error)
            continue
        made.record(x).backward(cotangent)
        gradients.append(made.gradients["first.weight"].copy())
    for rounded in gradients[1:]:
        assert np.linalg.norm(rounded - gradients[0]) < 0.01 * np.linalg.norm(gradients[0])
