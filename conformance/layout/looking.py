# SPDX-License-Identifier: GPL-2.0-only
"""Compare the places of members in a shipped kernel with those in the shim.

The shipped kernel's places are read from its BTF, or from the DWARF of a debug module; the shim's from the
DWARF of a unit that is compiled with the flags of the shim.
"""

from __future__ import annotations

import io
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from elftools.elf.elffile import ELFFile

from conformance.errors import ConformanceError
from conformance.kernels import DEFAULT, Kernel, Progress, open_kernel
from conformance.kernels.dwarf import WHOLE, Places, read_places
from conformance.kernels.elf import MOST_BYTES
from conformance.kernels.headers import places_in
from conformance.kernels.images import shipped
from conformance.kernels.prepare import options_of
from conformance.layout.found import Found, Row, Structure
from conformance.layout.sptes import bit_maps, constants
from conformance.model.profiles import profile_of
from conformance.oracles.binary.btf import Btf
from conformance.oracles.binary.module import Module, open_module

__all__ = ["look"]

_STRUCTURES = ("struct kvm_mmu_page", "union kvm_mmu_page_role", "struct kvm_page_fault")

_ASKING = ("arch/x86/include/asm/kvm_host.h", "include/linux/kvm_host.h", "arch/x86/kvm/mmu/*.h")
"""Headers whose structures depend on options."""
_LOCKS = ("DEBUG_SPINLOCK", "DEBUG_LOCK_ALLOC", "PREEMPT_RT")
"""Options by which every lock in a structure grows."""


@dataclass(frozen=True)
class _Subject:
    """A shipped kernel."""

    module: Module
    title: str
    config: Path | None
    notes: tuple[str, ...]


def look(
    selector: str | None,
    progress: Progress,
    *,
    module: Path | None = None,
    vmlinux: Path | None = None,
) -> Found:
    """The layouts of a kernel: the shipped one of the selector, or that of a module, beside the shim's.

    Without a selector the module's own release says which series it is compared with.
    """
    subject = _subject(selector, progress, module, vmlinux)
    kernel = open_kernel(selector or subject.module.series, progress=progress)
    profile = profile_of(kernel.release)
    source, theirs, notes = _theirs(subject.module)
    progress(f"{kernel.title}: compiling structures")
    ours = places_in(kernel, list(_STRUCTURES))
    unjudged = None
    if not source:
        unjudged = (
            f"{subject.title} does not describe its structures: its kvm.ko has neither BTF, as modules have "
            "from v5.11 on, nor DWARF. Pass the kvm.ko of a debug package with --module."
        )
    return Found(
        title=kernel.title,
        shipped=subject.title,
        source=source,
        notes=[*filter(None, [kernel.drift]), *subject.notes, *notes],
        unjudged=unjudged,
        structures=[
            Structure(name, _rows(theirs.get(name, {}), ours.get(name, {})))
            for name in _STRUCTURES
            if name in theirs or name in ours
        ],
        options=_options(kernel, subject.config),
        constants=constants(kernel, profile),
        bits=bit_maps(profile),
    )


def _subject(selector: str | None, progress: Progress, path: Path | None, vmlinux: Path | None) -> _Subject:
    if path is not None:
        module = open_module(path, vmlinux)
        return _Subject(module, f"{path} ({module.release or 'no release'})", None, ())
    found = shipped(selector or DEFAULT, progress=progress)
    module = open_module(found.module, vmlinux or found.base)
    notes = () if found.drift is None else (found.drift,)
    return _Subject(module, f"{found.package} {found.version}", found.config, notes)


def _theirs(module: Module) -> tuple[str, Mapping[str, Places], list[str]]:
    """The source of the module's layouts, the layouts, and sentences about them."""
    dwarf = _dwarf(module) if module.has_dwarf else {}
    if not module.has_btf:
        return ("DWARF" if dwarf else ""), dwarf, []
    btf = {name: layout for name in _STRUCTURES if (layout := _layout(module.btf, *name.split())) is not None}
    wrong = [name for name in dwarf if name in btf and dict(dwarf[name]) != dict(btf[name])]
    notes = [f"BTF and DWARF of the module do not agree on {', '.join(wrong)}."] if wrong else []
    return "BTF", btf, notes


def _dwarf(module: Module) -> Mapping[str, Places]:
    """The layouts by the module's DWARF. Raises ConformanceError if that is damaged."""
    debug = [section for section in module.elf.sections if section.name.startswith((".debug", ".zdebug"))]
    size = sum(map(module.elf.unpacked_size, debug))
    if size > MOST_BYTES:
        raise ConformanceError(f"{module.path} is not read: it has {size:,} bytes of DWARF.")
    try:
        return read_places(ELFFile(io.BytesIO(module.data)), _STRUCTURES)
    except Exception as trouble:  # pyelftools does not document what it raises for damaged DWARF.
        what = f"{type(trouble).__name__}: {trouble}"[:200]
        raise ConformanceError(f"{module.path}: its DWARF is damaged ({what}). Get the file again.") from None


def _layout(btf: Btf, kind: str, name: str) -> Places | None:
    """The layout of a structure from BTF, in the form that read_places() returns."""
    number = btf.find(kind, name)
    if number is None:
        return None
    layout: Places = {WHOLE: (0, 8 * btf.size(number))}
    for member in btf.named_members(number):
        layout[member.name] = (member.bit, member.bits)
        inner = btf.type(btf.strip(member.type))
        if inner.kind in ("struct", "union") and not inner.name:
            for part in btf.named_members(member.type, member.bit):
                layout[f"{member.name}.{part.name}"] = (part.bit, part.bits)
    return layout


def _rows(theirs: Places, ours: Places) -> list[Row]:
    names = [*theirs, *(name for name in ours if name not in theirs)]
    rows = [Row(name, theirs.get(name), ours.get(name)) for name in names]
    return sorted(rows, key=lambda row: (row.shipped or row.shim or (0, 0))[0])


def _options(kernel: Kernel, config: Path | None) -> list[tuple[str, str, str]]:
    """Options that structures may depend on and that differ."""
    if config is None:
        return []
    text = "\n".join(
        path.read_text(errors="replace")
        for pattern in _ASKING
        for path in sorted((kernel.root / "src").glob(pattern))
    )
    asked = dict.fromkeys([*re.findall(r"\bCONFIG_(\w+)", text), *_LOCKS])
    theirs, ours = options_of(config), options_of(kernel.root / "gen/.config")
    # The headers are the same whether something is built in or a module.
    given = ((name, *(side.get(name, "n").replace("m", "y") for side in (theirs, ours))) for name in asked)
    return [(name, there, here) for name, there, here in given if there != here]
