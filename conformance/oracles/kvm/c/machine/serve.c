// SPDX-License-Identifier: GPL-2.0-only
/* What Python calls to boot KVM and to drive a machine.  Compiled against libc, as process.c. */
#include <unistd.h>

#include "process/process.h"
#include "serve.h"

/*
 * Initialise KVM on a host: 0, or a positive number of process_init(), or the kernel's negative error.
 * `patience`, here and below, is the processor time that it may take, in microseconds.
 */
EXPORT int kvm_boot(struct env_exchange *exchange, const unsigned long *host, long patience)
{
	int r = process_init(exchange);

	if (r)
		return r;
	process_set_watchdog(patience);
	r = machine_boot(host);
	process_set_watchdog(0);
	/* Complaints on the way are about what no process can do, such as disabling interrupts. */
	exchange->events_length = 0;
	return r;
}

/* Requests; as in server.py. */
enum serve { SERVE_END, SERVE_STEP, SERVE_COVERAGE };

unsigned long conformance_coverage(void *to, unsigned long size);

/* In place of an observation, write the execution counters and their size in bytes. */
static void write_coverage(void)
{
	const unsigned long size = sizeof(env_exchange->words) - sizeof(env_exchange->words[0]);

	env_exchange->words[0] = conformance_coverage(&env_exchange->words[1], size);
	env_exchange->nr_words = 1;
}

/*
 * Create a machine, then take steps.  A request on `in` is a nonce and a word, of enum serve.  The answer on `out` is
 * the nonce and 0 once that is done; the first answer, with the nonce given, says that the machine exists.
 */
EXPORT void kvm_serve(int in, int out, unsigned long nonce, const unsigned long *options, long patience)
{
	unsigned long message[2] = { nonce, 0 };
	const ssize_t size = sizeof(message);
	unsigned long request;

	process_set_watchdog(patience);
	env_exchange->words[0] = machine_create(options);
	env_exchange->nr_words = 1;
	while (write(out, message, size) == size && read(in, message, size) == size && message[1] != SERVE_END) {
		request = message[1];
		message[1] = 0;
		process_set_watchdog(patience);
		if (request == SERVE_COVERAGE)
			write_coverage();
		else
			machine_step(env_exchange->step, env_exchange->args);
	}
	_exit(0);
}
