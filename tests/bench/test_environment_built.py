"""An instance's environment is what its install commands make, and their failure is told."""

import sys
from dataclasses import replace
from pathlib import Path

import pytest

from patchwright_engine.bench.environments import build_environment
from patchwright_engine.bench.instances import Instance
from patchwright_engine.control import CancelToken
from patchwright_engine.errors import Cancelled, EnvironmentProblem
from toy_bug import Toy

MAKE = f"{sys.executable} -m venv --without-pip VENV"


@pytest.fixture
def instance(toy: Toy, tmp_path: Path) -> Instance:
    return toy.instance(tmp_path)


def build(instance: Instance, folder: Path, name: str, *commands: str, cancel: CancelToken | None = None) -> Path:
    checkout = folder / name / "tree"
    checkout.mkdir(parents=True)
    return build_environment(
        replace(instance, install=commands),
        checkout,
        folder / name / "venv",
        shared=folder / "shared",
        cancel=cancel or CancelToken(),
        say=lambda message: None,
    )


def test_what_two_instances_begin_with_is_made_once(instance: Instance, tmp_path: Path) -> None:
    count = f"echo made >> {tmp_path}/count"
    commands = (MAKE, count, "printf '#!%s/bin/python\\n' VENV > VENV/bin/script", "echo here > $CHECKOUT/here.txt")
    first = build(instance, tmp_path, "first", *commands)
    second = build(instance, tmp_path, "second", *commands)
    assert (tmp_path / "count").read_text() == "made\n"
    assert first == tmp_path / "first" / "venv" / "bin" / "python"
    assert first.exists()
    assert (tmp_path / "first/tree/here.txt").exists()
    assert (tmp_path / "second/tree/here.txt").exists()
    assert (second.parent / "script").read_text() == f"#!{second}\n"


def test_other_constraints_are_another_environment(instance: Instance, tmp_path: Path) -> None:
    commands = (MAKE, 'cat "$PIP_CONSTRAINT" > VENV/seen.txt')
    python = build(replace(instance, constraints="six==1.0\n"), tmp_path, "first", *commands)
    assert (python.parent.parent / "seen.txt").read_text() == "six==1.0\n"
    other = build(replace(instance, constraints="six==2.0\n"), tmp_path, "second", *commands)
    assert (other.parent.parent / "seen.txt").read_text() == "six==2.0\n"


def test_pip_is_the_environments_own(instance: Instance, tmp_path: Path) -> None:
    pip = "mkdir -p VENV/lib/python3.{0}/site-packages/pip && echo 'import sys; print(sys.prefix)' > "
    pip += "VENV/lib/python3.{0}/site-packages/pip/__main__.py"
    told = "VENV/bin/pip install -e . > $CHECKOUT/told.txt"
    python = build(instance, tmp_path, "first", MAKE, pip.format(sys.version_info.minor), told)
    assert (tmp_path / "first/tree/told.txt").read_text().strip() == str(python.parent.parent)


def test_a_broken_command_is_told_with_what_it_printed_and_leaves_nothing(instance: Instance, tmp_path: Path) -> None:
    with pytest.raises(
        EnvironmentProblem, match=r"`echo no such wheel; exit 3` failed \(exit status 3\): no such wheel"
    ):
        build(instance, tmp_path, "first", MAKE, "echo no such wheel; exit 3")
    mended = build(instance, tmp_path, "second", MAKE)
    assert mended.exists()


def test_a_missing_interpreter_has_a_cure(instance: Instance, tmp_path: Path) -> None:
    with pytest.raises(EnvironmentProblem) as caught:
        build(replace(instance, python="3.99"), tmp_path, "first", "python3.99 -m venv VENV")
    assert "Install what is missing, e.g. Python 3.99" in caught.value.cure


def test_commands_that_make_no_environment_are_told(instance: Instance, tmp_path: Path) -> None:
    with pytest.raises(EnvironmentProblem, match="made no VENV/bin/python"):
        build(instance, tmp_path, "first", "true")


def test_a_cancel_ends_a_command_under_way(instance: Instance, tmp_path: Path) -> None:
    cancel = CancelToken()

    def say(message: str) -> None:
        if message == "sleep 600":
            cancel.cancel()

    (tmp_path / "tree").mkdir()
    with pytest.raises(Cancelled):
        build_environment(
            replace(instance, install=(MAKE, "sleep 600")),
            tmp_path / "tree",
            tmp_path / "venv",
            shared=tmp_path / "shared",
            cancel=cancel,
            say=say,
        )
