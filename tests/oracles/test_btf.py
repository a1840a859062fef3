# SPDX-License-Identifier: GPL-2.0-only
"""Reading BTF: every kind of type, a module's on its kernel's, and whatever may be damaged."""

from __future__ import annotations

import struct

import pytest
from btf_made import Made, kernel_types

from conformance.errors import ConformanceError
from conformance.kernels.images import shipped
from conformance.oracles.binary.btf import Btf
from conformance.oracles.binary.module import open_module


def test_a_structure_of_every_kind_of_member():
    made = Made()
    u32, u64 = made.int("unsigned int", 4), made.int("long long unsigned int", 8)
    name = made.to("typedef", u64, "gfn_t")
    const = made.to("const", made.to("volatile", name))
    inner = made.whole("union", "", 8, [("low", u32, 0), ("all", u64, 0)])
    arch = made.whole("struct", "arch", 16, [("", inner, 0), ("mmu", made.to("pointer", 0), 64)])
    whole = made.whole(
        "struct", "kvm", 96,
        [
            ("gfn", const, 0), ("arch", arch, 64), ("rows", made.array(made.array(u32, 5), 2), 192),
            ("", inner, 512),
        ],
    )  # fmt: skip
    btf = Btf(made.data(), "test")
    assert btf.aggregate("kvm") == whole
    assert [(m.name, m.bit, m.bits) for m in btf.named_members(whole)] == [
        ("gfn", 0, 64), ("arch", 64, 128), ("rows", 192, 320), ("low", 512, 32), ("all", 512, 64),
    ]  # fmt: skip
    assert [m.name for m in btf.members(whole)] == ["gfn", "arch", "rows", ""]
    assert btf.size(whole) == 96
    assert btf.size(const) == 8
    found = btf.member(whole, "arch.mmu")
    assert (found.bit, found.bits, found.bitfield) == (128, 64, False)
    assert btf.member(whole, "arch.all").bit == 64
    for absent in ("arch.nothing", "nothing", "gfn.more", "arch.mmu.more", ""):
        assert btf.member(whole, absent) is None


def test_bit_fields():
    made = Made()
    u32 = made.int("unsigned int", 4)
    fields = made.whole("struct", "", 4, [("level", u32, 0, 4), ("smm", u32, 24, 8)], bitfields=True)
    role = made.whole("union", "role", 4, [("word", u32, 0), ("", fields, 0)])
    btf = Btf(made.data(), "test")
    assert [(m.name, m.bit, m.bits, m.bitfield) for m in btf.named_members(role)] == [
        ("word", 0, 32, False), ("level", 0, 4, True), ("smm", 24, 8, True),
    ]  # fmt: skip


def test_enumerations():
    made = Made()
    made.enum("plain", {"A": 1, "B": 0xFFFFFFFF})
    made.enum("signed", {"C": -1, "D": 5}, signed=True)
    made.enum64("wide", {"E": 1 << 40})
    btf = Btf(made.data(), "test")
    assert btf.values(btf.find("enum", "plain")) == {"A": 1, "B": 0xFFFFFFFF}
    assert btf.values(btf.find("enum", "signed")) == {"C": -1, "D": 5}
    assert btf.values(btf.find("enum", "wide")) == {"E": 1 << 40}


def test_functions():
    made = Made()
    u32 = made.int("unsigned int", 4)
    made.function("make_spte", u32, [("vcpu", made.to("pointer", 0)), ("level", u32)])
    made.function("printk", u32, [("format", u32), ("", 0)])
    btf = Btf(made.data(), "test")
    found = btf.prototype(btf.find("function", "make_spte"))
    assert [name for name, _ in found.parameters] == ["vcpu", "level"]
    assert not found.variadic
    assert btf.type(found.result).name == "unsigned int"
    found = btf.function("printk")
    assert len(found.parameters) == 1
    assert found.variadic
    assert btf.function("nothing") is None


def test_kinds_that_are_only_stepped_over():
    made = Made()
    u32 = made.int("unsigned int", 4)
    made.add("float", "double", 8)
    made.add("variable", "counter", u32, extra=struct.pack("<I", 1))
    made.add("section", ".data", 4, [(2, 0, 4)])
    made.add("tag", "user", u32, extra=struct.pack("<i", -1))
    made.add("type_tag", "rcu", u32)
    made.add("restrict", "", u32)
    made.add("forward", "later", 0, flag=1)
    last = made.int("char", 1)
    btf = Btf(made.data(), "test")
    assert btf.type(last).name == "char"
    assert btf.type(btf.find("variable", "counter")).target == u32
    assert btf.type(btf.find("forward", "later")).flag


def test_a_module_goes_on_where_its_kernel_ends():
    base = kernel_types()
    shared = base.whole("struct", "list_head", 16, [("next", 2, 0)])
    made = Made(base)
    page = made.whole("struct", "kvm_mmu_page", 24, [("link", shared, 0), ("gfn", 2, 128)])
    btf = Btf(made.data(), "kvm.ko", Btf(base.data(), "vmlinux"))
    assert (btf.find("struct", "list_head"), btf.find("struct", "kvm_mmu_page")) == (shared, page)
    assert btf.member(page, "link.next").bit == 0
    assert btf.type(btf.member(page, "gfn").type).name == "long long unsigned int"
    assert btf.find("struct", "unheard_of") is None


def test_a_module_s_own_structure_comes_first():
    base = kernel_types()
    base.whole("struct", "same", 4, [("a", 1, 0)])
    made = Made(base)
    own = made.whole("struct", "same", 8, [("a", 2, 0)])
    assert Btf(made.data(), "kvm.ko", Btf(base.data(), "vmlinux")).aggregate("same") == own


def test_another_kernel_s_types_are_noticed():
    base = kernel_types()
    made = Made(base)
    made.whole("struct", "kvm", 8, [("gfn", 2, 0)])
    other = Made()
    other.int("a much longer name than theirs", 4)
    with pytest.raises(ConformanceError, match=r"kvm\.ko: .* does not fit that of vmlinux"):
        Btf(made.data(), "kvm.ko", Btf(other.data(), "vmlinux"))


def test_a_distilled_base_is_replaced_by_the_kernel():
    excerpt = Made()
    excerpt.int("long long unsigned int", 8)
    excerpt.whole("struct", "list_head", 16, [])
    excerpt.add("forward", "vcpu")
    made = Made(excerpt)
    pointer = made.to("pointer", 3)
    made.whole("struct", "page", 32, [("gfn", 1, 0), ("link", 2, 64), ("vcpu", pointer, 192)])
    vmlinux = kernel_types()
    vmlinux.whole("struct", "list_head", 16, [("next", 2, 0)])
    vmlinux.whole("struct", "vcpu", 8, [("id", 2, 0)])
    base = Btf(vmlinux.data(), "vmlinux")
    btf = Btf(made.data(), "kvm.ko", base, excerpt.data())
    page = btf.aggregate("page")
    assert [(m.name, m.bit, m.bits) for m in btf.members(page)] == [
        ("gfn", 0, 64), ("link", 64, 128), ("vcpu", 192, 64),
    ]  # fmt: skip
    assert btf.member(page, "link.next").bit == 64
    target = btf.type(btf.strip(btf.member(page, "vcpu").type)).target
    assert btf.type(target) == base.type(base.aggregate("vcpu"))


def test_a_distilled_base_that_the_kernel_does_not_have():
    excerpt = Made()
    excerpt.whole("struct", "list_head", 24, [])
    made = Made(excerpt)
    made.whole("struct", "page", 24, [("link", 1, 0)])
    vmlinux = kernel_types()
    vmlinux.whole("struct", "list_head", 16, [("next", 2, 0)])
    btf = Btf(made.data(), "kvm.ko", Btf(vmlinux.data(), "vmlinux"), excerpt.data())
    with pytest.raises(ConformanceError, match="vmlinux has no struct list_head such as"):
        btf.members(btf.aggregate("page"))


def test_two_structures_of_one_name():
    made = kernel_types()
    made.whole("struct", "twice", 8, [("a", 2, 0)])
    made.whole("struct", "twice", 8, [("a", 2, 0)])
    made.whole("struct", "unlike", 4, [("a", 1, 0)])
    made.whole("struct", "unlike", 8, [("a", 2, 0)])
    btf = Btf(made.data(), "test")
    assert btf.aggregate("twice") == 3
    with pytest.raises(ConformanceError, match="test: there are 2 different structures called struct unlike"):
        btf.aggregate("unlike")


def good() -> bytes:
    made = kernel_types()
    made.whole("struct", "kvm", 8, [("gfn", 2, 0)])
    return made.data()


@pytest.mark.parametrize("length", [0, 3, 23, 24, 60, len(good()) - 1])
def test_cut_off(length):
    with pytest.raises(ConformanceError, match=r"^test: its type information \(BTF\) is damaged"):
        Btf(good()[:length], "test")


@pytest.mark.parametrize("at, byte", [(0, 0), (2, 9), (4, 7), (12, 13), (27, 0x7F)])
def test_damaged_header_or_type(at, byte):
    data = bytearray(good())
    data[at] = byte
    with pytest.raises(ConformanceError, match=r"^test: "):
        read_all(Btf(bytes(data), "test"))


def read_all(btf: Btf) -> None:
    for number in range(len(btf)):
        if btf.type(number).kind in ("struct", "union"):
            list(btf.named_members(number))
        btf.size(number)


def test_a_kind_that_is_not_known():
    made = kernel_types()
    made.add(29)
    with pytest.raises(ConformanceError, match=r"type 3 .* is of kind 29, which is not known"):
        Btf(made.data(), "test")


@pytest.mark.parametrize(
    "name, type_, bit, complaint",
    [
        ("a", 2, 64, "members beyond its end"),
        ("a", 99, 0, "refers to type 99"),
        ("a", 4, 0, "made of itself"),
    ],
)
def test_damaged_members(name, type_, bit, complaint):
    made = kernel_types()
    whole = made.whole("struct", "kvm", 8, [(name, type_, bit)])
    made.to("typedef", 4, "itself")
    with pytest.raises(ConformanceError, match=f"^test: .*{complaint}"):
        Btf(made.data(), "test").members(whole)


def test_any_single_damaged_byte_is_read_or_refused():
    data = good()
    for at in range(len(data)):
        for value in (0, 0xFF, data[at] ^ 0x10):
            damaged = data[:at] + bytes([value]) + data[at + 1 :]
            try:
                read_all(Btf(damaged, "test"))
            except ConformanceError as problem:
                assert str(problem).startswith("test: ")


@pytest.mark.kernel
@pytest.mark.network
def test_a_real_module(kernel):
    if kernel.series == "5.10":
        pytest.skip("Debian's 5.10 has no BTF for modules")
    found = shipped(kernel.selector)
    module = open_module(found.module, found.base)
    btf = module.btf
    page = btf.find("struct", "kvm_mmu_page")
    assert btf.size(page) == 184
    assert btf.member(page, "role").bits == 32
    role = btf.find("union", "kvm_mmu_page_role")
    assert btf.member(role, "smm").bit == 24
    assert [name for name, _ in btf.function("make_spte").parameters][-1] == "new_spte"
    assert {"make_spte", "kvm_mmu_set_ept_masks"} <= module.symbols
