/* SPDX-License-Identifier: GPL-2.0-only */
/* Functions and variables of ours under names of the kernel's. */
#ifndef CONFORMANCE_KVM_STAND_IN_H
#define CONFORMANCE_KVM_STAND_IN_H

/* Give a function of ours the kernel's name without the kernel's prototype, which differs by version. */
#define STANDS_IN(symbol)	__asm__(#symbol)

#endif
