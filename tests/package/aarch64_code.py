#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""aarch64_code.py OBJDUMP OBJECT...: the kernels in objects for AArch64 are vector code.

What a machine does not override runs lane by lane, with the right bits, and nothing but this says so. Fails where a hot
function calls the C library, or computes with single numbers in a loop. (The loops that take channels one by one, where
a row has no whole registers of them, widen such numbers.)
"""

import re
import subprocess
import sys

BLOCKS = ["scores_block", "scores_unpacked_block", "outputs_block", "outputs_rows_block", "outputs_listed_block",
          "integer_scores_block", "integer_outputs_block", "quad_scores_block", "quad_outputs_block"]
OF_QUADS = {"integer_scores_block": "quad_scores_block", "integer_outputs_block": "quad_outputs_block"}
HAS_SDOT = r"_ZN4heed\d+v\w*?_(?:dotprod|i8mm(?!_no_dotprod))"  # the name of what an object is compiled for
WEIGHTS = ["weigh_row", "weigh_from_the_right"]
LEAVES_IT = re.compile(r"calls \S*20weigh_from_the_right")  # a row whose keys have an order
BRANCH = r"(?:b(?:\.\w+)?|cbn?z|tbn?z)\s+(?:.*,\s*)?([0-9a-f]+) <"
ON_ONE_NUMBER = r"(?:f(?!mov|cvt\s)\w+|[su]cvtf)\s+[hsd]\d+"
WIDENS = r"[su]cvtf|fmul"  # the latter a subnormal f16
ON_A_VECTOR = r"f(?!mov)\w+\s+v"
PRODUCT = r"(?:fmla|smlal|sdot|bfdot)\s+v"


def functions(objdump, path):
    """Instructions of each function as (address, text); a call's text names what is called."""
    text = subprocess.run([objdump, "-dr", "--no-show-raw-insn", path], check=True, capture_output=True, text=True).stdout
    found, code = {}, []
    for line in text.splitlines():
        if start := re.match(r"[0-9a-f]+ <(.*)>:", line):
            code = found.setdefault(start[1], [])
        elif relocation := re.match(r"\s+[0-9a-f]+: R_AARCH64_(?:CALL|JUMP)26\s+(\S+)", line):
            code[-1] = (code[-1][0], f"calls {relocation[1]}")
        elif instruction := re.match(r"\s*([0-9a-f]+):\s+(.*)", line):
            code.append((int(instruction[1], 16), instruction[2].split("//")[0]))
    return found


def branches(code):
    """Where each branch inside the function stands and goes to."""
    jumps = ((address, re.match(BRANCH, text)) for address, text in code)
    return [(address, int(m[1], 16)) for address, m in jumps if m and code[0][0] <= int(m[1], 16) <= code[-1][0]]


def straight(code):
    """Runs of instructions that no branch enters or leaves."""
    targets, run = {to for _, to in branches(code)}, []
    for address, text in code:
        if address in targets:
            yield run
            run = []
        run.append((address, text))
        if re.match(r"(b|b\.\w+|cbn?z|tbn?z|ret|br)\s", text):
            yield run
            run = []
    yield run


def complaints(name, code):
    foreign = {m[1] for _, text in code if (m := re.match(r"calls ((?!_ZN?K?4heed)\S+)", text))} - {"memcpy", "memset"}
    for called in sorted(foreign):
        yield f"calls {called}"

    def matching(pattern, instructions):
        return [text.expandtabs(1).strip() for _, text in instructions if re.match(pattern, text)]

    if any(f"{len(w)}{w}" in name for w in WEIGHTS):
        # first and last steps, of one number a row, stand beside the loops
        vector = [run for run in straight(code) if matching(ON_A_VECTOR, run)]
        if not vector and not any(LEAVES_IT.match(text) for _, text in code):
            yield "computes with no vector"
        scalar = [text for run in vector for text in matching(ON_ONE_NUMBER, run)]
        if len(scalar) > 2 * len(vector):  # gcc adds up two constants anew for every sixteen scores
            yield f"computes with single numbers beside vectors: {scalar[0]} and {len(scalar) - 1} more"
    else:
        if not matching(PRODUCT, code):
            yield "multiplies no vector"
        around = [(to, at) for at, to in branches(code) if to <= at]
        of_loops = [(at, text) for at, text in code if any(first <= at <= last for first, last in around)]
        scalar = matching(ON_ONE_NUMBER, of_loops)
        if "scores_unpacked_block" in name and all(re.match(WIDENS, text) for text in scalar) and len(scalar) <= 4:
            scalar = []  # a channel that is taken alone, of two registers of keys
        if scalar:
            yield f"computes with single numbers in a loop: {scalar[0]} and {len(scalar) - 1} more"


def main():
    objdump, *objects = sys.argv[1:]
    seen, wrong = {}, []
    for path in objects:
        for symbol, code in functions(objdump, path).items():
            kind = next((k for k in [*BLOCKS, *WEIGHTS] if f"{len(k)}{k}" in symbol), None)
            if kind is None or ".cold" in symbol:
                continue
            seen[kind] = seen.get(kind, 0) + 1
            if kind in OF_QUADS and re.match(HAS_SDOT, symbol):
                wrong.append(f"{symbol}: multiplies pairs where SDOT multiplies quads")
            wrong += [f"{symbol}: {what}" for what in complaints(symbol, code)]
    for kind in [*BLOCKS, *WEIGHTS]:
        others = OF_QUADS.get(kind) or next((k for k, q in OF_QUADS.items() if q == kind), None)
        if kind not in seen and others not in seen:
            wrong.append(f"no object has {kind}")
    if wrong:
        names = "\n".join(wrong)
        sys.exit(subprocess.run(["c++filt"], input=names, capture_output=True, text=True).stdout or names)
    print(f"{sum(seen.values())} hot functions are vector code: " + ", ".join(f"{n} {k}" for k, n in seen.items()))


main()
