# SPDX-License-Identifier: GPL-2.0-only
"""What a kernel's x86 KVM MMU does, as a specification: pure Python, independent of kernels and oracles."""
