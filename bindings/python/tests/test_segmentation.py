"""Networks that say a class of each pixel, through the C interface: masks in, masks out."""

import didact
import numpy as np
import pytest
from didact._arrays import borrow
from didact._errors import check
from didact._library import library
from test_command_line import failure
from test_named_arrays import Data

HEIGHT, WIDTH, CLASSES = 6, 5, 3


def network():
    layers = [
        {"type": "convolution", "outputs": 8, "size": 3, "bias": True},
        {"type": "batch_norm"},
        {"type": "relu"},
        {"type": "convolution", "outputs": CLASSES, "size": 1, "bias": True},
    ]
    return {"type": "sequential", "inputs": [HEIGHT, WIDTH, 2], "task": "segmentation", "layers": layers}


def scenes(count=20, seed=0):
    """Images, masks of which a third of the pixels is unknown, and what is true."""
    images = np.random.default_rng(seed).standard_normal((count, HEIGHT, WIDTH, 2)) * 1.5
    truth = np.where(images[..., 0] > 0.3, 0, np.where(images[..., 1] > 0, 1, 2))
    masks = truth.astype(np.uint8)
    masks.reshape(-1)[1::3] = 255
    return images, masks, truth


def trainer(method="supervised", **keys):
    return didact.Trainer(method, network(), steps=80, labeled_batch_size=4, seed=1, **keys)


def test_a_network_says_what_it_is_asked():
    for dtype in ("float32", "float64"):
        net = didact.Network(network(), dtype=dtype)
        assert net.task == "segmentation" and didact.Network(didact.mlp(2, [3], 2)).task == "classification"
        images = scenes(70)[0]
        probabilities = net.predict_proba(images)
        assert probabilities.shape == (70, HEIGHT, WIDTH, CLASSES)
        np.testing.assert_allclose(probabilities.sum(axis=-1), 1, rtol=1e-5)
        logits = net.forward(images)
        exponentials = np.exp(logits - logits.max(axis=-1, keepdims=True))
        np.testing.assert_allclose(probabilities, exponentials / exponentials.sum(axis=-1, keepdims=True), rtol=1e-4)
        # Few rows, and rows as vectors, take another way.
        np.testing.assert_allclose(net.predict_proba(images[:3].reshape(3, -1)), probabilities[:3], rtol=1e-4)
        predictor = didact.Predictor(net, images[:2].astype(dtype))
        np.testing.assert_allclose(predictor(), probabilities[:2], rtol=1e-4)
        np.testing.assert_allclose(net.output(images, "logits").reshape(logits.shape), logits, rtol=1e-4, atol=1e-6)


def test_the_gradient_of_the_mean_over_known_pixels():
    """Backward and tangent of the cross-entropy against finite differences."""
    net = didact.Network(network(), dtype="float64", seed=3)
    images, masks, _ = scenes(4)
    known = masks != 255

    def loss():
        logits = net.forward(images, training=True)
        normalizer = np.log(np.exp(logits).sum(axis=-1))
        chosen = np.take_along_axis(logits, np.where(known, masks, 0)[..., None].astype(int), axis=-1)[..., 0]
        return (normalizer - chosen)[known].mean()

    recorded = net.record(images)
    logits = recorded.logits
    assert logits.shape == (4, HEIGHT, WIDTH, CLASSES)
    exponentials = np.exp(logits)
    cotangent = exponentials / exponentials.sum(axis=-1, keepdims=True) - np.eye(CLASSES)[np.where(known, masks, 0)]
    cotangent *= known[..., None] / known.sum()
    recorded.backward(cotangent)
    gradients = {name: value.copy() for name, value in net.gradients.items()}
    norm = np.sqrt(sum((value**2).sum() for value in gradients.values()))
    assert norm > 1e-3
    direction = {name: value / norm for name, value in gradients.items()}
    tangent = recorded.tangent(direction)
    assert tangent.shape == logits.shape and abs((tangent * cotangent).sum() - norm) < 1e-10

    def moved(step):
        for name, value in direction.items():
            net.parameters[name][...] += step * value
        value = loss()
        for name, value_of in direction.items():
            net.parameters[name][...] -= step * value_of
        return value

    assert abs((moved(1e-5) - moved(-1e-5)) / 2e-5 - norm) < 1e-7 * norm
    for wrong in (cotangent[:3], cotangent.reshape(4, -1), cotangent.transpose(0, 3, 1, 2)):
        with pytest.raises(ValueError, match=r"cotangent has shape .* expected \[4, 6, 5, 3\]"):
            recorded.backward(wrong)


@pytest.mark.parametrize("method", ["supervised", "fixmatch", "mean_teacher", "meta_pseudo_labels"])
def test_fit_save_load_and_predict(method, tmp_path):
    images, masks, truth = scenes()
    masks[6:] = 255
    keys = {} if method == "supervised" else {"unlabeled_batch_size": 8}
    whole = trainer(method, **keys)
    whole.fit(images, masks)
    assert whole.student.task == "segmentation"
    predicted = whole.predict(images)
    assert predicted.shape == truth.shape and (predicted == truth).mean() > 0.7
    whole.save(tmp_path / "model.safetensors")
    loaded = didact.Trainer.load(tmp_path / "model.safetensors")
    np.testing.assert_array_equal(loaded.predict_proba(images), whole.predict_proba(images))
    np.testing.assert_array_equal(loaded.predict_proba(images, loaded.predictor_role), whole.predict_proba(images))
    # In other types, and as a data set of named arrays.
    other = trainer(method, **keys)
    Data(X=images, y=np.where(masks == 255, -1, masks.astype(np.int64))).fit(other)
    np.testing.assert_array_equal(other.predict_proba(images), whole.predict_proba(images))
    with pytest.raises(ValueError, match=r"learned segmentation; load it with didact\.Trainer\.load"):
        didact.SemiSupervisedClassifier.load(tmp_path / "model.safetensors")


def test_a_step_takes_masks():
    images, masks, _ = scenes(5)
    one, two = trainer(), trainer()
    assert one.step(images, masks)["loss/supervised"] == two.step(images, masks.astype(np.int64))["loss/supervised"]
    meta = trainer("meta_pseudo_labels", dtype="float64")
    gradient = meta.meta_gradient(images, masks, images)
    assert max(abs(value).max() for value in gradient.values()) > 0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda masks: masks[..., 0], r"y has shape \[20, 6\]; expected \[20, 6, 5\]"),
        (lambda masks: masks.transpose(0, 2, 1), r"y has shape \[20, 5, 6\]; expected \[20, 6, 5\]"),
        (lambda masks: masks[:19], r"y has shape \[19, 6, 5\]; expected \[20, 6, 5\]"),
        (lambda masks: masks[:, 0, 0], r"y has shape \[20\]; expected \[20, 6, 5\]"),
        (lambda masks: np.where(np.arange(5) == 2, 7, masks), r"y, row 0, y 0, x 2: label 7 is not 255 or −1 \(none\)"),
        (lambda masks: np.full_like(masks, 255), "no row has a label"),
        (lambda masks: masks + 0.5, "labels must be whole numbers"),
        (lambda masks: masks.astype(str), "one entry a row"),
    ],
)
def test_what_is_no_mask_is_refused(change, message):
    images, masks, _ = scenes()
    with pytest.raises(ValueError, match=message):
        trainer().fit(images, change(masks))


def test_the_meta_gradient_takes_masks_alone():
    images, masks, _ = scenes(5)
    for feedback in ("exact", "gradient_dot"):
        meta = trainer("meta_pseudo_labels", feedback=feedback)
        for wrong in (masks.transpose(0, 2, 1), masks.reshape(1, 30, 5), masks.reshape(30, 5, 1)):
            with pytest.raises(ValueError, match=r"yl? has shape .*; expected \[\d+, 6, 5\]|\d+ labels for"):
                meta.meta_objective(images, wrong, images)
        with pytest.raises(ValueError, match="no pixel has a label"):
            meta.meta_gradient(images, np.full_like(masks, 255), images)
    with pytest.raises(ValueError, match=r"pseudo_labels has shape \[5, 5, 6\]; expected \[5, 6, 5\]"):
        meta.meta_objective(images, masks, images, pseudo_labels=np.zeros((5, 5, 6), np.int64))


def test_one_pixel_is_one_too():
    layers = [{"type": "convolution", "outputs": 3, "size": 2, "stride": 2, "padding": 0, "bias": True}]
    one = {"type": "sequential", "inputs": [2, 2, 1], "task": "segmentation", "layers": layers}
    x = np.random.default_rng(0).standard_normal((12, 2, 2, 1))
    masks = (x[:, :1, :1, 0] > 0).astype(np.uint8)
    masks[::3] = 255
    trainer = didact.Trainer("supervised", one, steps=3)
    trainer.fit(x, masks)
    assert np.isfinite(trainer.step(x, masks)["loss/supervised"])
    assert trainer.predict(x).shape == (12, 1, 1)


def test_validation_leaves_each_class_an_image():
    images, masks, _ = scenes()
    masks[:] = 255
    masks[0], masks[1] = 0, 1
    with pytest.raises(ValueError, match=r"validation_fraction takes all examples with class [01], of which row [01] is one"):
        trainer(validation_fraction=0.5).fit(images, masks)


def test_an_array_of_another_shape_is_refused():
    net = didact.Network(network())
    images = scenes(2)[0]
    for shape in ((2, CLASSES), (2, HEIGHT * WIDTH * CLASSES), (2, CLASSES, HEIGHT, WIDTH), (HEIGHT, WIDTH, CLASSES)):
        room = np.empty(shape, np.float32)
        status = library.didact_network_predict(borrow(room).pointer, net._handle.value, borrow(images).pointer)
        with pytest.raises(ValueError, match=r"expected \[2, 6, 5, 3\]"):
            check(status)


def test_the_command_names_what_it_does_not_do(tmp_path):
    images, masks, _ = scenes()
    model = trainer()
    model.fit(images, masks, steps=2)
    model.save(tmp_path / "model.safetensors")
    np.save(tmp_path / "X.npy", images)
    message = failure("predict", "--model", tmp_path / "model.safetensors", "--data", tmp_path / "X.npy", code=1)
    assert "segmentation" in message and "Python" in message
