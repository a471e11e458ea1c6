"""The engine host keeps one index open: questions about it wait for each other and can be cancelled while they wait."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from patchwright_engine.control import CancelToken
from patchwright_engine.errors import Cancelled
from patchwright_engine.host.locating import KeptIndex


@pytest.fixture
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[KeptIndex]:
    monkeypatch.setenv("PATCHWRIGHT_HOME", str(tmp_path / "home"))
    index = KeptIndex()
    yield index
    index.close()


def test_the_next_question_finds_the_same_index(kept: KeptIndex, tmp_path: Path) -> None:
    with kept.of(tmp_path, CancelToken()) as first:
        pass
    with kept.of(tmp_path, CancelToken()) as second:
        assert second is first


def test_another_root_gets_its_own(kept: KeptIndex, tmp_path: Path) -> None:
    with kept.of(tmp_path / "a", CancelToken()) as first:
        pass
    with kept.of(tmp_path / "b", CancelToken()) as second:
        assert second is not first


def test_who_waits_for_another_question_can_be_cancelled(kept: KeptIndex, tmp_path: Path) -> None:
    cancel = CancelToken()
    cancel.cancel()
    with kept.of(tmp_path, CancelToken()), pytest.raises(Cancelled), kept.of(tmp_path, cancel):
        pytest.fail("two questions at once")


def test_after_a_question_that_failed_the_next_is_answered(kept: KeptIndex, tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), kept.of(tmp_path, CancelToken()):
        raise ZeroDivisionError
    with kept.of(tmp_path, CancelToken()) as index:
        assert index.files() == ()
