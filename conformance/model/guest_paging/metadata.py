# SPDX-License-Identifier: GPL-2.0-only
"""What KVM keeps about the guest's page tables, computed anew when the guest's role changes."""

from __future__ import annotations

from typing import NamedTuple

from conformance.model.guest_paging.permissions import update_permission_bitmask, update_pkru_bitmask
from conformance.model.guest_paging.reserved_bits import reset_guest_rsvds_bits_mask
from conformance.model.semantics import Semantics
from conformance.model.words import Truth, Word, no, when

__all__ = ["Metadata", "is_cr4_pae", "reset_guest_paging_metadata"]


class Metadata(NamedTuple):
    """Of an access to a user page: whether it faults, its rights of the key; and a PTE's reserved bits."""

    fault: Truth
    key_rights: Word
    reserved: Word


def reset_guest_paging_metadata(
    k: Semantics,
    error_code: Word,
    access: Word,
    level: Word,
    *,
    cr4_smap: Truth | bool,
    cr4_pke: Truth | bool,
    reserved_gpa_bits: Word,
) -> Metadata:
    """Compute permissions, protection keys and reserved bits of a role with ``level`` levels.

    Without paging (``level`` 0) all stays as it was, here 0. The role has no bits but those that are given.
    """
    paging = level != 0
    fault = update_permission_bitmask(
        k,
        error_code,
        access,
        tdp=False,
        ept=False,
        cr4_smep=False,
        cr4_smap=cr4_smap,
        cr0_wp=False,
        efer_nx=False,
    )
    rights = update_pkru_bitmask(k, error_code, 0, cr4_pke=cr4_pke, cr0_wp=False, of_user=True)
    pte = reset_guest_rsvds_bits_mask(
        k,
        1,
        False,
        root_level=level,
        reserved_gpa_bits=reserved_gpa_bits,
        efer_nx=False,
        cr4_pse=False,
        gbpages=False,
        amd=False,
    )
    return Metadata(paging & fault, when(paging, rights), when(paging, pte.mask))


def is_cr4_pae(k: Semantics, has_4_byte_gpte: Truth) -> Truth:
    """Whether the guest's entries have eight bytes: CR4.PAE, or no paging at all."""
    return no(has_4_byte_gpte)
