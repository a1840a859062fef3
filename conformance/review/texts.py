# SPDX-License-Identifier: GPL-2.0-only
"""What changed in the text: functions of the MMU and what they reach in KVM, before and after.

A function is unchanged if its text is, and that of every macro and constant that it uses. Functions that it
calls are judged by themselves.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from conformance.kernels import Kernel
from conformance.kernels.manifest import Manifest
from conformance.kernels.renames import RENAMED
from conformance.review.functions import MMU, Source, Text, files_of, read_source
from conformance.review.pairing import pair

__all__ = ["Pair", "Texts"]

_EMULATOR = "x86_emulate_instruction"
"""Where the MMU's reach into KVM ends: from there on it is the instruction emulator's."""


@dataclass(frozen=True)
class Pair:
    """A function in both kernels; None where it is not in one. ``through``: what it uses that changed."""

    before: Text | None
    after: Text | None
    through: tuple[str, ...] = ()

    @property
    def text(self) -> Text:
        """The one after the change, if there is one."""
        text = self.after or self.before
        assert text is not None
        return text

    @property
    def was(self) -> str:
        """The name before, if that was another one."""
        return self.before.name if self.before and self.before.name != self.text.name else ""

    @cached_property
    def symbols(self) -> frozenset[str]:
        """What the compilers of both kernels call it."""
        return frozenset(symbol for text in (self.before, self.after) if text for symbol in text.symbols)

    @property
    def same(self) -> bool:
        """Whether nothing changed in its text or in that of the macros that it uses."""
        both = self.before is not None and self.after is not None
        return both and not self.was and not self.through and self.before.text == self.after.text  # type: ignore[union-attr]


class Texts:
    """Both kernels' text, and every function of interest in both."""

    def __init__(self, before: Kernel, after: Kernel) -> None:
        self._roots = before.root / "src", after.root / "src"
        named = [files_of(root) for root in self._roots]
        digests = [Manifest.now(kernel.root).digests for kernel in (before, after)]
        self.changed_files = frozenset(
            name
            for name in {*named[0], *named[1]}
            if digests[0].get(f"src/{name}") != digests[1].get(f"src/{name}")
        )
        wanted = [[name for name in names if self._matters(name)] for names in named]
        self.before = read_source(self._roots[0], wanted[0] if self.changed_files else ())
        self.after = read_source(self._roots[1], wanted[1] if self.changed_files else ())
        self.renamed = pair(self.before.functions, self.after.functions)

    def _matters(self, file: str) -> bool:
        """Whether a file is read: it is the MMU's, or changed."""
        return file.startswith(MMU) or file in self.changed_files

    @cached_property
    def pairs(self) -> list[Pair]:
        """The MMU's functions, and the changed ones elsewhere in KVM that the MMU reaches."""
        old_names = {new: old for old, new in self.renamed.items()}
        found = []
        for name, text in self.after.functions.items():
            before = self.before.functions.get(old_names.get(name, name))
            through = self._through(text) if before is not None else ()
            found.append(Pair(before, text, through))
        for name, text in self.before.functions.items():
            if name not in self.after.functions and name not in self.renamed:
                found.append(Pair(text, None))
        reached = self._reached(self.before) | self._reached(self.after)
        found = [one for one in found if one.text.of_mmu or (one.text.name in reached and not one.same)]
        return sorted(found, key=lambda one: (not one.text.of_mmu, one.text.file, one.text.name))

    @cached_property
    def _rewritten(self) -> frozenset[str]:
        """Macros, constants and structures whose own text changed."""
        ours, theirs = self.before.macros, self.after.macros
        return frozenset(
            name
            for name in {*ours, *theirs}
            if name not in ours or name not in theirs or ours[name].words != theirs[name].words
        )

    @property
    def moved_structures(self) -> frozenset[str]:
        """Structures and unions whose text changed, as "struct name"."""
        return frozenset(name for name in self._rewritten if " " in name)

    @cached_property
    def moved(self) -> frozenset[str]:
        """Macros and constants whose text changed; structures are told apart from that, by their layout."""
        ours, theirs = self.before.macros, self.after.macros
        named = {name for name in self._rewritten if " " not in name}
        while True:
            more = {
                name
                for macros in (ours, theirs)
                for name, text in macros.items()
                if name not in named and " " not in name and text.mentions & named
            }
            if not more:
                return frozenset(named)
            named |= more

    def _through(self, text: Text) -> tuple[str, ...]:
        return tuple(sorted(text.mentions & self.moved - {text.name}))

    def _reached(self, source: Source) -> set[str]:
        """The functions that the MMU's mention, those that these mention, and so on."""
        found: set[str] = set()
        waiting = [text.name for text in source.functions.values() if text.of_mmu]
        while waiting:
            text = source.functions.get(waiting.pop())
            if text is not None and text.name not in found and text.name != _EMULATOR:
                found.add(text.name)
                waiting += text.mentions
        return found

    @property
    def new_names(self) -> dict[str, str]:
        """Renames that are this change's own, not one of the known kernels'."""
        return {old: new for old, new in self.renamed.items() if (old, new) not in RENAMED and "(" not in old}

    def symbols(self) -> dict[str, str]:
        """The symbols of renamed functions, old to new."""
        return {
            old: new
            for name, after in self.renamed.items()
            for old, new in zip(
                self.before.functions[name].symbols, self.after.functions[after].symbols, strict=False
            )
        }

    def units(self, functions: Iterable[Text]) -> tuple[list[str], list[str]]:
        """The units of both kernels that have to be compiled to see these functions' code.

        Of the MMU every unit that changed or includes a file that did; elsewhere those that define one.
        """
        elsewhere = {one.file for one in functions if not one.of_mmu and one.file.endswith(".c")}
        units = []
        for root, source in zip(self._roots, (self.before, self.after), strict=True):
            mine = {one.file for one in source.functions.values() if one.of_mmu and one.file.endswith(".c")}
            touched = {name for name in mine if self._touched(root, name)}
            units.append(sorted(touched | {name for name in elsewhere if (root / name).exists()}))
        return units[0], units[1]

    def _touched(self, root: Path, unit: str) -> bool:
        """Whether a unit changed, or one of the files that it includes."""
        if any(
            not name.startswith("arch/x86/kvm/mmu/") and name.endswith(".h") for name in self.changed_files
        ):
            return True
        seen: set[str] = set()
        waiting = [unit]
        while waiting:
            name = waiting.pop()
            if name in self.changed_files:
                return True
            if name not in seen and (root / name).is_file():
                seen.add(name)
                included = re.findall(r'^#include "([^"]+)"', (root / name).read_text(errors="replace"), re.M)
                waiting += (f"arch/x86/kvm/mmu/{Path(one).name}" for one in included)
        return False


def users(name: str, source: Source, symbols: Mapping[str, object]) -> set[str]:
    """The symbols into which a function without one of its own is folded, as far as the text tells."""
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
