# SPDX-License-Identifier: GPL-2.0-only
"""BTF made by hand, type by type, for tests of what reads it; and ELF files that carry it."""

from __future__ import annotations

import struct
import subprocess
from pathlib import Path

KINDS = {
    "int": 1, "pointer": 2, "array": 3, "struct": 4, "union": 5, "enum": 6, "forward": 7, "typedef": 8,
    "volatile": 9, "const": 10, "restrict": 11, "function": 12, "prototype": 13, "variable": 14,
    "section": 15, "float": 16, "tag": 17, "type_tag": 18, "enum64": 19,
}  # fmt: skip


class Made:
    """A BTF under construction: each method adds a type and returns its id."""

    def __init__(self, base: Made | None = None) -> None:
        self.base = base
        self.first_string = base.first_string + len(base.strings) if base else 0
        self.strings = b"" if base else b"\0"
        self.next = base.next if base else 1
        self.types = b""

    def string(self, text: str) -> int:
        """Where a string is; a base's are used again."""
        if not text:
            return 0
        if self.base is not None:
            at = (b"\0" + self.base.strings).find(b"\0" + text.encode() + b"\0")
            if at > 0:
                return self.base.first_string + at
        at = self.first_string + len(self.strings)
        self.strings += text.encode() + b"\0"
        return at

    def add(self, kind: str | int, name: str = "", value: int = 0, parts=(), flag=0, extra=b"") -> int:
        """Add a type of any kind."""
        number = KINDS[kind] if isinstance(kind, str) else kind
        info = flag << 31 | number << 24 | len(parts)
        self.types += struct.pack("<III", self.string(name), info, value) + extra
        for part in parts:
            self.types += struct.pack(f"<{len(part)}I", *(n & 0xFFFFFFFF for n in part))
        self.next += 1
        return self.next - 1

    def int(self, name: str, size: int, signed=False) -> int:
        return self.add("int", name, size, extra=struct.pack("<I", signed << 24 | 8 * size))

    def to(self, kind: str, target: int, name: str = "") -> int:
        """A pointer, qualifier or typedef."""
        return self.add(kind, name, target)

    def array(self, target: int, count: int) -> int:
        return self.add("array", extra=struct.pack("<III", target, 0, count))

    def whole(self, kind: str, name: str, size: int, members, bitfields=False) -> int:
        """A struct or union: members are (name, type, bit) or, with bit-fields, (name, type, bit, width)."""
        parts = [(self.string(m[0]), m[1], m[2] | (m[3] << 24 if bitfields else 0)) for m in members]
        return self.add(kind, name, size, parts, flag=bitfields)

    def enum(self, name: str, values: dict[str, int], signed=False) -> int:
        return self.add("enum", name, 4, [(self.string(n), v) for n, v in values.items()], flag=signed)

    def enum64(self, name: str, values: dict[str, int], signed=False) -> int:
        parts = [(self.string(n), v & 0xFFFFFFFF, v >> 32) for n, v in values.items()]
        return self.add("enum64", name, 8, parts, flag=signed)

    def function(self, name: str, result: int, parameters) -> int:
        prototype = self.add("prototype", "", result, [(self.string(n), t) for n, t in parameters])
        return self.add("function", name, prototype)

    def data(self) -> bytes:
        header = struct.pack(
            "<HBBIIIII", 0xEB9F, 1, 0, 24, 0, len(self.types), len(self.types), len(self.strings)
        )
        return header + self.types + self.strings


KVM_C = """
struct kvm_mmu_page { unsigned long long gfn; };
struct kvm_mmu_page sp;
int kvm_mmu_set_ept_masks(int a) { return a; }
const char info[] __attribute__((section(".modinfo"))) = "vermagic=6.1.0-1-amd64 SMP\\0license=GPL";
"""


def module(place: Path, btf: bytes | None = None, source: str = KVM_C, flags=("-c",)) -> Path:
    """A kvm.ko of a few lines, with BTF if any is given."""
    (place / "kvm.c").write_text(source)
    made = place / "kvm.ko"
    subprocess.run(["gcc", "-fno-pic", *flags, "-o", made, place / "kvm.c"], check=True)
    if btf is not None:
        (place / "btf").write_bytes(btf)
        subprocess.run(["objcopy", "--add-section", f".BTF={place / 'btf'}", made], check=True)
    return made


def kernel_types() -> Made:
    """What a vmlinux might have."""
    made = Made()
    made.int("unsigned int", 4)
    made.int("long long unsigned int", 8)
    return made
