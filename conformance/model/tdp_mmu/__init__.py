# SPDX-License-Identifier: GPL-2.0-only
"""The TDP MMU: the page tables of direct roots, and every operation on them."""
