# SPDX-License-Identifier: GPL-2.0-only
"""SPTEs in the output of running kernels: lines of dmesg and of traces."""

__all__: list[str] = []
