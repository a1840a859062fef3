/* SPDX-License-Identifier: GPL-2.0-only */
/* MMU notifier calls on ranges of the host's memory, in pages from ENV_HOST_BASE. */
#ifndef CONFORMANCE_KVM_NOTIFIERS_H
#define CONFORMANCE_KVM_NOTIFIERS_H

#include <linux/mmu_notifier.h>

/* The one that KVM has registered, or NULL. */
extern struct mmu_notifier *env_notifier;

void env_range_start(unsigned long page, unsigned long npages, int event);
void env_range_end(unsigned long page, unsigned long npages, int event);
void env_change_pte(unsigned long page, u64 entry);

#endif
