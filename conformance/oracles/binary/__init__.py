# SPDX-License-Identifier: GPL-2.0-only
"""The binary oracle: functions of the kvm.ko that a distribution ships, called at fixed addresses."""
