"""``python -m didact.studies NAME``: see scripts/study."""

from __future__ import annotations

import argparse
import signal
import sys
from pathlib import Path

from . import CHOOSING_SEEDS, REPORTING_SEEDS, arguments_of_command, load, names, read_lines, study, tables_of


def main() -> None:
    parser = argparse.ArgumentParser(prog="scripts/study", description="Measures a study run by run, and makes its tables.")
    parser.add_argument("name", choices=names())
    parser.add_argument("--resume", action="store_true", help="keep the runs that are finished; without it all are made anew")
    parser.add_argument("--seeds", default="reporting", help="choosing (100 to 109), reporting (1000 to 1039), or FIRST-LAST")
    parser.add_argument("--only", action="append", default=[], metavar="KEY=VALUE", help="such as data=Vehicle; give it again for more")
    parser.add_argument("--lines", help="the file of lines; build/studies/NAME.jsonl by default")
    parser.add_argument("--tables", help="where to write the tables; standard output by default")
    parser.add_argument("--measure-nothing", action="store_true", help="make the tables from the lines that are there")
    options = parser.parse_args()
    if options.measure_nothing and (options.resume or options.only or options.seeds != "reporting"):
        parser.error("--measure-nothing makes the tables from all lines; it goes with --lines and --tables alone")
    # The processes that measure end with this one.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        if options.measure_nothing:
            path = options.lines or f"build/studies/{options.name}.jsonl"
            lines = read_lines(path)
            if not lines:
                raise ValueError(f"{path} has no finished run")
            return _write(tables_of(load(options.name), lines), options.tables)
        known = {"choosing": CHOOSING_SEEDS, "reporting": REPORTING_SEEDS}
        seeds = known.get(options.seeds) or _range(options.seeds)
        only = arguments_of_command(options.only)
        tables = study(options.name, seeds, output=options.lines, resume=options.resume, only=only, report=_say)
        _write(tables, options.tables)
    except (OSError, RuntimeError, ValueError) as error:
        sys.exit(f"scripts/study: {error}")
    except KeyboardInterrupt:
        sys.exit("scripts/study: interrupted; --resume goes on")


def _write(tables: str, path: str | None) -> None:
    if path:
        Path(path).write_text(tables, encoding="utf-8")
    else:
        print(tables)


def _range(text: str) -> range:
    first, _, last = text.partition("-")
    if not first.isdigit() or not (last or first).isdigit() or int(last or first) < int(first):
        raise ValueError(f"--seeds {text}: give choosing, reporting, or two numbers such as 1000-1009, the smaller one first")
    return range(int(first), int(last or first) + 1)


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
