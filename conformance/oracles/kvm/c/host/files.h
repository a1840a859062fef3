/* SPDX-License-Identifier: GPL-2.0-only */
/* Open files, and KVM's module parameters. */
#ifndef CONFORMANCE_KVM_FILES_H
#define CONFORMANCE_KVM_FILES_H

#include <linux/types.h>

struct file;

/* /dev/kvm, and the file of a descriptor. */
struct file *env_device(void);
struct file *env_file(int fd);
int env_close(int fd);

bool env_has_parameter(const char *name);
/* Write `value` into /sys/module/kvm/parameters/`name`; the process ends if KVM has no such parameter. */
int env_set_parameter(const char *name, const char *value);

#endif
