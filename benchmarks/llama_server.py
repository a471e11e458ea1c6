"""llama-server from the source that llama-cpp-python itself was built from, and a way to run it.

    python benchmarks/llama_server.py [--jobs N] [--path]

Builds once, a quarter of an hour on 2 cores, with the flags of `model/build_flags.py`, into the user's cache; later
runs only print where it lies. Needs a C++ compiler and CMake. Invariant: a served process listens on 127.0.0.1 alone,
downloads nothing, and is gone when `serve` returns, also after an exception.
"""

import argparse
import contextlib
import hashlib
import os
import shlex
import shutil
import socket
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import httpx

from patchwright_engine.model.build_flags import VERSION, cmake_args

# The web page of the server would be downloaded at build time, and nothing here speaks https.
OPTIONS = (
    "-DCMAKE_BUILD_TYPE=Release",
    "-DBUILD_SHARED_LIBS=OFF",
    "-DLLAMA_BUILD_TESTS=OFF",
    "-DLLAMA_BUILD_EXAMPLES=OFF",
    "-DLLAMA_BUILD_TOOLS=ON",
    "-DLLAMA_BUILD_SERVER=ON",
    "-DLLAMA_BUILD_APP=OFF",
    "-DLLAMA_BUILD_UI=OFF",
    "-DLLAMA_USE_PREBUILT_UI=OFF",
    "-DLLAMA_OPENSSL=OFF",
)
START_SECONDS = 300.0
STOP_SECONDS = 10.0


class ServerProblem(Exception):
    """The server could not be built or started; the text says why and what helps."""


@dataclass(frozen=True, slots=True)
class Serving:
    """A llama-server that answers."""

    root: str
    """Where it listens, e.g. 'http://127.0.0.1:41234'; the OpenAI API lies below '/v1'."""
    pid: int

    @property
    def url(self) -> str:
        """Base of the OpenAI-compatible API."""
        return f"{self.root}/v1"


def server_path() -> Path:
    """Where the server for this version, these flags and this machine lies once it is built."""
    key = hashlib.sha256(" ".join([cmake_args(), *OPTIONS]).encode()).hexdigest()[:10]
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return cache / "patchwright" / "llama-server" / f"{VERSION}-{key}" / "llama-server"


def build(jobs: int | None = None) -> Path:
    """The server, built when it is not there yet. Raises ServerProblem."""
    target = server_path()
    if target.is_file():
        return target
    for tool, package in (("cmake", "cmake"), ("c++", "build-essential")):
        if not shutil.which(tool):
            raise ServerProblem(f"{tool} is needed to build llama-server. Cure: apt install {package}")
    target.parent.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="build-", dir=target.parent.parent) as folder:
        work = Path(folder)
        source = _source(work)
        generator = ["-G", "Ninja"] if shutil.which("ninja") else []
        configure = ["cmake", "-S", str(source), "-B", str(work / "out"), *generator, *shlex.split(cmake_args())]
        _run([*configure, *OPTIONS], work)
        count = str(jobs or os.cpu_count() or 1)
        _run(["cmake", "--build", str(work / "out"), "--target", "llama-server", "-j", count], work)
        target.parent.mkdir(exist_ok=True)
        part = target.with_suffix(".part")
        shutil.copy2(work / "out" / "bin" / "llama-server", part)
        part.replace(target)
    return target


@contextlib.contextmanager
def serve(
    binary: Path, model: Path, *, slots: int, context: int, threads: int, extra: Sequence[str] = ()
) -> Iterator[Serving]:
    """Run the server until the block ends.

    Args:
        binary: from `server_path`.
        model: a GGUF file.
        slots: requests it decodes side by side.
        context: tokens over all slots.
        threads: for prefill and decoding.
        extra: more options, put last.

    Raises:
        ServerProblem: it did not start.
    """
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    argv = [str(binary), "-m", str(model), "--host", "127.0.0.1", "--port", str(port), "-np", str(slots)]
    argv += ["-c", str(context), "-t", str(threads), "-tb", str(threads), "--no-ui", "--slots", "--offline", *extra]
    # The user's own LLAMA_ARG_* would change what is measured and tested.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("LLAMA_ARG_")}
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment)
        try:
            root = f"http://127.0.0.1:{port}"
            if not _wait_until_healthy(root, process):
                log.seek(0)
                said = log.read()[-2000:].decode("utf-8", "replace")
                raise ServerProblem(f"llama-server did not start (status {process.poll()}): {said}")
            yield Serving(root, process.pid)
        finally:
            process.terminate()
            try:
                process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _wait_until_healthy(root: str, process: subprocess.Popen[bytes]) -> bool:
    deadline = time.monotonic() + START_SECONDS
    with httpx.Client(trust_env=False, timeout=5.0) as client:
        while time.monotonic() < deadline and process.poll() is None:
            with contextlib.suppress(httpx.HTTPError):
                if client.get(f"{root}/health").status_code == 200:
                    return True
            time.sleep(0.05)
    return False


def _source(work: Path) -> Path:
    """llama.cpp as the source distribution of llama-cpp-python carries it, fetched with pip."""
    pip = [sys.executable, "-P", "-m", "pip", "download", "-q", "--disable-pip-version-check", "--no-deps"]
    _run([*pip, "--no-binary", ":all:", "-d", str(work), f"llama-cpp-python=={VERSION}"], work)
    archive = next(work.glob("llama_cpp_python-*.tar.gz"))
    with tarfile.open(archive) as tar:
        if hasattr(tarfile, "data_filter"):
            tar.extractall(work, filter="data")
        else:  # Python before 3.11.4
            tar.extractall(work)
    return work / archive.name.removesuffix(".tar.gz") / "vendor" / "llama.cpp"


def _run(argv: Sequence[str], work: Path) -> None:
    print("+", shlex.join(argv), file=sys.stderr, flush=True)
    log = work / "build.log"
    with log.open("ab") as output:
        status = subprocess.run(argv, stdout=output, stderr=output, check=False).returncode
    if status:
        said = log.read_text(encoding="utf-8", errors="replace")[-3000:]
        raise ServerProblem(f"{argv[0]} failed with status {status}:\n{said}")


def main() -> int:
    """Build and say where it lies."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, metavar="N", help="compilers at once (default: one a core)")
    parser.add_argument("--path", action="store_true", help="only say where the server would lie")
    arguments = parser.parse_args()
    try:
        path = server_path() if arguments.path else build(arguments.jobs)
    except ServerProblem as error:
        print(error, file=sys.stderr)
        return 1
    print(path)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
