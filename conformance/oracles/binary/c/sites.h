/* SPDX-License-Identifier: GPL-2.0-only */
/* Where the module complains: the table that the linker makes of its own. */
#ifndef SITES_H
#define SITES_H

/* Complaints by the address at which they trap, in rising order. */
extern const struct shim_site {
	u64 address;
	const char *function;
	u64 is_bug;
} shim_sites[], shim_sites_end[];

/* The complaint at an address; NULL if that is no complaint. */
const struct shim_site *shim_site(u64 address);

#endif
