// SPDX-License-Identifier: GPL-2.0-only
/* What the kernel knows of the CPU, and that booting is over.  Bits are set by cpu.c and machine.c. */
#include <linux/percpu.h>
#include <linux/kernel.h>
#include <asm/processor.h>

struct cpuinfo_x86 boot_cpu_data = {
	.x86_vendor = X86_VENDOR_INTEL,
	.x86_virt_bits = 48,
	.cpuid_level = 0x16,
};
DEFINE_PER_CPU_READ_MOSTLY(struct cpuinfo_x86, cpu_info);

/* Static keys may be used. */
enum system_states system_state = SYSTEM_RUNNING;
bool static_key_initialized = true;
