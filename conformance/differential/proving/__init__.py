# SPDX-License-Identifier: GPL-2.0-only
"""Proving: both sides of a property as formulas, equal for every input on every host, or a counterexample."""
