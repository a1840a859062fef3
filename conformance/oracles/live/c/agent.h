/* SPDX-License-Identifier: GPL-2.0-only */
/* What the parts of the agent share: requests, answers, and the VM. See main.c. */
#ifndef AGENT_H
#define AGENT_H

#include <stddef.h>
#include <stdint.h>

#define PAGE_SIZE 4096ull
#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

/* A kind of request, and the function that serves it. */
struct request {
	const char *name;
	void (*serve)(void);
};

/* answer.c: the conversation over the second serial port; for Bochs see ports.c. */
void open_channel(void);
/* The machine is in Bochs. */
extern int in_bochs;
/* Read the next request, one line. */
void next_request(void);
/* The name of the request is this one. */
int is_request(const char *name);
/* The argument "name=value" of the request, or its default. */
uint64_t argument_or(const char *name, uint64_t value);
uint64_t argument(const char *name);
/* Everything behind the name of the request. */
char *rest_of_request(void);
void answer(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* Answer "code N": 0 or more, or a negative errno if result is -1. */
void answer_code(long result);
/* Answer the content of a file, a line of the answer for each, with a mark before it. */
void answer_file(const char *path, const char *mark);
void end_answer(void);

/* ports.c: devices of Bochs, used without a driver: the parallel port, and the disk. */
extern const struct request port_requests[];
/* Whether this process may use ports. */
int allow_ports(void);
void print_bytes(const char *bytes, size_t size);
/* Read the request, of this size, that a line on the serial port has announced. */
void read_request(char *request, size_t size);

/* process.c: the host process, whose memory is the guest's. */
extern const struct request process_requests[];
/* The address of a page of the process by its number. */
void *address_of(uint64_t page);
/* The process has a page at this address. */
int is_present(void *address);
/* Write a word of a page; -1 with EFAULT if the process may not. */
int store_word(uint64_t page, uint64_t index, uint64_t value);
/* Unmap all pages, at the end of a VM. */
void unmap_process(void);

/* vm.c: the VM, its memslots and its vCPUs. */
extern const struct request vm_requests[];
/* The pages with the guest's own code and tables; NULL without a VM. */
extern uint8_t *guest_stub;
#define STUB_SIZE (8 * PAGE_SIZE)
#define STUB_SLOT 300
/* Whether the guest's tables are the story's, for shadow paging. */
extern int has_own_tables;
/* The page of the process that backs a gfn of the story; NULL if no memslot of the address space does. */
void *guest_memory(unsigned int as_id, uint64_t gfn);
int vcpu_fd(unsigned int vcpu);
struct kvm_run *vcpu_run(unsigned int vcpu);

/* guest.c: the guest's code, and running an instruction of it. */
extern const struct request guest_requests[];
/* Where the guest's own memory is: 512 GiB, so that the root table alone is shared with a story's gfns. */
#define STUB 0x8000000000ull
void fill_stub(uint8_t *stub);
/* Put a vCPU into long mode on the tables of the stub; 0 or a negative errno. */
long start_long_mode(int fd);
void prepare_signals(void);

/* paging.c: a guest with page tables of the story. */
extern const struct request paging_requests[];
/* Where the guest's own memory is then: 32-bit tables reach it, and no story uses it. */
#define LOW_STUB 0xe0000000ull
struct kvm_sregs;
void fill_paging_stub(uint8_t *stub);
/* Set the control registers of a vCPU; 0 or a negative errno. */
long start_paging(unsigned int vcpu, const struct kvm_sregs *wanted);
void settle_vcpu(unsigned int vcpu);

/* system.c: modules, files, programs. */
extern const struct request system_requests[];
long write_file(const char *path, const char *text, int flags);

/* trace.c: what KVM's trace events said meanwhile. */
extern const struct request trace_requests[];
void answer_trace(void);

#endif
