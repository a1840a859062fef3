# SPDX-License-Identifier: GPL-2.0-only
"""Whole-system scenarios: steps taken by the kernel and by the model, compared after every step."""

__all__: list[str] = []
