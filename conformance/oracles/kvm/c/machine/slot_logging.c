// SPDX-License-Identifier: GPL-2.0-only
/* How vmx switched page modification logging on and off, slot by slot. */
#include <linux/kvm_host.h>
#include "slot_logging.h"

#ifdef HAVE_SLOT_LOGGING
static void enable(struct kvm *kvm, struct kvm_memory_slot *slot)
{
	if (!kvm_dirty_log_manual_protect_and_init_set(kvm))
		kvm_mmu_slot_leaf_clear_dirty(kvm, slot);
	/* Huge pages are logged by write protection, as they have to be split. */
	kvm_mmu_slot_largepage_remove_write_access(kvm, slot);
}

static void disable(struct kvm *kvm, struct kvm_memory_slot *slot)
{
	kvm_mmu_slot_set_dirty(kvm, slot);
}

/* A vCPU that is kicked drains its log. */
static void flush(struct kvm *kvm)
{
	struct kvm_vcpu *vcpu;
	int i;

	kvm_for_each_vcpu(i, vcpu, kvm)
		kvm_vcpu_kick(vcpu);
}

static void enable_masked(struct kvm *kvm, struct kvm_memory_slot *slot, gfn_t offset, unsigned long mask)
{
	kvm_mmu_clear_dirty_pt_masked(kvm, slot, offset, mask);
}

void slot_logging_set(bool on)
{
	kvm_x86_ops.slot_enable_log_dirty = on ? enable : NULL;
	kvm_x86_ops.slot_disable_log_dirty = on ? disable : NULL;
	kvm_x86_ops.flush_log_dirty = on ? flush : NULL;
	kvm_x86_ops.enable_log_dirty_pt_masked = on ? enable_masked : NULL;
}
#endif
