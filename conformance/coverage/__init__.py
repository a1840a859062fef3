# SPDX-License-Identifier: GPL-2.0-only
"""What was executed of a kernel's MMU, by which layer of the suite, and what of that was compared."""
