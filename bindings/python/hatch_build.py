"""Builds the shared library and puts it into the wheel."""

import os
import platform
import subprocess
import sys
from pathlib import Path

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class CustomBuildHook(BuildHookInterface):
    def initialize(self, version, build_data):
        if version == "editable":
            return  # finds build/lib of the checkout by itself
        here = Path(self.root)
        engine = here / "engine" if (here / "engine").is_dir() else here.parents[1]
        # $DIDACT_LIBRARY: the absolute path of a library that is built already.
        library = os.environ.get("DIDACT_LIBRARY")
        if not library:
            try:
                subprocess.run([str(engine / "scripts" / "build")], check=True, stdout=sys.stderr)
            except (OSError, subprocess.CalledProcessError) as error:
                raise RuntimeError(
                    "building the Didact library failed; it needs Swift 6.2 or newer, libdnnl-dev, libpng-dev, "
                    "libturbojpeg0-dev and zlib1g-dev. "
                    "Set DIDACT_LIBRARY to bundle a library that is built already"
                ) from error
            library = engine / "build" / "lib" / "libdidact.so"
        build_data["force_include"][os.fspath(library)] = "didact/_lib/libdidact.so"
        build_data["force_include"][os.fspath(engine / "LICENSE")] = "didact/LICENSE"
        build_data["pure_python"] = False
        build_data["tag"] = f"py3-none-linux_{platform.machine()}"
