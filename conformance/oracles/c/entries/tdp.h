/* SPDX-License-Identifier: GPL-2.0-only */
/* How the TDP MMU writes an SPTE that others may have changed, and how it walks its tables. */

/* in: memory when the function gets to it, then its arguments.  out: return value, memory, accesses */
#define WRITES(statement)							\
do {										\
	tdp_ptep_t sptep = (tdp_ptep_t)shim_watch(in[0], in[0]);		\
										\
	statement;								\
	out[2] = shim_watched(&out[1]);						\
} while (0)

#ifdef HAVE_kvm_tdp_mmu_write_spte
/* and: old, new, level */
SHIM(kvm_tdp_mmu_write_spte, 4, 3)
{
	WRITES(out[0] = kvm_tdp_mmu_write_spte(sptep, in[1], in[2], in[3]));
}
#endif

#ifdef HAVE_kvm_tdp_mmu_write_spte_atomic
/* and: new */
SHIM(kvm_tdp_mmu_write_spte_atomic, 2, 3)
{
	WRITES(out[0] = kvm_tdp_mmu_write_spte_atomic(sptep, in[1]));
}

#ifdef HAVE___kvm_tdp_mmu_write_spte
SHIM(__kvm_tdp_mmu_write_spte, 2, 3) { WRITES(__kvm_tdp_mmu_write_spte(sptep, in[1])); }
#endif
#endif

/* Renamed along with the volatile predicate in v6.15; old, level */
#ifdef HAVE_kvm_tdp_mmu_spte_need_atomic_update
SHIM(kvm_tdp_mmu_spte_need_atomic_write, 2, 1)
{
	out[0] = kvm_tdp_mmu_spte_need_atomic_update(in[0], in[1]);
}
#elif defined(HAVE_kvm_tdp_mmu_spte_need_atomic_write)
SHIM(kvm_tdp_mmu_spte_need_atomic_write, 2, 1)
{
	out[0] = kvm_tdp_mmu_spte_need_atomic_write(in[0], in[1]);
}
#endif

#ifdef HAVE_tdp_mmu_clear_spte_bits
/* and: old, mask, level */
SHIM(tdp_mmu_clear_spte_bits, 4, 3)
{
	WRITES(out[0] = tdp_mmu_clear_spte_bits(sptep, in[1], in[2], in[3]));
}
#endif

#ifdef HAVE_tdp_mmu_clear_spte_bits_atomic
/* and: mask */
SHIM(tdp_mmu_clear_spte_bits_atomic, 2, 3)
{
	WRITES(out[0] = tdp_mmu_clear_spte_bits_atomic(sptep, in[1]));
}
#endif

#ifdef HAVE_tdp_iter
#define NR_PLACED	5
#define NR_STEPS	16

#ifdef SHADOW_NONPRESENT_VALUE
#define SHIM_NONPRESENT	SHADOW_NONPRESENT_VALUE
#else
#define SHIM_NONPRESENT	0ULL
#endif

/* The first page is unused, since a table at address 0 could not be distinguished from no table. */
static unsigned long shim_tables;

static u64 *shim_new_table(void)
{
	u64 *table = (u64 *)&shim_memory[++shim_tables << PAGE_SHIFT];
	int i;

	for (i = 0; i < 512; i++)
		table[i] = SHIM_NONPRESENT;
	return table;
}

/*
 * Put spte at (gfn, level) below root, with the tables that it needs on the way.  One that would point
 * to a table of its own is left out: there is none where it points.
 */
static void shim_place(u64 *root, int root_level, u64 gfn, int level, u64 spte)
{
	u64 *table = root;
	int l, index;

	if (is_shadow_present_pte(spte) && !is_last_spte(spte, level))
		return;
	for (l = root_level; l > level; l--) {
		index = gfn >> (9 * (l - 1)) & 511;
		if (!is_shadow_present_pte(table[index]) || is_last_spte(table[index], l))
			table[index] = make_nonleaf_spte(shim_new_table(), false);
		table = __va(table[index] & GENMASK_ULL(51, 12));
	}
	table[gfn >> (9 * (level - 1)) & 511] = spte;
}

/*
 * in: level of the root, lowest level to visit, first gfn, after which steps the walker yields and
 * after which somebody zaps the entry that it is at (a bit each), then NR_PLACED times gfn, level and
 * SPTE of an entry of the tree.
 * out: for each step gfn << 4 | level, and the SPTE seen; all ones when the walk is over.
 */
SHIM(tdp_iter, 5 + 3 * NR_PLACED, 2 * NR_STEPS)
{
	struct tdp_iter iter = {};
	int i, root_level = in[0];
	u64 *root;
#ifdef HAVE_TDP_ITER_ROOT
	static struct kvm_mmu_page sp;
#endif

	shim_tables = 0;
	root = shim_new_table();
	for (i = 0; i < NR_PLACED; i++)
		if (in[6 + 3 * i] && in[6 + 3 * i] <= root_level)
			shim_place(root, root_level, in[5 + 3 * i], in[6 + 3 * i], in[7 + 3 * i]);

#ifdef HAVE_TDP_ITER_ROOT
	sp.role.word = 0;
	sp.role.level = root_level;
	sp.spt = root;
#ifdef HAVE_TDP_ITER_GFN_BITS
	tdp_iter_start(&iter, &sp, in[1], in[2], 0);
#else
	tdp_iter_start(&iter, &sp, in[1], in[2]);
#endif
#else
	tdp_iter_start(&iter, root, root_level, in[1], in[2]);
#endif
	for (i = 0; i < NR_STEPS; i++) {
		if (!iter.valid) {
			out[2 * i] = out[2 * i + 1] = ~0ULL;
			continue;
		}
		out[2 * i] = iter.gfn << 4 | iter.level;
		out[2 * i + 1] = iter.old_spte;
		if (in[4] >> i & 1)
			*(u64 *)iter.sptep = SHIM_NONPRESENT;
#ifdef HAVE_TDP_ITER_YIELDED
		iter.yielded = in[3] >> i & 1;
#endif
		tdp_iter_next(&iter);
	}
}
#endif
