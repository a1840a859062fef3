# SPDX-License-Identifier: GPL-2.0-only
"""The series that a watcher has judged, those that it has not, and its memory as JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from conformance.differential.verdict import Wording
from conformance.errors import ConformanceError
from conformance.kernels.reading import read_file

__all__ = ["MEMORY", "NOT_APPLIED", "Entry", "Unjudged", "Watched", "Why", "recall"]

MEMORY = "index.json"
"""The file in the directory of the reports."""

NOT_APPLIED = "does not apply"
"""The outcome of a series of which a patch does not apply, unless another changes behaviour."""

_SCHEMA = 1
_MOST = 256 << 20


@dataclass(frozen=True)
class Entry:
    """A series that was judged.

    ``digest`` depends on its Message-IDs and patches, ``key`` on them, the suite, the base and the plan: with
    another key it is judged again. ``status`` is that of `patch`, ``reply`` are the sentences about the worst
    of its patches, ``report`` is the name of its report without suffix. ``newer`` is the version that
    replaces it, or 0.
    """

    digest: str
    key: str
    title: str
    sender: str
    date: float
    patches: int
    base: str
    suite: str
    outcome: str
    status: int
    reply: str
    report: str
    seconds: float
    message_id: str
    newer: int = 0


class Why(Wording):
    """Why mails were not judged."""

    INCOMPLETE = "incomplete"
    REPLACED = "replaced"
    DAMAGED = "damaged"
    FAILED = "could not be judged"
    """For a reason that may not last: it is tried again when the command is started again."""


@dataclass(frozen=True)
class Unjudged:
    """A series by its title, or a mail by the name of its file, that was not judged, and why."""

    why: Why
    name: str
    reason: str


@dataclass
class Watched:
    """The series that were judged, by digest, and what of the mails that are there was not.

    ``others`` counts the mails that are no patches, ``here`` are the digests of the series that are there.
    """

    base: str
    suite: str
    entries: dict[str, Entry]
    unjudged: list[Unjudged] = field(default_factory=list)
    others: int = 0
    here: set[str] = field(default_factory=set)

    @property
    def status(self) -> int:
        """The worst exit status of the series that are there, but for replaced ones; 2 if there are none."""
        judged = [self.entries[digest] for digest in self.here]
        found = {one.status for one in judged if not one.newer}
        if not judged or any(one.why is not Why.REPLACED for one in self.unjudged):
            found.add(2)
        return 1 if 1 in found else max(found, default=0)

    def document(self) -> dict[str, Any]:
        """As plain dicts and lists."""
        return {
            "schema": _SCHEMA,
            "base": self.base,
            "suite": self.suite,
            "series": [asdict(one) for one in self.entries.values()],
            "unjudged": [asdict(one) for one in self.unjudged],
            "others": self.others,
        }


def recall(folder: Path) -> dict[str, Entry]:
    """The series that were judged before, by digest. Raises ConformanceError if the memory is damaged."""
    file = folder / MEMORY
    if not file.exists():
        return {}
    try:
        found = json.loads(read_file(file, _MOST))
        if found["schema"] != _SCHEMA:
            raise ValueError(f"it has schema {found['schema']}")
        return {one["digest"]: _entry(one) for one in found["series"]}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as trouble:
        raise ConformanceError(
            f"{file} is no summary of 'conformance watch' ({trouble}). Name another directory with --out, or "
            "remove the file, after which everything is judged again."
        ) from None


_KINDS: dict[str, tuple[type, ...]] = {"str": (str,), "int": (int,), "float": (int, float)}


def _entry(given: Mapping[str, Any]) -> Entry:
    """An entry from JSON. Raises ValueError or KeyError for another shape."""
    values = {one.name: given[one.name] for one in fields(Entry)}
    for one in fields(Entry):
        if not isinstance(values[one.name], _KINDS[str(one.type)]):
            raise ValueError(f"{one.name} is {values[one.name]!r}")
    return Entry(**values)
