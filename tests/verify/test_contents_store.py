"""The store behind a copy gives back what was put in, or nothing."""

import hashlib
import os
from pathlib import Path

import pytest

from patchwright_engine.verify.contents_store import ContentsStore, copy_range


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def taken_out(store: ContentsStore, content: bytes, folder: Path) -> bytes | None:
    path = folder / "out"
    path.unlink(missing_ok=True)
    target = os.open(path, os.O_RDWR | os.O_CREAT)
    try:
        return path.read_bytes() if store.take_out(digest(content), target) else None
    finally:
        os.close(target)


SOME = [b"", b"x", b"same", b"same", os.urandom(70_000), b"last"]


def test_what_was_put_in_comes_out_also_when_it_is_opened_again(tmp_path: Path) -> None:
    store = ContentsStore(tmp_path / "contents")
    store.add([(digest(one), one) for one in SOME[:3]])
    store.add([(digest(one), one) for one in SOME[2:]])
    large = os.urandom(300_000)
    (tmp_path / "large").write_bytes(large)
    source = os.open(tmp_path / "large", os.O_RDONLY)
    store.add_from(digest(large), source, len(large))
    store.add_from(digest(large), source, len(large))
    os.close(source)
    store.add([(digest(b"after"), b"after")])
    spans = dict(store.spans)
    assert store.size <= sum(map(len, {*SOME, large})) + 4096 + len(b"after")
    store.close()
    store.close()
    again = ContentsStore(tmp_path / "contents", spans)
    again.add([(digest(b"more"), b"more")])
    for one in (*SOME, large, b"after", b"more"):
        assert digest(one) in again
        assert taken_out(again, one, tmp_path) == one
    assert digest(b"never put in") not in again
    again.close()


def test_a_changed_or_shortened_store_gives_nothing(tmp_path: Path) -> None:
    store = ContentsStore(tmp_path / "contents")
    store.add([(digest(one), one) for one in (b"first", b"second")])
    with (tmp_path / "contents").open("r+b") as file:
        file.write(b"F")
    assert taken_out(store, b"first", tmp_path) is None
    assert taken_out(store, b"second", tmp_path) == b"second"
    os.truncate(tmp_path / "contents", 7)
    assert taken_out(store, b"second", tmp_path) is None
    store.close()


def test_a_store_that_is_a_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("x")
    (tmp_path / "contents").symlink_to("precious")
    with pytest.raises(OSError, match="symbolic links"):
        ContentsStore(tmp_path / "contents")
    assert (tmp_path / "precious").read_text() == "x"


@pytest.mark.parametrize("size", [0, 1, 4096, 3_000_001])
def test_ranges_are_copied_whole_and_stop_where_the_source_ends(tmp_path: Path, size: int) -> None:
    content = os.urandom(size)
    (tmp_path / "source").write_bytes(b"head" + content)
    source = os.open(tmp_path / "source", os.O_RDONLY)
    target = os.open(tmp_path / "target", os.O_RDWR | os.O_CREAT)
    assert copy_range(source, target, size, 4, 2) == size
    assert (tmp_path / "target").read_bytes()[2:] == content
    assert copy_range(source, target, size + 100, 4, 2) == size
    os.close(source)
    os.close(target)


def test_between_files_the_kernel_does_not_copy_the_plain_way_serves() -> None:
    source = os.open("/proc/self/maps", os.O_RDONLY)
    target = os.memfd_create("target") if hasattr(os, "memfd_create") else os.open(os.devnull, os.O_RDWR)
    copied = copy_range(source, target, 200, 0, 0)
    assert copied == 200
    assert os.pread(target, 200, 0).count(b"-") >= 1
    os.close(source)
    os.close(target)
