# SPDX-License-Identifier: GPL-2.0-only
"""The report for programs: JSON, schema 1. Its keys are a contract; a change of meaning is a new schema."""

from __future__ import annotations

import json
from typing import Any

import conformance
from conformance.differential.verdict import Counterexample, KernelReport, Report, Result
from conformance.reports.rows import rows, summary
from conformance.reports.text import word

__all__ = ["SCHEMA", "document", "render"]

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
    """The report as JSON text. All of it is ASCII, so that any locale can print it."""
    return json.dumps(document(report), indent=2, ensure_ascii=True, allow_nan=False) + "\n"


def _kernel(kernel: KernelReport) -> dict[str, Any]:
    return {
        "selector": _text(kernel.selector),
        "version": _text(kernel.version),
        "drift": None if kernel.drift is None else _text(kernel.drift),
        "results": [_result(row) for row in rows(kernel)],
    }


def _result(result: Result) -> dict[str, Any]:
    found = result.counterexample
    return {
        "property": _text(result.property),
        "oracle": _text(result.oracle),
        "engine": _text(result.engine),
        "mode": _text(result.mode),
        "verdict": result.verdict.value,
        "cases": result.cases,
        "seconds": round(result.seconds, 6),
        "reason": _text(result.reason),
        "counterexample": None if found is None else _counterexample(found),
    }


def _counterexample(found: Counterexample) -> dict[str, Any]:
    return {
        "inputs": {_text(name): word(value) for name, value in found.inputs.items()},
        "decoded": _texts(found.decoded),
        "kernel": _texts(found.kernel),
        "model": _texts(found.model),
        "crash": None if found.crash is None else _text(found.crash),
        "again": _text(found.again),
        "steps": [_text(step) for step in found.steps],
        "details": [_text(detail) for detail in found.details],
    }


def _texts(pairs: dict[str, str]) -> dict[str, str]:
    return {_text(name): _text(value) for name, value in pairs.items()}


def _text(text: str) -> str:
    """``text`` without lone surrogates (undecodable bytes of a file name), which strict parsers refuse."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")
