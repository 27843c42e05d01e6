"""Didact beside PyTorch on images: the step of a WideResNet-28-2, its floor, and the memory that it takes.

The floor of a step is the time of its convolutions run alone in oneDNN (convolutions.c), each in its faster layout, plus
that of carrying their inputs and outputs through memory once in each pass. Norms of the terms' gradients take a backward
of the strong view for each of its two terms, where the step without norms makes one.
"""

import subprocess
import tempfile
from pathlib import Path

from alternate import Unavailable, Worker, take_turns
from contenders.problem import ImageProblem
from tables import TOLERANCE, print_rows, ratios, require_equal

HERE = Path(__file__).resolve().parent
# Didact's options by mode, and the peers that compute the same to within a tolerance.
FLOAT32 = {"torch eager": "TorchImageStep", "torch channels last": "ChannelsLast"}
MODES = {
    "direct": ((), FLOAT32, TOLERANCE),
    # More rounding, here and there.
    "fast": ((("math", "fast"),), FLOAT32, 1e-3),
    "bfloat16": ((("bfloat16", "on"),), {"torch bfloat16": "Bfloat16"}, 0.1),
}
ROUNDS = 3
# inputs, outputs, size, window, stride and number of the convolutions of a WideResNet-28-2
CONVOLUTIONS = [
    (3, 16, 32, 3, 1, 1),
    (16, 32, 32, 3, 1, 1),
    (16, 32, 32, 1, 1, 1),
    (32, 32, 32, 3, 1, 7),
    (32, 64, 32, 3, 2, 1),
    (32, 64, 32, 1, 2, 1),
    (64, 64, 16, 3, 1, 7),
    (64, 128, 16, 3, 2, 1),
    (64, 128, 16, 1, 2, 1),
    (128, 128, 8, 3, 1, 7),
]


def compare(threads):
    results = []
    with tempfile.TemporaryDirectory() as folder:
        program = compiled_program(Path(folder))
        for mode, (options, peers, tolerance) in MODES.items():
            for feedback in ("loss_difference", "exact"):
                problem = ImageProblem(feedback, threads, options=options)
                print(f"\nstep of WideResNet-28-2, {mode}, 16 labelled + 112 unlabelled images, feedback {feedback}")
                # The machine's speed drifts: the floor is the mean of one before the steps and one after.
                floors = [] if isinstance(program, Unavailable) else [floor_of(program, mode, feedback, problem)]
                rows, others, memory = compare_step(problem, peers, tolerance)
                print_rows(rows, 1, "s ", others)
                floor = None
                if not floors:
                    print(f"  floor: not available: {program}")
                else:
                    floors.append(floor_of(program, mode, feedback, problem))
                    floor = {
                        name: {part: (first[part] + floors[1][name][part]) / 2 for part in first}
                        for name, first in floors[0].items()
                    }
                    for name, parts in floor.items():
                        seconds = sum(parts.values())
                        print(f"  {name}: {rows[name]['median'] / seconds:.2f} × its floor of {seconds:.3f} s", end="")
                        print(f" (convolutions {parts['convolutions']:.3f} s, memory {parts['memory']:.3f} s)")
                sizes = (
                    f"{name} {size['growth'] / 2**30:.3f} GiB (process {size['process'] / 2**30:.2f})"
                    for name, size in memory.items()
                )
                print("  peak memory above that before the first step: " + ", ".join(sizes))
                results.append({"mode": mode, "feedback": feedback, "contenders": rows, "others": others,
                                "floor": floor, "memory": memory})
    return results


def compare_step(problem, peers, tolerance):
    """Rows of the table, the share of other programs, and each contender's peak memory."""
    workers = {
        "didact": Worker("contenders.didact_step", "DidactStep", problem),
        "didact without norms": Worker("contenders.didact_step", "DidactStep", problem, False),
    }
    try:
        memory = {"didact": workers["didact"].ask("memory")}
        # Anew, because the memory was that of steps.
        workers["didact"].stop()
        workers["didact"] = Worker("contenders.didact_step", "DidactStep", problem)
        networks, labels, expected = workers["didact"].ask("reference", 3)
        failures = {}
        for name, contender in peers.items():
            try:
                workers[name] = Worker("contenders.torch_images", contender, problem, networks)
                memory[name] = workers[name].ask("memory")
                workers[name].stop()
                workers[name] = Worker("contenders.torch_images", contender, problem, networks)
                require_equal(workers[name].ask("losses", labels), expected, tolerance)
            except Unavailable as error:
                failures[name] = str(error)
        running = {name: worker for name, worker in workers.items() if name not in failures}
        # The first step at a shape takes memory.
        for worker in running.values():
            worker.ask("samples", 0)
        samples, others = take_turns(running, rounds=ROUNDS, seconds=3)
        return {**ratios(samples), **{name: {"not available": e} for name, e in failures.items()}}, others, memory
    finally:
        for worker in workers.values():
            worker.stop()


def compiled_program(folder):
    program = folder / "convolutions"
    command = ["cc", "-O2", "-fopenmp", str(HERE / "convolutions.c"), "-ldnnl", "-o", str(program)]
    try:
        done = subprocess.run(command, capture_output=True, text=True)
    except OSError as error:
        return Unavailable(f"no C compiler: {error}")
    if done.returncode != 0:
        return Unavailable(f"convolutions.c does not compile: {done.stderr.strip().splitlines()[0]}")
    return program


def floor_of(program, mode, feedback, problem):
    """By contender, seconds of the convolutions alone, and of their inputs and outputs through memory."""
    words = [str(number) for shape in CONVOLUTIONS for number in shape]
    command = [str(program), mode, str(problem.unlabelled), *words]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    forward, of_input, of_parameters, bandwidth = (float(word) for word in done.stdout.split())
    labelled, unlabelled = problem.labelled, problem.unlabelled
    # The teacher's forwards of x, weak and strong, the student's of strong, and of x before and after its step; the
    # backwards of the teacher's x and strong and of the student's strong.
    forwards, backwards = 3 * labelled + 3 * unlabelled, labelled + 2 * unlabelled
    if feedback == "exact":
        # The backward of the labelled loss, and the tangent, which is two convolutions.
        backwards += labelled
        forwards += 2 * unlabelled
    sizes = [(i * size**2 + o * (size // stride) ** 2) * count for i, o, size, _, stride, count in CONVOLUTIONS]
    floor = {}
    for name, more in (("didact", unlabelled), ("didact without norms", 0)):
        # A forward reads inputs and writes outputs; a backward reads both cotangents' sides and the inputs again.
        bytes_moved = 4 * sum(sizes) * (forwards + 2 * (backwards + more)) / (2 if mode == "bfloat16" else 1)
        floor[name] = {
            "convolutions": forwards * forward + (backwards + more) * (of_input + of_parameters),
            "memory": bytes_moved / bandwidth,
        }
    return floor
