/* SPDX-License-Identifier: GPL-2.0-only */
/* Whether the rights of a walk of the guest's page tables allow an access.  Only for code that is compiled here. */

#ifdef HAVE_permission_fault
#define STAGE_GUEST	0
#define STAGE_EPT	2

/* The walk by which kvm_mmu_refresh_passthrough_bits() knows a second stage. */
#ifdef HAVE_kvm_pagewalk
#define SHIM_STAGE(stage)	((stage) ? &shim_vcpu.arch.ngpa_walk : &shim_vcpu.arch.gva_walk)
#define shim_fmt(walk)		((walk)->fmt)
#else
#define SHIM_STAGE(stage)	((stage) ? &shim_vcpu.arch.guest_mmu : &shim_vcpu.arch.root_mmu)
#define shim_fmt(walk)		(*(walk))
#endif

#ifndef HAVE_kvm_cpu_role
static unsigned long shim_rflags(struct kvm_vcpu *vcpu)
{
	return shim_env.eflags_ac ? X86_EFLAGS_AC : 0;
}

static int shim_cpl(struct kvm_vcpu *vcpu)
{
	return shim_env.cpl3 ? 3 : 0;
}
#endif

/*
 * in: access, ACC_* bits, key, PKRU, stage (the guest's, NPT, EPT), EFLAGS.AC, CPL 3, CR0.WP of the vCPU;
 * of the role: cr4.smep, cr4.smap, cr0.wp, efer.nx, cr4.pke.  out: the error code
 */
SHIM(permission_fault, 13, 1)
{
	typeof(SHIM_STAGE(0)) walk = SHIM_STAGE(in[4]);
	const bool ept = in[4] == STAGE_EPT, pke = in[12] && in[4] == STAGE_GUEST;

	memset(shim_fmt(walk).permissions, 0, sizeof(shim_fmt(walk).permissions));
	shim_fmt(walk).pkru_mask = 0;
	shim_vcpu.arch.pkru = in[3];
	shim_env.eflags_ac = in[5];
	shim_env.cpl3 = in[6];
#ifdef HAVE_kvm_cpu_role
	shim_set_registers(in[7] ? X86_CR0_WP : 0, 0, 0);
	shim_vcpu.arch.reserved_gpa_bits = 0;
	walk->cpu_role.as_u64 = 0;
	walk->cpu_role.base.level = PT64_ROOT_4LEVEL;
	role_smep(walk->cpu_role) = in[8];
	walk->cpu_role.ext.cr4_smap = in[9];
	walk->cpu_role.base.cr0_wp = in[10];
	walk->cpu_role.base.efer_nx = in[11];
	walk->cpu_role.ext.cr4_pke = pke;
#ifdef HAVE_PERMISSION_TDP_PARAMETER
	update_permission_bitmask(walk, in[4] != STAGE_GUEST, ept);
#else
	update_permission_bitmask(walk, ept);
#endif
	update_pkru_bitmask(walk);
#else
	kvm_x86_ops.get_rflags = shim_rflags;
	kvm_x86_ops.get_cpl = shim_cpl;
	shim_set_registers(in[10] ? X86_CR0_WP : 0,
			   (in[8] ? X86_CR4_SMEP : 0) | (in[9] ? X86_CR4_SMAP : 0) | (pke ? X86_CR4_PKE : 0), EFER_LMA);
	walk->nx = in[11];
	update_permission_bitmask(&shim_vcpu, walk, ept);
	update_pkru_bitmask(&shim_vcpu, walk, false);
#endif
	out[0] = permission_fault(&shim_vcpu, walk, in[1], in[2], in[0]);
}
#endif
