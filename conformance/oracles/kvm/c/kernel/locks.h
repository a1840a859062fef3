/* SPDX-License-Identifier: GPL-2.0-only */
/* Locks, and yielding at them. */
#ifndef CONFORMANCE_KVM_LOCKS_H
#define CONFORMANCE_KVM_LOCKS_H

/* Called once, when the kernel next drops a lock to reschedule: what another task does meanwhile. */
extern void (*env_while_away)(void);

#endif
