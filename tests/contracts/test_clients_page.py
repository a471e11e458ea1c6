"""The page for clients without a plugin tells of the server as it is, in configuration that can be read."""

import json
import re
import tomllib
from pathlib import Path

import pytest

from patchwright_server.app import create_server
from patchwright_server.settings import _READERS

PAGE = (Path(__file__).parents[2] / "editors" / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```(\w+)\n(.*?)```", PAGE, re.DOTALL)


def test_the_page_names_exactly_the_commands_there_are() -> None:
    told = re.findall(r"^\| `(patchwright\.\w+)` \|", PAGE, re.MULTILINE)
    assert sorted(told) == sorted(create_server().protocol.fm.commands)
    used = set(re.findall(r"\bpatchwright\.(\w+)\b", "".join(text for _, text in BLOCKS)))
    assert used <= {name.removeprefix("patchwright.") for name in told} | set(_READERS)


def test_the_page_names_exactly_the_settings_there_are() -> None:
    sentence = PAGE[PAGE.index("**Settings**") :].split(". `model`")[0]
    assert set(re.findall(r"`(\w+)`", sentence)) - {"patchwright", "didChangeConfiguration"} == set(_READERS)


@pytest.mark.parametrize(("language", "read"), [("json", json.loads), ("toml", tomllib.loads)])
def test_its_configuration_can_be_read(language: str, read: object) -> None:
    found = [text for name, text in BLOCKS if name == language]
    assert found
    for text in found:
        assert read(text)  # type: ignore[operator]
