# SPDX-License-Identifier: GPL-2.0-only
"""The model as it reads for one kernel: its functions with every ``has(CHANGE)`` folded away.

``functions`` finds them in the source, ``decisions`` evaluates what a profile decides, ``folding`` rewrites
one function, whose text ``source`` has by positions.
"""
