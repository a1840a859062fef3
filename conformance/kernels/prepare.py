# SPDX-License-Identifier: GPL-2.0-only
"""Prepares a staged tree: genuine configuration, generated headers, the header closure.

Kbuild itself configures and generates. The files that it read are recorded, so that a later change of a
source file is known to require preparing again or not.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from conformance.errors import ConformanceError
from conformance.kernels.building import PREPARING, build, check_made
from conformance.kernels.compilers import Compiler, chosen
from conformance.kernels.manifest import file_digest
from conformance.kernels.recipe import CONFIG_FRAGMENT, HIDDEN, UNITS, flags, spelled
from conformance.kernels.releases import is_version
from conformance.kernels.tools import KBUILD, Progress, first_error, require

__all__ = [
    "MissingHeader",
    "closure",
    "configure",
    "inputs_of",
    "keep_generated",
    "need_tools",
    "release_of",
    "whole_folders",
]

# Kept whole, not only the closure: all of KVM, and the parser of test results.
WHOLE = (
    "arch/x86/kvm",
    "virt/kvm",
    "arch/x86/include/asm/kvm_host.h",
    "include/linux/kvm_host.h",
    "tools/testing/kunit",
)

WANTED_OPTIONS = ("64BIT", "SMP", "KVM", "KVM_INTEL", "KVM_AMD")


class MissingHeader(ConformanceError):
    """A unit includes a header that was not staged or does not exist."""


_HEAD = 4000
"""The number of bytes at the beginning of a tree's Makefile that must hold its version."""


def release_of(tree: Path, title: str) -> tuple[int, int, str]:
    """VERSION, PATCHLEVEL and full version of a kernel tree. Raises ConformanceError if it is unusable."""
    try:
        with (tree / "Makefile").open("rb") as file:
            makefile = file.read(_HEAD).decode("utf-8", "replace")
    except OSError:
        makefile = ""
    return release_by(makefile, (tree / "arch/x86/kvm/mmu/mmu.c").is_file(), title)


def release_by(makefile: str, has_mmu: bool, title: str) -> tuple[int, int, str]:
    """As release_of(), from the Makefile's text and whether the tree has arch/x86/kvm/mmu/mmu.c."""
    words = r"^(VERSION|PATCHLEVEL|SUBLEVEL|EXTRAVERSION) *= *(\S*)"
    known = {"VERSION": "", "PATCHLEVEL": "", "SUBLEVEL": "0", "EXTRAVERSION": ""}
    found = known | dict(re.findall(words, makefile[:_HEAD], re.MULTILINE))
    version = "{VERSION}.{PATCHLEVEL}.{SUBLEVEL}{EXTRAVERSION}".format(**found)
    if not is_version(version):
        raise ConformanceError(
            f"{title}: this is no kernel tree: its Makefile gives no VERSION and PATCHLEVEL."
        )
    if not has_mmu:
        raise ConformanceError(
            f"{title}: this tree of Linux {version} has no arch/x86/kvm/mmu/mmu.c. "
            "Take a kernel of 5.10 or later, with its x86 sources."
        )
    return int(found["VERSION"]), int(found["PATCHLEVEL"]), version


def need_tools(*more: str) -> Compiler:
    """The compiler, checked. Raises ConformanceError if it, a tool of Kbuild or one of ``more`` is missing.

    Also called before anything is downloaded.
    """
    compiler = chosen()
    require([*KBUILD, *more], "Preparing a kernel")
    compiler.check()
    return compiler


def configure(src: Path, gen: Path, title: str, progress: Progress) -> None:
    """Configure the kernel in `src` and generate its headers in `gen`, out of tree.

    Raises ConformanceError with Kbuild's first error.
    """
    compiler = need_tools()
    check_age(src, title, compiler)
    gen.mkdir(parents=True, exist_ok=True)
    defaults = src / "arch/x86/configs/x86_64_defconfig"
    if not defaults.is_file():
        raise ConformanceError(f"{title}: does not configure: it has no arch/x86/configs/x86_64_defconfig.")
    (gen / ".config").write_text(defaults.read_text() + CONFIG_FRAGMENT.read_text())
    progress(f"{title}: configuring")
    make(src, gen, "olddefconfig", title, "configure", compiler)
    options = options_of(gen / ".config")
    lost = [name for name in WANTED_OPTIONS if options.get(name) not in {"y", "m"}]
    if lost:
        raise ConformanceError(f"{title}: does not configure: CONFIG_{lost[0]} cannot be switched on.")
    progress(f"{title}: generating headers")
    # prepare0 is prepare without objtool, which is not used here and would need libelf.
    make(src, gen, "prepare0", title, "compile", compiler)


def check_age(src: Path, title: str, compiler: Compiler) -> None:
    """Raise ConformanceError if the kernel's scripts/min-tool-version.sh asks for a newer compiler."""
    script = src / "scripts/min-tool-version.sh"
    if not script.is_file():
        return
    tool = "llvm" if compiler.family == "clang" else "gcc"
    words = ["sh", "scripts/min-tool-version.sh", tool]
    done = build(words, read=[src], cwd=src, env={"SRCARCH": "x86"}, purpose=f"{title}: preparing")
    said = done.stdout.strip()
    least = tuple(map(int, re.findall(r"\d+", said)))
    if compiler.version < least:
        raise ConformanceError(
            f"{title}: this kernel asks for {compiler.family} {said} or later, and {compiler.name} is "
            f"{compiler.text}. Name a newer one: --cc {compiler.family}-{least[0]}"
        )


def make(src: Path, gen: Path, target: str, title: str, failing: str, compiler: Compiler) -> None:
    """Run Kbuild for a target. The compiler is also used for Kbuild's own host programs."""
    environment = {
        "ARCH": "x86_64",
        "KBUILD_BUILD_TIMESTAMP": "1970-01-01",
        "KBUILD_BUILD_USER": "conformance",
        "KBUILD_BUILD_HOST": "conformance",
    }
    words = ["make", "-s", f"-j{os.cpu_count() or 1}", "-C", str(src), f"O={gen}", "ARCH=x86_64", target]
    words += [f"CC={shlex.join(compiler.command)}", f"HOSTCC={shlex.join(compiler.command)}"]
    done = build(
        words,
        read=[src, *compiler.places],
        write=[gen],
        env=environment,
        bounds=PREPARING,
        purpose=f"{title}: preparing",
    )
    check_made(gen, title, links=["source"])
    if done.returncode:
        said = first_error(done.stderr or done.stdout, [src, gen])
        raise ConformanceError(f"{title}: does not {failing}: {said}")
    if not (gen / ".config").is_file():
        raise ConformanceError(f"{title}: does not {failing}: it has no configuration in the end.")


def options_of(config: Path) -> dict[str, str]:
    """The options that are set in a .config, without the CONFIG_ prefix."""
    text = config.read_text("utf-8", "replace")
    return dict(re.findall(r"^CONFIG_(\w+)=(.*)$", text, re.MULTILINE))


def closure(src: Path, gen: Path | str, title: str, units: Iterable[str] = UNITS) -> set[str]:
    """The files of `src` that compiling the units (patterns) reads, including the units, if they exist.

    Raises MissingHeader or ConformanceError with the preprocessor's first error.
    """
    there = sorted({str(path.relative_to(src)) for unit in units for path in src.glob(unit)})
    compiler = chosen()
    command = [*compiler.command, *spelled(flags(src, gen, compiler), compiler)]
    read = [src, src / gen, HIDDEN, *compiler.places]

    def one(unit: str) -> set[str]:
        words = [*command, f'-DKBUILD_BASENAME="{Path(unit).stem}"', "-M", unit]
        done = build(words, read=read, cwd=src, purpose=f"{title}: collecting headers")
        if done.returncode:
            said = first_error(done.stderr, [src, src.parent])
            kind = MissingHeader if "No such file" in said else ConformanceError
            raise kind(f"{title}: does not compile: {said}")
        words = done.stdout.partition(":")[2].replace("\\\n", " ").split()
        return {word for word in map(os.path.normpath, words) if _inside(word)}

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return {name for names in pool.map(one, there) for name in names}


def _inside(name: str) -> bool:
    """Whether a normalised path relative to a tree stays inside it."""
    return not name.startswith("/") and name.partition("/")[0] != ".."


def whole_folders(names: Iterable[str]) -> set[str]:
    """The names that are kept whether or not a unit includes them."""
    return {name for name in names if name.startswith(WHOLE) and name.endswith((".c", ".h", ".S", ".py"))}


def keep_generated(gen: Path, into: Path) -> None:
    """Copy the generated headers and the configuration from a build directory."""
    into.mkdir(parents=True)
    for folder in ("include/generated", "arch/x86/include/generated"):
        for header in sorted((gen / folder).rglob("*.h")):
            if not header.is_file():
                continue
            target = into / header.relative_to(gen)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(header, target)
    shutil.copyfile(gen / ".config", into / ".config")


def inputs_of(src: Path, gen: Path, names: Iterable[str]) -> dict[str, str]:
    """The files of `src` that configuring and generating read, with their digests.

    Kbuild's dependency files name the headers and Kconfig files, but not scripts and Makefiles. An entry that
    ends in / stands for the names of the headers in a directory, from which Kbuild derives which of them to
    wrap.
    """
    read = {name for name in names if BY_NAME.match(name)}
    place = re.escape(str(src)) + r"/([^\s)\\:]+)"
    for record in [*gen.rglob("*.cmd"), gen / "include/config/auto.conf.cmd"]:
        if not record.is_file():
            continue
        text = record.read_text("utf-8", "replace")
        if record.name == "auto.conf.cmd":
            read.update(re.findall(r"(?<![\w/.-])((?:[\w.+-]+/)*Kconfig[\w.+-]*)", text))
        read.update(re.findall(place, text))
    files = {name for name in map(os.path.normpath, read) if _inside(name)}
    digests = {name: file_digest(src / name) for name in sorted(files) if (src / name).is_file()}
    return digests | {folder: header_names(src / folder) for folder in WRAPPED}


BY_NAME = re.compile(
    r"""(?: (?:Makefile|Kbuild|Kconfig)$ | scripts/ | tools/include/tools/ | .*include/.*Kbuild$
        | arch/x86/(?:Makefile|Kbuild|tools/|configs/x86_64_defconfig|entry/syscalls/)
        | arch/x86/(?:kernel|boot|um)/Makefile$
    )""",
    re.VERBOSE,
)

WRAPPED = (
    "arch/x86/include/asm/",
    "arch/x86/include/uapi/asm/",
    "include/asm-generic/",
    "include/uapi/asm-generic/",
)


def header_names(folder: Path) -> str:
    """The names of the headers in a directory, as one line."""
    return " ".join(sorted(path.name for path in folder.glob("*.h")))
