# SPDX-License-Identifier: GPL-2.0-only
"""Small harmless attacks in C, planted into a kernel's source: each misuses system calls as foreign code
could.

A number selects the attack at run time, so that one library has them all. A marker is a file that must not
appear; a secret is a file that must not be read.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from planting import patch_between

from conformance.kernels import open_kernel

CALL = """
static __always_inline long attack_call(long number, long a, long b, long c, long d, long e, long f)
{
	register long r10 asm("r10") = d;
	register long r8 asm("r8") = e;
	register long r9 asm("r9") = f;
	long result;

	asm volatile("syscall" : "=a"(result) : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
		: "rcx", "r11", "memory");
	return result;
}
#define CALL(number, a, b, c, d) attack_call(number, (long)(a), (long)(b), (long)(c), (long)(d), -1, 0)
#define SAY(words) { int fd; for (fd = 0; fd < 64; fd++) CALL(1, fd, words, sizeof(words) - 1, 0); }
#define SPIN for (;;) asm volatile("pause")
"""

FINDING, HARMLESS = "finding", "harmless"


@dataclass(frozen=True)
class Attack:
    """Code, and whether it must be a finding, or have no effect."""

    code: str
    ends: str = FINDING


ATTACKS = {
    "garbage on every descriptor": Attack('SAY("garbage\\n{\\"refused\\": \\"me\\"}\\n");'),
    "a forged refusal": Attack('SAY("{\\"refused\\": \\"nothing to see\\"}\\n"); CALL(231, 0, 0, 0, 0);'),
    "forged bytes that say done": Attack('SAY("\\0\\0\\0\\0\\0\\0\\0\\0\\0\\0\\0\\0\\0\\0\\0\\0"); SPIN;'),
    "a flood": Attack('for (;;) SAY("0123456789012345678901234567890123456789012345678901234567890123");'),
    "a flood of standard error": Attack("static char page[4096]; for (;;) CALL(1, 2, page, 4096, 0);"),
    "exit_group(0)": Attack("CALL(231, 0, 0, 0, 0);"),
    "exit_group(1)": Attack("CALL(231, 1, 0, 0, 0);"),
    "a stack that is not canonical": Attack('asm volatile("mov %0, %%rsp; push %%rax" : : "r"(1ul << 62));'),
    "SIGSTOP to itself": Attack("CALL(62, CALL(39, 0, 0, 0, 0), 19, 0, 0);"),
    "pause()": Attack("CALL(34, 0, 0, 0, 0);"),
    "nanosleep()": Attack("long time[2] = { 1000, 0 }; CALL(35, time, 0, 0, 0);"),
    "poll()": Attack("CALL(7, 0, 0, -1, 0);"),
    "read() of every descriptor": Attack(
        "char byte; int fd; for (fd = 0; fd < 64; fd++) CALL(0, fd, &byte, 1, 0);"
    ),
    "a loop with all signals blocked": Attack("long all = -1; CALL(14, 0, &all, 0, 8); SPIN;"),
    "a loop with a timer that is turned off": Attack("long none[4] = { 0 }; CALL(38, 1, none, 0, 0); SPIN;"),
    "fork()": Attack("if (!CALL(57, 0, 0, 0, 0)) SPIN;"),
    "a daemon": Attack("if (!CALL(57, 0, 0, 0, 0)) { CALL(112, 0, 0, 0, 0); SPIN; }"),
    "clone3()": Attack("long how[11] = { 0 }; CALL(435, how, 88, 0, 0);"),
    "execve()": Attack(
        'static char *const words[] = { "/bin/sleep", "9", NULL }; CALL(59, words[0], words, 0, 0);'
    ),
    "ftruncate() of every descriptor": Attack("int fd; for (fd = 0; fd < 64; fd++) CALL(77, fd, 0, 0, 0);"),
    "kill the parent": Attack("CALL(62, CALL(110, 0, 0, 0, 0), 9, 0, 0);"),
    "kill everything": Attack("CALL(62, -1, 9, 0, 0);"),
    "a limit of the parent": Attack("long none[2] = { 0 }; CALL(302, CALL(110, 0, 0, 0, 0), 6, none, 0);"),
    "a signal by way of a descriptor": Attack("CALL(72, 2, 8, CALL(110, 0, 0, 0, 0), 0);"),
    "a signal by way of ioctl()": Attack("int to = CALL(110, 0, 0, 0, 0); CALL(16, 2, 0x8901, &to, 0);"),
    "the parent's processors": Attack("long none = 0; CALL(203, CALL(110, 0, 0, 0, 0), 8, &none, 0);"),
    "signal 40": Attack("CALL(62, CALL(39, 0, 0, 0, 0), 40, 0, 0);"),
    "3 GB of memory": Attack(
        "long i, size = 3L << 30; char *got = (char *)CALL(9, 0, size, 3, 0x4022);"
        " for (i = 0; i < size; i += 4096) got[i] = 1;"
    ),
    "a marker": Attack('CALL(2, "@MARKER@", 0102, 0600, 0);'),
    "a marker by openat()": Attack('CALL(257, -100, "@MARKER@", 0102, 0600);'),
    "a directory": Attack('CALL(83, "@MARKER@", 0700, 0, 0);'),
    "the secret": Attack('if (CALL(2, "@SECRET@", 0, 0, 0) >= 0) CALL(231, 3, 0, 0, 0);', HARMLESS),
    "a socket": Attack("CALL(41, 2, 1, 0, 0);"),
    "a local socket": Attack("CALL(41, 1, 1, 0, 0);"),
    "io_uring": Attack("char how[120] = { 0 }; CALL(425, 8, how, 0, 0);"),
    "shared memory that outlives it": Attack("CALL(29, 0, 4096, 01600, 0);"),
    "ptrace the parent": Attack("CALL(101, 16, CALL(110, 0, 0, 0, 0), 0, 0);"),
    "all its memory unmapped": Attack("CALL(11, 0x1000, 0x7fffffff0000, 0, 0);"),
    "a stack without end": Attack(
        "volatile char much[1 << 16]; much[0] = 1; attack(number); much[1] = much[0];"
    ),
    "int $0x80": Attack(
        'long result = 2; asm volatile("int $0x80" : "+a"(result) : "b"(0), "c"(0), "d"(0) : "memory");'
    ),
}
"""Attacks by name; an attack's number is its position, from 1."""


def number_of(name: str) -> int:
    """The number of an attack."""
    return 1 + [*ATTACKS].index(name)


def planted(file: str, at: str, call: str, place: Path, home: Path) -> Path:
    """A patch file for 6.1 with all attacks in one file; `call`, inserted before `at`, selects one."""
    before = (open_kernel("6.1").root / "src" / file).read_text()
    assert before.count(at) == 1, f"{file} has {before.count(at)} times {at!r}"
    cases = "".join(
        f"\tcase {number_of(name)}: {{ {attack.code} break; }}\n" for name, attack in ATTACKS.items()
    )
    cases = cases.replace("@MARKER@", str(home / "marker")).replace("@SECRET@", str(home / "secret"))
    function = (
        f"{CALL}\nstatic noinline void attack(long number)\n{{\n\tswitch (number) {{\n{cases}\t}}\n}}\n"
    )
    lines = before.replace(at, f"{call}{at}").splitlines(keepends=True)
    last = max(index for index, line in enumerate(lines) if line.startswith("#include"))
    lines.insert(last + 1, function)
    return patch_between(file, before, "".join(lines), place)
