# SPDX-License-Identifier: GPL-2.0-only
"""Building the image of a module: the entries compiled against its own types, and linked with it."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from conformance.errors import ConformanceError
from conformance.kernels import BuildError
from conformance.oracles.binary.asking import Asking, asking
from conformance.oracles.binary.btf import Btf
from conformance.oracles.binary.linking import BugEntry, NameSite, link
from conformance.oracles.binary.objects import Object, read_object
from conformance.oracles.common import COMMON_C
from conformance.oracles.image import Image

__all__ = ["Binary", "build_image"]

_C = Path(__file__).parent / "c"
_UNITS = (
    _C / "exports.c",
    _C / "environment.c",
    _C / "native.c",
    COMMON_C / "entries/core.c",
    COMMON_C / "blocks.c",
)

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

_BUG_ENTRY = ("bug_addr_disp", "file_disp", "line", "flags")


@dataclass(frozen=True)
class Binary:
    """The image of a module, and of each function that it cannot be asked about, why."""

    image: Image
    why_not: Mapping[str, str]


def build_image(module: Object, btf: Btf, name_site: NameSite) -> Binary:
    """The image of a module with the types ``btf``.

    Raises BuildError if the entries do not compile against its types.
    """
    asked = asking(module, btf)
    with tempfile.TemporaryDirectory(prefix="conformance-binary-") as scratch:
        ours = [_compile(unit, asked, Path(scratch), module.file) for unit in _UNITS]
    return Binary(link(module, ours, name_site, _bug_entry(btf)), asked.why_not)


def _compile(unit: Path, asked: Asking, scratch: Path, file: str) -> Object:
    compiler = shutil.which("gcc")
    if compiler is None:
        raise ConformanceError("Asking a kernel module needs gcc. Install it.")
    (scratch / "declarations.h").write_text(asked.header)
    target = scratch / f"{unit.stem}.o"
    include = [f"-I{place}" for place in (scratch, _C, COMMON_C, COMMON_C / "entries")]
    done = subprocess.run(
        [compiler, *_FLAGS, *include, "-c", str(unit), "-o", str(target)], capture_output=True, text=True
    )
    if done.returncode:
        errors = [line for line in done.stderr.splitlines() if "error:" in line] or [done.stderr.strip()]
        raise BuildError(f"{file}: the entries do not fit its types: {errors[0]}")
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
