"""RandAugment as FixMatch has it, two operations of 14, each applied with probability 0.5, on one core."""

import hashlib
import random

import numpy as np
from alternate import Unavailable

COUNT, SIDE = 1024, 32
FILL = (128, 128, 128)


def images():
    """Smooth ones: blown up from 8 × 8."""
    small = np.random.default_rng(0).integers(0, 256, (COUNT, 8, 8, 3))
    large = small.repeat(4, axis=1).repeat(4, axis=2)
    blurred = sum(np.roll(large, (dy, dx), (1, 2)) for dy in range(4) for dx in range(4)) // 16
    return blurred.astype(np.uint8)


class Didact:
    def __init__(self):
        import didact

        self.didact, self.images, self.draw = didact, images(), 0

    def __call__(self):
        self.draw += 1
        policy = {"operation": "rand_augment", "variant": "fixmatch"}
        return self.didact.augment(self.images, policy, draw=self.draw, threads=1)

    def results(self, level):
        """Digests of all that one operation of a level makes of the first image."""
        policy = {"operation": "rand_augment", "layers": 1, "level": level, "apply_probability": 1}
        many = self.didact.augment(np.repeat(self.images[:1], COUNT, 0), policy)
        return {hashlib.sha256(bytes(image)).hexdigest() for image in many}


class Pillow:
    """From array to array by way of Pillow's images."""

    def __init__(self):
        try:
            from PIL import Image, ImageEnhance, ImageOps
        except ImportError as error:
            raise Unavailable(f"no Pillow: {error}") from None
        affine = Image.Transform.AFFINE

        def enhance(kind):
            return lambda image, level: kind(image).enhance(0.18 * level + 0.1)

        def transform(matrix):
            return lambda image, level: image.transform(
                image.size, affine, matrix(level * random.choice((1, -1))), fillcolor=FILL)

        self.operations = [
            lambda image, level: image,
            lambda image, level: ImageOps.autocontrast(image),
            lambda image, level: ImageOps.equalize(image),
            lambda image, level: image.rotate(random.choice((1, -1)) * int(3 * level), fillcolor=FILL),
            lambda image, level: ImageOps.solarize(image, 256 - int(25.6 * level)),
            lambda image, level: ImageOps.posterize(image, 4 - int(0.4 * level)),
            enhance(ImageEnhance.Color),
            enhance(ImageEnhance.Contrast),
            enhance(ImageEnhance.Brightness),
            enhance(ImageEnhance.Sharpness),
            transform(lambda level: (1, 0.03 * level, 0, 0, 1, 0)),
            transform(lambda level: (1, 0, 0, 0.03 * level, 1, 0)),
            transform(lambda level: (1, 0, int(level), 0, 1, 0)),
            transform(lambda level: (1, 0, 0, 0, 1, int(level))),
        ]
        self.from_array, self.images = Image.fromarray, images()

    def __call__(self):
        result = np.empty_like(self.images)
        for index, pixels in enumerate(self.images):
            image = self.from_array(pixels)
            for _ in range(2):
                operation, level = random.choice(self.operations), random.randint(1, 9)
                if random.random() < 0.5:
                    image = operation(image, level)
            result[index] = np.asarray(image)
        return result

    def results(self, level):
        image = self.from_array(self.images[0])
        made = (np.asarray(operation(image, level)) for operation in self.operations for _ in range(20))
        return {hashlib.sha256(bytes(np.ascontiguousarray(pixels))).hexdigest() for pixels in made}


class Fit:
    """Steps of FixMatch on images, with and without augmentation."""

    def __init__(self, shape, width, threads, is_augmented):
        import didact

        random = np.random.default_rng(0)
        self.images = random.integers(0, 256, (1024, *shape), dtype=np.uint8)
        self.labels = np.where(np.arange(1024) < 64, np.arange(1024) % 10, -1)
        views = (
            {"weak_augmentation": "crop_flip", "strong_augmentation": "fixmatch"}
            if is_augmented
            else {"weak_noise": 0, "strong_noise": 0, "strong_feature_dropout": 0}
        )
        self.trainer = didact.Trainer(
            "fixmatch", didact.small_cnn(shape, 10, width=width), seed=0, steps=10**6, labeled_batch_size=32,
            unlabeled_batch_size=96, input_scaling="unit", threads=threads, **views)
        # The first steps take memory.
        self.samples(0.2)

    def samples(self, seconds):
        """Seconds of a step, from the steps of one fit, whose first ones are left out."""
        times = []
        self.trainer.fit(
            self.images, self.labels, steps=10**6,
            callback=lambda report: times.append(report["seconds"]) or report["seconds"] > max(seconds, 0.1))
        steps = np.diff(times)
        return list(steps[len(steps) // 5 :])
