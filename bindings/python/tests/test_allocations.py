"""Steps and predictions allocate nothing once they are warm, and a long training does not grow.

Needs cc and glibc. Tests/Allocations/count_allocations.c says how to see where allocations come from.
"""

import json
import os
import sys
from pathlib import Path

import pytest

from didact._library import library_path
from test_header import HEADER, ROOT, run

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="counts by LD_PRELOAD of Linux")

SOURCES = ROOT / "Tests" / "Allocations"
# After 800 steps and for 200 more the history of metrics has room: see steps.c.
WARM_UP, STEPS = 800, 200
FIRST, LAST = 2000, 12000
MOST_KIB = 1024

CONFIGURATIONS = {
    "exact": {"feedback": "exact"},
    "gradient_dot": {"feedback": "gradient_dot"},
    "loss_difference": {"feedback": "loss_difference"},
    "batch_norm_dropout": {"network": {"batch_norm": True, "dropout": 0.3}},
    "supervised": {"method": "supervised"},
    "adamw": {"student_optimizer": {"name": "adamw"}, "teacher_optimizer": {"name": "adamw"}},
}


def configuration(name, threads):
    changes = CONFIGURATIONS[name]
    network = {"type": "mlp", "inputs": 2, "hidden": [64, 64], "classes": 2, **changes.get("network", {})}
    return {"method": "meta_pseudo_labels", "threads": threads, **changes, "network": network}


@pytest.fixture(scope="module")
def steps(tmp_path_factory):
    """Runs the program with the counter; its JSON."""
    folder = tmp_path_factory.mktemp("allocations")
    counter, program = folder / "count_allocations.so", folder / "steps"
    library = Path(library_path).resolve()
    strict = ("-std=c11", "-O1", "-Wall", "-Wextra", "-Werror")
    run("cc", *strict, "-shared", "-fPIC", SOURCES / "count_allocations.c", "-ldl", "-o", counter)
    run(
        *("cc", *strict, f"-I{HEADER.parent}", SOURCES / "steps.c", library, "-ldl"),
        *(f"-Wl,-rpath,{library.parent}", "-o", program),
    )

    def steps(mode, name, threads, *numbers):
        json_text = json.dumps(configuration(name, threads))
        unlabeled = 0 if name == "supervised" else 448
        environment = {**os.environ, "LD_PRELOAD": str(counter)}
        environment.pop("COUNT_ALLOCATIONS_TRACE", None)
        return json.loads(run(program, mode, json_text, 64, unlabeled, *numbers, env=environment))

    return steps


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_counter_reports_every_library(name, threads, steps):
    counted = steps("counts", name, threads, 1, 1)
    for part in ("create", "step", "trainer_predict", "network_predict"):
        assert set(counted[part]) == {"libdidact", "libdnnl", "libgomp", "other"}
        assert min(counted[part].values()) >= 0
    # Else the zeros asserted below would say nothing.
    assert counted["create"]["libdidact"] > 0


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("name", CONFIGURATIONS)
@pytest.mark.parametrize("part", ["step", "trainer_predict", "network_predict"])
def test_allocates_nothing_once_warm(part, name, threads, steps):
    counted = steps("counts", name, threads, WARM_UP, STEPS)
    print(json.dumps(counted))
    assert counted[part]["libdidact"] == 0


def growth(measured, kind):
    """In KiB, without the history, which keeps a number for each step and metric and cannot be turned off."""
    before, after = measured[kind]
    return after - before - (LAST - FIRST) * measured["history_bytes_a_step"] / 1024


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_memory_stays(name, threads, steps):
    measured = steps("memory", name, threads, FIRST, LAST, 1)
    assert growth(measured, "resident_kib") < MOST_KIB
    assert growth(measured, "in_use_kib") < MOST_KIB


def test_memory_in_use_stays_where_shapes_change(steps):
    assert growth(steps("memory", "exact", 1, FIRST, LAST, 40), "in_use_kib") < MOST_KIB


def test_resident_memory_stays_where_shapes_change(steps):
    assert growth(steps("memory", "exact", 1, FIRST, LAST, 40), "resident_kib") < MOST_KIB
