// SPDX-License-Identifier: GPL-2.0-only
/* All that the layers below call of a race.  The hooks of the scheduler are set by race_threads.c, per thread. */
#include "kernel/memory.h"
#include "machine/guest.h"
#include "racing.h"

static const struct history_hooks of_history = {
	.event = race_event,
	.bits = race_event_bits,
};

static const struct memory_hooks of_memory = {
	.allocated = race_allocated,
	.freed = race_freed,
	.hide = race_hide,
};

static const struct lock_hooks of_locks = {
	.lock = race_lock,
	.wait_for_readers = race_wait_for_readers,
};

static const struct processor_hooks of_processors = {
	.find_table = race_find_table,
	.cache_table = race_cache_table,
	.drop_tables = race_drop_tables,
};

static const struct guest_hooks of_guests = {
	.serve_other_requests = race_serve_other_requests,
	.enter_guest = race_enter_guest,
	.leave_guest = race_leave_guest,
	.alone = race_alone,
	.accesses = race_accesses,
};

/* Before the machine boots. */
void race_register_hooks(void)
{
	history_hooks = &of_history;
	memory_hooks = &of_memory;
	lock_hooks = &of_locks;
	processor_hooks = &of_processors;
	guest_hooks = &of_guests;
}
