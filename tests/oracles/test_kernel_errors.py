# SPDX-License-Identifier: GPL-2.0-only
"""A patched kernel that does not compile or link is reported as that, by the compiler's first error."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from planting import patch_between

from conformance.kernels import BuildError, Cache, Kernel, open_kernel
from conformance.oracles.kvm.build import build_kvm
from conformance.oracles.shim.build import build_shim

pytestmark = pytest.mark.kernel

MMU = "arch/x86/kvm/mmu/"
PLACES = {
    build_kvm: (f"{MMU}tdp_mmu.c", "\tkvm_mmu_hugepage_adjust(vcpu, fault);\n", "kvm_tdp_mmu_map"),
    build_shim: (f"{MMU}spte.c", "\tif (sp->role.ad_disabled)\n", "make_spte"),
}
BUILDS = [pytest.param(build_kvm, marks=pytest.mark.slow), build_shim]
WRONG = [
    ("bikeshed(0);", r"{file}:\d+:\d+: error: implicit declaration of function .bikeshed."),
    ("struct list_head *p = vcpu; (void)p;", r"{file}:\d+:\d+: error: .* from incompatible pointer type"),
    ("struct list_head *p = 5UL; (void)p;", r"{file}:\d+:\d+: error: .* makes pointer from integer"),
]


def planted(kernel: Kernel, build: Callable, code: str, directory: Path) -> Kernel:
    file, place, _ = PLACES[build]
    before = (kernel.root / "src" / file).read_text()
    at = before.index(place)
    after = f"{before[:at]}\t{{ {code} }}\n{before[at:]}"
    return open_kernel(kernel.selector, [patch_between(file, before, after, directory)])


@pytest.mark.parametrize("build", BUILDS)
@pytest.mark.parametrize(("code", "error"), WRONG)
def test_what_does_not_compile(build, code: str, error: str, kernel: Kernel, tmp_path: Path) -> None:
    patched = planted(kernel, build, code, tmp_path)
    told = rf"^{kernel.selector} \+ mutant\.patch: does not compile: {error.format(file=PLACES[build][0])}"
    with pytest.raises(BuildError, match=told):
        build(patched, Cache(), lambda line: None)


@pytest.mark.parametrize("build", BUILDS)
def test_what_no_file_defines(build, kernel: Kernel, tmp_path: Path) -> None:
    patched = planted(kernel, build, "extern void bikeshed(void); bikeshed();", tmp_path)
    user = PLACES[build][2]
    with pytest.raises(BuildError, match=f"does not link: bikeshed is used by {user} and defined by no file"):
        build(patched, Cache(), lambda line: None)
