"""Augmentation against plain NumPy and against Pillow, and what it promises of randomness."""

import hashlib
import json
import os
import subprocess
import sys

import image_reference as reference
import numpy as np
import pytest

import didact
from didact import augmentation

Image = pytest.importorskip("PIL.Image")
from PIL import ImageEnhance, ImageFilter, ImageOps  # noqa: E402

AFFINE = Image.Transform.AFFINE


def images(channels=3, height=32, width=32, count=12, seed=0):
    """Noise, smooth images, and some of few values and of one."""
    random = np.random.default_rng(seed)
    x = random.integers(0, 256, (count, height, width, channels), dtype=np.uint8)
    for i in range(count // 3, 2 * count // 3):
        low = random.integers(0, 256, (4, 4, channels), dtype=np.uint8)
        planes = [Image.fromarray(low[..., c]).resize((width, height), Image.Resampling.BICUBIC) for c in range(channels)]
        x[i] = np.stack([np.asarray(plane) for plane in planes], -1)
    x[-3] = x[-3] // 64 * 64
    x[-2] = 200
    x[-1, :, : width // 2] = 17
    return x


def changed(x, operation, **values):
    return didact.augment(x, {"operation": operation, "probability": 1, **values})


CASES = [
    ("autocontrast", {}, ImageOps.autocontrast),
    ("autocontrast", {"amount": 0.6}, None),
    ("equalize", {}, ImageOps.equalize),
    ("equalize", {"amount": 0.3}, None),
    ("invert", {}, ImageOps.invert),
    ("invert", {"amount": 0.75}, None),
    ("posterize", {"bits": 0}, None),
    *[("posterize", {"bits": bits}, lambda i, bits=bits: ImageOps.posterize(i, bits)) for bits in (1, 4, 8)],
    *[("solarize", {"threshold": t}, lambda i, t=t: ImageOps.solarize(i, t)) for t in (0, 100, 256)],
    ("solarize_add", {"addition": 60}, None),
    ("solarize_add", {"addition": -40, "threshold": 90}, None),
    *[("brightness", {"factor": f}, lambda i, f=f: ImageEnhance.Brightness(i).enhance(f)) for f in (0, 0.37, 1, 1.9)],
    *[("contrast", {"factor": f}, lambda i, f=f: ImageEnhance.Contrast(i).enhance(f)) for f in (0, 0.37, 1, 1.9)],
    *[("color", {"factor": f}, lambda i, f=f: ImageEnhance.Color(i).enhance(f)) for f in (0, 0.37, 1, 1.9)],
    *[("sharpness", {"factor": f}, lambda i, f=f: ImageEnhance.Sharpness(i).enhance(f)) for f in (0, 0.37, 1, 1.9)],
    ("grayscale", {}, lambda i: i.convert("L").convert(i.mode)),
    ("smooth", {}, lambda i: i.filter(ImageFilter.SMOOTH)),
    ("smooth", {"amount": 0.4}, lambda i: Image.blend(i, i.filter(ImageFilter.SMOOTH), 0.4)),
    ("blur", {}, lambda i: i.filter(ImageFilter.BLUR)),
    ("blur", {"amount": 0.4}, lambda i: Image.blend(i, i.filter(ImageFilter.BLUR), 0.4)),
    ("flip", {}, ImageOps.mirror),
    *[("rotate", {"degrees": d}, lambda i, d=d: i.rotate(d)) for d in (27, -13.5, 90, 180, 0)],
    ("rotate", {"degrees": 30, "fill": 128}, lambda i: i.rotate(30, fillcolor=(128,) * len(i.getbands()) if len(i.getbands()) > 1 else 128)),
    *[("shear_x", {"factor": f}, lambda i, f=f: i.transform(i.size, AFFINE, (1, f, 0, 0, 1, 0))) for f in (0.3, -0.21)],
    *[("shear_y", {"factor": f}, lambda i, f=f: i.transform(i.size, AFFINE, (1, 0, 0, f, 1, 0))) for f in (0.3, -0.21)],
    *[("translate_x", {"pixels": p}, lambda i, p=p: i.transform(i.size, AFFINE, (1, 0, p, 0, 1, 0))) for p in (7, -2.6, 40)],
    *[("translate_y", {"pixels": p}, lambda i, p=p: i.transform(i.size, AFFINE, (1, 0, 0, 0, 1, p))) for p in (7, -2.6, 40)],
]


def in_pillow(f, image):
    gray = image.shape[2] == 1
    result = np.asarray(f(Image.fromarray(image[..., 0] if gray else image)))
    return result[..., None] if gray else result


@pytest.mark.parametrize("channels, height, width", [(3, 32, 32), (1, 32, 32), (3, 9, 14), (1, 2, 3), (3, 1, 5)])
@pytest.mark.parametrize("operation, values, pillow", CASES)
def test_an_operation_equals_the_reference_and_pillow(operation, values, pillow, channels, height, width):
    x = images(channels, height, width)
    result = changed(x, operation, **values)
    for image, found in zip(x, result):
        np.testing.assert_array_equal(found, getattr(reference, operation)(image, **values))
        if pillow is not None:
            np.testing.assert_array_equal(found, in_pillow(pillow, image))


@pytest.mark.parametrize("channels", [2, 4, 5])
def test_operations_without_colour_take_any_number_of_channels(channels):
    x = images(channels, 8, 11)
    for operation, values in [("equalize", {}), ("autocontrast", {}), ("posterize", {"bits": 3}), ("smooth", {}),
                              ("blur", {}), ("flip", {}), ("rotate", {"degrees": 20}), ("shear_x", {"factor": 0.2})]:
        expected = np.stack([getattr(reference, operation)(image, **values) for image in x])
        np.testing.assert_array_equal(changed(x, operation, **values), expected)
    with pytest.raises(ValueError, match=f"color works on images of 1 or 3 channels .*, not {channels}"):
        changed(x, "color", factor=2)


@pytest.mark.parametrize("turn", [0.1, -0.3, 0.5, 1])
def test_hue_equals_the_reference(turn):
    x = images(height=12, width=12)
    expected = np.stack([reference.hue(image, turn) for image in x])
    assert np.abs(changed(x, "hue", turn=turn).astype(int) - expected).max() <= 1


@pytest.mark.parametrize("deviation", [0.3, 1, 2.5, 9])
def test_gaussian_blur_equals_the_reference(deviation):
    x = images(height=17, width=12)
    found = changed(x, "gaussian_blur", minimum_deviation=deviation, maximum_deviation=deviation)
    expected = np.stack([reference.gaussian_blur(image, deviation) for image in x])
    assert np.abs(found.astype(int) - expected).max() <= 1


def test_bilinear_rotation_equals_pillow_but_for_rounding():
    """Pillow cuts off what stands behind the point."""
    x = images()
    found = changed(x, "rotate", degrees=27, interpolation="bilinear").astype(int)
    expected = np.stack([in_pillow(lambda i: i.rotate(27, Image.Resampling.BILINEAR), image) for image in x])
    assert set(np.unique(found - expected)) <= {0, 1}


def is_among(found, candidates):
    return any(np.array_equal(found, candidate) for candidate in candidates)


@pytest.mark.parametrize("fill", [None, 128])
def test_crops_and_cutouts_are_those_of_the_reference_all_of_them(fill):
    image = images(height=8, width=10, count=9)[0]
    x = np.repeat(image[None], 4000, 0)
    crops = reference.crops(image, 2, fill)
    found = {bytes(i) for i in changed(x, "crop", padding=2, fill=fill)}
    assert found == {bytes(np.ascontiguousarray(crop)) for crop in crops}
    cutouts = reference.cutouts(image, 3, 7)
    found = {bytes(i) for i in changed(x, "cutout", size=3, fill=7)}
    assert found == {bytes(cutout) for cutout in cutouts}


@pytest.mark.parametrize("filter", ["lanczos", "bicubic", "bilinear", "box", "hamming", "nearest"])
def test_resized_crops_are_pillows(filter):
    """Every result is some part of the image at the size of the image, of an allowed area and shape."""
    x = images(height=9, width=11, count=9)
    method = Image.Resampling[filter.upper()]
    found = changed(x, "resized_crop", minimum_area=0.2, maximum_area=0.6, filter=filter)
    for image, result in zip(x[:6], found):
        whole = Image.fromarray(image)
        parts = [
            (left, top, left + width, top + height)
            for width in range(1, 12)
            for height in range(1, 10)
            if 0.1 < width * height / 99 < 0.8 and 0.5 < width / height < 2
            for left in range(12 - width)
            for top in range(10 - height)
        ]
        assert is_among(result, (np.asarray(whole.crop(part).resize((11, 9), method)) for part in parts))


def test_scale_jitter_enlarges_a_part_or_puts_the_whole_somewhere():
    image = images(height=9, width=9, count=9)[0]
    whole = Image.fromarray(image)
    bilinear = Image.Resampling.BILINEAR
    larger = changed(image[None], "scale_jitter", minimum_scale=1.5, maximum_scale=1.5)[0]
    side = round(9 / 1.5)
    parts = [(left, top, left + side, top + side) for left in range(10 - side) for top in range(10 - side)]
    assert is_among(larger, [np.asarray(whole.crop(part).resize((9, 9), bilinear)) for part in parts])
    smaller = changed(image[None], "scale_jitter", minimum_scale=0.5, maximum_scale=0.5, fill=3)[0]
    small = np.asarray(whole.resize((5, 5), bilinear))
    candidates = []
    for top, left in np.ndindex(5, 5):
        candidate = np.full_like(image, 3)
        candidate[top : top + 5, left : left + 5] = small
        candidates.append(candidate)
    assert is_among(smaller, candidates)


def test_affine_keeps_within_its_bounds():
    """A dot in the middle of the right edge moves by no more than the rotation, scale and translation allow."""
    x = np.zeros((500, 65, 65, 1), np.uint8)
    x[:, 30:35, 48:53] = 255
    values = dict(rotation=20, minimum_scale=0.8, maximum_scale=1.25, translation=0.05)
    moved = changed(x, "affine", **values).astype(float)
    rows, columns = np.mgrid[:65, :65]
    mass = moved.sum((1, 2, 3))
    dy = (moved[..., 0] * rows).sum((1, 2)) / mass - 32
    dx = (moved[..., 0] * columns).sum((1, 2)) / mass - 32
    radius, angle = np.hypot(dx, dy), np.degrees(np.arctan2(dy, dx))
    slack = 65 * 0.05 * np.sqrt(2) + 0.5
    assert radius.max() <= 18 * 1.25 + slack and radius.min() >= 18 * 0.8 - slack
    assert abs(angle).max() <= 20 + np.degrees(np.arcsin(slack / (18 * 0.8)))
    assert radius.std() > 1 and angle.std() > 5


def test_colour_jitter_reaches_what_it_is_told_to():
    x = np.full((400, 2, 2, 3), 100, np.uint8)
    only = dict(contrast=0, saturation=0, hue=0)
    found = changed(x, "color_jitter", brightness=0.5, **only)[:, 0, 0, 0]
    assert found.min() >= 50 and found.max() <= 150 and found.min() < 55 and found.max() > 145
    assert np.array_equal(changed(x, "color_jitter", brightness=0, **only), x)


def pillow_operations(level, names, side=32):
    """All that a level can mean with the numbers of Pillow's users: operations that do more at higher levels."""
    enhance = lambda kind: [lambda i: kind(i).enhance(0.18 * level + 0.1)]  # noqa: E731
    moves = lambda f: [lambda i, s=s: f(i, s) for s in (1, -1)]  # noqa: E731
    pixels = int(level * 10 / 10 * side / 32)
    return [
        operation
        for name, operations in {
            "Identity": [lambda i: i],
            "AutoContrast": [ImageOps.autocontrast],
            "Equalize": [ImageOps.equalize],
            "Invert": [ImageOps.invert],
            "Rotate": moves(lambda i, s: i.rotate(s * int(3 * level), fillcolor=(128, 128, 128))),
            "Solarize": [lambda i: ImageOps.solarize(i, 256 - int(25.6 * level))],
            "Posterize": [lambda i: ImageOps.posterize(i, 4 - int(0.4 * level))],
            "Color": enhance(ImageEnhance.Color),
            "Contrast": enhance(ImageEnhance.Contrast),
            "Brightness": enhance(ImageEnhance.Brightness),
            "Sharpness": enhance(ImageEnhance.Sharpness),
            "ShearX": moves(lambda i, s: i.transform(i.size, AFFINE, (1, s * 0.03 * level, 0, 0, 1, 0), fillcolor=(128,) * 3)),
            "ShearY": moves(lambda i, s: i.transform(i.size, AFFINE, (1, 0, 0, s * 0.03 * level, 1, 0), fillcolor=(128,) * 3)),
            "TranslateX": moves(lambda i, s: i.transform(i.size, AFFINE, (1, 0, s * pixels, 0, 1, 0), fillcolor=(128,) * 3)),
            "TranslateY": moves(lambda i, s: i.transform(i.size, AFFINE, (1, 0, 0, 0, 1, s * pixels), fillcolor=(128,) * 3)),
        }.items()
        if name in names
        for operation in operations
    ]


FIXMATCH = ["Identity", "AutoContrast", "Equalize", "Rotate", "Solarize", "Color", "Contrast", "Brightness", "Sharpness",
            "ShearX", "TranslateX", "TranslateY", "Posterize", "ShearY"]


@pytest.mark.parametrize("level", [3, 7])
def test_randaugment_of_fixmatch_is_pillows_operations(level):
    image = images(count=6)[2]
    x = np.repeat(image[None], 600, 0)
    found = {bytes(i) for i in didact.augment(
        x, {"operation": "rand_augment", "variant": "fixmatch", "layers": 1, "level": level, "apply_probability": 1})}
    expected = {bytes(np.asarray(f(Image.fromarray(image)))) for f in pillow_operations(level, FIXMATCH)}
    assert found == expected


def test_randaugment_of_uda_is_pillows_operations_and_a_square():
    image = images(count=6)[2]
    x = np.repeat(image[None], 4000, 0)
    found = {bytes(i) for i in didact.augment(
        x, {"operation": "rand_augment", "variant": "uda", "layers": 1, "level": 5, "apply_probability": 1})}
    names = {*FIXMATCH, "Invert"} - {"Identity"}
    expected = {bytes(np.asarray(f(Image.fromarray(image)))) for f in pillow_operations(5, names)}
    squares = {bytes(i) for i in reference.cutouts(image, 10)}
    assert expected <= found and found <= expected | squares and found & squares


@pytest.mark.parametrize("policy", ["fixmatch", "uda", "meta_pseudo_labels", "noisy_student", "fixmatch_imagenet", "ct_augment",
                                    "auto_augment", "s1", "s2", "s3", "s4", "simclr", "moco", "affine", "crop_flip"])
def test_an_image_is_changed_alike_on_any_thread_and_beside_any_other(policy):
    x = images(count=15)
    whole = didact.augment(x, policy, seed=3, draw=5, threads=1)
    for threads in (2, 3, 0):
        np.testing.assert_array_equal(didact.augment(x, policy, seed=3, draw=5, threads=threads), whole)
    np.testing.assert_array_equal(didact.augment(x[:4], policy, seed=3, draw=5), whole[:4])
    assert not np.array_equal(didact.augment(x, policy, seed=3, draw=6), whole)
    assert not np.array_equal(didact.augment(x, policy, seed=4, draw=5), whole)
    assert not np.array_equal(whole, x)


def test_images_are_changed_alike_in_one_call_and_block_by_block(monkeypatch):
    x = images(count=11, height=8, width=8)
    whole = didact.augment(x, "fixmatch", seed=3, draw=5)
    for rows in (1, 4, 11):
        monkeypatch.setattr(augmentation, "_BLOCK", rows * x[0].size)
        np.testing.assert_array_equal(didact.augment(x, "fixmatch", seed=3, draw=5), whole)
    np.testing.assert_array_equal(didact.augment(x[..., 0], "crop"), didact.augment(x[..., :1], "crop")[..., 0])
    with pytest.raises(ValueError, match="unknown policy"):
        didact.augment(x[:0], "fixmach")


INTERRUPTED = """
import os, signal, threading, time
import numpy as np
import didact
x = np.broadcast_to(np.zeros((224, 224, 3), np.uint8), (20_000, 224, 224, 3))
threading.Timer(1, os.kill, (os.getpid(), signal.SIGINT)).start()
start = time.monotonic()
try:
    didact.augment(x, "simclr", threads=1)
except KeyboardInterrupt:
    print("interrupted", time.monotonic() - start)
"""


def test_control_c_stops_a_long_call():
    """These take minutes; only the pages of those that are done are ever touched."""
    run = subprocess.run([sys.executable, "-c", INTERRUPTED], capture_output=True, text=True, timeout=60, check=True)
    assert run.stdout.startswith("interrupted") and float(run.stdout.split()[1]) < 20


def test_every_policy_and_operation_is_listed_and_works():
    table = didact.augmentations()
    x = images(count=6, height=16, width=16)
    gray = images(1, count=6, height=16, width=16)
    for policy in table["policies"]:
        for batch in (x, gray):
            assert didact.augment(batch, policy["name"]).shape == batch.shape
            np.testing.assert_array_equal(didact.augment(batch, policy["name"]), didact.augment(batch, policy["description"]))
    required = {"bits": 4, "factor": 1.5, "addition": 30, "degrees": 10, "pixels": 2, "turn": 0.2}
    for operation in table["operations"]:
        values = {f["key"]: required[f["key"]] for f in operation["fields"] if f["default"] == "required"}
        assert didact.augment(x, {"operation": operation["name"], **values}).shape == x.shape


def test_strided_arrays_and_images_of_one_channel():
    x = images(count=6)
    policy = ["crop_flip", {"operation": "equalize"}]
    expected = didact.augment(x[::2, :, ::-1], policy)
    np.testing.assert_array_equal(expected, didact.augment(np.ascontiguousarray(x[::2, :, ::-1]), policy))
    gray = images(1, count=6)
    np.testing.assert_array_equal(didact.augment(gray[..., 0], policy), didact.augment(gray, policy)[..., 0])
    assert didact.augment(x[:0], policy).shape == (0, 32, 32, 3)


@pytest.mark.parametrize("policy, message", [
    ("fixmach", 'unknown policy "fixmach".*"fixmatch"'),
    ({"operation": "rotat", "degrees": 3}, 'unknown operation "rotat".*"rotate"'),
    ({"degrees": 3}, '"operation" must be one of: autocontrast'),
    ({"operation": "rotate"}, 'rotate: "degrees" is missing'),
    ({"operation": "rotate", "degrees": 3, "fil": 3}, 'unknown key "fil".*"fill"'),
    ({"operation": "rotate", "degrees": 1000}, '"degrees" must be a number in'),
    ({"operation": "crop", "fill": 256}, '"fill" must be an integer in'),
    ({"operation": "resized_crop", "minimum_area": 0.9, "maximum_area": 0.2}, '"minimum_area" 0.9 is more than'),
    ({"operation": "rand_augment", "variant": "mine"}, '"variant" must be "meta_pseudo_labels"'),
    (3, "expected the name of a policy"),
    ([["crop"], 1.5], "expected the name of a policy"),
])
def test_a_policy_that_is_none_is_refused(policy, message):
    with pytest.raises(ValueError, match=message):
        didact.augment(images(count=3), policy)


def test_names_of_operations_and_values_of_numpy():
    x = images(count=6)
    np.testing.assert_array_equal(didact.augment(x, ["flip", "crop"]), didact.augment(x, [{"operation": "flip"}, "crop"]))
    padding = {"operation": "crop", "padding": np.int64(3)}
    np.testing.assert_array_equal(didact.augment(x, padding), didact.augment(x, {"operation": "crop", "padding": 3}))
    with pytest.raises(ValueError, match='rotate: "degrees" is missing'):
        didact.augment(x, "rotate")
    with pytest.raises(ValueError, match="not a finite number"):
        didact.augment(x, {"operation": "hue", "turn": float("nan")})


@pytest.mark.parametrize("degrees", [90, -90, 270, -270, 180, 360])
@pytest.mark.parametrize("height, width", [(8, 11), (5, 2), (7, 7)])
def test_quarters_of_a_turn(degrees, height, width):
    x = images(height=height, width=width)
    for interpolation in ("nearest", "bilinear"):
        found = changed(x, "rotate", degrees=degrees, interpolation=interpolation).astype(int)
        method = Image.Resampling[interpolation.upper()]
        expected = np.stack([in_pillow(lambda i: i.rotate(degrees, method), image) for image in x])
        assert set(np.unique(found - expected)) <= {0, 1}


@pytest.mark.parametrize("channels", [1, 2, 3, 4, 17])
def test_the_preset_of_images_fits_all_numbers_of_channels(channels):
    x = images(channels, 8, 8, count=30)
    trainer = didact.Trainer(**didact.preset("images", "fixmatch", (8, 8, channels), 3), seed=0)
    trainer.fit(x, np.where(np.arange(30) < 9, np.arange(30) % 3, -1), steps=2)
    assert trainer.steps == 2


def test_arrays_that_are_no_images_are_refused():
    with pytest.raises(TypeError, match="images are bool"):
        didact.augment(np.zeros((3, 8, 8), bool), "crop")
    with pytest.raises(TypeError, match="images are float32; augmentation changes uint8"):
        didact.augment(images(count=3).astype(np.float32), "crop")
    with pytest.raises(ValueError, match=r"images have shape \[6, 10\]"):
        didact.augment(np.zeros((6, 10), np.uint8), "crop")
    with pytest.raises(ValueError, match="augmentation changes images of more than one pixel; these are vectors"):
        didact.augment(np.zeros((6, 1, 1, 3), np.uint8), "crop")
    with pytest.raises(ValueError, match="augmentation changes images of more than one pixel; these have none"):
        didact.augment(np.zeros((6, 0, 8, 3), np.uint8), "crop")


DIGEST = """
import hashlib, sys
import numpy as np
import didact
x = np.random.default_rng(0).integers(0, 256, (64, 31, 33, 3), dtype=np.uint8)
names = [p["name"] for p in didact.augmentations()["policies"]]
print(hashlib.sha256(b"".join(bytes(didact.augment(x, name)) for name in names)).hexdigest())
"""


def test_all_instruction_sets_compute_the_same():
    digests = set()
    for name in ("baseline", "avx2", "avx512"):
        environment = {**os.environ, "DIDACT_MAX_CPU_ISA": name}
        run = subprocess.run([sys.executable, "-c", DIGEST], env=environment, capture_output=True, text=True, check=True)
        digests.add(run.stdout)
    assert len(digests) == 1


# MARK: In a fit


def digits(count=200):
    x, y = didact.datasets.load_digits()
    pixels = np.rint(x[:count] * (255 / 16)).astype(np.uint8).reshape(-1, 8, 8, 1)
    labels = np.where(np.arange(count) < 40, y[:count], -1)
    return pixels, labels


UNLABELED = {"unlabeled_batch_size": 40, "strong_augmentation": ["affine", {"operation": "cutout", "fill": 0}]}


def trainer(method="fixmatch", **configuration):
    configuration = {
        "seed": 1, "steps": 12, "labeled_batch_size": 20, "input_scaling": "unit", "weak_augmentation": "crop",
        **({} if method == "supervised" else UNLABELED), **configuration,
    }
    return didact.Trainer(method, didact.small_cnn((8, 8, 1), 10, width=8), **configuration)


def state(trainer):
    digest = hashlib.sha256()
    for value in trainer.student.parameters.values():
        digest.update(np.ascontiguousarray(value).tobytes())
    return digest.hexdigest()


@pytest.mark.parametrize("strong", ["affine", "ct_augment"])
def test_a_fit_with_augmentation_can_be_divided_and_resumed(tmp_path, strong):
    x, y = digits()
    whole = trainer(strong_augmentation=strong, pseudo_label_threshold=0.2)
    whole.fit(x, y)
    parts = trainer(strong_augmentation=strong, pseudo_label_threshold=0.2)
    parts.fit(x, y, steps=5)
    parts.save(tmp_path / "model.safetensors")
    resumed = didact.Trainer.load(tmp_path / "model.safetensors")
    resumed.fit(x, y, steps=7)
    assert state(resumed) == state(whole)
    np.testing.assert_array_equal(
        np.array(list(whole.history["loss/supervised"])), np.array(list(resumed.history["loss/supervised"])))


@pytest.mark.parametrize("key", ["weak_augmentation", "strong_augmentation"])
def test_each_view_reaches_the_computation(key):
    x, y = digits()
    states = set()
    for policy in ("none", "crop", "affine", [{"operation": "rotate", "degrees": 5}]):
        model = trainer(**{"pseudo_label_threshold": 0.1, key: policy})
        model.fit(x, y)
        states.add(state(model))
    assert len(states) == 4


def test_the_network_sees_the_changed_images():
    """What makes all images black makes those of all classes alike, and a batch normalisation of them 0."""
    x, y = digits()
    model = trainer("supervised", weak_augmentation={"operation": "brightness", "factor": 0}, steps=5)
    model.fit(x, y)
    weights = model.student.parameters["stage0.conv0.weight"]
    fresh = trainer("supervised", steps=5).student.parameters["stage0.conv0.weight"]
    np.testing.assert_array_equal(weights, fresh)


def test_no_noise_is_added_beside_an_augmentation_unless_it_is_asked_for():
    model = trainer()
    assert (model.configuration["weak_noise"], model.configuration["strong_noise"]) == (0, 0)
    assert model.configuration["strong_feature_dropout"] == 0
    assert trainer(strong_noise=0.3).configuration["strong_noise"] == 0.3
    for nothing in ("none", [], ["none"]):
        plain = trainer(weak_augmentation=nothing, strong_augmentation=nothing).configuration
        assert (plain["weak_noise"], plain["strong_noise"], plain["strong_feature_dropout"]) == (0.05, 0.2, 0.1)
        # Which changes no image fits rows too.
        didact.Trainer("fixmatch", didact.mlp(64, [16], 10), weak_augmentation=nothing)


def test_rates_of_ctaugment_fall_where_the_network_fails(tmp_path):
    safetensors = pytest.importorskip("safetensors.numpy")
    x, y = digits()
    model = trainer(strong_augmentation="ct_augment", steps=60)
    model.fit(x, y)
    model.save(tmp_path / "model.safetensors")
    rates = safetensors.load_file(tmp_path / "model.safetensors")["augmentation.strong.rates"]
    # Identity has no bins, posterize 8, rescale 17 and 6, and the 16 others 17.
    assert rates.shape == (8 + 17 + 6 + 16 * 17,)
    assert (rates >= 0).all() and (rates <= 1).all() and (rates < 0.999).any()


def test_what_cannot_be_augmented_is_refused_before_training():
    x, y = digits()
    with pytest.raises(TypeError, match="strong_augmentation changes uint8 images|weak_augmentation changes uint8 images"):
        trainer().fit(x.astype(np.float32), y)
    with pytest.raises(ValueError, match="weak_augmentation: .*these are vectors of 64"):
        didact.Trainer("fixmatch", didact.mlp(64, [16], 10), weak_augmentation="crop")
    with pytest.raises(TypeError, match=r"X is bool; weak_augmentation .* give X.astype\(np.uint8\) \* 255"):
        trainer().fit(x > 99, y)
    with pytest.raises(TypeError, match="X_unlabeled is bool; weak_augmentation"):
        trainer().fit(x, y, x > 99)
    # Where nothing is changed, true and false are numbers as good as any.
    trainer(weak_augmentation="none", strong_augmentation="none", steps=1).fit(x > 99, y)
    with pytest.raises(ValueError, match='strong_augmentation: .*unknown policy "fixmtch"'):
        trainer(strong_augmentation="fixmtch")
    with pytest.raises(ValueError, match='"weak_augmentation" must be the name of a policy or operation, an operation with values'):
        trainer(weak_augmentation=3)


@pytest.mark.parametrize("method", ["meta_pseudo_labels", "uda", "mean_teacher", "mixmatch", "self_training", "supervised"])
def test_every_kind_of_method_learns_from_augmented_images(method):
    x, y = digits()
    faster = {"average_decay": 0.9} if method == "mean_teacher" else {}
    model = trainer(method, steps=300, student_optimizer={"learning_rate": 0.05}, **faster)
    model.fit(x, y)
    assert (model.predict(x[:40]) == y[:40]).mean() > 0.5


def test_describing_a_policy_in_json_is_the_same():
    x = images(count=3)
    policy = [{"operation": "crop", "padding": 3}, "fixmatch"]
    np.testing.assert_array_equal(didact.augment(x, json.loads(json.dumps(policy))), didact.augment(x, policy))
