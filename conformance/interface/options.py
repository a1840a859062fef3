# SPDX-License-Identifier: GPL-2.0-only
"""The options of a VM: vCPUs, module parameters, manual dirty log protection, the processor's dirty log."""

from __future__ import annotations

from collections.abc import Mapping

from conformance.interface.arguments import Argument

__all__ = ["OPTIONS", "check_options", "unusual"]

OPTIONS: dict[str, Argument] = {
    option.name: option
    for option in (
        Argument("vcpus", 1, 4, 1),
        Argument("eager_page_split", 0, 1, 1),
        Argument("nx_huge_pages", 0, 1, 0),
        Argument("manual_protect", 0, 3, 0),
        Argument("pml", 0, 1, 0),
    )
}
"""Every option by name, in the order in which the C takes them."""


def unusual(options: Mapping[str, int]) -> list[str]:
    """The options that differ from their defaults, as lines of a scenario file."""
    return [f"option {name}={value}" for name, value in options.items() if value != OPTIONS[name].default]


def check_options(given: Mapping[str, int]) -> dict[str, int]:
    """All options, with defaults for those that are not given. Raises ValueError for an unknown one."""
    for name, value in given.items():
        if name not in OPTIONS:
            raise ValueError(f"there is no option {name}; there are {', '.join(OPTIONS)}")
        OPTIONS[name].check(value)
    if given.get("manual_protect") == 2:
        raise ValueError("manual_protect=2 (INITIALLY_SET) needs 1 (ENABLE), too; pass 0, 1 or 3")
    return {name: given.get(name, option.default or 0) for name, option in OPTIONS.items()}
