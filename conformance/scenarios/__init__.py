# SPDX-License-Identifier: GPL-2.0-only
"""Whole-system stories: told in steps, played on the kernel and on the model, compared after every step."""

__all__: list[str] = []
