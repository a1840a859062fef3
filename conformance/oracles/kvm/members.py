# SPDX-License-Identifier: GPL-2.0-only
"""The layout of KVM's structures, from the compiler's debug information (DWARF).

Every member counts, down to numbers, pointers and bit fields, except for those of locks and timers.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from elftools.dwarf.die import DIE
from elftools.elf.elffile import ELFFile

from conformance.kernels import Cache, Kernel, Unit, dwarf, key_of
from conformance.kernels.cache import temporary
from conformance.kernels.manifest import file_digest
from conformance.oracles.common import digest_of

__all__ = ["STRUCTURES", "Layout", "Member", "raw_state_layouts"]

STRUCTURES = ("kvm", "kvm_vcpu", "kvm_memory_slot", "kvm_mmu_page", "kvm_lpage_info", "kvm_rmap_head")
"""The structures, in the order of the kinds 1 to 6 of c/machine/raw_state.c."""

_HEADERS = ("linux/kvm_host.h", "mmu.h", "mmu/mmu_internal.h")

_PASSING = {
    "callback_head", "completion", "delayed_work", "hrtimer", "irq_work", "lock_class_key", "lockdep_map",
    "mutex", "preempt_notifier", "raw_spinlock", "raw_spinlock_t", "rcu_head", "rcuwait", "rw_semaphore",
    "rwlock_t", "seqcount", "seqcount_raw_spinlock", "seqcount_spinlock", "spinlock", "spinlock_t",
    "srcu_struct", "srcu_usage", "swait_queue_head", "timer_list", "wait_queue_head", "work_struct",
}  # fmt: skip
"""Types whose content is transient: the holder of a lock, the expiry of a timer."""


class Member(NamedTuple):
    """A number or a pointer in a structure, or an array of them.

    ``bit`` and ``bits`` are its offset and its width in bits, ``number`` the elements of the array. ``form``
    is "int", "bits" (a bit field), "pointer", "hpa" or "list" (a struct list_head). ``structure`` is the
    innermost named structure that contains it.
    """

    name: str
    bit: int
    bits: int
    number: int
    form: str
    structure: str


@dataclass(frozen=True)
class Layout:
    """One structure: its size in bytes and its members."""

    size: int
    members: tuple[Member, ...]

    @property
    def rings(self) -> list[Member]:
        """The members of type struct list_head."""
        return [member for member in self.members if member.form == "list"]


def raw_state_layouts(
    kernel: Kernel, cache: Cache, in_front: Sequence[Path], force: Path
) -> dict[str, Layout]:
    """The layouts of STRUCTURES, from the cache or by compiling a file that mentions them.

    ``in_front`` and ``force`` are the headers that the kernel is compiled with. Raises BuildError.
    """
    with temporary("members") as place:
        unit = place / "members.c"
        mentions = [f"struct {name} *kept_{name};\n" for name in STRUCTURES]
        unit.write_text("".join([*(f"#include <{name}>\n" for name in _HEADERS), *mentions]))
        (made,) = kernel.compile(
            [Unit(unit)],
            place / "o",
            flags=("-g", "-gdwarf-4", "-w", "-Iarch/x86/kvm"),
            include_before=in_front,
            force_include=[force],
            reuse=cache,
        )

        def build(entry: Path) -> None:
            with made.open("rb") as file:
                found = {name: [one.size, one.members] for name, one in _layouts(ELFFile(file)).items()}
            (entry / "layouts.json").write_text(json.dumps(found))

        key = key_of("members", digest_of([Path(__file__), Path(dwarf.__file__)]), file_digest(made))
        stored = json.loads((cache.get_or_build("members", key, build) / "layouts.json").read_text())
    return {
        name: Layout(size, tuple(Member(*member) for member in members))
        for name, (size, members) in stored.items()
    }


def _layouts(elf: ELFFile) -> dict[str, Layout]:
    found: dict[str, Layout] = {}
    for unit in elf.get_dwarf_info().iter_CUs():
        for die in unit.get_top_DIE().iter_children():
            name = dwarf.name_of(die)
            complete = die.tag == "DW_TAG_structure_type" and "DW_AT_byte_size" in die.attributes
            if complete and name in STRUCTURES and name not in found:
                members = tuple(_members(die, 0, "", name))
                found[name] = Layout(die.attributes["DW_AT_byte_size"].value, members)
    return found


def _members(aggregate: DIE, start: int, prefix: str, structure: str) -> Iterator[Member]:
    for die in aggregate.iter_children():
        if die.tag != "DW_TAG_member":
            continue
        name = prefix + dwarf.name_of(die)
        at, bits = dwarf.place_of(die)
        if bits is None:
            yield from _of_type(die, start + at, name, structure)
        else:
            yield Member(name, start + at, bits, 1, "bits", structure)


def _of_type(die: DIE, start: int, name: str, structure: str) -> Iterator[Member]:
    """The members that a member, or an element of an array, expands to by its type."""
    types = dwarf.types_of(die)
    kind, names = types[-1], {dwarf.name_of(one) for one in types}
    if names & _PASSING:
        return
    if "list_head" in names:
        yield Member(name, start, 64, 2, "list", structure)
    elif kind.tag in dwarf.AGGREGATES:
        inner = name if not name or name.endswith(".") else f"{name}."
        yield from _members(kind, start, inner, dwarf.name_of(kind) or structure)
    elif kind.tag == "DW_TAG_array_type":
        yield from _elements(kind, start, name, structure)
    elif kind.tag == "DW_TAG_pointer_type":
        yield Member(name, start, 64, 1, "pointer", structure)
    elif "DW_AT_byte_size" in kind.attributes:
        form = "hpa" if "hpa_t" in names else "int"
        yield Member(name, start, 8 * kind.attributes["DW_AT_byte_size"].value, 1, form, structure)


def _elements(array: DIE, start: int, name: str, structure: str) -> Iterator[Member]:
    """The elements of an array: one member if they are numbers or pointers, else those of each."""
    count = dwarf.length_of(array)
    if not count:
        return
    first = list(_of_type(array, start, name, structure))
    if len(first) == 1 and first[0].name == name and first[0].number == 1:
        yield first[0]._replace(number=count)
        return
    size = 8 * dwarf.size_of(dwarf.type_of(array))
    for index in range(count):
        for member in first:
            called = f"{name}[{index}]{member.name[len(name) :]}"
            yield member._replace(name=called, bit=member.bit + index * size)
