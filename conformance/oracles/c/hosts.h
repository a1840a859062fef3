/* SPDX-License-Identifier: GPL-2.0-only */
/* The properties of a host, in the order of HOST in hosts.py. */
#ifndef CONFORMANCE_HOSTS_H
#define CONFORMANCE_HOSTS_H

enum conformance_host {
	HOST_PHYS_BITS, HOST_CACHE_BITS, HOST_L1TF, HOST_MMIO_CACHING, HOST_TDP, HOST_EPT, HOST_AD_BITS,
	HOST_EXEC_ONLY, HOST_ME_VALUE, HOST_ME_MASK, HOST_TDP_MMU, NR_HOST,
};

#endif
