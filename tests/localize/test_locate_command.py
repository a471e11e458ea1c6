"""`patchwright index` and `patchwright locate`: output shapes and refusals of bad input."""

import argparse
import io
import json
import sys
from pathlib import Path

import pytest

from patchwright_engine.cli import index, locate
from patchwright_engine.cli.inputs import read_issue
from patchwright_engine.errors import BadInput, ModelUnavailable, SandboxUnavailable


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PATCHWRIGHT_HOME", str(tmp_path / "home"))
    project = tmp_path / "project"
    project.mkdir()
    (project / "cart.py").write_text("def total(items):\n    return sum(items)\n")
    return project


def run(*arguments: str) -> int:
    parser = argparse.ArgumentParser()
    subparsers = parser.add_subparsers()
    index.add_parser(subparsers)
    locate.add_parser(subparsers)
    parsed = parser.parse_args(arguments)
    return int(parsed.run(parsed))


def test_index_json_tells_what_it_holds_and_hits_its_cache(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("index", str(project), "--json") == 0
    assert run("index", str(project), "--json") == 0
    first, second = (json.loads(line) for line in capsys.readouterr().out.splitlines())
    assert {key: first[key] for key in ("schema", "files", "symbols", "bytes", "cache_hits")} == {
        "schema": 1,
        "files": 1,
        "symbols": 1,
        "bytes": 40,
        "cache_hits": 0,
    }
    assert second["cache_hits"] == 1


def test_locate_json_has_the_promised_shape(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("locate", "the total of items is wrong", "--repo", str(project), "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert found.keys() == {"schema", "files", "symbols", "seconds"}
    assert found["files"][0].keys() == {"path", "score", "signals"}
    symbol = found["symbols"][0]
    assert symbol.keys() == {"path", "name", "kind", "start_line", "end_line", "score"}
    assert (symbol["path"], symbol["name"], symbol["kind"], symbol["end_line"]) == ("cart.py", "total", "function", 2)


def test_results_go_to_standard_output_and_nothing_else_does(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run("locate", "total is wrong", "--repo", str(project))
    run("index", str(project))
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "Files"
    assert any(line.split() == ["symbols", "1"] for line in lines)


@pytest.mark.parametrize(
    "arguments",
    [
        ("locate", "x", "--top", "0"),
        ("locate", " "),
        ("locate", "x", "--model", "qwen2.5-coder-1.5b"),
        ("locate", "x", "--rerank", "--model", "no such model"),
        ("locate", "x", "--rerank", "--model", "http://127.0.0.1:9/v1"),
        ("index", "missing/folder"),
    ],
)
def test_bad_arguments_are_refused_with_a_cure(project: Path, arguments: tuple[str, ...]) -> None:
    with pytest.raises(BadInput) as caught:
        run(*arguments)
    assert caught.value.cure


def test_an_issue_is_text_or_a_file_or_standard_input(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "issue.md"
    file.write_text("from a file")
    assert read_issue(str(file)) == "from a file"
    assert read_issue("the a/b ratio is wrong") == "the a/b ratio is wrong"
    assert read_issue("x" * 5000) == "x" * 5000
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"from a pipe")))
    assert read_issue("-") == "from a pipe"


@pytest.mark.parametrize("content", [b"", b" \n", b"ELF\0\1\2", bytes(range(128, 256)) * 20, b"x" * 1_000_001])
def test_files_that_hold_no_issue_are_refused(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "issue"
    file.write_bytes(content)
    with pytest.raises(BadInput):
        read_issue(str(file))


@pytest.mark.parametrize("argument", ["missing/issue", "issue.md", "NOTES.TXT", "", "."])
def test_arguments_that_name_no_issue_are_refused(argument: str) -> None:
    with pytest.raises(BadInput):
        read_issue(argument)


FOLLOWED = {
    "shop/__init__.py": "",
    "shop/cart.py": """\
from shop.money import rounded


def total(items):
    if not items:
        return nothing_to_pay()
    return rounded(sum(items))


def nothing_to_pay():
    return None
""",
    "shop/money.py": "def rounded(amount):\n    return round(amount, 2)\n",
    "tests/test_cart.py": """\
from shop.cart import total


def test_two():
    assert total([1, 2]) == 3


def test_empty():
    assert total([]) == 0
""",
}


@pytest.fixture
def followed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PATCHWRIGHT_HOME", str(tmp_path / "home"))
    for name, text in FOLLOWED.items():
        (tmp_path / "shop" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "shop" / name).write_text(text)
    return tmp_path / "shop"


def test_a_failing_test_brings_up_what_it_alone_runs(followed: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ("locate", "rounded amounts of money are wrong", "--repo", str(followed))
    assert run(*arguments, "--json") == 0
    assert "nothing_to_pay" not in [one["name"] for one in json.loads(capsys.readouterr().out)["symbols"]]
    assert run(*arguments, "--json", "--test", "tests/test_cart.py::test_empty") == 0
    found = json.loads(capsys.readouterr().out)
    assert {one["path"]: one["signals"].get("execution") for one in found["files"]}["shop/cart.py"] == 1.0
    assert "nothing_to_pay" in [one["name"] for one in found["symbols"]]
    assert run(*arguments, "--test", "python -m pytest tests/test_cart.py -k empty") == 0
    assert "nothing_to_pay  (runs in the failing test, rarely in passing ones)" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("test", "message"),
    [
        ("tests/test_cart.py::test_two", "the named tests do not fail here"),
        ("make check", "names no test of this project"),
        (" ", "--test is empty"),
    ],
)
def test_a_test_that_cannot_be_followed_is_refused_with_the_cure(followed: Path, test: str, message: str) -> None:
    with pytest.raises(BadInput, match=message) as refused:
        run("locate", "totals are wrong", "--repo", str(followed), "--test", test)
    assert "test" in refused.value.cure


def test_without_a_sandbox_no_test_is_followed(followed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATCHWRIGHT_SANDBOX", "none")
    with pytest.raises(SandboxUnavailable) as refused:
        run("locate", "totals are wrong", "--repo", str(followed), "--test", "tests/test_cart.py::test_empty")
    assert refused.value.cure


def test_reranking_without_an_installed_model_names_the_cure(project: Path) -> None:
    with pytest.raises(ModelUnavailable) as caught:
        run("locate", "total is wrong", "--repo", str(project), "--rerank")
    assert "models pull" in caught.value.cure
