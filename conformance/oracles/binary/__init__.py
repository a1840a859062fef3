# SPDX-License-Identifier: GPL-2.0-only
"""The binary oracle: functions of the kvm.ko that a distribution ships, called at fixed addresses."""

from conformance.oracles.binary.build import build_binary, has_types, release_of
from conformance.oracles.binary.oracle import BinaryOracle
from conformance.oracles.binary.storing import symbolic_image

__all__ = ["BinaryOracle", "build_binary", "has_types", "release_of", "symbolic_image"]
