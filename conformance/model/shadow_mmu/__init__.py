# SPDX-License-Identifier: GPL-2.0-only
"""Shadow paging: page tables that KVM builds after the guest's own, or L1's nested ones.

``translation`` is the packing of shadowed_translation, and ``shadowed`` keeps it in pages. ``sptes`` changes
one SPTE, ``rmap`` is how the SPTEs of a gfn are found. ``lookup`` says which pages are usable,
``write_track`` which gfns must stay read-only, ``write_protect`` makes them so, ``accounting`` is what a page
counts for. ``unsync`` are pages whose table the guest may write. ``zap`` takes pages out of use,
``shadow_pages`` finds or creates and links them, ``limits`` zaps the oldest, ``zap_all`` all of them.
``shadow_walk`` is how an address is looked up, ``map`` how a page is mapped.

Then what concerns the guest's tables: ``gptes`` are their entries, ``fetch`` shadows those of a fault,
``prefetch`` maps entries around it, and ``mmio_sptes`` are entries without a memslot. ``sync`` and
``sync_roots`` take over what the guest has written without an exit, ``pte_write`` what KVM has written for
it, and ``invlpg`` is of one address. ``unprotect`` gives a gfn back that is no table any more.

Operations on both MMUs: ``roots`` loads roots, ``free_roots`` drops them, ``root_cache`` keeps some.
``gfn_ranges`` is what the host's notifier calls do, ``huge_pages`` splits and recovers, and
``nx_huge_pages`` is the mitigation of an erratum.
"""
