# SPDX-License-Identifier: GPL-2.0-only
"""How a machine ended: what is the kernel's doing, and what the suite or the system lacks."""

from __future__ import annotations

import os
import pickle
import re
import resource
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from conformance.model.modes import MODES
from conformance.oracles.kvm.deaths import KernelDied, death_of, not_initialised
from conformance.oracles.kvm.interface import Death, Exchange
from conformance.oracles.kvm.oracle import KvmOracle
from conformance.oracles.lacking import Lacking, no_process
from conformance.sandbox.watching import descendants

C = Path(__file__).parents[2] / "conformance/oracles/kvm/c"


def ended(
    tmp_path: Path, death: Death, what: bytes = b"", number: int = 0, code: int = 1
) -> KernelDied | Lacking:
    (tmp_path / "symbols").write_text("100 kvm_arch_thing\n200 other\n")
    exchange = Exchange(death=death, what=what, number=number, at=0x110)
    return death_of(exchange, tmp_path / "kvm.so", 10, code)


@pytest.mark.parametrize(
    ("death", "what", "number", "how"),
    [
        (Death.BUG, b"make_spte", 0, "BUG in make_spte"),
        (Death.SIGNAL, b"", 11, "died of SIGSEGV in kvm_arch_thing"),
        (Death.SIGNAL, b"", 7, "died of SIGBUS in kvm_arch_thing"),
        (Death.HUNG, b"", 0, "did not come back within 10 s of processor time (in kvm_arch_thing)"),
        (Death.BROKEN, b"waits for what no other task will do", 0, "waits for what no other task will do"),
    ],
)
def test_the_kernel_s_own_end(tmp_path: Path, death: Death, what: bytes, number: int, how: str) -> None:
    died = ended(tmp_path, death, what, number)
    assert isinstance(died, KernelDied) and died.how.startswith(how)
    assert died.hung is (death in (Death.HUNG, Death.BROKEN))


@pytest.mark.parametrize(
    ("death", "what", "number", "sentence"),
    [
        (
            Death.MISSING,
            b"foo",
            0,
            r"nothing stands in for foo, which kvm_arch_thing wants\. It is to be added",
        ),
        (
            Death.LIMIT,
            b"too many locks are held",
            0,
            r"too many locks are held \(in kvm_arch_thing\)\. That is",
        ),
        (Death.SIGNAL, b"", 9, r"the machine's process was ended by SIGKILL\. Free memory"),
    ],
)
def test_what_the_suite_or_the_system_lacks(
    tmp_path: Path, death: Death, what: bytes, number: int, sentence: str
) -> None:
    died = ended(tmp_path, death, what, number)
    assert isinstance(died, Lacking) and re.match(sentence, str(died))
    assert str(pickle.loads(pickle.dumps(died))) == str(died)


@pytest.mark.parametrize(
    ("death", "code", "how"),
    [
        (Death.ALIVE, 0, "broke off: it ended its process with status 0"),
        (Death.ALIVE, 7, "broke off: it ended its process with status 7"),
        (Death.ALIVE, -31, "broke off: it made a system call"),
        (Death.ALIVE, -40, "died of signal 40"),
        (Death.ALIVE, -7, "died of SIGBUS"),
        (Death.LIMIT, -31, "broke off: it made a system call"),
        (4711, 1, "broke off: it ended its process with status 1"),
    ],
)
def test_kernel_code_that_breaks_off_is_a_finding(tmp_path: Path, death: Death, code: int, how: str) -> None:
    died = ended(tmp_path, death, code=code)
    assert isinstance(died, KernelDied) and died.how.startswith(how)


def test_what_kernel_code_wrote_steers_no_terminal(tmp_path: Path) -> None:
    assert str(ended(tmp_path, Death.BUG, b"\x1b[2Jfoo\x07\xff")) == "BUG in ?[2Jfoo?\ufffd"


@pytest.mark.parametrize("code", [-9, -15])
def test_a_process_that_is_ended_from_outside_is_no_finding(tmp_path: Path, code: int) -> None:
    assert isinstance(ended(tmp_path, Death.ALIVE, code=code), Lacking)


def test_a_machine_that_cannot_be_made_says_what_the_system_refuses() -> None:
    assert "does not map the memory" in str(not_initialised(1))
    assert str(not_initialised(-22)).startswith(
        "initialising KVM failed with -22 (Invalid argument). This kernel"
    )
    assert "for kernel code was ended by SIGKILL" in str(no_process(-9))
    assert "no process (Cannot allocate memory)" in str(no_process(OSError(12, "Cannot allocate memory")))


def test_every_end_in_c_is_of_a_kind() -> None:
    """What our tables have no room for is a limit of ours; that the kernel goes on for ever is not."""
    kinds = dict(
        match.groups()[::-1]
        for path in C.rglob("*.c")
        for match in re.finditer(r'env_die\((ENV_\w+), "([^"]+)"', path.read_text())
    )
    own = {what for what, kind in kinds.items() if kind == "ENV_BROKEN"}
    assert own == {"waits for what no other task will do", "a schedule does not end"}
    assert {kind for what, kind in kinds.items() if "too many" in what or "full" in what} == {"ENV_LIMIT"}
    numbers = re.search(r"enum env_death \{(.*?)\};", (C / "process/exchange.h").read_text(), re.S)
    assert numbers
    names = re.findall(r"ENV_(\w+)", numbers[1])
    assert names == [death.name for death in Death][: len(names)]


@pytest.mark.kernel
def test_a_process_without_memory_is_no_finding(kvm_library: Path, tmp_path: Path) -> None:
    script = tmp_path / "limited.py"
    script.write_text(
        "import sys\n"
        "from pathlib import Path\n"
        "from conformance.model.modes import MODES\n"
        "from conformance.oracles.kvm.oracle import KvmOracle\n"
        "from conformance.oracles.lacking import Lacking\n"
        "try:\n"
        "    KvmOracle(Path(sys.argv[1]), MODES['ept-ad'].host())\n"
        "except Lacking as lacking:\n"
        "    print(lacking)\n"
    )

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30))

    done = subprocess.run(
        [sys.executable, str(script), str(kvm_library)], preexec_fn=limit, capture_output=True, text=True
    )
    assert done.stdout.startswith("KVM could not be initialised: the system does not map the memory"), done


@pytest.mark.kernel
def test_a_process_that_is_killed_is_no_finding(kvm_library: Path) -> None:
    with KvmOracle(kvm_library, MODES["ept-ad"].host()) as machine:
        server = machine._server
        assert server is not None
        *_, last = descendants(server._conversation._process.pid)
        os.kill(last, signal.SIGKILL)
        with pytest.raises(Lacking, match="ended by SIGKILL"):
            machine.step("grace_period")
