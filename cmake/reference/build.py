#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The reference of the public headers: `build.py DOXYGEN SOURCE FOLDER`, where FOLDER has a Doxyfile.

Doxygen reads copies of the headers that hold what users name, in FOLDER/heed, line by line where it stands in the
header; front.md; and pages.dox, which lists the programs of the guide. Its warnings name the headers themselves, and
any warning fails."""
import pathlib
import re
import subprocess
import sys

sys.dont_write_bytecode = True  # beside the sources
from said import ASKED, CONSTRUCTORS, INHERITED, NAMESPACES, PRIVATE, PUBLIC, SAID

HERE = pathlib.Path(__file__).resolve().parent

# Overloads that say what is wrong with a call, and those that let nullptr come with a count of 0.
MISTAKE = re.compile(r"\brefuse_\w+<|\bcombine_masks<|index_of_many<|key_of_many<|static_assert\(sizeof\(\w+\) == 0|"
                     r"\(std::nullptr_t, |wrong_arguments<|static_assert\(!is_kv_source_v")
GUIDE = re.compile(r"^\w+\([^{]*(?:\{\}[^{]*)*\) -> ")
SCOPE = re.compile(r"^(?:inline )?(namespace|struct|class|enum class|enum)\b(?: alignas\(\d+\))? ?([\w]*)(<?)")
NO_DECLARATION = re.compile(r" *(?:[#{}]|(?:public|private|protected):|HEED_(?:BEGIN|END)|static_assert|"
                            r"using namespace)")
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
    """Those at this indent, a namespace or a class as one."""
    at = begin
    while at < end:
        line = lines[at]
        if not line.strip() or is_comment(line) or indent_of(line) != indent or NO_DECLARATION.match(line):
            at += 1
            continue
        one = Declaration(lines, at)
        yield one
        at = one.end


def hide_macros(lines):
    """Hides all but those of the version."""
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
    """Hides the mistakes of a class, and says of its members what no header says."""
    room = room_of(path)
    seen = {}
    begin = next(i for i in range(scope.begin, scope.end) if "{" in lines[i]) + 1
    for one in declarations(lines, begin, scope.end, 4):
        if MISTAKE.search(" ".join(lines[one.begin:one.end])):
            one.hide(lines)
            continue
        if one.text in CONSTRUCTORS:
            lines[one.begin] = " ".join(f"/** {text} */ {code.format(scope.name)}"
                                        for text, code in CONSTRUCTORS[one.text])
            continue
        asked = [f"{names[one.name]} ({by})" for by, names in ASKED.get(room, {}).items() if one.name in names]
        is_function = "(" in one.text.split("=")[0]
        if one.is_documented:
            seen[one.name] = True
        elif one.name in SAID.get(path.as_posix(), {}):
            one.say(lines, SAID[path.as_posix()][one.name])
        elif asked:
            one.say(lines, asked[0])
        elif is_function and one.name in seen:
            one.say(lines, "As above, for these arguments.")


def keep_what_is_named(lines, path):
    """Hides what users do not name: what is private, mistakes, specialisations and guides that say nothing new."""
    seen = {}
    pending = [(0, len(lines), False)]
    private = []
    while pending:
        begin, end, is_private = pending.pop()
        for one in list(declarations(lines, begin, end, 0)):
            if one.kind == "namespace":
                pending.append((one.begin + 1, one.end, is_private or one.name != "mpi"))
                private.append((one.begin, one.end))
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
                one.say(lines, "As above, for these arguments.")
    for begin, end in private:
        if not any(line.strip() for line in lines[begin + 1:end - 1]):
            blank(lines, begin, end)


def split_declarators(lines):
    """One comment for several names is that of each."""
    for i, line in enumerate(lines):
        found = SEVERAL.match(line)
        if not found:
            continue
        indent, of_type, names, text = found.groups()
        trails = text is not None
        if trails:
            behind = i + 1
            while re.match(r"^\s+///< ", lines[behind]):
                text += " " + lines[behind].strip()[5:]
                lines[behind] = ""
                behind += 1
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


def names_anything(lines):
    return any(line.startswith("#define") for line in lines) or any(declarations(lines, 0, len(lines), 0))


def copy_of(text, path):
    """What is to be read of a header, or nothing where it has declarations and users name none of them."""
    lines = ["private:" if line == "protected:" else line for line in text.split("\n")]
    hide_macros(lines)
    had_any = names_anything(lines)
    keep_what_is_named(lines, path)
    if had_any and not names_anything(lines):
        return ""
    split_declarators(lines)
    head_as_page(lines, path)
    # Doxygen ends what it says in short at a full stop or a blank line, and there sets a full stop behind a comma.
    text = "\n".join(lines).replace(" et al. ", " et al.\\ ")
    return re.sub(r"^( *///.*),\n( *///)\n", r"\1:\n\2\n", text, flags=re.MULTILINE)


def types_of(text):
    """The types that a header defines outside of namespaces of its own, as tests/documented finds them."""
    text = re.sub(r"^namespace \w+ \{.*?^\}  // namespace", "", text, flags=re.MULTILINE | re.DOTALL)
    return set(re.findall(r"^(?:struct|class|enum class) (\w+)(?= [{:]|$)", text, re.MULTILINE))


def write_copies(headers, copies):
    wanted = set()
    for header in sorted(headers.rglob("*.hpp")):
        path = header.relative_to(headers)
        if path.as_posix().startswith(PRIVATE) and path.as_posix() not in PUBLIC:
            continue
        text = copy_of(header.read_text(), path)
        lost = types_of(header.read_text()) - types_of(text)
        if lost:
            sys.exit(f"{header}: build.py takes {', '.join(sorted(lost))} for private")
        if text:
            copy = copies / path
            wanted.add(copy)
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_text(text)
    for old in set(copies.rglob("*.hpp")) - wanted:
        old.unlink()


def write_layout(doxygen, layout):
    """Doxygen's own, with what is said of a class, a namespace or a file before the list of its members."""
    subprocess.run([doxygen, "-l", layout], check=True)
    text = layout.read_text()
    for page in ("class", "namespace", "file"):
        begin, end = text.index(f"<{page}>"), text.index(f"</{page}>")
        part = re.sub(r' *<detaileddescription .*/>\n', "", text[begin:end])
        part = re.sub(r'<briefdescription .*/>', '<detaileddescription title="Description"/>', part)
        text = text[:begin] + part + text[end:]
    layout.write_text(text)


def guide_of(index):
    """The programs in the table of the guide's index, as examples of doxygen's."""
    rows = re.findall(r"^\| \[(.*?)\]\((\w+\.cpp)\) \| (.*) \|$", index, re.MULTILINE)
    if not rows:
        sys.exit("examples/guide/README.md: no row of its table is a program")
    return "\n".join(f"/** \\example {file}\n\\details {title[3].upper()}{title[4:]}: {says} */"
                     for title, file, says in rows)


def front_of(text):
    """The front page, whose words in backticks are heed's names and headers: one that there is not is an error."""
    return re.sub(r"`(?:([\w/]+\.hpp)|(\w+)(\(\))?)`",
                  lambda m: f'\\ref heed/{m[1]} "{m[1]}"' if m[1] else f'\\ref heed::{m[2]} "{m[2]}{m[3] or ""}"', text)


def main():
    doxygen, source, folder = sys.argv[1], pathlib.Path(sys.argv[2]), pathlib.Path(sys.argv[3])
    headers, copies = source / "include/heed", folder / "heed"
    write_copies(headers, copies)
    guide = guide_of((source / "examples/guide/README.md").read_text())
    (folder / "pages.dox").write_text(NAMESPACES + guide)
    (folder / "front.md").write_text(front_of((HERE / "front.md").read_text()))
    write_layout(doxygen, folder / "layout.xml")
    run = subprocess.run([doxygen, folder / "Doxyfile"], cwd=folder, text=True, stdout=subprocess.PIPE,
                         stderr=subprocess.STDOUT, check=False)
    said = run.stdout.replace(str(copies), str(headers)).replace(f"{folder}/front.md", f"{HERE}/front.md").strip()
    if said:
        print(said)
    sys.exit(1 if said or run.returncode else 0)


if __name__ == "__main__":
    main()
