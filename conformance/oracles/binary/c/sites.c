// SPDX-License-Identifier: GPL-2.0-only
/* Complaints of the module, by where they are. */
#include "front.h"
#include "shim.h"
#include "sites.h"

const struct shim_site *shim_site(u64 address)
{
	const struct shim_site *low = shim_sites, *high = shim_sites_end;

	while (low < high) {
		const struct shim_site *middle = low + (high - low) / 2;

		if (middle->address == address)
			return middle;
		if (middle->address < address)
			low = middle + 1;
		else
			high = middle;
	}
	return NULL;
}

/* WARNs that say something are calls since v6.19, with the entry of the table that they belong to. */
void shim_warn_trap(const int *bug_entry, ...) __asm__("__SCT__WARN_trap");
void shim_warn_trap(const int *bug_entry, ...)
{
	const struct shim_site *site = shim_site((u64)bug_entry + *bug_entry);

	shim_event("WARN", site ? site->function : "of no known place");
}
