// SPDX-License-Identifier: GPL-2.0-only
// The agent: /init of the emulated machine. It takes requests, one a line, over the second serial port.
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

int main(void)
{
	mount_at("/dev", "devtmpfs");
	mount_at("/proc", "proc");
	mount_at("/sys", "sysfs");
	mount_at("/tmp", "tmpfs");
	mount_at("/sys/fs/cgroup", "cgroup2");
	mount_at("/sys/kernel/tracing", "tracefs");
	mount_at("/sys/kernel/debug", "debugfs");
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
