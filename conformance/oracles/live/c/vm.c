// SPDX-License-Identifier: GPL-2.0-only
// The VM: its creation and end, its memslots and their dirty log.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "agent.h"

#define MOST_VCPUS 8

uint8_t *guest_stub;
int has_own_tables;

static int kvm = -1, vm = -1, vcpus[MOST_VCPUS];
static struct kvm_run *runs[MOST_VCPUS];
static unsigned int nr_vcpus;
static size_t run_size;

int vcpu_fd(unsigned int vcpu)
{
	return vcpus[vcpu % MOST_VCPUS];
}

struct kvm_run *vcpu_run(unsigned int vcpu)
{
	return runs[vcpu % MOST_VCPUS];
}

static long set_memory_region(uint32_t slot, uint64_t gpa, uint64_t size, void *host, uint32_t flags)
{
	struct kvm_userspace_memory_region region = {
		.slot = slot,
		.flags = flags,
		.guest_phys_addr = gpa,
		.memory_size = size,
		.userspace_addr = (uint64_t)host,
	};

	return ioctl(vm, KVM_SET_USER_MEMORY_REGION, &region);
}

#define NR_SLOTS 32

/* The story's memslots; npages is 0 of one that does not exist. */
static struct { uint64_t gfn, npages, page; } slots[2][NR_SLOTS];

void *guest_memory(unsigned int as_id, uint64_t gfn)
{
	for (unsigned int n = 0; n < NR_SLOTS; n++)
		if (gfn - slots[as_id & 1][n].gfn < slots[as_id & 1][n].npages)
			return address_of(slots[as_id & 1][n].page + gfn - slots[as_id & 1][n].gfn);
	return NULL;
}

static uint32_t slot_of_request(void)
{
	return argument("slot") | argument("as_id") << 16;
}

static long create_vcpu(unsigned int number, void *cpuid)
{
	struct kvm_mp_state runnable = { KVM_MP_STATE_RUNNABLE };
	/* No signal is blocked in the guest. */
	struct {
		struct kvm_signal_mask mask;
		uint64_t set;
	} __attribute__((packed)) unblocked = { { .len = 8 }, 0 };
	long result;

	vcpus[number] = ioctl(vm, KVM_CREATE_VCPU, number);
	if (vcpus[number] < 0)
		return -1;
	nr_vcpus = number + 1;
	runs[number] = mmap(NULL, run_size, PROT_READ | PROT_WRITE, MAP_SHARED, vcpus[number], 0);
	if (ioctl(vcpus[number], KVM_SET_CPUID2, cpuid))
		return -1;
	if (has_own_tables) {
		/* As the model's vCPUs begin, without a root that is in memory. */
		struct kvm_sregs sregs = { .cr0 = 0x80010001, .cr4 = 0x20, .efer = 0x900 };

		result = start_paging(number, &sregs);
	} else {
		result = start_long_mode(vcpus[number]);
	}
	if (!result)
		result = ioctl(vcpus[number], KVM_SET_MP_STATE, &runnable);
	if (!result)
		result = ioctl(vcpus[number], KVM_SET_SIGNAL_MASK, &unblocked);
	return result;
}

/*
 * The guest with tables of its own is one of Intel with addresses of 48 bits: its reserved bits depend on both. It
 * has no protection keys.
 */
static void describe_processor(struct kvm_cpuid2 *cpuid)
{
	for (uint32_t n = 0; n < cpuid->nent; n++) {
		struct kvm_cpuid_entry2 *entry = &cpuid->entries[n];

		if (entry->function == 0) {
			memcpy(&entry->ebx, "Genu", 4);
			memcpy(&entry->edx, "ineI", 4);
			memcpy(&entry->ecx, "ntel", 4);
		} else if (entry->function == 7 && !entry->index) {
			entry->ecx &= ~(1u << 3);
		} else if (entry->function == 0x80000008) {
			entry->eax = 48 | 57 << 8;
		}
	}
}

static long create_vm(void)
{
	static struct {
		struct kvm_cpuid2 head;
		struct kvm_cpuid_entry2 entries[256];
	} cpuid;
	uint64_t manual = argument("manual_protect"), wanted = argument_or("vcpus", 1), place;
	struct kvm_enable_cap triple_fault = { .cap = KVM_CAP_X86_TRIPLE_FAULT_EVENT, .args = { 1 } };

	vm = ioctl(kvm, KVM_CREATE_VM, 0);
	if (vm < 0)
		return -1;
	if (manual) {
		struct kvm_enable_cap enable = {
			.cap = KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2,
			.args = { manual },
		};

		if (ioctl(vm, KVM_ENABLE_CAP, &enable))
			return -1;
	}
	guest_stub = mmap(NULL, STUB_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (guest_stub == MAP_FAILED)
		return -1;
	has_own_tables = argument("own_tables");
	place = has_own_tables ? LOW_STUB : STUB;
	if (has_own_tables)
		fill_paging_stub(guest_stub);
	else
		fill_stub(guest_stub);
	for (uint32_t as_id = 0; as_id < 2; as_id++)
		if (set_memory_region(STUB_SLOT | as_id << 16, place, STUB_SIZE, guest_stub, 0))
			return -1;
	memset(slots, 0, sizeof(slots));
	ioctl(vm, KVM_ENABLE_CAP, &triple_fault);
	ioctl(vm, KVM_SET_TSS_ADDR, 0xfffbd000ull);
	run_size = ioctl(kvm, KVM_GET_VCPU_MMAP_SIZE, 0);
	cpuid.head.nent = ARRAY_SIZE(cpuid.entries);
	if (ioctl(kvm, KVM_GET_SUPPORTED_CPUID, &cpuid))
		return -1;
	if (has_own_tables)
		describe_processor(&cpuid.head);
	for (unsigned int number = 0; number < wanted && number < MOST_VCPUS; number++)
		if (create_vcpu(number, &cpuid))
			return -1;
	for (unsigned int number = 0; has_own_tables && number < nr_vcpus; number++)
		settle_vcpu(number);
	return 0;
}

static void serve_vm(void)
{
	answer_code(create_vm());
}

static void serve_destroy(void)
{
	for (unsigned int number = 0; number < nr_vcpus; number++) {
		munmap(runs[number], run_size);
		close(vcpus[number]);
	}
	nr_vcpus = 0;
	if (vm >= 0)
		close(vm);
	vm = -1;
	if (guest_stub)
		munmap(guest_stub, STUB_SIZE);
	guest_stub = NULL;
	unmap_process();
	answer("code 0");
}

static void serve_set_memory_region(void)
{
	uint64_t gfn = argument("gfn"), npages = argument("npages"), page = argument("page");
	long result = set_memory_region(slot_of_request(), gfn * PAGE_SIZE, npages * PAGE_SIZE, address_of(page),
					argument("flags"));
	unsigned int as_id = argument("as_id") & 1, slot = argument("slot") % NR_SLOTS;

	if (!result) {
		slots[as_id][slot].gfn = gfn;
		slots[as_id][slot].npages = npages;
		slots[as_id][slot].page = page;
	}
	answer_code(result);
}

static void serve_store(void)
{
	uint8_t *memory = guest_memory(0, argument("gfn"));

	errno = EFAULT;
	answer_code(memory ? store_word((memory - (uint8_t *)address_of(0)) / PAGE_SIZE, argument("index"),
					argument("value")) : -1);
}

/* The words of the bitmap that are not 0: "word INDEX VALUE". */
static void serve_get_dirty_log(void)
{
	static uint64_t bitmap[1 << 18];
	struct kvm_dirty_log log = { .slot = slot_of_request(), .dirty_bitmap = bitmap };
	long result;

	memset(bitmap, 0, sizeof(bitmap));
	result = ioctl(vm, KVM_GET_DIRTY_LOG, &log);
	answer_code(result);
	for (size_t n = 0; !result && n < ARRAY_SIZE(bitmap); n++)
		if (bitmap[n])
			answer("word %zu %llu", n, (unsigned long long)bitmap[n]);
}

static void serve_clear_dirty_log(void)
{
	uint64_t bitmap = argument("mask");
	struct kvm_clear_dirty_log clear = {
		.slot = slot_of_request(),
		.num_pages = argument_or("npages", 64),
		.first_page = argument("first"),
		.dirty_bitmap = &bitmap,
	};

	answer_code(ioctl(vm, KVM_CLEAR_DIRTY_LOG, &clear));
}

static void serve_set_nr_mmu_pages(void)
{
	answer_code(ioctl(vm, KVM_SET_NR_MMU_PAGES, argument("n")));
}

/* Open /dev/kvm, or close it so that the modules can be unloaded. */
static void serve_open_kvm(void)
{
	if (kvm < 0)
		kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	answer_code(kvm < 0 ? -1 : 0);
}

static void serve_close_kvm(void)
{
	close(kvm);
	kvm = -1;
	answer("code 0");
}

const struct request vm_requests[] = {
	{ "vm", serve_vm },
	{ "destroy", serve_destroy },
	{ "set_memory_region", serve_set_memory_region },
	{ "store", serve_store },
	{ "get_dirty_log", serve_get_dirty_log },
	{ "clear_dirty_log", serve_clear_dirty_log },
	{ "set_nr_mmu_pages", serve_set_nr_mmu_pages },
	{ "open_kvm", serve_open_kvm },
	{ "close_kvm", serve_close_kvm },
	{ NULL, NULL },
};
