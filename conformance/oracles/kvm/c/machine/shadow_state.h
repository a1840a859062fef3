/* SPDX-License-Identifier: GPL-2.0-only */
/* The state of shadow paging. */
#ifndef CONFORMANCE_KVM_SHADOW_STATE_H
#define CONFORMANCE_KVM_SHADOW_STATE_H

/* A word that says whether there is such a state, then that state; shadow_words.py reads it. */
void put_shadow(void);

#endif
