# SPDX-License-Identifier: GPL-2.0-only
"""How KVM is loaded for a host: the vendor's module and the parameters of both modules."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from conformance.interface.live import LOW_STUB_GFNS, STUB_GFN
from conformance.oracles.live.memory import ADDRESS

__all__ = ["Setting", "setting_of"]

_LOW_HALF = 0xFFFFFFFF
_LOW_PAGE = _LOW_HALF >> 12
_SHADOW_HANDLERS = ("paging64_page_fault", "paging32_page_fault", "nonpaging_page_fault")
_YES = {0: "N", 1: "Y"}


@dataclass(frozen=True)
class Setting:
    """How KVM is loaded: the vendor's module, parameters of kvm and of that, the handlers of page faults."""

    vendor: str = "kvm_amd"
    kvm: Mapping[str, str] = field(default_factory=dict)
    parameters: Mapping[str, str] = field(default_factory=dict)
    handlers: tuple[str, ...] = ("kvm_tdp_page_fault",)
    shadow_pages: bool = False
    """Whether its tables are shadow pages: those of the guest's own tables, or of the legacy direct MMU."""
    own_tables: bool = False
    """Whether the guest's page tables are those of the story, for shadow paging."""

    def is_own_gfn(self, gfn: int) -> bool:
        """Whether a gfn is of the memory that the guest needs for its own code."""
        return gfn in LOW_STUB_GFNS if self.own_tables else gfn >= STUB_GFN

    def is_own_page(self, page: int) -> bool:
        """Whether the page of an address is: a linear one if the guest's tables are those of the story."""
        return self.is_own_gfn(page & _LOW_PAGE if self.own_tables else page)

    def without_own(self, word: int) -> int:
        """A word of memory, without the entry by which the guest reaches its own code."""
        halves = (word & _LOW_HALF, word & ~_LOW_HALF)
        if self.is_own_gfn((word & ADDRESS) >> 12):
            return 0
        return halves[1] if halves[0] and self.is_own_gfn(halves[0] >> 12) else word

    def with_pml(self, pml: int) -> dict[str, str]:
        """The parameters of the vendor's module if VMs use page modification logging, or do not."""
        return {**self.parameters, **({"pml": _YES[pml]} if self.vendor == "kvm_intel" else {})}


def setting_of(host: Mapping[str, int]) -> Setting:
    """The setting for a host; ``host`` is as oracles get it (Mode.host())."""
    kvm = {"tdp_mmu": _YES[host["tdp_mmu"]], "mmio_caching": _YES[host["mmio_caching"]]}
    if not host["tdp"]:
        return Setting("kvm_amd", kvm, {"npt": "N"}, _SHADOW_HANDLERS, shadow_pages=True, own_tables=True)
    shadow_pages = not host["tdp_mmu"]
    if host["ept"]:
        return Setting("kvm_intel", kvm, {"eptad": _YES[host["ad_bits"]]}, shadow_pages=shadow_pages)
    return Setting("kvm_amd", kvm, shadow_pages=shadow_pages)
