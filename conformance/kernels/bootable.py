# SPDX-License-Identifier: GPL-2.0-only
"""A kernel that can be booted with KVM's modules: one that Debian ships, or one that a user has built."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

from conformance.errors import ConformanceError
from conformance.kernels.cache import Cache, key_of
from conformance.kernels.elf import MOST_BYTES, Elf
from conformance.kernels.images import shipped
from conformance.kernels.manifest import file_digest
from conformance.kernels.reading import read_file
from conformance.kernels.tools import Progress, quiet
from conformance.kernels.unpacking import unpacked
from conformance.kernels.vmlinuz import ELF, btf_of, vmlinux_of
from conformance.sandbox.confinement import refuse_foreign

__all__ = ["Bootable", "ModuleFile", "UserKernel", "built_by_user", "shipped_kernel", "user_kernel"]

UserKernel = tuple[Path, Path]
"""The vmlinux or bzImage that a user has built, and the folder of its modules."""

KIND = "bootable"
KEEP = 8

_PACKED = re.compile(r"(?P<name>[^/]+)\.ko(\.xz|\.zst|\.gz)?")
_WANTED = ("kvm", "kvm_amd", "kvm_intel")


@dataclass(frozen=True)
class ModuleFile:
    """A module: its name, with underscores, its file and what it depends on."""

    name: str
    path: Path
    depends: tuple[str, ...]


@dataclass(frozen=True)
class Bootable:
    """A kernel that can be booted.

    vmlinux: the ELF, which has a PVH entry; image: a bzImage, None if the user passed a vmlinux only.
    modules: folders of unpacked modules; one found in an earlier folder takes the place of a later one.
    base: the file with the kernel's BTF.
    """

    title: str
    vmlinux: Path
    image: Path | None
    base: Path
    modules: tuple[Path, ...]
    drift: str | None = None
    _known: dict[str, ModuleFile] = field(default_factory=dict, compare=False, repr=False)

    def with_modules(self, folder: Path) -> Bootable:
        """The same kernel with the modules of this folder in place of its own of the same names."""
        return replace(self, modules=(folder, *self.modules), _known={})

    def module(self, name: str) -> ModuleFile:
        """The module of this name. Raises ConformanceError if it is missing."""
        if name not in self._known:
            files = (folder / f"{spelt}.ko" for folder in self.modules for spelt in _spellings(name))
            path = next((one for one in files if one.is_file()), None)
            if path is None:
                raise ConformanceError(
                    f"{self.title} has no module {name}, so that KVM cannot be loaded in it. "
                    "Pass the folder of its modules with --modules."
                )
            self._known[name] = ModuleFile(name, path, _depends(read_file(path, MOST_BYTES), str(path)))
        return self._known[name]

    def load_order(self, name: str) -> list[ModuleFile]:
        """The modules that are loaded for this one, in order, itself last.

        Raises ConformanceError if one is missing, or if they depend on each other in a circle.
        """
        found: dict[str, ModuleFile] = {}
        self._load(name, found, ())
        return list(found.values())

    def _load(self, name: str, found: dict[str, ModuleFile], above: tuple[str, ...]) -> None:
        if name in above:
            raise ConformanceError(f"{self.title}: the module {name} depends on itself.")
        module = self.module(name)
        for other in module.depends:
            if other not in found:
                self._load(other, found, (*above, name))
        found[name] = module

    @cached_property
    def digest(self) -> str:
        """Changes with every file of the kernel that matters."""
        modules = [path for folder in self.modules for path in sorted(folder.glob("*.ko"))]
        return key_of(*(file_digest(path) for path in (self.vmlinux, *modules)))


def shipped_kernel(selector: str, cache: Cache, progress: Progress = quiet) -> Bootable:
    """The kernel that Debian ships for a series or for debian:VERSION.

    Raises ConformanceError for a tree, and where shipped() does.
    """
    found = shipped(selector, progress=progress, cache=cache)
    title = f"{found.package} {found.version}"

    def build(entry: Path) -> None:
        progress(f"{title}: unpacking the kernel")
        (entry / "vmlinux").write_bytes(vmlinux_of(read_file(found.vmlinuz, MOST_BYTES), str(found.vmlinuz)))

    key = key_of(file_digest(found.vmlinuz))
    place = cache.get_or_build(KIND, key, build, what=title, keep=KEEP, progress=progress)
    return Bootable(title, place / "vmlinux", found.vmlinuz, found.base, (found.modules,), drift=found.drift)


def user_kernel(image: Path | None, modules: Path | None) -> UserKernel | None:
    """The kernel that the user passes, if any. Raises ConformanceError if a part of it is missing, or if
    nothing confines it.
    """
    if image is not None and modules is not None:
        refuse_foreign(f"The kernel {image.name}")
        return image, modules
    if image is not None or modules is not None:
        raise ConformanceError("--image and --modules go together: a kernel and its modules.")
    return None


def built_by_user(image: Path, modules: Path, cache: Cache, progress: Progress = quiet) -> Bootable:
    """A kernel that a user has built: its vmlinux or bzImage, and a folder, of any depth, of its modules.

    Raises ConformanceError if the image is no kernel, has no BTF, or the folder has no modules of KVM.
    """
    image, folder = image.expanduser().absolute(), modules.expanduser().absolute()
    data = read_file(image, MOST_BYTES)
    files = dict(_modules_below(folder))
    missing = [name for name in _WANTED[:1] if name not in files]
    if missing or not any(name in files for name in _WANTED[1:]):
        raise ConformanceError(
            f"{folder} has no modules kvm and kvm_amd or kvm_intel. KVM has to be built as modules (=m), and "
            "--modules has to be their folder, as `make modules_install` makes it."
        )
    needed = _needed(files)

    def build(entry: Path) -> None:
        (entry / "vmlinux").write_bytes(vmlinux_of(data, str(image)))
        (entry / "vmlinux.btf").write_bytes(btf_of(image))
        (entry / "modules").mkdir()
        for name, content in needed.items():
            (entry / "modules" / f"{name}.ko").write_bytes(content)

    key = key_of(file_digest(image), *(key_of(name, content.hex()) for name, content in needed.items()))
    place = cache.get_or_build(KIND, key, build, what=str(image), keep=KEEP, progress=progress)
    packed = None if data.startswith(ELF) else image
    return Bootable(str(image), place / "vmlinux", packed, place / "vmlinux.btf", (place / "modules",))


def _modules_below(folder: Path) -> Iterator[tuple[str, Path]]:
    """The names and files of all modules below a folder."""
    if not folder.is_dir():
        raise ConformanceError(f"{folder} is no directory. Pass the folder of the kernel's modules.")
    for path in sorted(folder.rglob("*.ko*")):
        match = _PACKED.fullmatch(path.name)
        if match is not None and path.is_file():
            yield match["name"].replace("-", "_"), path


def _needed(files: Mapping[str, Path]) -> dict[str, bytes]:
    """The unpacked content of KVM's modules and of what they depend on, as far as it is there."""
    found: dict[str, bytes] = {}
    left = [name for name in _WANTED if name in files]
    while left:
        name = left.pop()
        if name not in found and name in files:
            found[name] = unpacked(read_file(files[name], MOST_BYTES), str(files[name]))
            left += _depends(found[name], str(files[name]))
    return dict(sorted(found.items()))


def _depends(data: bytes, file: str) -> tuple[str, ...]:
    """The names of the modules that a module depends on."""
    content = Elf(data, file).named(".modinfo") or b""
    facts = dict(line.split("=", 1) for line in content.decode("utf-8", "replace").split("\0") if "=" in line)
    return tuple(name.replace("-", "_") for name in facts.get("depends", "").split(",") if name)


def _spellings(name: str) -> Sequence[str]:
    """The names of its file: modules are named with underscores, files often with dashes."""
    return tuple(dict.fromkeys((name, name.replace("_", "-"))))
