# SPDX-License-Identifier: GPL-2.0-only
"""The kvm oracle: the whole of KVM's core, unmodified, in a child process, with an environment of ours."""
