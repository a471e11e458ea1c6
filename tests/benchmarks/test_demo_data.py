"""The demo's data file holds what its reader promises, and nothing in the product knows these bugs."""

import importlib.util
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def load_demo() -> object:
    spec = importlib.util.spec_from_file_location("demo_under_test", ROOT / "benchmarks" / "demo.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_at_least_three_bugs_of_three_packages_with_all_their_facts() -> None:
    bugs = load_demo().load_bugs()  # type: ignore[attr-defined]
    assert len({bug.package for bug in bugs}) >= 3
    for bug in bugs:
        assert bug.buggy != bug.fixed
        assert bug.reference
        assert len(bug.issue.strip()) >= 20
        assert bug.upstream_tests
        assert bug.upstream_file.endswith(".py")
        assert 0 < bug.minutes < 30


def test_nothing_in_the_product_is_particular_to_these_bugs() -> None:
    bugs = load_demo().load_bugs()  # type: ignore[attr-defined]
    names = {re.split(r"[-_ ]", bug.name, maxsplit=1)[-1] for bug in bugs} | {bug.package for bug in bugs}
    names |= {name.replace("-", "_") for name in names}
    for package in ("engine", "server"):
        for path in (ROOT / package).rglob("*"):
            if path.suffix in {".py", ".md", ".toml", ".scm"}:
                text = path.read_text(encoding="utf-8")
                found = {name for name in names if re.search(rf"\b{re.escape(name)}\b", text)}
                assert not found, f"{path} names {found}"


@pytest.mark.parametrize("argument", ["nonsense", "--budget"])
def test_a_wrong_argument_is_told(
    argument: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.argv", ["demo.py", argument])
    demo = load_demo()
    try:
        code = demo.main()  # type: ignore[attr-defined]
    except SystemExit as error:
        code = error.code
    assert code == 2
    assert capsys.readouterr().err
