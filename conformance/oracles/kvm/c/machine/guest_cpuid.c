// SPDX-License-Identifier: GPL-2.0-only
/*
 * What a guest's CPUID says: every feature that the MMU looks at, and the width of addresses.  With NPT the guest is
 * one of AMD, whose reserved bits differ; else of Intel.
 */
#include <linux/kvm_host.h>
#include "guest_cpuid.h"
#include "processor.h"
#include "cpuid.h"

#define BIT_OF(feature)	BIT((feature) & 31)

/* As kvm_set_cpu_caps(): without two-dimensional paging KVM has no protection keys. */
static bool has_pku(void)
{
	return env_host[HOST_TDP];
}

void guest_cpuid_init_caps(void)
{
	static const int features[] = {
		X86_FEATURE_PSE, X86_FEATURE_PAE, X86_FEATURE_PGE, X86_FEATURE_PSE36, X86_FEATURE_PCID,
		X86_FEATURE_SMEP, X86_FEATURE_SMAP, X86_FEATURE_INVPCID, X86_FEATURE_LA57, X86_FEATURE_NX,
		X86_FEATURE_LM, X86_FEATURE_GBPAGES,
	};
	int i;

	for (i = 0; i < ARRAY_SIZE(features); i++)
		kvm_cpu_caps[features[i] / 32] |= BIT_OF(features[i]);
	if (has_pku())
		kvm_cpu_caps[X86_FEATURE_PKU / 32] |= BIT_OF(X86_FEATURE_PKU);
}

static struct kvm_cpuid_entry2 vendor(void)
{
	struct kvm_cpuid_entry2 entry = { .eax = 7 };
	const char *name = env_host[HOST_TDP] && !env_host[HOST_EPT] ? "AuthcAMDenti" : "GenuntelineI";

	/* In the order of %ebx, %ecx, %edx. */
	memcpy(&entry.ebx, name, 12);
	return entry;
}

const struct kvm_cpuid2 *guest_cpuid(void)
{
	const struct kvm_cpuid_entry2 entries[] = {
		vendor(),
		{
			.function = 1,
			.ecx = BIT_OF(X86_FEATURE_PCID),
			.edx = BIT_OF(X86_FEATURE_PSE) | BIT_OF(X86_FEATURE_PAE) | BIT_OF(X86_FEATURE_PGE) |
			       BIT_OF(X86_FEATURE_PSE36),
		},
		{
			.function = 7,
			.flags = KVM_CPUID_FLAG_SIGNIFCANT_INDEX,
			.ebx = BIT_OF(X86_FEATURE_SMEP) | BIT_OF(X86_FEATURE_SMAP) | BIT_OF(X86_FEATURE_INVPCID),
			.ecx = BIT_OF(X86_FEATURE_LA57) | (has_pku() ? BIT_OF(X86_FEATURE_PKU) : 0),
		},
		{ .function = 0x80000000, .eax = 0x80000008 },
		{
			.function = 0x80000001,
			.edx = BIT_OF(X86_FEATURE_NX) | BIT_OF(X86_FEATURE_LM) | BIT_OF(X86_FEATURE_GBPAGES),
		},
		{ .function = 0x80000008, .eax = env_host[HOST_PHYS_BITS] | 57 << 8 },
	};
	static u8 room[sizeof(struct kvm_cpuid2) + sizeof(entries)];
	struct kvm_cpuid2 *cpuid = (void *)room;

	cpuid->nent = ARRAY_SIZE(entries);
	memcpy(cpuid->entries, entries, sizeof(entries));
	return cpuid;
}
