"""Executes notebooks, each in a kernel of its own, and writes executed copies and their pictures to build/notebooks.

Usage: run_notebooks.py [NAME ...]     all of examples/notebooks by default, without .ipynb

A cell that fails, an output that was committed, or a notebook without a picture is an error.
"""

import base64
import os
import sys
import time
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

ROOT = Path(__file__).resolve().parent.parent
NOTEBOOKS = ROOT / "examples" / "notebooks"
RESULTS = ROOT / "build" / "notebooks"


def execute(path):
    """Runs one notebook as Jupyter would, and returns it with its outputs."""
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    for cell in notebook.cells:
        if cell.cell_type == "code" and (cell.outputs or cell.execution_count is not None):
            sys.exit(f"{path.relative_to(ROOT)}: a cell has outputs; clear them all before committing")
    client = NotebookClient(
        notebook,
        timeout=300,
        kernel_name="python3",
        resources={"metadata": {"path": path.parent}},
        # It would warn of its sockets, which this machine alone can reach.
        extra_arguments=["--log-level=ERROR"],
    )
    try:
        client.execute()
    except CellExecutionError as error:
        sys.exit(f"{path.relative_to(ROOT)}: {error}")
    return notebook


def pictures(notebook):
    for cell in notebook.cells:
        for output in cell.get("outputs", ()):
            if "image/png" in output.get("data", {}):
                yield base64.b64decode(output.data["image/png"])


def main():
    paths = [NOTEBOOKS / f"{name}.ipynb" for name in sys.argv[1:]] or sorted(NOTEBOOKS.glob("*.ipynb"))
    # Pictures go into the notebook; no window is opened.
    os.environ["MPLBACKEND"] = "module://matplotlib_inline.backend_inline"
    RESULTS.mkdir(parents=True, exist_ok=True)
    for path in paths:
        start = time.perf_counter()
        notebook = execute(path)
        nbformat.write(notebook, RESULTS / path.name)
        for old in RESULTS.glob(f"{path.stem}-*.png"):
            old.unlink()
        drawn = list(pictures(notebook))
        if not drawn:
            sys.exit(f"{path.relative_to(ROOT)}: no picture was drawn")
        for number, data in enumerate(drawn, start=1):
            (RESULTS / f"{path.stem}-{number}.png").write_bytes(data)
        print(f"{path.stem}: {len(drawn)} pictures, {time.perf_counter() - start:.0f} s")
    print(f"executed copies and pictures are in {RESULTS.relative_to(ROOT)}")


main()
