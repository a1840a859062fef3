# SPDX-License-Identifier: GPL-2.0-only
"""Compiles units against a prepared kernel, with the kernel's own flags, in parallel.

Objects can be cached, so that a patch recompiles only the units that read its files.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from conformance.errors import ConformanceError
from conformance.kernels.building import build
from conformance.kernels.cache import Cache
from conformance.kernels.compilers import Compiler
from conformance.kernels.manifest import file_digest
from conformance.kernels.objects import Files, Made, keep_object, read_dependencies, reads_files
from conformance.kernels.products import check_object
from conformance.kernels.recipe import HIDDEN, RECIPE, flags, spelled
from conformance.kernels.tools import first_error

__all__ = ["NOTES", "BuildError", "Unit", "compile_units"]

NOTES = "conformance_notes"
"""The section of an object that holds gcc's notes (.gcno), if the unit is compiled with -ftest-coverage."""


class BuildError(ConformanceError):
    """Kernel code, or the suite's C, does not compile; the message has the compiler's first error.

    ``places`` are the files of the kernel, and the lines, that the compiler's errors name in all units.
    """

    def __init__(self, message: str, places: Iterable[tuple[str, int]] = ()) -> None:
        super().__init__(message)
        self.places = frozenset(places)


@dataclass(frozen=True)
class Unit:
    """A source file to compile, with arguments after the common ones.

    The source is absolute, or relative to the kernel ("arch/x86/kvm/mmu/spte.c"). If one source is compiled
    more than once, name the objects.
    """

    source: Path | str
    flags: Sequence[str] = ()
    name: str | None = None

    @property
    def object_name(self) -> str:
        """The name of the object file. A kernel file's includes its directory, to avoid collisions."""
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
    """Compile the units against the prepared kernel in `root`; returns the objects in the order of the units.

    Flags are gcc's, and are translated for other compilers. With `reuse`, objects are looked up and stored in
    that cache, if they are valid.
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
        # WARN, BUG and debuggers see the kernel's own name of the file.
        f"-ffile-prefix-map={src}=.",
        f"-ffile-prefix-map={root}=.",
        *common,
    ]

    read = [root, HIDDEN, *include_before, *(path.parent for path in force_include), *compiler.places]

    def compile_(unit: Unit, words: Sequence[str | Path], into: Path) -> None:
        seen = [*read, Path(unit.source).parent] if Path(unit.source).is_absolute() else read
        call([*compiler.command, *words], seen, into)

    def call(words: Sequence[str | Path], readable: Sequence[Path], into: Path) -> None:
        done = build(words, read=readable, write=[into], cwd=src, purpose=f"{title}: compiling")
        if done.returncode:
            said = first_error(done.stderr, [src, root]).replace("../gen/", "")
            raise BuildError(f"{title}: does not compile: {said}", _places(done.stderr, src))

    def words_of(unit: Unit, into: Path) -> list[str]:
        base = Path(unit.source).stem.replace("-", "_")
        words = spelled([*arguments, f'-DKBUILD_BASENAME="{base}"', *unit.flags], compiler)
        # The notes are called as the unit's object, and lie beside whatever is written.
        return [*words, "-dumpdir", f"{into}/", "-dumpbase", _stem(unit)] if _noted(unit) else words

    def add_notes(unit: Unit, target: Path) -> None:
        if _noted(unit):
            notes = target.with_name(f"{_stem(unit)}.gcno")
            call(["objcopy", "--add-section", f"{NOTES}={notes}", target], read, target.parent)
            notes.unlink()

    def check(unit: Unit, target: Path, words: Sequence[str]) -> None:
        wrong = _check_assembly(target) if "-S" in words else check_object(target)
        if wrong:
            raise BuildError(
                f"{title}: does not compile: what {compiler.name} made of {unit.source} {wrong}."
            )

    def make(unit: Unit, target: Path) -> None:
        words = words_of(unit, target.parent)
        compile_(unit, [*words, "-c", str(unit.source), "-o", target], target.parent)
        check(unit, target, words)
        add_notes(unit, target)

    def make_noting(unit: Unit, place: Path) -> Made:
        """Compile through assembly, which shows whether the assembler reads further files."""
        words, listed, assembly = words_of(unit, place), place / "read", place / "made.s"
        compile_(unit, [*words, *apart, "-S", str(unit.source), "-o", assembly, "-MD", "-MF", listed], place)
        names = read_dependencies(listed.read_text("utf-8", "surrogateescape"))
        if Path(unit.source).is_absolute():
            names.discard(str(unit.source))
        target = place / "made.o"
        if apart:
            make(unit, target)
        elif "-S" in words:
            target = assembly
        else:
            compile_(unit, ["-m64", "-c", assembly, "-o", target], target.parent)
            add_notes(unit, target)
        check(unit, target, words)
        return Made(target, frozenset(names), reads_files(assembly.read_bytes()))

    # clang's integrated assembler expands the files that it reads, and clang emits other code for an external
    # one. So its assembly is only inspected, not assembled.
    apart = ["-fno-integrated-as"] if compiler.family == "clang" else []
    order = [str(path.absolute()) for path in (*include_before, *force_include)]
    files = Files(root, [Path(path) for path in order]) if reuse else None

    def one(unit: Unit) -> Path:
        target = out / unit.object_name
        if reuse is None or files is None:
            make(unit, target)
        else:
            source = Path(unit.source)
            which = file_digest(source) if source.is_absolute() else str(source)
            conditions = [RECIPE, compiler.identity, which, source.name, *order, *common, "own", *unit.flags]
            keep_object(reuse, files, conditions, lambda place: make_noting(unit, place), target)
        return target

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        made = [pool.submit(one, unit) for unit in units]
    failures = [error for error in (each.exception() for each in made) if error is not None]
    if failures and all(isinstance(error, BuildError) for error in failures):
        places = (place for error in failures if isinstance(error, BuildError) for place in error.places)
        raise BuildError(str(failures[0]), places)
    return [each.result() for each in made]


_PLACE = re.compile(
    r"(?P<inlined> +inlined from .* at )?(?P<file>[^\s:]+):(?P<line>\d+)(:\d+)?[:,] *(?P<kind>\w+)?"
)


def _places(stderr: str, src: Path) -> Iterator[tuple[str, int]]:
    """The files below ``src`` and the lines in a compiler's errors, and in what explains each of them."""
    in_error = False
    for line in stderr.splitlines():
        found = _PLACE.match(line)
        if found is None:
            continue
        in_error = found["kind"] in ("error", "fatal") or (in_error and found["kind"] == "note")
        if in_error or found["inlined"]:
            yield os.path.relpath(src / found["file"], src), int(found["line"])


def _noted(unit: Unit) -> bool:
    """Whether gcc writes notes on a unit."""
    return "-ftest-coverage" in unit.flags


def _stem(unit: Unit) -> str:
    return unit.object_name.removesuffix(".o")


def _check_assembly(path: Path) -> str:
    """What is wrong with an assembly file, as the predicate of a sentence; "" if it is valid."""
    if not path.is_file():
        return "does not exist"
    with path.open("rb") as file:
        return "" if b".file" in file.read(4096) else "is no assembly"
