# SPDX-License-Identifier: GPL-2.0-only
"""Which executed lines are also compared: changes are planted into them, and it is seen what detects each.

The reading order: operators (the changes), planting and planted_kernel (how they are compiled in),
sampling (which lines are drawn), detecting and judging (what detects a change), equivalence (changes without
effect), mutants (the results), sample (all of it).
"""
