# SPDX-License-Identifier: GPL-2.0-only
"""What oracles have in common: C of ours that both compile, child processes, libraries."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from pathlib import Path

from conformance.errors import ConformanceError
from conformance.kernels import Kernel, open_kernel
from conformance.kernels.building import build
from conformance.kernels.tools import first_error

__all__ = [
    "COMMON_C",
    "defined_nowhere",
    "digest_of",
    "digest_of_parts",
    "functions_of",
    "lines_naming",
]

COMMON_C = Path(__file__).parent / "c"
"""C for every oracle: complaints.h in front of the kernel's headers, hosts.h, blocks.c."""


def digest_of(paths: Iterable[Path]) -> str:
    """A digest of files by name and content, in any order; anything else is skipped."""
    digest = hashlib.sha256()
    for path in sorted(paths):
        if path.is_file():
            digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()


def digest_of_parts(*parts: str) -> str:
    """A digest of files and folders of this package, whatever the kind of file: code, C of ours, tables."""
    package = Path(__file__).parents[1]
    digest = hashlib.sha256()
    for part in parts:
        place = package / part
        for path in sorted(place.rglob("*")) if place.is_dir() else [place]:
            if path.is_file() and "__pycache__" not in path.parts:
                digest.update(f"{path.relative_to(package)}\0".encode() + path.read_bytes() + b"\0")
    return digest.hexdigest()


def lines_naming(symbols: Iterable[str], places: Iterable[Path], files: str) -> dict[str, list[str]]:
    """The lines of files, by a glob on their names, in which each of the symbols is a word."""
    found: dict[str, list[str]] = {symbol: [] for symbol in sorted(symbols)}
    places = [*places]
    words = ["grep", "-rhwF", f"--include={files}", "-f", "-", *map(str, places)]
    listed = build(words, read=places, given="\n".join(found).encode(), purpose="Looking for declarations")
    for line in listed.stdout.splitlines():
        for word in set(re.findall(r"\w+", line)) & found.keys():
            found[word].append(line)
    return found


def defined_nowhere(kernel: Kernel, symbols: Iterable[str]) -> list[str]:
    """Those of the symbols, undefined in KVM, that patches have brought in and that no file can define.

    No header of the kernel declares them but KVM's own, and without the patches nothing of KVM names them.
    """
    if kernel.title == kernel.selector:
        return []
    source = kernel.root / "src"
    headers = [source / "include", source / "arch/x86/include", source / "lib", kernel.root / "gen"]
    strange = [name for name, lines in lines_naming(symbols, headers, "*.h").items() if not lines]
    if not strange:
        return []
    before = open_kernel(kernel.selector).root / "src"
    known = lines_naming(strange, [before / "arch/x86/kvm", before / "virt/kvm", before / "lib"], "*.[ch]")
    return [name for name, lines in known.items() if not lines]


def functions_of(library: Path) -> dict[int, str]:
    """The names of a library's functions by their offset; of one that was stripped none are known."""
    listed = build(["nm", library], read=[library], purpose="Listing functions")
    if listed.returncode:
        raise ConformanceError(f"{library} cannot be read: {first_error(listed.stderr)}")
    found = re.findall(r"^([0-9a-f]+) [tTwW] (\S+)$", listed.stdout, re.M)
    return {int(value, 16): name for value, name in found}
