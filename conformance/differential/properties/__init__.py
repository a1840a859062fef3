# SPDX-License-Identifier: GPL-2.0-only
"""The properties, by group; importing this declares them all."""

from conformance.differential.properties import (
    access,
    construct,
    masks,
    mmio,
    shape,
    tdp,
    translation,
    writability,
)
from conformance.differential.property import PROPERTIES

__all__ = ["PROPERTIES", "access", "construct", "masks", "mmio", "shape", "tdp", "translation", "writability"]
