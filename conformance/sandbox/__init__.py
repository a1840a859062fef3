# SPDX-License-Identifier: GPL-2.0-only
"""Runs foreign code, and programs that work on it: confined, within limits, leaving no processes behind.

Kernel code (the oracles) and what builds it (make, compilers) are started here and nowhere else. The lowest
room: it knows only errors.
"""
