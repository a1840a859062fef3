// SPDX-License-Identifier: GPL-2.0-only
/*
 * The entries, calling the module's functions; HAVE_* of a function says that it stands there by
 * itself, called as it was declared (features.py).
 */
#include "front.h"
#include "shim.h"

/* One VM with one vCPU; entries set the few fields that their function reads. */
static struct kvm shim_kvm;
static struct kvm_vcpu shim_vcpu;

#include "helpers.h"
#include "entries/host.h"
#include "entries/shape.h"
#include "entries/writability.h"
#include "entries/access.h"
#include "entries/construct.h"
#include "entries/mmio.h"
#include "entries/masks.h"
#include "entries/translation.h"
#include "entries/tdp.h"
#include "entries/rsvd_bits.h"
#include "entries/child_role.h"
#include "callers.h"

/* Whether that bit of the processor's capabilities and bugs makes masks as L1TF does. */
SHIM(shim_is_l1tf, 1, 1)
{
	u32 *words = (u32 *)boot_cpu_data.x86_capability;

	shim_set_cpu(46, 46, false);
	words[in[0] / 32] ^= 1U << in[0] % 32;
	kvm_mmu_reset_all_pte_masks();
	words[in[0] / 32] ^= 1U << in[0] % 32;
	out[0] = shadow_nonpresent_or_rsvd_mask != 0;
	shim_set_host(shim_host);
}
