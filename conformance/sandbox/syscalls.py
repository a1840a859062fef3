# SPDX-License-Identifier: GPL-2.0-only
"""The x86-64 system calls that are forbidden to confined programs, and to kernel code.

From include/uapi of Linux; the numbers are ABI and do not change.
"""

from __future__ import annotations

__all__ = ["KERNEL_CODE", "OPENS", "PARTLY", "PROGRAMS", "SIGNALS"]

PROGRAMS = {
    # The network and local servers, which Landlock does not cover; socketpair() is harmless.
    "socket": 41,
    # Other ways to these, to other processes, and around this filter.
    "ptrace": 101, "process_vm_readv": 310, "process_vm_writev": 311, "kcmp": 312, "pidfd_getfd": 438,
    "io_uring_setup": 425, "io_uring_enter": 426, "io_uring_register": 427, "bpf": 321,
    "perf_event_open": 298, "userfaultfd": 323,
    "add_key": 248, "request_key": 249, "keyctl": 250,
    # The system and its mounts.
    "mount": 165, "umount2": 166, "pivot_root": 155, "chroot": 161, "swapon": 167, "swapoff": 168,
    "reboot": 169, "sethostname": 170, "setdomainname": 171, "init_module": 175, "delete_module": 176,
    "finit_module": 313, "kexec_load": 246, "kexec_file_load": 320, "acct": 163, "quotactl": 179,
    "unshare": 272, "setns": 308, "open_tree": 428, "move_mount": 429, "fsopen": 430, "fsconfig": 431,
    "fsmount": 432, "fspick": 433, "mount_setattr": 442, "settimeofday": 164, "clock_settime": 227,
    "adjtimex": 159, "clock_adjtime": 305, "iopl": 172, "ioperm": 173, "syslog": 103,
    "open_by_handle_at": 304, "name_to_handle_at": 303,
    # Memory and queues that outlive a process.
    "shmget": 29, "shmat": 30, "shmctl": 31, "semget": 64, "semop": 65, "semctl": 66, "semtimedop": 220,
    "msgget": 68, "msgsnd": 69, "msgrcv": 70, "msgctl": 71, "mq_open": 240, "mq_unlink": 241,
}  # fmt: skip
"""Forbidden to every confined program."""

SOCKETS = {
    "connect": 42, "accept": 43, "sendto": 44, "recvfrom": 45, "sendmsg": 46, "recvmsg": 47,
    "bind": 49, "listen": 50, "socketpair": 53, "accept4": 288, "recvmmsg": 299, "sendmmsg": 307,
}  # fmt: skip

SIGNALS = {
    "kill": 62, "tkill": 200, "tgkill": 234, "rt_sigqueueinfo": 129, "rt_tgsigqueueinfo": 297,
    "pidfd_send_signal": 424,
}  # fmt: skip
"""Forbidden in the user's PID namespace if Landlock cannot confine signals."""

KERNEL_CODE = PROGRAMS | SOCKETS | SIGNALS | {
    # Kernel code is a single thread and starts no process.
    "clone": 56, "fork": 57, "vfork": 58, "clone3": 435, "execve": 59, "execveat": 322,
    "setsid": 112, "setpgid": 109,
    # It ends by returning or by a fault, and sends no signals.
    "pidfd_open": 434,
    # It blocks only to wait for a request.
    "pause": 34, "nanosleep": 35, "clock_nanosleep": 230, "rt_sigsuspend": 130, "rt_sigtimedwait": 128,
    "alarm": 37,
    # It does not act on other processes.
    "sched_setparam": 142, "sched_setscheduler": 144, "sched_setaffinity": 203, "sched_setattr": 314,
    "setpriority": 141, "ioprio_set": 251, "migrate_pages": 256, "move_pages": 279, "process_madvise": 440,
    "process_mrelease": 448,
    # It changes no file, and changes shared memory only by stores.
    "truncate": 76, "ftruncate": 77, "fallocate": 285, "memfd_create": 319, "memfd_secret": 447,
    "creat": 85, "openat2": 437,
    "rename": 82, "renameat": 264, "renameat2": 316, "mkdir": 83, "mkdirat": 258, "rmdir": 84, "unlink": 87,
    "unlinkat": 263, "link": 86, "linkat": 265, "symlink": 88, "symlinkat": 266, "mknod": 133, "mknodat": 259,
    "chmod": 90, "fchmod": 91, "fchmodat": 268, "fchmodat2": 452, "chown": 92, "fchown": 93, "lchown": 94,
    "fchownat": 260, "setxattr": 188, "lsetxattr": 189, "fsetxattr": 190, "utime": 132, "utimes": 235,
    "utimensat": 280, "futimesat": 261,
    "copy_file_range": 326, "sendfile": 40, "splice": 275, "tee": 276, "vmsplice": 278,
    # It does not change its credentials.
    "setuid": 105, "setgid": 106, "setreuid": 113, "setregid": 114, "setgroups": 116, "setresuid": 117,
    "setresgid": 119, "setfsuid": 122, "setfsgid": 123, "capset": 126, "personality": 135,
}  # fmt: skip
"""Forbidden to processes that run kernel code."""

OPENS = {"open": (2, 1), "openat": (257, 2)}
"""Calls that open a file: number, and the index of the flags argument."""

PARTLY = (
    # prlimit64(): only for this process.
    (302, 0, True, (0,)),
    # fcntl(), ioctl(): no signals to other processes through a descriptor (F_SETOWN, F_SETSIG,
    # F_SETOWN_EX; FIOSETOWN, SIOCSPGRP).
    (72, 1, False, (8, 10, 15)),
    (16, 1, False, (0x8901, 0x8902)),
)
"""Calls that kernel code may make with some arguments only: number, argument, and whether it must be
one of the values or must not be.
"""
