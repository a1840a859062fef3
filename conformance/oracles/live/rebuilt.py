# SPDX-License-Identifier: GPL-2.0-only
"""The shipped kernel with KVM's modules built again, from a patched source.

A module's type information (BTF) is made by pahole, which need not be installed. kvm.ko gets that of the
shipped kvm.ko; while it is compiled, assertions check that every member is where it says.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace

from conformance.errors import ConformanceError
from conformance.kernels import BuildError, Cache, Kernel
from conformance.kernels.bootable import Bootable, shipped_kernel
from conformance.kernels.cache import temporary
from conformance.kernels.images import shipped
from conformance.kernels.modules import build_modules
from conformance.kernels.tools import Progress, quiet
from conformance.oracles.binary.btf import Btf, Member
from conformance.oracles.binary.module import open_module
from conformance.oracles.binary.records import AGGREGATES

__all__ = ["assertions", "rebuilt_kernel"]

_STRUCTURES = ("kvm", "kvm_vcpu", "kvm_memory_slot", "kvm_memslots", "kvm_mmu_page", "kvm_rmap_head")
"""The structures that are checked, with the structures that they contain."""

_HEADERS = ("linux/kvm_host.h", "mmu.h", "mmu/mmu_internal.h")
_DEEPEST = 3

_SECTIONS = (".BTF", ".BTF.base")

_FAILED = re.compile(
    r"""\bcheck\.c:.*(?:static assertion failed: "(?P<moved>[\w.]+)"|no member named '(?P<gone>\w+)')"""
)


def rebuilt_kernel(kernel: Kernel, cache: Cache, progress: Progress = quiet) -> Bootable:
    """The kernel that Debian ships of this version, with KVM's modules built from ``kernel``.

    Raises ConformanceError for a tree, and if the patches move a member of KVM's structures; BuildError if
    the modules do not compile or link.
    """
    image = shipped(kernel.selector, progress=progress, cache=cache)
    bootable = shipped_kernel(kernel.selector, cache, progress)
    module = open_module(image.module, image.base)
    try:
        with temporary("types") as place:
            types = [(name, place / name, module.elf.named(name)) for name in _SECTIONS]
            for _, path, content in types:
                path.write_bytes(content or b"")
            modules = build_modules(
                kernel,
                image,
                cache,
                progress,
                check=assertions(module.btf),
                sections=[(name, path) for name, path, content in types if content],
            )
    except BuildError as error:
        if (found := _FAILED.search(str(error))) is None:
            raise
        raise ConformanceError(
            f"{kernel.title}: {found['moved'] or found['gone']} is not where the type information of the "
            "shipped kernel says, by which a running one is read. Build the whole kernel, with its type "
            "information (CONFIG_DEBUG_INFO_BTF), and pass it with --image and --modules."
        ) from None
    title = f"{bootable.title} with KVM's modules of {kernel.title}"
    return replace(bootable.with_modules(modules), title=title)


def assertions(btf: Btf) -> str:
    """C that compiles only if KVM's structures are laid out as ``btf`` says."""
    lines = ["// SPDX-License-Identifier: GPL-2.0-only", *(f'#include "{name}"' for name in _HEADERS)]
    for name in _STRUCTURES:
        number = btf.find("struct", name)
        if number is not None:
            lines += (_assertion(name, path, member) for path, member in _members(btf, number))
    return "\n".join(lines) + "\n"


def _members(btf: Btf, number: int, start: int = 0, above: str = "") -> Iterator[tuple[str, Member]]:
    """The members of a structure but bit fields, and of the structures in it, with their names in full."""
    for member in btf.named_members(number, start):
        if member.bitfield:
            continue
        yield f"{above}{member.name}", member
        if btf.type(btf.strip(member.type)).kind in AGGREGATES and above.count(".") < _DEEPEST:
            yield from _members(btf, member.type, member.bit, f"{above}{member.name}.")


def _assertion(structure: str, path: str, member: Member) -> str:
    place = f"__builtin_offsetof(struct {structure}, {path}) == {member.bit // 8}"
    size = f"sizeof(((struct {structure} *)0)->{path}) == {member.bits // 8}"
    return f'_Static_assert({place} && {size}, "{structure}.{path}");'
