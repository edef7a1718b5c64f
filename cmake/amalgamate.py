#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Writes heed as one header.

    cmake/amalgamate.py -o heed.hpp                                 what heed/heed.hpp includes
    cmake/amalgamate.py -o heed.hpp heed.hpp observe.hpp testing.hpp executor/threads.hpp    and these, of include/heed

The result needs the standard library and xsimd. Its text depends on include/ alone. Headers with #pragma once appear
once; one that is reached under different #if branches appears in each of them, behind a guard of its own, so that every
instruction set sees what it sees in include/.
"""

import argparse
import collections
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parents[1]
HEADERS = ROOT / "include" / "heed"
DIRECTIVE = re.compile(r"\s*#\s*(if|ifdef|ifndef|elif|else|endif|include|pragma)\b\s*(.*)")


def fail(text):
    sys.exit(f"amalgamate: {text}")


class Writer:
    """Follows includes from some headers on and collects lines."""

    def __init__(self, guarded):
        self.guarded = guarded  # headers that need a guard, since they appear more than once
        self.lines = []
        self.times = collections.Counter()
        self.seen = [set()]  # what is certainly included here: a set for each #if that is open

    def is_seen(self, name):
        return any(name in names for names in self.seen)

    def add(self, path):
        name = path.relative_to(HEADERS.parent).as_posix()
        lines = path.read_text(encoding="utf-8").rstrip("\n").split("\n")
        if any(re.match(r"\s*#\s*pragma\s+once\b", line) for line in lines):
            if self.is_seen(name):
                return
            self.seen[-1].add(name)
            self.times[name] += 1
        guard = "HEED_SINGLE_" + re.sub(r"\W", "_", name).upper() if name in self.guarded else None
        self.lines.append(f"\n// ---- {name}")
        if guard:
            self.lines += [f"#ifndef {guard}", f"#define {guard}"]
        open_before = len(self.seen)
        for number, line in enumerate(lines, 1):
            self.add_line(line, path, f"{name}:{number}")
        if len(self.seen) != open_before:
            fail(f"{name}: #if without #endif")
        if guard:
            self.lines.append("#endif")

    def add_line(self, line, path, place):
        directive = DIRECTIVE.match(line)
        word, rest = directive.groups() if directive else ("", "")
        if word in ("if", "ifdef", "ifndef"):
            self.seen.append(set())
        elif word in ("elif", "else"):
            self.seen[-1] = set()
        elif word == "endif":
            if len(self.seen) == 1:
                fail(f"{place}: #endif without #if")
            self.seen.pop()
        elif word == "pragma" and rest.startswith("once"):
            return
        elif word == "include":
            self.add_include(line, rest, path, place)
            return
        if not line.startswith("// SPDX-License-Identifier:"):
            self.lines.append(line)

    def add_include(self, line, target, path, place):
        match = re.match(r'(["<])([^">]+)[">]', target)
        if target == "HEED_OWN_SIZES":  # a header of the user's
            self.lines.append(line)
            return
        if not match:
            fail(f"{place}: cannot follow an #include of a macro")
        mark, name = match.groups()
        if mark == '"':
            self.add((path.parent / name).resolve())
        elif name.startswith("heed/"):
            self.add((HEADERS.parent / name).resolve())
        elif not self.is_seen(name):  # of the system
            self.seen[-1].add(name)
            self.lines.append(line)


def write(headers, guarded=frozenset()):
    writer = Writer(guarded)
    for header in headers:
        if not (HEADERS / header).is_file():
            fail(f"include/heed/{header}: no such header")
        writer.add((HEADERS / header).resolve())
    return writer


def version():
    text = (HEADERS / "base" / "version.hpp").read_text(encoding="utf-8")
    return re.search(r'#define HEED_VERSION_STRING "([^"]+)"', text).group(1)


def main():
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("headers", nargs="*", default=["heed.hpp"], metavar="HEADER", help="of include/heed; default: heed.hpp")
    options.add_argument("-o", dest="to", type=pathlib.Path, required=True, metavar="FILE")
    chosen = options.parse_args()

    times = write(chosen.headers).times
    repeated = {name for name, count in times.items() if count > 1}
    body = write(chosen.headers, repeated).lines
    licence = (ROOT / "LICENSE").read_text(encoding="utf-8").rstrip("\n").split("\n")
    head = [
        "// SPDX-License-Identifier: MIT",
        f"// heed {version()} in one header: {', '.join(chosen.headers)} and what they include. It needs xsimd 8.1 or newer.",
        "// Made by cmake/amalgamate.py: change the headers in include/heed, not this file.",
        "//",
        *("// " + line if line else "//" for line in licence),
        "#ifndef HEED_SINGLE_HEADER",
        "#define HEED_SINGLE_HEADER",
    ]
    chosen.to.write_text("\n".join([*head, *body, "", "#endif", ""]), encoding="utf-8", newline="\n")


if __name__ == "__main__":
    main()
