# SPDX-License-Identifier: GPL-2.0-only
"""The memory shared by library and Python: struct env_exchange of c/process/exchange.h."""

from __future__ import annotations

import ctypes
from enum import IntEnum

__all__ = ["NR_ARGS", "NR_RAW", "NR_WORDS", "Death", "Exchange", "RawState"]

NR_ARGS = 8
NR_WORDS = 8 << 20


class Death(IntEnum):
    """enum env_death: why a machine ended."""

    ALIVE = 0
    BUG = 1
    MISSING = 2
    SIGNAL = 3
    HUNG = 4
    BROKEN = 5
    LIMIT = 6


NR_PLACES = 16384
NR_RINGS = 1024
NR_RAW = 2 << 20


class RawState(ctypes.Structure):
    """struct env_raw_state."""

    _fields_ = (
        ("asked", ctypes.c_uint64),
        ("nr_places", ctypes.c_uint64),
        ("nr_rings", ctypes.c_uint64),
        ("places", ctypes.c_uint64 * 2 * NR_PLACES),
        ("rings", ctypes.c_uint64 * 2 * NR_RINGS),
        ("nr_words", ctypes.c_uint64),
        ("words", ctypes.c_uint64 * NR_RAW),
    )


class Exchange(ctypes.Structure):
    """struct env_exchange."""

    _fields_ = (
        ("step", ctypes.c_uint64),
        ("args", ctypes.c_uint64 * NR_ARGS),
        ("death", ctypes.c_uint64),
        ("number", ctypes.c_uint64),
        ("at", ctypes.c_uint64),
        ("address", ctypes.c_uint64),
        ("what", ctypes.c_char * 120),
        ("nr_words", ctypes.c_uint64),
        ("events_length", ctypes.c_uint64),
        ("events", ctypes.c_char * 4096),
        ("words", ctypes.c_uint64 * NR_WORDS),
        ("raw", RawState),
    )
