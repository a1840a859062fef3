# SPDX-License-Identifier: GPL-2.0-only
"""A cached object is reused only if all files that were read for it are unchanged."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from conformance.kernels import Cache, open_kernel
from conformance.kernels.compilers import using
from conformance.kernels.objects import read_dependencies, reads_files

UNIT = "arch/x86/kvm/mmu/spte.c"
OTHER = "arch/x86/kvm/mmu/mmu.c"
COMPILERS = [
    pytest.param(name, marks=pytest.mark.skipif(shutil.which(name) is None, reason=f"needs {name}"))
    for name in ("gcc", "clang")
]


@pytest.fixture(params=COMPILERS, autouse=True)
def compiler(request):
    with using(request.param):
        yield request.param


def write(tree: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).write_text(text)


def made(tree: Path, cache: Cache, out: Path, unit: str = UNIT) -> bytes:
    """The object of a unit of the tree in its current state, cached or not."""
    kernel = open_kernel(f"tree:{tree}", cache=cache)
    (path,) = kernel.compile([unit], out, reuse=cache)
    (fresh,) = kernel.compile([unit], out / "fresh")
    again, plain = path.read_bytes(), fresh.read_bytes()
    assert len(again) == len(plain) and again[:64] == plain[:64]
    return again


def kept(cache: Cache) -> int:
    return len(list((cache.root / "object").glob("*")))


VALUE = "static const char value[] __attribute__((used)) = "
READ = {
    "another unit": ('#include "part.c"\n', "arch/x86/kvm/mmu/part.c", VALUE + '"{}";\n'),
    "a unit by a macro": (
        "#define NAME(x) #x\n#include NAME(part.c)\n",
        "arch/x86/kvm/mmu/part.c",
        VALUE + '"{}";\n',
    ),
    "a unit behind a header": (
        '#include "../../../../virt/kvm/between.h"\n',
        "virt/kvm/part.c",
        VALUE + '"{}";\n',
    ),
    "a file of no known kind": ('#include "part.inc"\n', "arch/x86/kvm/mmu/part.c", VALUE + '"{}";\n'),
    "incbin": ('asm(".incbin \\"virt/kvm/part.c\\"");\n', "virt/kvm/part.c", "/* {} */\n"),
    "incbin of pieces": (
        '#define A ".inc"\nasm(A "bin \\"virt/kvm/part.c\\"");\n',
        "virt/kvm/part.c",
        "/* {} */\n",
    ),
    "incbin of a macro's pieces": (
        'asm(".macro take a b c\\n.\\\\a\\\\b \\"\\\\c\\"\\n.endm\\ntake inc bin virt/kvm/part.c");\n',
        "virt/kvm/part.c",
        "/* {} */\n",
    ),
    "incbin behind a label": (
        'asm(".macro take a b c\\n1: \\\\a\\\\b \\"\\\\c\\"\\n.endm\\ntake .inc bin virt/kvm/part.c");\n',
        "virt/kvm/part.c",
        "/* {} */\n",
    ),
    "include of an assembler": (
        'asm(".include \\"virt/kvm/part.c\\"");\n',
        "virt/kvm/part.c",
        '.ascii "{}"\n',
    ),
}


@pytest.mark.parametrize("how", READ)
def test_a_change_of_a_read_file_recompiles(how, tree, cache, tmp_path):
    line, name, text = READ[how]
    # A file with another suffix is in no directory that is kept whole; a unit is, under its own name.
    line = line.replace("part.inc", "part.c")
    write(tree, {"virt/kvm/between.h": '#include "part.c"\n', UNIT: (tree / UNIT).read_text() + line})
    for word in ("first", "other"):
        write(tree, {name: text.format(word)})
        assert word.encode() in made(tree, cache, tmp_path / word)
    assert kept(cache) == 2
    # The first object is still cached.
    write(tree, {name: text.format("first")})
    assert b"first" in made(tree, cache, tmp_path / "again") and kept(cache) == 2


def test_a_unit_that_no_other_reads_makes_no_difference_to_others(tree, cache, tmp_path):
    made(tree, cache, tmp_path / "a")
    write(tree, {"virt/kvm/kvm_main.c": "int other_of_kvm;\n"})
    made(tree, cache, tmp_path / "b")
    assert kept(cache) == 1


def test_a_header_compiles_the_units_that_read_it(tree, cache, tmp_path):
    for unit in (UNIT, OTHER):
        made(tree, cache, tmp_path / "a", unit)
    write(tree, {"include/linux/one.h": "#define ONE 7\n"})
    for unit in (UNIT, OTHER):
        made(tree, cache, tmp_path / "b", unit)
    assert kept(cache) == 3


@pytest.mark.parametrize("place", ["arch/x86/include/linux/one.h", "arch/x86/include/linux/sub/two.h"])
def test_a_new_header_in_front_of_one_that_was_read_counts(place, tree, cache, tmp_path):
    write(
        tree,
        {
            "include/linux/sub/two.h": "",
            UNIT: (tree / UNIT).read_text() + "#include <linux/sub/two.h>\n#ifdef NEW\nint newly;\n#endif\n",
            "include/linux/one.h": "#define ONE 1\n",
        },
    )
    assert b"newly" not in made(tree, cache, tmp_path / "a")
    write(tree, {place: "#define ONE 1\n#define NEW\n"})
    assert b"newly" in made(tree, cache, tmp_path / "b")


def test_a_file_that_was_looked_for_counts(tree, cache, tmp_path):
    text = "#if __has_include(<linux/late.h>)\nint newly;\n#endif\n"
    write(tree, {UNIT: (tree / UNIT).read_text() + text})
    assert b"newly" not in made(tree, cache, tmp_path / "a")
    write(tree, {"include/linux/late.h": "", OTHER: "#include <linux/late.h>\n" + (tree / OTHER).read_text()})
    assert b"newly" in made(tree, cache, tmp_path / "b")


def test_a_header_in_front_of_the_kernels_counts(tree, cache, tmp_path):
    write(tree, {UNIT: (tree / UNIT).read_text() + "int which = HERE;\n"})
    front = tmp_path / "front"
    kernel = open_kernel(f"tree:{tree}", cache=cache)
    objects = set()
    for value in (1, 2):
        write(front, {"linux/one.h": f"#define ONE 1\n#define HERE {value}\n"})
        objects.add(
            kernel.compile([UNIT], tmp_path / "o", include_before=[front], reuse=cache)[0].read_bytes()
        )
    assert len(objects) == 2


@pytest.mark.parametrize("damage", [b"", b"{}", b"[]", b'{"every": "", "files": []}', b"\xff"])
def test_a_damaged_note_of_an_object_is_ignored(damage, tree, cache, tmp_path):
    first = made(tree, cache, tmp_path / "a")
    for path in [*(cache.root / "object").glob("*/read.json"), *(cache.root / "notes").glob("objects-*")]:
        path.write_bytes(damage)
        assert made(tree, cache, tmp_path / "b") == first


def test_dependency_files_are_read():
    text = "made.s: src/a.c include/b.h \\\n ../gen/c.h /usr/lib/d.h \\\n odd\\ name.h a\\#b.h a$$b.h\n"
    names = {"src/a.c", "include/b.h", "../gen/c.h", "/usr/lib/d.h", "odd name.h", "a#b.h", "a$b.h"}
    assert read_dependencies(text) == names


@pytest.mark.parametrize(
    ("line", "reads"),
    [
        ('\t.string "a: \\n"', False),
        ("\t.long \\type + 1", False),
        ("\tmovq %rax, %rbx; nop", False),
        ('\t.byte \'"; \\x\\y "f"', True),
        ("\t.Incbin x", True),
        (".altmacro", True),
        ("1: \\insn", True),
    ],
)
def test_an_assembler_s_source_that_may_read_files_is_seen(line, reads):
    assert reads_files(f"\t.text\n{line}\n\tret\n".encode()) is reads
