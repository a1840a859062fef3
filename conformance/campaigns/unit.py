# SPDX-License-Identifier: GPL-2.0-only
"""Units of work: small, pure and picklable, each with an id that depends on its definition and the suite."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any, Protocol

import conformance
from conformance.differential.verdict import Result

__all__ = ["Done", "Kind", "Order", "Patch", "Row", "Unit", "suite_version"]


@dataclass(frozen=True)
class Patch:
    """A patch, which workers on other machines have no file of: its path as it was given, and its content."""

    path: str
    content: bytes

    @property
    def digest(self) -> str:
        """A digest of the content."""
        return hashlib.sha256(self.content).hexdigest()


@dataclass(frozen=True)
class Order:
    """What all units of a campaign share. ``compiler`` is the command that compiles kernel code."""

    kernels: tuple[str, ...]
    patches: tuple[Patch, ...]
    modes: tuple[str, ...]
    seed: int
    compiler: str

    @property
    def definition(self) -> dict[str, Any]:
        """The order as plain data."""
        return {
            "kernels": [*self.kernels],
            "patches": [patch.digest for patch in self.patches],
            "modes": [*self.modes],
            "seed": self.seed,
            "compiler": self.compiler,
        }


@dataclass(frozen=True)
class Unit:
    """A unit of work: its kind, its definition as JSON text, and a few words for people.

    ``given``: what earlier units have found, as far as this one depends on it; see guide.py. It is no part of
    the id: the definition says which units those are.
    """

    kind: str
    definition: str
    label: str
    given: bytes = b""

    @classmethod
    def of(cls, kind: str, label: str, **definition: object) -> Unit:
        """A unit with this definition, which is plain data."""
        return cls(kind, json.dumps(definition, sort_keys=True), label)

    @property
    def id(self) -> str:
        """The id, which is the same on every machine with the same version of the suite."""
        text = f"{suite_version()}\0{self.kind}\0{self.definition}"
        return hashlib.sha256(text.encode()).hexdigest()[:24]

    @property
    def defined(self) -> Any:
        """The definition as plain data."""
        return json.loads(self.definition)

    def row(self, verdict: str, reason: str) -> Row:
        """The row of a unit that could not be carried out to its end."""
        given = self.defined
        return Row(
            self.kind, verdict, kernel=given.get("kernel", ""), mode=given.get("mode", ""), reason=reason
        )


@dataclass(frozen=True)
class Row:
    """One row of the results; conformance.campaigns.schema describes its columns, in the same order."""

    subject: str
    verdict: str
    kernel: str = ""
    version: str = ""
    oracle: str = ""
    engine: str = ""
    mode: str = ""
    reason: str = ""
    steps: int = 0
    seconds: float = 0.0
    counterexample: str = ""
    again: str = ""
    details: str = ""

    @classmethod
    def of(cls, kernel: str, version: str, result: Result) -> Row:
        """A result of a comparison as a row."""
        found = result.counterexample
        return cls(
            subject=result.property,
            verdict=result.verdict.value,
            kernel=kernel,
            version=version,
            oracle=result.oracle,
            engine=result.engine,
            mode=result.mode,
            reason=result.reason,
            steps=result.cases,
            seconds=result.seconds,
            counterexample="" if found is None else json.dumps(asdict(found)),
            again="" if found is None else found.again,
        )


@dataclass(frozen=True)
class Done:
    """The rows of a unit that was carried out, on which host, in how many seconds."""

    unit: Unit
    host: str
    seconds: float
    rows: tuple[Row, ...]
    suite: str
    """The version of the suite on the worker."""


class Kind(Protocol):
    """A kind of campaign. It is pickled and sent to workers, which call prepare() and run()."""

    @property
    def name(self) -> str:
        """The name of the kind."""

    @property
    def compiles(self) -> bool:
        """Whether workers need a compiler."""

    @property
    def definition(self) -> dict[str, Any]:
        """What the campaign is about, as plain data; two campaigns with the same have units in common."""

    def units(self) -> Sequence[Unit]:
        """The units in the order in which they are handed out. Raises ConformanceError."""

    def preparations(self) -> Sequence[str]:
        """What each host is to prepare before units are measured there."""

    def prepare(self, what: str) -> None:
        """Prepare one of these on this host. Raises ConformanceError."""

    def run(self, unit: Unit) -> list[Row]:
        """Carry out a unit. Raises ConformanceError if it cannot be judged."""


_SUFFIXES = {".py", ".c", ".h", ".S", ".toml", ".config"}
_NO_PART = {"vendor_headers", "golden", "reports", "cli"}
"""Folders that do not decide about results."""


@cache
def suite_version() -> str:
    """The version of the suite: its number, and a digest of the code that decides about results."""
    package = Path(conformance.__file__).parent
    digest = hashlib.sha256()
    for path in sorted(package.rglob("*")):
        name = path.relative_to(package)
        if path.suffix in _SUFFIXES and name.parts[0] not in _NO_PART and path.is_file():
            digest.update(f"{name}\0".encode() + path.read_bytes() + b"\0")
    return f"{conformance.__version__}+{digest.hexdigest()[:12]}"
