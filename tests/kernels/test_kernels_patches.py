# SPDX-License-Identifier: GPL-2.0-only
"""Patches of every form: applied to a copy, prepared again only if necessary, refused with file and hunk."""

import base64
import shutil
import subprocess
from pathlib import Path

import pytest
from kernel_samples import Said, git, snapshot

from conformance.errors import ConformanceError
from conformance.kernels import BuildError, Cache, Kernel, open_kernel

SPTE_H = "arch/x86/kvm/mmu/spte.h"


def commit(repository: Path, changes: dict[str, str], message: str = "change") -> None:
    for name, text in changes.items():
        path = repository / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    git(repository, "add", "-A")
    git(repository, "commit", "-qm", message)


def exported(repository: Path, target: Path, *words: str) -> Path:
    """git's output as a file; the repository is reset to its first commit."""
    target.write_text(git(repository, *words) + "\n")
    git(repository, "reset", "-q", "--hard", "one")
    return target


def substituted(repository: Path, name: str, old: str, new: str) -> dict[str, str]:
    text = (repository / name).read_text()
    assert old in text
    return {name: text.replace(old, new)}


@pytest.fixture
def diff(repository: Path, tmp_path: Path) -> Path:
    """A plain diff that sets SPTE to 3."""
    commit(repository, substituted(repository, SPTE_H, "SPTE 2", "SPTE 3"))
    return exported(repository, tmp_path / "fix.diff", "diff", "one..HEAD")


def opened(repository: Path, cache: Cache, said: Said, *patches: Path) -> Kernel:
    said.clear()
    return open_kernel(f"tree:{repository}", patches, progress=said, cache=cache)


def test_a_diff_is_applied_to_a_copy_without_preparing(
    repository: Path, cache: Cache, said: Said, diff: Path
) -> None:
    plain = opened(repository, cache, said)
    before, kept = snapshot(repository), snapshot(plain.root)
    kernel = opened(repository, cache, said, diff)
    assert kernel.title == f"tree:{repository} + fix.diff"
    assert kernel.selector == f"tree:{repository}"
    assert kernel.fingerprint != plain.fingerprint
    assert "SPTE 3" in (kernel.root / "src" / SPTE_H).read_text()
    assert not said.mentions("configuring")
    assert snapshot(repository) == before
    assert snapshot(plain.root) == kept
    assert opened(repository, cache, said, diff) == kernel
    assert said == []


def test_the_content_of_a_patch_counts_not_its_name(
    repository: Path, cache: Cache, said: Said, diff: Path
) -> None:
    first = opened(repository, cache, said, diff)
    diff.write_text(diff.read_text().replace("SPTE 3", "SPTE 4"))
    assert opened(repository, cache, said, diff).fingerprint != first.fingerprint


def test_patches_apply_in_order(
    repository: Path, cache: Cache, said: Said, diff: Path, tmp_path: Path
) -> None:
    second = tmp_path / "more.diff"
    second.write_text(diff.read_text().replace("SPTE 3", "SPTE 4").replace("SPTE 2", "SPTE 3"))
    kernel = opened(repository, cache, said, diff, second)
    assert kernel.title.endswith(" + fix.diff + more.diff")
    assert "SPTE 4" in (kernel.root / "src" / SPTE_H).read_text()
    with pytest.raises(ConformanceError, match=r"patch more.diff: hunk 1 does not apply"):
        opened(repository, cache, said, second, diff)


def test_a_mail_and_a_mailbox(repository: Path, cache: Cache, said: Said, tmp_path: Path) -> None:
    commit(repository, substituted(repository, SPTE_H, "SPTE 2", "SPTE 3"), "one\n\n--- a/not\n+++ b/adiff\n")
    commit(repository, substituted(repository, SPTE_H, "line 2 ", "line two "), "two")
    box = exported(
        repository, tmp_path / "series.mbox", "format-patch", "--stdout", "--cover-letter", "one..HEAD"
    )
    text = (opened(repository, cache, said, box).root / "src" / SPTE_H).read_text()
    assert "SPTE 3" in text
    assert "line two " in text


def test_an_encoded_mail(repository: Path, cache: Cache, said: Said, diff: Path, tmp_path: Path) -> None:
    mail = tmp_path / "encoded.eml"
    body = base64.encodebytes(b"Why.\n---\n" + diff.read_bytes()).decode()
    head = "From: a <a@invalid>\nSubject: [PATCH] x\nMIME-Version: 1.0\nContent-Type: text/plain\n"
    mail.write_text(f"{head}Content-Transfer-Encoding: base64\n\n{body}")
    assert "SPTE 3" in (opened(repository, cache, said, mail).root / "src" / SPTE_H).read_text()


def test_an_enclosing_repository_does_not_interfere(
    repository: Path, cache: Cache, said: Said, diff: Path, tmp_path: Path
) -> None:
    git(tmp_path, "init", "-q")
    assert "SPTE 3" in (opened(repository, cache, said, diff).root / "src" / SPTE_H).read_text()


def test_the_hunk_that_does_not_apply_is_named(
    repository: Path, cache: Cache, said: Said, tmp_path: Path
) -> None:
    text = substituted(repository, SPTE_H, "line 2 ", "line two ")[SPTE_H].replace("SPTE 2", "SPTE 3")
    commit(repository, {SPTE_H: text})
    patch = exported(repository, tmp_path / "fix.mbox", "format-patch", "-1", "--stdout")
    patch.write_text(patch.read_text().replace("-#define SPTE 2", "-#define SPTE 8"))
    with pytest.raises(ConformanceError) as caught:
        opened(repository, cache, said, patch)
    assert str(caught.value) == (
        f"tree:{repository}: patch fix.mbox: hunk 2 does not apply to {SPTE_H} (line 18)"
    )
    assert list((cache.root / "patched").glob("*")) == []


def test_which_mail_of_a_mailbox(repository: Path, cache: Cache, said: Said, tmp_path: Path) -> None:
    commit(repository, substituted(repository, SPTE_H, "line 2 ", "line two "), "one")
    commit(repository, substituted(repository, SPTE_H, "SPTE 2", "SPTE 3"), "two")
    box = exported(repository, tmp_path / "s.mbox", "format-patch", "--stdout", "one..HEAD")
    box.write_text(box.read_text().replace("-#define SPTE 2", "-#define SPTE 8"))
    with pytest.raises(ConformanceError, match=r"patch s.mbox, mail 2: hunk 1 does not apply"):
        opened(repository, cache, said, box)


def test_files_that_are_not_compiled_are_mentioned(
    repository: Path, cache: Cache, said: Said, tmp_path: Path
) -> None:
    changes = substituted(repository, SPTE_H, "SPTE 2", "SPTE 3") | {"Documentation/words.txt": "other\n"}
    commit(repository, changes)
    patch = exported(repository, tmp_path / "p.diff", "diff", "one..HEAD")
    kernel = opened(repository, cache, said, patch)
    assert said.mentions("Documentation/words.txt")
    assert "SPTE 3" in (kernel.root / "src" / SPTE_H).read_text()


def test_a_file_that_this_kernel_lacks(repository: Path, cache: Cache, said: Said, diff: Path) -> None:
    diff.write_text(diff.read_text().replace("spte.h", "other.h"))
    with pytest.raises(ConformanceError, match=r"none of its files \(arch/x86/kvm/mmu/other.h\) is in this"):
        opened(repository, cache, said, diff)
    diff.write_text(
        diff.read_text() + f"--- a/{SPTE_H}\n+++ b/{SPTE_H}\n@@ -1 +1 @@\n-/* line 1 */\n+/* one */\n"
    )
    with pytest.raises(ConformanceError, match=r"this kernel has no arch/x86/kvm/mmu/other.h"):
        opened(repository, cache, said, diff)


def test_new_removed_and_renamed_files(repository: Path, cache: Cache, said: Said, tmp_path: Path) -> None:
    commit(repository, {"arch/x86/kvm/mmu/new.h": "#define NEW 1\n"})
    git(repository, "rm", "-q", "virt/kvm/kvm_main.c")
    git(repository, "mv", "arch/x86/kvm/mmu/mmu.c", "arch/x86/kvm/mmu/moved.c")
    git(repository, "commit", "-qm", "two")
    patch = exported(repository, tmp_path / "p.diff", "diff", "-M", "one..HEAD")
    src = opened(repository, cache, said, patch).root / "src"
    assert (src / "arch/x86/kvm/mmu/new.h").read_text() == "#define NEW 1\n"
    assert (src / "arch/x86/kvm/mmu/moved.c").is_file()
    assert not (src / "arch/x86/kvm/mmu/mmu.c").exists()
    assert not (src / "virt/kvm/kvm_main.c").exists()


def test_a_file_that_is_already_there(repository: Path, cache: Cache, said: Said, tmp_path: Path) -> None:
    commit(repository, {"arch/x86/kvm/mmu/new.h": "#define NEW 1\n"})
    patch = exported(repository, tmp_path / "p.diff", "diff", "one..HEAD")
    patch.write_text(patch.read_text().replace("new.h", "spte.h"))
    with pytest.raises(ConformanceError, match=r"it creates arch/x86/kvm/mmu/spte.h, which is already there"):
        opened(repository, cache, said, patch)


def test_a_further_header_prepares_again(repository: Path, cache: Cache, said: Said, tmp_path: Path) -> None:
    opened(repository, cache, said)
    commit(
        repository,
        substituted(repository, "arch/x86/kvm/mmu/spte.c", "one.h>", "one.h>\n#include <linux/two.h>"),
    )
    patch = exported(repository, tmp_path / "p.diff", "diff", "one..HEAD")
    kernel = opened(repository, cache, said, patch)
    assert said.mentions("further headers")
    assert (kernel.root / "src/include/linux/two.h").is_file()


def test_a_header_that_does_not_exist(repository: Path, cache: Cache, said: Said, tmp_path: Path) -> None:
    commit(
        repository,
        substituted(repository, "arch/x86/kvm/mmu/spte.c", "one.h>", "one.h>\n#include <linux/no.h>"),
    )
    patch = exported(repository, tmp_path / "p.diff", "diff", "one..HEAD")
    with pytest.raises(ConformanceError, match=r"does not compile: .*linux/no.h: No such file"):
        opened(repository, cache, said, patch)
    assert list((cache.root / "patched").glob("*")) == []


@pytest.mark.parametrize("name", ["Kconfig", "Makefile"])
def test_what_preparing_read_prepares_again(
    repository: Path, cache: Cache, said: Said, tmp_path: Path, name: str
) -> None:
    opened(repository, cache, said)
    commit(repository, {name: (repository / name).read_text() + "\n# more\n"})
    patch = exported(repository, tmp_path / "p.diff", "diff", "one..HEAD")
    open_kernel(f"tree:{repository}", [patch], progress=said, cache=cache, idle=True)
    assert said.mentions("preparing again")
    assert said.mentions("configuring")


def test_what_does_not_compile_names_the_patch(
    repository: Path, cache: Cache, said: Said, diff: Path, tmp_path: Path
) -> None:
    diff.write_text(diff.read_text().replace("SPTE 3", "SPTE nothing"))
    kernel = opened(repository, cache, said, diff)
    with pytest.raises(BuildError) as caught:
        kernel.compile(["arch/x86/kvm/mmu/spte.c"], tmp_path / "out")
    assert f"+ fix.diff: does not compile: {SPTE_H}:21:14: error:" in str(caught.value)


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"", "is empty"),
        (b"\n\n", "is empty"),
        (b"these are words\n", "is no patch"),
        (b"\x00\xff\xfe binary", "is no patch"),
        (b"From: a@invalid\nSubject: hello\n\nno diff in it\n", "is no patch"),
        (b"--- a/x\n+++ b/x\n@@ -1,3 +1,3 @@\n one\n", "is damaged"),
    ],
)
def test_no_patch(
    repository: Path, cache: Cache, said: Said, tmp_path: Path, content: bytes, complaint: str
) -> None:
    patch = tmp_path / "p"
    patch.write_bytes(content)
    with pytest.raises(ConformanceError, match=complaint):
        opened(repository, cache, said, patch)
    assert said == []


def test_patches_that_cannot_be_read(repository: Path, cache: Cache, said: Said, tmp_path: Path) -> None:
    with pytest.raises(ConformanceError, match="cannot be read: No such file"):
        opened(repository, cache, said, tmp_path / "missing.patch")
    with pytest.raises(ConformanceError, match="is a directory"):
        opened(repository, cache, said, tmp_path)


@pytest.mark.parametrize(
    "name",
    [
        "../../outside.h",
        "/tmp/outside.h",
        ".git/config",
        "arch/x86/kvm/mmu/../../../../../outside.h",
        "virt/kvm//../../../outside.h",
    ],
)
def test_a_patch_stays_inside(repository: Path, cache: Cache, said: Said, tmp_path: Path, name: str) -> None:
    patch = tmp_path / "p.diff"
    patch.write_text(f"--- /dev/null\n+++ b/{name}\n@@ -0,0 +1 @@\n+text\n")
    with pytest.raises(ConformanceError, match=r"does not apply|is in this kernel"):
        opened(repository, cache, said, patch)
    assert not list(tmp_path.rglob("outside.h"))


LINK = "arch/x86/kvm/mmu/link.h"
NEW = "--- /dev/null\n+++ b/{0}\n@@ -0,0 +1 @@\n+/etc/hostname\n"
GONE = "--- a/{0}\n+++ /dev/null\n@@ -1 +0,0 @@\n-/etc/hostname\n"
CHANGED = "--- a/{0}\n+++ b/{0}\n@@ -1 +1 @@\n-/etc/hostname\n+/etc/passwd\n"
SPELLINGS = [
    *("120000", "0120000", "00120000", "000000000000000000120000", "+120000", "  120000", "\t120000"),
    *("120000 ", "120000\t", "120777", "120755", "0120644"),
]


def refused(repository: Path, cache: Cache, said: Said, patch: Path, text: str) -> str:
    """The error about a patch, after checking that nothing was left behind."""
    patch.write_bytes(text.encode("utf-8", "surrogateescape"))
    before = snapshot(repository)
    with pytest.raises(ConformanceError) as caught:
        opened(repository, cache, said, patch)
    assert snapshot(repository) == before
    assert list((cache.root / "patched").glob("*")) == list((cache.root / "tmp").glob("*")) == []
    message = str(caught.value)
    assert message.isprintable()
    return message


@pytest.mark.parametrize("mode", SPELLINGS)
@pytest.mark.parametrize("what", ["new file mode", "deleted file mode", "old mode", "new mode", "index"])
def test_a_patch_makes_no_symbolic_link(
    repository: Path, cache: Cache, said: Said, tmp_path: Path, mode: str, what: str
) -> None:
    head = f"diff --git a/{LINK} b/{LINK}\n"
    head += "index 1234567..89abcde " if what == "index" else f"{what} "
    body = {"new file mode": NEW, "deleted file mode": GONE}.get(what, CHANGED).format(LINK)
    text = f"{head}{mode}\n{body}"
    assert f"{LINK} is a symbolic link in it" in refused(repository, cache, said, tmp_path / "p", text)


@pytest.mark.parametrize(
    ("mode", "what"),
    [
        ("160000", "is a submodule in it"),
        ("0160000", "is a submodule in it"),
        ("40000", "is a directory in it"),
        ("060644", "is a device in it"),
        ("1120000", "is a symbolic link in it"),
        ("3100644", "is a file of the mode 3100644 in it"),
        ("0o120000", "is no file mode"),
        ("0x120000", "is no file mode"),
        ("-120000", "is no file mode"),
        ("120 000", "is no file mode"),
        ("", "is no file mode"),
        ("100888", "is no file mode"),
    ],
)
def test_other_modes_are_refused(
    repository: Path, cache: Cache, said: Said, tmp_path: Path, mode: str, what: str
) -> None:
    text = f"diff --git a/{LINK} b/{LINK}\nnew file mode {mode}\n{NEW.format(LINK)}"
    assert what in refused(repository, cache, said, tmp_path / "p", text)


def test_a_file_that_becomes_a_link_is_refused(
    repository: Path, cache: Cache, said: Said, tmp_path: Path
) -> None:
    (repository / SPTE_H).unlink()
    (repository / SPTE_H).symlink_to("/etc/hostname")
    git(repository, "commit", "-qam", "link")
    patch = exported(repository, tmp_path / "p", "diff", "one..HEAD")
    assert "is a symbolic link in it" in refused(repository, cache, said, patch, patch.read_text())


@pytest.mark.parametrize(
    "head", ["", "diff --git a/{0} b/{0}\n", "diff --git a/{0} b/{0}\nindex 1234567..89abcde\n"]
)
def test_a_submodule_is_seen_by_its_content(
    repository: Path, cache: Cache, said: Said, tmp_path: Path, head: str
) -> None:
    lines = f"-Subproject commit {'1' * 40}\n+Subproject commit {'2' * 40}\n"
    text = f"{head}--- a/{{0}}\n+++ b/{{0}}\n@@ -1 +1 @@\n{lines}".format(SPTE_H)
    assert f"{SPTE_H} is a submodule in it" in refused(repository, cache, said, tmp_path / "p", text)


def test_links_of_a_revision_are_files_or_nothing(
    repository: Path, cache: Cache, said: Said, tmp_path: Path
) -> None:
    (tmp_path / "secret.h").write_text("secret\n")
    mmu = repository / "arch/x86/kvm/mmu"
    (mmu / "out.h").symlink_to(tmp_path / "secret.h")
    (mmu / "in.h").symlink_to("spte.h")
    (mmu / "folder").symlink_to(tmp_path)
    git(repository, "add", "-A")
    git(repository, "commit", "-qm", "links")
    src = opened_at(repository, cache, said).root / "src/arch/x86/kvm/mmu"
    assert not (src / "out.h").exists() and not (src / "folder").exists()
    assert (src / "in.h").read_text() == (mmu / "spte.h").read_text()
    through = f"--- a/{SPTE_H}\n+++ b/{SPTE_H}\n@@ -1 +1 @@\n-/* line 1 */\n+/* one */\n"
    for name, gone in (("out.h", "secret"), ("folder/secret.h", "secret")):
        patch = tmp_path / "p"
        text = f"@@ -1 +1 @@\n-{gone}\n+other\n"
        patch.write_text(f"{through}--- a/arch/x86/kvm/mmu/{name}\n+++ b/arch/x86/kvm/mmu/{name}\n{text}")
        with pytest.raises(ConformanceError, match="this kernel has no"):
            opened_at(repository, cache, said, patch)
    assert (tmp_path / "secret.h").read_text() == "secret\n"


def opened_at(repository: Path, cache: Cache, said: Said, *patches: Path) -> Kernel:
    return open_kernel(f"tree:{repository}@HEAD", patches, progress=said, cache=cache)


BAD_NAMES = {
    "long": "arch/x86/kvm/mmu/" + "x" * 256 + ".h",
    "long at the top": "x" * 300,
    "long path": "arch/x86/kvm/" + "d/" * 600 + "x.h",
    "NUL": "arch/x86/kvm/mmu/s\0pte.h",
    "carriage return": "arch/x86/kvm/mmu/s\rpte.h",
    "escape": "arch/x86/kvm/mmu/\x1b[2Jspte.h",
    "no UTF-8": "arch/x86/kvm/mmu/\udcffspte.h",
    "right to left": "arch/x86/kvm/mmu/\u202espte.h",
    "backslash": "arch\\x86\\kvm\\mmu\\spte.h",
    "trailing slash": f"{SPTE_H}/",
    "dot": "arch/x86/./kvm/mmu/spte.h",
    "dots": "arch/x86/kvm/mmu/../mmu/spte.h",
    "dots at the end": "arch/x86/kvm/mmu/..",
    "repository": "arch/x86/.GIT/config",
    "absolute": f"/{SPTE_H}",
    "folder": "arch/x86/kvm/mmu",
    "in a file": f"{SPTE_H}/x.h",
    "in a file, deep": f"{SPTE_H}/x/y.h",
}


@pytest.mark.parametrize("kind", ["plain", "git", "changed"])
@pytest.mark.parametrize("which", BAD_NAMES)
def test_names_that_no_file_can_have(
    repository: Path, cache: Cache, said: Said, tmp_path: Path, which: str, kind: str
) -> None:
    name = BAD_NAMES[which]
    prefix = "" if which == "absolute" else "b/"
    if kind == "changed":
        body = f"--- {prefix}{name}\n+++ {prefix}{name}\n@@ -1 +1 @@\n-/* line 1 */\n+text\n"
    else:
        body = f"--- /dev/null\n+++ {prefix}{name}\n@@ -0,0 +1 @@\n+text\n"
    head = f"diff --git a/{name} b/{name}\nnew file mode 100644\n" if kind == "git" else ""
    # With a hunk that applies, so that the patch is not refused for lack of one.
    good = f"--- a/{SPTE_H}\n+++ b/{SPTE_H}\n@@ -1 +1 @@\n-/* line 1 */\n+/* one */\n"
    message = refused(repository, cache, said, tmp_path / "p", f"{good}{head}{body}")
    assert "does not apply" in message or "is damaged" in message


def test_a_quoted_name_is_refused_not_passed_over(
    repository: Path, cache: Cache, said: Said, diff: Path
) -> None:
    diff.write_text(diff.read_text().replace(f"a/{SPTE_H}", '"a/arch/x86/kvm/mmu/\\163pte.h"'))
    with pytest.raises(ConformanceError, match="no name of a kernel file"):
        opened(repository, cache, said, diff)


PREFIXES = [
    ("i/", "w/"),
    ("c/", "i/"),
    ("o/", "w/"),
    ("1/", "2/"),
    ("", ""),
    ("./", "./"),
    ("linux-6.1.orig/", "linux-6.1/"),
    ("foo/", "bar/"),
    ("a/linux.orig/", "b/linux/"),
]


@pytest.mark.parametrize(("old", "new"), PREFIXES)
@pytest.mark.parametrize("git_header", [False, True])
def test_every_prefix_means_the_same_file(
    repository: Path, cache: Cache, said: Said, diff: Path, old: str, new: str, git_header: bool
) -> None:
    text = diff.read_text()
    if not git_header:
        text = text[text.index("--- ") :]
    diff.write_text(text.replace("a/arch/", f"{old}arch/").replace("b/arch/", f"{new}arch/"))
    kernel = opened(repository, cache, said, diff)
    assert "SPTE 3" in (kernel.root / "src" / SPTE_H).read_text()
    assert kernel.notes == ()


@pytest.mark.parametrize(
    "settings", ["diff.mnemonicPrefix=true", "diff.noprefix=true", "diff.srcPrefix=x/", "diff.dstPrefix=foo/"]
)
def test_the_prefixes_that_git_is_set_to(
    repository: Path, cache: Cache, said: Said, tmp_path: Path, settings: str
) -> None:
    changes = substituted(repository, SPTE_H, "SPTE 2", "SPTE 3")
    (repository / SPTE_H).write_text(changes[SPTE_H])
    patch = exported(repository, tmp_path / "p.diff", "-c", settings, "diff")
    assert "SPTE 3" in (opened(repository, cache, said, patch).root / "src" / SPTE_H).read_text()


def test_gnu_diff_makes_removes_and_changes_files(
    repository: Path, cache: Cache, said: Said, tmp_path: Path
) -> None:
    shutil.copytree(repository, tmp_path / "linux.orig", ignore=shutil.ignore_patterns(".git"))
    shutil.copytree(tmp_path / "linux.orig", tmp_path / "linux.new")
    new = tmp_path / "linux.new"
    (new / SPTE_H).write_text((new / SPTE_H).read_text().replace("SPTE 2", "SPTE 3"))
    (new / "arch/x86/kvm/mmu/new.h").write_text("#define NEW 1\n")
    (new / "virt/kvm/kvm_main.c").unlink()
    made = subprocess.run(["diff", "-ruN", "linux.orig", "linux.new"], cwd=tmp_path, capture_output=True)
    patch = tmp_path / "p.diff"
    patch.write_bytes(made.stdout)
    src = opened(repository, cache, said, patch).root / "src"
    assert "SPTE 3" in (src / SPTE_H).read_text()
    assert (src / "arch/x86/kvm/mmu/new.h").read_text() == "#define NEW 1\n"
    assert not (src / "virt/kvm/kvm_main.c").exists()


@pytest.mark.parametrize("name", ["spte.h", "mmu/spte.h", "kvm/mmu/spte.h", "x/y/z/spte.h"])
def test_a_patch_of_which_nothing_is_in_the_kernel_is_no_patch_for_it(
    repository: Path, cache: Cache, said: Said, diff: Path, name: str
) -> None:
    diff.write_text(diff.read_text().replace(SPTE_H, name))
    with pytest.raises(ConformanceError, match=r"fix.diff: none of its files \(.*spte.h\) is in this kernel"):
        opened(repository, cache, said, diff)
    assert list((cache.root / "patched").glob("*")) == []


@pytest.mark.parametrize("name", ["drivers/net/tun.c", "Documentation/words.txt", "include/net/sock.h"])
def test_a_patch_to_what_is_not_compiled_is_not_judged(
    repository: Path, cache: Cache, said: Said, diff: Path, name: str
) -> None:
    other = diff.with_name("other.diff")
    other.write_text(diff.read_text().replace(SPTE_H, name))
    for _ in range(2):
        with pytest.raises(ConformanceError, match=rf"changes nothing that is compiled here \({name}\)"):
            opened(repository, cache, said, other)
    kernel = open_kernel(f"tree:{repository}", [other], progress=said, cache=cache, idle=True)
    assert kernel.fingerprint == opened(repository, cache, said).fingerprint
    both = opened(repository, cache, said, diff, other)
    assert both.fingerprint == opened(repository, cache, said, diff).fingerprint


def test_skipped_files_are_noted_every_time(repository: Path, cache: Cache, said: Said, diff: Path) -> None:
    diff.write_text(diff.read_text() + diff.read_text().replace(SPTE_H, "drivers/net/tun.c"))
    for _ in range(2):
        kernel = opened(repository, cache, said, diff)
        assert kernel.notes == ("fix.diff also changes drivers/net/tun.c, not part of what is compiled here",)
        assert said.mentions(kernel.notes[0])


def moved(repository: Path, lines: int, old: str = "", new: str = "") -> None:
    """Commit lines on top of the file, and a substitution in it."""
    text = (repository / SPTE_H).read_text().replace(old, new, 1)
    commit(repository, {SPTE_H: "/* more */\n" * lines + text})


def test_an_offset_is_reported(repository: Path, cache: Cache, said: Said, diff: Path) -> None:
    moved(repository, 14)
    kernel = opened(repository, cache, said, diff)
    assert "SPTE 3" in (kernel.root / "src" / SPTE_H).read_text()
    assert kernel.notes == (f"patch fix.diff: hunk 1 of {SPTE_H} applied at offset 14",)


@pytest.mark.parametrize(
    ("old", "fuzz", "lines", "said_of_it"),
    [
        ("line 18 ", 1, 0, "with fuzz 1"),
        ("line 19 ", 2, 0, "with fuzz 2"),
        ("line 18 ", 1, 5, "with fuzz 1 at offset 5"),
        ("line 19 ", 2, 7, "with fuzz 2 at offset 7"),
    ],
)
def test_fuzz_is_reported_and_can_be_forbidden(
    repository: Path,
    cache: Cache,
    said: Said,
    diff: Path,
    monkeypatch: pytest.MonkeyPatch,
    old: str,
    fuzz: int,
    lines: int,
    said_of_it: str,
) -> None:
    # Without its blob the diff cannot be merged three-way.
    text = "".join(line for line in diff.read_text().splitlines(True) if not line.startswith("index "))
    diff.write_text(text)
    moved(repository, lines, old, f"{old}changed ")
    kernel = opened(repository, cache, said, diff)
    assert "SPTE 3" in (kernel.root / "src" / SPTE_H).read_text()
    assert kernel.notes == (f"patch fix.diff: hunk 1 of {SPTE_H} applied {said_of_it}",)
    monkeypatch.setenv("CONFORMANCE_FUZZ", str(fuzz))
    assert opened(repository, cache, said, diff).notes == kernel.notes
    for less in range(fuzz):
        monkeypatch.setenv("CONFORMANCE_FUZZ", str(less))
        with pytest.raises(ConformanceError, match=rf"hunk 1 does not apply to {SPTE_H} \(line 18\)"):
            opened(repository, cache, said, diff)
    monkeypatch.setenv("CONFORMANCE_FUZZ", "3")
    with pytest.raises(ConformanceError, match="CONFORMANCE_FUZZ is '3'"):
        opened(repository, cache, said, diff)


def test_which_hunks_were_inexact(repository: Path, cache: Cache, said: Said, tmp_path: Path) -> None:
    text = "".join(f"/* {n} */\n" for n in range(60))
    commit(repository, {SPTE_H: text + "#define SPTE 2\n"})
    git(repository, "tag", "-f", "one")
    changed = text.replace("/* 10 ", "/* ten ").replace("/* 30 ", "/* thirty ").replace("/* 50 ", "/* fifty ")
    commit(repository, {SPTE_H: changed + "#define SPTE 2\n"})
    patch = exported(repository, tmp_path / "p.diff", "diff", "--no-ext-diff", "one..HEAD")
    patch.write_text("".join(line for line in patch.read_text().splitlines(True) if line[:6] != "index "))
    drifted = text.replace("/* 20 */\n", "/* 20 */\n\n\n").replace("/* 33 ", "/* off ")
    commit(repository, {SPTE_H: drifted + "#define SPTE 2\n"})
    kernel = opened(repository, cache, said, patch)
    assert kernel.notes == (
        f"patch p.diff: hunk 2 of {SPTE_H} applied with fuzz 1 at offset 2",
        f"patch p.diff: hunk 3 of {SPTE_H} applied at offset 2",
    )


def test_where_the_repository_has_the_blob_it_is_merged(
    repository: Path, cache: Cache, said: Said, diff: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    moved(repository, 5, "line 19 ", "line nineteen ")
    blob = git(repository, "rev-parse", f"one:{SPTE_H}")
    kernel = opened(repository, cache, said, diff)
    text = (kernel.root / "src" / SPTE_H).read_text()
    assert "SPTE 3" in text and "line nineteen" in text
    assert kernel.notes == (f"patch fix.diff: {SPTE_H} merged three-way, from blob {blob[:7]}",)
    monkeypatch.setenv("CONFORMANCE_FUZZ", "0")
    with pytest.raises(ConformanceError, match="hunk 1 does not apply"):
        opened(repository, cache, said, diff)


INCLUDING = {
    "arch/x86/kvm/mmu/spte.c": (
        '#include "spte.h"\n#include <linux/one.h>\n#include <linux/two.h>\nint two = TWO;\n'
    )
}


@pytest.fixture
def including(repository: Path, tmp_path: Path) -> Path:
    """A patch that includes a header that was not read before."""
    commit(repository, INCLUDING)
    return exported(repository, tmp_path / "p.diff", "diff", "one..HEAD")


def test_what_only_a_patch_makes_be_read_may_change_on_disk(
    repository: Path, cache: Cache, said: Said, including: Path
) -> None:
    for value in ("2", "3"):
        (repository / "include/linux/two.h").write_text(f"#define TWO {value}\n")
        kernel = opened(repository, cache, said, including)
        assert (kernel.root / "src/include/linux/two.h").read_text() == f"#define TWO {value}\n"
    assert opened(repository, cache, said, including) == kernel
    assert not said.mentions("preparing")
    (repository / "arch/x86/include/linux").mkdir()
    (repository / "arch/x86/include/linux/two.h").write_text("#define TWO 4\n")
    kernel = opened(repository, cache, said, including)
    assert (kernel.root / "src/arch/x86/include/linux/two.h").is_file()


def test_what_only_a_patch_makes_be_read_may_differ_between_revisions(
    repository: Path, cache: Cache, said: Said, including: Path
) -> None:
    commit(repository, {"include/linux/two.h": "#define TWO 3\n"})
    for revision, value in (("one", "2"), ("HEAD", "3")):
        kernel = open_kernel(f"tree:{repository}@{revision}", [including], progress=said, cache=cache)
        assert (kernel.root / "src/include/linux/two.h").read_text() == f"#define TWO {value}\n"
