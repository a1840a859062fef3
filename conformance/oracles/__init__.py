# SPDX-License-Identifier: GPL-2.0-only
"""What answers for the kernel. An oracle knows nothing of the model."""
