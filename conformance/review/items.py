# SPDX-License-Identifier: GPL-2.0-only
"""Items at file scope: variables, macros, exports, parameters, trace events, preprocessor conditionals.

The text is cut into items by its tokens. Every token outside of functions belongs to one item, so that two
files with equal items and equal functions differ in nothing but comments, white space and order.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from conformance.review.tokens import CLOSE, OPEN, is_name, outside, pieces, tokens

__all__ = ["Item", "Kind", "cut"]

_AGGREGATES = ("struct", "union", "enum")
_DEFINING = re.compile(r"(DEFINE|DECLARE)_|.*LIST_HEAD$|ATOMIC_INIT")
_REGISTERED = re.compile(
    r"module_|MODULE_|__MODULE_|EXPORT_|core_param|early_param|late_initcall|\w+_initcall|TRACE_|DEFINE_EVENT"
    r"|DECLARE_EVENT_CLASS|DECLARE_TRACE|ALLOW_ERROR_INJECTION|NOKPROBE|MODULE|static_assert|_Static_assert"
    r"|asm$|__asm__"
)
"""Macro calls that register something with the rest of the kernel; code of KVM does not refer to them."""


class Kind:
    """Kinds of items that are judged specially; the kind of a macro call is the name of the macro."""

    VARIABLE = "variable"
    DECLARATION = "declaration"
    MACRO = "macro"
    TYPE = "type"
    INCLUDE = "include"
    CONDITION = "condition"
    DIRECTIVE = "directive"
    STATEMENT = "statement"


@dataclass(frozen=True)
class Item:
    """One thing at file scope.

    ``names`` are the identifiers that it defines. ``under`` are the preprocessor conditions around it.
    An item of kind CONDITION stands for a function: its conditions, without its text.
    """

    kind: str
    name: str
    words: tuple[str, ...]
    under: tuple[str, ...] = ()
    names: tuple[str, ...] = ()

    @property
    def title(self) -> str:
        """Its name for people: "variable tdp_enabled", "EXPORT_SYMBOL_GPL(kvm_mmu_reload)"."""
        if self.kind == Kind.CONDITION:
            return f"preprocessor condition around {self.name}()"
        if self.kind in (Kind.INCLUDE, Kind.DIRECTIVE):
            return " ".join(self.words)
        return f"{self.name}" if "(" in self.name else f"{self.kind} {self.name}"

    @property
    def holds_data(self) -> bool:
        """Whether it defines a variable, directly or by a macro."""
        return self.kind == Kind.VARIABLE

    @property
    def constant(self) -> bool:
        """Whether it is a variable that no code writes."""
        return "const" in outside(self.words) and "*" not in outside(self.words)

    @property
    def registered(self) -> bool:
        """Whether it only registers something: a parameter, an export, a trace event."""
        return _REGISTERED.match(self.kind) is not None


def cut(content: str, functions: Sequence[tuple[int, int, str]]) -> list[Item]:
    """The items of a file in order. ``functions`` are the spans and names of its functions, in order."""
    found: list[Item] = []
    under: list[str] = []
    pending: list[str] = []
    depth = 0

    def flush() -> None:
        nonlocal depth
        if pending and pending != [";"]:
            found.append(_item(tuple(pending), tuple(under)))
        pending.clear()
        depth = 0

    for what, text in pieces(content, functions):
        if what == "function":
            flush()
            found.append(Item(Kind.CONDITION, text, (), tuple(under)))
        elif what == "directive":
            words = tokens(text)
            if depth:
                pending.extend(words)
            else:
                flush()
                found += _directive(words, tuple(under))
            _nest(words, under)
        else:
            pending.append(text)
            depth += (text in OPEN) - (text in CLOSE)
            if depth <= 0 and (text == ";" or (text == "}" and _ends_at_brace(pending))):
                flush()
    flush()
    return found


def _nest(words: Sequence[str], under: list[str]) -> None:
    """Update the stack of conditions ``under`` by a directive."""
    what = words[1] if len(words) > 1 else ""
    if what in ("if", "ifdef", "ifndef"):
        under.append(" ".join(words[1:]))
    elif what in ("else", "elif", "elifdef", "elifndef") and under:
        under[-1] = f"{' '.join(words[1:])} of {under[-1]}"
    elif what == "endif" and under:
        under.pop()


def _directive(words: tuple[str, ...], under: tuple[str, ...]) -> Iterator[Item]:
    """A directive as an item; conditionals are no items, they are recorded in the items under them."""
    what = words[1] if len(words) > 1 else ""
    if what == "define" and len(words) > 2:
        yield Item(Kind.MACRO, words[2], words, under, (words[2],))
    elif what == "include":
        yield Item(Kind.INCLUDE, "".join(words[2:]), ("#include", "".join(words[2:])), under)
    elif what and what not in ("if", "ifdef", "ifndef", "else", "elif", "elifdef", "elifndef", "endif"):
        yield Item(Kind.DIRECTIVE, " ".join(words[1:]), (f"#{what}", *words[2:]), under)


def _ends_at_brace(words: Sequence[str]) -> bool:
    """Whether a closing brace ends the item; it does not after an initialiser or a type."""
    return "=" not in outside(words) and not any(word in (*_AGGREGATES, "typedef") for word in words[:3])


def _item(words: tuple[str, ...], under: tuple[str, ...]) -> Item:
    """The item that a statement at file scope is."""
    bare = outside(words)
    call = words[1:] if words[0] == "static" and _DEFINING.match(words[1]) else words
    if is_name(call[0]) and call[1:2] == ("(",) and [word for word in bare if word != ";"][-1] == ")":
        registered = _REGISTERED.match(call[0]) or not _DEFINING.match(call[0])
        names = () if registered else _sole_arguments(call)
        if names:
            return Item(Kind.VARIABLE, names[0], words, under, names)
        return Item(call[0], f"{call[0]}({' '.join(call[2 : _argument_end(call)])})", words, under)
    if words[0] == "typedef":
        names = _declared(words[1:])
        return Item(Kind.TYPE, names[-1] if names else "", words, under, names[-1:])
    tag = _tag(words)
    if tag:
        return Item(Kind.TYPE, tag, words, under, _inside_names(words) if words[0] == "enum" else ())
    names = _declared(words)
    prototype = "(" in bare and "=" not in bare and "(*" not in "".join(words[:8])
    kind = Kind.DECLARATION if words[0] == "extern" or prototype else Kind.VARIABLE
    if not names:
        return Item(Kind.STATEMENT, " ".join(words[:6]), words, under)
    return Item(kind, names[0], words, under, names if kind == Kind.VARIABLE else ())


def _argument_end(words: Sequence[str]) -> int:
    """The index at which the first argument of a macro call ends."""
    depth = 0
    for at, word in enumerate(words):
        depth += (word in OPEN) - (word in CLOSE)
        if at > 1 and ((depth == 1 and word == ",") or depth == 0):
            return at
    return len(words)


def _sole_arguments(words: Sequence[str]) -> tuple[str, ...]:
    """The arguments of a macro call that are a single identifier."""
    return tuple(
        word
        for before, word, after in zip(words[1:], words[2:], words[3:], strict=False)
        if before in ("(", ",") and after in (",", ")") and is_name(word)
    )


def _tag(words: Sequence[str]) -> str:
    """The tag of a structure, union or enumeration definition without a declarator; "" for anything else."""
    if words[0] not in _AGGREGATES or "{" not in words:
        return ""
    after = [word for word in outside(words)[1:] if is_name(word) and not word.startswith("__")]
    if len(after) > 1:
        return ""
    name = after[0] if after else ""
    return f"{words[0]} {name or '{' + ', '.join(_inside_names(words)[:2]) + ', ...}'}"


def _inside_names(words: Sequence[str]) -> tuple[str, ...]:
    """The enumerators between the braces."""
    inside = list(words[words.index("{") :])
    return tuple(word for before, word in pairwise(inside) if before in ("{", ",") and is_name(word))


def _declared(words: Sequence[str]) -> tuple[str, ...]:
    """The names that a declaration declares."""
    found = []
    pointer = re.search(r"\( \* (?:const )?(\w+)", " ".join(words[:12]))
    if pointer:
        return (pointer[1],)
    part: list[str] = []
    for word in (*outside(words), ","):
        if word in (",", "="):
            names = [one for one in _until_call(part) if is_name(one) and not one.startswith("__")]
            if names and (word == "," or part):
                found.append(names[-1])
            part = ["="] if word == "=" else []
        elif part[:1] != ["="]:
            part.append(word)
    return tuple(found)


def _until_call(part: Sequence[str]) -> Sequence[str]:
    """A declarator without parameters, and without attributes that take arguments."""
    for at, word in enumerate(part):
        if word == "(" and at and not part[at - 1].startswith("__"):
            return part[:at]
    return part
