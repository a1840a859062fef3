# SPDX-License-Identifier: GPL-2.0-only
"""Races: the same threads under every schedule, on the model and on real kernel code."""
