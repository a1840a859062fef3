# SPDX-License-Identifier: GPL-2.0-only
"""Which operators there are, in which groups, and which of them a user chooses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase

from conformance.coverage.compared.atomics import ATOMICS
from conformance.coverage.compared.concurrency import CONCURRENCY, ORDERING, RCU
from conformance.coverage.compared.locks import LOCKS
from conformance.coverage.compared.operators import OPERATORS
from conformance.errors import ConformanceError

__all__ = ["GROUPS", "chosen_operators"]

GROUPS: Mapping[str, tuple[str, ...]] = {
    "sequential": tuple(OPERATORS),
    "concurrency": CONCURRENCY,
    "locks": LOCKS,
    "atomics": ATOMICS,
    "rcu": RCU,
    "ordering": ORDERING,
}
"""The operators of each group. Each operator is in the first or the second one."""


def chosen_operators(patterns: Sequence[str]) -> frozenset[str]:
    """The operators whose name, or the name of a group of theirs, matches a pattern; all without patterns.

    Raises ConformanceError if a pattern matches nothing.
    """
    chosen: set[str] = set()
    for pattern in patterns or ("*",):
        groups = [names for group, names in GROUPS.items() if fnmatchcase(group, pattern)]
        found = {name for names in groups for name in names}
        found |= {name for name in (*OPERATORS, *CONCURRENCY) if fnmatchcase(name, pattern)}
        if not found:
            raise ConformanceError(
                f"No operator is called {pattern}; there are the groups {', '.join(GROUPS)}, and the "
                f"operators {', '.join((*OPERATORS, *CONCURRENCY))}; * stands for any text."
            )
        chosen |= found
    return frozenset(chosen)
