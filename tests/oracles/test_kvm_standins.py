# SPDX-License-Identifier: GPL-2.0-only
"""Stand-ins for the rest of the kernel: families recognise new members, and no function with behaviour."""

from __future__ import annotations

import pytest

from conformance.kernels import Cache, open_kernel
from conformance.oracles.kvm.build import build_kvm
from conformance.oracles.kvm.standins import StandIn, assembly, choose, declarations, families, load


def chosen(symbol: str, line: str = "", *, called: bool = False, provided: str = "") -> StandIn | None:
    """What stands in for a symbol that a header declares in this line."""
    found = choose([symbol], {symbol: [line]}, called=[symbol] if called else [], provided=provided.split())
    return found[symbol]


def test_each_stand_in_says_why() -> None:
    each = [*load().values(), *(family.stand_in for family in families())]
    assert all(len(entry.why) > 20 for entry in each)


def test_a_symbol_on_the_list_is_what_it_says() -> None:
    text = assembly(choose(["put_pid", "try_module_get", "tsc_khz", "__SCK__tp_func_x"], {}))
    assert "try_module_get:\nmov $1, %rax\nret" in text
    assert "put_pid:\nmov $0, %rax\nret" in text
    assert "tsc_khz:\n.skip 8" in text
    assert "__SCK__tp_func_x:\n.quad standin_nothing\n.skip 56" in text


def test_a_symbol_that_is_not_on_the_list_is_missing_by_name() -> None:
    text = assembly(choose(["no_such_thing"], {}))
    assert "no_such_thing:\n.skip 4096" in text
    assert '.asciz "no_such_thing"' in text


def test_the_list_is_data() -> None:
    assert load()["tsc_khz"] == StandIn("tsc_khz", load()["tsc_khz"].why, 0, 8)


@pytest.mark.parametrize(
    ("symbol", "line", "size"),
    [
        ("system_bikeshed_wq", "extern struct workqueue_struct *system_bikeshed_wq;", 8),
        ("bikeshed_queue", "extern struct workqueue_struct * __read_mostly bikeshed_queue;", 8),
        ("__tracepoint_bikeshed", "", 256),
        ("__traceiter_bikeshed", "", 0),
        ("__SCK__tp_func_bikeshed", "", 64),
        ("switch_bikeshed", "DECLARE_STATIC_KEY_FALSE(switch_bikeshed);", 32),
        ("bikeshed_mitigation", "extern enum bikeshed_mitigations bikeshed_mitigation;", 8),
        ("mod_bikeshed_page_state", "void mod_bikeshed_page_state(struct pglist_data *, long);", 0),
        ("__percpu_counter_init_bikeshed", "", 0),
        ("__srcu_read_lock_bikeshed", "", 0),
        ("register_pm_bikeshed_notifier", "", 0),
        ("lockdep_init_map_bikeshed", "", 0),
        ("__dynamic_pr_bikeshed", "", 0),
    ],
)
def test_a_new_member_of_a_family_is_recognised(symbol: str, line: str, size: int) -> None:
    found = chosen(symbol, line)
    assert found is not None and found.size == size and found.returns == 0


def test_a_key_that_is_true_is_true() -> None:
    found = chosen("bikeshed", "DECLARE_STATIC_KEY_TRUE(bikeshed);")
    assert found is not None and found.begins == 1
    assert "bikeshed:\n.quad 1\n.skip 24" in assembly({"bikeshed": found})


@pytest.mark.parametrize(
    ("symbol", "line", "other"),
    [
        ("kmem_cache_alloc_noprof", "", "kmem_cache_alloc"),
        ("__kmalloc_bikeshed", "void *__kmalloc_bikeshed(size_t size, gfp_t flags, int x);", "__kmalloc"),
        ("kmem_cache_alloc_bikeshed", "", None),
        ("__kmalloc_bikeshed", "void *__kmalloc_bikeshed(struct device *dev, size_t size);", None),
        ("_raw_write_lock_bh", "", "_raw_write_lock"),
    ],
)
def test_another_name_of_what_is_there(symbol: str, line: str, other: str | None) -> None:
    found = chosen(symbol, line, called=True, provided="kmem_cache_alloc __kmalloc _raw_write_lock")
    assert (found.same_as if found else None) == other
    if found:
        assert f"{symbol}:\njmp {other}" in assembly({symbol: found})
        assert chosen(symbol, line, called=True) is None


BEHAVING = """
    call_srcu synchronize_srcu mmu_notifier_register register_mmu_notifier queue_work_on queue_rcu_work
    mutex_lock_io percpu_counter_sum kvmalloc_bikeshed kvfree_call_rcu refcount_warn_saturate
    schedule_timeout get_user_pages_remote warn_slowpath_fmt __SCK__might_resched kmem_cache_alloc_bulk
    irq_bypass_register_consumer lockdep_is_held_type cond_synchronize_rcu flush_work
    mod_delayed_something smp_call_function_many kthread_queue_work
"""


@pytest.mark.parametrize("symbol", BEHAVING.split())
def test_what_behaves_is_in_no_family(symbol: str) -> None:
    assert chosen(symbol, f"extern void {symbol}(void);", called=True) is None
    assert chosen(symbol, f"int {symbol}(struct workqueue_struct *wq);", called=True) is None


def test_memory_stands_in_for_nothing_that_is_called() -> None:
    line = "extern struct workqueue_struct *system_bikeshed_wq;"
    assert chosen("system_bikeshed_wq", line, called=True) is None
    assert chosen("__tracepoint_bikeshed", called=True) is None


@pytest.mark.kernel
@pytest.mark.slow
def test_every_stand_in_is_needed_by_a_kernel() -> None:
    """Of the names, and of our C: what no kernel asks for would only look as if it mattered."""
    undefined: set[str] = set()
    idle: list[set[str]] = []
    for series in ("6.1", "6.12", "7.2", "7.3"):
        kernel = open_kernel(series)
        for racing in (False, True):
            library = build_kvm(kernel, Cache(), lambda message: None, racing=racing)
            wanted = set(library.with_name("undefined").read_text().split())
            lines = declarations(kernel.root / "src", kernel.root / "gen", wanted)
            for symbol in wanted:
                members = [family for family in families() if family.stands_in(symbol, lines[symbol])]
                assert len(members) + (symbol in load()) < 2, f"{symbol} is in more than one group"
            undefined |= wanted
            idle.append(set(library.with_name("idle").read_text().split()))
    assert set(load()) <= undefined
    assert set.intersection(*idle) == set()
