# SPDX-License-Identifier: GPL-2.0-only
"""Records stories in a live kernel, in every form that a trace has: the clean corpus of these tests.

    python tests/traces/record_live.py KERNEL MODE DIR [FORM]...

boots the shipped kernel of a series in QEMU, with the trace-cmd and perf of this machine in its initrd, and
writes DIR/KERNEL-MODE.FORM.xz for each form.
"""

from __future__ import annotations

import base64
import lzma
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from conformance.kernels import Cache
from conformance.kernels.bootable import shipped_kernel
from conformance.oracles.live.agent import build_agent, initrd
from conformance.oracles.live.loaded import Loaded
from conformance.oracles.live.qemu import Qemu
from conformance.oracles.live.settings import Setting
from conformance.sandbox.watching import Bounds
from conformance.scenarios.stories import STORIES

STORIES_PLAYED = (
    "first_write",
    "read_then_write_of_a_zero_page",
    "write_after_logging_began",
    "mapped_in_2m",
    "host_gives_back_part_of_a_huge_page",
    "mmio_is_cached",
    "host_forks",
    "unmap_a_range",
    "stale_mmio_is_made_anew",
    "split_when_cleared",
    "eager_split",
)
TRACING = "/sys/kernel/tracing"
SETTINGS = {
    "npt": Setting(),
    "legacy": Setting(kvm={"tdp_mmu": "N"}),
    "shadow": Setting(parameters={"npt": "0"}),
}
SLOW = Bounds(cpu=600, idle=120, wall=1200)


def with_libraries(program: str) -> Iterator[tuple[str, bytes]]:
    """A program and the libraries that it needs, by their paths in the initrd."""
    path = shutil.which(program)
    assert path is not None, f"{program} is not installed"
    yield f"bin/{program}", Path(path).resolve().read_bytes()
    listed = subprocess.run(["ldd", path], capture_output=True, text=True, check=True).stdout
    for found in re.findall(r"(?:=> )?(/\S+) \(", listed):
        yield found.lstrip("/"), Path(found).resolve().read_bytes()


class Recorder:
    """A booted kernel that records."""

    def __init__(self, kernel: str, mode: str, scratch: Path) -> None:
        cache = Cache()
        found = shipped_kernel(kernel, cache, print)
        setting = SETTINGS[mode]
        modules = {
            f"modules/{one.name}.ko": one.path.read_bytes() for one in found.load_order(setting.vendor)
        }
        programs = dict(one for name in ("trace-cmd", "perf") for one in with_libraries(name))
        start = scratch / "initrd"
        start.write_bytes(initrd(build_agent(cache, print), modules, programs.items()))
        options = "hugepagesz=1G hugepages=1 trace_clock=global"
        self.booted = Loaded(Qemu(found, start, options), found, setting)
        self.booted.need("open_kvm", "opening /dev/kvm")

    def ask(self, request: str) -> list[str]:
        return self.booted.ask(request, SLOW)

    def output(self, request: str) -> list[str]:
        """The output of a program."""
        return [line.removeprefix("> ") for line in self.ask(request) if line.startswith(">")]

    def run(self, *words: str) -> list[str]:
        return self.output("execute_program " + " ".join(words))

    def play(self) -> None:
        """Play the stories, without looking at the VM."""
        for name in STORIES_PLAYED:
            script = STORIES[name].script
            vm = f"vm vcpus={script.options['vcpus']} manual_protect={script.options['manual_protect']}"
            assert self.booted.code(vm) == 0
            for step in script.steps:
                words = " ".join(f"{word}={value}" for word, value in step.arguments.items())
                self.ask(f"{step.kind} {words}")

    def enable(self, on: int) -> None:
        for event in ("kvmmmu/enable", "kvm/enable"):
            self.ask(f"write {TRACING}/events/{event} {on}")

    # The forms.

    def tracefs(self) -> list[str]:
        self.ask(f"write {TRACING}/trace 0")
        self.enable(1)
        self.play()
        self.enable(0)
        return self.booted.read_file(f"{TRACING}/trace")

    def trace_dat(self) -> bytes:
        print(self.run("/bin/trace-cmd", "start", "-e", "kvmmmu", "-e", "kvm")[-2:])
        self.play()
        print(self.run("/bin/trace-cmd", "stop")[-2:])
        print(self.run("/bin/trace-cmd", "extract", "-o", "/tmp/trace.dat")[-2:])
        self.run("/bin/trace-cmd", "reset")
        lines = self.output("encoded /tmp/trace.dat")
        return base64.b16decode("".join(lines), casefold=True)

    def report(self, *options: str) -> list[str]:
        return self.run("/bin/trace-cmd", "report", *options, "-i", "/tmp/trace.dat")

    def perf(self) -> None:
        words = "/bin/perf record -a -q -m 8M -e kvmmmu:* -e kvm:* -o /tmp/perf.data"
        pid = self.ask(f"start_program {words}")[0].split()[1]
        self.ask("wait milliseconds=4000")
        self.play()
        print(self.output(f"end_program pid={pid}")[-3:])

    def perf_script(self, *options: str) -> list[str]:
        return self.run("/bin/perf", "script", "-i", "/tmp/perf.data", *options)


def main() -> None:
    kernel, mode, where, *wanted = sys.argv[1:]
    folder = Path(where)
    folder.mkdir(parents=True, exist_ok=True)
    recorder = Recorder(kernel, mode, folder)
    forms: dict[str, Callable[[], list[str] | bytes]] = {
        "tracefs": recorder.tracefs,
        "dat": recorder.trace_dat,
        "report": recorder.report,
        "report-t": lambda: recorder.report("-t"),
        "report-l": lambda: recorder.report("-l"),
        "report-R": lambda: recorder.report("-R"),
        "perf": lambda: (recorder.perf(), recorder.perf_script())[1],
        "perf-F": lambda: recorder.perf_script("-F", "comm,tid,cpu,time,event,trace"),
    }
    with recorder.booted:
        for form, record in forms.items():
            if wanted and form not in wanted:
                continue
            made = record()
            data = made if isinstance(made, bytes) else ("\n".join(made) + "\n").encode()
            (folder / f"{kernel}-{mode}.{form}.xz").write_bytes(lzma.compress(data, preset=9))
            print(form, len(data), flush=True)
    (folder / "initrd").unlink()


if __name__ == "__main__":
    main()
