"""Which sandbox is chosen, and what is said when there is none."""

from pathlib import Path

import pytest

from patchwright_engine.control import CancelToken
from patchwright_engine.errors import BadInput, SandboxUnavailable
from patchwright_engine.sandbox.bubblewrap import Bubblewrap
from patchwright_engine.sandbox.select import LEVELS, levels_here, probe, select_sandbox
from patchwright_engine.types import Command


def test_the_user_can_switch_every_sandbox_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATCHWRIGHT_SANDBOX", "none")
    with pytest.raises(SandboxUnavailable, match="switched off"):
        select_sandbox()


def test_an_unknown_level_is_refused_by_name() -> None:
    with pytest.raises(BadInput, match="chroot"):
        select_sandbox("chroot")


def test_a_working_level_says_what_it_promises() -> None:
    sandbox = select_sandbox()
    assert sandbox.level in LEVELS
    assert "does not stop" in sandbox.promises
    assert select_sandbox(sandbox.level) is sandbox, "each level is probed once"


def test_a_level_of_another_system_is_refused_with_the_reason() -> None:
    name = next(name for name in LEVELS if name not in levels_here())
    with pytest.raises(SandboxUnavailable, match=f"the sandbox {name} does not work here: not on"):
        select_sandbox(name)


def test_a_level_that_fails_is_not_offered_and_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", "tcp://192.0.2.1:2375")
    level = probe.__wrapped__("docker")
    assert level.sandbox is None
    assert "not on this machine" in level.failure
    assert "DOCKER_HOST" in level.cure


def test_a_bwrap_that_cannot_isolate_is_an_error_and_not_a_failed_test(tmp_path: Path) -> None:
    broken = tmp_path / "bwrap"
    broken.write_text("#!/bin/sh\necho 'bwrap: setting up uid map: Permission denied' >&2\nexit 1\n")
    broken.chmod(0o755)
    with pytest.raises(SandboxUnavailable, match="uid map"):
        Bubblewrap(broken).run(Command(("true",)), tmp_path, CancelToken())
