# SPDX-License-Identifier: GPL-2.0-only
"""Parses kernel versions: series, release as numbers, and what a version leaves open."""

from __future__ import annotations

import re

from conformance.kernels.selector import SERIES

__all__ = ["caution", "is_version", "newest_series", "release_numbers", "series_of"]


def series_of(version: str) -> str:
    """VERSION.PATCHLEVEL of a version: "6.12" of "6.12.118-1", "7.3" of "7.3~rc7-1~exp1"."""
    found = re.match(r"[0-9]+\.[0-9]+", version)
    assert found is not None, version
    return found.group()


def is_version(text: str) -> bool:
    """Whether release_numbers() can read it."""
    return re.match(r"[0-9]{1,4}\.[0-9]{1,4}\.[0-9]{1,6}(?![0-9])", text) is not None


def release_numbers(version: str) -> tuple[int, int, int]:
    """VERSION, PATCHLEVEL and SUBLEVEL of a version by the Makefile: 6.1.192 or 7.4.0-rc2."""
    found = re.match(r"([0-9]+)\.([0-9]+)\.([0-9]+)", version)
    assert found is not None, version
    return int(found[1]), int(found[2]), int(found[3])


def newest_series() -> str:
    """The newest of the pinned series."""
    return max(SERIES, key=lambda series: tuple(map(int, series.split("."))))


def caution(version: str) -> str | None:
    """A sentence on what choosing a profile by this Makefile version leaves open, or None.

    None for a release of a pinned series: its changes and backports are in the registry.
    """
    series, newest = series_of(version), newest_series()
    numbers = release_numbers(version)[:2]
    candidate = re.search(r"-rc[0-9]*", version)
    if numbers > release_numbers(f"{newest}.0")[:2]:
        return (
            f"Linux {version} is newer than every series that the registry of changes knows; it is judged "
            f"with the profile of {newest}, and a difference may be a change that the registry does not know."
        )
    if series not in SERIES:
        return (
            f"Linux {series} is unknown to the registry of changes ({', '.join(SERIES)} are known); it is "
            f"judged with the profile of mainline's {series}, and a difference may be a change or backport "
            "that the registry does not know."
        )
    if candidate:
        return (
            f"Linux {version} is a release candidate; it is judged with the profile of {series}, and a "
            f"difference may be a change of {series} that came later."
        )
    return None
