# SPDX-License-Identifier: GPL-2.0-only
"""Small harmless attacks by build files: lines of a Makefile and shell commands.

{home} is a throw-away home with a secret in it, {cache} another entry of the cache, {tree} the user's tree,
{port} and {socket} addresses of a server, {victim} a process of the user, {token} a number that marks command
lines.
"""

from __future__ import annotations

__all__ = ["ENDED", "HARMFUL", "REFUSED", "makefile"]

_NATIVE = """\
\t@printf '#include <fcntl.h>\\nint plugin_is_GPL_compatible;\\n' > $(O)/p.c
\t@printf '__attribute__((constructor)) static void f(void) {{ open("{home}/marker", O_CREAT, 0600); }}\\n' \\
\t\t>> $(O)/p.c
"""

HARMFUL = {
    "a marker by a recipe": "\t@touch {home}/marker",
    "a marker by $(shell)": "X := $(shell touch {home}/marker)",
    "a marker by an included file": "$(O)/inc.mk:\n\ttouch {home}/marker; echo > $@\n-include $(O)/inc.mk",
    "a marker by a script": "\t@sh scripts/attack.sh {home}/marker",
    "a marker by a link in the output": "\t@ln -s {home} $(O)/out; echo x > $(O)/out/marker; rm $(O)/out",
    "a marker by a plugin": _NATIVE
    + "\t@$(CC) -shared -fPIC -o $(O)/p.so $(O)/p.c\n"
    + "\t@$(CC) -fplugin=$(O)/p.so -c $(O)/p.c -o $(O)/p.o",
    "a marker by a constructor": _NATIVE
    + "\t@echo 'int main(void) {{ return 0; }}' >> $(O)/p.c\n"
    + "\t@$(CC) -o $(O)/p $(O)/p.c && $(O)/p",
    "a marker by a daemon": (
        "\t@setsid sh -c 'sleep 0.5; touch {home}/marker' > /dev/null 2>&1 < /dev/null &\n\t@sleep 1"
    ),
    "the secret by cp": "\t@cp {home}/secret $(O)/include/generated/more.h",
    "the secret by .incbin": (
        "\t@echo '.incbin \"{home}/secret\"' > $(O)/s.S; $(CC) -c $(O)/s.S -o $(O)/include/generated/more.h"
    ),
    "the secret by /proc": "\t@cp /proc/$$PPID/root{home}/secret $(O)/include/generated/more.h",
    "the network": "\t@bash -c 'echo x > /dev/tcp/127.0.0.1/{port}'",
    "a server in a file": (
        "\t@python3 -c 'import socket; socket.socket(socket.AF_UNIX).connect(\"{socket}\")'"
    ),
    "another entry of the cache": "\t@echo x > {cache}/file",
    "removing another entry of the cache": "\t@rm -rf {cache}",
    "the user's tree": "\t@echo x >> {tree}/Makefile",
    "removing the user's tree": "\t@rm -rf {tree}/include",
    "the user's processes": "\t@kill -9 {victim}",
}
"""Attacks that do harm without confinement. The build succeeds nevertheless."""

REFUSED = {
    "a link to the secret": "\t@ln -s {home}/secret $(O)/include/generated/more.h",
    "a link to a directory": "\t@rm -r $(O)/include/generated; ln -s {home} $(O)/include/generated",
    "a link in place of the configuration": "\t@ln -sf {home}/secret $(O)/.config",
    "a pipe": "\t@mkfifo $(O)/one.cmd",
    "a directory in place of the configuration": "\t@rm $(O)/.config; mkdir $(O)/.config",
}
"""Attacks that create files of kinds that Kbuild does not create."""

ENDED = {
    "a hang": ("X := $(shell sleep {token})", "waiting"),
    "a stop": ("\t@kill -STOP $$$$", "waiting"),
    "a loop": ("\t@while :; do :; done", "processor time"),
    "many processes": (
        "\t@for i in $$(seq 600); do sleep {token} & done; wait",
        r"started more than 512 processes",
    ),
    "messages without end": ("\t@yes", r"wrote more than 64 MiB of messages"),
    "errors without end": ("\t@yes >&2", r"wrote more than 64 MiB of messages"),
    "files without end": (
        "\t@for i in 1 2 3 4 5; do fallocate -l 500M $(O)/$$i; done; sleep {token}",
        r"wrote more than 2048 MiB of files",
    ),
}
"""Attacks that exceed the limits of builds, with the expected message."""


def makefile(text: str, payload: str) -> str:
    """A tree's Makefile with a payload: recipe lines at the end of prepare0, other lines at the top."""
    if not payload.startswith("\t"):
        return f"{payload}\n{text}"
    return text + payload.replace("\t@", "\t-@") + "\n"
