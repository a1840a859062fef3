/* SPDX-License-Identifier: GPL-2.0-only */
/* Grace periods of RCU and SRCU, and the callbacks that wait for them. */
#ifndef CONFORMANCE_KVM_RCU_H
#define CONFORMANCE_KVM_RCU_H

#include <linux/types.h>

/* Run the callbacks of RCU, and those that these add: how many; 0 if a reader prevents it. */
long env_grace_period(void);
/* The first callback that waits, and the address of the list. */
struct rcu_head *env_rcu_pending(void);
const void *env_rcu_callbacks(void);
/* Run the callbacks of SRCU. */
void env_run_srcu(void);

#endif
