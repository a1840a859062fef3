// SPDX-License-Identifier: GPL-2.0-only
/* Initialise KVM, then create and destroy a VM and its vCPUs by ioctls. */
#include <linux/file.h>
#include <linux/kvm_host.h>
#include <linux/radix-tree.h>
#include "host/files.h"
#include "host/host.h"
#include "interface.h"
#include "kernel/cpu.h"
#include "kernel/lockdep.h"
#include "kernel/memory.h"
#include "kernel/rcu.h"
#include "kernel/workqueue.h"
#include "guest_cpuid.h"
#include "machine.h"
#include "process/exchange.h"
#include "processor.h"
#include "vendor.h"
#include "mmu.h"

struct kvm *machine_kvm;
int machine_nr_vcpus;

static int vm_fd, vcpu_fds[MAX_VCPUS];
static struct kvm_vcpu *vcpus[MAX_VCPUS];
static struct env_ledger before;

static long ioctl(struct file *file, unsigned int request, const void *argument)
{
	return file->f_op->unlocked_ioctl(file, request, (unsigned long)argument);
}

long machine_ioctl(unsigned int request, const void *argument)
{
	return ioctl(env_file(vm_fd), request, argument);
}

long machine_vcpu_ioctl(unsigned long index, unsigned int request, const void *argument)
{
	return ioctl(env_file(vcpu_fds[index]), request, argument);
}

struct kvm_vcpu *machine_vcpu(unsigned long index)
{
	return index < machine_nr_vcpus ? vcpus[index] : NULL;
}

/* Set a parameter, unless KVM has no such parameter and does what is wanted without. */
static int set_or_have(const char *name, bool on, bool without)
{
	return env_has_parameter(name) || on != without ? env_set_parameter(name, on ? "Y" : "N") : 0;
}

int machine_boot(const unsigned long *host)
{
	int r;

	memcpy(env_host, host, sizeof(env_host));
#ifndef HAVE_TDP_MMU
	if (env_has_tdp_mmu())
		env_die(ENV_LIMIT, "this kernel's TDP MMU is not looked into", 0);
#endif
	env_memory_init();
	env_cpu_init();
	env_host_init();
	boot_cpu_data.x86_phys_bits = host[HOST_PHYS_BITS];
	boot_cpu_data.x86_cache_bits = host[HOST_CACHE_BITS];
	if (host[HOST_L1TF])
		set_bit(X86_BUG_L1TF, (unsigned long *)boot_cpu_data.x86_capability);
	radix_tree_init();
	r = set_or_have("mmio_caching", host[HOST_MMIO_CACHING], true);
	/* kvm_mmu_x86_module_init() may keep a copy. */
	r = r ?: env_set_parameter("tdp_mmu", host[HOST_TDP_MMU] ? "Y" : "N");
	if (r)
		return r;
	kvm_mmu_x86_module_init();
	r = vendor_init();
	return r ?: env_set_parameter("nx_huge_pages_recovery_ratio", "1");
}

/* A guest in long mode with paging; with two-dimensional paging KVM hardly looks at it. */
static void set_long_mode(struct kvm_vcpu *vcpu)
{
	vcpu->arch.cr0 = X86_CR0_PE | X86_CR0_WP | X86_CR0_PG;
	vcpu->arch.cr4 = X86_CR4_PAE;
	vcpu->arch.efer = EFER_LME | EFER_LMA | EFER_NX;
	vcpu->arch.cr0_guest_owned_bits = 0;
	vcpu->arch.cr4_guest_owned_bits = 0;
	memset(&vcpu->arch.regs_avail, 0xff, sizeof(vcpu->arch.regs_avail));
	vcpu_load(vcpu);
	kvm_mmu_reset_context(vcpu);
	vcpu_put(vcpu);
}

static int create_vcpu(int index)
{
	int fd = machine_ioctl(KVM_CREATE_VCPU, (void *)(unsigned long)index), r;

	if (fd < 0)
		return fd;
	vcpu_fds[index] = fd;
	vcpus[index] = env_file(fd)->private_data;
	machine_nr_vcpus = index + 1;
	r = machine_vcpu_ioctl(index, KVM_SET_CPUID2, guest_cpuid());
	if (!r)
		set_long_mode(vcpus[index]);
	return r;
}

int machine_create(const unsigned long *options)
{
	struct kvm_enable_cap manual = {
		.cap = KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2,
		.args = { options[OPTION_MANUAL_PROTECT] },
	};
	int i, r = 0;

	before = env_ledger;
	if (options[OPTION_VCPUS] > MAX_VCPUS)
		return -EINVAL;
	/* A kernel that never splits eagerly has no choice. */
	if (env_has_parameter("eager_page_split"))
		r = env_set_parameter("eager_page_split", options[OPTION_EAGER_PAGE_SPLIT] ? "Y" : "N");
	r = r ?: env_set_parameter("nx_huge_pages", options[OPTION_NX_HUGE_PAGES] ? "Y" : "N");
	if (r)
		return r;
	vm_fd = ioctl(env_device(), KVM_CREATE_VM, NULL);
	if (vm_fd < 0)
		return vm_fd;
	machine_kvm = env_file(vm_fd)->private_data;
	vendor_set_pml(machine_kvm, options[OPTION_PML]);
	if (options[OPTION_MANUAL_PROTECT])
		r = machine_ioctl(KVM_ENABLE_CAP, &manual);
	for (i = 0; !r && i < options[OPTION_VCPUS]; i++)
		r = create_vcpu(i);
	env_run_works();
	env_locks_at_end_of_step();
	return r;
}

void machine_destroy(long leaked[3])
{
	while (machine_nr_vcpus)
		env_close(vcpu_fds[--machine_nr_vcpus]);
	env_close(vm_fd);
	machine_kvm = NULL;
	env_run_works();
	env_grace_period();
	leaked[0] = env_ledger.objects - before.objects;
	leaked[1] = env_ledger.pages - before.pages;
	leaked[2] = env_pages_kept();
}
