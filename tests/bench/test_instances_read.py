"""Instance files: what is read, and how a broken row is told."""

import json
from pathlib import Path
from typing import Any

import pytest

from patchwright_engine.bench.instances import read_instances, read_localization_instances
from patchwright_engine.errors import BadInput
from toy_bug import Toy


def written(folder: Path, *lines: str) -> Path:
    path = folder / "rows.jsonl"
    path.write_text("\n".join(lines) + "\n")
    return path


def test_a_row_is_read_whole(toy: Toy, tmp_path: Path) -> None:
    instance = toy.instance(tmp_path)
    assert instance.instance_id == "toys__calc-1"
    assert instance.mirror == "toys+calc"
    assert instance.install == tuple(toy.row["install_cmds"])
    assert instance.fail_to_pass == ("tests/test_calc.py::test_high",)
    assert instance.constraints == ""


def test_a_list_may_be_json_in_a_text_as_swe_bench_writes_it(toy: Toy, tmp_path: Path) -> None:
    assert toy.instance(tmp_path, FAIL_TO_PASS='["a", "b"]').fail_to_pass == ("a", "b")


def test_a_checkout_command_may_name_a_fork(toy: Toy, tmp_path: Path) -> None:
    command = "git --git-dir=$REPOS/fork+calc/repo archive abc | tar x"
    assert toy.instance(tmp_path, checkout_cmd=command).mirror == "fork+calc"
    outside = "git --git-dir=$REPOS/../../home/repo archive abc | tar x"
    assert toy.instance(tmp_path, checkout_cmd=outside).mirror == "toys+calc"


@pytest.mark.parametrize(
    ("key", "value", "named"),
    [
        ("instance_id", None, "instance_id is missing"),
        ("instance_id", "../x", "does not look like one"),
        ("repo", "calc", "does not look like one"),
        ("base_commit", "--help", "does not look like one"),
        ("python", 3.11, "python is missing or not a text"),
        ("install_cmds", [], "install_cmds is missing"),
        ("FAIL_TO_PASS", "test_high", "FAIL_TO_PASS is missing"),
        ("patch", "  ", "patch is missing"),
    ],
)
def test_a_broken_row_is_told_with_its_line(toy: Toy, tmp_path: Path, key: str, value: Any, named: str) -> None:
    good = json.dumps(toy.row)
    bad = json.dumps({**toy.row, "instance_id": "other", key: value})
    with pytest.raises(BadInput, match="line 2") as caught:
        read_instances(written(tmp_path, good, bad))
    assert named in caught.value.message
    assert "instance_id" in caught.value.cure


@pytest.mark.parametrize("line", ["{", "[1]"])
def test_what_is_no_object_is_told(tmp_path: Path, line: str) -> None:
    with pytest.raises(BadInput, match="line 1: not"):
        read_instances(written(tmp_path, line))


def test_one_id_twice_is_refused(toy: Toy, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="there twice"):
        read_instances(written(tmp_path, json.dumps(toy.row), json.dumps(toy.row)))


@pytest.mark.parametrize("path", ["empty.jsonl", "missing.jsonl"])
def test_no_rows_are_no_instances(tmp_path: Path, path: str) -> None:
    (tmp_path / "empty.jsonl").write_text("\n")
    with pytest.raises(BadInput):
        read_instances(tmp_path / path)


LOCALIZATION = {
    "instance_id": "toys__calc-1",
    "repo": "toys/calc",
    "base_commit": "0123abc",
    "problem_statement": "It\u2028breaks.",
    "gold_files": ["calc.py"],
    "gold_functions": ["calc.py::clamp", "calc.py::<module>"],
}


def test_localization_needs_no_install_commands_and_counts_no_module_as_a_symbol(tmp_path: Path) -> None:
    line = json.dumps(LOCALIZATION, ensure_ascii=False)
    [instance] = read_localization_instances(written(tmp_path, line))
    assert instance.gold_files == ("calc.py",)
    assert instance.gold_symbols == ("calc.py::clamp",)


def test_a_fix_outside_functions_has_no_gold_symbol(tmp_path: Path) -> None:
    line = json.dumps({**LOCALIZATION, "gold_functions": []})
    assert read_localization_instances(written(tmp_path, line))[0].gold_symbols == ()


@pytest.mark.parametrize("key", ["gold_files", "gold_functions", "base_commit", "problem_statement"])
def test_a_row_without_what_localization_needs_is_told(tmp_path: Path, key: str) -> None:
    row = {name: value for name, value in LOCALIZATION.items() if name != key}
    with pytest.raises(BadInput, match=f"line 1: {key} is missing") as caught:
        read_localization_instances(written(tmp_path, json.dumps(row)))
    assert "gold_functions" in caught.value.cure
