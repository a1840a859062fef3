# SPDX-License-Identifier: GPL-2.0-only
"""What userspace, the host and vCPUs ask of KVM: memslots, dirty logs, MMU notifiers, entering the guest."""
