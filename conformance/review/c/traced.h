/* SPDX-License-Identifier: GPL-2.0-only */
/* Included before KVM's units where they are to tell which functions run: "inline" says that none may. */
#undef notrace
#define notrace
