# SPDX-License-Identifier: GPL-2.0-only
"""The guest's own paging, as KVM has to know it: its mode, permissions and reserved bits.

KVM walks the guest's page tables itself: with shadow paging, for nested virtualisation, and whenever it
emulates an instruction. What it needs for that it computes once, when CR0, CR4, EFER or CPUID changes, and
keeps in the MMU of the vCPU. The reading order:

- ``gptes``: one entry of the guest's page tables, in each format;
- ``cpu_role``: the paging mode, from the control registers;
- ``permissions``: which accesses fault, by the rights that the page tables grant;
- ``permission_fault``: whether an access faults, by these, protection keys and EFLAGS.AC;
- ``reserved_bits``: the reserved bits of an entry, by its format and level;
- ``metadata``: all of these, computed anew for a role;
- ``root_role``: the page tables that KVM builds for the guest, with two-dimensional paging;
- ``page_role``: the role of the pages that shadow the guest's tables, from the root downwards;
- ``written_gptes``: which of their entries a write to a table concerns;
- ``self_mapping``: whether a page contains a table that translates it.
"""
