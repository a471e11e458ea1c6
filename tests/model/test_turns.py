"""Whose turn it is when several clients wait for one model."""

import threading
import time

from patchwright_engine.model.turns import Turns


def serve(turns: Turns[str], seconds: dict[str, float], rounds: int) -> str:
    """Take and charge; work is named after its client. Returns the order as a string."""
    order = ""
    for _ in range(rounds):
        work = turns.take(0)
        if work is None:
            break
        order += work
        turns.charge(work, seconds.get(work, 1.0))
    return order


def test_one_clients_work_keeps_its_order() -> None:
    turns: Turns[int] = Turns()
    for work in range(5):
        turns.put("a", work)
    taken = []
    while (work := turns.take(0)) is not None:
        taken.append(work)
        turns.charge("a", 1.0)
    assert taken == [0, 1, 2, 3, 4]


def test_a_client_with_many_requests_does_not_keep_others_waiting() -> None:
    turns: Turns[str] = Turns()
    for _ in range(6):
        turns.put("a", "a")
    assert turns.take(0) == "a"
    turns.put("b", "b")
    turns.put("c", "c")
    turns.charge("a", 1.0)
    assert serve(turns, {}, 10) == "bcaaaaa"


def test_time_is_shared_and_not_the_number_of_requests() -> None:
    turns: Turns[str] = Turns()
    for _ in range(20):
        turns.put("l", "l")
        turns.put("s", "s")
    order = serve(turns, {"l": 4.0, "s": 1.0}, 15)
    assert order.count("s") == 12
    assert "ll" not in order


def test_neither_a_newcomer_nor_one_who_stayed_away_may_catch_up_on_lost_time() -> None:
    turns: Turns[str] = Turns()
    turns.put("b", "b")
    assert serve(turns, {}, 1) == "b"
    for _ in range(100):
        turns.put("a", "a")
    assert serve(turns, {}, 50) == "a" * 50
    for _ in range(10):
        turns.put("b", "b")
        turns.put("n", "n")
    order = serve(turns, {}, 15)
    assert {client: order.count(client) for client in "abn"} == {"a": 5, "b": 5, "n": 5}


def test_a_client_that_alternates_with_a_hoarder_waits_for_one_request_at_most() -> None:
    turns: Turns[str] = Turns()
    for _ in range(20):
        turns.put("a", "a")
    order = ""
    for _ in range(5):
        order += serve(turns, {"a": 60.0}, 1)
        turns.put("b", "b")
        order += serve(turns, {}, 1)
    assert order == "ab" * 5


def test_work_nobody_wants_is_forgotten() -> None:
    turns: Turns[str] = Turns()
    turns.put("a", "one")
    turns.put("a", "two")
    assert turns.remove("a", "one")
    assert not turns.remove("a", "one")
    assert not turns.remove("b", "two")
    assert len(turns) == 1
    assert turns.take(0) == "two"
    assert turns.take(0) is None


def test_waiting_ends_when_work_comes() -> None:
    turns: Turns[str] = Turns()
    threading.Timer(0.05, turns.put, ("a", "a")).start()
    started = time.monotonic()
    assert turns.take(10) == "a"
    assert time.monotonic() - started < 5


def test_clients_that_are_gone_are_not_kept() -> None:
    turns: Turns[str] = Turns()
    for number in range(1000):
        turns.put(f"client {number}", "x")
        assert turns.take(0) == "x"
        turns.charge(f"client {number}", 1.0)
    assert len(turns._used) < 10
