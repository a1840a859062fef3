# SPDX-License-Identifier: GPL-2.0-only
"""What changed in the text: functions of the MMU, and the functions of KVM that they reach.

A function is unchanged if its text is, and that of every macro and constant that it uses. The functions that
it calls are judged separately.
"""

from __future__ import annotations

from functools import cached_property

from conformance.kernels import Kernel
from conformance.kernels.manifest import Manifest
from conformance.kernels.renames import RENAMED
from conformance.review.file_scope import Changed, changed_items
from conformance.review.functions import MMU, Source, Text, files_of, read_source
from conformance.review.items import Kind
from conformance.review.pairing import Pair, pair

__all__ = ["Texts"]

_EMULATOR = "x86_emulate_instruction"
"""Functions reached only through the instruction emulator do not count as reached by the MMU."""


class Texts:
    """The text of both kernels, and the functions to compare."""

    def __init__(self, before: Kernel, after: Kernel) -> None:
        self.roots = before.root / "src", after.root / "src"
        named = [files_of(root) for root in self.roots]
        digests = [Manifest.now(kernel.root).digests for kernel in (before, after)]
        every = {name for name in {*digests[0], *digests[1]} if digests[0].get(name) != digests[1].get(name)}
        files = frozenset(name.removeprefix("src/") for name in every if name.startswith("src/"))
        self.changed_files = files & {*named[0], *named[1]}
        self.other_files = files - self.changed_files
        """Changed files that are not read by function: other headers, vendor modules, lib."""
        self.generated = tuple(sorted(name for name in every if name.startswith("gen/")))
        self.same_data: frozenset[str] = frozenset()
        """Variables whose declaration changed, but whose data are proved equal."""
        self.same_values: frozenset[str] = frozenset()
        """Enumerators of changed enumerations whose own value did not change."""
        wanted = [[name for name in names if self._matters(name)] for names in named]
        self.before = read_source(self.roots[0], wanted[0] if every else ())
        self.after = read_source(self.roots[1], wanted[1] if every else ())
        self.renamed = pair(self.before.functions, self.after.functions)

    def _matters(self, file: str) -> bool:
        """Whether a file is read: it belongs to the MMU, or it changed."""
        return file.startswith(MMU) or file in self.changed_files

    @cached_property
    def pairs(self) -> list[Pair]:
        """The MMU's functions, and the changed functions elsewhere in KVM that the MMU reaches."""
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
        """Every function that was read, in both kernels."""
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
        """The items at file scope whose own text changed."""
        return changed_items(self.before.items, self.after.items, self.changed_files)

    @cached_property
    def variables(self) -> frozenset[str]:
        """The variables whose declaration or initial value changed."""
        return frozenset(name for one in self.items if one.item.holds_data for name in one.item.names)

    @property
    def begun(self) -> frozenset[str]:
        """The writable variables whose declaration or initial value changed."""
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
        accounted = {one.file for one in self.own_items}
        accounted |= {
            text.file for one in self._paired if not one.same for text in (one.before, one.after) if text
        }
        return sorted(self.changed_files - accounted)

    @property
    def commented(self) -> list[str]:
        """The files in which only comments and white space changed, outside of functions."""
        return [file for file in self.unaccounted if file not in self.reordered]

    @cached_property
    def reordered(self) -> list[str]:
        """The files that define the same items in another order."""
        ours, theirs = self.before.items, self.after.items
        return [file for file in self.unaccounted if ours.get(file) != theirs.get(file)]

    @cached_property
    def items(self) -> list[Changed]:
        """The items at file scope that changed, by their own text or through a name that they use."""
        found = list(self.own_items)
        known = {(one.file, one.item.kind, one.item.name) for one in found}
        for source in (self.after, self.before):
            for file, items in source.items.items():
                for item in items:
                    through = self.moved.intersection(item.words) - {*item.names}
                    if item.registered or item.kind == Kind.DECLARATION:
                        # Registering or declaring a variable does not depend on its initial value.
                        through -= self._data
                    if through and (file, item.kind, item.name) not in known and item.kind != Kind.MACRO:
                        known.add((file, item.kind, item.name))
                        found.append(Changed(item, file, through=tuple(sorted(through))))
        return found

    @cached_property
    def moved(self) -> frozenset[str]:
        """Macros, constants and variables whose text changed, or that use such a name; no structures."""
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

    @property
    def decided(self) -> bool:
        """Whether only the changed functions can make the kernels behave differently.

        A changed variable without a user in the text may be used through a pointer.
        """
        return not any(
            one.item.holds_data and one.both and not any(self.users.get(name) for name in one.item.names)
            for one in self.items
        )

    def _through(self, text: Text) -> tuple[str, ...]:
        if not text.mentions & self.moved:
            return ()
        return tuple(sorted(text.uses & self.moved - {text.name}))

    def _reached(self, source: Source) -> set[str]:
        """The functions that the MMU's functions mention, directly or indirectly."""
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
        """Renames made by this change, without the known ones between releases."""
        return {old: new for old, new in self.renamed.items() if (old, new) not in RENAMED and "(" not in old}

    def symbols(self) -> dict[str, str]:
        """The symbols of renamed functions, from old to new."""
        return {
            old: new
            for name, after in self.renamed.items()
            for old, new in zip(
                self.before.functions[name].symbols, self.after.functions[after].symbols, strict=False
            )
        }
