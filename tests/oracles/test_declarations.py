# SPDX-License-Identifier: GPL-2.0-only
"""Declarations out of BTF: they compile, and the compiler puts everything where BTF says."""

from __future__ import annotations

import subprocess

import pytest
from btf_made import Made

from conformance.errors import ConformanceError
from conformance.kernels.images import shipped
from conformance.oracles.binary.btf import Btf, Member
from conformance.oracles.binary.declarations import ALL, declare
from conformance.oracles.binary.features import features
from conformance.oracles.binary.module import open_module
from conformance.oracles.shim.features import probe


def compiled(place, text: str, *flags: str) -> None:
    (place / "unit.c").write_text(text)
    done = subprocess.run(
        ["gcc", "-Wall", "-Wextra", "-Werror", *flags, place / "unit.c", "-o", place / "unit"],
        capture_output=True,
        text=True,
    )
    assert not done.returncode, done.stderr


def run(place, header: str, body: str) -> str:
    """What main() with this body prints."""
    compiled(place, f"#include <stdio.h>\n#include <string.h>\n{header}\nint main(void)\n{{\n{body}\n}}\n")
    return subprocess.run([place / "unit"], capture_output=True, text=True, check=True).stdout


@pytest.fixture
def kvm() -> Btf:
    """A KVM of few structures, with all that is hard to declare."""
    made = Made()
    u8, u32, u64 = (
        made.int(*each) for each in (("_Bool", 1), ("unsigned int", 4), ("long long unsigned int", 8))
    )
    made.to("typedef", u64, "gfn_t")
    made.enum("pg_level", {"PG_LEVEL_4K": 1, "PG_LEVEL_2M": 2})
    bits = made.whole(
        "struct", "", 4,
        [("level", u32, 0, 4), ("direct", u32, 7, 1), ("odd", u32, 9, 13), ("smm", u32, 24, 8)],
        bitfields=True,
    )  # fmt: skip
    role = made.whole("union", "role", 4, [("word", u32, 0), ("", bits, 0)])
    counter = made.whole("struct", "", 4, [("counter", u32, 0)])
    mmu = made.whole("struct", "mmu", 104, [("role", role, 160), ("rows", made.array(u64, 10), 192)])
    vcpu = made.add("forward", "vcpu")
    vcpu_pointer = made.to("pointer", vcpu)
    mask = made.add("prototype", "", u8, [(0, vcpu_pointer), (0, u64)])
    arch = made.whole(
        "struct", "arch", 160,
        [("mmu", made.to("pointer", made.to("const", mmu)), 64), ("root", mmu, 128), ("on", u8, 968)],
    )  # fmt: skip
    made.whole(
        "struct", "kvm", 200,
        [
            ("ops", made.to("pointer", mask), 0), ("arch", arch, 64), ("count", counter, 1376),
            ("names", made.array(made.to("pointer", u8), 3), 1408),
        ],
    )  # fmt: skip
    made.whole("struct", "tight", 13, [("flag", u8, 0), ("word", u64, 8), ("tail", u32, 72)])
    made.whole("struct", "outer", 20, [("first", u8, 0), ("tight", made.next - 1, 8), ("last", u32, 128)])
    made.function("split", u64, [("role", role), ("index", u32)])
    made.function("update", 0, [("sptep", made.to("pointer", u64)), ("mmu", made.to("pointer", mmu))])
    return Btf(made.data(), "test")


def test_members_lie_where_btf_says(kvm, tmp_path):
    made = declare(
        kvm,
        {"kvm": ["arch.mmu", "arch.root.role", "arch.on", "count.counter", "ops", "names"], "role": [ALL],
         "mmu": ["rows[2][5]"], "tight": [ALL], "outer": ["tight", "last"]},
        typedefs=["gfn_t"], enums=["pg_level"], functions=["split", "update"],
    )  # fmt: skip
    assert made.missing == ()
    body = r"""
    struct kvm kvm = { .arch.on = 1, .count.counter = 3 };
    union role role = { .level = 5, .smm = 0xa5 };
    unsigned char *byte = (unsigned char *)&kvm;
    struct mmu mmu;

    printf("%d %d %x\n", byte[8 + 121], byte[172], role.word);
    printf("%d %d", (int)((char *)&mmu.rows[1][0] - (char *)&mmu), PG_LEVEL_2M + (int)sizeof(gfn_t));
    return !(_Generic(kvm.ops, _Bool (*)(struct vcpu *, unsigned long long): 1) &&
             _Generic(kvm.arch.mmu, const struct mmu *: 1));
"""
    assert run(tmp_path, made.text, body) == "1 3 a5000005\n64 10"


def test_bit_fields_lie_where_btf_says(kvm, tmp_path):
    role = kvm.aggregate("role")
    members = [kvm.member(role, name) for name in ("direct", "odd")]
    header = declare(kvm, {"role": ["word", "direct", "odd"]}).text
    assert filled(tmp_path, header, "role", members) == [
        ((1 << member.bits) - 1) << member.bit for member in members
    ]


def filled(place, header: str, union: str, members: list[Member]) -> list[int]:
    """The word of a union when all bits of one member are set, for each member."""
    body = "".join(
        f"\t{{ union {union} all = {{ .{member.name} = {(1 << member.bits) - 1} }};\n"
        '\tprintf("%x\\n", all.word); }\n'
        for member in members
    )
    return [int(word, 16) for word in run(place, header, f"{body}\treturn 0;").split()]


def test_a_union_of_bit_fields_is_passed_as_the_kernel_passes_it(kvm, tmp_path):
    made = declare(kvm, {"role": ["level", "smm"]}, functions=["split"])
    callee = """
unsigned long long split(unsigned int role, unsigned int index) { return role * 10ULL + index; }
"""
    (tmp_path / "callee.c").write_text(callee)
    (tmp_path / "unit.c").write_text(
        f"{made.text}\nint main(void) {{ return split((union role) {{ .level = 2 }}, 3) != 23; }}\n"
    )
    files = [tmp_path / "unit.c", tmp_path / "callee.c"]
    subprocess.run(["gcc", "-O2", *files, "-o", tmp_path / "unit"], check=True)
    subprocess.run([tmp_path / "unit"], check=True)


def test_what_is_not_there_is_told_and_left_out(kvm, tmp_path):
    made = declare(
        kvm, {"kvm": ["arch.on", "arch.off"], "fault": ["gfn"]},
        typedefs=["pfn_t"], enums=["nothing"], functions=["split", "join"],
    )  # fmt: skip
    assert made.missing == ("kvm.arch.off", "fault", "enum nothing", "pfn_t", "join()")
    assert "#define HAVE_FIELD_kvm__arch__on 1\n" in made.text
    assert "#define HAVE_FUNCTION_split 1\n" in made.text
    for absent in ("arch__off", "fault", "pfn_t", "join"):
        assert absent not in made.text
    compiled(tmp_path, made.text, "-c")


def test_a_shape_that_does_not_fit(kvm):
    with pytest.raises(ConformanceError, match=r"rows has 10 elements, which are not those of \[3\]\[5\]"):
        declare(kvm, {"mmu": ["rows[3][5]"]})


def test_the_assertions_notice_a_member_elsewhere(kvm, tmp_path):
    text = declare(kvm, {"mmu": ["rows"]}).text
    (tmp_path / "unit.c").write_text(text.replace("gap_0[24]", "gap_0[32]"))
    assert "gap_0[24]" in text
    assert subprocess.run(
        ["gcc", "-c", tmp_path / "unit.c", "-o", "/dev/null"], capture_output=True
    ).returncode


WHOLE = (
    "kvm", "kvm_vcpu", "kvm_vcpu_arch", "kvm_arch", "kvm_mmu", "kvm_mmu_page", "kvm_page_fault", "tdp_iter",
    "kvm_x86_ops", "kvm_memory_slot", "kvm_memslots", "cpuinfo_x86", "task_struct", "page", "sk_buff",
    "x86_hw_tss", "desc_struct", "kvm_run",
)  # fmt: skip


def of(made: Made) -> Btf:
    return Btf(made.data(), "btf")


def test_structures_made_of_each_other_without_end():
    made = Made()
    for number in range(1, 40):
        made.whole("struct", "", 0, [("", number + 1, 0), ("", number + 1, 0)])
    made.whole("struct", "", 0, [])
    kvm = made.whole("struct", "kvm", 0, [("", 1, 0)])
    with pytest.raises(ConformanceError, match="made of each other without end"):
        of(made).member(kvm, "gone")
    with pytest.raises(ConformanceError, match="made of each other without end"):
        declare(of(made), {"kvm": ["gone"]})


def test_a_prototype_that_takes_itself():
    made = Made()
    made.to("pointer", 2)
    made.function("f", 0, [("a", 1), ("b", 1)])
    with pytest.raises(ConformanceError, match="made of themselves"):
        declare(of(made), {}, functions=["f"])


def test_an_array_of_itself():
    made = Made()
    made.array(1, 2)
    made.whole("struct", "kvm", 8, [("a", 1, 0)])
    with pytest.raises(ConformanceError, match="type 1 is made of itself"):
        declare(of(made), {"kvm": ["a[2][2]"]})


@pytest.mark.parametrize("name", ['a; asm("x"); int b', "a\nb", "\xe9", "a;"])
def test_a_name_that_is_more_than_a_name(name):
    made = Made()
    made.int("int", 4)
    made.whole("struct", "kvm", 4, [(name, 1, 0)])
    with pytest.raises(ConformanceError, match="is no name of a type or member"):
        declare(of(made), {"kvm": [ALL]})


def test_an_enumeration_of_three_bytes():
    made = Made()
    made.add("enum", "e", 3)
    made.whole("struct", "kvm", 3, [("a", 1, 0)])
    with pytest.raises(ConformanceError, match="an enumeration has 3 bytes"):
        declare(of(made), {"kvm": [ALL]})


@pytest.mark.kernel
@pytest.mark.network
class TestRealModule:
    @pytest.fixture
    def module(self, kernel):
        if kernel.series == "5.10":
            pytest.skip("Debian's 5.10 has no BTF for modules")
        found = shipped(kernel.selector)
        return open_module(found.module, found.base)

    def test_every_member_of_large_structures(self, module, tmp_path):
        made = declare(module.btf, {name: [ALL] for name in WHOLE})
        assert made.missing == ()
        compiled(tmp_path, made.text, "-c")

    def test_every_bit_of_the_role(self, module, tmp_path):
        btf = module.btf
        role = btf.aggregate("kvm_mmu_page_role")
        fields = [member for member in btf.named_members(role) if member.bitfield]
        header = declare(btf, {"kvm_mmu_page_role": [ALL]}).text
        assert filled(tmp_path, header, "kvm_mmu_page_role", fields) == [
            ((1 << field.bits) - 1) << field.bit for field in fields
        ]

    def test_features_are_those_of_the_source_where_functions_stand_alone(self, module, kernel):
        ours = set(features(module.btf, module.symbols))
        theirs = set(probe(kernel.root / "src"))
        assert ours <= theirs
        assert {"HAVE_kvm_page_fault", "HAVE_MAKE_SPTE_SP"} <= ours
