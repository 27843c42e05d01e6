"""Augmentation: images a second beside Pillow, and what it costs a training."""

from alternate import Unavailable, Worker, summary, take_turns
from contenders.augmentations import COUNT, SIDE
from tables import print_rows, ratios

# What a step of FixMatch is measured on: a shape, and the width of the small convolutional network.
FITS = {"32 × 32 × 3": ((32, 32, 3), 32), "8 × 8 × 1": ((8, 8, 1), 32)}
LEVEL = 5


def compare(threads, rounds):
    results = {"rand_augment": compare_with_pillow(rounds)}
    for name, (shape, width) in FITS.items():
        results[f"fit {name}"] = compare_fits(name, shape, width, threads, rounds)
    return results


def compare_with_pillow(rounds):
    print(f"\nRandAugment of {COUNT} images of {SIDE} × {SIDE}, one core")
    workers = {"didact": Worker("contenders.augmentations", "Didact"), "pillow": Worker("contenders.augmentations", "Pillow")}
    try:
        try:
            if workers["didact"].ask("results", LEVEL) != workers["pillow"].ask("results", LEVEL):
                raise Unavailable("it makes other images than Didact of the same operations")
        except Unavailable as error:
            workers.pop("pillow").stop()
            print(f"  pillow: not available: {error}")
        samples, others = take_turns(workers, rounds, seconds=1)
        rows = ratios(samples)
        print_rows(rows, 1e3, "ms", others)
        for name, row in rows.items():
            print(f"  {name}: {COUNT / row['median']:,.0f} images a second")
        return {"contenders": rows, "others": others}
    finally:
        for worker in workers.values():
            worker.stop()


def compare_fits(name, shape, width, threads, rounds):
    print(f"\nstep of FixMatch, small convolutional network, 32 labelled + 96 unlabelled images of {name}")
    workers = {
        label: Worker("contenders.augmentations", "Fit", shape, width, threads, is_augmented)
        for label, is_augmented in (("augmented", True), ("as they are", False))
    }
    try:
        samples, others = take_turns(workers, rounds, seconds=1.5)
        rows = {label: summary(values) for label, values in samples.items()}
        for row in rows.values():
            row["ratio"] = row["median"] / rows["augmented"]["median"]
        print_rows(rows, 1e3, "ms", others)
        print(f"  throughput with augmentation: {100 * rows['as they are']['ratio']:.1f} % of that without")
        return {"contenders": rows, "others": others}
    finally:
        for worker in workers.values():
            worker.stop()
