# SPDX-License-Identifier: GPL-2.0-only
"""Where kernel code comes from: selectors, the archive, trees, patches, preparing, compiling, the cache."""

from conformance.kernels.cache import Cache, key_of
from conformance.kernels.compiling import BuildError, Unit
from conformance.kernels.kernel import Kernel
from conformance.kernels.opening import open_kernel
from conformance.kernels.selector import DEFAULT, SERIES, expand
from conformance.kernels.tools import Progress

__all__ = [
    "DEFAULT",
    "SERIES",
    "BuildError",
    "Cache",
    "Kernel",
    "Progress",
    "Unit",
    "expand",
    "key_of",
    "open_kernel",
]
