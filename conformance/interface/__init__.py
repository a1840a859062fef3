# SPDX-License-Identifier: GPL-2.0-only
"""What model and kernel have in common: the steps that both take, and the observation that both return.

This room imports no other one. The model, the oracles, the scenarios and the races import it, and the C of
the kvm oracle is compiled against a header that is generated from it.
"""

__all__: list[str] = []
