# SPDX-License-Identifier: GPL-2.0-only
"""The functions and macros of a kernel's source, as text: their names, and the names that they mention.

Two texts are the same if they have the same characters; the comment in front of a function is part of it.
The names that a function mentions are those that it may call, expand or take the address of.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from pathlib import Path

from tree_sitter import Node

from conformance.kernels.parsing import name_of, outer, parse, text_of
from conformance.review.items import Item, cut
from conformance.review.tokens import tokens

__all__ = ["FOLDERS", "MMU", "Source", "Text", "files_of", "inlined_into", "read_source"]

MMU = ("arch/x86/kvm/mmu", "arch/x86/kvm/mmu.h")
"""The MMU: its folder, and its header for the rest of KVM."""
FOLDERS = ("arch/x86/kvm", "arch/x86/kvm/mmu", "virt/kvm", "include/linux", "arch/x86/include/asm")
"""The folders of KVM's sources; of the last two only files whose names begin with kvm."""

_TEMPLATE = "FNAME"
"""Functions of paging_tmpl.h are written FNAME(name), once, and compiled for each kind of guest."""
_DECLARING = ("parameter_declaration", "declaration")
_SPECIMENS = ("paging64_", "paging32_", "ept_")

_CONDITIONAL = re.compile(r"^[ \t]*#[ \t]*if.*?^[ \t]*#[ \t]*endif[^\n]*$", re.MULTILINE | re.DOTALL)
"""From a conditional to the first that ends."""
_PARAMETERS = re.compile(r"(?:/\*.*?\*/\s*)*#\s*define\s+\w+\(([^)]*)\)", re.DOTALL)
"""What a macro takes."""


@dataclass(frozen=True)
class Text:
    """A function or a macro. ``file`` is relative to the kernel.

    ``text`` includes the comment in front; where preprocessor conditionals define it more than once, all of
    them. ``places`` are the file and the number of each line of it.
    """

    name: str
    file: str
    text: str
    places: tuple[tuple[str, int], ...] = field(default=(), repr=False)

    @cached_property
    def words(self) -> tuple[str, ...]:
        """Its tokens, without comments."""
        return tokens(self.text)

    @cached_property
    def mentions(self) -> frozenset[str]:
        """Every identifier in it except its own name."""
        return frozenset(word for word in self.words if word[0].isalpha() or word[0] == "_") - {self.name}

    @cached_property
    def uses(self) -> frozenset[str]:
        """The names of file scope that it mentions: no parameters, locals or members of structures."""
        tree = parse(self.text.encode("utf-8", "surrogateescape"))
        own = {name for node in _below(tree, *_DECLARING) for name in _declared_by(node)}
        macro = _PARAMETERS.match(self.text)
        own |= set(tokens(macro[1])) if macro else set()
        members = {text_of(node) for node in _below(tree, "field_identifier", "statement_identifier")}
        outside = {text_of(node) for node in _below(tree, "identifier", "type_identifier")}
        return self.mentions - own - (members - outside)

    @cached_property
    def unconditional(self) -> tuple[str, ...]:
        """Its tokens outside of #if and #endif."""
        return tokens(_CONDITIONAL.sub("", self.text))

    @property
    def symbols(self) -> tuple[str, ...]:
        """Its symbols: a template has one for each kind of guest."""
        if not self.name.startswith(f"{_TEMPLATE}("):
            return (self.name,)
        return tuple(kind + self.name[len(_TEMPLATE) + 1 : -1] for kind in _SPECIMENS)

    @property
    def of_mmu(self) -> bool:
        """Whether it belongs to the MMU, not to another part of KVM."""
        return self.file.startswith(f"{MMU[0]}/") or self.file == MMU[1]


@dataclass(frozen=True)
class Source:
    """The definitions in KVM's source, by name."""

    functions: Mapping[str, Text]
    macros: Mapping[str, Text]
    """Macros, enumerators and structures: definitions without code."""
    items: Mapping[str, Sequence[Item]] = field(default_factory=dict)
    """All items at file scope, by file."""


def read_source(root: Path, files: Iterable[str]) -> Source:
    """The definitions in ``files`` of the source tree ``root``."""
    functions: dict[str, Text] = {}
    macros: dict[str, Text] = {}
    items: dict[str, Sequence[Item]] = {}
    for file in files:
        found, other, items[file] = _texts(file, (root / file).read_bytes())
        _add(functions, found)
        _add(macros, other)
    return Source(functions, macros, items)


def files_of(root: Path) -> list[str]:
    """KVM's files below ``root``, without those of the vendor modules."""
    return [
        str(path.relative_to(root))
        for folder in FOLDERS
        for path in sorted((root / folder).glob("*.[ch]"))
        if folder.startswith(("arch/x86/kvm", "virt")) or path.name.startswith("kvm")
    ]


def inlined_into(name: str, source: Source, symbols: Mapping[str, object]) -> set[str]:
    """The symbols of the functions that a function without a symbol is inlined into, by the text."""
    inner = name[len("FNAME(") : -1] if name.startswith("FNAME(") else name
    found: set[str] = set()
    seen: set[str] = set()
    waiting = [inner]
    while waiting:
        wanted = waiting.pop()
        for text in (*source.functions.values(), *source.macros.values()):
            if wanted not in text.mentions or text.name in seen:
                continue
            seen.add(text.name)
            own = [symbol for symbol in text.symbols if symbol in symbols]
            found.update(own)
            if not own:
                waiting.append(text.name)
    return found


def _add(known: dict[str, Text], found: Iterable[Text]) -> None:
    """Add texts; a second definition of a name joins the first."""
    for one in found:
        other = known.get(one.name)
        if other is None:
            known[one.name] = one
        else:
            text, places = f"{other.text}\n{one.text}", other.places + one.places
            known[one.name] = Text(one.name, other.file, text, places)


@lru_cache(maxsize=256)
def _texts(file: str, content: bytes) -> tuple[list[Text], list[Text], list[Item]]:
    """The functions of a file, its macros, enumerations and structures, and all outside of functions."""
    functions: list[Text] = []
    others: list[Text] = []
    spans: list[tuple[int, int, str]] = []
    comment: Node | None = None
    for node in outer(parse(content)):
        if node.type == "comment":
            comment = node
            continue
        start = node
        if comment is not None and node.start_point.row - comment.end_point.row <= 1:
            start = comment
        comment = None
        text = content[start.start_byte : node.end_byte].decode(errors="replace").strip()
        if node.type == "function_definition":
            name = name_of(node)
            if name:
                first = start.start_point.row + 1
                places = tuple((file, first + n) for n in range(text.count("\n") + 1))
                functions.append(Text(name, file, text, places))
                spans.append((node.start_byte, node.end_byte, name))
        else:
            others += (Text(name, file, text) for name in _defines(node))
    # One character per byte, so that byte offsets are offsets in the text.
    return functions, others, cut(content.decode("latin-1"), spans)


def _defines(node: Node) -> list[str]:
    """The names that a macro, an enumeration or a structure at the outside defines."""
    if node.type in ("preproc_def", "preproc_function_def"):
        name = node.child_by_field_name("name")
        return [] if name is None else [text_of(name)]
    if node.type == "enum_specifier":
        return [text_of(name) for each in _below(node, "enumerator") for name in each.children[:1]]
    if node.type in ("struct_specifier", "union_specifier") and node.child_by_field_name("body"):
        name = node.child_by_field_name("name")
        return [] if name is None else [f"{node.type.split('_')[0]} {text_of(name)}"]
    return []


def _declared_by(node: Node) -> Iterator[str]:
    """The names that a parameter or a local declaration declares."""
    waiting = node.children_by_field_name("declarator")
    while waiting:
        one = waiting.pop()
        if one.type == "identifier":
            yield text_of(one)
        waiting += one.children_by_field_name("declarator") or (
            list(one.named_children) if one.type == "parenthesized_declarator" else []
        )


def _below(node: Node, *kinds: str) -> Iterator[Node]:
    """Every node of these kinds in ``node``."""
    for child in node.children:
        if child.type in kinds:
            yield child
        yield from _below(child, *kinds)
