# SPDX-License-Identifier: GPL-2.0-only
"""Shadow paging: ``translation`` is the packing of shadowed_translation.

``toy`` has what three races of the fast page fault need: one shadow page of a guest with one page table.
"""
