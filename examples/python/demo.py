"""Two moons and handwritten digits, a few labels each: supervised, the control without feedback, and the three
kinds of feedback, over several seeds. Runs the command `didact train`, prints tables, and draws the two moons'
decision regions.

Run: scripts/demo
"""

import argparse
import json
import statistics
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[2]
CONFIGURATIONS = {
    "supervised": ["--method", "supervised"],
    "control: feedback weight 0": ["--set", "feedback_weight=0"],
    "feedback exact": ["--set", "feedback=exact"],
    "feedback gradient_dot": ["--set", "feedback=gradient_dot"],
    "feedback loss_difference": ["--set", "feedback=loss_difference"],
}
DATA = {
    "two-moons": (6, "two moons: 2,000 points, 3 labels a class, tested on 2,000 fresh points"),
    "digits": (40, "digits: 1,347 images of raw pixels, 4 labels a class, tested on 450 held-out images"),
}


def train(data, name, seed, folder):
    model = folder / f"{data}-{name.replace(' ', '-').replace(':', '')}-{seed}.safetensors"
    command = [
        str(CHECKOUT / "build/bin/didact"), "train", "--data", data, "--labels", str(DATA[data][0]),
        "--seed", str(seed), "--json", "--model", str(model), *CONFIGURATIONS[name],
    ]  # fmt: skip
    # Two run at once, each on a core of its own.
    command += ["--set", "threads=1"]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(command)}\n{done.stderr}")
    return {**json.loads(done.stdout.splitlines()[-1])["result"], "path": model}


def spread(values):
    """Mean ± standard error, in per cent."""
    values = [100 * value for value in values]
    error = statistics.stdev(values) / len(values) ** 0.5 if len(values) > 1 else 0
    return f"{statistics.mean(values):5.1f} ± {error:3.1f}"


def table(data, runs):
    print(f"\n{DATA[data][1]}\naccuracy in %, mean ± standard error over {len(next(iter(runs.values())))} seeds\n")
    print(f"{'':28} {'student':>12} {'lowest':>7} {'teacher':>12} {'seconds':>8}")
    for name, results in runs.items():
        student = [result["test"]["student"] for result in results]
        teacher = [result["test"]["teacher"] for result in results if "teacher" in result["test"]]
        seconds = statistics.median(result["seconds"] for result in results)
        print(
            f"{name:28} {spread(student):>12} {100 * min(student):7.1f} "
            f"{spread(teacher) if teacher else '–':>12} {seconds:8.2f}"
        )


def draw(runs, picture):
    """The decision regions of the first seed."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt
    import numpy as np

    import didact

    x, y = didact.datasets.make_two_moons(seed=0)
    labeled = didact.datasets.split(y, labels=6, test_fraction=0, seed=0).labeled
    horizontal, vertical = np.meshgrid(np.linspace(-1.6, 2.6, 200), np.linspace(-1.2, 1.7, 150))
    grid = np.column_stack([horizontal.ravel(), vertical.ravel()])
    figure, panels = plt.subplots(1, len(runs), figsize=(4 * len(runs), 3.4), constrained_layout=True)
    for axis, (name, results) in zip(panels, runs.items()):
        trainer = didact.Trainer.load(results[0]["path"])
        regions = trainer.predict_proba(grid)[:, 1].reshape(horizontal.shape)
        axis.contourf(horizontal, vertical, regions, levels=np.linspace(0, 1, 11), cmap="RdBu_r", alpha=0.7)
        axis.contour(horizontal, vertical, regions, levels=[0.5], colors="black", linewidths=1)
        axis.scatter(*x.T, s=1, color="0.35")
        axis.scatter(*x[labeled].T, c=y[labeled], cmap="RdBu_r", s=60, edgecolor="black")
        axis.set_title(f"{name}\n{100 * results[0]['test']['student']:.1f} %", fontsize=11)
        axis.set_xticks([])
        axis.set_yticks([])
    figure.savefig(picture, dpi=110)
    print(f"\ndecision regions of the students, seed 0: {picture}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--seeds", type=int, default=5, help="how many, from 0")
    parser.add_argument("--folder", type=Path, default=CHECKOUT / "build/demo", help="for models and picture")
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    start = time.perf_counter()
    with ThreadPoolExecutor(max_workers=2) as pool:
        for data in DATA:
            jobs = {
                name: [pool.submit(train, data, name, seed, arguments.folder) for seed in range(arguments.seeds)]
                for name in CONFIGURATIONS
            }
            runs = {name: [job.result() for job in started] for name, started in jobs.items()}
            table(data, runs)
            if data == "two-moons":
                draw(runs, arguments.folder / "two-moons.png")
    print(f"\n{time.perf_counter() - start:.0f} s in all")


if __name__ == "__main__":
    main()
