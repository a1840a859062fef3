# SPDX-License-Identifier: GPL-2.0-only
"""A tiny tree that prepares like a kernel, git on it, and a Progress that records."""

import subprocess
from pathlib import Path

MAKEFILE = """\
VERSION = 6
PATCHLEVEL = 1
SUBLEVEL = 7
EXTRAVERSION = -fake
olddefconfig:
\t@test -e Kconfig
prepare0:
\t@mkdir -p $(O)/include/generated $(O)/arch/x86/include/generated/asm
\t@echo '#define GENERATED 1' > $(O)/include/generated/made.h
"""

FILES = {
    "Makefile": MAKEFILE,
    "Kconfig": "# nothing to choose\n",
    ".gitignore": "*.o\n/include/generated/\n",
    "arch/x86/configs/x86_64_defconfig": "CONFIG_FAKE=y\n",
    "arch/x86/kvm/mmu/mmu.c": (
        '#include "spte.h"\n#include <generated/made.h>\nint mmu(void) { return GENERATED + SPTE; }\n'
    ),
    "arch/x86/kvm/mmu/spte.c": (
        '#include "spte.h"\n#include <linux/one.h>\nint spte(void) { return ONE + SPTE; }\n'
    ),
    "arch/x86/kvm/mmu/spte.h": "".join(f"/* line {n} */\n" for n in range(1, 21))
    + "#define SPTE 2\n/* end */\n",
    "arch/x86/include/asm/here.h": "/* an architecture's header */\n",
    "include/linux/one.h": "#define ONE 1\n",
    "include/linux/two.h": "#define TWO 2\n",
    "virt/kvm/kvm_main.c": "int main_of_kvm;\n",
    "Documentation/words.txt": "words\n",
}


class Said(list[str]):
    """A Progress that records its lines."""

    def __call__(self, line: str, /) -> None:
        self.append(line)

    def mentions(self, word: str) -> bool:
        return any(word in line for line in self)


def git(where: Path, *words: str) -> str:
    identity = [
        "-c",
        "user.name=t",
        "-c",
        "user.email=t@invalid",
        "-c",
        "commit.gpgsign=false",
        "-c",
        "gc.auto=0",
    ]
    done = subprocess.run(
        ["git", "-C", str(where), *identity, *words], check=True, capture_output=True, text=True
    )
    return done.stdout.strip()


def snapshot(root: Path) -> dict[str, tuple[int, int, bytes]]:
    """Everything in a directory: mode, date, content."""
    found = {}
    for path in sorted(root.rglob("*")):
        status = path.lstat()
        found[str(path)] = (status.st_mode, status.st_mtime_ns, path.read_bytes() if path.is_file() else b"")
    return found
