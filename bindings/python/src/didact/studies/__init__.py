"""Long measurements that are done run by run, and go on where they stopped: `didact.study`.

A study names its runs and measures each by itself. Every finished run is a line of JSON in a file; the tables of the
documentation are made from the lines.
"""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import Any

from .._version import __version__

# The modules with a `STUDY` each, by the study's name.
_STUDIES = {"tables": "tables"}
# Seeds that settings may be chosen on, and seeds that results are reported on.
CHOOSING_SEEDS, REPORTING_SEEDS = range(100, 110), range(1000, 1040)


@dataclass(frozen=True)
class Study:
    """What there is to measure, and how.

    Parameters
    ----------
    name : str
        Of the file of lines.
    runs : callable
        From seeds to the configurations of the runs, dicts of JSON values with ``"seed"``.
    measure : callable
        From a configuration to its scores, a dict of JSON values. It runs in a process of its own.
    report : callable
        From finished lines to tables in Markdown.
    choices : mapping of str to sequence of str
        Values by which runs can be chosen, by the name of the configuration's value, such as the data sets.
    """

    name: str
    runs: Callable[[Sequence[int]], list[dict[str, Any]]]
    measure: Callable[[dict[str, Any]], dict[str, Any]]
    report: Callable[[list[dict[str, Any]]], str]
    choices: Mapping[str, Sequence[str]]


def names() -> list[str]:
    """The studies that there are."""
    return list(_STUDIES)


def load(name: str) -> Study:
    """A study by its name.

    Raises
    ------
    ValueError
        Where there is none of that name.
    """
    if name not in _STUDIES:
        raise ValueError(f"study: there is no {name!r}; there are {', '.join(_STUDIES)}")
    return importlib.import_module(f".{_STUDIES[name]}", __name__).STUDY


def study(
    name: str,
    seeds: Sequence[int] | None = None,
    executor: Executor | None = None,
    output: str | os.PathLike | None = None,
    resume: bool = True,
    *,
    only: Mapping[str, Sequence[str]] | None = None,
    report: Callable[[str], Any] | None = print,
) -> str:
    """Measures what is left of a study, and makes its tables.

    Parameters
    ----------
    name : str
        Such as ``"tables"``.
    seeds : sequence of int, optional
        100 to 109 are for choosing settings, 1000 to 1039 for reporting; those for reporting by default.
    executor : concurrent.futures.Executor, optional
        Where the runs are measured; it must not fork. By default a process for each core, each training on one thread.
    output : path, optional
        The file of lines; ``build/studies/NAME.jsonl`` by default. A line is written when its run is finished, and holds
        ``run`` (configuration and seed), ``score``, ``seconds``, ``version`` and ``commit``.
    resume : bool
        Whether the runs that the file has are kept; otherwise the file begins anew.
    only : mapping of str to sequence of str, optional
        Which runs, such as ``{"data": ["Vehicle"], "classifier": ["random forest"]}``.
    report : callable, optional
        Takes a text now and then: how many runs are done.

    Returns
    -------
    str
        The tables, from all lines of these runs that are finished.

    Raises
    ------
    ValueError
        For an unknown study or choice, and where no run is left to choose from; nothing is deleted then.
    RuntimeError
        Where a run failed, after all others; the message has its configuration. Finished runs are kept.
    """
    found = load(name)
    path = Path(output if output is not None else Path("build") / "studies" / f"{name}.jsonl")
    runs = _chosen(found, found.runs(list(REPORTING_SEEDS if seeds is None else seeds)), only or {})
    if not runs:
        raise ValueError("study: no run has these seeds and choices")
    path.parent.mkdir(parents=True, exist_ok=True)
    if not resume:
        path.unlink(missing_ok=True)
    done = {_key(line["run"]) for line in read_lines(path)}
    left = [run for run in runs if _key(run) not in done]
    if report:
        report(f"{name}: {len(runs)} runs, {len(left)} of them to be measured; lines in {path}")
    _measure(found, left, path, executor, report)
    wanted = {_key(run) for run in runs}
    return tables_of(found, [line for line in read_lines(path) if _key(line["run"]) in wanted])


def tables_of(found: Study, lines: list[dict[str, Any]]) -> str:
    """The study's tables from lines. Raises ValueError for lines that are no runs of this study."""
    try:
        return found.report(lines)
    except (KeyError, TypeError) as error:
        raise ValueError(f"{found.name}: a line is no run of this study, or a score has another form: {error}") from error


def read_lines(path: str | os.PathLike) -> list[dict[str, Any]]:
    """The finished runs of a file; none where there is no file. A last line that was cut off is left out."""
    try:
        texts = Path(path).read_text(encoding="utf-8", errors="replace").split("\n")
    except FileNotFoundError:
        return []
    lines = []
    for number, text in enumerate(texts, start=1):
        if not text:
            continue
        line = _line(text)
        if line is not None:
            lines.append(line)
        elif number < len(texts):
            raise ValueError(f"{os.fspath(path)}, line {number}: this is no finished run; correct or remove the line")
    return lines


def _line(text: str) -> dict[str, Any] | None:
    """A finished run, or None for what is none."""
    try:
        # Nothing that this module writes has NaN or infinity in it.
        line = json.loads(text, parse_constant=_refuse)
    except ValueError:
        return None
    is_run = isinstance(line, dict) and all(isinstance(line.get(key), dict) for key in ("run", "score"))
    return line if is_run else None


def _refuse(constant: str) -> Any:
    raise ValueError(f"{constant} is no JSON")


def _key(run: Mapping[str, Any]) -> str:
    return json.dumps(run, sort_keys=True)


def _chosen(found: Study, runs: list[dict[str, Any]], only: Mapping[str, Sequence[str]]) -> list[dict[str, Any]]:
    for key, values in only.items():
        if isinstance(values, str) or key not in found.choices:
            raise ValueError(f"only: give sequences of values of {', '.join(found.choices)}; got {key}={values!r}")
        for value in values:
            if value not in found.choices[key]:
                raise ValueError(f"only: {key} has no {value!r}; there are {', '.join(found.choices[key])}")
    return [run for run in runs if all(run[key] in values for key, values in only.items())]


def _measure(
    found: Study, runs: Sequence[dict[str, Any]], path: Path, executor: Executor | None, report: Callable | None
) -> None:
    if not runs:
        return
    commit, start, failures = _commit(), time.perf_counter(), []
    own, context = None, get_context("spawn")
    is_over = context.Event()
    if executor is None:
        executor = own = ProcessPoolExecutor(
            os.cpu_count(), mp_context=context, initializer=_end_with_parent, initargs=(os.getpid(), is_over)
        )
    try:
        _end_last_line(path)
        with open(path, "a", encoding="utf-8") as file:
            pending = {executor.submit(_timed, found.name, run): run for run in runs}
            for count, future in enumerate(as_completed(pending), start=1):
                run = pending.pop(future)
                if future.exception() is not None:
                    failures.append((run, future.exception()))
                    continue
                score, seconds = future.result()
                line = {"run": run, "score": score, "seconds": round(seconds, 3), "version": __version__, "commit": commit}
                file.write(json.dumps(line, allow_nan=False) + "\n")
                file.flush()
                if report and count % 100 == 0:
                    report(f"{found.name}: {count} of {len(runs)} runs, {time.perf_counter() - start:.0f} s")
    except BaseException:
        # Nobody waits for the runs that are at work, which may take long.
        is_over.set()
        raise
    finally:
        if own is not None:
            own.shutdown(cancel_futures=True)
    if failures:
        run, error = failures[0]
        raise RuntimeError(f"{found.name}: {len(failures)} runs failed, the first one {_key(run)}: {error}") from error


def _timed(name: str, run: dict[str, Any]) -> tuple[dict[str, Any], float]:
    start = time.perf_counter()
    score = load(name).measure(run)
    return score, time.perf_counter() - start


def _end_with_parent(parent: int, is_over: Event) -> None:
    """Ends this process soon after the study, whose process may have been killed and cannot tell then."""

    def watch() -> None:
        while os.getppid() == parent and not is_over.wait(1):
            pass
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _end_last_line(path: Path) -> None:
    """Ends the last line, or takes away what a killed process left of it."""
    content = path.read_bytes() if path.exists() else b""
    whole, last = content[: content.rfind(b"\n") + 1], content[content.rfind(b"\n") + 1 :]
    if last:
        path.write_bytes(content + b"\n" if _line(last.decode("utf-8", "replace")) else whole)


def _commit() -> str:
    """Of the checkout that this package is in; empty for an installed one."""
    folder = Path(__file__).resolve().parent
    result = subprocess.run(
        ["git", "-C", str(folder), "describe", "--always", "--dirty"], capture_output=True, text=True, check=False
    )
    return result.stdout.strip() if result.returncode == 0 else ""


def arguments_of_command(values: Iterable[str]) -> dict[str, list[str]]:
    """`only` from texts such as ``data=Vehicle``, of which there may be several of one name."""
    only: dict[str, list[str]] = {}
    for value in values:
        key, separator, chosen = value.partition("=")
        if not separator:
            raise ValueError(f"--only {value}: give a name and a value, such as data=Vehicle")
        only.setdefault(key, []).append(chosen)
    return only
