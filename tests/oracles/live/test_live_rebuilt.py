# SPDX-License-Identifier: GPL-2.0-only
"""The shipped kernel with its modules built again: the layouts that must be as its types say."""

from __future__ import annotations

import pytest
from btf_made import Made

from conformance.errors import ConformanceError
from conformance.kernels import BuildError, Cache, open_kernel
from conformance.kernels.bootable import shipped_kernel
from conformance.kernels.images import shipped
from conformance.kernels.substitutions import INTERNAL_H, Substitution, write_patch
from conformance.oracles.binary.btf import Btf
from conformance.oracles.binary.module import open_module
from conformance.oracles.live.rebuilt import assertions, rebuilt_kernel


def test_every_member_but_bit_fields_is_asserted():
    made = Made()
    u32, u64 = made.int("unsigned int", 4), made.int("long long unsigned int", 8)
    inner = made.whole("union", "", 8, [("low", u32, 0), ("all", u64, 0)])
    flags = made.whole("struct", "", 4, [("level", u32, 0, 4)], bitfields=True)
    arch = made.whole("struct", "kvm_arch", 16, [("", inner, 0), ("role", flags, 64)])
    made.whole("struct", "kvm", 24, [("count", u64, 0), ("arch", arch, 64)])
    text = assertions(Btf(made.data(), "test"))
    asserted = [line.split('"')[1] for line in text.splitlines() if line.startswith("_Static_assert")]
    assert asserted == ["kvm.count", "kvm.arch", "kvm.arch.low", "kvm.arch.all", "kvm.arch.role"]
    assert "__builtin_offsetof(struct kvm, arch.all) == 8 && sizeof(((struct kvm *)0)->arch.all) == 8" in text


def patched(tmp_path, old: str, new: str):
    substitution = Substitution(INTERNAL_H, old, new)
    return open_kernel("6.1", [write_patch(open_kernel("6.1"), [substitution], tmp_path / "layout.patch")])


@pytest.mark.kernel
@pytest.mark.network
@pytest.mark.slow
def test_a_patch_that_moves_or_renames_a_member_is_refused(tmp_path):
    moving = patched(
        tmp_path, "\tbool tdp_mmu_page;\n\tbool unsync;\n", "\tbool unsync;\n\tbool tdp_mmu_page;\n"
    )
    with pytest.raises(
        ConformanceError, match=r"layout\.patch: kvm_mmu_page\.tdp_mmu_page is not .* --image"
    ):
        rebuilt_kernel(moving, Cache())
    misspelt = patched(tmp_path, "\tbool tdp_mmu_page;\n", "\tbool tdp_mmu_pages;\n")
    with pytest.raises(ConformanceError, match=r"layout\.patch: tdp_mmu_page is not .* --image"):
        rebuilt_kernel(misspelt, Cache())


@pytest.mark.kernel
@pytest.mark.network
@pytest.mark.slow
def test_a_patch_that_does_not_compile(tmp_path):
    broken = patched(tmp_path, "\treturn role.smm ? 1 : 0;\n", "\treturn role.smmm ? 1 : 0;\n")
    with pytest.raises(BuildError, match=r"layout\.patch: does not compile: .*no member named"):
        rebuilt_kernel(broken, Cache())


@pytest.mark.kernel
@pytest.mark.network
@pytest.mark.slow
@pytest.mark.parametrize("series", ["6.1", "6.12", "7.2", "7.3"])
def test_kvm_has_the_types_of_the_shipped_one(series):
    kernel, image = rebuilt_kernel(open_kernel(series), Cache()), shipped(series)
    ours = kernel.module("kvm").path
    assert ours.parent != image.modules
    assert open_module(ours, kernel.base).btf.data == open_module(image.module, image.base).btf.data
    stock = shipped_kernel(series, Cache())
    for name in ("kvm_amd", "kvm_intel"):
        order = [module.name for module in kernel.load_order(name)]
        assert order[-1] == name and {*order} == {module.name for module in stock.load_order(name)}
