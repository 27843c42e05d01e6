"""Didact beside PyTorch (eager and compiled) and JAX (jitted) on multilayer perceptrons."""

import subprocess
import tempfile
from pathlib import Path

import numpy as np
from alternate import Unavailable, Worker, take_turns
from contenders.problem import Problem
from tables import TOLERANCE, print_rows, ratios, require_equal

CHECKOUT = Path(__file__).resolve().parents[1]
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
