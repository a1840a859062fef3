# SPDX-License-Identifier: GPL-2.0-only
"""What a library for races and Python say to each other: c/races/race.h, and the names of its numbers."""

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
    "Access",
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
"""The CPU of the first thread; one that is named after a vCPU is on that vCPU's."""
WORDS_PER_STEP = 1 + NR_ARGS


class Access(IntEnum):
    """What a thread is about to do."""

    READ = 0
    WRITE = 1
    RMW = 2
    LOCK = 3
    LOCK_SHARED = 4
    UNLOCK = 5
    WAIT = 6
    MARK = 7


class Event(IntEnum):
    """What happened."""

    ACCESS = 1
    RELEASED = 2
    PROTECTED = 3
    LOGGED = 4
    SLOT_GONE = 5
    STEP = 6
    WRITABLE = 7
    CLEARED = 8


class What(IntEnum):
    """What kind of thing is accessed."""

    MEMORY = 0
    SPTE = 1
    HOST = 2
    FRAME = 3
    FIELD = 4
    SYMBOL = 5


class Announced(ctypes.Structure):
    """struct race_announced: what a thread is about to do."""

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
    """struct race_named: what an object is."""

    _fields_ = (
        ("what", ctypes.c_uint64),
        ("name", ctypes.c_char_p),
        ("numbers", ctypes.c_uint64 * 4),
    )


CHOICES = ctypes.sizeof(Exchange) + Shared.choices.offset
"""Where the threads chosen lie in an exchange, a byte each."""


def new_exchange() -> mmap.mmap:
    """Memory for a race, which a parent can make and read when the child process that races is gone."""
    return mmap.mmap(-1, ctypes.sizeof(Exchange) + ctypes.sizeof(Shared))
