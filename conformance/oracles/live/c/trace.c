// SPDX-License-Identifier: GPL-2.0-only
// The trace: what KVM's events said during a step is part of its answer.
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "agent.h"

static int pipe_of_events = -1;

/* Answer the events since the last time, "trace EVENT: FIELDS" for each. Reading consumes them. */
void answer_trace(void)
{
	static char text[1 << 16];
	ssize_t size, filled = 0;

	if (pipe_of_events < 0)
		return;
	while ((size = read(pipe_of_events, text + filled, sizeof(text) - 1 - filled)) > 0) {
		char *line = text, *end;

		filled += size;
		text[filled] = 0;
		for (; (end = strchr(line, '\n')); line = end + 1) {
			*end = 0;
			answer("trace %s", line);
		}
		filled = strlen(line);
		memmove(text, line, filled);
	}
}

/* From now on the events that are enabled in this instance of the tracer are part of answers. */
static void serve_follow_trace(void)
{
	char path[256];

	snprintf(path, sizeof(path), "%s/trace_pipe", rest_of_request());
	close(pipe_of_events);
	pipe_of_events = open(path, O_RDONLY | O_NONBLOCK);
	answer_code(pipe_of_events < 0 ? -1 : 0);
}

const struct request trace_requests[] = {
	{ "follow_trace", serve_follow_trace },
	{ NULL, NULL },
};
