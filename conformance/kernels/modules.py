# SPDX-License-Identifier: GPL-2.0-only
"""Builds KVM's modules of a kernel, such as a patched one, for the kernel that Debian ships of its version.

They are compiled with the genuine headers and configuration of the shipped kernel, so that it loads them.
"""

from __future__ import annotations

import filecmp
import re
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from conformance.errors import ConformanceError
from conformance.kernels.building import build as run_confined
from conformance.kernels.cache import Cache, key_of
from conformance.kernels.compiling import BuildError, Unit
from conformance.kernels.images import Shipped
from conformance.kernels.kernel import Kernel
from conformance.kernels.manifest import Manifest, file_digest
from conformance.kernels.module_headers import module_headers
from conformance.kernels.module_linking import Symbols, description
from conformance.kernels.module_recipe import MODULES, adapted, module_flags, names_of, units_of
from conformance.kernels.prepare import options_of
from conformance.kernels.staging import copy_folder
from conformance.kernels.tools import Progress, first_error, quiet

__all__ = ["build_modules", "lay_out"]

KIND = "modules"
KEEP = 24

_FRONT = Path(__file__).with_name("module.h")

_OF_KVM = re.compile(
    r"include/(uapi/)?linux/kvm\w*\.h|include/trace/events/kvm\.h"
    r"|arch/x86/include/(uapi/)?asm/(kvm[\w-]*|vmx\w*|svm)\.h"
)
"""Headers that hardly anything but KVM includes. What else may change is in the shipped kernel too."""

_OFFSETS = re.compile(r"->(\w+) \$?(-?\d+) ")
_ENTRY = {"kvm-amd": "arch/x86/kvm/svm/vmenter.S", "kvm-intel": "arch/x86/kvm/vmx/vmenter.S"}


def build_modules(
    kernel: Kernel,
    image: Shipped,
    cache: Cache,
    progress: Progress = quiet,
    *,
    check: str = "",
    sections: Sequence[tuple[str, Path]] = (),
) -> Path:
    """The directory with kvm.ko, kvm-amd.ko and kvm-intel.ko of ``kernel``, to be loaded into ``image``.

    check: C that must compile with KVM's headers, such as assertions on layouts.
    sections: names of sections that kvm.ko gets, and the files with their content.

    Raises BuildError with the first error of the compiler or the linker, and ConformanceError if the shipped
    kernel is not of this version, or the patches change it beyond KVM.
    """
    kernel.need_gcc("KVM's modules are built with gcc, as the shipped kernel is")
    if kernel.version != image.version:
        raise ConformanceError(
            f"{kernel.title}: the source is {kernel.version}, and the archive has no kernel image of it but "
            f"{image.version}: no modules can be built for it. Use debian:{image.version}."
        )
    headers = module_headers(image, cache, progress)
    ours = [_FRONT, *(Path(__file__).with_name(f"{name}.py") for name in _MAKERS)]
    key = key_of(
        Manifest.now(headers).digest(),
        kernel.fingerprint,
        check,
        *(f"{name} {file_digest(path)}" for name, path in sections),
        *map(file_digest, ours),
    )

    def build(entry: Path) -> None:
        tree = entry.parent / "tree"
        lay_out(kernel, headers, tree)
        progress(f"{kernel.title}: compiling KVM's modules")
        _Building(kernel, tree, cache, entry, sections).build(check)

    title = f"the modules of {kernel.title}"
    return cache.get_or_build(KIND, key, build, what=title, keep=KEEP, progress=progress)


_MAKERS = ("modules", "module_recipe", "module_linking")


def lay_out(kernel: Kernel, headers: Path, tree: Path) -> None:
    """Lay the source of a kernel over the headers of the shipped one, in a new directory."""
    copy_folder(headers / "src", tree / "src")
    copy_folder(headers / "gen", tree / "gen")
    for path in sorted((kernel.root / "src").rglob("*")):
        if not path.is_file():
            continue
        name = str(path.relative_to(kernel.root / "src"))
        target = tree / "src" / name
        if target.is_file() and not (_OF_KVM.fullmatch(name) or filecmp.cmp(path, target, shallow=False)):
            raise ConformanceError(
                f"{kernel.title}: {name} differs from that of the shipped kernel, which is more than KVM's "
                "modules. Build the whole kernel, and pass it with --image and --modules."
            )
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)
    configuration = tree / "gen/include/generated/autoconf.h"
    prepared = kernel.root / "gen/include/generated/autoconf.h"
    configuration.write_text(adapted(configuration.read_text(), prepared.read_text()))
    Manifest.take(tree).save(tree)


class _Building:
    """The modules of a kernel while they are built in ``entry``."""

    def __init__(
        self, kernel: Kernel, tree: Path, cache: Cache, entry: Path, sections: Sequence[tuple[str, Path]]
    ) -> None:
        self._kernel = replace(kernel, root=tree)
        self._tree = tree
        self._cache = cache
        self._entry = entry
        self._sections = sections
        self._place = entry.parent / "objects"
        self._options = options_of(tree / "gen/.config")
        self._symbols = Symbols.read(tree / "gen/Module.symvers")

    def build(self, check: str) -> None:
        """Compile and link all modules."""
        if check:
            unit = self._place / "check.c"
            unit.parent.mkdir()
            unit.write_text(check)
            self._compile([Unit(unit)], "check")
        self._write_offsets()
        for module in MODULES:
            self._link(module, self._compiled(module))

    def _compile(self, units: Sequence[Unit], where: str, reuse: Cache | None = None) -> list[Path]:
        return self._kernel.compile(
            units,
            self._place / where,
            flags=module_flags(self._options),
            force_include=[_FRONT],
            reuse=reuse,
        )

    def _write_offsets(self) -> None:
        """Generate kvm-asm-offsets.h, which vmenter.S includes."""
        unit = Unit("arch/x86/kvm/kvm-asm-offsets.c", ["-S"])
        assembly = self._compile([unit], "offsets")[0].read_text()
        lines = (f"#define {name} {value}\n" for name, value in _OFFSETS.findall(assembly))
        (self._tree / "gen/kvm-asm-offsets.h").write_text("".join(lines))

    def _compiled(self, module: str) -> list[Path]:
        names = names_of(module)
        units = [Unit(unit, names) for unit in units_of(self._tree / "src", module, self._options)]
        objects = self._compile(units, module, self._cache)
        if module in _ENTRY:
            # Not reused: objects are known by what the compiler reads, and not the assembler's files.
            entry = Unit(_ENTRY[module], ["-D__ASSEMBLY__", "-I../gen", *names])
            objects += self._compile([entry], module)
        return objects

    def _link(self, module: str, objects: Sequence[Path]) -> None:
        whole, unit = self._place / f"{module}.o", self._place / f"{module}.mod.c"
        self._run("ld", "-r", "-o", whole, *objects)
        listing, sections = self._run("nm", whole), self._run("readelf", "-SW", whole)
        try:
            unit.write_text(description(module, listing, sections, self._symbols, self._options))
        except LookupError as missing:
            raise BuildError(
                f"{self._kernel.title}: {module}.ko needs {missing.args[0]}, which neither the shipped "
                "kernel nor a module exports. Build the whole kernel, and pass it with --image and --modules."
            ) from None
        described = self._compile([Unit(unit, names_of(module))], "descriptions")
        made = self._entry / f"{module}.ko"
        script = self._tree / "gen/module.lds"
        self._run(
            "ld", "-r", "-m", "elf_x86_64", "-z", "noexecstack", "--build-id=sha1",
            "-T", script, "-o", made, whole, *described,
        )  # fmt: skip
        for name, content in self._sections if module == "kvm" else ():
            self._run("objcopy", "--add-section", f"{name}={content}", made, read=[content])

    def _run(self, *words: str | Path, read: Sequence[Path] = ()) -> str:
        done = run_confined(
            words,
            read=[self._tree, *read],
            write=[self._place, self._entry],
            cwd=self._place,
            purpose=f"{self._kernel.title}: linking KVM's modules",
        )
        if done.returncode:
            said = first_error(done.stderr, [self._place, self._entry, self._tree])
            raise BuildError(f"{self._kernel.title}: KVM's modules do not link: {said}")
        return done.stdout
