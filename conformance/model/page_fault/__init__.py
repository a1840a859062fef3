# SPDX-License-Identifier: GPL-2.0-only
"""A fault of the guest, from the exit to the SPTE that resolves it."""
