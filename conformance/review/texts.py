# SPDX-License-Identifier: GPL-2.0-only
"""What changed in the text: functions of the MMU and what they reach in KVM, before and after.

A function is unchanged if its text is, and that of every macro and constant that it uses. Functions that it
calls are judged by themselves.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from conformance.kernels import Kernel
from conformance.kernels.manifest import Manifest
from conformance.kernels.renames import RENAMED
from conformance.review.file_scope import Changed, Kind, changed_items
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
        return self.alike and not self.through and self.before.text == self.after.text  # type: ignore[union-attr]

    @property
    def alike(self) -> bool:
        """Whether its own tokens are the same, under the same name."""
        both = self.before is not None and self.after is not None
        return both and not self.was and self.before.words == self.after.words  # type: ignore[union-attr]

    @property
    def only_conditional(self) -> bool:
        """Whether all that changed in it stands between #if and #endif, which may not be compiled here."""
        both = self.before is not None and self.after is not None
        return both and not self.alike and self.before.unconditional == self.after.unconditional  # type: ignore[union-attr]


class Texts:
    """Both kernels' text, and every function of interest in both."""

    def __init__(self, before: Kernel, after: Kernel) -> None:
        self.roots = before.root / "src", after.root / "src"
        named = [files_of(root) for root in self.roots]
        digests = [Manifest.now(kernel.root).digests for kernel in (before, after)]
        every = {name for name in {*digests[0], *digests[1]} if digests[0].get(name) != digests[1].get(name)}
        files = frozenset(name.removeprefix("src/") for name in every if name.startswith("src/"))
        self.changed_files = files & {*named[0], *named[1]}
        self.other_files = files - self.changed_files
        """Changed files that are not read function by function: other headers, vendor modules, lib."""
        self.generated = tuple(sorted(name for name in every if name.startswith("gen/")))
        self.same_data: frozenset[str] = frozenset()
        """Variables whose declaration changed, and whose data are proved to be the same."""
        self.same_values: frozenset[str] = frozenset()
        """Enumerators of enumerations that changed, whose own value did not."""
        wanted = [[name for name in names if self._matters(name)] for names in named]
        self.before = read_source(self.roots[0], wanted[0] if every else ())
        self.after = read_source(self.roots[1], wanted[1] if every else ())
        self.renamed = pair(self.before.functions, self.after.functions)

    def _matters(self, file: str) -> bool:
        """Whether a file is read: it is the MMU's, or changed."""
        return file.startswith(MMU) or file in self.changed_files

    @cached_property
    def pairs(self) -> list[Pair]:
        """The MMU's functions, and the changed ones elsewhere in KVM that the MMU reaches."""
        reached = self._reached(self.before) | self._reached(self.after)
        found = [
            one for one in self._paired if one.text.of_mmu or (one.text.name in reached and not one.same)
        ]
        return sorted(found, key=lambda one: (not one.text.of_mmu, one.text.file, one.text.name))

    @property
    def unreached(self) -> dict[str, list[str]]:
        """The changed functions that are neither the MMU's nor reached by it, by file."""
        here = {one.text.name for one in self.pairs}
        found: dict[str, list[str]] = {}
        for one in self._paired:
            if one.text.name not in here and not one.same and not one.alike:
                found.setdefault(one.text.file, []).append(one.text.name)
        return found

    @cached_property
    def _paired(self) -> list[Pair]:
        """Every function that was read, of both kernels."""
        old_names = {new: old for old, new in self.renamed.items()}
        found = []
        for name, text in self.after.functions.items():
            before = self.before.functions.get(old_names.get(name, name))
            through = tuple(sorted({*self._through(text), *self._through(before)})) if before else ()
            found.append(Pair(before, text, through))
        for name, text in self.before.functions.items():
            if name not in self.after.functions and name not in self.renamed:
                found.append(Pair(text, None))
        return found

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
    def own_items(self) -> list[Changed]:
        """What changed at file scope by its own text."""
        return changed_items(self.before.items, self.after.items, self.changed_files)

    @cached_property
    def variables(self) -> frozenset[str]:
        """The variables whose declaration changed, or the value that they begin with."""
        return frozenset(name for one in self.items if one.item.holds_data for name in one.item.names)

    @property
    def begun(self) -> frozenset[str]:
        """The variables that code may write, and that begin with another value or not at all as they did."""
        changed = [one.item for one in self.own_items if one.item.holds_data and one.both]
        return (
            frozenset(name for item in changed if not item.constant for name in item.names) - self.same_data
        )

    @cached_property
    def _data(self) -> frozenset[str]:
        """The names of all variables at file scope."""
        return frozenset(
            name
            for source in (self.before, self.after)
            for items in source.items.values()
            for item in items
            if item.holds_data
            for name in item.names
        )

    @cached_property
    def unaccounted(self) -> list[str]:
        """The files in which no function and no item changed."""
        told = {one.file for one in self.own_items}
        told |= {
            text.file for one in self._paired if not one.same for text in (one.before, one.after) if text
        }
        return sorted(self.changed_files - told)

    @property
    def commented(self) -> list[str]:
        """The files in which nothing but comments and white space changed, outside of functions."""
        return [file for file in self.unaccounted if file not in self.reordered]

    @cached_property
    def reordered(self) -> list[str]:
        """The files that define the same in another order."""
        ours, theirs = self.before.items, self.after.items
        return [file for file in self.unaccounted if ours.get(file) != theirs.get(file)]

    @cached_property
    def items(self) -> list[Changed]:
        """What changed at file scope, by its own text or through a macro, a constant or a variable."""
        found = list(self.own_items)
        known = {(one.file, one.item.kind, one.item.name) for one in found}
        for source in (self.after, self.before):
            for file, items in source.items.items():
                for item in items:
                    through = self.moved.intersection(item.words) - {*item.names}
                    if item.registered or item.kind == Kind.DECLARATION:
                        # What registers or declares a variable is the same, whatever that begins with.
                        through -= self._data
                    if through and (file, item.kind, item.name) not in known and item.kind != Kind.MACRO:
                        known.add((file, item.kind, item.name))
                        found.append(Changed(item, file, through=tuple(sorted(through))))
        return found

    @cached_property
    def moved(self) -> frozenset[str]:
        """Macros, constants and variables whose text changed, or that use one. Structures have layouts."""
        named = {name for name in self._rewritten if " " not in name}
        named |= {name for one in self.own_items for name in one.item.names}
        named -= self.same_data | self.same_values
        while True:
            more = {
                name
                for source in (self.before, self.after)
                for name, text in source.macros.items()
                if name not in named
                and " " not in name
                and text.mentions & named
                and text.uses & named
                and name not in self.same_values
            }
            more |= {
                name
                for source in (self.before, self.after)
                for items in source.items.values()
                for item in items
                if item.holds_data and named.intersection(item.words)
                for name in item.names
                if name not in named | self.same_data
            }
            if not more:
                return frozenset(named)
            named |= more

    @cached_property
    def users(self) -> dict[str, set[str]]:
        """The functions that use each changed macro, constant or variable."""
        found: dict[str, set[str]] = {}
        for one in self.pairs:
            for text in filter(None, (one.before, one.after)):
                for name in self._through(text):
                    found.setdefault(name, set()).add(one.text.name)
        return found

    def _through(self, text: Text) -> tuple[str, ...]:
        if not text.mentions & self.moved:
            return ()
        return tuple(sorted(text.uses & self.moved - {text.name}))

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

        Of the MMU every unit that changed or includes a file that did, or one of these functions; elsewhere
        those that define one.
        """
        functions = list(functions)
        sought = {*self.changed_files, *(one.file for one in functions if one.of_mmu)}
        elsewhere = {one.file for one in functions if not one.of_mmu and one.file.endswith(".c")}
        units = []
        for root, source in zip(self.roots, (self.before, self.after), strict=True):
            mine = {one.file for one in source.functions.values() if one.of_mmu and one.file.endswith(".c")}
            touched = {name for name in mine if self._touched(root, name, sought)}
            units.append(sorted(touched | {name for name in elsewhere if (root / name).exists()}))
        return units[0], units[1]

    def _touched(self, root: Path, unit: str, sought: Collection[str]) -> bool:
        """Whether a unit is ``sought``, or includes a file that is."""
        headers = [name for name in (*self.changed_files, *self.other_files) if name.endswith(".h")]
        if self.generated or not all(name.startswith("arch/x86/kvm/mmu/") for name in headers):
            return True
        seen: set[str] = set()
        waiting = [unit]
        while waiting:
            name = waiting.pop()
            if name in sought:
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
