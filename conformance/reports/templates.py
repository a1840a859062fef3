# SPDX-License-Identifier: GPL-2.0-only
"""The templates of HTML pages, under html/. All text in them is escaped."""

from __future__ import annotations

from typing import Any

import jinja2

import conformance

__all__ = ["templates"]


def templates(**known: Any) -> jinja2.Environment:
    """The templates, which know these names in addition to their own variables."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("conformance.reports", "html"),
        autoescape=jinja2.select_autoescape(["html"]),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals.update(version=conformance.__version__, **known)
    return environment
