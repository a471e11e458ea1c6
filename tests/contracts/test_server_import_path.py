"""Our own processes never import from the folder they are started in: it is the user's repository.

`python -m` puts the working directory first on the import path; a `json.py` in a repository would run unsandboxed.
"""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from lsp_editor import editor

SOURCES = Path(__file__).parents[2]
PATCHWRIGHT = Path(sys.executable).with_name("patchwright")


def test_every_python_we_start_has_the_safe_path() -> None:
    starts = re.compile(r'sys\.executable,(?:\s*"-[a-zA-Z]+",)*')
    unsafe = []
    for package in ("engine", "server"):
        for path in (SOURCES / package).rglob("*.py"):
            for match in starts.finditer(path.read_text(encoding="utf-8")):
                if '"-m"' in match[0] and '"-P"' not in match[0]:
                    unsafe.append(f"{path.name}: {match[0]}")
    assert unsafe == []


@pytest.mark.asyncio
@pytest.mark.parametrize(
    "module", ["json.py", "pygls.py", "httpx.py", "patchwright_server.py", "patchwright_engine.py"]
)
async def test_a_repository_full_of_lookalikes_runs_nothing(
    module: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATCHWRIGHT_HOME", str(tmp_path / "home"))
    root = (tmp_path / "project").resolve()
    root.mkdir()
    hit = tmp_path / "hit"
    (root / module).write_text(f"open({str(hit)!r}, 'w').close()\n")
    monkeypatch.chdir(root)
    unsafe = subprocess.run([sys.executable, "-m", module.removesuffix(".py")], capture_output=True, check=False)
    assert hit.exists(), unsafe.stderr  # the trap works
    hit.unlink()
    async with editor(root, (str(PATCHWRIGHT), "serve")) as session:
        end = await session.end_of((await session.command("reindex"))["job"], 60)
        assert end["state"] == "done", end
    assert not hit.exists()
