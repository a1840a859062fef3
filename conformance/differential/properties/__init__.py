# SPDX-License-Identifier: GPL-2.0-only
"""The properties, by module of the model; importing this declares them all."""

# isort: off
# In this order they are reported and stand in fingerprint files.
from conformance.differential.properties import (
    access,
    make_spte,
    masks,
    mmio,
    predicates,
    tdp_write,
    tdp_iter,
    translation,
    writability,
    spte_update,
    guest_paging,
    gptes,
    permission_fault,
    page_roles,
    reserved_bits,
    setup,
)

# isort: on
from conformance.differential.property import PROPERTIES

__all__ = [
    "PROPERTIES",
    "access",
    "gptes",
    "guest_paging",
    "make_spte",
    "masks",
    "mmio",
    "page_roles",
    "permission_fault",
    "predicates",
    "reserved_bits",
    "setup",
    "spte_update",
    "tdp_iter",
    "tdp_write",
    "translation",
    "writability",
]
