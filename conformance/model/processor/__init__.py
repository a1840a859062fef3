# SPDX-License-Identifier: GPL-2.0-only
"""The processor, which obeys the hardware bits of SPTEs and nothing else.

Read ``guest`` (one access of the guest, with the exits that it causes), ``processor`` (TLB, page walk,
Accessed and Dirty, error codes, PML) and ``linear`` (the same for linear addresses, with shadow paging);
``instruction`` is one instruction of the guest at an address, with its operand.
"""
