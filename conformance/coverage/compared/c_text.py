# SPDX-License-Identifier: GPL-2.0-only
"""What the mutation operators know of C: types of variables, constants, and what must stay as it is."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from tree_sitter import Node

from conformance.kernels.parsing import text_of

__all__ = [
    "Scope", "flat", "is_bits", "is_constant", "is_whole", "left_alone", "may_be_number", "scope_of",
    "without_effect",
]  # fmt: skip

_WITHOUT_EFFECT = re.compile(
    r"(?!WRITE_ONCE|INIT_|smp_store|rcu_assign)"
    r"(BUILD_BUG|WARN|KVM_BUG|KVM_MMU_WARN|BUG|\w*lockdep|trace_|pr_|printk|might_|cond_resched|static_assert"
    r"|__?_?free|kvfree|kfree|cpu_relax|barrier|local_irq_|preempt_|smp_|rcu_|srcu_|read_|write_|spin_|mutex_"
    r"|_?raw_|guard\(|scoped_|[A-Z0-9_]+\()"
)
"""Calls without effect on a function's result, calls that keep locks balanced, declaring macros."""

_LEFT_ALONE = re.compile(
    r"([A-Z0-9_]+|\w*for_each\w*|\w*lockdep\w*|trace_\w+|pr_\w+|printk\w*|vcpu_\w*warn\w*|static_assert"
    r"|container_of\w*|offsetof|typeof|__builtin_\w+|\w*list_(first_|last_|next_|prev_)?entry\w*|rb_entry"
    r"|rcu_\w+|srcu_\w+|guard|scoped_guard|this_cpu_\w+|per_cpu\w*|local_irq_\w+"
    r"|static_call\w*|kvm_x86_call|kvm_make_request)"
)
"""Functions and macros whose arguments are checks and messages, types, constants or variables."""

_BITS = re.compile(
    r"(enum \w+|[us](8|16|32|64)|(unsigned |signed )?(char|short|int|long)( long)?( int)?|unsigned|size_t"
    r"|ssize_t|loff_t|uint64_t|gfn_t|gpa_t|gva_t|hpa_t|hva_t|hfn_t|kvm_pfn_t|vm_fault_t)"
)
"""Integer types, whose values are changed by flipping bits."""

_QUALIFIERS = re.compile(
    r"\b(const|static|inline|__always_inline|noinline|volatile|register|__maybe_unused)\b"
)

_CONFIGURED = re.compile(
    r"\b(IS_ENABLED|IS_BUILTIN|IS_REACHABLE|CONFIG_\w+|__OPTIMIZE__|__builtin_constant_p)\b"
)
"""Conditions at compile time: what they exclude may not link."""

_NODES_LEFT_ALONE = {
    "comment", "gnu_asm_expression", "sizeof_expression", "alignof_expression", "offsetof_expression",
    "type_descriptor", "attribute_specifier", "attribute_declaration", "enum_specifier", "struct_specifier",
    "union_specifier", "array_declarator", "preproc_call", "preproc_def", "preproc_function_def",
    "preproc_include", "parameter_list", "string_literal", "char_literal",
}  # fmt: skip

_NO_CONSTANT = re.compile(r"(NULL|E[A-Z0-9]{3,}|_*GFP_\w+|_+\w+)")
"""Names in capitals that are no numbers, or whose value nothing but userspace reads."""


_POINTERS = re.compile(
    r"(kvm|vcpu|mmu|\w*_mmu|slots?|memslots?|sp|root|role|\w*_role|spt|sptep|next|prev|private|lock"
    r"|\w*_cache|\w*_list|file|mm|vma|ops|data)"
)
"""Members that are pointers or structures."""


@dataclass(frozen=True)
class Scope:
    """The variables of a function.

    returned: its return type. kinds: the type of each parameter and local variable. valued: those with a
    value from their declaration on, which is at an offset.
    """

    returned: str
    kinds: Mapping[str, str]
    valued: Mapping[str, int]

    def another(self, name: str, at: int) -> str:
        """Another variable of the same type that has a value at an offset; "" without one."""
        kind = self.kinds[name]
        return next(
            (
                other
                for other, begins in self.valued.items()
                if other != name and self.kinds[other] == kind and begins < at
            ),
            "",
        )


def scope_of(function: Node) -> Scope:
    """The scope of a function definition. A name that is declared twice with different types is left out."""
    kinds: dict[str, str] = {}
    valued: dict[str, int] = {}
    unclear: set[str] = set()
    body = function.child_by_field_name("body")
    for name, kind, at, has_value in _declared(function, body):
        if kinds.setdefault(name, kind) != kind:
            unclear.add(name)
        if has_value:
            valued.setdefault(name, at)
    declarator = function.child_by_field_name("declarator")
    pointer = "*" if declarator is not None and declarator.type == "pointer_declarator" else ""
    return Scope(
        _kind_of(function) + pointer,
        {name: kind for name, kind in kinds.items() if name not in unclear},
        {name: at for name, at in valued.items() if name not in unclear},
    )


def _declared(node: Node, body: Node | None) -> Iterator[tuple[str, str, int, bool]]:
    """Each variable declared below a node: name, type, where it begins, whether it has a value there.

    In an inner block no variable counts as having one, since it is not known outside.
    """
    for child in node.children:
        if child.type in ("parameter_declaration", "declaration"):
            static = any(part.type == "storage_class_specifier" for part in child.children)
            for part in child.children_by_field_name("declarator"):
                name, stars = part, ""
                valued = child.type == "parameter_declaration" or (
                    part.type == "init_declarator" and node == body
                )
                while name is not None and name.type in ("init_declarator", "pointer_declarator"):
                    stars += "*" if name.type == "pointer_declarator" else ""
                    name = name.child_by_field_name("declarator") or name.named_children[-1]
                if name is not None and name.type == "identifier" and not static:
                    yield text_of(name), _kind_of(child) + stars, child.end_byte, valued
        if child.type != "initializer_list":
            yield from _declared(child, body)


def _kind_of(node: Node) -> str:
    """The type in a declaration, without qualifiers."""
    kind = node.child_by_field_name("type")
    return " ".join(_QUALIFIERS.sub("", text_of(kind)).split()) if kind is not None else ""


def is_bits(kind: str) -> bool:
    """Whether a type is an integer."""
    return _BITS.fullmatch(kind) is not None


def may_be_number(member: Node) -> bool:
    """Whether a member of a structure may be a number, by its name."""
    name = member.child_by_field_name("field")
    return name is not None and _POINTERS.fullmatch(text_of(name)) is None


def is_constant(node: Node) -> bool:
    """Whether an identifier is a named constant or a mask, and not what is called or assigned."""
    name, parent = text_of(node), node.parent
    if parent is None or _NO_CONSTANT.fullmatch(name):
        return False
    if parent.type == "assignment_expression" and parent.child_by_field_name("left") == node:
        return False
    if parent.type in ("update_expression", "pointer_expression", "parameter_declaration", "declaration"):
        return False
    if parent.type == "call_expression" or parent.type.endswith("declarator"):
        return False
    if parent.type == "argument_list" and name.startswith("X86_"):
        return False  # The compiler checks which feature or bit it is.
    capitals = name.isupper() and len(name) > 2 and any(one.isalpha() for one in name)
    return capitals or name.endswith(("_mask", "_bit", "_bits"))


def is_whole(node: Node) -> bool:
    """Whether a piece can be wrapped: parsed without errors, no preprocessor lines in it, not configured."""
    if node.has_error or (node.children and node.children[-1].is_missing):
        return False
    text = text_of(node)
    return "\n#" not in text and not _CONFIGURED.search(text)


def left_alone(node: Node, field: str | None) -> bool:
    """Whether nothing may change in a node, which is in a field of its parent."""
    kind, parent = node.type, node.parent.type if node.parent is not None else ""
    if kind in _NODES_LEFT_ALONE:
        return True
    if parent == "case_statement" and field == "value":
        return True
    if parent.startswith("preproc_") and field in ("name", "condition"):
        return True
    if kind == "declaration":
        return any(
            part.type == "storage_class_specifier" and text_of(part) == "static" for part in node.children
        )
    if kind == "call_expression":
        function = node.child_by_field_name("function")
        return function is not None and _LEFT_ALONE.fullmatch(text_of(function)) is not None
    return False


def without_effect(call: Node) -> bool:
    """Whether a call is not to be dropped: it has no effect on results, or keeps locks balanced."""
    return _WITHOUT_EFFECT.match(text_of(call)) is not None


def flat(node: Node) -> str:
    """The text of a node on one line, without comments."""
    text = re.sub(r"/\*.*?\*/|//[^\n]*", " ", text_of(node), flags=re.S)
    return " ".join(text.replace("\\\n", " ").split())
