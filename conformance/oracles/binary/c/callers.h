/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Functions that the compiler folded into others, reached through one that stands alone.  What that does
 * besides is left out by taking over what it calls; its own WARNs are no events of what is asked about.
 */

#ifndef HAVE_kvm_tdp_mmu_write_spte
#ifdef HAVE___handle_changed_spte
#define shim_handler	__handle_changed_spte
#elif defined(HAVE_handle_changed_spte)
#define shim_handler	handle_changed_spte
#endif

#if defined(shim_handler) && \
	(defined(HAVE___tdp_mmu_set_spte) || defined(HAVE_tdp_mmu_link_sp) || \
	 defined(HAVE_tdp_mmu_split_huge_page))
static u64 shim_new_spte, shim_old_spte;

static u64 shim_make_nonleaf_spte(u64 *child, bool ad_disabled)
{
	return shim_new_spte;
}

#if !defined(HAVE___tdp_mmu_set_spte) && !defined(HAVE_tdp_mmu_link_sp)
static u64 shim_make_small_spte(void)
{
	return 0;
}
#endif

/* Told of a change right after it was made: the fourth argument is what the write gave. */
static void shim_changed(void *kvm, void *sp, gfn_t gfn, u64 old_spte)
{
	shim_old_spte = old_spte;
	__builtin_longjmp(shim_bug_return, 1);
}

/* What the write gives, after old, new and level were handed to it; memory and accesses as in tdp.h. */
static u64 shim_write(const u64 *in, u64 *out, u64 old, u64 new, int level)
{
	u64 *word = shim_watch(in[0], in[0]);

	shim_events_muted = 1;
	shim_patch(0, shim_handler, shim_changed);
#ifdef HAVE___tdp_mmu_set_spte
	SHIM_MAY_BUG(__tdp_mmu_set_spte(&shim_kvm, 0, word, old, new, 0, level, false, false));
#else
	/* Whatever table this would link, the SPTE that points to it is the case's. */
	static struct kvm_mmu_page sp;
	struct tdp_iter iter = { .sptep = word, .old_spte = old, .level = level };

	shim_new_spte = new;
	shim_patch(1, make_nonleaf_spte, shim_make_nonleaf_spte);
#ifdef HAVE_tdp_mmu_link_sp
	SHIM_MAY_BUG(tdp_mmu_link_sp(&shim_kvm, &iter, &sp, false));
#else
	/* It fills the table first. */
	sp.spt = (u64 *)shim_memory;
	shim_patch(2, make_small_spte, shim_make_small_spte);
	SHIM_MAY_BUG(tdp_mmu_split_huge_page(&shim_kvm, &iter, &sp, false));
	shim_patch(2, NULL, NULL);
#endif
	shim_patch(1, NULL, NULL);
#endif
	shim_patch(0, NULL, NULL);
	shim_events_muted = 0;
	out[2] = shim_watched(&out[1]);
	return shim_old_spte;
}

/* memory, old, new, level */
SHIM(kvm_tdp_mmu_write_spte, 4, 3) { out[0] = shim_write(in, out, in[1], in[2], in[3]); }

/*
 * Which of its two writes it takes, the atomic one if the old SPTE may change under it: one that is
 * MMU-writable and not writable may, one that is not present may not.
 */
SHIM(kvm_tdp_mmu_write_spte_atomic, 2, 3)
{
	u64 old = BIT_ULL(11) | shadow_host_writable_mask | shadow_mmu_writable_mask;

	out[0] = shim_write(in, out, old, in[1], PG_LEVEL_4K);
}

SHIM(__kvm_tdp_mmu_write_spte, 2, 3) { shim_write(in, out, SHIM_NONPRESENT, in[1], PG_LEVEL_4K); }

#ifndef HAVE___tdp_mmu_set_spte
/* old, level: whether the write that it decides about is atomic. */
SHIM(kvm_tdp_mmu_spte_need_atomic_write, 2, 1)
{
	const u64 memory[] = { 0 };
	u64 wrote[3];

	shim_write(memory, wrote, in[0], 0, in[1]);
	out[0] = wrote[2] == 1 << 8;
}
#endif
#endif
#endif

#if defined(HAVE_sync_mmio_spte) && defined(HAVE_mark_mmio_spte) && !defined(HAVE_is_mmio_spte)
static void shim_mark_mmio_spte(void)
{
}

/* It has something to do with an SPTE if that is of MMIO, and then says so. */
SHIM(is_mmio_spte, 1, 1)
{
	u64 spte = in[0];

	shim_patch(0, mark_mmio_spte, shim_mark_mmio_spte);
	SHIM_VM_MMIO_VALUE(out[0] = sync_mmio_spte(&shim_vcpu, &spte, 0, 0));
	shim_patch(0, NULL, NULL);
}
#endif

#if defined(HAVE___rmap_add) && defined(HAVE_PLACE_pte_list_add) && \
	!defined(HAVE_kvm_mmu_page_set_translation)
static void __noreturn shim_pte_list_add(void)
{
	__builtin_longjmp(shim_bug_return, 1);
}

/* The first thing that is done to an SPTE that gets into the reverse map; left before it gets there. */
SHIM(kvm_mmu_page_set_translation, 9, 1)
{
	struct kvm_mmu_page *sp = shim_shadow_page(in);
	static struct kvm_memory_slot slot;
	const int page = SHIM_MEMORY_PAGES - 2;

	((struct page *)vmemmap_base)[page].private = (unsigned long)sp;
	shim_index_unchecked = 1;
	shim_patch(0, place_pte_list_add, shim_pte_list_add);
	SHIM_MAY_BUG(__rmap_add(&shim_kvm, NULL, &slot, (u64 *)&shim_memory[page << PAGE_SHIFT] + in[5],
				in[7], in[8]));
	shim_patch(0, NULL, NULL);
	shim_index_unchecked = 0;
	out[0] = shim_slot(sp, in);
}
#endif
