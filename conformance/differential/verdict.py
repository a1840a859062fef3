# SPDX-License-Identifier: GPL-2.0-only
"""Verdicts, results and counterexamples: engines make them, reports show them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from conformance.kernels import Kernel

__all__ = [
    "AGREEMENT",
    "PROVE",
    "Counterexample",
    "Finding",
    "KernelReport",
    "Report",
    "Result",
    "Source",
    "Verdict",
    "Wording",
    "case_text",
]

PROVE = "prove"
"""The engine whose PASS holds for every input. Its cases are those on which its formulas were checked."""

AGREEMENT = "agreement"
"""In place of an engine's name: two oracles of one kernel were compared.

Their agreement says nothing about the model and does not count as a comparison with it.
"""


def case_text(words: Iterable[int]) -> str:
    """Words of a case as ``--case`` takes them: in hex, joined by commas."""
    return ",".join(f"{word:#x}" for word in words)


class Wording(str, Enum):
    """An enum whose values are texts for people; str() gives the text."""

    def __str__(self) -> str:
        return self.value


class Verdict(Wording):
    """The outcome of one property, in one mode, by one engine, on one kernel."""

    PASS = "PASS"
    """Compared, and every observation agreed."""
    FAIL = "FAIL"
    """A difference was found; a counterexample is attached."""
    SKIP = "SKIP"
    """Nothing to compare here, for the reason given."""
    ERROR = "ERROR"
    """Could not be judged, for the reason given."""
    MISS = "MISS"
    """Expected for this kernel, but did not run."""


@dataclass(frozen=True)
class Counterexample:
    """The smallest input found on which kernel and model differ.

    ``inputs`` maps column names to 64-bit words; ``decoded`` has the text of those that can be decoded.
    ``kernel`` and ``model`` map outputs of the left and the right side to text, those that differ first, and
    ``sides`` are the names of the two in reports. ``crash`` is set when kernel code died or hung on the input
    instead of answering. ``again`` is the command that reproduces it. A scenario has ``steps`` for inputs.
    ``details`` are lines to be printed as they are: a diff of transcripts, the transcript of a crash.

    ``rule`` is the broken rule, in a sentence, and ``source`` where it is written; ``rank`` is its place in
    the tables of rules. Where no known rule is broken both are "", and ``differs`` names what differs.
    ``legal`` is whether callers in the kernel can give the inputs (None without inputs), ``precondition``
    the one that they break if not. ``written`` are inputs as reports write them.
    """

    inputs: dict[str, int]
    decoded: dict[str, str]
    kernel: dict[str, str]
    model: dict[str, str]
    again: str
    crash: str | None = None
    steps: tuple[str, ...] = ()
    details: tuple[str, ...] = ()
    sides: tuple[str, str] = ("kernel", "model")
    rule: str = ""
    source: str = ""
    rank: int = 0
    differs: str = ""
    legal: bool | None = None
    precondition: str = ""
    written: dict[str, str] = field(default_factory=dict)

    @property
    def case(self) -> str:
        """The inputs as ``--case`` takes them: hex words in column order, joined by commas."""
        return case_text(self.inputs.values())

    @property
    def weight(self) -> tuple[bool, int, int, int]:
        """The order in which counterexamples are preferred: legal, by rank of the rule, few bits, small."""
        words = self.inputs.values()
        return self.legal is False, self.rank, sum(word.bit_count() for word in words), sum(words)


@dataclass(frozen=True)
class Finding:
    """A known fault of a kernel: the story that shows it, what is wrong, and what mends it.

    ``mended`` is an upstream commit if ``upstream``, else a sentence on what is known of a fix. ``places``
    say where this run has seen it: in which mode and step. None if the run only knows of it.
    """

    story: str
    wrong: str
    mended: str
    upstream: bool
    places: tuple[str, ...]

    @property
    def mends(self) -> str:
        """What mends it, as text."""
        return f"mended by {self.mended}, which this kernel lacks" if self.upstream else self.mended

    def __str__(self) -> str:
        more = f"; and {len(self.places) - 1} more" if len(self.places) > 1 else ""
        place = f" ({self.places[0]}{more})" if self.places else ""
        return f"finding: {self.wrong}; {self.story} shows it{place}; {self.mends}"


@dataclass(frozen=True)
class Result:
    """One line of the report.

    ``cases`` counts compared inputs, ``seconds`` is wall time. ``reason`` says why a verdict is not
    PASS or FAIL, or what a PASS covers (``"2^11 combinations of 11 bits"``). ``mode`` and ``engine``
    are ``"-"`` where a verdict holds for all of them. ``explored`` is what was seen
    of a race without a finding, in numbers. ``findings`` are known faults of the kernel that were seen.
    """

    property: str
    oracle: str
    engine: str
    mode: str
    verdict: Verdict
    cases: int = 0
    seconds: float = 0.0
    reason: str = ""
    counterexample: Counterexample | None = None
    explored: Mapping[str, int | bool | None] | None = None
    findings: tuple[Finding, ...] = ()

    def compared(self) -> int:
        """The number of cases on which a kernel was compared with the model."""
        return 0 if self.engine == AGREEMENT else self.cases


@dataclass(frozen=True)
class Source:
    """Where a kernel's code comes from, as far as that is known; "" for what is not.

    ``commit`` is the full name of the commit that patches were applied to, ``patches`` are their SHA-256 in
    order. ``message_id`` is that of the mail with the last one. ``digest`` covers all code that was compiled.
    """

    commit: str = ""
    patches: tuple[str, ...] = ()
    message_id: str = ""
    digest: str = ""


@dataclass
class KernelReport:
    """Everything said about one kernel.

    ``title`` is how the user named it, patches included (``"6.1 + fix.mbox"``); ``drift`` is a
    sentence where the pinned package was not to be had, else None. ``error`` holds the sentences
    explaining why the kernel could not be judged at all (then ``results`` is empty). ``unreached`` says
    why the oracle has no way into this kernel: it is skipped, which is no failure if others are judged.
    ``semantics`` says whether it answers as the kernel of its series that was blessed, if that was compared.
    ``compiler`` is what compiled the code that was asked, with its version; "" where it is not known.
    ``disagreement`` says in what two oracles of this kernel differ: that is to be read first.
    ``seconds`` is the wall time until it was judged, None if that was not measured: results that were made
    side by side cannot be added up; ``prepared`` of them it took to fetch and compile the kernel. ``places``
    are the file and the line of the function that a property is about, for those that differ. ``notes`` say
    how patches were applied, where that was not exact. ``known`` are faults that the kernel is known to have.
    ``source`` is None if nothing is known of it.
    """

    selector: str
    title: str
    version: str
    drift: str | None = None
    error: str | None = None
    unreached: str | None = None
    semantics: str | None = None
    disagreement: str | None = None
    compiler: str = ""
    results: list[Result] = field(default_factory=list)
    seconds: float | None = None
    prepared: float = 0.0
    places: Mapping[str, tuple[str, int]] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    known: tuple[Finding, ...] = ()
    source: Source | None = None

    @classmethod
    def of(cls, kernel: Kernel) -> KernelReport:
        """The report of a kernel that was opened, without results yet."""
        return cls(
            kernel.selector,
            kernel.title,
            kernel.version,
            kernel.drift,
            notes=kernel.notes,
            compiler=kernel.compiler.text,
            source=Source(kernel.commit, kernel.patches, digest=kernel.fingerprint),
        )

    @classmethod
    def unopened(
        cls,
        selector: str,
        patches: Sequence[Path] = (),
        *,
        error: str | None = None,
        unreached: str | None = None,
    ) -> KernelReport:
        """The report of a kernel that could not be opened or built: ``error`` or ``unreached`` says why."""
        title = " + ".join([selector, *(patch.name for patch in patches)])
        return cls(selector, title, "", error=error, unreached=unreached)

    @property
    def remarks(self) -> tuple[str, ...]:
        """The lines that reports print before the kernel's results."""
        return (*filter(None, [self.drift]), *self.notes, *map(str, self.findings))

    @property
    def findings(self) -> tuple[Finding, ...]:
        """The kernel's known faults that its results show, then others that it is known to have."""
        shown: dict[str, Finding] = {}
        for finding in (*(one for result in self.results for one in result.findings), *self.known):
            before = shown.setdefault(finding.wrong, replace(finding, places=()))
            shown[finding.wrong] = replace(before, places=(*before.places, *finding.places))
        return tuple(shown.values())


@dataclass
class Report:
    """A whole run. ``seed`` reproduces it; None where nothing was drawn. ``seconds`` is its wall time."""

    kernels: list[KernelReport]
    seed: int | None
    seconds: float | None = None

    @property
    def summary(self) -> dict[str, int]:
        """How many results came to each verdict; every verdict is named, the absent ones with 0."""
        seen = Counter(result.verdict for kernel in self.kernels for result in kernel.results)
        return {verdict.value: seen[verdict] for verdict in Verdict}

    @property
    def status(self) -> int:
        """The exit status: 1 a difference, else 2 if anything could not be judged or nothing was compared.

        A kernel in which nothing was compared is not a pass, unless the oracle cannot reach it and another
        was judged.
        """
        results = [result for kernel in self.kernels for result in kernel.results]
        if any(result.verdict is Verdict.FAIL for result in results):
            return 1
        unjudged = any(result.verdict in (Verdict.ERROR, Verdict.MISS) for result in results)
        failed = any(kernel.error for kernel in self.kernels)
        reached = [kernel for kernel in self.kernels if kernel.unreached is None]
        idle = any(not any(result.compared() for result in kernel.results) for kernel in reached)
        return 2 if unjudged or failed or idle or not reached else 0
