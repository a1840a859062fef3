# SPDX-License-Identifier: GPL-2.0-only
"""The state of a VM: host memory, memslots, MMU pages, vCPUs, locks and requests."""
