# SPDX-License-Identifier: GPL-2.0-only
"""Both sides speak the explorer's words: the same numbers for the same kinds of access."""

from __future__ import annotations

import re
from pathlib import Path

import conformance.oracles.kvm
from conformance.races.subject import Access, conflict

HEADER = Path(conformance.oracles.kvm.__file__).parent / "c/process/scheduler.h"


def test_the_model_s_side_counts_as_the_kernel_s_does():
    models = {name: kind for name, kind in vars(Access).items() if name.isupper() and name != "NAMES"}
    enum = re.search(r"enum point_kind \{(.*?)\}", HEADER.read_text(), re.S)[1]
    kernels = {name: kind for kind, name in enumerate(re.findall(r"POINT_(\w+)", enum)) if name != "ENDED"}
    assert models == kernels == {name: kind for kind, name in enumerate(Access.NAMES)}


def test_what_conflicts():
    same, other = 1, 2
    assert conflict((Access.WRITE, same), (Access.READ, same))
    assert not conflict((Access.WRITE, same), (Access.READ, other))
    assert not conflict((Access.READ, same), (Access.READ, same))
    assert not conflict((Access.MARK, same), (Access.MARK, same))
    assert conflict((Access.MARK, same), (Access.WRITE, same))
    assert not conflict((Access.LOCK_SHARED, same), (Access.LOCK_SHARED, same))
    assert conflict((Access.LOCK, same), (Access.LOCK_SHARED, same))
    assert not conflict((Access.UNLOCK, same), (Access.LOCK, same))
    assert conflict((Access.WAIT, same), (Access.LOCK_SHARED, same))
