# SPDX-License-Identifier: GPL-2.0-only
"""Where model and kernel meet: properties, the spaces they are explored in, engines, comparison."""
