# SPDX-License-Identifier: GPL-2.0-only
"""``python -m conformance`` is the same as ``conformance``."""

from conformance.cli import main

if __name__ == "__main__":
    main()
