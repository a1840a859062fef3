# SPDX-License-Identifier: GPL-2.0-only
"""Loads and stores at symbolic addresses.

A few possible addresses are enumerated. If there are more, they must be the elements of one object, whose
stores are kept as a list.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterator
from itertools import islice

from conformance.oracles.image import Image
from conformance.symbolic.errors import CannotRun
from conformance.symbolic.memory import Backing, Unmapped, load, store
from conformance.symbolic.path_conditions import Condition, PathConditions
from conformance.symbolic.paths import Array, Path
from conformance.symbolic.solving import Queries
from conformance.symbolic.terms import Term, Terms, Value

__all__ = ["LIMIT", "Pointers"]

LIMIT = 64
"""The largest number of possible addresses that are enumerated."""


class Pointers:
    """Memory as a run sees it. ``die`` is called with the condition under which an access faults."""

    def __init__(
        self,
        image: Image,
        terms: Terms,
        conditions: PathConditions,
        backing: Backing,
        queries: Queries,
        die: Callable[[Path, Condition], None],
    ) -> None:
        self._terms = terms
        self._conditions = conditions
        self._backing = backing
        self._queries = queries
        self._die = die
        self._anywhere: dict[Term, list[int]] = {}
        self._objects = sorted((s.address, s.address + s.size) for s in image.symbols.values() if s.size)

    def load(self, path: Path, address: Value, width: int) -> Value:
        """Load ``width`` bits."""
        if not isinstance(address, Term):
            return self._load(path, address, width)
        found: Value | None = None
        cases = self._cases(path, address, width)
        if cases is None:
            return self._load_element(path, address, width)
        for condition, at in cases:
            value = self._load(path, at, width)
            found = value if found is None else self._terms.ite(condition, value, found, width)
        if found is None:
            raise Unmapped
        return found

    def store(self, path: Path, address: Value, value: Value, width: int) -> None:
        """Store ``width`` bits."""
        if not isinstance(address, Term):
            self._store(path, address, value, width)
            return
        cases = self._cases(path, address, width, writes=True)
        if cases is None:
            self._store_element(path, address, value, width)
            return
        for condition, at in cases:
            kept = self._load(path, at, width)
            self._store(path, at, self._terms.ite(condition, value, kept, width), width)

    # Known addresses

    def _load(self, path: Path, address: int, width: int) -> Value:
        for (first, last), array in path.arrays.items():
            if address <= last and address + width // 8 > first:
                return self._element(path, (first, last), array, address, width)
        return load(self._terms, path.words, self._backing, address, width)

    def _store(self, path: Path, address: int, value: Value, width: int) -> None:
        for (first, last), array in path.arrays.items():
            if address <= last and address + width // 8 > first:
                self._check_element(path, address, width)
                path.arrays[first, last] = ("store", array, address, value)
                return
        store(self._terms, path.words, self._backing, address, value, width)

    # A few

    def _cases(
        self, path: Path, address: Term, width: int, *, writes: bool = False
    ) -> list[tuple[Value, int]] | None:
        """The possible addresses, each with its condition; None if there are too many.

        Under the condition of an address that is not mapped, or not writable, the path dies.
        """
        named = list(islice(self._leaves(address, 1), LIMIT + 1))
        if len(named) <= LIMIT and all(isinstance(at, int) for _, at in named):
            cases = [(self._conditions.of(condition), at) for condition, at in named]
        else:
            values = self._values(path, address, width)
            if values is None:
                return None
            cases = [(self._conditions.of(self._terms.eq(address, at, 64)), at) for at in values]
        found = []
        check = self._backing.check_writable if writes else self._backing.word
        for condition, at in cases:
            assert isinstance(at, int)
            if self._conditions.both(path.condition, condition) == 0:
                continue
            try:
                for number in range(at >> 3, ((at + width // 8 - 1) >> 3) + 1):
                    check(number)
            except Unmapped:
                self._die(path, self._conditions.both(path.condition, condition))
                continue
            found.append((self._conditions.term(condition), at))
        return found

    def _values(self, path: Path, address: Term, width: int) -> list[int] | None:
        """The possible addresses, or a superset of them, if they are few; else None.

        The solver is asked for the exact set only if necessary: that can take as long as the proof itself.
        """
        anywhere = self._anywhere.get(address)
        if anywhere is None:
            anywhere = self._anywhere[address] = self._queries.overapproximated_values(address, LIMIT) or []
        try:
            for at in anywhere:
                self._backing.word(at >> 3)
        except Unmapped:
            anywhere = []
        if not anywhere and width == 64 and self._object(path, address, width) is not None:
            return None
        return anywhere or self._queries.values(address, path.condition, LIMIT)

    def _leaves(self, value: Value, condition: Value) -> Iterator[tuple[Value, Value]]:
        """The leaves of a tree of ites, each with the condition that selects it."""
        if not isinstance(value, Term) or value.op != "ite":
            yield condition, value
            return
        when, a, b = value.args
        yield from self._leaves(a, self._terms.and_(condition, when, 1))
        yield from self._leaves(b, self._terms.and_(condition, self._terms.not_(when, 1), 1))

    # Many: elements of one object

    def _object(self, path: Path, address: Term, width: int) -> tuple[int, int] | None:
        """The first and the last address of the object that always contains ``address``, if there is one."""
        for key in path.arrays:
            if self._queries.within(address, path.condition, *key, width // 8):
                return key
        some = self._queries.some(address, path.condition)
        if some is None:
            return None
        at = bisect_right(self._objects, (some, 1 << 64)) - 1
        if at >= 0 and some < self._objects[at][1]:
            first, end = self._objects[at]
            if first % 8 == 0 and self._queries.within(address, path.condition, first, end - 1, width // 8):
                return first, end - 1
        return None

    def _needed_object(self, path: Path, address: Term, width: int) -> tuple[int, int]:
        found = self._object(path, address, width)
        if found is None:
            raise CannotRun(f"an address has more than {LIMIT} values, and they are not all in one object")
        return found

    def _check_element(self, path: Path, address: Value, width: int) -> None:
        if width != 64 or (isinstance(address, int) and address % 8):
            raise CannotRun(f"an access with more than {LIMIT} possible addresses is not a whole word")

    def _load_element(self, path: Path, address: Term, width: int) -> Value:
        key = self._needed_object(path, address, width)
        return self._element(path, key, path.arrays.get(key, ()), address, width)

    def _store_element(self, path: Path, address: Term, value: Value, width: int) -> None:
        self._check_element(path, address, width)
        key = self._needed_object(path, address, width)
        self._backing.check_writable(key[0] >> 3)
        path.arrays[key] = ("store", path.arrays.get(key, ()), address, value)

    def _element(self, path: Path, key: tuple[int, int], array: Array, address: Value, width: int) -> Value:
        """Load an element of an object, given the stores to it."""
        if array:
            self._check_element(path, address, width)
        if not array:
            return self._untouched(path, key, address, width)
        if array[0] == "ite":
            a, b = (self._element(path, key, part, address, width) for part in array[2:])
            return self._terms.ite(array[1], a, b, width)
        _, before, at, value = array
        same = self._terms.eq(address, at, 64)
        if same == 1:
            return value
        return self._terms.ite(same, value, self._element(path, key, before, address, width), width)

    def _untouched(self, path: Path, key: tuple[int, int], address: Value, width: int) -> Value:
        first, last = key
        if isinstance(address, int):
            return load(self._terms, path.words, self._backing, address, width)
        step = width // 8
        places = range(first, last + 2 - step, step)
        values = [load(self._terms, path.words, self._backing, at, width) for at in places]
        if all(value is values[0] or value == values[0] for value in values):
            return values[0]
        if len(values) > 8 * LIMIT:
            raise CannotRun(f"an address has more than {8 * LIMIT} values")
        found = values[-1]
        for at, value in zip(places[:-1], values, strict=False):
            found = self._terms.ite(self._terms.eq(address, at, 64), value, found, width)
        return found
