"""Computed prompts on disk: what the prompt cache had in memory when a model host left, for the one that follows.

    <folder>/<model>-<prompt>.prefix    magic, header length, JSON header, llama.cpp's state, a digest of all that

Invariants: a file is the user's alone (0600), and reaches llama.cpp only whole, with its digest right and for the very
model, adapter, KV type and library that wrote it; any other is deleted or left to them. All files together stay below
the bound, the longest unused going first. A disk that is full or cannot be read costs speed, never an answer.
"""

import contextlib
import ctypes
import hashlib
import json
import os
import shutil
import struct
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from patchwright_engine.model.fingerprint import sampled_digest
from patchwright_engine.model.llama import SequenceState
from patchwright_engine.model.parameters import LoadParameters, default_threads

MAGIC = b"PWPREFX1"
SUFFIX = ".prefix"
PART = ".part"
STALE_SECONDS = 600.0
"""Age at which an unfinished file has no writer any more."""
KEEP_FREE = 1 << 30
"""Bytes of the disk that are left to others."""
_DIGEST = 32
_MAX_HEADER = 16 << 20


@dataclass(frozen=True, slots=True)
class StoredPrompt:
    """A state on disk that this model can go on from."""

    path: Path
    adapter: str
    tokens: tuple[int, ...]


class PrefixStore:
    """The states of one loaded model in a folder shared with other models. Used from one thread."""

    def __init__(self, folder: Path, limit_bytes: int, identities: Mapping[str, str]) -> None:
        """`identities` tells for each adapter ('' for the base alone) who reads prompts; see `identities_of`."""
        self._folder = folder
        self._limit = limit_bytes
        self._identities = dict(identities)
        self._found: list[StoredPrompt] | None = None
        self._trim(self._limit)

    @property
    def prompts(self) -> Sequence[StoredPrompt]:
        """What is there for this model, as of the first look and this process's own changes since."""
        if self._found is None:
            self._found = list(self._look()) if self._limit > 0 else []
        return self._found

    def load(self, prompt: StoredPrompt) -> SequenceState | None:
        """The state of a prompt; None, and the file gone, when it is not what was written."""
        state: SequenceState | None = None
        with contextlib.suppress(OSError, ValueError):
            state = _read(prompt, self._identities[prompt.adapter])
        if state is None:
            self._forget(prompt)
        else:
            with contextlib.suppress(OSError):
                os.utime(prompt.path)
        return state

    def save(self, adapter: str, tokens: Sequence[int], state: SequenceState) -> bool:
        """Keep a state, making room for it; False when it is too large, or the disk does not take it."""
        identity, mine = self._identities.get(adapter), tuple(tokens)
        if identity is None:
            return False
        same = [prompt for prompt in self.prompts if prompt.adapter == adapter]
        for longer in (prompt for prompt in same if prompt.tokens[: len(mine)] == mine):
            with contextlib.suppress(OSError):
                os.utime(longer.path)
                return True
        header = json.dumps({"identity": identity, "adapter": adapter, "tokens": mine, "size": state.size}).encode()
        size = len(MAGIC) + 4 + len(header) + state.size + _DIGEST
        if size > self._limit:
            return False
        for shorter in (prompt for prompt in same if mine[: len(prompt.tokens)] == prompt.tokens):
            self._forget(shorter)
        name = f"{_hash(identity)}-{_hash(f'{adapter}|{mine}')}"
        path = self._folder / (name + SUFFIX)
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._trim(self._limit - size)
            if shutil.disk_usage(self._folder).free - size < KEEP_FREE:
                return False
            _write(path, header, state)
        except OSError:
            return False
        assert self._found is not None
        self._found.append(StoredPrompt(path, adapter, mine))
        return True

    def _forget(self, prompt: StoredPrompt) -> None:
        if self._found and prompt in self._found:
            self._found.remove(prompt)
        with contextlib.suppress(OSError):
            prompt.path.unlink()

    def _look(self) -> Iterator[StoredPrompt]:
        for adapter, identity in self._identities.items():
            for path in _listed(self._folder, f"{_hash(identity)}-*{SUFFIX}"):
                try:
                    with path.open("rb") as file:
                        header = _header(file.read)
                    tokens = tuple(header["tokens"])
                    if header["identity"] == identity and header["adapter"] == adapter and all(map(_is_token, tokens)):
                        yield StoredPrompt(path, adapter, tokens)
                        continue
                except OSError:
                    continue
                except (ValueError, KeyError, TypeError):
                    pass
                with contextlib.suppress(OSError):
                    path.unlink()

    def _trim(self, limit: int) -> None:
        """Delete the longest unused files, of any model, until the rest is within `limit` bytes."""
        now = time.time()
        files = []
        for path in _listed(self._folder, "*"):
            with contextlib.suppress(OSError):
                status = path.stat()
                if path.suffix == PART and now - status.st_mtime > STALE_SECONDS:
                    path.unlink()
                elif path.suffix in {SUFFIX, PART}:
                    files.append((status.st_mtime_ns, status.st_size, path))
        total = sum(size for _, size, _ in files)
        for _, size, path in sorted(file for file in files if file[2].suffix == SUFFIX):
            if total <= limit:
                return
            total -= size
            if self._found is not None:
                self._found = [prompt for prompt in self._found if prompt.path != path]
            with contextlib.suppress(OSError):
                path.unlink()


def identities_of(
    model: Path, parameters: LoadParameters, adapters: Iterable[tuple[str, Path]] = (), how: str = ""
) -> dict[str, str]:
    """Who reads prompts, by adapter role ('' for the base alone): all that changes a bit of their states.

    `parameters` are those the model runs with; `how` tells of what else is unusual about it.

    Raises:
        OSError: a file cannot be read.
    """
    import llama_cpp

    library = f"{llama_cpp.__version__}|{llama_cpp.llama_print_system_info().decode('utf-8', 'replace')}"
    threads = parameters.threads or default_threads()
    base = f"{_file_identity(model)}|{parameters.kv_type}|{parameters.n_gpu_layers}|{threads}|{how}|{library}"
    return {"": base, **{role: f"{base}|{role}|{_file_identity(path)}" for role, path in adapters}}


def _file_identity(path: Path) -> str:
    size, digest = sampled_digest(path)
    return f"{size}|{path.stat().st_mtime_ns}|{digest}"


def _write(path: Path, header: bytes, state: SequenceState) -> None:
    part = path.with_name(f"{path.stem}-{os.getpid()}{PART}")
    digest = hashlib.blake2b(digest_size=_DIGEST)
    try:
        with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            for piece in (MAGIC, struct.pack("<I", len(header)), header, memoryview(state.buffer)[: state.size]):
                digest.update(piece)
                file.write(piece)
            file.write(digest.digest())
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def _header(take: Callable[[int], bytes]) -> dict[str, Any]:
    """The header of a file of which `take` gives the next bytes. Raises ValueError."""
    magic, size = take(len(MAGIC)), int.from_bytes(take(4), "little")
    if magic != MAGIC or size > _MAX_HEADER:
        raise ValueError("no stored prompt")
    header = json.loads(take(size))
    if not isinstance(header, dict):
        raise ValueError("no header")
    return header


def _read(prompt: StoredPrompt, identity: str) -> SequenceState | None:
    with prompt.path.open("rb") as file:
        digest = hashlib.blake2b(digest_size=_DIGEST)

        def take(size: int) -> bytes:
            data = file.read(size)
            digest.update(data)
            return data

        header = _header(take)
        size = header.get("size")
        here = os.fstat(file.fileno()).st_size - file.tell() - _DIGEST
        if (header.get("identity"), header.get("tokens"), size) != (identity, list(prompt.tokens), here):
            return None
        buffer = (ctypes.c_uint8 * here)()
        if file.readinto(buffer) != here:
            return None
        digest.update(buffer)
        return SequenceState(buffer, here) if file.read() == digest.digest() else None


def _listed(folder: Path, pattern: str) -> list[Path]:
    try:
        return sorted(folder.glob(pattern))
    except OSError:
        return []


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:16]


def _is_token(value: object) -> bool:
    return type(value) is int and value >= 0
