# SPDX-License-Identifier: GPL-2.0-only
"""How to record what is checked: command lines for trace-cmd, perf, tracefs and bpftrace."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path

__all__ = ["SCRIPT", "recording"]

SCRIPT = Path(__file__).with_name("record.bt")
"""The bpftrace script."""

_KVM = ("kvm_page_fault", "kvm_entry", "kvm_mmio", "vcpu_match_mmio", "kvm_emulate_insn", "kvm_inj_exception")
_WAIT = ("sleep", "60")


def recording(command: Sequence[str]) -> str:
    """The lines that record while ``command`` runs; without one, for a minute."""
    what = shlex.join(command or _WAIT)
    events = ["kvmmmu", *(f"kvm:{name}" for name in _KVM)]
    commands = " ".join(f"-e {event}" for event in events)
    perf = " ".join(f"-e '{event if ':' in event else event + ':*'}'" for event in events)
    names = "kvmmmu " + " ".join(f"kvm/{name}" for name in _KVM)
    return f"""\
# As root on the host. kvm.ko and its vendor module must be loaded before.

# trace-cmd: trace.dat has every field as a number, and is read by 'conformance trace trace.dat'.
trace-cmd record -b 20480 {commands} -o trace.dat {what}

# perf: pass on what 'perf script' prints.
perf record -a -m 8M {perf} -o perf.data -- {what}
perf script -i perf.data > trace.txt

# tracefs, without any tool.
cd /sys/kernel/tracing && echo 0 > tracing_on && echo 20480 > buffer_size_kb && echo > trace
for event in {names}; do echo 1 > events/$event/enable; done
echo 1 > tracing_on; {what}; echo 0 > tracing_on
cat trace > /tmp/trace.txt

# bpftrace: a script in this package.
bpftrace -c {shlex.quote(what)} {shlex.quote(str(SCRIPT))} > trace.txt
"""
