# SPDX-License-Identifier: GPL-2.0-only
"""An SPTE decoded: its kind, its bits by name, and one line of text.

``hardware`` has the bits that depend on the mode, ``named_bits`` the tables of names and meanings, ``kinds``
the kinds of SPTE, ``fields`` the division of one SPTE into fields, ``text`` the line for reports. Masks and
layout come from the kernel, so that all of it fits any profile and mode. ``illegal`` has the combinations
that KVM never makes.
"""
