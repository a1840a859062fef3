# SPDX-License-Identifier: GPL-2.0-only
"""Which accesses fault after a walk of the guest's page tables that found a translation.

The rules are those of the Intel SDM, volume 3, "Determination of access rights" and "Protection keys", and
"EPT violations" for the tables of a nested guest. KVM looks the answer up in a bitmap, by the error code of
the access and by the rights that all entries of the walk grant.
"""

from __future__ import annotations

from conformance.model.changes import ACC_READ, EPT_XU_RESERVED_BITS, NPT_GMET, PKRU_MASK_RESET
from conformance.model.semantics import Semantics
from conformance.model.spte.writability import PFERR_FETCH_MASK, PFERR_USER_MASK, PFERR_WRITE_MASK
from conformance.model.words import Truth, Word, any_set, either, no, when

__all__ = ["SMAP_OFF", "update_permission_bitmask", "update_pkru_bitmask", "update_spte_permission_bitmask"]

SMAP_OFF = 1 << 3
"""In the index of the bitmap: SMAP does not apply, since EFLAGS.AC is set and the access is explicit.

It takes the place of the error code's reserved bit, which no walk that succeeds sets.
"""


def update_permission_bitmask(
    k: Semantics,
    error_code: Word,
    access: Word,
    *,
    tdp: Truth | bool,
    ept: Truth | bool,
    cr4_smep: Truth | bool,
    cr4_smap: Truth | bool,
    cr0_wp: Truth | bool,
    efer_nx: Truth | bool,
) -> Truth:
    """Whether the MMU's permission bitmap has a fault for an access to a page with the rights ``access``.

    ``error_code`` has the bits write, user, fetch and SMAP_OFF, ``access`` the ACC_* bits. ``tdp`` says that
    the tables are the second stage of a nested guest, ``ept`` that their format is EPT. For those,
    ``cr4_smep`` stands for mode-based execute control (EPT) or guest mode execute trap (NPT).
    """
    if k.has(ACC_READ):
        readable = any_set(access, k.layout.acc_read_mask)
    else:
        # Pages of ordinary tables are readable; of EPT, KVM keeps R as the right of users.
        readable = any_set(access, k.layout.acc_user_mask) | no(ept)
    rights = (
        readable,
        any_set(access, k.layout.acc_write_mask),
        any_set(access, k.layout.acc_exec_mask),
        any_set(access, k.layout.acc_user_mask),
    )
    return either(
        ept,
        _ept_violation(k, error_code, rights, by_mode=cr4_smep),
        _page_fault(
            k, error_code, rights, tdp=tdp, smep=cr4_smep, smap=cr4_smap, write_protect=cr0_wp, nx=efer_nx
        ),
    )


def update_spte_permission_bitmask(
    k: Semantics,
    error_code: Word,
    access: Word,
    *,
    tdp: Truth | bool,
    ept: Truth | bool,
    cr4_smep: Truth | bool,
) -> Truth:
    """Whether the bitmap of KVM's own tables has a fault for an access to an SPTE with the rights ``access``.

    Their format is that of ``update_permission_bitmask()``, and KVM always runs a guest with CR0.WP and
    EFER.NX; SMAP is not looked at. ``cr4_smep`` is the root's.
    """
    return update_permission_bitmask(
        k,
        error_code,
        access,
        tdp=tdp,
        ept=ept,
        cr4_smep=cr4_smep,
        cr4_smap=False,
        cr0_wp=True,
        efer_nx=True,
    )


_Rights = tuple[Truth, Truth, Truth, Truth]
"""Whether a page is readable, writable, executable, and accessible by users."""


def _ept_violation(k: Semantics, error_code: Word, rights: _Rights, *, by_mode: Truth | bool) -> Truth:
    """Whether an access lacks its right. ``by_mode``: users have a right to execute of their own."""
    readable, writable, executable, of_user = rights
    write, fetch = any_set(error_code, PFERR_WRITE_MASK), any_set(error_code, PFERR_FETCH_MASK)
    user = any_set(error_code, PFERR_USER_MASK)
    if k.has(EPT_XU_RESERVED_BITS):
        executable = either(user & by_mode, of_user, executable)
    # Before reading had a bit in access, KVM reported reads of EPT as user accesses.
    read = no(write | fetch) if k.has(ACC_READ) else user
    return (read & no(readable)) | (write & no(writable)) | (fetch & no(executable))


def _page_fault(
    k: Semantics,
    error_code: Word,
    rights: _Rights,
    *,
    tdp: Truth | bool,
    smep: Truth | bool,
    smap: Truth | bool,
    write_protect: Truth | bool,
    nx: Truth | bool,
) -> Truth:
    """Whether an access through ordinary page tables, or those of NPT, is a page fault."""
    readable, writable, executable, of_user = rights
    write, fetch = any_set(error_code, PFERR_WRITE_MASK), any_set(error_code, PFERR_FETCH_MASK)
    user = any_set(error_code, PFERR_USER_MASK)
    supervisor_to_user_page = no(user) & of_user

    forbidden = (write & no(writable) & (user | write_protect)) | (fetch & no(executable) & nx)
    forbidden = forbidden | (no(write | fetch) & no(readable))
    user_to_supervisor_page = user & no(of_user)
    if k.has(NPT_GMET):
        # With guest mode execute trap, U/S of a nested page concerns fetches by the supervisor only.
        user_to_supervisor_page = user_to_supervisor_page & no(tdp & smep)
    prevented = supervisor_to_user_page & either(fetch, smep, no(any_set(error_code, SMAP_OFF)) & smap)
    return forbidden | user_to_supervisor_page | prevented


def update_pkru_bitmask(
    k: Semantics,
    error_code: Word,
    before: Word,
    *,
    cr4_pke: Truth | bool,
    cr0_wp: Truth | bool,
    of_user: Truth | bool,
) -> Word:
    """The rights that an access needs of the page's protection key: bit 0 access (AD), bit 1 write (WD).

    Keys apply to data accesses to user pages (``of_user``), by the supervisor too, in long mode with CR4.PKE.
    WD does not bind the supervisor while CR0.WP is clear. ``before`` are the rights by the last role. Until
    a3ca5281bb77 in v5.15 they were added, so that WD bound the supervisor even after CR0.WP was cleared.
    """
    write, user = any_set(error_code, PFERR_WRITE_MASK), any_set(error_code, PFERR_USER_MASK)
    keyed = cr4_pke & of_user & no(any_set(error_code, PFERR_FETCH_MASK))
    needed = when(keyed, 1) | when(keyed & write & (user | cr0_wp), 2)
    return needed if k.has(PKRU_MASK_RESET) else needed | when(cr4_pke, before)
