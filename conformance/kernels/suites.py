# SPDX-License-Identifier: GPL-2.0-only
"""Debian's suites: which there are, and in which of them a version of the kernel is likely to be."""

from __future__ import annotations

import re
from collections.abc import Sequence

__all__ = ["SUITES", "likely_first"]

RELEASES = {15: "duke", 14: "forky", 13: "trixie", 12: "bookworm", 11: "bullseye"}
"""Debian's releases by number, newest first: those with kernels that can be judged, and the next one. A suite
that a mirror does not have yet, or no longer, is skipped."""


def _suites(*pockets: str) -> tuple[str, ...]:
    return tuple(f"{name}{pocket}" for pocket in pockets for name in RELEASES.values())


# A list of a pocket takes a second to read, one of a release or of sid seven.
PLAIN = (*_suites("-security"), "sid", *_suites(""))
"""Where a version without a suffix is: fixes first, then what they are fixes for."""

OTHERS = ("experimental", *_suites("-backports", "-updates", "-proposed-updates", "-backports-sloppy"))

SUITES = (*PLAIN, *OTHERS)
"""Every suite that may have kernels."""


def likely_first(version: str, first: Sequence[str] = ()) -> tuple[str, ...]:
    """Every suite, those in front in which a package of this version is likely to be.

    The version's suffix says where it was uploaded to: ~bpo13+1 to trixie-backports, ~deb12u1 to
    bookworm-security, ~exp1 to experimental. ``first`` are suites to read before a guess by the absence of a
    suffix.
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
