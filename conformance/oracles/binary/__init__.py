# SPDX-License-Identifier: GPL-2.0-only
"""The binary oracle: the kvm.ko that a distribution ships, its layouts read from its own type information."""
