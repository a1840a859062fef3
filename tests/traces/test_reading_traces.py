# SPDX-License-Identifier: GPL-2.0-only
"""Traces are read as tools and mails write them; what is missing in them is said."""

from __future__ import annotations

import gzip
import io
import lzma

import pytest
from test_plants import VIOLATION, clean, read
from trace_dat import trace_dat
from writing import kernel, record, text

from conformance.errors import ConformanceError
from conformance.traces import tracedat
from conformance.traces.checking import check
from conformance.traces.files import read_trace
from conformance.traces.recording import SCRIPT, recording

# Lines of public mails and notes.

WALK = """\
 qemu-system-x86-8397    [002] .....  1404.389384: kvm_tdp_mmu_spte_changed: as id 0 gfn 0 level 4 old_spte 2c583e907 new_spte 0
 qemu-system-x86-8397    [002] .....  1404.389384: kvm_mmu_prepare_zap_page: sp gen 0 gfn 0 l3 8-byte q0 direct wux nxe ad root 0 sync
 qemu-system-x86-8397    [002] .....  1404.389391: kvm_tdp_mmu_spte_changed: as id 0 gfn 99 level 1 old_spte 600000455299b77 new_spte 5a0
 qemu-system-x86-8397    [002] .....  1404.389430: kvm_tdp_mmu_spte_changed: as id 0 gfn 2400 level 2 old_spte 60000021be00bf3 new_spte 5a0
 qemu-system-x86-8396    [001] d....  1404.389435: kvm_entry: vcpu 0, rip 0xffffffff8108aca7
"""  # noqa: E501
"""M. Krause, "[PATCH v4 0/6] KVM: MMU: performance tweaks for heavy CR0.WP users", 2023: a root is zapped."""

FREEZE = """\
> qemu-5786    [029] ..... 3602162.971194: kvm_page_fault: vcpu 4 rip
> 0xffffffff820fe612 address 0x00000000020fe612 error_code 0x184
> qemu-5786    [029] ..... 3602162.971194: fast_page_fault: vcpu 4 gva
> 20fe612 error_code F sptep 00000000fd98c937 old 0x61000034d4fe877 new
> 61000034d4fe877 spurious 1 fixed 0
> qemu-5786    [029] d.... 3602162.971194: kvm_entry: vcpu 4, rip
> 0xffffffff820fe612
"""
"""A report of guests that freeze with ESXi below KVM, kvm@vger.kernel.org, 2024: EPT without A/D bits."""

COLLAPSE = """\
VCPU-0-61883   [078] ..... 72276.115679: kvm_page_fault: address
84d000 error_code 4
VCPU-0-61883   [078] ..... 72276.127005: kvm_mmu_spte_requested: gfn
84d pfn 100b4a4d level 2
VCPU-0-61883   [078] ..... 72276.127008: kvm_tdp_mmu_spte_changed: as
id 0 gfn 800 level 2 old_spte 100b1b16827 new_spte 100b4a00ea7
VCPU-0-61883   [078] ..... 72276.127009: kvm_mmu_prepare_zap_page: sp
gen 0 gfn 800 l1 8-byte q0 direct wux nxe ad root 0 sync
....
 VCPU-0-61883   [078] ..... 72276.127090: kvm_mmu_set_spte: gfn 800
spte 100b4a00ea7 (rwxu) level 2 at 10052fa5020
"""
"""V. Annapurve on "[PATCH v10 0/9] KVM: mm: fd-based approach", 2022: NPT, a fault without vcpu and rip."""

TDX = """\
   vm-6434    [059] ....   234.587042: kvm_tdp_mmu_spte_changed: as id 0 gfn ffc00 level 2 old_spte 800000010bc97907 new_spte 80000000000005a0
   vm-6434    [059] ....   234.587044: <stack trace>
 => trace_event_raw_event_kvm_mmu_page_class
   vm-6434    [059] ....   234.587044: kvm_tdp_mmu_spte_changed: as id 0 gfn ffc00 level 1 old_spte 86000001848dbb77 new_spte 80000000000005a0
        tdxvm-13694-13714   [065] ....   807.856265: kvm_mmu_set_spte: gfn 1151b spte 86000080a5669b37 (rwxu) level 1 at 80b34fc8d8
"""  # noqa: E501
"""Notes on the TDP MMU and on TDX, on GitHub: empty entries are 1 << 63; a name with dashes."""

PAGE = """\
 qemu-system-x86-1695082 [012] ...1. 722267.552895: kvm_mmu_get_page: sp gen 0 gfn 14b600 l1 8-byte q0 direct wux nxe ad root 0 sync new
 qemu-system-x86-1695082 [012] ...1. 722267.552906: <stack trace>
 => trace_event_raw_event_kvm_mmu_get_page
"""  # noqa: E501
"""Notes on tracing, on GitHub."""

PUBLIC = {
    "walk": (WALK, 5, "6.1", "ept-ad"),
    "freeze": (FREEZE * 5, 15, "6.1", "ept-noad"),
    "collapse": (COLLAPSE, 5, "6.1", "npt"),
    "tdx": (TDX, 3, "6.12", "ept-ad"),
    "page": (PAGE, 1, "6.1", "npt"),
}


@pytest.mark.parametrize("name", PUBLIC)
def test_public_traces_are_read_and_break_no_rule(name):
    written, events, kernel, mode = PUBLIC[name]
    outcome = check(read(written))
    assert (len(outcome.trace.events), outcome.trace.unread) == (events, {})
    assert (outcome.host.title, outcome.host.mode.name, outcome.unjudged) == (kernel, mode, "")
    assert not outcome.count(VIOLATION)


def test_the_public_freeze_is_a_fault_without_progress():
    outcome = check(read(FREEZE * 5))
    assert [(one.rule.name, one.standing.value) for one in outcome.findings] == [("R5 progress", "suspicion")]
    assert outcome.trace.hashed and "hashed" in " ".join(outcome.notes)


def test_thread_cpu_and_time_are_read():
    (event,) = read("  CPU 0/KVM-x-1-77 [003] d..1.  12.345678: kvm_entry: vcpu 5, rip 0x1\n").events
    assert (event.pid, event.cpu, event.time, event.values) == ("77", "003", "12.345678", {"vcpu_id": 5})
    (event,) = read(" tdxvm-13694-13714/13 (  12) [065] 1,5: kvm:kvm_entry: vcpu 5\n").events
    assert (event.pid, event.cpu, event.time) == ("13", "065", "1.5")
    (event,) = read("kvm_entry: vcpu 5\n").events
    assert (event.pid, event.cpu, event.time) == ("", "", "")


@pytest.mark.parametrize(
    "mark", ["CPU:2 [LOST 17 EVENTS]", "CPU:3 [EVENTS DROPPED]", "LOST 9 events!", "CPU 2: 5 events lost"]
)
def test_lost_events_are_said_and_forget_what_was_known(mark):
    lines = text(clean((6, 1), "npt")[:60], "tracefs").splitlines()
    outcome = check(read("\n".join([*lines[:30], mark, *lines[30:], ""])))
    assert outcome.trace.lost == [31] and "Events were lost" in " ".join(outcome.notes)


def test_an_overwritten_buffer_and_absent_cpus_are_said():
    outcome = check(read("# entries-in-buffer/entries-written: 10/90   #P:4\n" + WALK))
    assert "10 of 90 events are left" in " ".join(outcome.notes)
    assert "Of 4 CPUs, 2 have no event here: 0, 3." in outcome.notes


def test_several_vms_are_said_and_end_what_follows_sptes():
    other = WALK.replace("8397", "9999").replace("8396", "9998")
    outcome = check(read(WALK + other))
    assert "Several VMs" in " ".join(outcome.notes)
    assert "several VMs" in outcome.unchecked["R4 chain"]


def test_events_that_cannot_be_read_are_counted_by_name():
    outcome = check(read(WALK + "x-1 [000] 1.0: kvm_mmu_set_spte: of another kernel\n"))
    assert outcome.trace.unread == {"kvm_mmu_set_spte": 1}
    assert "1 events kvm_mmu_set_spte could not be read, the first in line 6" in " ".join(outcome.notes)


def test_the_release_in_a_header_is_preferred_where_it_fits():
    assert check(read("# os release : 5.15.0-91-generic\n" + WALK)).host.title == "5.15"
    assert check(read("# os release : 7.2.1\n" + WALK)).host.title == "6.1"


def test_missing_events_are_named():
    outcome = check(read(WALK))
    assert outcome.unchecked["R6 checked"] == "check_mmio_spte is not in the trace"
    assert outcome.unchecked["R2 W given"] == "kvm_page_fault is not in the trace"


def test_raw_numbers_are_hex_or_decimal_for_a_whole_trace():
    facts = [fact for fact in clean((6, 1), "npt")[:160] if fact.name == "kvm_tdp_mmu_spte_changed"]
    decimal = "".join(
        f"x-1 [000] 1.0: {fact.name}: {' '.join(f'{name}={value}' for name, value in fact.fields.items())}\n"
        for fact in facts
    )
    assert [event.values for event in read(decimal).events] == [fact.fields for fact in facts]
    assert [event.values for event in read(text(facts, "report-R")).events] == [fact.fields for fact in facts]


def test_a_trace_of_illegal_sptes_is_not_judged():
    line = "x-1 [000] 1.0: kvm_mmu_set_spte: gfn {0:x} spte {1:x} (rwxu) level 1 at 1000\n"
    outcome = check(read("".join(line.format(number, 0x123001 + number * 8) for number in range(30))))
    assert "illegal in every mode" in outcome.unjudged and outcome.counts == {}


def test_a_wrong_mode_is_not_judged():
    from conformance.model.modes import MODES

    outcome = check(read(text(clean((6, 1), "npt")[:160], "tracefs")), mode=MODES["ept-ad"])
    assert "not that of the trace" in outcome.unjudged


def test_no_event_of_the_mmu_is_not_judged():
    assert "no event of the KVM MMU" in check(read("nothing\n")).unjudged
    assert "could be read" in check(read("x-1 [000] 1.0: kvm_mmu_set_spte: what\n")).unjudged


# Files.


def test_compressed_and_utf_16_files(tmp_path):
    for name, content in {
        "plain": WALK.encode(),
        "gz": gzip.compress(WALK.encode()),
        "xz": lzma.compress(WALK.encode()),
        "utf16": WALK.encode("utf-16"),
        "crlf": WALK.replace("\n", "\r\n").encode(),
        "latin": WALK.replace("qemu", "qem\u00fc").encode("latin-1"),
    }.items():
        (tmp_path / name).write_bytes(content)
        assert len(read_trace(str(tmp_path / name)).events) == 5, name


def test_files_that_cannot_be_read(tmp_path):
    cases = {
        "cut.xz": (lzma.compress(WALK.encode())[:60], "cannot decompress"),
        "perf.data": (b"PERFILE2" + bytes(100), "perf script"),
        "bad.dat": (b"\x17\x08\x44tracing6\0" + bytes(100), "trace-cmd report|libtracecmd1"),
    }
    for name, (content, message) in cases.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ConformanceError, match=message):
            read_trace(str(tmp_path / name))
    for name in ("absent", "."):
        with pytest.raises(ConformanceError, match=r"No such file|is a directory"):
            read_trace(str(tmp_path / name))


def test_without_the_libraries_a_sentence_names_their_packages(tmp_path, monkeypatch):
    monkeypatch.setattr(
        tracedat, "_LIBRARIES", {"libabsent.so.1": "libtraceevent1", "libgone.so": "libtracecmd1"}
    )
    (tmp_path / "trace.dat").write_bytes(trace_dat(record("6.1")[:50]))
    with pytest.raises(
        ConformanceError, match="libtracecmd1 and libtraceevent1, or pass what 'trace-cmd report'"
    ):
        read_trace(str(tmp_path / "trace.dat"))


def has_libraries() -> bool:
    from cffi import FFI

    try:
        return all(FFI().dlopen(name) for name in tracedat._LIBRARIES)
    except OSError:
        return False


@pytest.mark.skipif(not has_libraries(), reason="libtracecmd1 and libtraceevent1 are not installed")
def test_trace_dat_has_the_fields_of_the_text(tmp_path):
    facts = record("6.1")
    (tmp_path / "trace.dat").write_bytes(trace_dat(facts, lost_before_page=3))
    trace = read_trace(str(tmp_path / "trace.dat"))
    # In raw text form both have the same fields.
    names = {*trace.seen}
    others = [event for event in read(text(facts, "report-R")).events if event.name in names]
    assert len(trace.events) == len(others) > 2500
    for event, other in zip(trace.events, others, strict=True):
        shared = event.values.keys() & other.values.keys()
        assert {name: event.values[name] for name in shared} == {name: other.values[name] for name in shared}
        assert (event.pid, event.cpu) == ("4321", "0")
    assert (len(trace.lost), trace.release) == (1, (6, 1))
    outcome = check(trace)
    assert (outcome.host.mode.name, outcome.counts) == ("npt", {})


# Recording.


def test_recording_names_every_event_that_is_checked_and_quotes_the_command():
    lines = recording(["qemu", "-name", "a b"])
    assert "qemu -name 'a b'" in lines and str(SCRIPT) in lines
    for name in ("kvmmmu", "kvm:kvm_page_fault", "kvm:kvm_entry"):
        assert name in lines
    assert "sleep 60" in recording([])


def test_the_bpftrace_script_prints_what_is_read():
    import re

    from conformance.traces.events import EVENTS

    script = SCRIPT.read_text()
    probes = re.findall(r"tracepoint:(?:kvm|kvmmmu):(\w+)", script)
    assert set(probes) >= {
        "kvm_tdp_mmu_spte_changed",
        "kvm_mmu_set_spte",
        "fast_page_fault",
        "kvm_mmu_unsync_page",
    }
    for name, template in re.findall(r'tracepoint:\w+:(\w+)\n\{\n\tprintf\("(.*?)\\n"', script):
        assert name in EVENTS and f": {name}: " in template
        line = re.sub(r"%(?:llx|x)", "1a", template.replace("%s-%d [%03d] %llu.%06llu", "q-1 [001] 1.000001"))
        (event,) = read(re.sub(r"%(?:llu|u|d)", "1", line) + "\n").events
        assert event.values, name
    assert io.StringIO(script).readline().startswith("#!")


# Hosts.


def on_host(mode, change_mmio):
    """A clean trace of 6.1 with three MMIO SPTEs, which are changed, and no others."""
    from plants import changed, marked, mmio

    k = kernel((6, 1), mode)
    facts = [fact for fact in clean((6, 1), mode)[:160] if fact.fields.get("gfn") != 0x50000]
    facts += [changed(0, change_mmio(mmio(k, gfn)), gfn=gfn) for gfn in (0xFEC00, 0xFEE00, 0xA0)]
    return check(read(text([*facts, marked(8)], "tracefs")))


def test_mmio_of_an_amd_host_with_memory_encryption():
    assert on_host("npt", lambda spte: spte | 7 << 48).counts == {}


@pytest.mark.parametrize("top", [40, 44, 46])
def test_mmio_of_an_intel_host_with_the_l1tf_mitigation(top):
    outcome = on_host("ept-ad", lambda spte: spte | 0x1F << (top - 5))
    assert outcome.counts == {} and outcome.host.mode.l1tf and int(outcome.host.mode.cache_bits) == top


def test_memory_encryption():
    facts = [*clean((6, 1), "npt")[:160]]
    encrypted = [
        fact.of(
            **{name: spte | 1 << 47 for name, spte in fact.fields.items() if "spte" in name and present(spte)}
        )
        for fact in facts
        if fact.name != "kvm_mmu_set_spte"
    ]
    outcome = check(read(text(encrypted, "tracefs")))
    assert outcome.counts == {} and outcome.host.mode.name in ("npt-me", "npt")


def present(spte):
    return spte >> 11 & 1


def test_one_mmio_spte_with_a_stray_bit_among_others_is_a_violation():
    seen = iter(range(9))
    outcome = on_host("npt", lambda spte: spte | (1 << 50 if next(seen) == 1 else 0))
    assert outcome.count(VIOLATION) == 1


def test_the_mmio_spte_of_a_tdx_guest_is_left_alone():
    from plants import changed

    facts = [*clean((6, 12), "ept-ad")[:160], changed(1 << 63, 0xFEC00 << 12 | 0x18, gfn=0xFEC00)]
    assert check(read(text(facts, "report-R"))).counts == {}
    facts[-1] = changed(1 << 63, 0xFEC00 << 12 | 0x18, gfn=0xFEC01)
    assert check(read(text(facts, "report-R"))).count(VIOLATION)


def test_the_nul_of_a_print_format_is_dropped():
    assert read(WALK.replace(" sync\n", " sync\0\n")).seen == read(WALK).seen


@pytest.mark.skipif(not has_libraries(), reason="libtracecmd1 and libtraceevent1 are not installed")
def test_a_trace_dat_is_read_compressed_and_from_a_pipe(tmp_path, monkeypatch):
    content = trace_dat(record("6.1")[:200])
    for name, compressed in (
        ("plain", content),
        ("xz", lzma.compress(content)),
        ("gz", gzip.compress(content)),
    ):
        (tmp_path / name).write_bytes(compressed)
        assert read_trace(str(tmp_path / name)).seen["kvm_tdp_mmu_spte_changed"], name
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(compressed)))
        assert read_trace("-").seen["kvm_tdp_mmu_spte_changed"], name
