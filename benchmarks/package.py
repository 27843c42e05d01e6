"""What a package costs before it computes anything: the time of its import, and its size when installed."""

import os
import re
import subprocess
import sys
import time
from importlib import metadata
from pathlib import Path

import numpy as np

# What the manylinux policies expect of every machine; a package brings the rest along.
EVERYWHERE = (
    "linux-vdso",
    "ld-linux",
    "libc.",
    "libm.",
    "libdl.",
    "librt.",
    "libpthread.",
    "libgcc_s.",
    "libstdc++.",
    "libz.",
)


def import_seconds(modules, rounds):
    """Seconds of `import numpy` and, by module, how much longer `import numpy, <module>` takes: the whole interpreter's
    life, medians of fresh interpreters in turn. None for a module that is not installed."""
    statements = {"numpy": "import numpy", **{module: f"import numpy, {module}" for module in modules}}
    seconds = {module: [] for module in statements}
    # Compiled modules are written, as they are on installation.
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
    for round_ in range(rounds + 1):
        for module, statement in statements.items():
            start = time.perf_counter()
            done = subprocess.run([sys.executable, "-c", statement], stderr=subprocess.DEVNULL, env=environment)
            # The first round writes the compiled modules and fills the file cache.
            if round_ > 0 and done.returncode == 0:
                seconds[module].append(time.perf_counter() - start)
    medians = {module: float(np.median(values)) if values else None for module, values in seconds.items()}
    return {
        module: value if module == "numpy" or value is None else value - medians["numpy"]
        for module, value in medians.items()
    }


def didact_megabytes():
    """Of the Python files, the library, and the libraries it needs that not every machine has; by file."""
    import didact
    from didact._library import library_path

    package = Path(didact.__file__).parent
    sizes = {
        "Python files": sum(file.stat().st_size for file in package.rglob("*") if file.suffix in (".py", ".typed"))
    }
    files = [Path(library_path)]
    if sys.platform == "linux":
        linked = subprocess.run(["ldd", str(library_path)], capture_output=True, text=True, check=True).stdout
        for name, path in re.findall(r"(\S+) => (/\S+)", linked):
            if not name.startswith(EVERYWHERE):
                files.append(Path(path))
    sizes.update({file.name: file.resolve().stat().st_size for file in files})
    return {name: size / 1e6 for name, size in sizes.items()}


def installed_megabytes(name, without=("numpy",)):
    """Of an installed distribution and what it requires, by distribution; empty where it is not installed."""
    sizes, waiting = {}, [name]
    while waiting:
        name = waiting.pop()
        if name in sizes or name in without:
            continue
        try:
            distribution = metadata.distribution(name)
        except metadata.PackageNotFoundError:
            continue
        files = [Path(distribution.locate_file(file)) for file in distribution.files or []]
        sizes[name] = sum(f.stat().st_size for f in files if f.suffix != ".pyc" and f.is_file()) / 1e6
        required = [text for text in distribution.requires or [] if "extra ==" not in text]
        waiting += [re.match(r"[\w.-]+", text)[0].lower().replace("_", "-") for text in required]
    return sizes
