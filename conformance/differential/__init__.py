# SPDX-License-Identifier: GPL-2.0-only
"""Single functions compared: properties, their input spaces, two sides, engines, proofs."""
