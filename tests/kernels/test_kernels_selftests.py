# SPDX-License-Identifier: GPL-2.0-only
"""KVM's selftests of a tree of a dozen lines: what is built, what is kept, what is refused."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from kernel_samples import MAKEFILE, Said, snapshot

from conformance.errors import ConformanceError
from conformance.kernels import Cache
from conformance.kernels.selftests import Selftests, is_part, open_selftests

FOLDER = "tools/testing/selftests/kvm"
NAMES = ("first_test", "second_test", "broken_test", "absent_test")

FILES = {
    "Makefile": MAKEFILE + "headers:\n\t@mkdir -p usr/include && cp include/uapi/one.h usr/include\n",
    "include/uapi/one.h": "#define ONE 1\n",
    f"{FOLDER}/Makefile": (
        "CFLAGS += -I../../../../usr/include $(EXTRA_CFLAGS)\n"
        "LDFLAGS += -broken\n"
        "$(OUTPUT)/%: %.c\n\t@mkdir -p $(dir $@)\n\t$(CC) $(CFLAGS) $(LDFLAGS) $< -o $@\n"
    ),
    f"{FOLDER}/include/test_util.h": "#define ASSERT_EQ(a, b) ((a) == (b))\n",
    f"{FOLDER}/first_test.c": "#include <one.h>\nint main(void) { return ONE; }\n",
    f"{FOLDER}/x86_64/second_test.c": (
        '#include "../include/test_util.h"\nint main(void) { return TEST_ASSERT_EQ(3, 3); }\n'
    ),
    f"{FOLDER}/broken_test.c": "int main(void) { return MISSING; }\n",
}


@pytest.fixture
def tested(tree: Path) -> Path:
    """The tree with selftests."""
    for name, text in FILES.items():
        path = tree / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tree


def opened(tree: Path, cache: Cache, said: Said, *patches: Path) -> Selftests:
    said.clear()
    return open_selftests(f"tree:{tree}", patches, NAMES, progress=said, cache=cache)


def status(found: Selftests, name: str) -> int:
    program = found.programs[name]
    program.chmod(0o755)
    return subprocess.run([program], check=False).returncode


def patch(path: Path, file: str, before: str, after: str) -> Path:
    path.write_text(f"--- a/{file}\n+++ b/{file}\n@@ -1 +1 @@\n-{before}\n+{after}\n")
    return path


def test_what_is_built(tested: Path, cache: Cache, said: Said) -> None:
    before = snapshot(tested)
    found = opened(tested, cache, said)
    assert sorted(found.programs) == ["first_test", "second_test"]
    # The second needs a name that stable kernels use and do not define.
    assert status(found, "first_test") == 1 and status(found, "second_test") == 1
    assert "MISSING" in found.unbuilt["broken_test"] and str(cache.root) not in found.unbuilt["broken_test"]
    assert "absent_test" not in found.unbuilt
    assert found.version == "6.1.7-fake (tree)" and found.title == f"tree:{tested}"
    assert snapshot(tested) == before


def test_programs_are_static(tested: Path, cache: Cache, said: Said) -> None:
    makefile = tested / FOLDER / "Makefile"
    makefile.write_text(makefile.read_text().replace("$(LDFLAGS)", ""))
    assert opened(tested, cache, said).unbuilt["first_test"] == "it is not linked statically"


def test_a_second_run_takes_them_from_the_cache(tested: Path, cache: Cache, said: Said) -> None:
    first = opened(tested, cache, said)
    assert said.mentions("building the selftests")
    assert opened(tested, cache, said) == first
    assert not said.mentions("building the selftests")


def test_an_edit_of_a_selftest_is_noticed(tested: Path, cache: Cache, said: Said) -> None:
    opened(tested, cache, said)
    (tested / "include/uapi/one.h").write_text("#define ONE 7\n")
    assert status(opened(tested, cache, said), "first_test") == 7


def test_patches_of_selftests_are_applied(tested: Path, cache: Cache, said: Said, tmp_path: Path) -> None:
    nine = patch(tmp_path / "nine.patch", "include/uapi/one.h", "#define ONE 1", "#define ONE 9")
    found = opened(tested, cache, said, nine)
    assert status(found, "first_test") == 9 and found.title == f"tree:{tested} + nine.patch"


def test_patches_of_the_kernel_change_no_selftest(
    tested: Path, cache: Cache, said: Said, tmp_path: Path
) -> None:
    first = opened(tested, cache, said)
    other = patch(tmp_path / "kvm.patch", "virt/kvm/kvm_main.c", "int main_of_kvm;", "int other;")
    assert opened(tested, cache, said, other).programs == first.programs


def test_a_tree_without_selftests(tree: Path, cache: Cache, said: Said) -> None:
    with pytest.raises(ConformanceError, match="this tree has no selftests of KVM"):
        opened(tree, cache, said)
    assert cache.entries("selftests") == []


def test_headers_that_cannot_be_installed(tested: Path, cache: Cache, said: Said) -> None:
    (tested / "include/uapi/one.h").unlink()
    with pytest.raises(ConformanceError, match="headers for programs cannot be installed"):
        opened(tested, cache, said)
    assert cache.entries("selftests") == []


def test_a_patch_that_does_not_apply(tested: Path, cache: Cache, said: Said, tmp_path: Path) -> None:
    wrong = patch(tmp_path / "wrong.patch", f"{FOLDER}/first_test.c", "int other;", "int third;")
    with pytest.raises(ConformanceError, match="does not apply"):
        opened(tested, cache, said, wrong)
    assert cache.entries("selftests") == []


@pytest.mark.parametrize(
    ("path", "part"),
    [(f"{FOLDER}/a.c", True), ("Documentation/virt/kvm/mmu.rst", True), ("virt/kvm/kvm_main.c", False)],
)
def test_what_belongs_to_the_kernel(path: str, part: bool) -> None:
    assert is_part(path) is part
