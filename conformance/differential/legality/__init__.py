# SPDX-License-Identifier: GPL-2.0-only
"""Which inputs the kernel's own callers can give a function, and counterexamples among these."""
