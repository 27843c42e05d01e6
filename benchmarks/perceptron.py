"""Didact beside PyTorch (eager and compiled) and JAX (jitted) on multilayer perceptrons, in one run.

    steps     one Meta Pseudo Labels step of an MLP 2-64-64-2, by both kinds of feedback
    sizes     the same of larger networks and batches
    predict   the class probabilities of one row
    package   the time of the import, and the installed size

Every contender first shows that it computes Didact's losses, from the same weights and sampled labels, over three
steps, or its probabilities; then they are timed in turn (alternate.py). A ratio is a contender's median over Didact's.

Run: scripts/bench
"""

import argparse
import json
import platform
import subprocess
import sys
import tempfile
from importlib import metadata
from pathlib import Path

import numpy as np
import package
from alternate import Unavailable, Worker, bind, summary, take_turns
from contenders.problem import Problem

CHECKOUT = Path(__file__).resolve().parents[1]
TOLERANCE = 1e-4
FEEDBACKS = ("loss_difference", "exact")
# The first is what users write: modules, an optimiser with its defaults, a forward for each view. The second is what
# eager PyTorch can do at its best.
PEERS = {
    "torch eager": ("contenders.torch_step", "ModuleTorchStep"),
    "torch eager, tuned": ("contenders.torch_step", "TorchStep"),
    "torch.compile": ("contenders.torch_step", "CompiledTorchStep"),
    "jax jit": ("contenders.jax_step", "JaxStep"),
}
# inputs, hidden, classes, labelled and unlabelled rows
SMALL = [(2, (64, 64), 2, 64, 448)]
SIZES = [
    (64, (128, 128), 10, 64, 448),
    (256, (256, 256), 10, 128, 896),
    (784, (512, 512), 10, 256, 1792),
    (2048, (1024, 1024), 10, 512, 3584),
]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer rounds, of steps and predict alone")
    parser.add_argument("--only", nargs="+", choices=["steps", "sizes", "predict", "package"], help="these parts alone")
    parser.add_argument("--threads", type=int, default=2, help="cores and threads of every contender (default: 2)")
    parser.add_argument("--rounds", type=int, help="turns of every contender (default: 8, quick: 3)")
    parser.add_argument("--without", nargs="+", choices=list(PEERS), default=[], help="leave out these contenders")
    parser.add_argument("--json", metavar="FILE", help="write all results there")
    arguments = parser.parse_args()
    parts = arguments.only or (["steps", "predict"] if arguments.quick else ["steps", "sizes", "predict", "package"])
    rounds = arguments.rounds or (3 if arguments.quick else 8)
    bind(arguments.threads)

    results = {"threads": arguments.threads, "machine": platform.platform(), "versions": versions()}
    print(", ".join(f"{name} {version}" for name, version in results["versions"].items()))
    print(f"{arguments.threads} threads; median (10 % – 90 %), ratio to didact")
    peers = {name: place for name, place in PEERS.items() if name not in arguments.without}
    for part, problems in (("steps", SMALL), ("sizes", SIZES)):
        if part in parts:
            results[part] = compare_steps(problems, peers, arguments.threads, rounds)
    if "predict" in parts:
        results["predict"] = compare_predictions(arguments.threads, rounds)
    if "package" in parts:
        results["package"] = compare_packages()
    if arguments.json:
        Path(arguments.json).write_text(json.dumps(results, indent=2) + "\n")


def versions():
    found = {"python": platform.python_version()}
    for name in ("numpy", "torch", "jax"):
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = "not installed"
    return found


# Steps


def compare_steps(problems, peers, threads, rounds):
    results = []
    for inputs, hidden, classes, labelled, unlabelled in problems:
        of_feedback = {}
        for feedback in FEEDBACKS:
            problem = Problem(inputs, hidden, classes, labelled, unlabelled, feedback, threads)
            network = "-".join(str(width) for width in problem.widths)
            print(f"\nstep of MLP {network}, {labelled} labelled + {unlabelled} unlabelled rows, feedback {feedback}")
            rows, others = compare_step(problem, peers, rounds)
            of_feedback[feedback] = rows
            print_rows(rows, 1e3, "ms", others)
            results.append(
                {
                    "network": network,
                    "rows": [labelled, unlabelled],
                    "feedback": feedback,
                    "contenders": rows,
                    "others": others,
                }
            )
        print_feedback_ratio(of_feedback)
    return results


def compare_step(problem, peers, rounds):
    # The second leaves out what no other contender computes, the gradient norm of each of the teacher's terms.
    workers = {
        "didact": Worker("contenders.didact_step", "DidactStep", problem),
        "didact without norms": Worker("contenders.didact_step", "DidactStep", problem, False),
    }
    try:
        networks, labels, expected = workers["didact"].ask("reference", 3)
        workers.update({name: Worker(*place, problem, networks) for name, place in peers.items()})
        failures = {}
        for name in peers:
            try:
                require_equal(workers[name].ask("losses", labels), expected)
                # Once without given labels, so that all is compiled.
                workers[name].ask("samples", 0)
            except Unavailable as error:
                failures[name] = str(error)
        running = {name: worker for name, worker in workers.items() if name not in failures}
        samples, others = take_turns(running, rounds, seconds=0.3)
        rows = ratios(samples)
        for row in rows.values():
            row["gflops"] = problem.products() / row["median"] / 1e9
        return {**rows, **{name: {"not available": reason} for name, reason in failures.items()}}, others
    finally:
        for worker in workers.values():
            worker.stop()


def require_equal(found, expected):
    """The losses of student, teacher and consistency, and what the feedback is about, step by step."""
    for step, (ours, theirs) in enumerate(zip(expected, found)):
        for name, a, b in zip(("student", "supervised", "uda", "feedback"), ours, theirs):
            # The feedback may be a difference of two losses, to whose size its rounding is relative.
            size = max(abs(a), ours[1]) if name == "feedback" else abs(a)
            if not abs(a - b) <= TOLERANCE * size:
                raise Unavailable(f"another {name} loss in step {step}: {b:.7g}, Didact's is {a:.7g}")


def print_feedback_ratio(of_feedback):
    medians = {
        name: [of_feedback[feedback][name].get("median") for feedback in FEEDBACKS] for name in of_feedback["exact"]
    }
    known = [f"{name} {exact / sampled:.2f}" for name, (sampled, exact) in medians.items() if sampled and exact]
    print(f"  exact / loss_difference: {', '.join(known)}")


# Predictions


def compare_predictions(threads, rounds):
    print("\nclass probabilities of one row, MLP 2-64-64-2")
    module = "contenders.predictions"
    workers = {"didact": Worker(module, "Didact")}
    with tempfile.TemporaryDirectory() as folder:
        try:
            parameters, expected = workers["didact"].ask("parameters"), workers["didact"].ask("probabilities")
            program, failures = None, {}
            workers["didact Predictor"] = Worker(module, "DidactPredictor")
            try:
                program = compiled_program(Path(folder))
                workers["didact from C"] = Worker(module, "DidactC", program, "network")
                workers["didact Predictor from C"] = Worker(module, "DidactC", program, "predictor")
            except Unavailable as error:
                failures["didact from C"] = str(error)
            workers["torch eager"] = Worker(module, "Torch", parameters, threads)
            workers["jax jit"] = Worker(module, "Jax", parameters)
            for name, worker in workers.items():
                try:
                    if not np.allclose(worker.ask("probabilities"), expected, rtol=TOLERANCE, atol=0):
                        raise Unavailable("other probabilities than Didact's")
                except Unavailable as error:
                    failures[name] = str(error)
            running = {name: worker for name, worker in workers.items() if name not in failures}
            samples, others = take_turns(running, rounds, seconds=0.2)
            rows = ratios(samples)
            rows.update({name: {"not available": reason} for name, reason in failures.items()})
        finally:
            for worker in workers.values():
                worker.stop()
    print_rows(rows, 1e6, "µs", others)
    return {"contenders": rows, "others": others}


def compiled_program(folder):
    """predict.c, compiled against the library in build/."""
    build, program = CHECKOUT / "build", folder / "predict"
    header = build / "include" / "didact.h"
    if not header.exists():
        raise Unavailable(f"{header} is missing: run scripts/build")
    command = ["cc", "-O2", "-Wall", f"-I{header.parent}", str(CHECKOUT / "benchmarks" / "predict.c")]
    command += [f"-L{build / 'lib'}", f"-Wl,-rpath,{build / 'lib'}", "-ldidact", "-o", str(program)]
    try:
        done = subprocess.run(command, capture_output=True, text=True)
    except OSError as error:
        raise Unavailable(f"no C compiler: {error}") from None
    if done.returncode != 0:
        raise Unavailable(f"predict.c does not compile: {done.stderr.strip().splitlines()[0]}")
    return str(program)


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


# Tables


def ratios(samples):
    rows = {name: summary(values) for name, values in samples.items()}
    for row in rows.values():
        row["ratio"] = row["median"] / rows["didact"]["median"]
    return rows


def print_rows(rows, scale, unit, others):
    """Others: the share of the cores' time that other programs took."""
    for name, row in rows.items():
        if "not available" in row:
            print(f"  {name:24} not available: {row['not available']}")
            continue
        low, median, high = (scale * row[key] for key in ("low", "median", "high"))
        speed = f" {row['gflops']:8.1f} GFLOP/s" if "gflops" in row else ""
        print(f"  {name:24} {median:9.3f} {unit} ({low:.3f} – {high:.3f}) {row['ratio']:8.2f} ×{speed}")
    if others is not None and others > 0.02:
        # Threads that meet at barriers, as PyTorch's do, wait for the one that another program keeps from running.
        print(f"  other programs took {100 * others:.0f} % of these cores' time meanwhile: measure again")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
