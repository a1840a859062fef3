# SPDX-License-Identifier: GPL-2.0-only
"""What running kernels print: traces, held against rules, and SPTEs and WARNs in logs.

Read ``files`` and ``lines`` for how a trace is read, ``host`` for how its kernel and mode are found,
``rules`` for what it is held to, and ``checking`` for how.
"""

__all__: list[str] = []
