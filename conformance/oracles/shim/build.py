# SPDX-License-Identifier: GPL-2.0-only
"""Building the shim: the kernel's spte.c and tdp_iter.c, mmu.c inside our exports, and the environment.

What a unit refers to and nothing provides fails the link with the symbol's name; see environment.c
for the written list of what is provided in the kernel's stead.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from conformance.kernels import BuildError, Cache, Kernel, Progress, Unit, key_of
from conformance.kernels.building import build as run_confined
from conformance.kernels.cache import temporary
from conformance.kernels.products import check_library
from conformance.kernels.tools import first_error
from conformance.oracles.common import COMMON_C, defined_nowhere, digest_of
from conformance.oracles.coverage import COVERAGE, check_compiler, take_notes
from conformance.oracles.shim.features import probe
from conformance.oracles.shim.image import shim_image
from conformance.paths import VENDOR_HEADERS

__all__ = ["build_shim"]

_C = Path(__file__).parent / "c"
_ENVIRONMENT = VENDOR_HEADERS / "environment"

_OURS = (
    _C / "environment.c",
    _C / "observation.c",
    COMMON_C / "entries/core.c",
    COMMON_C / "blocks.c",
    COMMON_C / "planted.c",
    COMMON_C / "coverage.c",
)

_RENAMES = (
    "-Dmmu_try_to_unsync_pages=shim_try_to_unsync_pages",
    "-Dmmu_need_write_protect=shim_need_write_protect",
)
"""make_spte() asks the environment; the question's other half, in mmu.c, needs a whole VM to answer."""

_EXPORTED = ("shim_nr_entries", "shim_entry", "shim_run", "shim_configure")
"""What every shim exports, whatever its kernel; see shim.map."""

_LINK = (
    "-Wl,--gc-sections",
    "-Wl,-z,nostart-stop-gc",
    "-Wl,-z,defs",
    "-Wl,-z,noexecstack",
    "-Wl,-Bsymbolic",
)


def build_shim(
    kernel: Kernel,
    cache: Cache,
    progress: Progress,
    *,
    coverage: bool = False,
    renamed: Mapping[str, str] | None = None,
) -> Path:
    """The shim library of ``kernel``, from the cache or built now.

    One for ``coverage`` counts what it executes, and is slower.
    ``renamed`` are functions to which a patch gave names that no known kernel has: the known, the new one.
    Raises BuildError with the compiler's first error, or with the symbol that nothing provides.
    """
    if coverage:
        check_compiler(kernel)
    names = sorted(f"-D{old}={new}" for old, new in (renamed or {}).items())
    key = key_of("shim", kernel.fingerprint, _own_digest(), *(COVERAGE if coverage else ()), *names)

    def build(entry: Path) -> None:
        progress(f"{kernel.title}: compiling the shim")
        _build(kernel, cache, entry, coverage, renamed or {})

    return cache.get_or_build("shim", key, build) / "shim.so"


def _own_digest() -> str:
    """A digest of everything of ours that goes into a shim."""
    places = (_C, _ENVIRONMENT, COMMON_C)
    return digest_of(
        [*Path(__file__).parent.glob("*.py"), *(p for place in places for p in place.rglob("*"))]
    )


def _build(kernel: Kernel, cache: Cache, entry: Path, coverage: bool, renamed: Mapping[str, str]) -> None:
    counting = COVERAGE if coverage else ()
    features = probe(kernel.root / "src", renamed)
    names = [f"-D{old}={new}" for old, new in sorted(renamed.items())]
    units = [
        Unit("arch/x86/kvm/mmu/spte.c", (*_RENAMES, *counting)),
        Unit("arch/x86/kvm/mmu/tdp_iter.c", counting),
        Unit("lib/list_debug.c"),
        Unit(_C / "exports.c", (*names, *counting)),
        *(Unit(path) for path in _OURS),
    ]
    if "HAVE_kvm_tdp_mmu_write_spte" not in features:
        units.append(Unit(_C / "exports_tdp_mmu.c", counting))
    with temporary("shim") as objects:
        made = kernel.compile(
            units,
            objects,
            flags=[*(f"-D{name}=1" for name in features), *(["-DCONFORMANCE_COVERAGE"] if coverage else [])],
            include_before=[_ENVIRONMENT, _C, COMMON_C, COMMON_C / "entries"],
            force_include=[_ENVIRONMENT / "conformance.h"],
            reuse=cache,
        )
        if coverage:
            take_notes(kernel, made, entry / "notes")
        _link(kernel, made, entry / "shim.so", ["-lgcov"] if coverage else [])
        _check(kernel, entry / "shim.so")


def _link(kernel: Kernel, objects: list[Path], library: Path, more: Sequence[str]) -> None:
    command = [*kernel.compiler.command, "-shared", "-o", str(library), *map(str, objects), *more, *_LINK]
    command.append(f"-Wl,--version-script={_C / 'shim.map'}")
    done = run_confined(
        command,
        read=[_C, objects[0].parent, *kernel.compiler.places],
        write=[library.parent],
        purpose=f"{kernel.title}: linking the shim",
    )
    if done.returncode:
        missing = re.search(r"(?:in function `(\S+)':.*?)?undefined reference to `(\S+)'", done.stderr, re.S)
        if missing:
            if defined_nowhere(kernel, [missing[2]]):
                user = missing[1] or "the MMU"
                raise BuildError(
                    f"{kernel.title}: does not link: {missing[2]} is used by {user} and defined by no file."
                )
            caller = f", which {missing[1]}() refers to" if missing[1] else ""
            raise BuildError(
                f"{kernel.title}: the shim has nothing that stands in for {missing[2]}{caller}."
                " It must be added to environment.c, with the reason why it is faithful."
            )
        said = first_error(done.stderr)
        raise BuildError(f"{kernel.title}: the shim does not link: {said}")


def _check(kernel: Kernel, library: Path) -> None:
    """Raise BuildError unless the library is one in which entries can be found."""
    wrong = check_library(library, _EXPORTED)
    if not wrong and not shim_image(library).entries:
        wrong = "has no entries"
    if wrong:
        raise BuildError(f"{kernel.title}: the shim that {kernel.compiler.name} linked {wrong}.")
