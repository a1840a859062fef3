# SPDX-License-Identifier: GPL-2.0-only
"""Building the image of a module: the entries compiled against its own types, and linked with it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from conformance.errors import ConformanceError
from conformance.kernels import BuildError, Cache, Kernel, Progress, key_of
from conformance.kernels.building import build as run_confined
from conformance.kernels.cache import temporary
from conformance.kernels.compilers import Compiler
from conformance.kernels.manifest import file_digest
from conformance.kernels.parsing import enclosing
from conformance.kernels.products import check_object
from conformance.kernels.tools import first_error
from conformance.oracles.binary.btf import Btf
from conformance.oracles.binary.entry_declarations import EntryDeclarations, entry_declarations
from conformance.oracles.binary.image_file import SYMBOLIC, store_image
from conformance.oracles.binary.linking import BugEntry, NameSite, link
from conformance.oracles.binary.module import Module
from conformance.oracles.binary.objects import Object, read_object
from conformance.oracles.binary.oracle import BinaryOracle
from conformance.oracles.common import COMMON_C, digest_of_parts
from conformance.oracles.hosts import HOST
from conformance.oracles.image import Image, Segment

__all__ = ["build_binary"]

_C = Path(__file__).parent / "c"
_UNITS = (
    _C / "exports.c",
    _C / "environment.c",
    _C / "sites.c",
    COMMON_C / "entries/core.c",
    COMMON_C / "blocks.c",
)
_NATIVE, _SYMBOLIC = _C / "native.c", _C / "symbolic.c"
"""How the code runs: in a process, which reports traps, or symbolically."""

# As the module was: no PIC, no SSE, no red zone; below 2 GiB there is no use for another code model.
_FLAGS = (
    "-std=gnu11",
    "-O2",
    "-ffreestanding",
    "-nostdinc",
    "-fno-pic",
    "-fno-pie",
    "-mcmodel=small",
    "-mgeneral-regs-only",
    "-mno-red-zone",
    "-fcf-protection=none",
    "-fno-stack-protector",
    "-fno-asynchronous-unwind-tables",
    "-fno-jump-tables",
    "-fno-strict-aliasing",
    "-fno-delete-null-pointer-checks",
    "-fno-common",
    "-Wno-attributes",
    "-Werror=implicit-function-declaration",
    "-Werror=incompatible-pointer-types",
    "-Werror=int-conversion",
)

_MOST_BITS = 24 * 32
"""More than a processor has capabilities and bugs; the rest lies in the same structure, and has no effect."""

_BUG_ENTRY = ("bug_addr_disp", "file_disp", "line", "flags")

KEEP = 12
"""How many images are kept at most."""


def build_binary(module: Module, kernel: Kernel, cache: Cache, progress: Progress) -> Path:
    """The folder with the image of a module, from the cache or built now; see BinaryOracle.

    ``kernel`` is its source, by which its complaints get the names of functions. Raises ConformanceError
    where the module's types, or its kernel's, are not known or not what they should be.
    """
    digests = [file_digest(path) for path in (module.path, module.base)]
    key = key_of("binary", *digests, kernel.fingerprint, _own_digest())

    def build(entry: Path) -> None:
        progress(f"{kernel.title}: linking {module.path.name} with the entries")
        name = enclosing(kernel.root / "src")
        asked = entry_declarations(module.object, module.btf)
        images = [
            _build_image(module, asked, lambda file, line, symbol: name(file, line) or symbol, how, kernel)
            for how in (_NATIVE, _SYMBOLIC)
        ]
        store_image(images[0], asked.why_not, entry)
        bit = _l1tf(entry, kernel.title)
        for image, folder in zip(images, (entry, entry / SYMBOLIC), strict=True):
            folder.mkdir(exist_ok=True)
            store_image(_knowing_l1tf(image, bit), asked.why_not, folder)

    return cache.get_or_build("binary", key, build, keep=KEEP)


def _own_digest() -> str:
    """A digest of everything of ours that goes into an image."""
    return digest_of_parts("oracles/binary", "oracles/c", "oracles/image.py", "kernels/parsing.py")


def _build_image(
    module: Module, asked: EntryDeclarations, name_site: NameSite, how: Path, kernel: Kernel
) -> Image:
    """The image of a module, for a process or for symbols.

    Raises BuildError if the entries do not compile against its types.
    """
    with temporary("binary") as place:
        file, compiler = module.object.file, kernel.compiler
        ours = [_compile(unit, asked, place, file, compiler) for unit in (*_UNITS, how)]
    return link(module.object, ours, name_site, _bug_entry(module.btf))


def _l1tf(folder: Path, title: str) -> int:
    """Which bit of boot_cpu_data says that the processor has L1TF, by asking the image in a folder.

    That is a number internal to the kernel, in none of its types. Of all bits it is the one with which
    resetting the masks leaves some for SPTEs that are not present.
    """
    with BinaryOracle(folder) as oracle:
        oracle.configure(dict.fromkeys(HOST, 0) | {"phys_bits": 46, "cache_bits": 46})
        bits = np.arange(_MOST_BITS, dtype=np.uint64)
        found = np.flatnonzero(oracle.run(oracle.entries["shim_is_l1tf"], bits[None, :])[0])
    if len(found) != 1:
        raise ConformanceError(f"{title}: of the module {len(found)} bits, not one, seem to say L1TF.")
    return int(found[0])


def _knowing_l1tf(image: Image, bit: int) -> Image:
    """The image for that bit."""
    place = image.symbols["shim_l1tf_bit"].address
    return replace(image, segments=tuple(_with(one, place, bit) for one in image.segments))


def _with(segment: Segment, address: int, value: int) -> Segment:
    """The segment with 32 bits at the address, if it has that."""
    at = address - segment.address
    if not 0 <= at < len(segment.content):
        return segment
    content = segment.content[:at] + value.to_bytes(4, "little") + segment.content[at + 4 :]
    return replace(segment, content=content)


def _compile(unit: Path, asked: EntryDeclarations, scratch: Path, file: str, compiler: Compiler) -> Object:
    compiler.check()
    (scratch / "declarations.h").write_text(asked.header)
    target = scratch / f"{unit.stem}.o"
    include = [f"-I{place}" for place in (scratch, _C, COMMON_C, COMMON_C / "entries")]
    done = run_confined(
        [*compiler.command, *_FLAGS, *include, "-c", unit, "-o", target],
        read=[_C, COMMON_C, *compiler.places],
        write=[scratch],
        purpose=f"{file}: compiling the entries",
    )
    if done.returncode:
        raise BuildError(f"{file}: the entries do not fit its types: {first_error(done.stderr)}")
    wrong = check_object(target)
    if wrong:
        raise BuildError(f"{file}: what {compiler.name} made of {unit.name} {wrong}.")
    return read_object(target.read_bytes(), unit.name)


def _bug_entry(btf: Btf) -> BugEntry:
    """What the kernel's types say of struct bug_entry."""
    number = btf.aggregate("bug_entry")
    if number is None:
        return BugEntry()
    members = [btf.member(number, name) for name in _BUG_ENTRY]
    if None in members:
        raise ConformanceError(f"{btf.file}: struct bug_entry has members of other names than known here.")
    return BugEntry(btf.size(number), *(member.bit // 8 for member in members if member is not None))
