# SPDX-License-Identifier: GPL-2.0-only
"""The live oracle: a stock kernel that runs in an emulated machine, driven step by step.

The emulator needs neither root nor /dev/kvm. The agent (c/) is the machine's /init; it takes steps over a
serial port. While it waits for the next one, the kernel's state is read from the machine's memory.
"""
