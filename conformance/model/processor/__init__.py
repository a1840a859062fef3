# SPDX-License-Identifier: GPL-2.0-only
"""The processor: it walks the page tables and caches what it finds, independently of KVM."""
