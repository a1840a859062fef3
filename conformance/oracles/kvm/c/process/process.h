/* SPDX-License-Identifier: GPL-2.0-only */
/* What process.c offers to the units that are compiled against libc. */
#ifndef CONFORMANCE_KVM_PROCESS_H
#define CONFORMANCE_KVM_PROCESS_H

#include "exchange.h"

#define EXPORT	__attribute__((visibility("default")))

/* Map memory and catch signals: 0, or what failed: memory 1, signals 2, gs base 3. */
int process_init(struct env_exchange *exchange);
/* End the process with ENV_HUNG after so much processor time; 0 cancels it. */
void process_set_watchdog(long microseconds);

#endif
