# SPDX-License-Identifier: GPL-2.0-only
"""The processes that a command starts, and what they may do. The lowest room: it knows only errors."""
