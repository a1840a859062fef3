# SPDX-License-Identifier: GPL-2.0-only
"""A diff, the text of a mail around it, and mails of that text."""

DIFF = (
    "diff --git a/arch/x86/kvm/mmu/spte.h b/arch/x86/kvm/mmu/spte.h\n"
    "--- a/arch/x86/kvm/mmu/spte.h\n+++ b/arch/x86/kvm/mmu/spte.h\n"
    "@@ -1,2 +1,2 @@\n /* von Jörg */\n-mask = 0x20\n+mask |= a == 20 ? 3 : 4;\n"
)
TEXT = f"Why it is so.\n\nSigned-off-by: Jörg <j@invalid>\n---\n spte.h | 2 +-\n\n{DIFF}-- \n2.39.5\n"


def mail(body: str | bytes = TEXT, **headers: str) -> bytes:
    given = {
        "From": "J <j@invalid>",
        "Subject": "[PATCH v3 2/7] KVM: x86/mmu: Say why",
        "Message-Id": "<2@invalid>",
        **{name.replace("_", "-"): value for name, value in headers.items()},
    }
    head = "".join(f"{name}: {value}\n" for name, value in given.items())
    return head.encode() + b"\n" + (body.encode() if isinstance(body, str) else body)
