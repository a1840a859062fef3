# SPDX-License-Identifier: GPL-2.0-only
"""The recipe for KVM's modules of a shipped kernel: their units, flags, and the configuration.

The kernel's objtool is not run. So what only works with it is left out: retpolines and return thunks, short
jump labels, padding before functions; stack traces through these modules are guesses. Left out are also the
stack protector and UBSAN. None of this changes what KVM does, or how its structures are laid out.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

__all__ = ["MODULES", "adapted", "module_flags", "names_of", "units_of"]

MODULES: Mapping[str, tuple[str, ...]] = {
    "kvm": ("arch/x86/kvm", "arch/x86/kvm/mmu", "virt/kvm"),
    "kvm-amd": ("arch/x86/kvm/svm",),
    "kvm-intel": ("arch/x86/kvm/vmx",),
}
"""The modules, each before those that depend on it, and the directories of their units."""

_NEEDS = {
    "arch/x86/kvm/kvm-asm-offsets.c": (),
    "arch/x86/kvm/kvm_onhyperv.c": ("HYPERV",),
    "arch/x86/kvm/mmu/mmu_audit.c": (),
    "arch/x86/kvm/smm.c": ("KVM_SMM",),
    "arch/x86/kvm/vmx/sgx.c": ("X86_SGX_KVM",),
    "arch/x86/kvm/vmx/tdx.c": ("KVM_INTEL_TDX",),
    "arch/x86/kvm/xen.c": ("KVM_XEN",),
    "virt/kvm/guest_memfd.c": ("KVM_PRIVATE_MEM", "KVM_GUEST_MEMFD"),
}
"""Units that are compiled only if the kernel has one of the options. Others are empty without theirs."""

_FLAGS = (
    "-DMODULE",
    "-fno-PIC",
    "-fno-PIE",
    "-fvisibility=default",
    "-fno-function-sections",
    "-fno-data-sections",
    "-mcmodel=kernel",
    "-march=x86-64",
    "-mtune=generic",
    "-mno-3dnow",
    "-mno-sse4a",
    "-mno-fp-ret-in-387",
    "-mskip-rax-setup",
    "-mpreferred-stack-boundary=3",
    "-falign-jumps=1",
    "-falign-loops=1",
    "-fno-stack-check",
    "-fconserve-stack",
    "-fno-allow-store-data-races",
)
"""Flags of arch/x86/Makefile and the Makefile, in place of those of recipe.py for a shared library."""

_FLAGS_OF_OPTIONS = {
    "FUNCTION_TRACER": ("-pg", "-mrecord-mcount", "-mfentry", "-DCC_USING_FENTRY"),
    "INIT_STACK_ALL_ZERO": ("-ftrivial-auto-var-init=zero",),
    "X86_KERNEL_IBT": ("-fcf-protection=branch",),
}

_DEFINITION = re.compile(r"#define CONFIG_(?P<name>\w+) .*\n")
_OF_COMPILER = re.compile(r"(AS|CC|CLANG|GCC|LD)_\w+")
"""Options that say what the compiler, the assembler and the linker can do."""

_NEEDS_OBJTOOL = ("HAVE_JUMP_LABEL_HACK", "MITIGATION_RETHUNK", "RETHUNK")
"""Without these, branches are emitted as they run, and functions return by themselves."""

_NEEDS_COMPILER = {"USE_X86_SEG_SUPPORT": "CC_HAS_NAMED_AS"}
"""Options that follow from one of _OF_COMPILER."""


def units_of(source: Path, module: str, options: Mapping[str, str]) -> list[str]:
    """The C units of a module, relative to the source."""
    found = [path for folder in MODULES[module] for path in sorted((source / folder).glob("*.c"))]
    names = [str(path.relative_to(source)) for path in found]
    return [name for name in names if name not in _NEEDS or any(one in options for one in _NEEDS[name])]


def module_flags(options: Mapping[str, str]) -> list[str]:
    """The flags of all units for a configuration."""
    more = (flag for name, flags in _FLAGS_OF_OPTIONS.items() if name in options for flag in flags)
    return [*_FLAGS, *more]


def names_of(module: str) -> list[str]:
    """The flags by which a unit knows its module."""
    name = module.replace("-", "_")
    defined = {"KBUILD_MODNAME": f'"{name}"', "__KBUILD_MODNAME": f"kmod_{name}"}
    return [flag for macro, value in defined.items() for flag in (f"-U{macro}", f"-D{macro}={value}")]


def adapted(configuration: str, prepared: str) -> str:
    """The autoconf.h of a shipped kernel for the compiler for which ``prepared`` was generated."""
    theirs, ours = (
        {m["name"]: m[0] for m in _DEFINITION.finditer(text)} for text in (configuration, prepared)
    )
    merged = {name: line for name, line in theirs.items() if not _OF_COMPILER.fullmatch(name)}
    merged |= {name: line for name, line in ours.items() if _OF_COMPILER.fullmatch(name)}
    lacking = [name for name, needed in _NEEDS_COMPILER.items() if needed not in merged]
    return "".join(line for name, line in merged.items() if name not in (*_NEEDS_OBJTOOL, *lacking))
