# SPDX-License-Identifier: GPL-2.0-only
"""The recipe for compiling kernel code: include directories and flags, in the kernel's own order.

Taken from the kernel's Makefiles, without flags that only make sense in ring 0 or at a fixed address. Paths
are relative to the source directory, so that messages and objects do not depend on where the cache is.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache
from pathlib import Path

from conformance.errors import ConformanceError
from conformance.kernels.building import build
from conformance.kernels.compilers import Compiler

__all__ = [
    "CONFIG_FRAGMENT",
    "HIDDEN",
    "LIBRARY",
    "PREPARED",
    "RECIPE",
    "SEARCHED",
    "UNITS",
    "flags",
    "spelled",
]

PREPARED = 3
"""Increased when the way in which kernels are prepared changes, so that older cache entries are not
reused."""

CONFIG_FRAGMENT = Path(__file__).with_name("fragment.config")

HIDDEN = Path(__file__).with_name("hidden.h")

LIBRARY = (
    "bitmap",
    "find_bit",
    "hexdump",
    "hweight",
    "idr",
    "interval_tree",
    "list_debug",
    "radix-tree",
    "rbtree",
    "sort",
    "xarray",
)
"""Data structures of the kernel's lib/ that KVM uses; they are linked instead of being replaced."""

UNITS = (
    "arch/x86/kvm/*.c",
    "arch/x86/kvm/mmu/*.c",
    "arch/x86/kvm/vmx/vmx.c",
    "arch/x86/kvm/svm/svm.c",
    "virt/kvm/*.c",
    *(f"lib/{name}.c" for name in LIBRARY),
)
"""Patterns for the units whose headers form the closure: a whole KVM, which includes the MMU."""

DIALECT = (
    "-std=gnu11",
    "-fms-extensions",
    "-fshort-wchar",
    "-funsigned-char",
    "-fno-common",
    "-fno-strict-aliasing",
    "-fno-strict-overflow",
    "-fno-delete-null-pointer-checks",
)

# -fPIC and hidden visibility because the objects end in a shared library; no SSE because the kernel has none
# and its headers assume so.
GENERATION = (
    "-O2",
    "-m64",
    "-fPIC",
    "-fvisibility=hidden",
    "-ffunction-sections",
    "-fdata-sections",
    "-fcf-protection=none",
    "-fno-stack-protector",
    "-fno-asynchronous-unwind-tables",
    "-fno-jump-tables",
    "-mno-red-zone",
    "-mno-mmx",
    "-mno-sse",
    "-mno-sse2",
    "-mno-avx",
    "-mno-80387",
)

# Errors as in the kernel's Makefile, int-conversion as in newer compilers. No -w: it would silence these as
# well. What the compiler merely warns of is not shown.
DIAGNOSTICS = (
    "-fdiagnostics-color=never",
    "-Wno-attributes",
    "-Werror=implicit-function-declaration",
    "-Werror=implicit-int",
    "-Werror=return-type",
    "-Werror=strict-prototypes",
    "-Werror=incompatible-pointer-types",
    "-Werror=int-conversion",
    "-Werror=designated-init",
    "-Werror=date-time",
)

DEFINES = (
    "-D__KERNEL__",
    '-DKBUILD_MODNAME="kvm"',
    "-D__KBUILD_MODNAME=kmod_kvm",
    '-DKBUILD_MODFILE="arch/x86/kvm/kvm"',
)

CLANG = {
    # clang folds functions of these kinds by -finline-functions alone, and has no others of gcc's passes
    # between functions by these names.
    "-fno-inline-functions-called-once": (),
    "-fno-inline-small-functions": (),
    "-fno-partial-inlining": (),
    "-fno-ipa-bit-cp": (),
    "-fno-ipa-cp": (),
    "-fno-ipa-icf": (),
    "-fno-ipa-modref": (),
    "-fno-ipa-pure-const": (),
    "-fno-ipa-ra": (),
    "-fno-ipa-sra": (),
    "-fno-ipa-vrp": (),
    "--param=tsan-distinguish-volatile=1": ("-mllvm", "-tsan-distinguish-volatile=1"),
    "--param=tsan-instrument-func-entry-exit=0": ("-mllvm", "-tsan-instrument-func-entry-exit=0"),
}
"""Flags of gcc that clang lacks or spells differently. Flags that both do not know are errors."""

RECIPE = "\n".join(
    path.read_text() for path in (Path(__file__), Path(__file__).with_name("compiling.py"), HIDDEN)
)
"""The recipe as text, for fingerprints."""


SEARCHED = (
    "arch/x86/include",
    "include",
    "arch/x86/include/uapi",
    "include/uapi",
    "arch/x86/kvm/mmu",
    "arch/x86/kvm",
    "virt/kvm",
)
"""The directories of a kernel in which `flags` looks for headers."""


def spelled(words: Iterable[str], compiler: Compiler) -> list[str]:
    """gcc's flags in the spelling of this compiler."""
    if compiler.family == "gcc":
        return list(words)
    return [spelling for word in words for spelling in CLANG.get(word, (word,))]


@lru_cache
def builtin_headers(compiler: Compiler) -> str:
    """The compiler's directory of stdarg.h, which kernels before 5.16 include."""
    words = [*compiler.command, "-print-file-name=include"]
    found = build(words, read=compiler.places, purpose="Compiling kernel code").stdout.strip()
    if not (Path(found) / "stdarg.h").is_file():
        raise ConformanceError(
            f"The compiler {compiler.name!r} has no headers of its own: {found!r} has no stdarg.h. "
            "Install it again, or name another: --cc gcc, --cc clang."
        )
    return found


def flags(
    src: Path,
    gen: Path | str,
    compiler: Compiler,
    *,
    include_before: Sequence[Path] = (),
    force: Sequence[Path] = (),
) -> list[str]:
    """The compiler's arguments for a unit of the kernel in `src`, to be run in `src`.

    gen: the directory of generated headers, absolute or relative to src.
    include_before: directories searched before the kernel's own.
    force: files that are included before the unit's first line, after those that the kernel force-includes.
    """
    # The generated include/ precedes the source's, other than in Kbuild: the two have no name in common in a
    # clean tree, and in one that was built in place this keeps its own configuration out.
    include = [f"-I{directory.absolute()}" for directory in include_before]
    for directory in (
        "arch/x86/include",
        f"{gen}/arch/x86/include/generated",
        f"{gen}/include",
        "include",
        "arch/x86/include/uapi",
        f"{gen}/arch/x86/include/generated/uapi",
        "include/uapi",
        f"{gen}/include/generated/uapi",
    ):
        include.append(f"-I{directory}")
    include += ["-include", str(HIDDEN)]
    for name in ("compiler-version.h", "kconfig.h", "compiler_types.h"):
        if (src / "include/linux" / name).exists():
            include += ["-include", f"include/linux/{name}"]
    for path in force:
        include += ["-include", str(path.absolute())]
    include += ["-iquote", "arch/x86/kvm/mmu", "-Iarch/x86/kvm", "-Ivirt/kvm"]
    return [
        "-nostdinc",
        *include,
        "-isystem",
        builtin_headers(compiler),
        *DEFINES,
        *DIALECT,
        *GENERATION,
        *DIAGNOSTICS,
    ]
