# SPDX-License-Identifier: GPL-2.0-only
"""Commands under limits of the system: a lacking resource is status 2 with a sentence, never a finding."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from conformance.kernels import Kernel

SPTE_H = "arch/x86/kvm/mmu/spte.h"
SERIES = os.environ.get("CONFORMANCE_KERNEL", "6.1")
MIB = 1 << 20

COMMANDS = {
    "run": ("run", "--only", "is_mmio_spte", "--engine", "bulk", "--budget", "10"),
    "binary": ("run", "--oracle", "binary", "--only", "is_mmio_spte", "--engine", "bulk", "--budget", "10"),
    "scenario": ("scenario", "run", "first_read", "--mode", "ept-ad"),
    "lockstep": ("lockstep", "--budget", "2", "--mode", "ept-ad"),
    "explore": ("explore", "run", "dirty_lost_in_a_zap", "--schedules", "50"),
    "prove": ("prove", "--only", "is_mmio_spte"),
    "patch": ("patch", "--budget", "2"),
}
LIMITS = {
    "v 300 MiB": (resource.RLIMIT_AS, 300 * MIB),
    "v 1500000": (resource.RLIMIT_AS, 1500000 * 1024),
    "n 8": (resource.RLIMIT_NOFILE, 8),
    "n 16": (resource.RLIMIT_NOFILE, 16),
    "n 24": (resource.RLIMIT_NOFILE, 24),
    "f 0": (resource.RLIMIT_FSIZE, 0),
    "f 4 KiB": (resource.RLIMIT_FSIZE, 4096),
    "s 512 KiB": (resource.RLIMIT_STACK, 512 * 1024),
    "d 400 MiB": (resource.RLIMIT_DATA, 400 * MIB),
}
QUICK = {("scenario", "v 1500000"), ("run", "v 300 MiB"), ("run", "f 4 KiB"), ("scenario", "n 16")}

CASES = [
    pytest.param(name, limit, marks=() if (name, limit) in QUICK else pytest.mark.slow)
    for name in COMMANDS
    for limit in LIMITS
]


@pytest.mark.kernel
@pytest.mark.parametrize(("name", "limit"), CASES)
def test_a_lacking_resource_is_not_a_finding(name: str, limit: str, kernel: Kernel, tmp_path: Path) -> None:
    words = [*COMMANDS[name], "--onto" if name == "patch" else "--kernel", SERIES]
    if name == "patch":
        lines = (kernel.root / "src" / SPTE_H).read_text().splitlines()[:3]
        hunk = "".join(f" {line}\n" for line in lines)
        head = f"--- a/{SPTE_H}\n+++ b/{SPTE_H}\n@@ -1,3 +1,4 @@\n+/* nothing */\n"
        (tmp_path / "p.diff").write_text(head + hunk)
        words.append(str(tmp_path / "p.diff"))
    which, value = LIMITS[limit]
    done = subprocess.run(
        [sys.executable, "-m", "conformance", *words],
        preexec_fn=lambda: resource.setrlimit(which, (value, value)),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=600,
    )
    said = done.stdout + done.stderr
    assert done.returncode in (0, 2), said
    assert "internal error" not in said and "Traceback" not in said, said
    assert "FAIL" not in done.stdout and "DIFFERS" not in done.stdout, said
    if done.returncode == 2:
        assert "memory" in said or "limits" in said or "too many" in said.lower() or "too large" in said, said
