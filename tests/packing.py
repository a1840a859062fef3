# SPDX-License-Identifier: GPL-2.0-only
"""Compresses as a kernel's build does, where Python's library cannot."""

from __future__ import annotations

import shutil
import struct
import subprocess

import pytest


def lz4(data: bytes) -> bytes:
    """The legacy frame, followed by the size. Skips the test if lz4 is not installed."""
    if shutil.which("lz4") is None:
        pytest.skip("there is no lz4 here")
    done = subprocess.run(["lz4", "-l", "-c", "-"], input=data, capture_output=True, check=True)
    return done.stdout + struct.pack("<I", len(data))
