# SPDX-License-Identifier: GPL-2.0-only
"""The binary oracle: functions of the kvm.ko that a distribution ships, called at fixed addresses."""

from conformance.oracles.binary.build import build_binary
from conformance.oracles.binary.module import Module, open_module
from conformance.oracles.binary.oracle import BinaryOracle
from conformance.oracles.binary.storing import symbolic_image

__all__ = ["BinaryOracle", "Module", "build_binary", "open_module", "symbolic_image"]
