/* SPDX-License-Identifier: GPL-2.0-only */
/* What is observed after a step. */
#ifndef CONFORMANCE_KVM_STATE_H
#define CONFORMANCE_KVM_STATE_H

/* state.c: the length of the outcome, then the state of the machine; nothing more if it is destroyed. */
void observe_machine(void);

/* raw_state.c: KVM's structures and variables as they lie in memory, if the exchange asks for them. */
void copy_raw_state(void);

#endif
