"""The header, the library and the ctypes declarations say the same.

Needs gcc, g++, nm, ldd, pkg-config, and clang and swift of a Swift toolchain.
"""

import ctypes
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

import didact
from didact import _ffi
from didact._library import library, library_path

ROOT = Path(__file__).resolve().parents[3]
HEADER = ROOT / "include" / "didact.h"


def run(*command, **options):
    """The standard output of a command; a failure shows all that it printed."""
    done = subprocess.run(
        [str(word) for word in command],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        universal_newlines=True,
        **options,
    )
    assert done.returncode == 0, f"{' '.join(map(str, command))}\n{done.stdout}"
    return done.stdout


def build_and_run(folder, source):
    """What a C program prints that is linked with the library under test."""
    program = folder / "program"
    (folder / "program.c").write_text(source)
    run(
        *("gcc", "-std=c11", "-Wall", "-Wextra", "-Werror", f"-I{HEADER.parent}", folder / "program.c"),
        *(library_path, f"-Wl,-rpath,{Path(library_path).resolve().parent}", "-o", program),
    )
    return run(program)


def header_without_comments():
    return re.sub(r"/\*.*?\*/", "", HEADER.read_text(encoding="utf-8"), flags=re.S)


def header_functions():
    """The names of all functions that the header declares."""
    statements = header_without_comments().split(";")
    names = [re.search(r"\b(didact_\w+)\s*\(", s) for s in statements if "typedef" not in s]
    return sorted(name.group(1) for name in names if name)


def structures():
    found = [value for value in vars(_ffi).values() if isinstance(value, type) and issubclass(value, ctypes.Structure)]
    assert found
    return found


def constants():
    return {name: value for name, value in vars(_ffi).items() if name.startswith("DIDACT_") and isinstance(value, int)}


@pytest.mark.parametrize(
    "compiler",
    [
        "gcc -std=c11 -x c",
        "clang -std=c11 -x c",
        "g++ -std=c++17 -x c++",
        "clang++ -std=c++17 -x c++",
    ],
)
def test_compiles_without_warnings(compiler, tmp_path):
    source = tmp_path / "source"
    # Twice, for the include guard.
    source.write_text("#include <didact.h>\n#include <didact.h>\nint main(void) { return DIDACT_OK; }\n")
    run(
        *compiler.split(),
        *("-Wall", "-Wextra", "-pedantic", "-Werror", "-fsyntax-only", f"-I{HEADER.parent}", source),
    )


def test_every_function_links(tmp_path):
    names = header_functions()
    assert len(names) > 10
    table = ",\n".join(f"  (void (*)(void)){name}" for name in names)
    source = (
        "#include <didact.h>\n#include <stdio.h>\n"
        f"static void (*const functions[])(void) = {{\n{table}\n}};\n"
        "int main(void) {\n"
        "  size_t found = 0;\n"
        "  for (size_t i = 0; i < sizeof functions / sizeof *functions; i++) found += functions[i] != NULL;\n"
        '  printf("%zu\\n", found);\n'
        "  return 0;\n"
        "}\n"
    )
    assert int(build_and_run(tmp_path, source)) == len(names)


def test_exports_only_what_the_header_declares():
    lines = run("nm", "--dynamic", "--defined-only", "--extern-only", library_path).splitlines()
    assert sorted(line.split()[-1] for line in lines) == header_functions()


def test_python_declares_what_the_header_declares():
    assert sorted(_ffi.FUNCTIONS) == header_functions()
    for name, (result, arguments) in _ffi.FUNCTIONS.items():
        function = getattr(library, name)
        assert function.restype is result
        assert list(function.argtypes) == arguments


def test_needs_no_swift_runtime():
    needed = run("ldd", library_path)
    assert "not found" not in needed
    assert not re.search(r"libswift|libFoundation|lib_Foundation|libdispatch|libBlocksRuntime", needed), needed


def test_structures_match_c(tmp_path):
    expressions = []
    expected = []
    for structure in structures():
        name = structure.__name__
        expressions.append(f"sizeof({name})")
        expected.append(ctypes.sizeof(structure))
        for field, _ in structure._fields_:
            expressions += [f"offsetof({name}, {field})", f"sizeof((({name} *)0)->{field})"]
            expected += [getattr(structure, field).offset, getattr(structure, field).size]
    # That no field is missing: each struct of the header has as many as Python's.
    for structure in structures():
        name = structure.__name__
        body = re.search(rf"struct {name} \{{(.*?)\}}", header_without_comments(), re.S)
        assert body and body.group(1).count(";") == len(structure._fields_)
    assert printed_numbers(expressions, tmp_path) == dict(zip(expressions, expected))


def test_constants_match_c(tmp_path):
    expected = constants()
    assert expected["DIDACT_OK"] == 0
    assert printed_numbers(list(expected), tmp_path) == expected


def printed_numbers(expressions, folder):
    """Integer constant expressions as C computes them."""
    lines = "".join(f'  printf("%lld\\n", (long long)({expression}));\n' for expression in expressions)
    printed = build_and_run(
        folder,
        "#include <didact.h>\n#include <stddef.h>\n#include <stdio.h>\n"
        f"int main(void) {{\n{lines}  return 0;\n}}\n",
    )
    return dict(zip(expressions, map(int, printed.split())))


def test_versions_agree():
    version = (ROOT / "VERSION").read_text(encoding="utf-8").strip()
    assert re.search(r'#define DIDACT_VERSION "(.*)"', HEADER.read_text(encoding="utf-8")).group(1) == version
    assert library.didact_version().decode() == version
    assert didact.__version__ == version
    assert library.didact_abi_version() == _ffi.DIDACT_ABI_VERSION


def test_smallest_program_of_the_guide_runs(tmp_path):
    guide = (ROOT / "Sources" / "DidactABI" / "header-guide.txt").read_text(encoding="utf-8")
    assert build_and_run(tmp_path, guide.split("Smallest program:")[1]) == ""


def test_pkg_config_finds_the_checkout(tmp_path):
    prefix = ROOT / "build"
    environment = {**os.environ, "PKG_CONFIG_PATH": str(prefix / "lib" / "pkgconfig")}
    flags = run("pkg-config", "--cflags", "--libs", "didact", env=environment).split()
    folder = run("pkg-config", "--variable=libdir", "didact", env=environment).strip()
    source = tmp_path / "version.c"
    source.write_text(
        "#include <didact.h>\n#include <string.h>\n"
        "int main(void) { return strcmp(didact_version(), DIDACT_VERSION) != 0; }\n"
    )
    run("gcc", "-std=c11", source, *flags, f"-Wl,-rpath,{folder}", "-o", tmp_path / "version")
    run(tmp_path / "version")


def test_c_example(tmp_path):
    environment = {**os.environ, "PKG_CONFIG_PATH": str(ROOT / "build" / "lib" / "pkgconfig")}
    flags = run("pkg-config", "--cflags", "didact", env=environment).split()
    program = tmp_path / "train"
    run(
        *("cc", "-std=c11", "-Wall", "-Wextra", "-pedantic", "-Werror", ROOT / "examples" / "c" / "train.c", *flags),
        *(library_path, f"-Wl,-rpath,{Path(library_path).resolve().parent}", "-o", program),
    )
    assert run(program)
    if shutil.which("valgrind"):
        leaks = ("--leak-check=full", "--show-leak-kinds=definite", "--errors-for-leak-kinds=definite")
        run("valgrind", "--quiet", "--error-exitcode=1", *leaks, program, "3")


def test_documented_parameters_exist():
    documented = re.findall(r"/\*\*((?:(?!\*/).)*)\*/\n([^;/{]*?\bdidact_\w+\([^;]*\));", HEADER.read_text(encoding="utf-8"), re.S)
    assert len(documented) == len(header_functions())
    for comment, declaration in documented:
        words = set(re.findall(r"\w+", declaration.split("(", 1)[1]))
        unknown = [name for name in re.findall(r"@param (\w+)", comment) if name not in words]
        assert not unknown, f"{declaration}: the comment names {unknown}"


def test_generated_files_are_fresh():
    run(ROOT / "scripts" / "generate", "--check")
