"""Computed prompts on disk: whole or not at all, the user's alone, bounded, and bit for bit what was computed."""

import contextlib
import ctypes
import os
import resource
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from patchwright_engine.config import folders
from patchwright_engine.control import CancelToken
from patchwright_engine.model.backend import CompletionRequest, Message
from patchwright_engine.model.chat import tokens_of
from patchwright_engine.model.client import HostedModel
from patchwright_engine.model.llama import SequenceState, quiet_environment
from patchwright_engine.model.local import LocalModel
from patchwright_engine.model.parameters import LoadParameters
from patchwright_engine.model.prefix_store import STALE_SECONDS, PrefixStore, identities_of

ME = {"": "model a", "prm": "model a with its judge"}
CODE = Path(identities_of.__code__.co_filename).read_text()[:2000]
TALK = (Message("system", "You are a careful programmer."), Message("user", CODE + "\nWhat is this for? Be brief."))
PARAMETERS = LoadParameters(n_ctx=2048, context_tokens=2048, n_seq=2)


def state(size: int = 1000, seed: int = 1) -> SequenceState:
    return SequenceState((ctypes.c_uint8 * size)(*((i * seed) % 251 for i in range(size))), size)


def content(found: SequenceState | None) -> bytes | None:
    return bytes(found.buffer)[: found.size] if found else None


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "cache" / "prefixes"


def opened(folder: Path, limit: int = 1 << 20, identities: dict[str, str] = ME) -> PrefixStore:
    return PrefixStore(folder, limit, identities)


def test_what_was_saved_comes_back_and_is_the_users_alone(folder: Path) -> None:
    assert opened(folder).save("", [1, 2, 3], state())
    (path,) = folder.iterdir()
    assert (path.stat().st_mode & 0o777, folder.stat().st_mode & 0o777) == (0o600, 0o700)
    later = opened(folder)
    (prompt,) = later.prompts
    assert (prompt.adapter, prompt.tokens) == ("", (1, 2, 3))
    assert content(later.load(prompt)) == content(state())


@pytest.mark.parametrize("others", [{"": "model b"}, {"": "model a, other KV type", "prm": "x"}, {}])
def test_another_model_neither_sees_nor_deletes_it(folder: Path, others: dict[str, str]) -> None:
    opened(folder).save("", [1, 2, 3], state())
    assert opened(folder, identities=others).prompts == []
    assert len(opened(folder).prompts) == 1


def test_what_an_adapter_has_read_stays_its_own(folder: Path) -> None:
    store = opened(folder)
    assert store.save("", [1, 2], state(seed=1))
    assert store.save("prm", [1, 2], state(seed=2))
    assert not store.save("orm", [1, 2], state())
    later = opened(folder)
    assert {p.adapter: content(later.load(p)) for p in later.prompts} == {
        "": content(state(seed=1)),
        "prm": content(state(seed=2)),
    }


def flipped(at: float) -> Callable[[bytearray], None]:
    def flip(data: bytearray) -> None:
        data[int(at * (len(data) - 1))] ^= 1

    return flip


DAMAGES: list[Callable[[bytearray], None]] = [
    *(flipped(n / 40) for n in range(41)),
    lambda data: data.append(0),
    lambda data: data.__delitem__(slice(len(data) - 1, None)),
    lambda data: data.__delitem__(slice(len(data) // 2, None)),
    lambda data: data.clear(),
    lambda data: data.__setitem__(slice(None), b"[]" * 50),
]


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_file_is_ignored_and_deleted(folder: Path, damage: Callable[[bytearray], None]) -> None:
    opened(folder).save("", list(range(50)), state())
    (path,) = folder.iterdir()
    data = bytearray(path.read_bytes())
    damage(data)
    path.write_bytes(data)
    store = opened(folder)
    assert [store.load(prompt) for prompt in list(store.prompts)] in ([], [None])
    assert store.prompts == []
    assert list(folder.iterdir()) == []


def test_a_file_damaged_after_it_was_found_is_not_loaded(folder: Path) -> None:
    store = opened(folder)
    store.save("", [1, 2, 3], state())
    (prompt,) = store.prompts
    prompt.path.write_bytes(prompt.path.read_bytes()[:-40])
    assert store.load(prompt) is None
    assert not prompt.path.exists()
    assert store.load(prompt) is None


def test_the_longest_unused_go_when_the_bound_is_reached(folder: Path) -> None:
    store = opened(folder, 3600)
    for number in (1, 2, 3):
        assert store.save("", [number] * 10, state())
        time.sleep(0.01)
    first = next(prompt for prompt in store.prompts if prompt.tokens[0] == 1)
    assert store.load(first)
    assert store.save("", [4] * 10, state())
    assert {prompt.tokens[0] for prompt in store.prompts} == {1, 3, 4}
    assert {prompt.tokens[0] for prompt in opened(folder).prompts} == {1, 3, 4}
    assert sum(path.stat().st_size for path in folder.iterdir()) <= 3600


def test_other_models_count_and_make_room_too(folder: Path) -> None:
    opened(folder, 3600, {"": "model b"}).save("", [1], state(3000))
    assert opened(folder, 3600).save("", [1], state(3000))
    assert opened(folder, 3600, {"": "model b"}).prompts == []


def test_what_is_larger_than_the_bound_pushes_nothing_out(folder: Path) -> None:
    store = opened(folder, 3600)
    store.save("", [1], state())
    assert not store.save("", [2], state(4000))
    assert [prompt.tokens for prompt in store.prompts] == [(1,)]


def test_a_bound_of_zero_deletes_what_is_there_and_keeps_nothing(folder: Path) -> None:
    opened(folder).save("", [1], state())
    (folder / "notes.txt").write_text("not ours")
    store = opened(folder, 0)
    assert not store.save("", [1], state())
    assert store.prompts == []
    assert [path.name for path in folder.iterdir()] == ["notes.txt"]


def test_a_prompt_and_its_beginning_are_kept_once(folder: Path) -> None:
    store = opened(folder)
    assert store.save("", [1, 2], state())
    assert store.save("", [1, 2, 3], state(seed=3))
    assert store.save("", [1], state())
    assert store.save("", [1, 2, 3], state())
    (prompt,) = opened(folder).prompts
    assert prompt.tokens == (1, 2, 3)
    assert content(store.load(prompt)) == content(state(seed=3))


def test_unfinished_files_without_a_writer_are_removed(folder: Path) -> None:
    folder.mkdir(parents=True)
    old, new = folder / "a-1.part", folder / "b-2.part"
    for path in (old, new):
        path.write_bytes(b"x")
    os.utime(old, (0, time.time() - STALE_SECONDS - 1))
    opened(folder)
    assert [path.name for path in folder.iterdir()] == ["b-2.part"]


@contextlib.contextmanager
def files_up_to(size: int) -> Iterator[None]:
    """Within the test's own body only: as a fixture it would also stop pytest's report, where that is a file."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_disk_that_takes_no_more_is_no_error_and_leaves_no_half_file(folder: Path) -> None:
    store = opened(folder)
    with files_up_to(2000):
        assert store.save("", [1], state())
        assert not store.save("", [2], state(3000))
    assert [prompt.tokens for prompt in store.prompts] == [(1,)]
    assert len(list(folder.iterdir())) == 1


def test_a_folder_that_cannot_be_is_no_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    store = opened(tmp_path / "file" / "prefixes")
    assert store.prompts == []
    assert not store.save("", [1], state())


def test_everything_that_changes_a_state_changes_the_identity(tmp_path: Path) -> None:
    model, adapter = tmp_path / "model.gguf", tmp_path / "prm.gguf"
    model.write_bytes(b"a" * (3 << 20))
    adapter.write_bytes(b"x")
    seen = [identities_of(model, LoadParameters(), [("prm", adapter)])]
    assert identities_of(model, LoadParameters(), [("prm", adapter)]) == seen[0]
    seen.append(identities_of(model, LoadParameters(kv_type="q8_0"), [("prm", adapter)]))
    seen.append(identities_of(model, LoadParameters(n_gpu_layers=3), [("prm", adapter)]))
    seen.append(identities_of(model, LoadParameters(threads=77), [("prm", adapter)]))
    seen.append(identities_of(model, LoadParameters(), [("prm", adapter)], "weights used as they are"))
    times = model.stat()
    for at in (0, (3 << 20) - 1):
        data = bytearray(b"a" * (3 << 20))
        data[at] = 0
        model.write_bytes(data)
        os.utime(model, ns=(times.st_atime_ns, times.st_mtime_ns))
        seen.append(identities_of(model, LoadParameters(), [("prm", adapter)]))
    assert len({one[""] for one in seen}) == len({one["prm"] for one in seen}) == len(seen)
    adapter.write_bytes(b"y")
    other = identities_of(model, LoadParameters(), [("prm", adapter)])
    assert (other[""] == seen[-1][""], other["prm"] == seen[-1]["prm"]) == (True, False)


def complete(model: Any, **fields: Any) -> Any:
    return model.complete(CompletionRequest(TALK, n=2, max_answer_tokens=12, **fields), CancelToken())


@pytest.mark.model
def test_the_next_process_goes_on_from_the_disk_bit_for_bit(small_model_path: Path, folder: Path) -> None:
    os.environ.update(quiet_environment())
    first = LocalModel(small_model_path, PARAMETERS, prefixes=folder)
    computed = complete(first)
    session = first._session
    prompt = tokens_of(session.chat.pieces(TALK, think=False), session.context)
    session.cache.clear()
    session.cache.prefill(prompt)
    wanted = session.context.logits(session.cache.last_row).copy()
    first.close()
    first.close()
    (path,) = folder.iterdir()
    whole = path.read_bytes()

    second = LocalModel(small_model_path, replace(PARAMETERS, n_ctx=4096, n_batch=512), prefixes=folder)
    assert second._session.cache.prefill(prompt) > len(prompt) - 100
    assert (second._session.context.logits(second._session.cache.last_row) == wanted).all()
    second.close()
    assert path.read_bytes() == whole

    third = LocalModel(small_model_path, PARAMETERS, prefixes=folder)
    restored = complete(third)
    assert restored.completions == computed.completions
    assert restored.cached_tokens > computed.cached_tokens == 0
    third.close()

    path.write_bytes(whole[:-100] + bytes(100))
    fourth = LocalModel(small_model_path, PARAMETERS, prefixes=folder)
    recomputed = complete(fourth)
    assert (recomputed.completions, recomputed.cached_tokens) == (computed.completions, 0)
    assert not path.exists()
    fourth._saved = True  # leave without saving, as a killed host does
    fourth.close()
    assert list(folder.iterdir()) == []


@pytest.mark.model
@pytest.mark.parametrize("leave", ["idle", "SIGTERM", "SIGTERM at work"])
def test_a_host_that_leaves_in_order_leaves_its_prompts_to_the_next(small_model_path: Path, leave: str) -> None:
    client = HostedModel(small_model_path, "small", PARAMETERS, idle_seconds=0.5 if leave == "idle" else 60.0)
    computed = complete(client)
    assert computed.cached_tokens == 0
    pid = client.host_pid
    assert pid is not None
    if leave != "idle":
        killed: list[int] = []

        def kill_once(_progress: object) -> None:
            if not killed:
                killed.append(pid)
                os.kill(pid, signal.SIGTERM)

        if leave == "SIGTERM":
            kill_once(None)
        else:
            # The client asks the next host, which finds what this one left.
            work = CompletionRequest((Message("user", CODE * 2),), max_answer_tokens=30)
            client.complete(work, CancelToken(), on_progress=kill_once)
            assert killed
            assert client.host_pid != pid
    deadline = time.monotonic() + 30
    while not list((folders().cache / "prefixes").glob("*.prefix")) and time.monotonic() < deadline:
        time.sleep(0.05)
    client.close()
    following = HostedModel(small_model_path, "small", PARAMETERS, idle_seconds=60.0)
    try:
        again = complete(following)
        assert following.host_pid != pid
    finally:
        following.retire()
    assert again.completions == computed.completions
    assert again.cached_tokens > again.prompt_tokens // 2
