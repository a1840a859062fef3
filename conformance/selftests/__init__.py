# SPDX-License-Identifier: GPL-2.0-only
"""KVM's own selftests of the MMU, run in an emulated machine: a smoke test of a kernel that boots.

The tests come from the kernel's source and judge the kernel by themselves; the model has no part in it.
"""
