# SPDX-License-Identifier: GPL-2.0-only
"""Why a machine ended: through the kernel, or through something that the suite or the system lacks."""

from __future__ import annotations

import bisect
import os
from pathlib import Path

from conformance.errors import KernelCodeDied
from conformance.oracles.kvm.interface import Death, Exchange
from conformance.oracles.kvm.symbols import symbols_of
from conformance.oracles.lacking import FROM_OUTSIDE, MEMORY, Lacking, broke_off, signal_name, written

__all__ = ["KernelDied", "death_of", "not_initialised", "not_made"]

_ADD = (
    "It is to be added to conformance/oracles/kvm/standins.toml, or to c/ there if it has behaviour,"
    " with the reason why it is faithful."
)
_REPORT = "That is a limit of the suite, not of the kernel: please report it."

_BEFORE = {
    1: "the system does not map the memory that the machine needs, without taking it yet",
    2: "the system does not let signals be handled",
    3: "the base address of %gs is not 0 in a process of this system",
}
"""What failed, by the positive number that kvm_boot() returns."""


class KernelDied(KernelCodeDied):
    """Kernel code ended the machine, or did not return in time (``hung``)."""

    def __init__(self, how: str, hung: bool = False) -> None:
        super().__init__(how, hung)
        self.hung = hung


def death_of(exchange: Exchange, library: Path, patience: float, code: int) -> KernelDied | Lacking:
    """Why the machine has ended, by its exit code and by the exchange.

    The exchange is untrusted: kernel code can write to it.
    """
    how = broke_off(code)
    if code < 0 or exchange.death not in _REPORTED:
        return how if isinstance(how, Lacking) else KernelDied(how)
    what = written(exchange.what)
    place = _place(library, exchange.at)
    death = exchange.death
    if death == Death.BUG:
        return KernelDied(f"BUG in {what}")
    if death == Death.HUNG:
        how = f"did not come back within {patience:g} s of processor time (in {place})"
        return KernelDied(how, hung=True)
    if death == Death.BROKEN:
        return KernelDied(what, hung=True)
    if death == Death.MISSING:
        return Lacking(f"nothing stands in for {what}", f", which {place} wants", _ADD)
    if death == Death.LIMIT:
        return Lacking(what, f" (in {place})" if exchange.at else "", _REPORT)
    if exchange.number in FROM_OUTSIDE:
        return Lacking(f"the machine's process was ended by {signal_name(exchange.number)}", "", MEMORY)
    return KernelDied(f"died of {signal_name(exchange.number)} in {place} (address {exchange.address:#x})")


_REPORTED = {Death.BUG, Death.HUNG, Death.BROKEN, Death.MISSING, Death.LIMIT, Death.SIGNAL}


def not_initialised(error: int) -> Lacking:
    """Why KVM was not initialised, by the value that kvm_boot() returned."""
    if error in _BEFORE:
        return Lacking(f"KVM could not be initialised: {_BEFORE[error]}", "", MEMORY)
    return Lacking(f"initialising KVM failed with {_error(error)}", "", _REFUSED)


def not_made(error: int) -> Lacking:
    """Why no VM was created, by the kernel's error."""
    return Lacking(f"creating a VM failed with {_error(error)}", "", _REFUSED)


_REFUSED = "This kernel refuses what the environment has, so that nothing could be compared."


def _error(error: int) -> str:
    return f"{error} ({os.strerror(-error)})" if error < 0 else str(error)


def _place(library: Path, offset: int) -> str:
    """The function that an offset into the library lies in."""
    symbols = symbols_of(library)
    index = bisect.bisect_right(symbols, (offset, "\x7f")) - 1
    if index < 0 or offset >= 1 << 40:
        return f"{offset:#x}"
    return symbols[index][1]
