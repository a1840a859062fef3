# SPDX-License-Identifier: GPL-2.0-only
"""Prove that changed functions are equivalent: by their machine code, compiled apart or as built."""

from __future__ import annotations

from collections.abc import Iterable

from conformance.kernels import Cache, Kernel, Progress
from conformance.kernels.machine_code import APART, AS_BUILT, Code, compile_code
from conformance.review.data import compile_data
from conformance.review.file_scope import Changed
from conformance.review.functions import inlined_into
from conformance.review.pairing import Pair
from conformance.review.texts import Texts
from conformance.review.units import units_of

__all__ = ["Proofs"]


class Proofs:
    """The code of both kernels and what it proves; compiled on demand."""

    def __init__(self, before: Kernel, after: Kernel, texts: Texts, cache: Cache, progress: Progress) -> None:
        self._kernels = before, after
        self._texts = texts
        self._cache = cache
        self._progress = progress
        self._apart: tuple[Code, Code] | None = None

    def apart(self, pairs: Iterable[Pair]) -> dict[str, str]:
        """The functions whose code, compiled apart, is equal: name and explanation.

        For a function without code of its own, all functions that it is inlined into must be equal.
        """
        changed = list(pairs)
        before, after = self._compiled_apart(changed)
        equal = {name for name, forms in after.forms.items() if before.forms.get(name) == forms}
        found: dict[str, str] = {}
        for one in changed:
            own = [symbol for symbol in one.text.symbols if symbol in after.forms]
            folded = set() if own else self._folded(one)
            if own and equal.issuperset(own):
                found[one.text.name] = ""
            elif folded and equal >= folded:
                what = f"all {len(folded)} functions" if len(folded) > 1 else next(iter(folded))
                found[one.text.name] = f"it has no code of its own; {what} that it is part of"
        return found

    def differing(self, pairs: Iterable[Pair]) -> set[str]:
        """The functions whose code, compiled apart, differs.

        A function defined by a macro call at file scope has no text; those that refer to it are returned.
        """
        own = list(pairs)
        before, after = self._compiled_apart([one for one in own if not one.same])
        names = {*before.forms, *after.forms}
        other = {name for name in names if before.forms.get(name) != after.forms.get(name)}
        written = {symbol for one in own for symbol in one.symbols}
        for name in other - written:
            other |= {*before.users.get(name, ()), *after.users.get(name, ())}
        return {one.text.name for one in own if other.intersection(one.symbols)}

    def same_data(self, items: Iterable[Changed]) -> set[str]:
        """The variables among ``items`` whose data, as the kernel is built, are the same on both kernels."""
        items = [one for one in items if one.both and one.item.holds_data]
        units = sorted({one.file for one in items if one.file.endswith(".c")})
        if not units or any(not (root / unit).is_file() for root in self._texts.roots for unit in units):
            return set()
        self._progress(f"{self._kernels[1].title}: comparing the data of {len(units)} units")
        before, after = (compile_data(kernel, units, self._cache) for kernel in self._kernels)
        names = {name for one in items for name in one.item.names}
        return {name for name in names if name in before and before[name] == after.get(name)}

    def compiled(self, one: Pair) -> bool:
        """Whether a function is compiled at all in this configuration."""
        assert self._apart is not None
        has_code = any(symbol in self._apart[1].forms for symbol in one.text.symbols)
        return has_code or bool(self._folded(one))

    def as_built(self, pairs: Iterable[Pair]) -> dict[str, str]:
        """The functions that are equal as built: in all functions that they can be inlined into."""
        assert self._apart is not None
        changed = list(pairs)
        before, after = self._compile(changed, AS_BUILT, "as the kernel is built")
        equal = {name for name, forms in after.forms.items() if before.forms.get(name) == forms}
        found: dict[str, str] = {}
        for one in changed:
            symbols = {*one.text.symbols, *self._folded(one)}
            around = self._apart[0].with_users(symbols) | self._apart[1].with_users(symbols)
            around &= {*before.forms, *after.forms}
            if around and equal >= around:
                found[one.text.name] = f"as built: {len(around)} functions of which it is part or that use it"
        return found

    def _compiled_apart(self, pairs: list[Pair]) -> tuple[Code, Code]:
        self._apart = self._apart or self._compile(pairs, APART, "each function apart")
        return self._apart

    def _folded(self, one: Pair) -> set[str]:
        assert self._apart is not None
        symbols = self._apart[1].forms
        found = inlined_into(one.text.name, self._texts.after, symbols)
        if one.before is not None:
            old = inlined_into(one.before.name, self._texts.before, self._apart[0].forms)
            renamed = self._texts.symbols()
            found |= {renamed.get(name, name) for name in old}
        return found

    def _compile(self, pairs: list[Pair], flags: tuple[str, ...], how: str) -> tuple[Code, Code]:
        ours, theirs = units_of(self._texts, [one.text for one in pairs])
        before, after = self._kernels
        self._progress(f"{after.title}: compiling {len(theirs)} units, {how}")
        return (
            compile_code(before, ours, flags, self._cache, self._texts.symbols()),
            compile_code(after, theirs, flags, self._cache, {}),
        )
