# SPDX-License-Identifier: GPL-2.0-only
"""The machine: one VM with its host, vCPUs and processor, driven by the interface's table of steps.

Read ``machine`` (the VM of a kernel in a mode), ``steps`` and ``paging_steps`` (what each step does),
``step_table``, ``observation``, ``shadow_view`` and ``paging_view`` (what can be seen after it) and
``stepped_vm``. The VM itself is in the rooms below; see ``conformance.model``.

The machine follows kernels from v6.1 on, with one memory type.
"""

from __future__ import annotations

from conformance.model.machine.machine import KernelBug, Machine

__all__ = ["KernelBug", "Machine"]
