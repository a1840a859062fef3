# SPDX-License-Identifier: GPL-2.0-only
"""The shim library's C interface, as cffi reads it (ABI mode: one library serves every Python)."""

from __future__ import annotations

__all__ = ["CDEF"]

CDEF = """
struct shim_entry {
    const char *name;
    unsigned int nr_in, nr_out;
    void (*run)(const uint64_t *in, uint64_t *out, unsigned long n);
};
unsigned long shim_nr_entries(void);
const struct shim_entry *shim_entry(unsigned long i);
void shim_run(unsigned long entry, const uint64_t *in, uint64_t *out, unsigned long n, uint64_t *at);
void shim_configure(const uint64_t *host);
void shim_expect(unsigned int slot, const char *name);
const char *shim_unexpected(void);
unsigned long conformance_coverage(void *to, unsigned long size);
void conformance_plant(unsigned long number);
"""
