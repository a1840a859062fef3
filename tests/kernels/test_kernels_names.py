# SPDX-License-Identifier: GPL-2.0-only
"""File names in diffs: prefixes and suffixes of every tool are mapped to the kernel's names."""

import pytest

from conformance.errors import ConformanceError
from conformance.kernels.diffs import read_diff
from conformance.kernels.names import in_kernel, plausible

SPTE_H = "arch/x86/kvm/mmu/spte.h"
HUNK = "@@ -1,2 +1,2 @@\n one\n-two\n+2\n"


def names(text: str) -> list[set[str]]:
    return [file.names for file in in_kernel(read_diff(text.encode(), "p"), "p")]


PREFIXES = [
    ("a/", "b/"),
    ("i/", "w/"),
    ("c/", "i/"),
    ("c/", "w/"),
    ("o/", "w/"),
    ("1/", "2/"),
    ("", ""),
    ("./", "./"),
    ("linux-6.1.orig/", "linux-6.1/"),
    ("linux/", "linux/"),
    ("kernel/", "kernel/"),
    ("foo/", "bar/"),
    ("old/tree/", "new/tree/"),
    ("a/linux.orig/", "b/linux/"),
    ("a/sources/linux/", "b/sources/linux/"),
    ("a//", "b//"),
    ("a/./", "b/./"),
]


@pytest.mark.parametrize(("old", "new"), PREFIXES)
@pytest.mark.parametrize("git", [False, True])
@pytest.mark.parametrize(
    "file", [SPTE_H, "virt/kvm/kvm_main.c", "include/linux/kvm_host.h", "Documentation/virt/x.rst"]
)
def test_prefixes(old, new, git, file):
    head = f"diff --git {old}{file} {new}{file}\nindex 0123456..789abcd 100644\n" if git else ""
    assert names(f"{head}--- {old}{file}\n+++ {new}{file}\n{HUNK}") == [{file}]


@pytest.mark.parametrize(
    "stamp",
    [
        "\t2024-01-02 03:04:05.000000000 +0100",
        "  2024-01-02 03:04:05.000000000 +0100",
        "\t2024-01-02 03:04:05",
        " Tue Jan  2 03:04:05 2024",
        "\tTue Jan  2 03:04:05 2024",
        "\t(revision 12)",
        "\t(working copy)",
        "   (working copy)",
        "\t",
        "  ",
    ],
)
def test_dates_behind_a_name(stamp):
    assert names(f"--- linux.orig/{SPTE_H}{stamp}\n+++ linux/{SPTE_H}{stamp}\n{HUNK}") == [{SPTE_H}]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (f"{SPTE_H}.orig", SPTE_H),
        (f"a/{SPTE_H}.orig", f"a/{SPTE_H}"),
        (f"a/{SPTE_H}", f"a/{SPTE_H}.new"),
    ],
)
def test_copies_beside_the_file(old, new):
    assert names(f"--- {old}\n+++ {new}\n{HUNK}") == [{SPTE_H}]


def test_index_lines_of_subversion_and_quilt():
    head = f"Index: linux/{SPTE_H}\n{'=' * 67}\n"
    assert names(f"{head}--- linux.orig/{SPTE_H}\n+++ linux/{SPTE_H}\n{HUNK}") == [{SPTE_H}]
    head = f"Index: {SPTE_H}\n{'=' * 67}\n"
    assert names(f"{head}--- {SPTE_H}\t(revision 1)\n+++ {SPTE_H}\t(working copy)\n{HUNK}") == [{SPTE_H}]


@pytest.mark.parametrize("name", ["tools/arch/x86/include/asm/cpufeatures.h", "Documentation/virt/kvm/mmu.c"])
@pytest.mark.parametrize(("old", "new"), [("a/", "b/"), ("", ""), ("i/", "w/")])
def test_a_path_that_ends_like_another(old, new, name):
    assert names(f"--- {old}{name}\n+++ {new}{name}\n{HUNK}") == [{name}]


def test_one_odd_name_without_prefixes_does_not_move_the_others():
    text = "".join(f"--- {name}\n+++ {name}\n{HUNK}" for name in ("Documentation/virt/x.c", "odd/a.c"))
    assert names(text) == [{"Documentation/virt/x.c"}, {"odd/a.c"}]


def test_one_depth_for_all_files():
    text = "".join(f"--- x/y/{name}\n+++ x/y/{name}\n{HUNK}" for name in (SPTE_H, "Makefile", "odd/lib/a.c"))
    assert names(text) == [{SPTE_H}, {"Makefile"}, {"odd/lib/a.c"}]


@pytest.mark.parametrize(("old", "new"), PREFIXES)
def test_new_and_removed_files(old, new):
    date = "\t1970-01-01 01:00:00.000000000 +0100"
    added = f"--- {old}{SPTE_H}{date}\n+++ {new}{SPTE_H}\t2024-01-02 03:04:05\n@@ -0,0 +1 @@\n+x\n"
    removed = f"--- {old}{SPTE_H}\t2024-01-02 03:04:05\n+++ {new}{SPTE_H}{date}\n@@ -1 +0,0 @@\n-x\n"
    for text, sides in ((added, ("", SPTE_H)), (removed, (SPTE_H, ""))):
        (file,) = in_kernel(read_diff(text.encode(), "p"), "p")
        assert (file.old, file.new) == sides
    head = f"diff --git {old}{SPTE_H} {new}{SPTE_H}\nnew file mode 100644\n"
    text = f"{head}--- /dev/null\n+++ {new}{SPTE_H}\n@@ -0,0 +1 @@\n+x\n"
    (file,) = in_kernel(read_diff(text.encode(), "p"), "p")
    assert (file.old, file.new) == ("", SPTE_H)


@pytest.mark.parametrize(("old", "new"), [("a/", "b/"), ("", ""), ("i/", "w/"), ("a/linux/", "b/linux/")])
def test_a_renamed_file(old, new):
    # git writes the prefix only into the first line.
    moved = f"rename from {SPTE_H}\nrename to lib/x.h\n"
    text = f"diff --git {old}{SPTE_H} {new}lib/x.h\nsimilarity index 100%\n{moved}"
    (file,) = in_kernel(read_diff(text.encode(), "p"), "p")
    assert (file.old, file.new) == (SPTE_H, "lib/x.h")
    assert moved in file.text().decode()


def test_lines_of_a_hunk_are_no_header():
    hunk = "@@ -1,3 +1,3 @@\n one\n--- a/lib/no.c\n+++ b/lib/no.c\n@@ -1 +1 @@\n"
    text = f"--- a/{SPTE_H}\n+++ b/{SPTE_H}\n{hunk}"
    with pytest.raises(ConformanceError, match=r"hunk 1 of .*spte.h has not the lines"):
        names(text)
    assert names(text.replace("@@ -1 +1 @@\n", " three\n")) == [{SPTE_H}]


@pytest.mark.parametrize(
    "text",
    [
        f"--- a/{SPTE_H}\n+++ b/{SPTE_H}\n@@ -1,3 +1,3 @@\n one\n",
        f"--- a/{SPTE_H}\n+++ b/{SPTE_H}\n@@ -1 +1 @@\n-a\n-b\n",
        f"--- a/{SPTE_H}\n+++ b/{SPTE_H}\n@@ -1 +x @@\n",
        "@@ -1 +1 @@\n-a\n+b\n",
        f"diff --git a/{SPTE_H} b/{SPTE_H}\n@@ -1 +1 @@\n-a\n+b\n",
        f"diff --git a/{SPTE_H} b/{SPTE_H}\n--- a/x\n+++ b/x\n@@ -1 +1 @@\n-a\n+b\n",
        "--- /dev/null\n+++ /dev/null\n@@ -1 +1 @@\n-a\n+b\n",
        f"diff --git a/{SPTE_H} b/{SPTE_H}\nnew file mode 12z000\n",
        f"diff --cc {SPTE_H}\n",
    ],
)
def test_damage_is_reported(text):
    with pytest.raises(ConformanceError, match=r"is damaged|combined diff"):
        names(text)


@pytest.mark.parametrize("mode", ["120000", "0120000", "00000120000", "160000", "0160000", "120777"])
@pytest.mark.parametrize(
    "line", ["new file mode", "new mode", "old mode", "deleted file mode", "index 1234567..89abcde"]
)
def test_links_are_refused_in_every_spelling(mode, line):
    what = "a symbolic link" if "12" in mode else "a submodule"
    with pytest.raises(ConformanceError, match=f"{SPTE_H} is {what}"):
        names(f"diff --git a/{SPTE_H} b/{SPTE_H}\n{line} {mode}\n")


@pytest.mark.parametrize(
    "name",
    ["/etc/passwd", "a/../../x", "a/.git/config", 'a/"x', "a/x y", "a/x\\y", "a/x\x01"],
)
def test_names_that_lead_elsewhere_are_refused(name):
    with pytest.raises(ConformanceError, match="does not apply: it names"):
        names(f"--- {name}\n+++ {name}\n{HUNK}")


@pytest.mark.parametrize(
    "name", ["kernel/sched/core.c", "Makefile", ".gitignore", "tools/lib/x.c", "debian.master/x"]
)
def test_names_that_a_kernel_may_have(name):
    assert plausible(name)


@pytest.mark.parametrize(
    "name", ["x86/kvm/mmu.c", "kernel/arch/x86/kvm/x.c", "linux/Makefile", "mmu.c", "arch/", ""]
)
def test_names_that_a_kernel_cannot_have(name):
    assert not plausible(name)


def test_a_big_diff_is_read_in_one_pass():
    text = f"--- a/{SPTE_H}\n+++ b/{SPTE_H}\n" + "@@ -1 +1 @@\n-a\n+b\n" * 200_000
    (file,) = in_kernel(read_diff(text.encode(), "p"), "p")
    assert len(file.diff.hunks) == 200_000
