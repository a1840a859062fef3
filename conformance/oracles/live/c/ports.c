// SPDX-License-Identifier: GPL-2.0-only
// Devices of Bochs, used without a driver: its disk and its parallel port.
//
// A serial port of Bochs loses what comes faster than interrupts are served, so that only an empty line comes
// over it; the request is on the disk, a file of the host. Pages of memory are written there. Answers are
// printed: Bochs writes them to a pipe, byte by byte.
#define _GNU_SOURCE
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/io.h>
#include <unistd.h>

#include "agent.h"

#define PRINTER_DATA 0x378
#define PRINTER_CONTROL 0x37a
#define ONLINE 0x0c		/* Not to be initialised, selected. */
#define STROBE 0x01

#define DISK_DATA 0x1f0
#define DISK_COUNT 0x1f2
#define DISK_LOW 0x1f3
#define DISK_MIDDLE 0x1f4
#define DISK_HIGH 0x1f5
#define DISK_DEVICE 0x1f6
#define DISK_COMMAND 0x1f7	/* The status, when read. */
#define DISK_CONTROL 0x3f6
#define NO_INTERRUPTS 0x02
#define FIRST_DISK 0xe0
#define READ_SECTORS_EXT 0x24
#define WRITE_SECTORS_EXT 0x34
#define BUSY 0x80
#define DATA_REQUEST 0x08

#define SECTOR 512
#define SECTORS_OF_PAGE (PAGE_SIZE / SECTOR)
/* Pages of one request; they are written to the first sectors. */
#define MOST_PAGES 512
/* Where requests are. */
#define REQUEST_AT (MOST_PAGES * SECTORS_OF_PAGE)

int allow_ports(void)
{
	return !iopl(3);
}

void print_bytes(const char *bytes, size_t size)
{
	for (size_t n = 0; n < size; n++) {
		outb(bytes[n], PRINTER_DATA);
		outb(ONLINE | STROBE, PRINTER_CONTROL);
		outb(ONLINE, PRINTER_CONTROL);
	}
}

/* The offset of a physical address in /proc/kcore, which has the direct map; -1 if it is no memory. */
static off_t offset_in_kcore(int kcore, uint64_t address)
{
	static Elf64_Phdr parts[64];
	static unsigned int nr_parts;

	if (!nr_parts) {
		Elf64_Ehdr header;

		if (pread(kcore, &header, sizeof(header), 0) != sizeof(header))
			return -1;
		nr_parts = header.e_phnum < ARRAY_SIZE(parts) ? header.e_phnum : ARRAY_SIZE(parts);
		if (pread(kcore, parts, nr_parts * sizeof(*parts), header.e_phoff) < 0)
			return -1;
	}
	for (Elf64_Phdr *part = parts; part < parts + nr_parts; part++)
		if (part->p_type == PT_LOAD && part->p_paddr != -1ull && address >= part->p_paddr &&
		    address - part->p_paddr < part->p_memsz)
			return part->p_offset + (address - part->p_paddr);
	return -1;
}

/* Begin to transfer sectors, less than 64 Ki, from or to one of the first 64 Ki. */
static void begin_transfer(unsigned int command, unsigned int first, unsigned int sectors)
{
	outb(NO_INTERRUPTS, DISK_CONTROL);
	outb(FIRST_DISK, DISK_DEVICE);
	/* Each register takes two bytes, the high one first: count, and three bytes of each half of the address. */
	outb(sectors >> 8, DISK_COUNT);
	for (unsigned int port = DISK_LOW; port <= DISK_HIGH; port++)
		outb(0, port);
	outb(sectors, DISK_COUNT);
	outb(first, DISK_LOW);
	outb(first >> 8, DISK_MIDDLE);
	outb(0, DISK_HIGH);
	outb(command, DISK_COMMAND);
}

static void wait_for_data(void)
{
	while ((inb(DISK_COMMAND) & (BUSY | DATA_REQUEST)) != DATA_REQUEST)
		;
}

void read_request(char *request, size_t size)
{
	begin_transfer(READ_SECTORS_EXT, REQUEST_AT, size / SECTOR);
	for (size_t at = 0; at < size; at += SECTOR) {
		wait_for_data();
		insl(DISK_DATA, request + at, SECTOR / 4);
	}
	request[size - 1] = 0;
}

/*
 * memory FRAME...: write these page frames, numbers in hexadecimal digits, to the disk, from its first sector
 * on. One that is no memory is written as zeros, and said: "none FRAME".
 */
static void serve_memory(void)
{
	static uint64_t frames[MOST_PAGES];
	static uint8_t page[PAGE_SIZE];
	unsigned int nr_frames = 0;
	int kcore = open("/proc/kcore", O_RDONLY);

	for (char *word = strtok(rest_of_request(), " "); word && nr_frames < MOST_PAGES; word = strtok(NULL, " "))
		frames[nr_frames++] = strtoull(word, NULL, 16);
	if (kcore < 0 || !nr_frames) {
		answer_code(-1);
		return;
	}
	begin_transfer(WRITE_SECTORS_EXT, 0, nr_frames * SECTORS_OF_PAGE);
	for (unsigned int n = 0; n < nr_frames; n++) {
		off_t offset = offset_in_kcore(kcore, frames[n] * PAGE_SIZE);

		if (offset < 0 || pread(kcore, page, sizeof(page), offset) != sizeof(page)) {
			memset(page, 0, sizeof(page));
			answer("none %llx", (unsigned long long)frames[n]);
		}
		for (unsigned int at = 0; at < PAGE_SIZE; at += SECTOR) {
			wait_for_data();
			outsl(DISK_DATA, page + at, SECTOR / 4);
		}
	}
	close(kcore);
	answer("code 0");
}

const struct request port_requests[] = {
	{ "memory", serve_memory },
	{ NULL, NULL },
};
