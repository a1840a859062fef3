# SPDX-License-Identifier: GPL-2.0-only
"""One SPTE: what its bits mean, how it is made, and how it is changed."""
