# SPDX-License-Identifier: GPL-2.0-only
"""Which of a kernel's files and functions coverage counts as the MMU. RULE says the same in words."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from conformance.coverage.data import Coverage, Executed, File, Function, Layer
from conformance.coverage.source import source_lines

__all__ = ["RULE", "in_scope", "scoped"]

RULE = (
    "Counted: arch/x86/kvm/mmu.h, arch/x86/kvm/mmu/*, virt/kvm/dirty_ring.c, pfncache.c, guest_memfd.c and "
    "kvm_mm.h; of virt/kvm/kvm_main.c and arch/x86/kvm/x86.c the functions whose name or parameters name the "
    "MMU, TLBs, memslots or memory regions, gfns, HVAs, PFNs, dirty pages or page tracking.",
    "Left out: tracepoints (files named *trace.h) and module boilerplate (functions marked __init or __exit, "
    "or named *module_init, *module_exit).",
)
"""The rule by which lines are counted, in sentences."""

_WHOLE = re.compile(
    r"arch/x86/kvm/mmu(/\w+\.[ch]|\.h)|virt/kvm/(dirty_ring\.c|pfncache\.c|guest_memfd\.[ch]|kvm_mm\.h)"
)
_IN_PART = re.compile(r"virt/kvm/kvm_main\.c|arch/x86/kvm/x86\.c")
_TRACEPOINTS = re.compile(r".*trace\.h")

_OF_THE_MMU = re.compile(r"mmu|tlb|memory_(region|slot|attr)|mem_?(slot|attr)|gfn|hva|pfn|dirty|page_track")
_BOILERPLATE = re.compile(r"\b__(init|exit)\b|\w*module_(init|exit)\s*\(")


def in_scope(file: str) -> bool:
    """Whether functions of a file can be the MMU's."""
    if _TRACEPOINTS.fullmatch(file):
        return False
    return any(pattern.fullmatch(file) for pattern in (_WHOLE, _IN_PART))


def scoped(coverage: Coverage, source: Path) -> Coverage:
    """What a kernel's coverage says of the MMU. ``source``: the directory of the kernel's files."""
    counted: dict[str, frozenset[str]] = {}
    for name, file in coverage.files.items():
        if in_scope(name):
            text = source_lines(source / name)
            functions = file.functions.values()
            counted[name] = frozenset(one.name for one in functions if _counts(name, one, text))
    layers = {name: _layer(layer, counted) for name, layer in coverage.layers.items()}
    return replace(coverage, layers=layers)


def _counts(file: str, function: Function, text: list[str]) -> bool:
    head = _head(function, text)
    if _BOILERPLATE.search(head):
        return False
    return bool(_WHOLE.fullmatch(file) or _OF_THE_MMU.search(head.lower()))


def _head(function: Function, text: list[str]) -> str:
    """A function's definition up to its body, with the line before its name, which may have its type."""
    first = max(function.first - 1, 0)
    before = text[first - 1] if first else ""
    lines = [] if re.search(r"^\s*#|[;}/]\s*$", before) else [before]
    for line in text[first : function.last]:
        lines.append(line.partition("{")[0])
        if "{" in line:
            break
    return " ".join(lines)


def _layer(layer: Layer, counted: Mapping[str, frozenset[str]]) -> Layer:
    files = {
        name: _file(layer.files[name], functions)
        for name, functions in counted.items()
        if name in layer.files
    }
    known = frozenset(name for functions in counted.values() for name in functions)
    runs = {
        name: Executed(
            run.functions & known,
            {file: lines & files[file].lines.keys() for file, lines in run.lines.items() if file in files},
        )
        for name, run in layer.runs.items()
    }
    return Layer(layer.name, files, runs)


def _file(file: File, functions: frozenset[str]) -> File:
    counted = {number for name in functions & file.functions.keys() for number in file.lines_of(name)}
    return File(
        {number: line for number, line in file.lines.items() if number in counted},
        {name: function for name, function in file.functions.items() if name in functions},
    )
