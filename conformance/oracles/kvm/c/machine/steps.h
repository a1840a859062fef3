/* SPDX-License-Identifier: GPL-2.0-only */
/* Steps. */
#ifndef CONFORMANCE_KVM_STEPS_H
#define CONFORMANCE_KVM_STEPS_H

/* Take a step without observing the machine. */
void machine_do(unsigned long step, const unsigned long *args);

#endif
