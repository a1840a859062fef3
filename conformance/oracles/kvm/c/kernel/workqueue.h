/* SPDX-License-Identifier: GPL-2.0-only */
/* Deferred work. */
#ifndef CONFORMANCE_KVM_WORKQUEUE_H
#define CONFORMANCE_KVM_WORKQUEUE_H

/* Run all queued work, and the callbacks of SRCU. */
void env_run_works(void);

#endif
