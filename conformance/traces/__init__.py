# SPDX-License-Identifier: GPL-2.0-only
"""What running kernels print: SPTEs in lines of dmesg and of traces."""

__all__: list[str] = []
