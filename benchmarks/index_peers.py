"""What others need for the files of `benchmarks/index.py`: aider's repo map, bm25s, Universal Ctags, each really run.

A function here returns seconds by name, or, where the other is not installed or takes longer than its limit, a sentence
that says so and what to do.
"""

import json
import shutil
import subprocess
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

HOW = "`python -m venv peers; peers/bin/pip install aider-chat bm25s`, then `--aider peers/bin/python`"
AIDER = """
import json, sys, time
from aider.io import InputOutput
from aider.repomap import RepoMap

class Model:  # Counting tokens is not what is compared.
    def token_count(self, text):
        return len(text) // 4

root, listing = sys.argv[1:]
files = [f"{root}/{path}" for path in json.load(open(listing))]
started = time.perf_counter()
repo_map = RepoMap(map_tokens=4096, root=root, main_model=Model(), io=InputOutput(yes=True, pretty=False))
text = repo_map.get_repo_map([], files, force_refresh=True)
seconds = time.perf_counter() - started
if not text:
    sys.exit("aider made no map")
sys.stderr.write("\\n")
print(json.dumps({"seconds": seconds, "characters": len(text)}))
"""
BM25S = """
import json, re, sys, time
import bm25s

root, listing = sys.argv[1:]
words = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
paths = json.load(open(listing))
started = time.perf_counter()
texts = [open(f"{root}/{path}", encoding="utf-8", errors="replace").read() for path in paths]
tokens = [[word.lower() for word in words.findall(text)] for text in texts]
bm25 = bm25s.BM25()
bm25.index(tokens, show_progress=False)
print(json.dumps({"seconds": time.perf_counter() - started}))
"""


def aider_seconds(
    python: Path | None, tree: Path, sources: Sequence[str], scratch: Path, limit: float
) -> dict[str, float] | str:
    """Its repo map without a cache, then in a new process with it."""
    if not _has(python, "aider.repomap"):
        return f"aider is not there, so it is left out. To have it: {HOW}"
    root = scratch / "aider"
    shutil.copytree(tree, root, ignore=shutil.ignore_patterns(".git"))  # Its cache lies in the tree.
    try:
        cold, warm = (_run(python, AIDER, root, sources, limit) for _ in range(2))
    except subprocess.TimeoutExpired:
        return _too_slow("aider", limit)
    finally:
        shutil.rmtree(root)
    return {"aider's repo map, cold": cold, "aider's repo map, warm": warm}


def bm25s_seconds(python: Path | None, tree: Path, sources: Sequence[str], limit: float) -> dict[str, float] | str:
    """Whole files, words as they stand, in memory."""
    if not _has(python, "bm25s"):
        return f"bm25s is not there, so it is left out. To have it: {HOW}"
    try:
        return {"bm25s: read, split into words, index": _run(python, BM25S, tree, sources, limit)}
    except subprocess.TimeoutExpired:
        return _too_slow("bm25s", limit)


def ctags_seconds(tree: Path, sources: Sequence[str], scratch: Path) -> dict[str, float] | str:
    """Definitions only, into a file."""
    program = shutil.which("ctags")
    version = subprocess.run([program, "--version"], capture_output=True, text=True, check=False) if program else None
    if program is None or version is None or "Universal Ctags" not in version.stdout:
        return "Universal Ctags is not there, so it is left out. To have it: apt install universal-ctags"
    scratch.mkdir(exist_ok=True)
    listing = scratch / "sources.txt"
    listing.write_text("\n".join(sources), encoding="utf-8", errors="surrogateescape")
    started = time.perf_counter()
    subprocess.run([program, "-L", listing, "-f", scratch / "tags"], cwd=tree, check=True, capture_output=True)
    return {"universal-ctags: definitions alone": time.perf_counter() - started}


def _too_slow(name: str, limit: float) -> str:
    return f"{name} took more than {limit:.0f} s, so it is left out. To have it: a quieter machine, or no --quick"


def _has(python: Path | None, module: str) -> bool:
    if python is None:
        return False
    code = f"import importlib.util, sys; sys.exit(importlib.util.find_spec({module!r}) is None)"
    return subprocess.run([python, "-P", "-c", code], capture_output=True, check=False).returncode == 0


def _run(python: Path | None, code: str, root: Path, sources: Sequence[str], limit: float) -> float:
    with tempfile.NamedTemporaryFile("w", suffix=".json") as listing:
        json.dump(list(sources), listing)
        listing.flush()
        done = subprocess.run(
            [str(python), "-P", "-c", code, root, listing.name],
            check=True,
            capture_output=True,
            text=True,
            cwd=root,
            timeout=limit,
        )
    return float(json.loads(done.stdout.strip().splitlines()[-1])["seconds"])
