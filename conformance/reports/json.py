# SPDX-License-Identifier: GPL-2.0-only
"""The report as JSON, schema 1. Its keys are an interface: a change of meaning needs a new schema."""

from __future__ import annotations

import json
from typing import Any

import conformance
from conformance.differential.verdict import Counterexample, Finding, KernelReport, Report, Result
from conformance.reports.rows import rows, summary
from conformance.reports.text import word

__all__ = ["SCHEMA", "counterexample", "document", "plain", "render", "result_document"]

SCHEMA = 1


def document(report: Report) -> dict[str, Any]:
    """The report as plain dicts and lists."""
    return {
        "schema": SCHEMA,
        "version": conformance.__version__,
        "kernels": [_kernel(kernel) for kernel in report.kernels],
        "summary": summary(report.kernels),
    }


def render(report: Report) -> str:
    """The report as JSON text, ASCII only, so that any locale can print it."""
    return json.dumps(document(report), indent=2, ensure_ascii=True, allow_nan=False) + "\n"


def _kernel(kernel: KernelReport) -> dict[str, Any]:
    return {
        "selector": plain(kernel.selector),
        "version": plain(kernel.version),
        "drift": None if kernel.drift is None else plain(kernel.drift),
        **({"notes": [plain(note) for note in kernel.notes]} if kernel.notes else {}),
        **({"findings": [*map(_finding, kernel.findings)]} if kernel.findings else {}),
        **({"compiler": plain(kernel.compiler)} if kernel.compiler else {}),
        **({} if kernel.disagreement is None else {"disagreement": plain(kernel.disagreement)}),
        **({} if kernel.seconds is None else {"seconds": round(kernel.seconds, 3)}),
        "results": [result_document(row) for row in rows(kernel)],
    }


def _finding(found: Finding) -> dict[str, Any]:
    return {
        "story": plain(found.story),
        "wrong": plain(found.wrong),
        "mended": plain(found.mended),
        "upstream": found.upstream,
        "places": [*map(plain, found.places)],
    }


def result_document(result: Result) -> dict[str, Any]:
    """A result as plain dicts and lists."""
    found = result.counterexample
    return {
        "property": plain(result.property),
        "oracle": plain(result.oracle),
        "engine": plain(result.engine),
        "mode": plain(result.mode),
        "verdict": result.verdict.value,
        "cases": result.cases,
        "seconds": round(result.seconds, 6),
        "reason": plain(result.reason),
        "counterexample": None if found is None else {**counterexample(found), **_sides(found)},
        **({} if result.explored is None else {"explored": dict(result.explored)}),
    }


def _sides(found: Counterexample) -> dict[str, list[str]]:
    """The names of the sides under "kernel" and "model", where these are others."""
    return {} if found.sides == ("kernel", "model") else {"sides": [plain(side) for side in found.sides]}


def counterexample(found: Counterexample) -> dict[str, Any]:
    """A counterexample as plain dicts and lists."""
    return {
        "inputs": {plain(name): word(value) for name, value in found.inputs.items()},
        "decoded": _texts(found.decoded),
        "kernel": _texts(found.kernel),
        "model": _texts(found.model),
        "rule": plain(found.rule) or None,
        "source": plain(found.source) or None,
        "differs": plain(found.differs) or None,
        "legal": found.legal,
        "precondition": plain(found.precondition) or None,
        "crash": None if found.crash is None else plain(found.crash),
        "again": plain(found.again),
        "steps": [plain(step) for step in found.steps],
        "details": [plain(detail) for detail in found.details],
    }


def _texts(pairs: dict[str, str]) -> dict[str, str]:
    return {plain(name): plain(value) for name, value in pairs.items()}


def plain(text: str) -> str:
    """``text`` without lone surrogates (undecodable bytes of a file name), which strict parsers reject."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")
