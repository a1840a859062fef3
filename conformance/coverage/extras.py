# SPDX-License-Identifier: GPL-2.0-only
"""The packages that write coverage in other formats; they are an extra, and measuring does not need them."""

from __future__ import annotations

import importlib.util

__all__ = ["NEEDED", "lacking"]

NEEDED = {
    "lcov": ("gcovr",),
    "cobertura": ("gcovr",),
    "html": ("jinja2", "pygments", "squarify"),
    "patch": ("gcovr", "diff_cover"),
}
"""The modules that each format, and the coverage of a patch, needs."""

_PACKAGES = {"diff_cover": "diff-cover", "jinja2": "Jinja2", "pygments": "Pygments"}


def lacking(form: str) -> str:
    """What is not installed for one of NEEDED, and what to do, in two sentences; "" if nothing is lacking."""
    absent = [module for module in NEEDED[form] if importlib.util.find_spec(module) is None]
    if not absent:
        return ""
    names = " and ".join(_PACKAGES.get(module, module) for module in absent)
    are = "is" if len(absent) == 1 else "are"
    return f"{names} {are} not installed. Install the suite with what it needs: pip install '.[coverage]'"
