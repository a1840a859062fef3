# SPDX-License-Identifier: GPL-2.0-only
"""What three races of the fast page fault need of shadow paging.

Source: Xiao Guangrong's notes in Documentation/virt/kvm/locking.rst, on the mapping from gfn to pfn, on
flushes after write-protection, and on Dirty tracking. Read ``page`` (the state of the races' VM), ``sptes``
(changing one SPTE), ``faults`` (an access of the guest) and ``steps``.
"""
