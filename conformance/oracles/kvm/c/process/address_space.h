/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The address space of the process.  User addresses are the lowest, as in a kernel, or KVM takes them for its
 * own: the host's virtual memory, then the kernel's direct map and the array of struct page, mapped sparsely.
 */
#ifndef CONFORMANCE_KVM_ADDRESS_SPACE_H
#define CONFORMANCE_KVM_ADDRESS_SPACE_H

#define ENV_HOST_BASE		0x100000000000UL
#define ENV_HOST_PAGES		(1UL << 24)
#define ENV_DIRECT_MAP		0x200000000000UL
#define ENV_VMEMMAP		0x300000000000UL

/* The direct map reaches from physical address 0 to ENV_KERNEL_END; the host's other memory lies above. */
#define ENV_KERNEL_START	(16UL << 20)
#define ENV_KERNEL_END		(1UL << 30)
#define ENV_RAM_START_PFN	0x100000UL
#define ENV_RAM_END_PFN		0x1100000UL

#endif
