# SPDX-License-Identifier: GPL-2.0-only
"""The memory shared with a library for races: c/races/race.h and c/process/scheduler.h."""

from __future__ import annotations

import ctypes
import mmap
from enum import IntEnum

from conformance.oracles.kvm.interface import NR_ARGS, Exchange

__all__ = [
    "CHOICES",
    "CPU_OF_OTHERS",
    "MAX_CHOICES",
    "MAX_STEPS",
    "MAX_THREADS",
    "WORDS_PER_STEP",
    "Event",
    "Named",
    "Shared",
    "What",
    "new_exchange",
]

MAX_THREADS = 8
MAX_STEPS = 16
MAX_CHOICES = 1 << 16
MAX_EVENTS = 1 << 16
MAX_FRAMES = 4096
CPU_OF_OTHERS = 8
"""The CPU of the first thread that is no vCPU; a thread named after a vCPU has the CPU of that number."""
WORDS_PER_STEP = 1 + NR_ARGS


class Event(IntEnum):
    """enum history_event: what happened."""

    ACCESS = 1
    RELEASED = 2
    PROTECTED = 3
    LOGGED = 4
    SLOT_GONE = 5
    STEP = 6
    WRITABLE = 7
    CLEARED = 8
    MOVED = 9


class What(IntEnum):
    """enum race_what: the kind of an object."""

    MEMORY = 0
    SPTE = 1
    HOST = 2
    FRAME = 3
    FIELD = 4
    SYMBOL = 5
    WORD = 6


class Announced(ctypes.Structure):
    """struct race_announced: what a thread does next."""

    _fields_ = (
        ("kind", ctypes.c_uint64),
        ("object", ctypes.c_uint64),
        ("ready", ctypes.c_uint64),
        ("caller", ctypes.c_uint64),
    )


class Shared(ctypes.Structure):
    """struct race_shared, which lies behind the exchange."""

    _fields_ = (
        ("nr_choices", ctypes.c_uint64),
        ("nr_threads", ctypes.c_uint64),
        ("nr_events", ctypes.c_uint64),
        ("nr_frames", ctypes.c_uint64),
        ("announced", Announced * MAX_THREADS),
        ("frames", ctypes.c_uint64 * MAX_FRAMES),
        ("events", ctypes.c_uint64 * MAX_EVENTS),
        ("choices", ctypes.c_uint8 * MAX_CHOICES),
    )


class Named(ctypes.Structure):
    """struct race_named: an object for a report."""

    _fields_ = (
        ("what", ctypes.c_uint64),
        ("name", ctypes.c_char_p),
        ("numbers", ctypes.c_uint64 * 4),
    )


CHOICES = ctypes.sizeof(Exchange) + Shared.choices.offset
"""The offset of the chosen threads in the shared memory, a byte each."""


def new_exchange() -> mmap.mmap:
    """Memory for a race, which the parent creates and can read after the child process has ended."""
    return mmap.mmap(-1, ctypes.sizeof(Exchange) + ctypes.sizeof(Shared))
