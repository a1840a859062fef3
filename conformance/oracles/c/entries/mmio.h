/* SPDX-License-Identifier: GPL-2.0-only */
/* MMIO SPTEs: made from a generation, a gfn and access bits, and read back. */

static void shim_set_generation(u64 generation)
{
	static struct kvm_memslots slots;

	slots.generation = generation;
	*(struct kvm_memslots **)&shim_kvm.memslots[0] = &slots;
}

/* gfn, access, memslots generation */
#ifdef HAVE_make_mmio_spte
SHIM(make_mmio_spte, 3, 1)
{
	shim_set_generation(in[2]);
	SHIM_VM_MMIO_VALUE(out[0] = make_mmio_spte(&shim_vcpu, in[0], in[1]));
}
#endif

#ifdef HAVE_get_mmio_spte_generation
SHIM(get_mmio_spte_generation, 1, 1) { out[0] = get_mmio_spte_generation(in[0]); }
#endif
#ifdef HAVE_get_mmio_spte_gfn
SHIM(get_mmio_spte_gfn, 1, 1) { out[0] = get_mmio_spte_gfn(in[0]); }
#endif
#ifdef HAVE_get_mmio_spte_access
SHIM(get_mmio_spte_access, 1, 1) { out[0] = get_mmio_spte_access(in[0]); }
#endif

/* spte, the flag of an update in progress, memslots generation */
#ifdef HAVE_check_mmio_spte
SHIM(check_mmio_spte, 3, 1)
{
	shim_set_generation(in[1] | in[2]);
	out[0] = check_mmio_spte(&shim_vcpu, in[0]);
}
#endif
