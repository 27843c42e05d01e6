#!/usr/bin/env python3
"""Writes include/didact.h, bindings/python/src/didact/_ffi.py and docs/c-api.md from the symbol graph of
DidactABI, and docs/parameters.md from what the library says of its configuration, so that Swift, C, Python and
the pages cannot drift apart.

Usage: generate_bindings.py SYMBOL_GRAPH LIBRARY [--check]

--check writes nothing and exits with 1 where a file is stale. An unknown type is an error, never a guess.
"""

import ctypes
import difflib
import json
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SOURCES = ROOT / "Sources" / "DidactABI"
STRUCTS = ROOT / "Sources" / "CDidact" / "include" / "CDidact.h"

# Swift type: (C type, ctypes expression)
SCALARS = {
    "Int32": ("int32_t", "ctypes.c_int32"),
    "Int64": ("int64_t", "ctypes.c_int64"),
    "UInt64": ("uint64_t", "ctypes.c_uint64"),
    "Double": ("double", "ctypes.c_double"),
    "Float": ("float", "ctypes.c_float"),
    "didact_status": ("didact_status", "didact_status"),
    "UnsafePointer<CChar>": ("const char *", "ctypes.c_char_p"),
    "UnsafeMutablePointer<CChar>": ("char *", "ctypes.c_char_p"),
    "UnsafeMutablePointer<UnsafePointer<CChar>?>": ("const char **", "ctypes.POINTER(ctypes.c_char_p)"),
    "UnsafePointer<UnsafePointer<CChar>?>": ("const char *const *", "ctypes.POINTER(ctypes.c_char_p)"),
    "UnsafePointer<Int64>": ("const int64_t *", "ctypes.POINTER(ctypes.c_int64)"),
    "UnsafeMutablePointer<Int32>": ("int32_t *", "ctypes.POINTER(ctypes.c_int32)"),
    "UnsafeMutablePointer<UInt64>": ("uint64_t *", "ctypes.POINTER(ctypes.c_uint64)"),
    "UnsafeMutablePointer<Int64>": ("int64_t *", "ctypes.POINTER(ctypes.c_int64)"),
    "UnsafeMutablePointer<Double>": ("double *", "ctypes.POINTER(ctypes.c_double)"),
    "UnsafeMutableRawPointer": ("void *", "ctypes.c_void_p"),
    "UnsafeRawPointer": ("const void *", "ctypes.c_void_p"),
}
CTYPES_OF_FIELDS = {
    "void *": "ctypes.c_void_p",
    "int32_t": "ctypes.c_int32",
    "int64_t": "ctypes.c_int64",
    "double": "ctypes.c_double",
    "const int64_t *": "ctypes.POINTER(ctypes.c_int64)",
}


def fail(message):
    sys.exit(f"generate_bindings: {message}")


class Interface:
    """What the symbol graph and the sources say."""

    def __init__(self, graph_path):
        symbols = json.loads(Path(graph_path).read_text())["symbols"]
        kept = [s for s in symbols if s["names"]["title"].startswith("didact_") or "case" in s["kind"]["identifier"]]
        self.lines = {path.name: path.read_text().splitlines() for path in SOURCES.glob("*.swift")}
        self.structs = self.read_structs()
        self.handles, self.callbacks, self.enums, self.functions = {}, [], {}, []
        ordered = sorted((s for s in kept if "location" in s), key=self.place)
        for symbol in ordered:
            kind, title = symbol["kind"]["identifier"], symbol["names"]["title"]
            if kind == "swift.typealias":
                self.add_typealias(title, symbol)
            elif kind == "swift.enum":
                self.enums[title] = {"comment": comment(symbol), "cases": []}
            elif kind == "swift.enum.case":
                self.add_case(symbol)
        for symbol in ordered:
            if symbol["kind"]["identifier"] == "swift.func":
                self.add_function(symbol)

    @staticmethod
    def place(symbol):
        path, line = symbol["location"]["uri"], symbol["location"]["position"]["line"]
        # Constants and the library first, then the files by name.
        name = path.rsplit("/", 1)[-1]
        order = ("Constants", "Library", "NetworkABI", "PredictorABI", "OptimizerABI", "TrainerABI",
                 "TrainingABI", "TrainerResultsABI")
        rank = {f"{file}.swift": index for index, file in enumerate(order)}
        return rank.get(name, len(order)), name, line

    def add_typealias(self, title, symbol):
        declaration = "".join(f["spelling"] for f in symbol["declarationFragments"])
        target = declaration.split("=", 1)[1].strip()
        if target == "OpaquePointer":
            self.handles[title] = comment(symbol)
        elif "->" in target:
            match = re.fullmatch(r"(?:@convention\(c\) )?\((.*)\) -> (\w+)", target)
            if "@convention(c)" not in "\n".join(self.lines["Constants.swift"]).split(f"typealias {title}")[1].split("->")[0]:
                fail(f"{title}: a callback needs @convention(c)")
            arguments = [a.strip() for a in match.group(1).split(",")]
            self.callbacks.append((title, [a.rstrip("?") for a in arguments], match.group(2), comment(symbol)))
        elif title != "didact_status":
            fail(f"typealias {title} = {target}: expected OpaquePointer or @convention(c)")

    def add_case(self, symbol):
        enum, name = symbol["pathComponents"]
        file = symbol["location"]["uri"].rsplit("/", 1)[-1]
        line = self.lines[file][symbol["location"]["position"]["line"]]
        match = re.search(rf"case {name} = (-?\d+)", line)
        if not match:
            fail(f"{file}: expected 'case {name} = NUMBER', got: {line.strip()}")
        self.enums[enum]["cases"].append((name, int(match.group(1)), comment(symbol)))

    def add_function(self, symbol):
        title = symbol["names"]["title"].split("(")[0]
        file = symbol["location"]["uri"].rsplit("/", 1)[-1]
        declaration = "".join(f["spelling"] for f in symbol["declarationFragments"])
        if f'@_cdecl("{title}")' not in declaration:
            fail(f"{title} is public without @_cdecl")
        signature = symbol["functionSignature"]
        parameters = []
        for parameter in signature.get("parameters", []):
            name = parameter.get("internalName") or parameter["name"]
            spelled = "".join(f["spelling"] for f in parameter["declarationFragments"])
            parameters.append((name, self.type_of(spelled.split(":", 1)[1].strip(), title)))
        returns = "".join(f["spelling"] for f in signature["returns"])
        result = ("void", "None") if returns in ("()", "Void") else self.type_of(returns, title)
        group = next((l.split("MARK:")[1].strip() for l in self.lines[file] if "MARK:" in l), file)
        self.functions.append((group, title, parameters, result, comment(symbol)))

    def type_of(self, spelled, function):
        """C and ctypes types of a Swift type."""
        bare = spelled.rstrip("?")
        if bare in SCALARS:
            return SCALARS[bare]
        if bare in self.handles:
            return f"{bare} *", "ctypes.c_void_p"
        match = re.fullmatch(r"UnsafeMutablePointer<(\w+)\?>", bare)
        if match and match.group(1) in self.handles:
            return f"{match.group(1)} **", "ctypes.POINTER(ctypes.c_void_p)"
        match = re.fullmatch(r"Unsafe(Mutable)?Pointer<(\w+)>", bare)
        if match and match.group(2) in self.structs:
            const = "" if match.group(1) else "const "
            return f"{const}{match.group(2)} *", f"ctypes.POINTER({match.group(2)})"
        if bare in [name for name, *_ in self.callbacks]:
            return bare, bare
        fail(f"{function}: no C type for {spelled}")

    @staticmethod
    def read_structs():
        """The plain structs, by name: [(C type, field)]."""
        text = STRUCTS.read_text()
        structs = {}
        for body, name in re.findall(r"typedef struct \w+ \{(.*?)\} (\w+);", text, re.S):
            fields = re.findall(r"^\s*((?:const )?\w+ ?\*?)(\w+);", re.sub(r"/\*.*?\*/", "", body, flags=re.S), re.M)
            structs[name] = [(c_type.strip(), field) for c_type, field in fields]
            for c_type, field in structs[name]:
                if c_type not in CTYPES_OF_FIELDS:
                    fail(f"{name}.{field}: no ctypes type for {c_type}")
        return structs


def comment(symbol):
    """The doc comment: (text lines, [(parameter, text)], returns)."""
    lines = [line["text"] for line in symbol.get("docComment", {}).get("lines", [])]
    text, parameters, returns, target = [], [], None, "text"
    for line in lines:
        stripped = line.strip()
        if stripped == "- Parameters:":
            target = "parameters"
        elif re.match(r"- Parameter \w+:", stripped):
            name, words = stripped[len("- Parameter "):].split(":", 1)
            parameters.append((name, words.strip()))
            target = "parameters"
        elif stripped.startswith("- Returns:"):
            returns, target = stripped[len("- Returns:"):].strip(), "returns"
        elif target == "parameters" and re.match(r"- \w+:", stripped):
            name, words = stripped[2:].split(":", 1)
            parameters.append((name, words.strip()))
        elif target == "parameters" and parameters and stripped:
            parameters[-1] = (parameters[-1][0], f"{parameters[-1][1]} {stripped}")
        elif target == "returns" and stripped:
            returns += " " + stripped
        elif target == "text":
            text.append(line)
    while text and not text[-1].strip():
        text.pop()
    return text, parameters, returns


def c_comment(comment, indent=""):
    text, parameters, returns = comment
    if not (text or parameters or returns):
        return ""
    lines = list(text)
    if parameters or returns:
        lines.append("")
    lines += [f"@param {name} {words}" for name, words in parameters]
    if returns:
        lines.append(f"@return {returns}")
    if len(lines) == 1:
        return f"{indent}/** {lines[0]} */\n"
    body = "\n".join(f"{indent} * {line}".rstrip() for line in lines).replace("*/", "* /")
    return f"{indent}/**\n{body}\n{indent} */\n"


def c_declaration(name, parameters, result):
    def joined(c_type, word):
        return f"{c_type}{word}" if c_type.endswith("*") else f"{c_type} {word}"

    arguments = ", ".join(joined(c_type, word) for word, (c_type, _) in parameters) or "void"
    return f"{joined(result[0], name)}({arguments});"


def header(interface, version):
    guide = (SOURCES / "header-guide.txt").read_text().rstrip().splitlines()
    structs = re.search(r"/\* begin didact.h \*/\n(.*?)/\* end didact.h \*/", STRUCTS.read_text(), re.S).group(1)
    out = ["/*"] + [f" * {line}".rstrip() for line in guide] + [" *", " * Generated by scripts/generate; do not edit.", " */"]
    out += ["#ifndef DIDACT_H", "#define DIDACT_H", "", "#include <stdint.h>", "", f'#define DIDACT_VERSION "{version}"', ""]
    out += ["#ifdef __cplusplus", 'extern "C" {', "#endif", ""]
    for name, enum in interface.enums.items():
        out.append(c_comment(enum["comment"]) + f"enum {name} {{")
        for index, (case, value, words) in enumerate(enum["cases"]):
            comma = "," if index + 1 < len(enum["cases"]) else ""
            out.append(f"{c_comment(words, '  ')}  {case} = {value}{comma}")
        out += ["};", ""]
    out += ["/**", " * What a call returns: `DIDACT_OK` or the reason why not. The numbers never change.", " */"]
    out += ["typedef int32_t didact_status;", ""]
    for name, words in interface.handles.items():
        out += [c_comment(words) + f"typedef struct {name} {name};", ""]
    out.append(structs.strip() + "\n")
    for name, arguments, result, words in interface.callbacks:
        types = ", ".join(interface.type_of(a, name)[0].strip() for a in arguments)
        out += [c_comment(words) + f"typedef {interface.type_of(result, name)[0]} (*{name})({types});", ""]
    group = None
    for function_group, name, parameters, result, words in interface.functions:
        if function_group != group:
            group = function_group
            out += [f"/* {group} */", ""]
        out += [c_comment(words) + c_declaration(name, parameters, result), ""]
    out += ["#ifdef __cplusplus", "}", "#endif", "", "#endif", ""]
    return "\n".join(out)


def ffi(interface):
    out = ['"""The C interface for ctypes. Generated by scripts/generate; do not edit."""', "", "import ctypes", ""]
    for enum in interface.enums.values():
        out += [f"{case} = {value}" for case, value, _ in enum["cases"]] + [""]
    out += ["didact_status = ctypes.c_int32", ""]
    for name, fields in interface.structs.items():
        out += ["", f"class {name}(ctypes.Structure):", "    _fields_ = ["]
        out += [f'        ("{field}", {CTYPES_OF_FIELDS[c_type]}),' for c_type, field in fields]
        out += ["    ]", ""]
    for name, arguments, result, _ in interface.callbacks:
        types = ", ".join(interface.type_of(a, name)[1] for a in [result] + arguments)
        out += ["", f"{name} = ctypes.CFUNCTYPE({types})", ""]
    out += ["", "FUNCTIONS = {"]
    for _, name, parameters, result, _ in interface.functions:
        arguments = ", ".join(ctype for _, (_, ctype) in parameters)
        out.append(f'    "{name}": ({result[1]}, [{arguments}]),')
    out += ["}", "", "", "def declare(library):", '    """Sets argtypes and restype of every function."""']
    out += ["    for name, (result, arguments) in FUNCTIONS.items():", "        function = getattr(library, name)"]
    out += ["        function.restype = result", "        function.argtypes = arguments", ""]
    return "\n".join(out)


def reference(interface):
    out = ["# C interface", "", "Generated by `scripts/generate` from the doc comments; the header is `include/didact.h`.", ""]
    for name, enum in interface.enums.items():
        out += [f"## `{name}`", "", *enum["comment"][0], "", "| constant | value | meaning |", "| --- | --- | --- |"]
        out += [f"| `{case}` | {value} | {' '.join(words[0])} |" for case, value, words in enum["cases"]] + [""]
    out += ["## Handles", "", "| handle | what it is |", "| --- | --- |"]
    out += [f"| `{name}` | {' '.join(words[0])} |" for name, words in interface.handles.items()] + [""]
    group = None
    for function_group, name, parameters, result, (text, documented, returns) in interface.functions:
        if function_group != group:
            group = function_group
            out += [f"## {group}", ""]
        out += [f"### `{name}`", "", "```c", c_declaration(name, parameters, result), "```", "", *text, ""]
        out += [f"- `{word}`: {words}" for word, words in documented]
        out += [f"- Returns {returns}"] if returns else []
        out += [""] if documented or returns else []
    return "\n".join(out)


def read_tables(path):
    """What the library lists: the configuration keys of every method, {method: [{key, accepts, ...}]}, and the policies
    and operations of augmentation."""
    library = ctypes.CDLL(path)
    library.didact_build_info.restype = library.didact_last_error_message.restype = ctypes.c_char_p

    def read(function, *arguments):
        buffer, length = ctypes.create_string_buffer(1 << 20), ctypes.c_int64()
        if function(buffer, ctypes.c_int64(len(buffer)), ctypes.byref(length), *arguments):
            fail(library.didact_last_error_message().decode())
        return json.loads(buffer.value)

    methods = json.loads(library.didact_build_info())["methods"]
    fields = {method: read(library.didact_configuration_fields, method.encode()) for method in methods}
    return fields, read(library.didact_augmentations)


def augmentation_tables(augmentations):
    """The sections of policies and operations."""
    out = ["## Policies of augmentation", "", "Values of `weak_augmentation` and `strong_augmentation`; "
           "[augmentation.md](augmentation.md) shows them.", "", "| policy | what it does | source |", "| --- | --- | --- |"]
    out += [f"| {code(p['name'])} | {p['meaning']} | {p['source']} |" for p in augmentations["policies"]] + [""]
    out += ["## Operations of augmentation", "", "Of a policy of one's own: `{\"operation\": \"rotate\", \"degrees\": 10}`.", ""]
    for operation in augmentations["operations"]:
        out += [f"### `{operation['name']}`", "", *table(operation["fields"])]
    return out


def parameters(fields, augmentations):
    """The page of configuration keys: what all or most methods have is there once, optimisers too."""
    users, optimizers = {}, {}
    for method, listed in fields.items():
        for field in listed:
            if "_optimizer." not in field["key"]:
                users.setdefault(json.dumps(field), []).append(method)
        for role in ("student_optimizer.", "teacher_optimizer.", "corrector_optimizer."):
            rows = [{**f, "key": f["key"][len(role):]} for f in listed if f["key"].startswith(role)]
            if rows:
                optimizers.setdefault(json.dumps(rows), {}).setdefault(role, []).append(method)
    in_all, in_most, own = [], [], {method: [] for method in fields}
    for text, methods in users.items():
        field, others = json.loads(text), [method for method in fields if method not in methods]
        if not others:
            in_all.append(field)
        elif len(methods) > len(others) + 1:
            in_most.append({**field, "others": ", ".join(map(code, others))})
        else:
            for method in methods:
                own[method].append(field)

    out = [
        "# Configuration keys",
        "",
        "Generated by `scripts/generate` from the table that JSON, Python's keyword arguments, `--set key=value` and",
        "error messages read; `didact info --method M` and `didact.configuration_fields(M)` list it too. Nested keys",
        "have dots here and on the command line, and are dicts in Python and JSON:",
        '`student_optimizer={"learning_rate": 0.1}`. Keys whose meaning begins with *fit* do nothing in step-level calls.',
        "",
    ]
    out += ["## All methods", "", *table(in_all)]
    if in_most:
        out += ["## Most methods", "", *table(in_most)]
    for method, rows in own.items():
        # Of those that have one.
        page = f"methods/{method}.md"
        link = [f"Its page: [{page}]({page}).", ""] if (ROOT / "docs" / page).exists() else []
        out += [f"## `{method}`", "", *link, *(table(rows) if rows else ["No keys but those above.", ""])]
    shown = None
    for text, roles in optimizers.items():
        rows = json.loads(text)
        where = [f"{code(role + '*')} in {', '.join(map(code, methods))}" for role, methods in roles.items()]
        if shown is None:
            shown = rows
            out += [f"## {' and '.join(code(role + '*') for role in roles)}", "", "; ".join(where) + ".", ""]
            out += table(rows)
        else:
            other = [
                f"{code(row['key'])} {code(json.dumps(row['default']))}"
                for row, usual in zip(rows, shown, strict=True)
                if row["default"] != usual["default"]
            ]
            out += [f"{'; '.join(where)}: the same keys, with the defaults {', '.join(other)}.", ""]
    out += augmentation_tables(augmentations)
    return "\n".join(out).rstrip() + "\n"


def code(name):
    return f"`{name}`"


def table(fields):
    columns = ["key", "default", "accepts", "meaning"]
    if "others" in fields[0]:
        columns.append("not, or otherwise, in")
    out = [f"| {' | '.join(columns)} |", "| " + " | ".join("---" for _ in columns) + " |"]
    for field in fields:
        default = field["default"] if field["default"] == "required" else code(json.dumps(field["default"]))
        meaning = re.sub(r"^fit: ", "*fit*: ", field["meaning"]).replace("<", "\\<")
        if field["source"]:
            meaning += f" ({field['source']})"
        cells = [code(field["key"]), default, field["accepts"], meaning]
        if "others" in field:
            cells.append(field["others"])
        out.append(f"| {' | '.join(cells)} |")
    return out + [""]


def main():
    arguments = [a for a in sys.argv[1:] if a != "--check"]
    if len(arguments) != 2:
        fail("usage: generate_bindings.py SYMBOL_GRAPH LIBRARY [--check]")
    interface = Interface(arguments[0])
    version = (ROOT / "VERSION").read_text().strip()
    files = {
        "include/didact.h": header(interface, version),
        "bindings/python/src/didact/_ffi.py": ffi(interface),
        "bindings/python/src/didact/_version.py": f'"""Generated from VERSION by scripts/generate."""\n\n__version__ = "{version}"\n',
        "Sources/Didact/Version.swift": f'/// The version of the library. Generated from VERSION by scripts/generate.\npublic let didactVersion = "{version}"\n/// The same, at an address that needs no lock.\npackage let didactVersionText: StaticString = "{version}"\n',
        "docs/c-api.md": reference(interface),
        "docs/parameters.md": parameters(*read_tables(arguments[1])),
    }
    stale = False
    for name, text in files.items():
        path = ROOT / name
        old = path.read_text() if path.exists() else ""
        if old == text:
            continue
        if "--check" in sys.argv:
            stale = True
            sys.stdout.writelines(difflib.unified_diff(old.splitlines(True), text.splitlines(True), name, f"{name} (fresh)"))
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
            print(f"wrote {name}")
    if stale:
        fail("stale; run scripts/generate")


main()
