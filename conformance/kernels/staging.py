# SPDX-License-Identifier: GPL-2.0-only
"""Stages the part of a kernel tree that preparing reads in a directory.

The source is a Debian package, a tree on disk, or a revision of a git repository; none is written to. Of a
gigabyte about 80 MB are staged, see `wanted`.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
import tarfile
import threading
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import IO

from conformance.errors import ConformanceError
from conformance.kernels.repositories import Repository
from conformance.kernels.tools import run
from conformance.sandbox import processes

__all__ = [
    "Wanted",
    "contents_of",
    "copy_folder",
    "list_revision",
    "list_tree",
    "stage_files",
    "stage_package",
    "stage_revision",
    "wanted",
]

TOP = {"Makefile", "Kbuild", "Kconfig"}
WANTED = re.compile(
    r"""(?: include/ | scripts/ | virt/ | tools/include/ | tools/arch/x86/include/
        | tools/testing/kunit/kunit_\w+\.py$
        | security/selinux/include/          # scripts/selinux compiles against it
        | arch/x86/(?! (?:boot|crypto|platform|video|pci|power|purgatory|um|xen|hyperv|net|math-emu)/ )
        | lib/[\w-]+\.[ch]$                # of which recipe.LIBRARY is built
        | kernel/(?:bounds\.c|sched/rq-offsets\.c|time/timeconst\.bc|.*\.h)$ | drivers/base/base\.h$
        | arch/x86/(?:boot|um|crypto|purgatory)/Makefile$
    )""",
    re.VERBOSE,
)
MOST_FILE, MOST_TREE = 64 << 20, 1 << 30
"""The limits in bytes of one staged file and of all; the largest header has 16 MB, a tree 80 MB."""
MOST_HEADER = 1 << 20
"""The longest name, or extended attributes, in an archive, in bytes."""
_DESCRIBING = (
    tarfile.XHDTYPE,
    tarfile.XGLTYPE,
    tarfile.SOLARIS_XHDTYPE,
    tarfile.GNUTYPE_LONGNAME,
    tarfile.GNUTYPE_LONGLINK,
)
_STRANGE_NAMES = (NotADirectoryError, IsADirectoryError, FileExistsError)
"""The errors if an archive has a file and a directory of the same name."""

UNWANTED = re.compile(r"scripts/(?:coccinelle|package|gdb|kconfig/tests)/|.*\.(?:dts|dtsi|rst|cocci)$")


Wanted = Callable[[str], bool]
"""Whether the file of this name, relative to the tree, is staged."""


def wanted(path: str) -> bool:
    """Whether preparing or compiling may read the file of this name, relative to the tree."""
    if path in TOP:
        return True
    name = path.rpartition("/")[2]
    if name.startswith("Kconfig"):
        return True
    return WANTED.match(path) is not None and UNWANTED.match(path) is None


def stage_package(deb: Path, into: Path, which: Wanted = wanted) -> None:
    """Unpack these files of a linux-source package in one stream, without an intermediate file."""
    with contents_of(deb) as outer:
        for member in outer:
            if re.fullmatch(r"\./usr/src/linux-source-[^/]*\.tar\.xz", member.name):
                inner = outer.extractfile(member)
                assert inner is not None
                unpack_xz(inner, into, which)
                break
        else:
            raise ConformanceError(f"The package {deb.name} holds no kernel source.")


class _Member(tarfile.TarInfo):
    """A member of an archive. The long name of the next member, which is read at once, is limited."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> _Member:
        """Parse the header of a member."""
        member = super().frombuf(buf, encoding, errors)
        if member.type in _DESCRIBING and member.size > MOST_HEADER:
            raise tarfile.ReadError(f"a header of {member.size:,} bytes")
        return member


@contextlib.contextmanager
def contents_of(deb: Path) -> Iterator[tarfile.TarFile]:
    """The files of a package as one stream, which need not be read to its end.

    Raises ConformanceError if it cannot be unpacked.
    """
    stream = processes.start(
        ["dpkg-deb", "--fsys-tarfile", str(deb)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    try:
        with tarfile.open(fileobj=stream.stdout, mode="r|", bufsize=1 << 20, tarinfo=_Member) as archive:
            yield archive
    except (tarfile.TarError, ValueError, OverflowError, *_STRANGE_NAMES) as trouble:
        raise ConformanceError(f"The package {deb.name} cannot be unpacked: {trouble}.") from None
    finally:
        _stop(stream)


def unpack_xz(compressed: IO[bytes], into: Path, which: Wanted) -> None:
    """Unpack these members of a .tar.xz stream, without the leading directory."""
    pipe = subprocess.PIPE
    xz = processes.start(["xz", "-dc", "-T0"], stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL)
    assert xz.stdin is not None

    # In a separate thread, so that decompression and extraction overlap.
    def feed(into_xz: IO[bytes]) -> None:
        # The side that closed the pipe early reports the reason.
        with contextlib.suppress(BrokenPipeError, ValueError), into_xz:
            shutil.copyfileobj(compressed, into_xz, 1 << 20)

    feeder = threading.Thread(target=feed, args=(xz.stdin,), daemon=True)
    feeder.start()
    try:
        with tarfile.open(fileobj=xz.stdout, mode="r|", bufsize=1 << 20, tarinfo=_Member) as archive:
            unpack(archive, into, which)
    finally:
        _stop(xz)
        feeder.join()


def unpack(archive: tarfile.TarFile, into: Path, which: Wanted) -> None:
    """Write these regular files of an archive whose members share a leading directory; links last."""
    links: list[tuple[str, str]] = []
    made: set[str] = set()
    total = 0
    for member in archive:
        name = member.name.removeprefix("./").partition("/")[2]
        if ".." in name.split("/") or name.startswith("/") or not which(name):
            continue
        if member.issym():
            links.append((name, member.linkname))
        elif member.isreg():
            folder = name.rpartition("/")[0]
            if folder not in made:
                (into / folder).mkdir(parents=True, exist_ok=True)
                made.add(folder)
            total += member.size
            if member.size > MOST_FILE or total > MOST_TREE:
                raise tarfile.ReadError(
                    f"{name} makes {max(member.size, total):,} bytes, which no kernel has"
                )
            content = archive.extractfile(member)
            assert content is not None
            target = into / name
            target.write_bytes(content.read())
            if member.mode & 0o100:
                target.chmod(0o755)
    resolve_links(links, into)


def resolve_links(links: Iterable[tuple[str, str]], into: Path) -> None:
    """Replace each symbolic link by a copy of its target, if that is inside and was staged."""
    for name, target in links:
        place = (into / name).parent / target
        inside = place.resolve().is_relative_to(into.resolve())
        if inside and place.is_file():
            (into / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(place, into / name)


def _stop(process: subprocess.Popen[bytes]) -> None:
    """Kill a child process and reap it."""
    if process.stdout is not None:
        process.stdout.close()
    processes.kill(process)


def list_tree(tree: Path, scratch: Path, *folders: str, which: Wanted = wanted) -> list[str]:
    """These source files of a tree on disk, or of directories in it, without the products of a build.

    The tree's own .gitignore files name the products. They are evaluated in an empty repository elsewhere, so
    the tree need not be a repository, and is not touched if it is.
    """
    empty = scratch / "empty.git"
    run(["git", "init", "-q", "--bare", empty], purpose="Reading a tree")
    settings = ("-c", "core.bare=false", "-c", "core.excludesFile=/dev/null")
    # Debian's .gitignore excludes everything at the top, for its packaging: !/* overrides that.
    untracked = ("--others", "--exclude=!/*", "--exclude-per-directory=.gitignore")
    listed = run(
        [
            "git",
            f"--git-dir={empty}",
            f"--work-tree={tree}",
            *settings,
            "ls-files",
            "-z",
            *untracked,
            "--",
            *folders,
        ],
        cwd=tree,
    )
    if listed.returncode:
        raise ConformanceError(f"tree:{tree} cannot be read: {listed.stderr.strip().splitlines()[-1]}")
    return sorted(name for name in listed.stdout.split("\0") if name and which(name))


def stage_files(tree: Path, names: Iterable[str], into: Path) -> None:
    """Copy files of a tree; links to outside of it are skipped."""
    made: set[Path] = set()
    top = tree.resolve()
    for name in names:
        source, target = tree / name, into / name
        if target.parent not in made:
            if not source.parent.resolve().is_relative_to(top):
                continue
            target.parent.mkdir(parents=True, exist_ok=True)
            made.add(target.parent)
        if source.is_symlink() and not source.resolve().is_relative_to(top):
            continue
        if source.is_file():
            shutil.copy(source, target)


def copy_folder(source: Path, target: Path, leave_out: str = "") -> None:
    """Copy the files below a directory to a new one, except those with the given name prefix.

    Raises the OSError of the first file that cannot be written, with its errno, which shutil.copytree loses.
    """
    for folder, _, names in os.walk(source):
        into = target / os.path.relpath(folder, source)
        into.mkdir(parents=True)
        for name in names:
            if not leave_out or not name.startswith(leave_out):
                shutil.copyfile(os.path.join(folder, name), into / name)


def list_revision(repository: Repository, tree: str, which: Wanted) -> list[str]:
    """These files of a git tree object."""
    listed = repository.ask("ls-tree", "-r", "-z", "--name-only", "--full-tree", tree)
    if listed.returncode:
        raise ConformanceError(f"git cannot list {tree} of {repository.place}: {listed.stderr.strip()}")
    return [name for name in listed.stdout.split("\0") if which(name)]


def stage_revision(
    repository: Repository, tree: str, into: Path, scratch: Path, which: Wanted = wanted
) -> None:
    """Stage these files of a git tree object; the repository is only read, and its index is not used."""
    names = "\0".join(list_revision(repository, tree, which)).encode("utf-8", "surrogateescape")
    index = scratch / "index"
    index.mkdir()
    environment = {"GIT_INDEX_FILE": str(index / "index")}
    for words, given in (["read-tree", tree], b""), (["checkout-index", "-z", "--stdin"], names):
        done = repository.ask(
            f"--work-tree={into}", *words, write=[into, index], cwd=into, env=environment, given=given
        )
        if done.returncode:
            said = done.stderr.strip().splitlines() or ["failed"]
            raise ConformanceError(f"git cannot read {tree} of {repository.place}: {said[-1]}")
    links = [
        (str((Path(folder) / name).relative_to(into)), os.readlink(os.path.join(folder, name)))
        for folder, folders, files in os.walk(into)
        for name in (*folders, *files)
        if os.path.islink(os.path.join(folder, name))
    ]
    for name, _ in links:
        (into / name).unlink()
    resolve_links(links, into)
