# SPDX-License-Identifier: GPL-2.0-only
"""A judged series for programs: JSON, schema 1, with the review of each patch as ``diff`` writes it."""

from __future__ import annotations

import json
from typing import Any

import conformance
from conformance.reports.review import document
from conformance.reports.text import line
from conformance.review.judging import Judged, SeriesReview
from conformance.review.reply import reply

__all__ = ["SCHEMA", "render"]

SCHEMA = 1


def render(series: SeriesReview) -> str:
    """The series as JSON text, all of it ASCII."""
    told = {
        "schema": SCHEMA,
        "version": conformance.__version__,
        "base": line(series.base),
        "patches": [_judged(one) for one in series.parts],
        "whole": _judged(series.whole) if series.whole else None,
        "notes": [line(note) for note in series.notes],
    }
    return json.dumps(told, indent=2, ensure_ascii=True, allow_nan=False) + "\n"


def _judged(one: Judged) -> dict[str, Any]:
    return {
        "title": line(one.title),
        "claim": line(one.claim.sentence) if one.claim else None,
        "outcome": one.outcome.name,
        "reason": line(one.reason),
        "reply": line(reply(one)),
        "review": document(one.review) if one.review else None,
    }
