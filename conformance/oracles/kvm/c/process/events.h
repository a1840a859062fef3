/* SPDX-License-Identifier: GPL-2.0-only */
/* Complaints: WARNs of the kernel, and what lockdep or the allocators of the environment object to. */
#ifndef CONFORMANCE_KVM_EVENTS_H
#define CONFORMANCE_KVM_EVENTS_H

#include "exchange.h"

/* Append a line to the exchange's events. */
void env_complain(const char *kind, const char *what);

#endif
