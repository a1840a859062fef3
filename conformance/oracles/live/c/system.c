// SPDX-License-Identifier: GPL-2.0-only
// The system around the VM: modules, files, symbols, programs, RCU.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/membarrier.h>
#include <linux/reboot.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent.h"

long write_file(const char *path, const char *text, int flags)
{
	int file = open(path, O_WRONLY | flags);
	ssize_t written;

	if (file < 0)
		return -1;
	written = write(file, text, strlen(text));
	close(file);
	return written < 0 ? -1 : 0;
}

/* insmod PATH [PARAMETERS] */
static void serve_insmod(void)
{
	char *path = rest_of_request(), *parameters = strchr(path, ' ');
	int file;

	if (parameters)
		*parameters++ = 0;
	file = open(path, O_RDONLY);
	answer_code(file < 0 ? -1 : syscall(SYS_finit_module, file, parameters ? parameters : "", 0));
	close(file);
}

static void serve_rmmod(void)
{
	answer_code(syscall(SYS_delete_module, rest_of_request(), O_NONBLOCK));
}

/* write PATH TEXT, append PATH TEXT */
static void write_text(int flags)
{
	char *path = rest_of_request(), *text = strchr(path, ' '), line[4096];

	if (!text) {
		errno = EINVAL;
		answer_code(-1);
		return;
	}
	*text++ = 0;
	snprintf(line, sizeof(line), "%s\n", text);
	answer_code(write_file(path, line, flags));
}

static void serve_write(void)
{
	write_text(O_TRUNC);
}

static void serve_append(void)
{
	write_text(O_APPEND);
}

static void serve_mkdir(void)
{
	answer_code(mkdir(rest_of_request(), 0755));
}

static void serve_read(void)
{
	answer_file(rest_of_request(), ">");
}

/* The content of a file in hexadecimal, 256 bytes a line. */
static void serve_encoded(void)
{
	FILE *file = fopen(rest_of_request(), "rb");
	unsigned char bytes[256];
	size_t size;

	while (file && (size = fread(bytes, 1, sizeof(bytes), file))) {
		char line[2 * sizeof(bytes) + 1];

		for (size_t n = 0; n < size; n++)
			snprintf(line + 2 * n, 3, "%02x", bytes[n]);
		answer("> %s", line);
	}
	if (file)
		fclose(file);
	answer_code(file ? 0 : -1);
}

static char **words_of_request(void)
{
	static char *words[64];
	size_t n = 0;

	for (char *word = strtok(rest_of_request(), " "); word && n < ARRAY_SIZE(words) - 1;
	     word = strtok(NULL, " "))
		words[n++] = word;
	words[n] = NULL;
	return words;
}

#define OUTPUT "/tmp/output"

static pid_t start_program(char **words)
{
	pid_t child = fork();

	if (!child) {
		int output = open(OUTPUT, O_CREAT | O_TRUNC | O_WRONLY, 0600);
		sigset_t none;

		sigemptyset(&none);
		sigprocmask(SIG_SETMASK, &none, NULL);
		setenv("PATH", "/bin", 1);
		dup2(output, 1);
		dup2(output, 2);
		execv(words[0], words);
		perror(words[0]);
		_exit(127);
	}
	return child;
}

/* "status N", as waitpid() has it, after the lines of its output. */
static void answer_end(pid_t child)
{
	int status = -1;

	waitpid(child, &status, 0);
	answer_file(OUTPUT, ">");
	answer("status %d", status);
}

/* execute_program PATH [ARGUMENT]...: run a program to its end. */
static void serve_execute_program(void)
{
	answer_end(start_program(words_of_request()));
}

/* start_program PATH [ARGUMENT]...: "pid N"; end_program pid=N: interrupt it, and answer as above. */
static void serve_start_program(void)
{
	answer("pid %d", start_program(words_of_request()));
}

static void serve_end_program(void)
{
	pid_t child = argument("pid");

	kill(child, SIGINT);
	answer_end(child);
}

static void serve_wait(void)
{
	usleep(argument("milliseconds") * 1000);
	answer("code 0");
}

static void serve_grace_period(void)
{
	answer_code(syscall(SYS_membarrier, MEMBARRIER_CMD_GLOBAL, 0, 0));
}

static void serve_power_off(void)
{
	end_answer();
	sync();
	reboot(LINUX_REBOOT_CMD_POWER_OFF);
}

const struct request system_requests[] = {
	{ "insmod", serve_insmod },
	{ "rmmod", serve_rmmod },
	{ "write", serve_write },
	{ "append", serve_append },
	{ "mkdir", serve_mkdir },
	{ "read", serve_read },
	{ "encoded", serve_encoded },
	{ "execute_program", serve_execute_program },
	{ "start_program", serve_start_program },
	{ "end_program", serve_end_program },
	{ "wait", serve_wait },
	{ "grace_period", serve_grace_period },
	{ "power_off", serve_power_off },
	{ NULL, NULL },
};
