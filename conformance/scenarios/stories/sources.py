# SPDX-License-Identifier: GPL-2.0-only
"""Documents and commits that are the source of several stories."""

__all__ = ["CHANGE_PTE", "FAST_PAGE_FAULT", "LIVE", "RESTART", "WRITABLE_BITS", "XCHG"]

WRITABLE_BITS = (
    'commit 02844ac1eb34 ("KVM: x86/mmu: Consolidate comments about {Host,MMU}-writable") in v5.18'
)
"""The three reasons why an SPTE may not be writable."""

CHANGE_PTE = (
    'commit c13fda237f08 ("KVM: Assert that notifier count is elevated in .change_pte()") in v5.13, '
    'and the thread "KVM: Wrap kvm_gfn_range.pte in a per-action union" of July 2023'
)
"""Why .change_pte() was dead code."""

FAST_PAGE_FAULT = "Documentation/virt/kvm/locking.rst: fast page fault"
"""What may be fixed without mmu_lock, and why no write is lost."""

XCHG = (
    'commit ba3a6120a4e7 ("KVM: x86/mmu: Use atomic XCHG to write TDP MMU SPTEs with volatile bits") in v5.18'
)
"""Which SPTEs may change although mmu_lock is held."""

RESTART = (
    'commit 3a0f64de479c ("KVM: x86/mmu: Don\'t advance iterator after restart due to yielding") in v5.16'
)
"""How a walk continues after it yielded."""

LIVE = "a guest on a running 6.1 kernel, traced by kvmmmu tracepoints"
"""Observed without any oracle of this suite."""
