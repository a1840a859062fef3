/* SPDX-License-Identifier: GPL-2.0-only */
/* Instructions of the guest at an address. */
#ifndef CONFORMANCE_KVM_EXECUTE_H
#define CONFORMANCE_KVM_EXECUTE_H

struct execute_arguments;

/* One instruction; its exits and its end are the outcome. */
void guest_execute(const struct execute_arguments *args);

#endif
