/* SPDX-License-Identifier: GPL-2.0-only */
/* vCPUs that run. */
#ifndef CONFORMANCE_KVM_GUEST_H
#define CONFORMANCE_KVM_GUEST_H

#include <linux/types.h>

struct exit;
struct kvm_vcpu;

/* What a race adds to a vCPU. */
struct guest_hooks {
	/* Serve the requests that do not concern the MMU. */
	void (*serve_other_requests)(struct kvm_vcpu *vcpu);
	/* A CPU in guest mode takes no interrupts. */
	void (*enter_guest)(int cpu);
	void (*leave_guest)(int cpu);
	/* Whether all other threads have ended; for conditions of a wait. */
	bool (*alone)(void);
	/* Whether guests access any gfn of a range. */
	bool (*accesses)(u64 first, u64 npages);
};

/* NULL in an ordinary machine. */
extern const struct guest_hooks *guest_hooks;

/* Enter the guest and return: 0, a negative error, or 1 if KVM shuts the guest down instead. */
int guest_enter(struct kvm_vcpu *vcpu);

/*
 * The pieces of which an instruction consists, under SRCU.  Enter the guest, as guest_enter(); leave it, with an
 * exit to handle or not; handle the exit, as an EXIT_* of interface.h or a negative error, and in `result` what KVM
 * returned; whether KVM will retry for ever.
 */
int guest_run(struct kvm_vcpu *vcpu);
void guest_leave(struct kvm_vcpu *vcpu, bool exits);
int guest_handle_exit(struct kvm_vcpu *vcpu, u64 address, struct exit *exit, int *result);
bool guest_never_ends(struct kvm_vcpu *vcpu);

/* One access; its exits and its end are the outcome. */
void guest_access(struct kvm_vcpu *vcpu, u64 gfn, int kind);
/*
 * `n` page faults by writes, over and over to the same pages, which the notifier unmaps after each round: for the
 * benchmark.  With shadow paging the guest has to map the gfns at their own addresses.
 */
long guest_faults(struct kvm_vcpu *vcpu, u64 gfn, u64 npages, long n);
/* Enter or leave system management mode. */
void guest_smm(struct kvm_vcpu *vcpu, bool on);

#endif
