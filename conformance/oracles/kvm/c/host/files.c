// SPDX-License-Identifier: GPL-2.0-only
/*
 * KVM's interface to user space: /dev/kvm, the files of its descriptors, its module parameters.  VMs are created,
 * configured and closed by the kernel's own ioctls.
 */
#include <linux/anon_inodes.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/miscdevice.h>
#include <linux/moduleparam.h>
#include "kernel/cpu.h"
#include "kernel/memory.h"
#include "process/exchange.h"
#include "process/stand_in.h"
#include "files.h"

#define MAX_FILES	(MAX_VCPUS + 8)
static struct file *files[MAX_FILES];
static struct file device;

int misc_register(struct miscdevice *misc)
{
	device.f_op = misc->fops;
	return 0;
}

struct file *env_device(void)
{
	return &device;
}

struct file *env_file(int fd)
{
	return files[fd];
}

static struct file *new_file(const struct file_operations *fops, void *private_data)
{
	struct file *file = env_object(sizeof(*file), true);

	file->f_op = fops;
	file->private_data = private_data;
	return file;
}

int get_unused_fd_flags(unsigned int flags)
{
	int fd;

	for (fd = 1; fd < MAX_FILES; fd++)
		if (!files[fd])
			return fd;
	env_die(ENV_LIMIT, "too many files are open", (unsigned long)__builtin_return_address(0));
}

void fd_install(unsigned int fd, struct file *file)
{
	files[fd] = file;
}

struct file *anon_inode_getfile(const char *name, const struct file_operations *fops, void *private_data,
				int flags)
{
	return new_file(fops, private_data);
}
struct file *env_anon_inode_getfile_fmode(const char *name, const struct file_operations *fops,
					  void *private_data, int flags, fmode_t mode)
	STANDS_IN(anon_inode_getfile_fmode) __attribute__((alias("anon_inode_getfile")));

int anon_inode_getfd(const char *name, const struct file_operations *fops, void *private_data, int flags)
{
	int fd = get_unused_fd_flags(flags);

	if (fd > 0)
		files[fd] = new_file(fops, private_data);
	return fd;
}

int env_close(int fd)
{
	struct file *file = files[fd];
	int r = file->f_op->release(NULL, file);

	files[fd] = NULL;
	env_kfree(file);
	return r;
}

/* The file system of guest_memfd, in which no file is ever created. */
void *env_kern_mount(void *type) STANDS_IN(kern_mount);
void *env_kern_mount(void *type)
{
	static long mount[8];

	return mount;
}

/* Module parameters, as written to sysfs: of the types that KVM's have. */
static int parse(const char *text, unsigned int *value)
{
	for (*value = 0; *text >= '0' && *text <= '9'; text++)
		*value = *value * 10 + *text - '0';
	return *text && *text != '\n' ? -EINVAL : 0;
}

int kstrtobool(const char *text, bool *value)
{
	if (!strchr("yY1nN0", *text))
		return -EINVAL;
	*value = !!strchr("yY1", *text);
	return 0;
}

static int set_bool(const char *text, const struct kernel_param *param)
{
	return kstrtobool(text, param->arg);
}

int param_set_uint(const char *text, const struct kernel_param *param)
{
	return parse(text, param->arg);
}

const struct kernel_param_ops param_ops_bool = { .set = set_bool };
const struct kernel_param_ops param_ops_bint = { .set = param_set_uint };
const struct kernel_param_ops param_ops_int = { .set = param_set_uint };
const struct kernel_param_ops param_ops_uint = { .set = param_set_uint };

/* A limit of this environment: that a parameter is missing says nothing about the behaviour of KVM. */
static void __noreturn no_parameter(const char *name)
{
	char what[96] = "KVM has no module parameter ";
	int at = strlen(what);

	while (*name && at < sizeof(what) - 1)
		what[at++] = *name++;
	what[at] = 0;
	env_die(ENV_LIMIT, what, (unsigned long)__builtin_return_address(0));
}

static const struct kernel_param *parameter(const char *name)
{
	const struct kernel_param *param;

	for (param = __start___param; param < __stop___param; param++)
		/* The prefix is "kvm." */
		if (sysfs_streq(strchr(param->name, '.') + 1, name))
			return param;
	return NULL;
}

bool env_has_parameter(const char *name)
{
	return parameter(name);
}

int env_set_parameter(const char *name, const char *value)
{
	const struct kernel_param *param = parameter(name);

	if (!param)
		no_parameter(name);
	return param->ops->set(value, param);
}
