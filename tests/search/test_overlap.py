"""Settling answers beside the model: in order, to the end, and with what went wrong."""

import threading

import pytest

from patchwright_engine.search.overlap import settling


@pytest.mark.parametrize("beside", [False, True])
def test_everything_is_settled_in_order(beside: bool) -> None:
    settled: list[int] = []
    with settling(settled.append, beside=beside) as items:
        for number in range(5):
            items.put(number)
    assert settled == [0, 1, 2, 3, 4]


def test_beside_the_model_the_first_is_settled_while_the_next_is_written() -> None:
    first_is_settled = threading.Event()
    with settling(lambda _item: first_is_settled.set(), beside=True) as items:
        items.put("first")
        assert first_is_settled.wait(10)


def test_else_nothing_is_settled_until_the_model_pauses() -> None:
    settled: list[str] = []
    with settling(settled.append, beside=False) as items:
        items.put("one")
        assert settled == []
        items.pause()
        assert settled == ["one"]


@pytest.mark.parametrize("beside", [False, True])
def test_a_failure_is_raised_and_nothing_behind_it_is_settled(beside: bool) -> None:
    settled: list[int] = []

    def settle(number: int) -> None:
        if number == 1:
            raise ValueError("broken")
        settled.append(number)

    def all_of_them() -> None:
        with settling(settle, beside=beside) as items:
            for number in range(4):
                items.put(number)

    with pytest.raises(ValueError, match="broken"):
        all_of_them()
    assert settled == [0]


def test_when_the_writer_fails_nothing_more_is_settled() -> None:
    """What is being settled ends; what waits behind it is not begun."""
    begun, may_end = threading.Event(), threading.Event()
    settled: list[int] = []

    def settle(number: int) -> None:
        begun.set()
        assert may_end.wait(10)
        settled.append(number)

    def write() -> None:
        with settling(settle, beside=True) as items:
            for number in range(4):
                items.put(number)
            assert begun.wait(10)
            threading.Timer(0.2, may_end.set).start()
            raise OSError("the model is gone")

    with pytest.raises(OSError, match="the model is gone"):
        write()
    assert settled == [0]
