# SPDX-License-Identifier: GPL-2.0-only
"""What modpost does for a module: the unit that describes it, with the symbols that it exports and imports.

Symbols have versions in kernels with CONFIG_MODVERSIONS. Those of the kernel are in its Module.symvers; a
symbol that a patch exports gets one of its own, since all modules that use it are built together.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path

__all__ = ["Symbols", "description"]

_IMPORTED = re.compile(r"^ +U (\S+)$", re.M)
_EXPORTED = re.compile(r" (?:__export_symbol|__ksymtab)_(\w+)$", re.M)
_GPL_ONLY = "_gpl"

_HEAD = """\
/* SPDX-License-Identifier: GPL-2.0-only */
#include <linux/module.h>
#define INCLUDE_VERMAGIC
#include <linux/export-internal.h>
#include <linux/vermagic.h>

MODULE_INFO(vermagic, VERMAGIC_STRING);
MODULE_INFO(name, KBUILD_MODNAME);

__visible struct module __this_module __section(".gnu.linkonce.this_module") = {
	.name = KBUILD_MODNAME,
	.init = init_module,
	.exit = cleanup_module,
	.arch = MODULE_ARCH_INIT,
};

/* In kernels with KSYMTAB_FUNC(), modules' exports are made here. All of KVM's are for GPL modules only. */
#ifdef SYMBOL_FLAGS
#define EXPORT(name) KSYMTAB_FUNC(name, ""); SYMBOL_FLAGS(name, 1)
#elif defined(KSYMTAB_FUNC)
#define EXPORT(name) KSYMTAB_FUNC(name, "_gpl", "")
#else
#define EXPORT(name)
#endif
"""


@dataclass
class Symbols:
    """The symbols that modules can import, by name: version and module ("vmlinux", "drivers/.../ccp")."""

    known: Mapping[str, tuple[str, str]]
    ours: dict[str, str] = field(default_factory=dict)
    """Those that the modules built so far export, and which module does."""

    @classmethod
    def read(cls, symvers: Path) -> Symbols:
        """The symbols of a Module.symvers."""
        rows = (line.split("\t") for line in symvers.read_text().splitlines())
        return cls({row[1]: (row[0], row[2]) for row in rows if len(row) > 2})

    def version(self, name: str) -> str:
        """The version of a symbol."""
        return self.known[name][0] if name in self.known else f"{zlib.crc32(name.encode()):#010x}"

    def owner(self, name: str) -> str | None:
        """The name of the module that exports a symbol, "vmlinux" or None."""
        if name in self.ours:
            return self.ours[name]
        return self.known[name][1].rpartition("/")[2] if name in self.known else None


def description(module: str, listing: str, sections: str, symbols: Symbols, options: Collection[str]) -> str:
    """The unit that describes a module, by nm's and readelf's listings of its linked units.

    Adds what it exports to ``symbols``. Raises LookupError with the name of a symbol that does not exist.
    """
    exported = sorted(set(_EXPORTED.findall(listing)))
    symbols.ours |= dict.fromkeys(exported, module)
    imported = sorted(set(_IMPORTED.findall(listing)) - {"__this_module"})
    owners = {name: symbols.owner(name) for name in imported}
    for name, owner in owners.items():
        if owner is None:
            raise LookupError(name)
    depends = sorted({owner for owner in owners.values() if owner and owner not in ("vmlinux", module)})
    text = [
        _HEAD,
        f'MODULE_INFO(depends, "{",".join(depends)}");',
        *(f"EXPORT({name});" for name in exported),
    ]
    if "MODVERSIONS" in options:
        # Up to 6.3 the units make the table of exports, and each has its license in a section's name.
        licenses = dict.fromkeys(exported, _GPL_ONLY)
        licenses |= {name: gpl for gpl, name in re.findall(r" ___ksymtab(\w*)\+(\w+) ", sections)}
        text += [f'SYMBOL_CRC({name}, {symbols.version(name)}, "{licenses[name]}");' for name in exported]
        text.append('static const struct modversion_info versions[] __used __section("__versions") = {')
        text += [f'\t{{ {symbols.version(name)}, "{name}" }},' for name in ("module_layout", *imported)]
        text.append("};")
    return "\n".join(text) + "\n"
