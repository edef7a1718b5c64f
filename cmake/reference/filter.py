#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What doxygen reads of a header: `filter.py FILE` prints it.

The comment at the head of a file becomes the page of the file. A member that the contract of its room asks for, and that
has no comment of its own, refers to that contract, which says once what such members do. Lines keep their numbers."""
import pathlib
import re
import sys

COMMON = {"check"}
CONTRACTS = {
    "normalizer": ("normalizer/contract.hpp", COMMON | {
        "shift", "terms", "slopes", "log_offset", "threshold", "order", "offset", "reach", "degree", "rank", "share"}),
    "mask": ("mask/contract.hpp", COMMON | {"attends", "classify", "mark", "list", "rows_of_list"}),
    "score": ("score/contract.hpp", COMMON | {"map", "slope", "parameter", "parameter_slope", "changes"}),
    "kv": ("kv/contract.hpp", COMMON | {
        "key_element", "value_element", "contiguous", "batch", "heads", "key_dim", "value_dim", "held", "tokens", "ragged",
        "keys", "values", "check_rows", "views", "heads_side_by_side", "heads_of_a_page", "key_scales", "value_scales",
        "key_channel_scales", "key_blocks", "aligned_blocks", "room", "rows_in", "gone", "check_sequence",
        "check_exclusive", "check_last_exclusive", "as_const"}),
    "executor": ("executor/contract.hpp", {"concurrency", "operator()"}),
    "element": ("base/element/contract.hpp", set()),
}
# The name that a line declares, if it is one that begins a declaration at class scope.
DECLARED = re.compile(r"^    (?!///|//|return|if|for|else|case|using namespace)[\w:<>,&*\s\[\]().]*?"
                      r"\b(?:using )?(operator\(\)|\w+)\s*(?:\(|=|;|\{|$)")


def room_of(path):
    parts = path.parts
    return "element" if "element" in parts else parts[-2] if len(parts) > 1 else ""


def head_as_page(lines, path):
    """The // lines before #pragma once, as the documentation of the file."""
    end = next((i for i, line in enumerate(lines) if not line.startswith("//")), 0)
    for i in range(end):
        text = lines[i][2:]
        lines[i] = f"/// \\file {path.name}" if i == 0 and "SPDX" in text else "///" + text
    return lines


def refer_to_contract(lines, contract, names):
    for i, line in enumerate(lines):
        found = DECLARED.match(line)
        if not found or found.group(1) not in names or "///<" in line:
            continue
        above = i - 1
        while above >= 0 and lines[above].lstrip().startswith("template"):
            above -= 1
        if above < 0 or lines[above].lstrip().startswith("///"):
            continue
        first = above + 1
        indent = len(lines[first]) - len(lines[first].lstrip())
        lines[first] = f"{lines[first][:indent]}/** As {contract} says. */ {lines[first][indent:]}"
    return lines


def main():
    path = pathlib.Path(sys.argv[1])
    lines = head_as_page(path.read_text().split("\n"), path)
    contract, names = CONTRACTS.get(room_of(path), ("", set()))
    print("\n".join(refer_to_contract(lines, contract, names)), end="")


if __name__ == "__main__":
    main()
