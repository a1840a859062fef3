# SPDX-License-Identifier: GPL-2.0-only
"""Debian's suites, and which of them are likely to have a version of the kernel."""

from __future__ import annotations

import re
from collections.abc import Sequence

__all__ = ["SUITES", "likely_first"]

RELEASES = {15: "duke", 14: "forky", 13: "trixie", 12: "bookworm", 11: "bullseye"}
"""Debian's releases by number, newest first: those with kernels that can be judged, and the next one. A suite
that a mirror lacks is skipped."""


def _suites(*pockets: str) -> tuple[str, ...]:
    return tuple(f"{name}{pocket}" for pocket in pockets for name in RELEASES.values())


# Reading the list of a pocket takes a second, that of a release or of sid seven.
PLAIN = (*_suites("-security"), "sid", *_suites(""))
"""The suites of a version without a suffix: pockets with fixes before the releases."""

OTHERS = ("experimental", *_suites("-backports", "-updates", "-proposed-updates", "-backports-sloppy"))

SUITES = (*PLAIN, *OTHERS)
"""All suites that may have kernels."""


def likely_first(version: str, first: Sequence[str] = ()) -> tuple[str, ...]:
    """Every suite; those that are likely to have a package of this version come first.

    The version's suffix says where it was uploaded to: ~bpo13+1 to trixie-backports, ~deb12u1 to
    bookworm-security, ~exp1 to experimental. ``first`` are suites to read before those that are guessed for a
    version without a suffix.
    """
    guess: tuple[str, ...] = ()
    suffix = re.search(r"[~+](bpo|deb)([0-9]+)", version)
    if suffix and int(suffix[2]) in RELEASES:
        name = RELEASES[int(suffix[2])]
        pockets = ("-backports", "-backports-sloppy") if suffix[1] == "bpo" else ("-security", "", "-updates")
        guess = tuple(f"{name}{pocket}" for pocket in pockets)
    elif "~exp" in version or "~rc" in version:
        guess = ("experimental", "sid")
    return tuple(dict.fromkeys((*guess, *first, *SUITES)))
