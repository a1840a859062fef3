# SPDX-License-Identifier: GPL-2.0-only
"""The shim oracle: single functions of the kernel's MMU, compiled from its source, called through cffi."""
