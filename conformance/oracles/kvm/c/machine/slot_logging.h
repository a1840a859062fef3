/* SPDX-License-Identifier: GPL-2.0-only */
/* How vmx switched page modification logging on and off, slot by slot. */
#ifndef CONFORMANCE_KVM_SLOT_LOGGING_H
#define CONFORMANCE_KVM_SLOT_LOGGING_H

#include <linux/types.h>

/*
 * Give KVM the operations of a processor that logs pages, or take them away.  Until a018eba53870 ("KVM: x86: Move
 * MMU's PML logic to common code") in v5.12.
 */
void slot_logging_set(bool on);

#endif
