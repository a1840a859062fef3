// SPDX-License-Identifier: GPL-2.0-only
/*
 * The unit that gives access to KVM's functions: mmu.c is included whole and unmodified, so that its
 * static functions can be called and the compiler checks each call.  HAVE_* comes from probing the
 * kernel's source (features.py), since backports make version numbers useless for that.
 */
#include <linux/cpu.h>
/* What the parameter mitigations= says is the case's, also where the configuration has decided it. */
bool shim_cpu_mitigations_off(void);
#define cpu_mitigations_off()	shim_cpu_mitigations_off()
#include "mmu/mmu.c"
#ifdef HAVE_tdp_iter
#include "mmu/tdp_iter.h"
#endif
#include "shim.h"

/* One VM with one vCPU; entries set the few fields that their function reads. */
static struct kvm shim_kvm;
static struct kvm_vcpu shim_vcpu;

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
#include "entries/paging.h"
#include "entries/gptes.h"
#include "entries/permission_fault.h"
#include "entries/page_roles.h"
#include "entries/module.h"
