"""The toy bug, made once, and a sandbox that works here."""

import pytest

from patchwright_engine.sandbox.base import Sandbox
from patchwright_engine.sandbox.select import select_sandbox
from toy_bug import Toy, make_toy


@pytest.fixture(scope="session")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Toy:
    return make_toy(tmp_path_factory.mktemp("toy"))


@pytest.fixture(scope="session")
def sandbox() -> Sandbox:
    return select_sandbox()
