# SPDX-License-Identifier: GPL-2.0-only
"""Compiling units against a prepared kernel, with the kernel's own flags, in parallel.

Objects of the kernel's own units can be kept, so that a patch to one file compiles one file: an object
depends on its unit, on all that is no unit (headers, generated or not, of the kernel and in front of it) and
on how it is compiled.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from conformance.errors import ConformanceError
from conformance.kernels.cache import Cache, key_of
from conformance.kernels.compilers import Compiler
from conformance.kernels.manifest import Manifest, file_digest
from conformance.kernels.products import check_object
from conformance.kernels.recipe import RECIPE, flags, spelled
from conformance.kernels.tools import first_error, run

__all__ = ["BuildError", "Unit", "compile_units"]

KEPT_OBJECTS = 1000
"""How many objects are kept at most: those of some twenty whole KVMs."""


class BuildError(ConformanceError):
    """Kernel code, or ours against it, does not compile; the message has the compiler's first error."""


@dataclass(frozen=True)
class Unit:
    """A source file to compile, with arguments of its own after the common ones.

    The source is absolute, or relative to the kernel ("arch/x86/kvm/mmu/spte.c"). Give a name to the object
    if one source is compiled more than once.
    """

    source: Path | str
    flags: Sequence[str] = ()
    name: str | None = None

    @property
    def object_name(self) -> str:
        """The name of the object file; a kernel file's tells its folder, so as not to collide with ours."""
        stem = Path(self.source).with_suffix("")
        return f"{self.name or (stem.name if stem.is_absolute() else str(stem).replace('/', '-'))}.o"


def compile_units(
    root: Path,
    title: str,
    compiler: Compiler,
    units: Sequence[Unit],
    out_dir: Path,
    common: Sequence[str],
    include_before: Sequence[Path],
    force_include: Sequence[Path],
    reuse: Cache | None = None,
) -> list[Path]:
    """Compile the units against the prepared kernel in `root`; the objects come in the order of the units.

    Flags are those of gcc, and spelled as the compiler has them. With `reuse`, objects of the kernel's own
    units are taken from that cache and kept in it; one that is no object is not.
    """
    compiler.check()
    src = root / "src"
    out = out_dir.absolute()
    out.mkdir(parents=True, exist_ok=True)
    twice = [name for name, times in Counter(unit.object_name for unit in units).items() if times > 1]
    if twice:
        raise ValueError(f"two units would both be {twice[0]}: give one a name")
    arguments = [
        *flags(src, "../gen", compiler, include_before=include_before, force=force_include),
        # What WARN and BUG call the file, and what debuggers see, is the kernel's own name for it.
        f"-ffile-prefix-map={src}=.",
        f"-ffile-prefix-map={root}=.",
        *common,
    ]

    def make(unit: Unit, target: Path) -> None:
        base = Path(unit.source).stem.replace("-", "_")
        words = spelled([*arguments, f'-DKBUILD_BASENAME="{base}"', *unit.flags], compiler)
        words = [*compiler.command, *words, "-c", str(unit.source), "-o", str(target)]
        done = run(words, cwd=src, purpose="Compiling kernel code")
        if done.returncode:
            said = first_error(done.stderr, [src, root]).replace("../gen/", "")
            raise BuildError(f"{title}: does not compile: {said}")
        wrong = _check_assembly(target) if "-S" in words else check_object(target)
        if wrong:
            raise BuildError(
                f"{title}: does not compile: what {compiler.name} made of {unit.source} {wrong}."
            )

    context = _context(root, compiler, common, [*include_before, *force_include]) if reuse else ""

    def one(unit: Unit) -> Path:
        target = out / unit.object_name
        if reuse is None or Path(unit.source).is_absolute():
            make(unit, target)
        else:
            key = key_of(context, unit.source, file_digest(src / unit.source), *unit.flags)
            kept = reuse.get_or_build("object", key, lambda entry: make(unit, entry / "o"), keep=KEPT_OBJECTS)
            shutil.copyfile(kept / "o", target)
        return target

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return list(pool.map(one, units))


def _check_assembly(path: Path) -> str:
    """What is wrong with a file of assembly, as the end of a sentence about it; "" if it is one."""
    if not path.is_file():
        return "does not exist"
    with path.open("rb") as file:
        return "" if b".file" in file.read(4096) else "is no assembly"


def _context(root: Path, compiler: Compiler, common: Sequence[str], in_front: Sequence[Path]) -> str:
    """A digest of all that an object depends on besides its unit."""
    digests = Manifest.now(root).digests
    whole = hashlib.sha256("\0".join((RECIPE, compiler.identity, *common)).encode())
    for name in sorted(digests):
        if not name.endswith(".c"):
            whole.update(f"{digests[name]} {name}\n".encode("utf-8", "surrogateescape"))
    for place in in_front:
        for path in sorted(place.rglob("*.h")) if place.is_dir() else [place]:
            whole.update(f"{file_digest(path)} {path.name}\n".encode())
    return whole.hexdigest()
