"""Work in processes: every item answers, also when its process does not."""

import os
import signal
import threading
import time
from pathlib import Path

import pytest

from patchwright_engine.bench.workers import Died, in_processes
from patchwright_engine.control import CancelToken
from patchwright_engine.errors import Cancelled


def double(number: int) -> int:
    return 2 * number


def die_on_three(number: int) -> int:
    if number == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return number


def sleep_and_tell(place: Path) -> None:
    place.write_text(str(os.getpid()))
    time.sleep(600)


def gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


@pytest.mark.parametrize("jobs", [1, 2, 9])
def test_every_item_is_done_once(jobs: int) -> None:
    done = dict(in_processes(double, [1, 2, 3, 4, 5], jobs, CancelToken()))
    assert done == {1: 2, 2: 4, 3: 6, 4: 8, 5: 10}


def test_nothing_to_do_is_done_at_once() -> None:
    assert list(in_processes(double, [], 2, CancelToken())) == []


def test_a_killed_process_is_told_and_the_rest_goes_on() -> None:
    done = dict(in_processes(die_on_three, [1, 2, 3, 4, 5], 1, CancelToken()))
    assert done == {1: 1, 2: 2, 3: Died(-signal.SIGKILL), 4: 4, 5: 5}


def test_a_cancel_ends_the_processes(tmp_path: Path) -> None:
    cancel, place = CancelToken(), tmp_path / "pid"

    def stop_when_it_runs() -> None:
        while not place.exists() or not place.read_text():
            time.sleep(0.02)
        cancel.cancel()

    watcher = threading.Thread(target=stop_when_it_runs)
    watcher.start()
    with pytest.raises(Cancelled):
        list(in_processes(sleep_and_tell, [place], 1, cancel))
    watcher.join()
    assert gone(int(place.read_text()))
