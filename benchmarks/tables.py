"""What the parts of the benchmark print, and how contenders show that they compute the same."""

import sys

from alternate import Unavailable, summary

TOLERANCE = 1e-4


def require_equal(found, expected, tolerance=TOLERANCE):
    """The losses of student, teacher and consistency, and what the feedback is about, step by step."""
    for step, (ours, theirs) in enumerate(zip(expected, found)):
        for name, a, b in zip(("student", "supervised", "uda", "feedback"), ours, theirs):
            # The feedback may be a difference of two losses, to whose size its rounding is relative.
            size = max(abs(a), ours[1]) if name == "feedback" else abs(a)
            if not abs(a - b) <= tolerance * size:
                raise Unavailable(f"another {name} loss in step {step}: {b:.7g}, Didact's is {a:.7g}")


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
