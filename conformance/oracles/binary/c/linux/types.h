/* SPDX-License-Identifier: GPL-2.0-only */
/* Where the kernel's own header has its types: those of ours that need no kernel, and what BTF declares. */
#include "front.h"
