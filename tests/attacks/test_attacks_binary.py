# SPDX-License-Identifier: GPL-2.0-only
"""Attacks by a module's machine code: each is a finding within bounded time and leaves nothing behind."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from patching import patched

from conformance.kernels import Cache, open_kernel
from conformance.kernels.images import shipped
from conformance.kernels.tools import quiet
from conformance.model.modes import MODES
from conformance.oracles.binary.build import build_binary
from conformance.oracles.binary.module import open_module
from conformance.oracles.child import KernelDied
from conformance.sandbox.syscalls import KERNEL_CODE

pytestmark = [pytest.mark.kernel, pytest.mark.network, pytest.mark.usefixtures("confined", "nothing_left")]

FUNCTION = "spte_has_volatile_bits"
CALLS = {
    "exit_group": 231,
    "poll": 7,
    **{name: KERNEL_CODE[name] for name in ("fork", "socket", "kill", "pause")},
}
AT_ONCE, LOOP = "exit_group", "a loop"
"""The attacks of the quick tests, and the one without a system call."""
FOREVER = b"\xf3\x90\xeb\xfc"


def call(number: int) -> bytes:
    """A system call with arguments 0, 0 and -1, then a loop."""
    return b"\xb8" + number.to_bytes(4, "little") + b"\x31\xff\x31\xf6\x48\x83\xca\xff\x0f\x05" + FOREVER


@pytest.fixture(scope="module")
def folder() -> Path:
    kernel, found = open_kernel("6.1"), shipped("6.1")
    return build_binary(open_module(found.module, found.base), kernel, Cache(), quiet)


@pytest.mark.parametrize(
    "name",
    [name if name == AT_ONCE else pytest.param(name, marks=pytest.mark.slow) for name in [*CALLS, LOOP]],
)
def test_a_module_that_attacks(folder: Path, tmp_path: Path, name: str) -> None:
    code = FOREVER if name == LOOP else call(CALLS[name])
    with patched(folder, tmp_path, FUNCTION, code, patience=1) as oracle:
        oracle.configure(MODES["ept-ad"].host())
        entry = oracle.entries[FUNCTION]
        for _ in range(2):
            with pytest.raises(KernelDied) as died:
                oracle.run(entry, np.zeros((entry.nr_in, 2), np.uint64))
            assert died.value.at == 0
            oracle.configure(MODES["ept-ad"].host())
