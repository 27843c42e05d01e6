"""What the pages tell a reader to run does run: every fenced block of Python, shell, C and Swift."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

import didact
from support import ACTIVATIONS, CHECKOUT

pytest.importorskip("matplotlib").use("Agg")
pytest.importorskip("sklearn")

# Lines that are not run here, and what runs them instead.
ELSEWHERE = {
    "scripts/demo": "prints the tables of the pages; minutes",
    "scripts/test": "runs this test",
    "scripts/setup": "scripts/test, section set-up",
    "python3 -m venv ~/didact && . ~/didact/bin/activate": "an environment in the reader's home",
    "pip install './bindings/python[sklearn]'": "scripts/test, section pip install",
    "build/bin/didact bench": "measures; not beside other tests",
}
# Files that a page takes for the reader's own.
ROWS_CSV = ",".join(["8"] * 64) + "\n"
RELEASE = CHECKOUT / ".build" / "dist" / "release"


def blocks(page):
    """(line, language, text) of every fenced block."""
    text = (CHECKOUT / page).read_text()
    for match in re.finditer(r"^```(\w*)\n(.*?)^```$", text, re.M | re.S):
        yield text.count("\n", 0, match.start()) + 2, match.group(1), match.group(2)


class Reader:
    """Does what a page says, block after block, in a folder where the checkout's own can be seen."""

    def __init__(self, page, folder):
        self.page = page
        self.folder = folder
        self.names = {"__name__": "__main__"}
        self.c_source = None
        for name in ("build", "examples", "scripts", "docs"):
            (folder / name).symlink_to(CHECKOUT / name)
        (folder / "rows.csv").write_text(ROWS_CSV)

    def run(self, line, language, text):
        getattr(self, language)(line, text)

    def python(self, line, text):
        # Empty lines first, so that a traceback has the line of the page.
        exec(compile("\n" * (line - 1) + text, self.page, "exec"), self.names)

    def sh(self, line, text):
        kept = [each for each in text.splitlines() if each.partition("#")[0].strip() not in ELSEWHERE]
        if self.c_source:
            assert "cc tour.c " in text, f"{self.page}:{line}: expected the block that compiles the C program before it"
            self.c_source = None
        self.command(line, ["bash", "-euxo", "pipefail", "-c", "\n".join(kept)])

    def c(self, line, text):
        self.c_source = self.folder / "tour.c"
        self.c_source.write_text(text)

    def swift(self, line, text):
        if shutil.which("swiftc") is None or not RELEASE.exists():
            pytest.skip(f"{self.page}:{line}: needs Swift and what scripts/build leaves in .build/dist")
        package = self.folder / "package"
        sources = package / "Sources" / "tour"
        sources.mkdir(parents=True, exist_ok=True)
        if text.startswith("// swift-tools-version"):
            (package / "Package.swift").write_text(text)
            self.command(line, ["swift", "package", "--package-path", str(package), "dump-package"])
            return
        (sources / "main.swift").write_text(text)
        # A package would build the engine again, which takes minutes: scripts/nightly does that.
        # Objects of files that are gone stay in the folder of a build.
        objects = [
            str(path) for part in ("Didact", "CKernels", "CImages", "CPlatform") for path in RELEASE.glob(f"{part}.build/*.o")
            if any((CHECKOUT / "Sources" / part).rglob(path.stem))
        ]  # fmt: skip
        assert objects, f"no object files in {RELEASE}"
        self.command(
            line,
            ["swiftc", "-swift-version", "6", "-I", str(RELEASE / "Modules"), "-I", str(CHECKOUT / "Sources/CZlib")]
            + [word for part in ("CKernels", "CImages", "CPlatform")
               for word in ("-Xcc", f"-fmodule-map-file={RELEASE / f'{part}.build/module.modulemap'}")]
            + [str(sources / "main.swift"), *objects, "-ldnnl", "-lgomp", "-lm", "-lz", "-lpng16", "-lturbojpeg"]
            + ["-o", "swift-program"],
        )
        self.command(line, ["./swift-program"])

    def command(self, line, arguments):
        environment = {**os.environ, "LC_ALL": "C.UTF-8"}
        done = subprocess.run(
            arguments, cwd=self.folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            timeout=300,
        )  # fmt: skip
        assert done.returncode == 0, f"{self.page}:{line}\n{done.stdout}"


METHODS = [f"docs/methods/{path.name}" for path in sorted(CHECKOUT.glob("docs/methods/*.md"))]


@pytest.mark.parametrize("page", ["README.md", "docs/tour.md", "docs/plots.md", "docs/networks.md", "docs/images.md", *METHODS])
def test_every_block_runs(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    reader = Reader(page, tmp_path)
    languages = set()
    for line, language, text in blocks(page):
        assert language in ("python", "sh", "c", "swift"), f"{page}:{line}: a block of {language or 'no language'}"
        reader.run(line, language, text)
        languages.add(language)
    assert reader.c_source is None, f"{page}: nothing compiles the C program"
    assert languages >= ({"python", "sh", "swift"} if page in ("README.md", "docs/tour.md") else {"python"})


def test_every_method_is_in_the_readme_and_has_a_page():
    index, _, state = (CHECKOUT / "README.md").read_text().partition("## State")
    for method in didact.build_info()["methods"]:
        page = f"docs/methods/{method}.md"
        assert f"`{method}`" in state, f"README.md, State: {method} is missing"
        assert f"[{method}]({page})" in index, f"README.md, Documentation: the page of {method} is missing"
        text = (CHECKOUT / page).read_text()
        assert text.startswith(f"# `{method}`\n"), f"{page}: expected the method's name on top"
        assert f"(../parameters.md#{method})" in text, f"{page}: no link to the keys"


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_every_activation_is_documented(activation):
    assert f"`{activation}`" in (CHECKOUT / "docs/networks.md").read_text()
    assert f'``"{activation}"``' in didact.mlp.__doc__


def test_lines_that_run_elsewhere_are_on_a_page():
    lines = [each.partition("#")[0].strip() for _, language, text in blocks("README.md") for each in text.splitlines()]
    for line in ELSEWHERE:
        assert line in lines, f"{line} is on no page any more"
        program = CHECKOUT / line.split()[0]
        assert line.startswith(("pip ", "python3 ")) or os.access(program, os.X_OK), f"{program} cannot be run"


@pytest.mark.skipif("DIDACT_NIGHTLY" not in os.environ, reason="builds the engine again: scripts/nightly")
def test_the_swift_package_of_the_tour(tmp_path):
    (tmp_path / "didact").symlink_to(CHECKOUT)
    package = tmp_path / "tour"
    (package / "Sources" / "tour").mkdir(parents=True)
    manifest, program = (text for _, language, text in blocks("docs/tour.md") if language == "swift")
    (package / "Package.swift").write_text(manifest)
    (package / "Sources" / "tour" / "main.swift").write_text(program)
    done = subprocess.run(
        ["swift", "run", "-c", "release", "-j", "2", "--package-path", str(package)],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    assert float(done.stdout.split("accuracy")[-1]) > 0.8


@pytest.mark.parametrize(
    "page",
    sorted(
        str(path.relative_to(CHECKOUT))
        for path in [*CHECKOUT.glob("*.md"), *CHECKOUT.glob("docs/**/*.md"), CHECKOUT / "bindings/python/README.md"]
    ),
)
def test_links_lead_somewhere(page):
    text = re.sub(r"^```.*?^```$", "", (CHECKOUT / page).read_text(), flags=re.M | re.S)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if not re.match(r"\w+:", target) and not target.startswith("#"):
            path = (CHECKOUT / page).parent / target.partition("#")[0]
            assert path.exists(), f"{page}: {target}"
