# SPDX-License-Identifier: GPL-2.0-only
"""How KVM is loaded for a host: the vendor's module and the parameters of both modules."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

__all__ = ["Setting", "setting_of"]

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

    def with_pml(self, pml: int) -> dict[str, str]:
        """The parameters of the vendor's module if VMs use page modification logging, or do not."""
        return {**self.parameters, **({"pml": _YES[pml]} if self.vendor == "kvm_intel" else {})}


def setting_of(host: Mapping[str, int]) -> Setting:
    """The setting for a host with two-dimensional paging; ``host`` is as oracles get it (Mode.host())."""
    kvm = {"tdp_mmu": _YES[host["tdp_mmu"]], "mmio_caching": _YES[host["mmio_caching"]]}
    shadow_pages = not host["tdp_mmu"]
    if host["ept"]:
        return Setting("kvm_intel", kvm, {"eptad": _YES[host["ad_bits"]]}, shadow_pages=shadow_pages)
    return Setting("kvm_amd", kvm, shadow_pages=shadow_pages)
