# SPDX-License-Identifier: GPL-2.0-only
"""Trees on disk and by revision, from selector to object file, with a tree of a dozen lines."""

import os
import shutil
from pathlib import Path

import pytest
from kernel_samples import MAKEFILE, Said, git, snapshot

from conformance.errors import ConformanceError
from conformance.kernels import BuildError, Cache, Kernel, Unit, open_kernel


def opened(tree: Path | str, cache: Cache, said: Said) -> Kernel:
    said.clear()
    return open_kernel(f"tree:{tree}", progress=said, cache=cache)


def test_what_is_kept(tree: Path, cache: Cache, said: Said) -> None:
    before = snapshot(tree)
    kernel = opened(tree, cache, said)
    assert kernel.release == (6, 1, 7)
    assert kernel.series == "6.1"
    assert kernel.version == "6.1.7-fake (tree)"
    assert kernel.drift is None
    assert kernel.title == f"tree:{tree}"
    assert (kernel.root / "src/include/linux/one.h").is_file()
    assert not (kernel.root / "src/include/linux/two.h").exists()
    assert (kernel.root / "gen/include/generated/made.h").is_file()
    assert snapshot(tree) == before


@pytest.mark.parametrize(
    ("release", "words"),
    [
        (("7", "4", "0", "-rc1"), "Linux 7.4.0-rc1 is newer than every series"),
        (("6", "6", "30", ""), "Linux 6.6 is unknown to the registry of changes"),
    ],
)
def test_a_tree_of_an_unknown_series(
    tree: Path, cache: Cache, said: Said, release: tuple[str, ...], words: str
) -> None:
    names = ("VERSION", "PATCHLEVEL", "SUBLEVEL", "EXTRAVERSION")
    head = "".join(f"{name} = {value}\n" for name, value in zip(names, release, strict=True))
    (tree / "Makefile").write_text(head + MAKEFILE[MAKEFILE.index("olddefconfig") :])
    kernel = opened(tree, cache, said)
    assert kernel.series is None
    assert kernel.release == tuple(map(int, release[:3]))
    assert kernel.drift is not None
    assert words in kernel.drift


def test_a_second_run_takes_it_from_the_cache(tree: Path, cache: Cache, said: Said) -> None:
    first = opened(tree, cache, said)
    assert said.mentions("configuring")
    assert opened(tree, cache, said) == first
    assert said == []


def test_an_edit_is_noticed_and_does_not_prepare_again(tree: Path, cache: Cache, said: Said) -> None:
    first = opened(tree, cache, said)
    header = tree / "arch/x86/kvm/mmu/spte.h"
    dates = header.stat()
    header.write_text(header.read_text().replace("SPTE 2", "SPTE 3"))
    os.utime(header, ns=(dates.st_atime_ns, dates.st_mtime_ns))
    second = opened(tree, cache, said)
    assert not said.mentions("configuring")
    assert second.fingerprint != first.fingerprint
    assert "SPTE 3" in (second.root / "src/arch/x86/kvm/mmu/spte.h").read_text()
    assert opened(tree, cache, said) == second
    assert said == []


def test_a_newly_included_header_is_fetched(tree: Path, cache: Cache, said: Said) -> None:
    opened(tree, cache, said)
    (tree / "arch/x86/kvm/mmu/spte.c").write_text("#include <linux/two.h>\n")
    kernel = opened(tree, cache, said)
    assert (kernel.root / "src/include/linux/two.h").is_file()
    assert not said.mentions("configuring")


def test_a_new_header_that_stands_in_front_is_noticed(tree: Path, cache: Cache, said: Said) -> None:
    first = opened(tree, cache, said)
    (tree / "arch/x86/kvm/mmu/new.h").write_text("#define NEW 1\n")
    assert opened(tree, cache, said).fingerprint != first.fingerprint


@pytest.mark.parametrize("name", ["Makefile", "Kconfig", "arch/x86/configs/x86_64_defconfig"])
def test_what_preparing_read_prepares_again(tree: Path, cache: Cache, said: Said, name: str) -> None:
    opened(tree, cache, said)
    with open(tree / name, "a") as file:
        file.write("\n# more\n")
    opened(tree, cache, said)
    assert said.mentions("configuring")
    opened(tree, cache, said)
    assert said == []


def test_touching_without_changing_only_rehashes(tree: Path, cache: Cache, said: Said) -> None:
    first = opened(tree, cache, said)
    for path in tree.rglob("*"):
        os.utime(path)
    assert opened(tree, cache, said) == first
    assert said == []


def test_a_build_in_place_is_not_read(tree: Path, cache: Cache, said: Said) -> None:
    clean = opened(tree, cache, said)
    (tree / "include/generated").mkdir()
    (tree / "include/generated/made.h").write_text("#error not this one\n")
    (tree / "arch/x86/kvm/mmu/spte.o").write_bytes(b"\x7fELF")
    with open(tree / "Kconfig", "a") as file:
        file.write("# changed\n")
    kernel = opened(tree, cache, said)
    assert kernel.fingerprint == clean.fingerprint
    (tree / "arch/x86/kvm/mmu/spte.c").write_text("#include <generated/made.h>\n")
    assert not (opened(tree, cache, said).root / "src/include/generated").exists()


def test_a_damaged_entry_is_made_again(tree: Path, cache: Cache, said: Said) -> None:
    first = opened(tree, cache, said)
    (first.root / "src/include/linux/one.h").write_text("")
    second = opened(tree, cache, said)
    assert said.mentions("damaged")
    assert second == first
    assert (second.root / "src/include/linux/one.h").read_text() == "#define ONE 1\n"


def test_a_revision_is_what_was_committed(repository: Path, cache: Cache, said: Said) -> None:
    on_disk = opened(repository, cache, said)
    (repository / "arch/x86/kvm/mmu/spte.h").write_text("#define SPTE 9\n")
    git(repository, "commit", "-qam", "two")
    (repository / "include/linux/one.h").write_text("uncommitted\n")
    before = snapshot(repository)
    one = opened(f"{repository}@one", cache, said)
    two = opened(f"{repository}@HEAD", cache, said)
    assert one.fingerprint == on_disk.fingerprint
    assert two.fingerprint != one.fingerprint
    assert (two.root / "src/arch/x86/kvm/mmu/spte.h").read_text() == "#define SPTE 9\n"
    assert opened(f"{repository}@one", cache, said) == one
    assert one.commit == git(repository, "rev-parse", "one^{commit}") and not on_disk.commit
    assert opened(f"{repository}@HEAD^{{tree}}", cache, said).commit == ""
    assert said == []
    assert snapshot(repository) == before


def test_compiling(tree: Path, cache: Cache, said: Said, tmp_path: Path) -> None:
    kernel = opened(tree, cache, said)
    ours = tmp_path / "ours.c"
    ours.write_text(
        '#include "spte.h"\n#include <linux/one.h>\nint ours(void) { return SPTE + ONE + FLAG + FORCED; }\n'
    )
    before = tmp_path / "before/linux"
    before.mkdir(parents=True)
    (before / "one.h").write_text("#define ONE 10\n")
    forced = tmp_path / "forced.h"
    forced.write_text("#define FORCED 1\n")
    objects = kernel.compile(
        ["arch/x86/kvm/mmu/spte.c", Unit(ours, ["-DFLAG=1"]), Unit(ours, ["-DFLAG=2"], name="again")],
        tmp_path / "out",
        include_before=[tmp_path / "before"],
        force_include=[forced],
    )
    assert [path.name for path in objects] == ["arch-x86-kvm-mmu-spte.o", "ours.o", "again.o"]
    assert all(path.read_bytes().startswith(b"\x7fELF") for path in objects)


def test_what_does_not_compile_is_shown(tree: Path, cache: Cache, said: Said, tmp_path: Path) -> None:
    (tree / "arch/x86/kvm/mmu/spte.h").write_text("#define SPTE nothing\n")
    kernel = opened(tree, cache, said)
    with pytest.raises(BuildError) as caught:
        kernel.compile(["arch/x86/kvm/mmu/spte.c"], tmp_path / "out")
    assert str(caught.value).startswith(
        f"tree:{tree}: does not compile: arch/x86/kvm/mmu/spte.h:1:14: error: "
    )


def test_implicit_functions_are_errors(tree: Path, cache: Cache, said: Said, tmp_path: Path) -> None:
    (tree / "arch/x86/kvm/mmu/spte.c").write_text("int f(void) { return unknown(); }\n")
    with pytest.raises(BuildError, match="implicit"):
        opened(tree, cache, said).compile(["arch/x86/kvm/mmu/spte.c"], tmp_path / "out")


def bad(tree: Path, cache: Cache) -> str:
    with pytest.raises(ConformanceError) as caught:
        open_kernel(f"tree:{tree}", cache=cache)
    assert list((cache.root / "tree").glob("*")) == []
    assert not (cache.root / "tmp").is_dir() or list((cache.root / "tmp").iterdir()) == []
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_no_such_directory(tmp_path: Path, cache: Cache) -> None:
    assert "there is no directory" in bad(tmp_path / "missing", cache)
    (tmp_path / "file").write_text("")
    assert "is not a directory" in bad(tmp_path / "file", cache)


def test_a_directory_that_is_not_a_kernel_tree(tree: Path, cache: Cache) -> None:
    (tree / "arch/x86/kvm/mmu/mmu.c").unlink()
    assert "has no arch/x86/kvm/mmu/mmu.c" in bad(tree, cache)
    (tree / "Makefile").write_text("all:\n")
    assert "no kernel tree" in bad(tree, cache)
    (tree / "Makefile").unlink()
    assert "no kernel tree" in bad(tree, cache)


def test_a_tree_that_does_not_configure(tree: Path, cache: Cache) -> None:
    (tree / "Makefile").write_text(
        MAKEFILE.replace("@test -e Kconfig", "@echo 'Kconfig:7: syntax error' >&2; false")
    )
    assert bad(tree, cache) == f"tree:{tree}: does not configure: Kconfig:7: syntax error"


def test_a_tree_whose_headers_are_missing(tree: Path, cache: Cache) -> None:
    (tree / "include/linux/one.h").unlink()
    message = bad(tree, cache)
    assert "does not compile: arch/x86/kvm/mmu/spte.c:2:10: fatal error: linux/one.h: No such file" in message


def test_invalid_revisions(repository: Path, tmp_path: Path, cache: Cache) -> None:
    assert "has no revision v99" in bad(Path(f"{repository}@v99"), cache)
    (tmp_path / "empty").mkdir()
    assert "is no git repository" in bad(Path(f"{tmp_path}/empty@v1"), cache)


def test_what_would_steer_kbuild_elsewhere_is_ignored(
    tree: Path, cache: Cache, said: Said, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = opened(tree, cache, said)
    for name, value in {
        "ARCH": "arm64",
        "O": "/nowhere",
        "LLVM_IAS": "1",
        "MAKEFLAGS": "-n",
        "CPATH": "/x",
    }.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("GIT_DIR", "/nowhere")
    assert open_kernel(f"tree:{tree}", cache=Cache(cache.root / "other")).fingerprint == plain.fingerprint


def test_missing_tools_are_named_with_their_package(
    tree: Path, cache: Cache, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    tools = tmp_path / "bin"
    tools.mkdir()
    for name in ("gcc", "git"):
        (tools / name).symlink_to(shutil.which(name) or "")
    monkeypatch.setenv("PATH", str(tools))
    assert "apt-get install bc binutils bison flex make mawk" in bad(tree, cache)
