# SPDX-License-Identifier: GPL-2.0-only
"""The guest's page tables in its memory, as KVM reads and writes them.

Read ``gptes`` (one entry, in three formats), ``permission_fault`` (whether rights allow an access) and
``walker`` (the walk, which sets Accessed and Dirty). What decides about them, without memory, is the room
``guest_paging``.
"""
