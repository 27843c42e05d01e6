"""Times contenders in turn, each in a process of its own.

Their thread pools must not spin beside another's, and all are to see the same machine: so every contender waits on a
pipe while another one runs, all are bound to the same cores, and the turns are short and go round.
"""

import gc
import importlib
import multiprocessing
import os
import time
import traceback

import numpy as np


class Unavailable(Exception):
    """A contender that cannot run here, and why."""


def bind(threads):
    """Gives this process, and those it starts, so many cores and threads."""
    if hasattr(os, "sched_setaffinity"):
        cores = sorted(os.sched_getaffinity(0))
        if len(cores) < threads:
            raise SystemExit(f"--threads {threads}: this process may use {len(cores)} cores")
        os.sched_setaffinity(0, cores[:threads])
    # NPROC is XLA's.
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NPROC"):
        os.environ[name] = str(threads)
    os.environ["JAX_PLATFORMS"] = "cpu"
    # Compile within the contender's process: no helpers that stay beside it.
    os.environ["TORCHINDUCTOR_COMPILE_THREADS"] = "1"


class Worker:
    """A contender, made in a process of its own.

    A contender is called without arguments to do what is timed. It may say by `calls` how many calls to time together,
    and it may have `samples(seconds)` to time itself.
    """

    def __init__(self, module, name, *arguments):
        context = multiprocessing.get_context("spawn")
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(target=_serve, args=(theirs, module, name, arguments), daemon=True)
        self.process.start()
        theirs.close()
        self.is_ready = False

    def ask(self, method, *arguments, limit=300):
        """What the contender's method returns; raises `Unavailable` if it fails or takes longer than the limit."""
        if not self.is_ready:
            self._receive(limit)
            self.is_ready = True
        self.pipe.send((method, arguments))
        return self._receive(limit)

    def _receive(self, limit):
        if not self.pipe.poll(limit):
            self.stop()
            raise Unavailable(f"took longer than {limit} s")
        try:
            failure, result = self.pipe.recv()
        except EOFError:
            raise Unavailable("its process ended") from None
        if failure:
            raise Unavailable(failure)
        return result

    def stop(self):
        if self.process.is_alive():
            self.process.kill()
        self.process.join()


def take_turns(workers, rounds, seconds):
    """Seconds of each call by contender, over all rounds; a turn lasts about so many seconds. Also the share of the
    cores' time that others took meanwhile, None where it cannot be told."""
    samples = {name: [] for name in workers}
    start, strangers = time.perf_counter(), _seconds_of_others(workers)
    for round_ in range(rounds):
        for name, worker in workers.items():
            # After three calls of more than a second each, the others' rounds can tell little more.
            if round_ < 3 or samples[name][-1] < 1:
                samples[name] += worker.ask("samples", seconds)
    if strangers is None:
        return samples, None
    cores = len(os.sched_getaffinity(0))
    share = (_seconds_of_others(workers) - strangers) / (time.perf_counter() - start) / cores
    return samples, max(0.0, share)


def _seconds_of_others(workers):
    """For how long the cores of this process have worked for others, by Linux's count; None elsewhere."""
    try:
        cores = {f"cpu{core}" for core in os.sched_getaffinity(0)}
        tick = os.sysconf("SC_CLK_TCK")
        with open("/proc/stat") as file:
            lines = [line.split() for line in file]
        # user, nice, system; irq, softirq, steal
        busy = sum(int(line[i]) for line in lines if line[0] in cores for i in (1, 2, 3, 6, 7, 8))
        ours = sum(os.times()[:4]) * tick
        for worker in workers.values():
            with open(f"/proc/{worker.process.pid}/stat") as file:
                # Its own time and that of its children, behind the name in parentheses.
                ours += sum(int(word) for word in file.read().rpartition(")")[2].split()[11:15])
    except (AttributeError, OSError):
        return None
    return (busy - ours) / tick


def summary(samples):
    """Median, 10 % and 90 % of samples."""
    low, median, high = np.percentile(samples, [10, 50, 90])
    return {"median": float(median), "low": float(low), "high": float(high), "samples": len(samples)}


def _serve(pipe, module, name, arguments):
    """The worker's process: makes the contender, then answers until the pipe closes."""

    def make():
        return getattr(importlib.import_module(module), name)(*arguments)

    def answer(method, given):
        if method == "samples" and not hasattr(contender, method):
            return timed(contender, *given, getattr(contender, "calls", 1))
        return getattr(contender, method)(*given)

    try:
        contender = make()
        pipe.send((None, None))
        while True:
            pipe.send((None, answer(*pipe.recv())))
    except EOFError:
        pass
    except Unavailable as error:
        pipe.send((str(error), None))
    except Exception as error:
        last = traceback.extract_tb(error.__traceback__)[-1]
        message = (str(error).strip() or "no message").splitlines()[0]
        pipe.send((f"{type(error).__name__}: {message} ({os.path.basename(last.filename)}:{last.lineno})", None))


def timed(call, seconds, calls):
    """Seconds of each call. The first fifth of the time warms caches and threads and is left out, unless the calls are
    so long that they need no warming."""
    clock = time.perf_counter
    gc.collect()
    gc.disable()
    samples, start = [], clock()
    while not samples or clock() < start + seconds:
        begin = clock()
        for _ in range(calls):
            call()
        end = clock()
        if end - begin > seconds / 2 or begin > start + seconds / 5:
            samples.append((end - begin) / calls)
    gc.enable()
    return samples
