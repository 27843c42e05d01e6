"""Didact beside PyTorch (eager and compiled) and JAX (jitted), in one run.

    steps         one Meta Pseudo Labels step of an MLP 2-64-64-2, by both kinds of feedback
    sizes         the same of larger networks and batches
    predict       the class probabilities of one row
    images        one Meta Pseudo Labels step of a WideResNet-28-2, its floor, and the memory it takes
    augmentation  RandAugment beside Pillow, and what augmentation costs a training
    package       the time of the import, and the installed size

Every contender first shows that it computes Didact's losses, from the same weights and sampled labels, over three
steps, or its probabilities; then they are timed in turn (alternate.py). A ratio is a contender's median over Didact's.

Run: scripts/bench
"""

import argparse
import json
import platform
from importlib import metadata
from pathlib import Path

import augmentation
import images
import package
import perceptron
from alternate import bind

PARTS = ["steps", "sizes", "predict", "images", "augmentation", "package"]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer rounds, of steps and predict alone")
    parser.add_argument("--only", nargs="+", choices=PARTS, help="these parts alone")
    parser.add_argument("--threads", type=int, default=2, help="cores and threads of every contender (default: 2)")
    parser.add_argument("--rounds", type=int, help="turns of every contender (default: 8, quick: 3)")
    parser.add_argument("--without", nargs="+", choices=list(perceptron.PEERS), default=[], help="leave out these contenders")
    parser.add_argument("--json", metavar="FILE", help="write all results there")
    arguments = parser.parse_args()
    parts = arguments.only or (["steps", "predict"] if arguments.quick else PARTS)
    rounds = arguments.rounds or (3 if arguments.quick else 8)
    bind(arguments.threads)

    results = {"threads": arguments.threads, "machine": platform.platform(), "versions": versions()}
    print(", ".join(f"{name} {version}" for name, version in results["versions"].items()))
    print(f"{arguments.threads} threads; median (10 % – 90 %), ratio to didact")
    peers = {name: place for name, place in perceptron.PEERS.items() if name not in arguments.without}
    for part, problems in (("steps", perceptron.SMALL), ("sizes", perceptron.SIZES)):
        if part in parts:
            results[part] = perceptron.compare_steps(problems, peers, arguments.threads, rounds)
    if "predict" in parts:
        results["predict"] = perceptron.compare_predictions(arguments.threads, rounds)
    if "images" in parts:
        results["images"] = images.compare(arguments.threads)
    if "augmentation" in parts:
        results["augmentation"] = augmentation.compare(arguments.threads, rounds)
    if "package" in parts:
        results["package"] = compare_packages()
    if arguments.json:
        Path(arguments.json).write_text(json.dumps(results, indent=2) + "\n")


def versions():
    found = {"python": platform.python_version()}
    for name in ("numpy", "torch", "jax", "pillow"):
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = "not installed"
    return found


# Packages


def compare_packages():
    modules = ["didact", "torch", "jax"]
    print("\nimport beyond that of numpy, and installed size without numpy")
    seconds = package.import_seconds(modules, rounds=15)
    megabytes = {"didact": package.didact_megabytes()}
    megabytes.update({name: package.installed_megabytes(name) for name in modules[1:]})
    for module in modules:
        if seconds[module] is None:
            print(f"  {module:24} not available: it cannot be imported")
            continue
        largest = sorted(megabytes[module].items(), key=lambda item: -item[1])[:3]
        of_them = ", ".join(f"{name} {size:.2f}" for name, size in largest)
        print(f"  {module:24} {1e3 * seconds[module]:9.1f} ms {sum(megabytes[module].values()):9.1f} MB: {of_them}")
    print(f"  {'(numpy itself)':24} {1e3 * seconds['numpy']:9.1f} ms")
    return {"seconds": seconds, "megabytes": megabytes}


if __name__ == "__main__":
    main()
