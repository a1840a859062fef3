/* SPDX-License-Identifier: GPL-2.0-only */
/* A machine as the units compiled against libc see it, hence without a header of libc or of the kernel. */
#ifndef CONFORMANCE_KVM_SERVE_H
#define CONFORMANCE_KVM_SERVE_H

#include "process/exchange.h"

/* serve.c */
int kvm_boot(struct env_exchange *exchange, const unsigned long *host, long patience);

/* machine.c: errors are negative, as the kernel's. */
int machine_boot(const unsigned long *host);
int machine_create(const unsigned long *options);

/* steps.c */
void machine_step(unsigned long step, const unsigned long *args);

#endif
