// SPDX-License-Identifier: GPL-2.0-only
/*
 * The vendor module: the operations of vmx and svm that the MMU depends on.  Any other operation ends the machine
 * with its name.
 */
#include <linux/kvm_host.h>
#include <asm/vmx.h>
#include "process/exchange.h"
#include "process/stand_in.h"
#include "guest_cpuid.h"
#include "nested.h"
#include "kvm_shape.h"
#include "processor.h"
#include "registers.h"
#include "slot_logging.h"
#include "vendor.h"
#include "mmu.h"
#include "mmu/mmu_internal.h"
#include "mmu/spte.h"
#include "pmu.h"
#include "x86.h"

struct vendor_flushes vendor_flushes;

static struct kvm_x86_ops ops;
static struct kvm_pmu_ops pmu_ops;
/* KVM requires all of these, and calls those that nested.c has. */
static struct kvm_x86_nested_ops nested_ops;

static void not_mocked_nested(void)
{
	env_die(ENV_MISSING, "vendor operation for nested guests", (unsigned long)__builtin_return_address(0));
}

/* A function for each operation that ends the machine. */
#define KVM_X86_OP(name)						\
static void not_mocked_##name(void)					\
{									\
	env_die(ENV_MISSING, "vendor operation " #name,			\
		(unsigned long)__builtin_return_address(0));		\
}
#define KVM_X86_OP_OPTIONAL(name)
#define KVM_X86_OP_OPTIONAL_RET0(name)
#include "x86_ops.h"

/* Operations that the MMU does not depend on, and that return nothing, false or 0. */
static long nothing(void)
{
	return 0;
}

static int yes(void)
{
	return 1;
}

static struct processor *processor_of(struct kvm_vcpu *vcpu)
{
	return &processors[vcpu->vcpu_idx];
}

static void load_mmu_pgd(struct kvm_vcpu *vcpu, hpa_t root, int level)
{
	struct processor *cpu = processor_of(vcpu);

	cpu->root = root & PAGE_MASK;
	cpu->root_level = level;
	cpu->tdp_mmu = env_has_tdp_mmu() && vcpu->arch.mmu == &vcpu->arch.root_mmu;
}

static void flush_tlb(struct kvm_vcpu *vcpu)
{
	processor_flush(processor_of(vcpu));
}

static void flush_tlb_gva(struct kvm_vcpu *vcpu, gva_t address)
{
	processor_flush_address(processor_of(vcpu), address);
}

#ifndef HAVE_SLOT_LOGGING
/* vmx enables page modification logging while a memslot logs dirty pages; svm has no such log. */
static void update_cpu_dirty_logging(struct kvm_vcpu *vcpu)
{
#ifdef HAVE_NR_MEMSLOTS_DIRTY_LOGGING
	processor_of(vcpu)->pml_enabled = atomic_read(&vcpu->kvm->nr_memslots_dirty_logging);
#else
	processor_of(vcpu)->pml_enabled = vcpu->kvm->arch.cpu_dirty_logging_count;
#endif
}
#endif

/*
 * vmx: uncached for MMIO, else write-back whatever the guest's PAT says, as there is no device with
 * non-coherent DMA.  svm sets no memory type.
 */
static typeof(ops.get_mt_mask(NULL, 0, 0)) get_mt_mask(struct kvm_vcpu *vcpu, gfn_t gfn, bool is_mmio)
{
	if (is_mmio)
		return MTRR_TYPE_UNCACHABLE << VMX_EPT_MT_EPTE_SHIFT;
	return MTRR_TYPE_WRBACK << VMX_EPT_MT_EPTE_SHIFT | VMX_EPT_IPAT_BIT;
}

/* A processor with page modification logging has a log of this many entries. */
void vendor_set_pml(struct kvm *kvm, bool on)
{
#if defined(HAVE_SLOT_LOGGING)
	int i;

	/* vmx enables it for good. */
	for (i = 0; i < MAX_VCPUS; i++)
		processors[i].pml_enabled = on;
	slot_logging_set(on);
#elif defined(HAVE_VM_DIRTY_LOG_SIZE)
	kvm->arch.cpu_dirty_log_size = on ? PML_ENTRIES : 0;
#else
	kvm_x86_ops.cpu_dirty_log_size = on ? PML_ENTRIES : 0;
#endif
}

static void set_masks(void)
{
#ifdef HAVE_EPT_MASKS
	if (env_host[HOST_EPT])
#ifdef HAVE_EPT_EXEC_ONLY_PARAMETER
		kvm_mmu_set_ept_masks(env_host[HOST_AD_BITS], env_host[HOST_EXEC_ONLY]);
#else
		kvm_mmu_set_ept_masks(env_host[HOST_AD_BITS]);
#endif
	kvm_mmu_set_me_spte_mask(env_host[HOST_ME_VALUE], env_host[HOST_ME_MASK]);
#else
	if (!env_host[HOST_EPT])
		return;
	kvm_mmu_set_mask_ptes(VMX_EPT_READABLE_MASK, env_host[HOST_AD_BITS] ? VMX_EPT_ACCESS_BIT : 0,
			      env_host[HOST_AD_BITS] ? VMX_EPT_DIRTY_BIT : 0, 0, VMX_EPT_EXECUTABLE_MASK,
			      env_host[HOST_EXEC_ONLY] ? 0 : VMX_EPT_READABLE_MASK, VMX_EPT_RWX_MASK, 0);
	kvm_mmu_set_mmio_spte_mask(VMX_EPT_MISCONFIG_WX_VALUE, 0);
#endif
}

/* svm dictates the root's level, the host's own; vmx chooses, and stands for both without paging in hardware. */
static void configure_mmu(void)
{
#ifdef HAVE_FREE_ROOT_LEVEL
	kvm_configure_mmu(env_host[HOST_TDP], 4, PG_LEVEL_1G);
#else
	kvm_configure_mmu(env_host[HOST_TDP], env_host[HOST_EPT] || !env_host[HOST_TDP] ? 0 : 4, 4, PG_LEVEL_1G);
#endif
}

/* As vmx_hardware_setup() and svm_hardware_setup() set up the MMU. */
static int hardware_setup(void)
{
	guest_cpuid_init_caps();
	/* Later kernels look at the capabilities. */
#ifdef HAVE_kvm_enable_efer_bits
	kvm_enable_efer_bits(EFER_NX);
#endif
	set_masks();
	configure_mmu();
	return 0;
}

/*
 * A flush by range, as hypervisors offer it: the range is recorded and the flush refused, so that KVM flushes
 * everything.  Some kernels call the vendor module, those without Hyper-V the architecture.
 */
static int flush_range(struct kvm *kvm, gfn_t gfn, u64 npages)
{
	if (vendor_flushes.nr == MAX_FLUSHES)
		env_die(ENV_LIMIT, "too many flushes of ranges in one step", 0);
	vendor_flushes.ranges[vendor_flushes.nr][0] = gfn;
	vendor_flushes.ranges[vendor_flushes.nr++][1] = npages;
	return -EOPNOTSUPP;
}

int env_arch_flush_range(struct kvm *kvm, gfn_t gfn, u64 npages) STANDS_IN(kvm_arch_flush_remote_tlbs_range);
int env_arch_flush_range(struct kvm *kvm, gfn_t gfn, u64 npages)
{
	return flush_range(kvm, gfn, npages);
}

#ifdef HAVE_FLUSH_WITH_RANGE
static int flush_with_range(struct kvm *kvm, struct kvm_tlb_range *range)
{
	return flush_range(kvm, range->start_gfn, range->pages);
}
#endif

/* Operations that KVM calls, and that a vendor module without further state ignores. */
static const char *const ignored[] = {
	"check_processor_compatibility",
	"enable_virtualization_cpu", "hardware_enable", "hardware_disable",
	"get_feature_msr", "get_msr_feature", "get_mt_mask", "has_emulated_msr",
	"vm_init", "vcpu_create", "vcpu_free", "vcpu_load", "vcpu_put", "vcpu_reset", "vcpu_after_set_cpuid",
	"set_dr7", "set_rflags", "set_segment", "set_idt", "set_gdt", "get_segment_base",
	"update_exception_bitmap", "write_l1_tsc_offset", "write_tsc_offset",
	"get_interrupt_shadow", "set_interrupt_shadow", "get_if_flag", "check_emulate_instruction", "get_exit_info",
};

/* Operations that ask whether something may be. */
static const char *const agreed[] = {
	"is_valid_cr0", "is_valid_cr4", "can_emulate_instruction", "skip_emulated_instruction",
};

static void *mock(const char *name, void *not_mocked)
{
	int i;

	for (i = 0; i < ARRAY_SIZE(ignored); i++)
		if (sysfs_streq(ignored[i], name))
			return nothing;
	for (i = 0; i < ARRAY_SIZE(agreed); i++)
		if (sysfs_streq(agreed[i], name))
			return yes;
	return not_mocked;
}

static void fill_ops(void)
{
	int i;

#define KVM_X86_OP(op)			ops.op = mock(#op, not_mocked_##op);
#define KVM_X86_OP_OPTIONAL(op)
#define KVM_X86_OP_OPTIONAL_RET0(op)
#include "x86_ops.h"
#ifdef HAVE_KVM_X86_OPS_LIST
#define KVM_X86_PMU_OP(op)		pmu_ops.op = (void *)nothing;
#define KVM_X86_PMU_OP_OPTIONAL(op)	KVM_X86_PMU_OP(op)
#define KVM_X86_PMU_OP_OPTIONAL_RET0(op) KVM_X86_PMU_OP(op)
#include <asm/kvm-x86-pmu-ops.h>
	ops.name = "mock";
#else
	for (i = 0; i < sizeof(pmu_ops) / sizeof(void *); i++)
		((void **)&pmu_ops)[i] = nothing;
	ops.pmu_ops = &pmu_ops;
#endif
	for (i = 0; i < sizeof(nested_ops) / sizeof(void *); i++)
		((void **)&nested_ops)[i] = not_mocked_nested;
	nested_fill_ops(&nested_ops);
	registers_fill_ops(&ops);
	ops.vm_size = sizeof(struct kvm);
	/* hpa_t was unsigned long here once, which is as wide. */
	ops.load_mmu_pgd = (void *)load_mmu_pgd;
	ops.flush_tlb_all = flush_tlb;
	ops.flush_tlb_current = flush_tlb;
	ops.flush_tlb_guest = flush_tlb;
	/* Some kernels also ask whether everything was flushed, which is assumed not to be. */
	ops.flush_tlb_gva = (void *)flush_tlb_gva;
#ifndef HAVE_SLOT_LOGGING
	ops.update_cpu_dirty_logging = update_cpu_dirty_logging;
#endif
#if defined(HAVE_FLUSH_WITH_RANGE)
	ops.tlb_remote_flush_with_range = flush_with_range;
#elif !defined(HAVE_FLUSH_RANGE_FOR_HYPERV) || IS_ENABLED(CONFIG_HYPERV)
	ops.flush_remote_tlbs_range = flush_range;
#endif
	if (env_host[HOST_EPT])
		ops.get_mt_mask = get_mt_mask;
#ifndef HAVE_INIT_NESTED_OPS
	ops.nested_ops = &nested_ops;
#endif
}

/*
 * Where calls are patched, a static call to an absent operation does nothing; here it would jump to 0.  kvm_x86_ops
 * itself is not changed, since KVM looks there for which operations exist.
 */
static void fill_static_calls(void)
{
#ifdef HAVE_KVM_X86_OPS_LIST
#define KVM_X86_OP(op)
#define KVM_X86_OP_OPTIONAL_RET0(op)
#define KVM_X86_OP_OPTIONAL(op)						\
	if (!STATIC_CALL_KEY(kvm_x86_##op).func)			\
		STATIC_CALL_KEY(kvm_x86_##op).func = (void *)nothing;
#include <asm/kvm-x86-ops.h>
#endif
}

int vendor_init(void)
{
	static struct kvm_x86_init_ops init = {
		.hardware_setup = hardware_setup,
		.runtime_ops = &ops,
#ifdef HAVE_kvm_x86_vendor_init
		.pmu_ops = &pmu_ops,
#endif
#ifdef HAVE_INIT_NESTED_OPS
		.nested_ops = &nested_ops,
#endif
	};
	int r = 0;

	fill_ops();
#ifdef HAVE_kvm_init_ops
	init.cpu_has_kvm_support = yes;
	init.disabled_by_bios = (void *)nothing;
	init.check_processor_compatibility = (void *)nothing;
#endif
#ifdef HAVE_kvm_x86_vendor_init
	r = kvm_x86_vendor_init(&init);
#endif
	if (r)
		return r;
	fill_static_calls();
#ifdef HAVE_kvm_init_ops
	return kvm_init(&init, sizeof(struct kvm_vcpu), __alignof__(struct kvm_vcpu), NULL);
#else
	return kvm_init(sizeof(struct kvm_vcpu), __alignof__(struct kvm_vcpu), NULL);
#endif
}
