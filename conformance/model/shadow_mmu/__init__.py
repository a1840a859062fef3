# SPDX-License-Identifier: GPL-2.0-only
"""Shadow paging: page tables that KVM builds after the guest's own, or L1's nested ones.

``translation`` is the packing of shadowed_translation, ``lookup`` says which pages are usable,
``write_track`` which gfns must stay read-only. ``shadow_walk`` is how an address is looked up. ``unsync`` are
pages whose table the guest may write.

``toy`` has what three races of the fast page fault need: one shadow page of a guest with one page table.
"""
