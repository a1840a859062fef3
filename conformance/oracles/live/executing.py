# SPDX-License-Identifier: GPL-2.0-only
"""The outcome of an instruction of a guest with tables of its own; see ExecuteOutcome.

The level and the frame of the translation by which it completed are not known: they are 0.
"""

from __future__ import annotations

from conformance.interface.access import MMIO_EXIT, End, Exit
from conformance.oracles.lacking import Lacking
from conformance.oracles.live.outcomes import Answer, Faults

__all__ = ["execute_outcome"]

_ENDS = {
    "done": End.DONE,
    "exception": End.EXCEPTION,
    "exit": End.USERSPACE,
    "failed": End.FAILED,
    "stuck": End.GAVE_UP,
}


def execute_outcome(answer: Answer, faults: Faults) -> list[int]:
    """The exits, each with its error code, the end, and three words about it."""
    ends = [line for line in answer.lines if line[0] in _ENDS]
    if not ends:
        raise Lacking("the agent of the machine did not say how an instruction ended")
    how, *rest = ends[-1]
    end, words = _ENDS[how], [int(word) for word in rest]
    codes = [_retried(code) for code in faults.codes[:-1]] + faults.codes[-1:]
    if end is End.FAILED:
        words = [-(faults.error or words[0]), 0, 0]
        codes += [-faults.error] if faults.error else []
    elif end is End.DONE and codes and codes[-1] % MMIO_EXIT == Exit.EMULATE:
        end = End.EMULATED
    exits = [number for pair in zip(faults.error_codes, codes, strict=True) for number in pair]
    return [*exits, int(end), *words]


def _retried(code: int) -> int:
    """The code of an exit after which KVM began to emulate, and had the instruction executed again."""
    return code + Exit.UNPROTECTED - Exit.EMULATE if code % MMIO_EXIT == Exit.EMULATE else code
