"""What pip installs: the table of languages, every query, every page and prompt, not only Python."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from patchwright_engine.syntax.languages import languages

ROOT = Path(__file__).parents[2]
PACKAGES = ("engine/patchwright_engine", "server/patchwright_server", "trainers/patchwright_trainers")


def test_the_wheel_holds_every_file_of_the_packages(tmp_path: Path) -> None:
    pytest.importorskip("hatchling", reason="the dev extra has it")
    command = [sys.executable, "-P", "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    [wheel] = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        held = {name: archive.getinfo(name).file_size for name in archive.namelist()}
    missing = [
        path
        for package in PACKAGES
        for path in (ROOT / package).rglob("*")
        if path.is_file()
        and path.suffix != ".pyc"
        and f"{package.partition('/')[2]}/{path.relative_to(ROOT / package).as_posix()}" not in held
    ]
    assert missing == []
    queries = {f"patchwright_engine/syntax/queries/{name}" for entry in languages() for name in entry.queries}
    data = {"patchwright_engine/syntax/languages.toml", "patchwright_engine/syntax/ADDING_A_LANGUAGE.md"}
    assert all(held[name] > 0 for name in queries | data)
