# SPDX-License-Identifier: GPL-2.0-only
"""Races on the model: threads as greenlets, stopped before each access to shared memory."""
