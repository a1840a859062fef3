# SPDX-License-Identifier: GPL-2.0-only
"""The outcome of a step, from the agent's answer and from the trace of page faults."""

from __future__ import annotations

import errno
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from conformance.interface.access import MMIO_EXIT, End, Exit
from conformance.oracles.lacking import Lacking

__all__ = ["Answer", "Faults", "access_outcome", "read_answer", "read_faults"]

_FAULT = re.compile(r"fault: .*\baddress=0x([0-9a-f]+) error_code=0x([0-9a-f]+)")
_EMULATED = re.compile(r"kvm_emulate_insn: ")
_FLUSHED = re.compile(r"flushed: ")
_HANDLED = re.compile(r"handled: .*\bret=(-?[0-9]+)")
_PROTECTED = "WRITE_PROTECTED"
_PRESENT = 1 << 0
_RESERVED = 1 << 3
"""PFERR_RSVD_MASK: the SPTE is an MMIO SPTE."""


@dataclass(frozen=True)
class Answer:
    """The agent's answer: its lines by their first word, and the trace."""

    lines: Sequence[Sequence[str]]
    trace: Sequence[str]

    def code(self) -> list[int]:
        """The code, if it has one."""
        return [int(line[1]) for line in self.lines if line[0] == "code"][:1]

    def entered(self) -> int:
        """The code of an entry that a pending signal ended, as it should: 0, or a negative errno."""
        failed = [int(line[1]) for line in self.lines if line[0] == "failed"]
        if not failed:
            raise Lacking("a vCPU entered the guest although a signal was pending")
        return 0 if failed[-1] == errno.EINTR else -failed[-1]

    def words(self) -> dict[int, int]:
        """The words of a bitmap that are not 0, by their indices."""
        return {int(line[1]): int(line[2]) for line in self.lines if line[0] == "word"}


def read_answer(lines: Iterable[str]) -> Answer:
    """The answer in parts."""
    said: list[list[str]] = []
    trace = []
    for line in lines:
        word, _, rest = line.partition(" ")
        if word == "trace":
            trace.append(rest)
        else:
            said.append(line.split())
    return Answer(said, trace)


@dataclass
class Faults:
    """The page faults of a step: those of the story by their codes, those of the guest's own memory."""

    codes: list[int] = field(default_factory=list)
    """Of each: how KVM handled it, as in AccessOutcome."""
    error_codes: list[int] = field(default_factory=list)
    """Of each, and of one that KVM failed to handle: its error code."""
    error: int = 0
    """The errno with which handling the last one failed, or 0."""
    own: int = 0
    """Of the guest's own memory: handled."""
    own_fixed: int = 0
    own_spurious: int = 0
    own_flushes: int = 0
    """Flushes that were requested meanwhile."""


def read_faults(trace: Sequence[str], names: Mapping[int, str], own: Callable[[int], bool]) -> Faults:
    """The page faults in a trace; ``names`` are those of RET_PF_* by their numbers in this kernel.

    ``own`` says whether the page of an address is of the guest's own memory.

    A fault with a reserved bit met an MMIO SPTE. If no handler follows, KVM emulated the access at once.
    A write-protected fault is emulated or retried.
    """
    found = Faults()
    pending: tuple[int, int] | None = None
    protected = False
    for line in trace:
        fault, handled = _FAULT.search(line), _HANDLED.search(line)
        if fault is not None:
            _emulated(found, pending, own)
            pending = int(fault[1], 16) >> 12, int(fault[2], 16)
            protected = False
        elif handled is not None and pending is not None:
            result = int(handled[1])
            protected = names.get(result) == _PROTECTED and not own(pending[0])
            _handled(found, pending, result, names, own)
            pending = None
        elif pending is not None and own(pending[0]) and _FLUSHED.search(line):
            found.own_flushes += 1
        elif protected and _EMULATED.search(line):
            found.codes[-1] += Exit.EMULATE - Exit.RETRY
            protected = False
    _emulated(found, pending, own)
    return found


def _handled(
    found: Faults, fault: tuple[int, int], result: int, names: Mapping[int, str], own: Callable[[int], bool]
) -> None:
    page, error_code = fault
    if own(page):
        found.own += 1
        found.own_fixed += names.get(result) == "FIXED"
        found.own_spurious += names.get(result) == "SPURIOUS"
        return
    found.error_codes.append(_completed(error_code))
    if result < 0:
        found.error = -result
    else:
        name = names.get(result, str(result))
        name = "RETRY" if name == _PROTECTED else name
        if name not in Exit.__members__:
            raise Lacking(f"this kernel handles page faults in a way that is not known here (RET_PF_{name})")
        found.codes.append(int(Exit[name]) + (MMIO_EXIT if error_code & _RESERVED else 0))


def _completed(error_code: int) -> int:
    """The error code as processors have it: that of a reserved bit says that the entry is present.

    QEMU leaves that out.
    """
    return error_code | _PRESENT if error_code & _RESERVED else error_code


def _emulated(found: Faults, fault: tuple[int, int] | None, own: Callable[[int], bool]) -> None:
    """An MMIO SPTE of the right generation: no handler of page faults was called."""
    if fault is not None and fault[1] & _RESERVED and not own(fault[0]):
        found.error_codes.append(_completed(fault[1]))
        found.codes.append(MMIO_EXIT + int(Exit.EMULATE))


def access_outcome(answer: Answer, faults: Faults) -> list[int]:
    """The exits of an access and its end; see AccessOutcome."""
    ends = [line for line in answer.lines if line[0] in ("done", "failed", "exit", "stuck")]
    if not ends:
        raise Lacking("the agent of the machine did not say how an access ended")
    how, *more = ends[-1]
    if how == "failed":
        return [*faults.codes, -(faults.error or int(more[0])), int(End.FAILED)]
    if faults.codes and faults.codes[-1] % MMIO_EXIT == Exit.EMULATE:
        return [*faults.codes, int(End.EMULATED)]
    if how == "exit":
        return [*faults.codes, int(more[0]), int(End.USERSPACE)]
    return [*faults.codes, int(End.GAVE_UP if how == "stuck" else End.DONE)]
