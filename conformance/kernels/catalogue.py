# SPDX-License-Identifier: GPL-2.0-only
"""Every linux-source package in every suite of the archive, cached for an hour."""

from __future__ import annotations

import dataclasses
import time

from conformance.kernels.archive import Archive, Offer, addresses
from conformance.kernels.cache import Cache, key_of
from conformance.kernels.suites import SUITES
from conformance.kernels.tools import Progress

__all__ = ["catalogue", "remembered"]

KIND = "catalogue"

ASK_AGAIN = 3600.0
"""Seconds for which the catalogue is valid: reading all lists takes a minute."""


_NOTE = {"asked": float, "offers": [(str, str, str)]}


def catalogue(cache: Cache, progress: Progress) -> list[Offer]:
    """The packages in the archive. Raises ConformanceError if a suite cannot be read."""
    key = key_of(*addresses())
    with cache.writing(), cache.lock(KIND, key, "the list of Debian's kernels", progress):
        note = cache.read_note(KIND, key, _NOTE)
        if note is not None and 0 <= time.time() - note["asked"] < ASK_AGAIN:
            return remembered(cache)
        with cache.temporary(f"{KIND}-{key}") as scratch:
            offers = Archive(scratch / "apt", progress).sources(SUITES)
        value = {"asked": time.time(), "offers": [dataclasses.astuple(offer) for offer in offers]}
        cache.write_note(KIND, key, value)
    return offers


def remembered(cache: Cache) -> list[Offer]:
    """The catalogue as it was last read; empty if it never was."""
    note = cache.read_note(KIND, key_of(*addresses()), _NOTE)
    return [Offer(*row) for row in note["offers"]] if note else []
