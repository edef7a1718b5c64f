#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The reference of the public headers: `build.py DOXYGEN CONFIGURATION HEADERS COPIES`.

Doxygen reads copies of HEADERS that hold what users name, line by line where it stands in the header. Its warnings name
the headers themselves, and any warning fails."""
import pathlib
import re
import subprocess
import sys

# Files of which users name nothing. engine/ is private, but for what plans inherit.
PRIVATE = ("engine/", "base/checked.hpp", "base/config.hpp", "base/isa.hpp", "base/libm.hpp", "base/mistakes.hpp",
           "base/probe.hpp", "base/process.hpp")
PUBLIC = ("engine/planned.hpp",)
# Types of namespace detail whose members public types inherit.
INHERITED = {"masked_by_table", "no_element", "per_head", "planned", "stride_unit"}

# What is said here of members whose own header says nothing.
SAID = {
    "engine/planned.hpp": {
        "planned": "What every plan has: a partition of its work, or the error that says why there is none.",
        "text": "One line, which ends with 0.",
        "status_type": "heed::status, whose name is that of a member here.",
        "status": "False where there is no plan; its message says why, with the argument, the sizes and the rule.",
        "stages": "How many stages run() has, one after the other; 0 where there is no plan.",
        "tasks": "How many tasks a stage has, which may run at the same time.",
    },
}

# What the contract of a room asks for; it says once what such members do.
MAPS = {"map", "slope", "parameter", "parameter_slope", "changes"}
MASKS = {"attends", "classify", "mark", "list", "rows_of_list"}
SOURCES = {"key_element", "value_element", "contiguous", "batch", "heads", "key_dim", "value_dim", "held", "tokens",
           "ragged", "keys", "values", "check_rows", "views", "heads_side_by_side", "heads_of_a_page", "key_scales",
           "value_scales", "key_channel_scales", "key_blocks", "aligned_blocks", "room", "rows_in", "gone",
           "check_sequence", "check_sequences", "check_exclusive", "check_last_exclusive", "as_const"}
THRESHOLDS = {"threshold", "rank", "row", "least_share"}
NORMALIZERS = {"shift", "terms", "slopes", "log_offset", "order"}
ASKED = {
    "normalizer": {"normalizer/contract.hpp": NORMALIZERS | {"check"}, "normalizer/threshold.hpp": THRESHOLDS},
    "mask": {"mask/contract.hpp": MASKS | {"check"}, "heed::span_mask": {"span"}, "score/contract.hpp": MAPS},
    "score": {"score/contract.hpp": MAPS | {"check"}},
    "kv": {"kv/contract.hpp": SOURCES | {"check"}},
    "executor": {"executor/contract.hpp": {"concurrency", "operator()"}},
}

# Overloads that say what is wrong with a call, and those that let nullptr come with a count of 0.
MISTAKE = re.compile(r"\brefuse_\w+<|\bcombine_masks<|index_of_many<|key_of_many<|static_assert\(sizeof\(\w+\) == 0|"
                     r"\(std::nullptr_t, |false_of<")
GUIDE = re.compile(r"^(?:template <.*> )?\w+\([^{]*(?:\{\}[^{]*)*\) -> ")
SCOPE = re.compile(r"^(?:template <.*> )?(?:inline )?(namespace|struct|class|enum class|enum)\b(?: alignas\(\d+\))? ?([\w]*)(<?)")
NAME = re.compile(r"(operator\(\)|operator [\w:*]+|operator\W{1,2}|[\w~]+)(?:\[[^\]]*\])?\s*(?:\(|=|;|\{)")
TEMPLATE = re.compile(r"^template <")
DECLARATOR = r"\w+(?: = [^,;{}()]+)?"
SEVERAL = re.compile(r"^( *)((?:static |inline |constexpr |const |typename )*[\w:]+(?:<[\w:, ]*>)? )"
                     rf"({DECLARATOR}(?:, {DECLARATOR})+);\s*(?:///< (.*))?$")


def blank(lines, begin, end):
    lines[begin:end] = [""] * (end - begin)


def indent_of(line):
    return len(line) - len(line.lstrip())


def is_comment(line):
    return line.lstrip().startswith("//")


def end_of(lines, at):
    """The line behind the declaration that begins at a line: behind its body or its semicolon."""
    depth = 0
    for i in range(at, len(lines)):
        code = re.sub(r'"(?:\\.|[^"\\])*"', "", lines[i].split("  //")[0]).rstrip()
        depth += code.count("{") - code.count("}")
        if depth == 0 and code.endswith((";", "}")):
            return i + 1
    return len(lines)


def template_end(text):
    """Where the parameters end of a declaration that begins with `template <`."""
    depth = 0
    for i, c in enumerate(text):
        depth += (c == "<") - (c == ">" and text[i - 1] not in "-=")
        if c == ">" and depth == 0:
            return i + 1
    return len(text)


class Declaration:
    """Lines [begin, end) of a declaration, behind those of its comment, from `comment` on."""

    def __init__(self, lines, begin):
        self.begin, self.end = begin, end_of(lines, begin)
        self.comment = begin
        while self.comment > 0 and is_comment(lines[self.comment - 1]):
            self.comment -= 1
        self.text = " ".join(line.strip() for line in lines[begin:self.end] if not is_comment(line))
        while TEMPLATE.match(self.text):
            self.text = self.text[template_end(self.text):].lstrip()
        scope = SCOPE.match(self.text)
        self.kind, self.name, self.special = scope.groups() if scope else ("", "", "")
        if scope and not re.match(r"[^;({]*(?:\{|: )", self.text):
            self.kind = ""  # declared, not defined
        if not scope:
            words = re.sub(r"__attribute__\(\(.*?\)\)\)? |HEED_\w+ ", "", self.text)
            found = NAME.search(words)
            self.name = found.group(1) if found else ""
            self.special = "<" if re.match(r"inline constexpr [\w: ]+<.*> =", words) else ""
        self.is_documented = self.begin > 0 and lines[self.begin - 1].lstrip().startswith("///") or \
            any("///<" in line for line in lines[self.begin:self.end]) and not self.kind

    def hide(self, lines):
        blank(lines, self.comment, self.end)

    def say(self, lines, text):
        line = lines[self.begin]
        lines[self.begin] = f"{' ' * indent_of(line)}/** {text} */ {line.lstrip()}"


def declarations(lines, begin, end, indent):
    at = begin
    while at < end:
        line = lines[at]
        if not line.strip() or is_comment(line) or indent_of(line) != indent or line.lstrip()[0] in "#}{" \
                or re.match(r"\s*(?:public|private|protected):|HEED_(?:BEGIN|END)|\s*static_assert|\s*using namespace", line):
            at += 1
            continue
        one = Declaration(lines, at)
        yield one
        at = one.end


def hide_macros(lines):
    """All but those of the version."""
    i = 0
    while i < len(lines):
        begin = i
        while lines[i].endswith("\\"):
            i += 1
        i += 1
        if lines[begin].startswith("#define") and "HEED_VERSION_" not in lines[begin]:
            blank(lines, begin, i)


def room_of(path):
    return path.parts[0] if len(path.parts) > 1 else ""


def members(lines, scope, path):
    room = room_of(path)
    seen = {}
    begin = next(i for i in range(scope.begin, scope.end) if "{" in lines[i]) + 1
    for one in declarations(lines, begin, scope.end, 4):
        text = " ".join(lines[one.begin:one.end])
        if MISTAKE.search(text):
            one.hide(lines)
            continue
        contract = next((c for c, names in ASKED.get(room, {}).items() if one.name in names), None)
        is_function = "(" in one.text.split("=")[0]
        if one.is_documented:
            seen[one.name] = True
        elif one.name in SAID.get(path.as_posix(), {}):
            one.say(lines, SAID[path.as_posix()][one.name])
        elif contract:
            one.say(lines, f"As {contract} says.")
        elif is_function and one.name in seen:
            one.say(lines, "\\overload")


def keep_what_is_named(lines, path):
    """Hides what users do not name: what is private, mistakes, specialisations and guides that say nothing new."""
    seen = {}
    pending = [(0, len(lines), False)]
    while pending:
        begin, end, is_private = pending.pop()
        for one in list(declarations(lines, begin, end, 0)):
            if one.kind == "namespace":
                pending.append((one.begin + 1, one.end, is_private or one.name != "mpi"))
                continue
            text = " ".join(lines[one.begin:one.end])
            if is_private and one.name not in INHERITED or GUIDE.match(one.text) or \
                    not one.kind and MISTAKE.search(text) or one.special and not one.is_documented:
                one.hide(lines)
            elif one.kind in ("struct", "class"):
                if not one.is_documented and one.name in SAID.get(path.as_posix(), {}):
                    one.say(lines, SAID[path.as_posix()][one.name])
                members(lines, one, path)
            elif one.is_documented:
                seen[one.name] = True
            elif one.name in seen and "(" in one.text:
                one.say(lines, "\\overload")


def split_declarators(lines):
    """One comment for several names is that of each."""
    for i, line in enumerate(lines):
        found = SEVERAL.match(line)
        if not found:
            continue
        indent, of_type, names, text = found.groups()
        trails = text is not None
        if trails:
            while re.match(r"^\s+///< ", lines[i + 1]):
                text += " " + lines[i + 1].strip()[5:]
                del lines[i + 1]
                lines[i - 1:i - 1] = []
                lines.insert(i + 1, "")
                break
        else:
            first = i
            while lines[first - 1].strip().startswith("/// "):
                first -= 1
            text = " ".join(said.strip()[4:] for said in lines[first:i])
            if not text:
                continue
        each = [f"{of_type}{name};" for name in names.split(", ")]
        lines[i] = indent + (f"/** {text} */ " if trails else "") + f" /** {text} */ ".join(each)


def head_as_page(lines, path):
    """The comment at the head of a file becomes the page of the file."""
    for i, line in enumerate(lines):
        if not line.startswith("//"):
            break
        lines[i] = f"/// \\file {path}" if "SPDX" in line else "///" + line[2:]


def copy_of(text, path):
    lines = ["private:" if line == "protected:" else line for line in text.split("\n")]
    hide_macros(lines)
    keep_what_is_named(lines, path)
    split_declarators(lines)
    head_as_page(lines, path)
    return "\n".join(lines)


def main():
    doxygen, configuration, headers, copies = sys.argv[1], *map(pathlib.Path, sys.argv[2:])
    wanted = set()
    for header in sorted(headers.rglob("*.hpp")):
        path = header.relative_to(headers)
        if path.as_posix().startswith(PRIVATE) and path.as_posix() not in PUBLIC:
            continue
        copy = copies / path
        wanted.add(copy)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_text(copy_of(header.read_text(), path))
    for old in set(copies.rglob("*.hpp")) - wanted:
        old.unlink()
    run = subprocess.run([doxygen, configuration], cwd=configuration.parent, text=True, stdout=subprocess.PIPE,
                         stderr=subprocess.STDOUT, check=False)
    said = run.stdout.replace(str(copies), str(headers)).strip()
    if said:
        print(said)
    sys.exit(1 if said or run.returncode else 0)


if __name__ == "__main__":
    main()
