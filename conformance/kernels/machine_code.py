# SPDX-License-Identifier: GPL-2.0-only
"""The machine code of each function, in a form in which that of two kernels can be compared.

It is read from the compiler's assembly, where every reference still has the name of its symbol and what a
function puts into other sections (exception tables, alternatives, bug entries) is next to its instruction.
Numbers of labels, comments and line numbers are left out. Strings and tables are compared by content, not
by address.

There are two ways to compile. *Apart*: functions are not inlined unless forced, so that a difference can be
attributed to one of them. *As built*: with the kernel's own flags, where functions are inlined into each
other; equal code then means that what runs is equal, however it is divided into functions.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from conformance.kernels import Cache, Kernel, Unit
from conformance.kernels.cache import temporary

__all__ = ["APART", "AS_BUILT", "Code", "compile_code", "read_assembly"]

_COMMON = ("-S", "-D__LINE__=1", "-Wno-builtin-macro-redefined")
"""Assembly instead of an object (-S overrides -c); __LINE__ is always 1."""

AS_BUILT = _COMMON

APART = (
    *_COMMON,
    "-fno-inline",
    "-fno-inline-functions-called-once",
    "-fno-ipa-sra",
    "-fno-ipa-cp",
    "-fno-ipa-ra",
    "-fno-ipa-icf",
    "-fno-ipa-vrp",
    "-fno-ipa-bit-cp",
    "-fno-ipa-pure-const",
    "-fno-ipa-modref",
    "-fno-partial-inlining",
    # Asserts at compile time about an argument hold only where the function is inlined.
    "-U__OPTIMIZE__",
)
"""No function is inlined, or optimised by knowledge of its callers or callees."""

_FUNCTION = re.compile(r"^\t\.type\t(\S+), @function$")
_OBJECT = re.compile(r"^\t\.type\t(\S+), @object$")
_SIZE = re.compile(r"^\t\.size\t(\S+), ")
_STRING = re.compile(r"^(\.LC\d+):$")
_LAYOUT = ("#", *(f"\t.{word}" for word in ("p2align", "align", "globl", "hidden", "local", "comm", "text")))
"""The beginnings of lines about layout and linkage, and of comments."""
_NAME = re.compile(r"\.?[A-Za-z_][\w.$]*")
_NUMBERED = re.compile(r"^(\.LC?|[A-Za-z_]\w*?\.)(\d+)$|^(__UNIQUE_ID_\w*?)\d+$")
_CLONE = re.compile(r"\.(?:cold|part|isra|constprop)(?:\.\d+)?(?=$|\.)")


@dataclass(frozen=True)
class Code:
    """The machine code of the functions of a kernel's units.

    ``forms`` has each function's code by name: more than one where units, having compiled it each for itself,
    came to different code. ``refers`` has the names that each function mentions.
    """

    forms: Mapping[str, frozenset[str]]
    refers: Mapping[str, frozenset[str]]
    users: dict[str, set[str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, others in self.refers.items():
            for other in others:
                self.users.setdefault(other, set()).add(name)

    def with_users(self, names: Iterable[str]) -> set[str]:
        """These functions and all that refer to them, directly or indirectly."""
        found: set[str] = set()
        waiting = list(names)
        while waiting:
            name = waiting.pop()
            if name not in found:
                found.add(name)
                waiting += self.users.get(name, ())
        return found


def compile_code(
    kernel: Kernel,
    units: Sequence[str],
    flags: Sequence[str],
    cache: Cache | None,
    renamed: Mapping[str, str],
) -> Code:
    """The code of ``units`` of a kernel, compiled with ``flags``: APART or AS_BUILT.

    ``renamed`` gives functions the names by which they are to be compared. With a cache, the assembly is
    looked up and stored there. Raises BuildError.
    """
    forms: dict[str, set[str]] = {}
    refers: dict[str, set[str]] = {}
    with temporary("code") as place:
        made = kernel.compile([Unit(unit) for unit in units], place, flags=flags, reuse=cache)
        for assembly in made:
            for name, lines in read_assembly(assembly.read_text(errors="replace"), renamed):
                forms.setdefault(name, set()).add("\n".join(lines))
                mentioned = (_CLONE.sub("", word) for line in lines for word in _NAME.findall(line))
                refers.setdefault(name, set()).update(mentioned)
    return Code(
        {name: frozenset(found) for name, found in forms.items()},
        {name: frozenset(found - {name}) for name, found in refers.items()},
    )


def read_assembly(text: str, renamed: Mapping[str, str]) -> Iterator[tuple[str, list[str]]]:
    """Every function of a unit's assembly, with its lines in the form that is compared.

    A part of a function that the compiler put elsewhere, or copied for some callers, counts as its own.
    """
    functions, contents = _blocks(text.splitlines())
    whole: dict[str, list[str]] = {}
    for symbol, lines in functions.items():
        name = _CLONE.sub("", symbol)
        kept = [] if symbol == name else [f"{symbol[len(name) :]}:"]
        whole.setdefault(name, []).extend([*kept, *lines])
    for name, lines in whole.items():
        yield renamed.get(name, name), _form(name, lines, contents, renamed)


def _blocks(lines: Sequence[str]) -> tuple[dict[str, list[str]], dict[str, list[str]]]:
    """The lines of each function, and of each named piece of data that never changes."""
    functions: dict[str, list[str]] = {}
    contents: dict[str, list[str]] = {}
    # An object's size is before its content, a function's after its code.
    code: list[str] | None = None
    data: list[str] | None = None
    constant = False
    for line in lines:
        if match := _FUNCTION.match(line):
            code = functions.setdefault(match[1], [])
        elif match := _OBJECT.match(line):
            data = contents.setdefault(match[1], []) if constant else None
        elif match := _SIZE.match(line):
            code = None if match[1] in functions else code
        elif line.startswith("\t.section"):
            data, constant = None, "rodata" in line or ".data.rel.ro" in line
        elif line.startswith(_LAYOUT):
            continue
        elif code is not None:
            code.append(line.split("\t#")[0].rstrip())
        elif match := _STRING.match(line):
            data = contents.setdefault(match[1], [])
        elif data is not None and not line.endswith(":"):
            data.append(line)
    return functions, contents


def _form(
    function: str, lines: Sequence[str], contents: Mapping[str, Sequence[str]], renamed: Mapping[str, str]
) -> list[str]:
    """The lines with local names numbered in order of appearance, and data named by its content."""
    numbers: dict[str, str] = {}

    def spelled(match: re.Match[str]) -> str:
        name = match[0]
        numbered = _NUMBERED.match(name)
        held = contents.get(name)
        if held is not None and any(held):
            name = f"{numbered[1] if numbered else name}{{{_digest(held, contents, renamed)}}}"
        elif numbered:
            name = numbers.setdefault(name, f"{numbered[1] or numbered[3]}#{len(numbers)}")
        return renamed.get(name, name)

    return [_NAME.sub(spelled, line) for line in lines if line and line != f"{function}:"]


def _digest(
    held: Sequence[str],
    contents: Mapping[str, Sequence[str]],
    renamed: Mapping[str, str],
    depth: int = 4,
) -> str:
    """A digest of the content of data, and of what it points to, up to ``depth`` levels."""
    whole = hashlib.sha256()

    def spelled(match: re.Match[str]) -> str:
        name = match[0]
        if depth and contents.get(name):
            return _digest(contents[name], contents, renamed, depth - 1)
        return renamed.get(name, name)

    for line in held:
        whole.update(_NAME.sub(spelled, line).encode())
    return whole.hexdigest()[:12]
