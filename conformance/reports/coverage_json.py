# SPDX-License-Identifier: GPL-2.0-only
"""Coverage as JSON, schema 1: each line and function with its state, and what executes it first."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import conformance
from conformance.coverage.compared.mutants import Compared, Judged, Outcome
from conformance.coverage.data import Coverage
from conformance.coverage.outcome import Changed, KernelCoverage, State, Sums
from conformance.reports.json import SCHEMA, plain

__all__ = ["document", "render"]


def document(kernels: Sequence[KernelCoverage], rule: Sequence[str]) -> dict[str, Any]:
    """The coverage of kernels as plain dicts and lists."""
    return {
        "schema": SCHEMA,
        "version": conformance.__version__,
        "rule": [*rule],
        "kernels": [_kernel(kernel) for kernel in kernels],
    }


def render(kernels: Sequence[KernelCoverage], rule: Sequence[str]) -> str:
    """The coverage of kernels as JSON text, ASCII only."""
    return json.dumps(document(kernels, rule), indent=1, ensure_ascii=True, allow_nan=False) + "\n"


def _kernel(kernel: KernelCoverage) -> dict[str, Any]:
    return {
        "selector": plain(kernel.selector),
        "version": plain(kernel.version),
        "drift": None if kernel.drift is None else plain(kernel.drift),
        **({"notes": [plain(note) for note in kernel.notes]} if kernel.notes else {}),
        "layers": {name: _sums(kernel.total(name)) for name in kernel.coverage.layers},
        "missing": {name: plain(reason) for name, reason in kernel.coverage.missing.items()},
        "files": [_file(kernel, name) for name in kernel.files],
        "summary": _sums(kernel.total()),
        "faults": [plain(fault) for fault in (*kernel.unreachable.faults, *kernel.astray)],
        **({} if kernel.changed is None else {"changed": [_changed(one) for one in kernel.changed]}),
        **({} if kernel.compared is None else {"compared": _compared(kernel.compared)}),
    }


def _sums(sums: Sums) -> dict[str, Any]:
    return {
        "lines": {"executed": sums.lines[0], "counted": sums.lines[1]},
        "branches": {"executed": sums.branches[0], "counted": sums.branches[1]},
        "functions": {"executed": sums.functions[0], "counted": sums.functions[1]},
        "unreachable": sums.unreachable,
    }


def _file(kernel: KernelCoverage, name: str) -> dict[str, Any]:
    file, states = kernel.files[name], kernel.states[name]
    reasons = kernel.unreachable.lines.get(name, {})
    return {
        "file": name,
        "summary": _sums(kernel.sums(name)),
        "functions": [
            {
                "function": one.name,
                "first": one.first,
                "last": one.last,
                "count": one.count,
                "lines": {state.value: count for state, count in kernel.counts(name, one.name).items()},
                "executed_by": _runs(kernel.coverage, kernel.runs_of_function(one.name)),
            }
            for one in file.functions.values()
        ],
        "lines": [
            {
                "line": number,
                "state": states[number].value,
                "count": line.count,
                "branches": [*line.branches],
                "executed_by": _runs(kernel.coverage, kernel.runs_of_line(name, number)),
                **({"reason": reasons[number].reason} if states[number] is State.UNREACHABLE else {}),
            }
            for number, line in file.lines.items()
        ],
    }


def _runs(coverage: Coverage, runs: Sequence[tuple[str, str]]) -> dict[str, Any]:
    """By layer: the first run that executes something, and how many do."""
    found: dict[str, list[str]] = {layer: [] for layer in coverage.layers}
    for layer, run in runs:
        found[layer].append(run)
    return {layer: {"first": names[0], "runs": len(names)} for layer, names in found.items() if names}


def _changed(changed: Changed) -> dict[str, Any]:
    return {"file": changed.file, "lines": changed.lines, "dark": [*changed.dark]}


def _compared(compared: Compared) -> dict[str, Any]:
    low, high = compared.interval
    return {
        "seed": compared.seed,
        "planted": len(compared.judged),
        "executed": compared.executed,
        "plantable": compared.plantable,
        "rejected": compared.rejected,
        "share": compared.share,
        "interval": [low, high],
        "outcomes": {outcome.value: len(compared.of(outcome)) for outcome in Outcome},
        "mutants": [_judged(one) for one in compared.judged],
    }


def _judged(judged: Judged) -> dict[str, Any]:
    mutant, (layer, run, mode) = judged.mutant, judged.by
    return {
        "file": mutant.file,
        "line": mutant.line,
        "function": mutant.function,
        "operator": mutant.operator,
        "before": plain(mutant.before),
        "after": plain(mutant.after),
        "outcome": judged.outcome.value,
        "by": {"layer": layer, "run": run, "mode": mode} if run else None,
        "how": plain(judged.how),
        "executed_by": [{"layer": layer, "run": run} for layer, run in judged.executed_by],
    }
