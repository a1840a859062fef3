# SPDX-License-Identifier: GPL-2.0-only
"""Building the kvm oracle: all units of KVM and what they need of lib/, our C, and the stand-ins."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from conformance.errors import ConformanceError
from conformance.kernels import BuildError, Cache, Kernel, Progress, Unit, key_of
from conformance.kernels.building import build as run_confined
from conformance.kernels.cache import temporary
from conformance.kernels.products import check_library
from conformance.kernels.tools import first_error
from conformance.oracles.common import COMMON_C, defined_nowhere, digest_of, functions_of
from conformance.oracles.coverage import COVERAGE, FROM_LIBGCOV, UNUSED, check_compiler, take_notes
from conformance.oracles.kvm.features import probe
from conformance.oracles.kvm.header import header_text, write_header
from conformance.oracles.kvm.members import Layout, raw_state_layouts
from conformance.oracles.kvm.standins import assembly, choose, declarations
from conformance.oracles.kvm.variables import note_variables

__all__ = ["CannotBuild", "build_kvm", "layouts_of"]

_C = Path(__file__).parent / "c"
_RACES = _C / "races"
"""What only a library for races has."""

_HOSTED = (_C / "process/process.c", _C / "machine/serve.c")
_HOSTED_RACE = _RACES / "race_process.c"
"""Units that are compiled against libc, as an ordinary program."""

_FOLDERS = ("arch/x86/kvm", "arch/x86/kvm/mmu", "virt/kvm", "lib")

_NEEDS = {
    "arch/x86/kvm/kvm-asm-offsets.c": "KVM_ASM_OFFSETS",
    "arch/x86/kvm/kvm_onhyperv.c": "HYPERV",
    # Included by mmu.c.
    "arch/x86/kvm/mmu/mmu_audit.c": "NEVER",
    "arch/x86/kvm/xen.c": "KVM_XEN",
    "virt/kvm/guest_memfd.c": "KVM_GUEST_MEMFD",
}
"""Units that are compiled only if the kernel has the option; all others are always compiled."""

_APART = (
    "-fno-inline-functions",
    "-fno-inline-functions-called-once",
    "-fno-inline-small-functions",
    "-fno-ipa-sra",
    "-fno-ipa-cp",
    "-fno-ipa-ra",
    "-fno-ipa-icf",
    "-fno-partial-inlining",
)
"""Static functions stay functions of their own, with the arguments that they have in the source."""

_OPENED = (
    "kvm_recover_nx_huge_pages",
    "kvm_recover_nx_lpages",
    "kvm_vcpu_flush_tlb_all",
    "kvm_vcpu_flush_tlb_guest",
    "rmap_get_first",
    "rmap_get_next",
    "tdp_mmu_free_sp_rcu_callback",
)
"""Static functions that our C calls or knows by address."""

_EXPORTED = ("kvm_boot", "kvm_serve")
"""What every library exports; see kvm.map."""

RACING = (
    "-fsanitize=thread",
    "--param=tsan-distinguish-volatile=1",
    "--param=tsan-instrument-func-entry-exit=0",
)
"""Flags with which code calls c/races/race_access.c before each access to memory that is not its stack."""

_RACING_UNITS = re.compile(r"arch/x86/kvm/(mmu/\w+|x86)\.c|virt/kvm/kvm_main\.c")
"""Units of the kernel in which threads of a race can be stopped."""

_UNSTOPPED = ("-Dlock_acquire=env_lock_acquire", "-Dlock_release=env_lock_release")
"""For other units: locks are tracked, but taking one is no point."""

_EMULATION = ("-Dx86_emulate_instruction=env_emulate_instruction",)
"""Where mmu.c emulates an instruction, c/machine/emulation.c gives the emulator one, or the access ends."""


class CannotBuild(ConformanceError):
    """The kvm oracle of this kernel has not the machines that are wanted; the message says why."""


def build_kvm(
    kernel: Kernel,
    cache: Cache,
    progress: Progress,
    *,
    coverage: bool = False,
    racing: bool = False,
    tdp_mmu: bool = True,
) -> Path:
    """The library of the whole KVM of ``kernel``, from the cache or built now.

    One for ``coverage`` counts what it executes of KVM, and is slower. In one for ``racing``, threads
    can be stopped before each access to shared memory: it is for RacingKvm.
    ``tdp_mmu`` says that machines with the TDP MMU are wanted: raises CannotBuild if this kernel's is not of
    today's kind. Raises BuildError with the compiler's or the linker's first error.
    """
    if coverage:
        check_compiler(kernel)
    if racing:
        kernel.need_gcc("threads of a race are stopped where gcc's -fsanitize=thread says that they may be")
    if tdp_mmu and "HAVE_TDP_MMU" not in probe(kernel.root / "src"):
        raise CannotBuild(
            f"{kernel.title}: the kvm oracle needs a TDP MMU as 6.1 has it or later; this one is older,"
            " and off by default"
        )
    variant = (*_counting(coverage, racing), *(RACING if racing else ()))
    key = key_of("kvm", kernel.fingerprint, _own_digest(), header_text(), *variant)

    def build(entry: Path) -> None:
        progress(f"{kernel.title}: compiling the whole KVM")
        _build(kernel, cache, entry, coverage, racing)

    return cache.get_or_build("kvm", key, build) / "kvm.so"


def layouts_of(kernel: Kernel, cache: Cache) -> dict[str, Layout]:
    """The layouts of the structures of this kernel's KVM that are copied for a review. Raises BuildError."""
    return raw_state_layouts(kernel, cache, [COMMON_C], _C / "front.h")


def _own_digest() -> str:
    """A digest of all files of ours that go into a library."""
    here = Path(__file__)
    names = ("features", "header", "standins", "variables")
    makers = [here, *(here.with_name(f"{name}.py") for name in names)]
    return digest_of([*_C.rglob("*"), *COMMON_C.iterdir(), *here.parent.glob("*.toml"), *makers])


def units_of(kernel: Kernel) -> list[str]:
    """The kernel's units that are linked, relative to its source."""
    source = kernel.root / "src"
    options = set(re.findall(r"^CONFIG_(\w+)=[ym]$", (kernel.root / "gen/.config").read_text(), re.M))
    names = sorted(
        str(path.relative_to(source)) for folder in _FOLDERS for path in source.glob(f"{folder}/*.c")
    )
    return [name for name in names if name not in _NEEDS or _NEEDS[name] in options]


def _flags_of(unit: str, coverage: bool, racing: bool) -> list[str]:
    flags: list[str] = []
    if unit == "lib/sort.c":
        flags += ["-DCONFORMANCE_NO_LOCKS"]
    if unit == "arch/x86/kvm/mmu/mmu.c":
        flags += _EMULATION
    if "kvm/" in unit and (not racing or _RACING_UNITS.fullmatch(unit)):
        flags += _counting(coverage, racing)
    if racing:
        flags += [*RACING, "-DCONFORMANCE_RACING"] if _RACING_UNITS.fullmatch(unit) else _UNSTOPPED
    return flags


def _counting(coverage: bool, racing: bool) -> tuple[str, ...]:
    """Flags with which KVM counts what it executes; in a race by calls, see c/races/race_coverage.c."""
    if not coverage:
        return ()
    return (*COVERAGE, "-fprofile-update=atomic") if racing else COVERAGE


def _ours(racing: bool) -> list[Unit]:
    """Our C that is compiled as kernel code; threads can be stopped in a vCPU's own code as in KVM's."""
    units = []
    for path in sorted(_C.rglob("*.c")):
        if path in (*_HOSTED, _HOSTED_RACE):
            continue
        if path.parent == _RACES and not racing:
            continue
        flags = ["-DCONFORMANCE_RACING"] if racing else []
        if racing and path.name in ("guest.c", "execute.c"):
            flags += RACING
        units.append(Unit(path, flags))
    return [*units, *(Unit(COMMON_C / f"{name}.c") for name in ("blocks", "planted", "coverage"))]


def _generated(cache: Cache) -> Path:
    """The directory of the generated header. It has one path for a text, so that objects can be reused."""
    text = header_text()
    return cache.get_or_build("interface", key_of(text), partial(write_header, text))


def _build(kernel: Kernel, cache: Cache, entry: Path, coverage: bool, racing: bool) -> None:
    features = [f"-D{name}=1" for name in probe(kernel.root / "src")]
    theirs = [Unit(name, _flags_of(name, coverage, racing)) for name in units_of(kernel)]
    with temporary("kvm") as place:
        front = [_C / "front.h"]
        kvm = kernel.compile(
            theirs,
            place / "theirs",
            flags=_APART,
            include_before=[COMMON_C],
            force_include=front,
            reuse=cache,
        )
        own = kernel.compile(
            _ours(racing),
            place / "ours",
            flags=["-DCONFORMANCE_OURS", *(["-DCONFORMANCE_COVERAGE"] if coverage else []), *features],
            include_before=[COMMON_C, _C, _generated(cache)],
            force_include=front,
            reuse=cache,
        )
        if coverage:
            counting = [Path(one.object_name) for one in theirs if "-ftest-coverage" in one.flags]
            take_notes(kernel, [place / "theirs" / one for one in counting], entry / "notes")
        hosted = [*_HOSTED, _HOSTED_RACE] if racing else _HOSTED
        _link(kernel, place, kvm, own, entry, hosted, ["-lgcov"] if coverage else [])


def _defined(listing: str) -> set[str]:
    """The global symbols that nm lists as defined."""
    return set(re.findall(r" [TDBRC] (\S+)$", listing, re.M))


def _undefined(listing: str) -> set[str]:
    """The symbols that nm lists as undefined."""
    return set(re.findall(r"^ +U (\S+)$", listing, re.M)) - {"_GLOBAL_OFFSET_TABLE_"}


def _called(listing: str) -> set[str]:
    """The symbols that readelf lists as called."""
    return set(re.findall(r" R_X86_64_PLT32 .* (\S+) - 4$", listing, re.M))


def _user(listing: str, symbol: str) -> str:
    """Which function refers to a symbol, as readelf lists relocations by section."""
    section = "KVM"
    for line in listing.splitlines():
        if found := re.match(r"Relocation section '\.rela\.(?:text\.)?([^']+)'", line):
            section = found[1]
        elif re.search(rf" {re.escape(symbol)} [-+] [0-9a-f]+$", line):
            break
    return section


def _write_names(path: Path, names: set[str]) -> None:
    path.write_text("".join(f"{name}\n" for name in sorted(names)))


def _link(
    kernel: Kernel,
    place: Path,
    theirs: list[Path],
    ours: list[Path],
    entry: Path,
    hosted: Sequence[Path],
    more: Sequence[str],
) -> None:
    """Link the kernel's objects, ours, whose definitions are weak, and stand-ins for undefined symbols."""

    def run(*words: str | Path) -> str:
        done = run_confined(
            words,
            read=[_C, *kernel.compiler.places],
            write=[place, entry],
            cwd=place,
            purpose=f"{kernel.title}: linking the whole KVM",
        )
        if done.returncode:
            said = first_error(done.stderr, [place])
            raise BuildError(f"{kernel.title}: the whole KVM does not link: {said}")
        return done.stdout

    cc = kernel.compiler.command

    kernel_object, environment, both = place / "kernel.o", place / "environment.o", place / "both.o"
    run("ld", "-r", "-o", kernel_object, *theirs)
    run("objcopy", *(f"--globalize-symbol={name}" for name in _OPENED), kernel_object)
    run("ld", "-r", "-o", environment, *ours)
    # Definitions only: an undefined weak reference would silently be 0.
    provided = _defined(run("nm", environment))
    (place / "provided").write_text("\n".join(sorted(provided)))
    run("objcopy", "--weaken-symbols=provided", environment)
    run("ld", "-r", "-o", both, kernel_object, environment)
    # So that the linker says where per-CPU variables are.
    sections = set(re.findall(r" (\.data\.\.percpu\S*)", run("readelf", "-SW", both)))
    run("objcopy", *(f"--rename-section={name}=percpu_variables" for name in sorted(sections)), both)
    around = []
    for path in hosted:
        around.append(place / path.with_suffix(".o").name)
        run(*cc, "-c", "-O2", "-g1", "-fPIC", "-Wall", "-Werror", f"-I{_C}", path, "-o", around[-1])
    outside = [run("nm", one) for one in around]
    wanted = _undefined(run("nm", kernel_object)).union(
        *(_undefined(run("nm", one)) for one in ours), *map(_undefined, outside)
    )
    exported = set(re.findall(r"(\w+);", (_C / "kvm.map").read_text()))
    undefined = _undefined(run("nm", both)).difference(*map(_defined, outside))
    # The linker itself defines where the library and a section with such a name begin and end.
    undefined -= {name for name in undefined if re.match(r"(__(start|stop)_|(__ehdr_start|_end)$)", name)}
    undefined.discard(FROM_LIBGCOV)
    _write_names(entry / "undefined", undefined)
    references = run("readelf", "-rW", both)
    chosen = choose(
        undefined,
        declarations(kernel.root / "src", kernel.root / "gen", undefined),
        called=_called(references),
        provided=provided,
    )
    missing = (symbol for symbol, one in chosen.items() if one is None and symbol != UNUSED)
    for symbol in defined_nowhere(kernel, missing):
        user = _user(references, symbol)
        raise BuildError(f"{kernel.title}: does not link: {symbol} is used by {user} and defined by no file.")
    wanted |= {one.same_as for one in chosen.values() if one is not None}
    _write_names(entry / "idle", provided - wanted - exported)
    (place / "standins.S").write_text(assembly(chosen))
    run(*cc, "-c", "standins.S", "-o", "standins.o")
    library = entry / "kvm.so"
    run(
        *cc, "-shared", "-o", library, both, *around, "standins.o", *more,
        "-Wl,-z,defs", "-Wl,-z,noexecstack", "-Wl,-Bsymbolic", f"-Wl,--version-script={_C / 'kvm.map'}",
    )  # fmt: skip
    wrong = check_library(library, _EXPORTED)
    if wrong:
        raise BuildError(f"{kernel.title}: the whole KVM that {kernel.compiler.name} linked {wrong}.")
    functions = functions_of(library).items()
    (entry / "symbols").write_text("".join(f"{value:x} {name}\n" for value, name in functions))
    kvm = {Path(one.stem.rpartition("-")[2]).with_suffix(".c").name for one in theirs if "-kvm-" in one.name}
    note_variables(library, run("nm", kernel_object), kvm)
    run("strip", "--strip-unneeded", library)
