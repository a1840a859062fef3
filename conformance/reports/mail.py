# SPDX-License-Identifier: GPL-2.0-only
"""The report as plain text for a mail, folded at 72 columns except for commands, which can be copied."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence

from conformance.differential.verdict import PROVE, KernelReport, Report, Verdict
from conformance.reports.difference import difference
from conformance.reports.grouping import differences
from conformance.reports.rows import ALL, by_property, rows, worst
from conformance.reports.text import line

__all__ = ["WIDTH", "folded", "render"]

WIDTH = 72
_INDENT = " " * 4


def render(report: Report) -> str:
    """The report as the text of a mail."""
    text: list[str] = []
    for kernel in report.kernels:
        text += [*_kernel(kernel, report.seed), ""]
    return _joined(text or ["No kernel was asked for, so nothing was compared."])


def _joined(text: Sequence[str]) -> str:
    return "\n".join(text).rstrip() + "\n"


def _kernel(kernel: KernelReport, seed: int | None) -> Iterator[str]:
    """The lines of one kernel: the number of each verdict, the differences, and what could not be judged."""
    yield from folded(f"{kernel.title} ({kernel.version})" if kernel.version else kernel.title)
    if kernel.compiler:
        yield from folded(f"compiled with {kernel.compiler}", _INDENT)
    if kernel.disagreement is not None:
        yield from folded(f"{Verdict.ERROR}: {kernel.disagreement}", _INDENT)
    for note in kernel.remarks:
        yield from folded(f"note: {note}", _INDENT)
    if kernel.unreached is not None:
        yield from folded(f"{Verdict.SKIP}: {kernel.unreached}", _INDENT)
        return
    results = rows(kernel)
    groups = {name: worst(group) for name, group in by_property(results).items() if name != ALL}
    counts = [f"{[*groups.values()].count(verdict)} {verdict}" for verdict in Verdict]
    verdicts = ", ".join(count for count in counts if not count.startswith("0 "))
    cases = sum(result.cases for result in results)
    if groups:
        tally = "1 property" if len(groups) == 1 else f"{len(groups)} properties"
        yield from folded(f"{tally}: {verdicts}; {cases:,} cases", _INDENT)
    proofs = [result for result in results if result.engine == PROVE]
    proved = sum(result.verdict is Verdict.PASS for result in proofs)
    if proved:
        yield from folded(f"{proved} of {len(proofs)} proved for every input", _INDENT)
    for found in differences(results):
        yield ""
        yield from difference(found.shown, kernel.title, seed, others=found.others, width=WIDTH)
    reasons: dict[str, list[str]] = {}
    for result in proofs:
        if result.verdict is Verdict.SKIP:
            reasons.setdefault(line(result.reason), []).append(result.property)
    for result in results:
        if result.verdict in (Verdict.ERROR, Verdict.MISS):
            said = f"{result.verdict}: {line(result.reason) or 'no reason was given'}"
            reasons.setdefault(said, []).append(result.property)
    for said, properties in reasons.items():
        where = ", ".join(dict.fromkeys(name for name in properties if name != ALL))
        yield from folded(f"{said} ({where})" if where else said, _INDENT)


def folded(text: str, indent: str = "") -> list[str]:
    """``text`` folded at WIDTH with a hanging indent; long words are not broken."""
    return textwrap.wrap(
        line(text),
        WIDTH,
        initial_indent=indent,
        subsequent_indent=f"{indent}  ",
        break_on_hyphens=False,
        break_long_words=False,
    )
