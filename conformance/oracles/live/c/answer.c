// SPDX-License-Identifier: GPL-2.0-only
// The conversation: one request a line, an answer of any number of lines, ended by a line with a dot.
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#include "agent.h"

static int channel;
int in_bochs;
static char request[8192];
static char pending[1 << 16];
static size_t nr_pending;

void open_channel(void)
{
	struct termios settings;

	channel = open("/dev/ttyS1", O_RDWR | O_NOCTTY);
	tcgetattr(channel, &settings);
	cfmakeraw(&settings);
	cfsetspeed(&settings, B115200);
	settings.c_cflag |= CLOCAL | CREAD;
	tcsetattr(channel, TCSANOW, &settings);
	in_bochs = getenv("agent_in_bochs") && allow_ports();
}

void next_request(void)
{
	static char input[4096];
	static ssize_t filled, at;
	size_t length = 0;

	for (;;) {
		if (at == filled) {
			at = 0;
			filled = read(channel, input, sizeof(input));
			if (filled <= 0) {
				filled = 0;
				continue;
			}
		}
		char c = input[at++];

		if (c == '\n')
			break;
		if (c != '\r' && length < sizeof(request) - 1)
			request[length++] = c;
	}
	request[length] = 0;
	if (in_bochs)
		read_request(request, sizeof(request));
}

int is_request(const char *name)
{
	size_t length = strlen(name);

	return !strncmp(request, name, length) && (request[length] == ' ' || !request[length]);
}

uint64_t argument_or(const char *name, uint64_t value)
{
	char key[64];
	int length = snprintf(key, sizeof(key), " %s=", name);
	char *found = strstr(request, key);

	return found ? strtoull(found + length, NULL, 0) : value;
}

uint64_t argument(const char *name)
{
	return argument_or(name, 0);
}

char *rest_of_request(void)
{
	char *space = strchr(request, ' ');

	return space ? space + 1 : request + strlen(request);
}

static void flush(void)
{
	size_t at = 0;

	if (in_bochs) {
		print_bytes(pending, nr_pending);
		at = nr_pending;
	}
	while (at < nr_pending) {
		ssize_t written = write(channel, pending + at, nr_pending - at);

		if (written < 0 && errno != EINTR)
			break;
		at += written > 0 ? (size_t)written : 0;
	}
	nr_pending = 0;
}

void answer(const char *format, ...)
{
	char line[1024];
	va_list list;
	size_t length;

	va_start(list, format);
	vsnprintf(line, sizeof(line) - 1, format, list);
	va_end(list);
	length = strlen(line);
	line[length++] = '\n';
	if (nr_pending + length > sizeof(pending))
		flush();
	memcpy(pending + nr_pending, line, length);
	nr_pending += length;
}

void answer_code(long result)
{
	answer("code %ld", result < 0 ? -(long)errno : result);
}

void answer_file(const char *path, const char *mark)
{
	FILE *file = fopen(path, "r");
	char line[1000];

	if (!file) {
		answer_code(-1);
		return;
	}
	while (fgets(line, sizeof(line), file)) {
		line[strcspn(line, "\n")] = 0;
		answer("%s %s", mark, line);
	}
	fclose(file);
	answer("code 0");
}

void end_answer(void)
{
	answer(".");
	flush();
}
