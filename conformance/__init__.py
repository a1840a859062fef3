# SPDX-License-Identifier: GPL-2.0-only
"""Differential conformance suite for the Linux KVM x86 MMU.

The rooms, from the ground up: ``kernels`` (where kernel code comes from), ``oracles`` (what answers
for it), ``model`` (what we say the kernel does), ``differential`` (where the two meet), ``reports``
and ``cli``.
"""

__version__ = "0.1.0"
