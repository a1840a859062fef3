/* SPDX-License-Identifier: GPL-2.0-only */
/* What the host's memory management does to mappings. */
#ifndef CONFORMANCE_KVM_OPERATIONS_H
#define CONFORMANCE_KVM_OPERATIONS_H

enum env_host_step {
	HOST_MMAP, HOST_TOUCH, HOST_DONTNEED, HOST_WRPROTECT, HOST_KSM_MERGE, HOST_COLLAPSE, HOST_CHANGE_PTE,
	HOST_MREMAP,
};

/* 0 or a negative error, as the kernel's; -ENOSYS if this kernel has no such operation. */
int env_host_step(enum env_host_step step, const unsigned long *args);

#endif
