// SPDX-License-Identifier: GPL-2.0-only
// The agent: /init of the emulated machine. It takes requests, one a line, over the second serial port.
#define _GNU_SOURCE
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include "agent.h"

static const struct request *const tables[] = {
	process_requests, vm_requests, guest_requests, system_requests, trace_requests,
	port_requests, paging_requests,
};

static void mount_at(const char *place, const char *type)
{
	mkdir(place, 0755);
	mount(type, place, type, 0, NULL);
}

static void serve(void)
{
	for (unsigned int n = 0; n < ARRAY_SIZE(tables); n++) {
		for (const struct request *one = tables[n]; one->name; one++) {
			if (is_request(one->name)) {
				one->serve();
				return;
			}
		}
	}
	answer("unknown");
}

/* Nothing preempts the agent: KVM would yield in long walks, and flush for that. */
static void take_priority(void)
{
	struct sched_param lowest = { .sched_priority = 1 };

	write_file("/proc/sys/kernel/sched_rt_runtime_us", "-1", 0);
	sched_setscheduler(0, SCHED_FIFO | SCHED_RESET_ON_FORK, &lowest);
}

int main(void)
{
	mount_at("/dev", "devtmpfs");
	mount_at("/proc", "proc");
	mount_at("/sys", "sysfs");
	mount_at("/tmp", "tmpfs");
	mount_at("/sys/fs/cgroup", "cgroup2");
	mount_at("/sys/kernel/tracing", "tracefs");
	mount_at("/sys/kernel/debug", "debugfs");
	take_priority();
	prepare_signals();
	open_channel();
	answer("ready");
	end_answer();
	for (;;) {
		next_request();
		serve();
		answer_trace();
		end_answer();
	}
}
