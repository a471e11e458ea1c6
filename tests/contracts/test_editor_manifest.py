"""What VS Code reads of the extension before any of its code runs: settings in an order, commands that are there."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

VSCODE = Path(__file__).parents[2] / "editors/vscode"


@pytest.fixture(scope="module")
def contributed() -> Any:
    return json.loads((VSCODE / "package.json").read_text(encoding="utf-8"))["contributes"]


def test_every_setting_has_a_place_of_its_own(contributed: Any) -> None:
    orders = [one["order"] for one in contributed["configuration"]["properties"].values()]
    assert orders == list(range(1, len(orders) + 1))


def test_every_command_that_a_menu_or_key_names_is_declared_and_registered(contributed: Any) -> None:
    declared = [one["command"] for one in contributed["commands"]]
    assert len(declared) == len(set(declared))
    menus = [one["command"] for menu in contributed["menus"].values() for one in menu]
    assert {*menus, *(one["command"] for one in contributed["keybindings"])} <= set(declared)
    source = (VSCODE / "src/extension.ts").read_text(encoding="utf-8")
    registered = re.findall(r"\bon(?:Fix|Job)?\('(\w+)'", source)
    assert sorted(declared) == sorted(f"patchwright.{name}" for name in registered)
