#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""shared_symbols.py [--tools=PREFIX] ARCH=OBJECT...: objects of one program, for older CPUs first.

The linker keeps one of the weak functions that several objects have under one name, whichever it meets first. Fails
with those that two objects share and whose newer body holds an instruction that the older object's CPU lacks, functions
of std included. PREFIX is that of the nm and objdump that read them, aarch64-linux-gnu- say.
"""

import re
import subprocess
import sys

V2 = r"p(h|m(add|ul)hrsw|sign|shufb|alignr|abs|blend|extr[bdq]|insr[bdq]|max[su][bdw]|min[su][bdw]|mov[sz]x|mulld|muldq|" \
     r"cmpgtq|cmpeqq|test|acku|cmp[ei]str)|popcnt|round[ps][sd]|dp(ps|pd)|blendv?p|(add|h(add|sub))(sub)?p[sd]$|" \
     r"mov(ddup|s[hl]dup|ntdqa)|lddqu|insertps|extractps|crc32|lahf|sahf|cmpxchg16b"
V3 = r"v(?!er[rw])|andn[lq]?$|bextr|bls|bzhi|mulx|pdep|pext|rorx|sarx|shlx|shrx|lzcnt|tzcnt|movbe"
V4 = r"%zmm|%[xy]mm(1[6-9]|2[0-9]|3[01])|%k[0-7]"
# What armv8-a lacks: atomics, sums of products, arithmetic in halves (which it only converts), SVE.
ARM_ATOMICS = r"(cas|casp|swp|(ld|st)(add|clr|eor|set|[su](max|min)))(a|al|l)?[bh]?$"
ARM_V82 = r"[su]dot$|sqrdml[as]h|bfc?dot|bfmmla|[su]+mmla|ldap(r|ur)"
ARM_HALVES = r"f(?!cvt|mov)\w+\s.*\b(h[0-9]+|v[0-9]+\.[48]h)\b"
ARM_V9 = r"\b[zp][0-9]+[./]"


def level(instruction):
    mnemonic = instruction.split()[0] if instruction else ""
    if re.search(V4, instruction):
        return 4
    if re.match(V3, mnemonic):
        return 3
    return 2 if re.match(V2, mnemonic) else 1


def arm_level(instruction):
    mnemonic = instruction.split()[0] if instruction else ""
    if re.search(ARM_V9, instruction):
        return 3
    newer = re.match(ARM_ATOMICS, mnemonic) or re.match(ARM_V82, mnemonic) or re.match(ARM_HALVES, instruction)
    return 2 if newer else 1


LEVELS = {"x86-64": 1, "x86-64-v2": 2, "x86-64-v3": 3, "x86-64-v4": 4, "armv8-a": 1, "armv8.2-a": 2, "armv9-a": 3}


def weak_symbols(path):
    text = subprocess.run([tools + "nm", "--defined-only", path], check=True, capture_output=True, text=True).stdout
    return {line.split()[2] for line in text.splitlines() if re.match(r"[0-9a-f]+ [VWuvw] ", line)}


def bodies(path):
    """The instructions of each function."""
    text = subprocess.run([tools + "objdump", "-d", "--no-show-raw-insn", path], check=True, capture_output=True, text=True).stdout
    found, current = {}, []
    for line in text.splitlines():
        if start := re.match(r"[0-9a-f]+ <(.*)>:", line):
            current = found.setdefault(start[1], [])
        elif instruction := re.match(r"\s*[0-9a-f]+:\s+(.*)", line):
            current.append(instruction[1])
    return found


def main():
    global tools
    tools = ""
    arguments = sys.argv[1:]
    if arguments and arguments[0].startswith("--tools="):
        tools = arguments.pop(0).split("=", 1)[1]
    objects = [argument.split("=", 1) for argument in arguments]
    levels = {arch: LEVELS[arch.split("+")[0]] for arch, _ in objects}
    of = arm_level if objects[0][0].startswith("arm") else level
    symbols = {arch: weak_symbols(path) for arch, path in objects}
    code = {arch: bodies(path) for arch, path in objects}
    for arch, _ in objects:  # the reader of instructions reads them
        seen = max(of(i) for body in code[arch].values() for i in body)
        if arch.startswith("x86") and levels[arch] > 2 and seen != levels[arch]:
            sys.exit(f"{arch}: not one instruction of its own is seen")
    shared, wrong = 0, []
    for n, (older, _) in enumerate(objects):
        for newer, _ in objects[n + 1:]:
            for symbol in sorted(symbols[older] & symbols[newer]):
                shared += 1
                foreign = [i for i in code[newer].get(symbol, []) if of(i) > levels[older]]
                if foreign:
                    wrong.append(f"{symbol}: {newer}'s has {foreign[0]!r}, which {older} lacks")
    if wrong:
        sys.exit("\n".join(wrong))
    print(f"{shared} weak symbols are shared, none with another CPU's instruction")


main()
