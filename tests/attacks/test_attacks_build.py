# SPDX-License-Identifier: GPL-2.0-only
"""Attacks by build files, and by sources at compile time: none does harm, reads a secret, or hangs."""

from __future__ import annotations

import random
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from build_payloads import ENDED, HARMFUL, REFUSED, makefile
from kernel_samples import FILES, snapshot

from conformance.errors import ConformanceError
from conformance.kernels import Cache, open_kernel, prepare
from conformance.kernels.debian import pinned
from conformance.kernels.tools import quiet
from conformance.sandbox import watching
from conformance.sandbox.policy import UNCONFINED
from conformance.sandbox.watching import Bounds

SECRET = b"the secret"

READING = ('#include "{home}/secret"', 'asm(".incbin \\"{home}/secret\\"");')


class Scene:
    """A tree that attacks, and its targets."""

    def __init__(self, place: Path, home: Path) -> None:
        self.home = home
        self.tree = place / "linux"
        for name, text in FILES.items():
            self.write(name, text)
        self.write("scripts/attack.sh", 'touch "$1"\n')
        self.cache = Cache(place / "cache")
        self.other = self.cache.root / "kvm/other"
        self.other.mkdir(parents=True)
        (self.other / "file").write_text("as it was\n")
        self.token = str(random.randrange(10**8, 10**9))
        self.tcp = socket.create_server(("127.0.0.1", 0))
        self.local = socket.socket(socket.AF_UNIX)
        self.local.bind(str(place / "socket"))
        self.local.listen()
        self.victim = subprocess.Popen(["sleep", "1000"])
        self.words = {
            "home": home,
            "cache": self.other,
            "tree": self.tree,
            "port": self.tcp.getsockname()[1],
            "socket": place / "socket",
            "victim": self.victim.pid,
            "token": self.token,
        }

    def write(self, name: str, text: str) -> None:
        path = self.tree / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def plant(self, payload: str) -> None:
        self.write("Makefile", makefile(FILES["Makefile"], payload.format(**self.words)))

    def open(self):
        return open_kernel(f"tree:{self.tree}", cache=self.cache)

    def harm(self) -> list[str]:
        """The harm that the attack has done."""
        found = []
        if {one.name for one in self.home.iterdir()} != {"secret"}:
            found.append("a marker")
        if any(SECRET in path.read_bytes() for path in self.cache.root.rglob("*") if path.is_file()):
            found.append("the secret")
        for server in (self.tcp, self.local):
            server.settimeout(0.01)
            try:
                server.accept()[0].close()
                found.append("a connection")
            except TimeoutError:
                pass
        if not (self.other / "file").is_file() or (self.other / "file").read_text() != "as it was\n":
            found.append("another entry")
        if self.victim.poll() is not None:
            found.append("a killed process")
        return found + self.left()

    def left(self) -> list[str]:
        """Processes with the token in their command lines that do not end within ten seconds.

        A killed process stays visible until a processor has run it once more.
        """
        until = time.monotonic() + 10
        while found := ["a process" for one in Path("/proc").glob("[0-9]*/cmdline") if self._is_ours(one)]:
            if time.monotonic() > until:
                break
            time.sleep(0.05)
        return found

    def _is_ours(self, cmdline: Path) -> bool:
        try:
            return self.token.encode() in cmdline.read_bytes()
        except OSError:
            return False

    def close(self) -> None:
        self.tcp.close()
        self.local.close()
        self.victim.kill()
        self.victim.wait()


@pytest.fixture
def scene(tmp_path: Path, guarded: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Scene]:
    monkeypatch.setenv("CONFORMANCE_CACHE", str(Cache().root))
    monkeypatch.setenv("HOME", str(guarded))
    made = Scene(tmp_path, guarded)
    yield made
    made.close()


@pytest.fixture
def unconfined(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(UNCONFINED, "1")


@pytest.mark.usefixtures("confined", "nothing_left")
class TestConfined:
    @pytest.mark.parametrize("name", HARMFUL)
    def test_a_build_that_does_harm(self, scene: Scene, name: str) -> None:
        scene.plant(HARMFUL[name])
        before = snapshot(scene.tree)
        assert (scene.open().root / "gen/include/generated/made.h").is_file()
        assert scene.harm() == []
        assert snapshot(scene.tree) == before

    @pytest.mark.parametrize("name", REFUSED)
    def test_a_build_that_makes_something_else(self, scene: Scene, name: str) -> None:
        scene.plant(REFUSED[name])
        with pytest.raises(
            ConformanceError, match=r"its build made .*, which is neither|has no configuration"
        ):
            scene.open()
        assert scene.harm() == []
        assert not [*scene.cache.root.glob("tree/*")]

    @pytest.mark.parametrize("name", ENDED)
    def test_a_build_that_takes_too_much(
        self, scene: Scene, name: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(prepare, "PREPARING", Bounds(cpu=3, idle=2, wall=300))
        payload, said = ENDED[name]
        scene.plant(payload)
        with pytest.raises(ConformanceError, match=rf"preparing: make .*{said}"):
            scene.open()
        assert scene.harm() == []

    def test_a_build_that_fills_the_disk(self, scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(watching, "_free", lambda path: 1 << 20 if (path / "file").exists() else 1 << 30)
        scene.plant("\t@head -c 1M /dev/zero > $(O)/file; sleep {token}")
        with pytest.raises(ConformanceError, match=r"left less than .* MiB of free space in"):
            scene.open()
        assert scene.harm() == []

    @pytest.mark.parametrize("line", ['#include "{home}/secret"', 'asm(".incbin \\"{home}/secret\\"");'])
    def test_a_source_that_reads_a_secret(self, scene: Scene, line: str, tmp_path: Path) -> None:
        text = FILES["arch/x86/kvm/mmu/spte.c"] + line.format(**scene.words) + "\n"
        scene.write("arch/x86/kvm/mmu/spte.c", text)
        with pytest.raises(ConformanceError, match="does not compile"):
            scene.open().compile(["arch/x86/kvm/mmu/spte.c"], tmp_path / "out", reuse=scene.cache)
        assert scene.harm() == []
        assert not any(SECRET in path.read_bytes() for path in (tmp_path / "out").rglob("*"))

    def test_a_header_outside_of_the_tree_is_not_kept(self, scene: Scene) -> None:
        up = "../" * 40
        scene.write("arch/x86/kvm/mmu/spte.c", f'#include "{up}usr/include/linux/const.h"\nint x;\n')
        kept = {
            str(path.relative_to(scene.open().root / "src")) for path in scene.open().root.rglob("src/**/*")
        }
        assert not any("const.h" in name for name in kept)


@pytest.mark.parametrize("name", [name for name in HARMFUL if "/proc" not in name])
@pytest.mark.usefixtures("unconfined")
def test_the_payloads_do_harm_where_nothing_confines_them(scene: Scene, name: str) -> None:
    scene.plant(HARMFUL[name])
    before = snapshot(scene.tree)
    try:
        scene.open()
    finally:
        (scene.home / "marker").unlink(missing_ok=True) if (harm := scene.harm()) else None
    assert harm or snapshot(scene.tree) != before


@pytest.fixture(scope="session")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A real kernel, unpacked from its package."""
    place = tmp_path_factory.mktemp("whole")
    (place / "linux").mkdir()
    pinned("6.1", "6.1", Cache(), quiet).stage(place / "linux", place)
    return place / "linux"


@pytest.mark.network
@pytest.mark.slow
@pytest.mark.usefixtures("confined", "nothing_left")
def test_a_whole_kernel_whose_build_files_attack(whole: Path, guarded: Path, tmp_path: Path) -> None:
    tree = tmp_path / "linux"
    shutil.copytree(whole, tree, symlinks=True)
    touch = f"touch {guarded}/marker; cat {guarded}/secret > include/generated/secret.h"
    for name, line in {
        "Makefile": f"A := $(shell {touch})",
        "arch/x86/Makefile": f"A := $(shell {touch})",
        "arch/x86/kvm/Makefile": f"A := $(shell {touch})",
        "arch/x86/kvm/Kconfig": f"a := $(shell,{touch})",
        "scripts/Kbuild.include": f"A := $(shell {touch})",
        "scripts/checksyscalls.sh": f"({touch}) || :",
    }.items():
        with open(tree / name, "a") as file:
            file.write(f"\n{line}\n")
    before = snapshot(tree)
    cache = Cache(tmp_path / "cache")
    kernel = open_kernel(f"tree:{tree}", cache=cache)
    assert kernel.compile(["arch/x86/kvm/mmu/spte.c"], tmp_path / "out")
    assert snapshot(tree) == before
    assert not any(SECRET in path.read_bytes() for path in cache.root.rglob("*") if path.is_file())
