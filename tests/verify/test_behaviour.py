"""Probes are evaluated in the sandbox, each alone, and their outcomes are comparable texts."""

from collections.abc import Callable, Mapping
from dataclasses import replace

import pytest

from patchwright_engine.control import CancelToken
from patchwright_engine.sandbox.base import Sandbox
from patchwright_engine.types import RepoPath, Snapshot
from patchwright_engine.verify.behaviour import NOT_RUN, differing, observe
from patchwright_engine.verify.environment import TestEnvironment
from patchwright_engine.verify.probes import Probe

CODE = """\
import os, pathlib, time
SEEN = []

class Thing:
    pass

def twice(n):
    SEEN.append(n)
    return n * 2

def lazily(n):
    yield from range(n)

def fails():
    raise KeyError("a\\nb")

def hangs():
    while True:
        time.sleep(0.01)

def leaves():
    os._exit(0)

def here():
    return str(pathlib.Path(__file__).resolve())
"""


@pytest.fixture
def outcomes(
    make_snapshot: Callable[[Mapping[str, str]], Snapshot],
    sandbox: Sandbox,
    environment: TestEnvironment,
    cancel: CancelToken,
) -> Callable[..., tuple[str, ...]]:
    def go(*expressions: str, setup: str = "from code_under_test import *") -> tuple[str, ...]:
        root = make_snapshot({"code_under_test.py": CODE}).root
        probes = [Probe(setup, expression) for expression in expressions]
        seen = observe(sandbox, root, environment, probes, cancel, timeout_seconds=30)
        assert not list(root.glob(".patchwright-*")), "the answers' folder was left behind"
        return seen

    return go


def test_values_errors_and_endless_calls_are_told(outcomes: Callable[..., tuple[str, ...]]) -> None:
    assert outcomes("twice(2)", "fails()", "hangs()", "lazily(3)", "lazily(99)", "twice('é')", "no_such", "1 +") == (
        "returns 4",
        "raises KeyError: 'a\\nb'",
        "does not end",
        "returns an iterator over [0, 1, 2]",
        "returns an iterator over [" + ", ".join(map(str, range(30))) + ", …]",
        "returns 'éé'",
        "raises NameError: name 'no_such' is not defined",
        "raises SyntaxError: invalid syntax (<probe>, line 1)",
    )


def test_addresses_and_the_copys_place_do_not_make_a_difference(outcomes: Callable[..., tuple[str, ...]]) -> None:
    thing, where = outcomes("Thing()", "here()")
    assert thing == "returns <code_under_test.Thing object at 0x…>"
    assert where == "returns 'code_under_test.py'"


def test_a_probe_that_ends_the_process_costs_only_those_after_it(outcomes: Callable[..., tuple[str, ...]]) -> None:
    assert outcomes("twice(1)", "leaves()", "twice(2)") == ("returns 2", NOT_RUN, NOT_RUN)


def test_names_of_one_probe_are_not_there_in_the_next(outcomes: Callable[..., tuple[str, ...]]) -> None:
    assert outcomes("(x := 1)", "x", setup="") == ("returns 1", "raises NameError: name 'x' is not defined")


def test_only_what_ran_on_both_sides_and_is_stable_is_a_difference() -> None:
    one, other = ("a", "b", "c", NOT_RUN, "e"), ("a", "x", "y", "d", NOT_RUN)
    assert differing(one, other, (True, True, False, True, True)) == (1,)


PACKAGE = {
    "src/pkg/__init__.py": "",
    "src/pkg/core.py": "def half(n):\n    return n / 2\n",
    "src/pkg/tests/__init__.py": "NUMBER = 8\n",
    "tests/helpers.py": "def seven():\n    return 7\n",
    "tests/inner/helpers.py": "def seven():\n    return 'seven'\n",
    "tests/data.txt": "text\n",
}


def test_a_probe_imports_as_the_file_that_it_was_taken_from(
    make_snapshot: Callable[[Mapping[str, str]], Snapshot],
    sandbox: Sandbox,
    environment: TestEnvironment,
    cancel: CancelToken,
) -> None:
    """Relative imports, modules beside it, data beside it; no other probe sees any of it."""
    root = make_snapshot(PACKAGE).root
    inside, beside = RepoPath("src/pkg/tests/test_core.py"), RepoPath("tests/test_core.py")
    data = "from pathlib import Path"
    probes = [
        Probe("from . import NUMBER\nfrom ..core import half", "half(NUMBER)", inside),
        Probe("from .core import half", "half(4)", beside),
        Probe("from helpers import seven", "seven()", beside),
        Probe(data, "(Path(__file__).parent / 'data.txt').read_text()", beside),
        Probe("import sys", "[name for name in sys.path if 'tests' in name]"),
        Probe("", "__file__"),
    ]
    assert observe(sandbox, root, environment, probes, cancel, timeout_seconds=30) == (
        "returns 4.0",
        "raises ImportError: attempted relative import with no known parent package",
        "returns 7",
        "returns 'text\\n'",
        "returns []",
        "raises NameError: name '__file__' is not defined",
    )


DJANGO = {
    "site/manage.py": """\
        import os, sys
        if __name__ == "__main__":
            os.environ.setdefault("DJANGO_SETTINGS_MODULE", "shop.settings")
            from django.core.management import execute_from_command_line
            execute_from_command_line(sys.argv)
        """,
    "site/shop/__init__.py": "",
    "site/shop/settings.py": """\
        SECRET_KEY = "x"
        INSTALLED_APPS = ["shop"]
        DEFAULT_AUTO_FIELD = "django.db.models.AutoField"
        DATABASES = {"default": {"ENGINE": "django.db.backends.postgresql", "NAME": "shop", "HOST": "db.invalid"}}
        """,
    "site/shop/models.py": """\
        from django.db import models

        class Item(models.Model):
            price = models.IntegerField()

            def double(self):
                return self.price * 2
        """,
}
ITEM = "from .models import Item\nitem = Item.objects.create(price=3)"


def test_probes_of_a_django_project_have_its_models_and_an_empty_database_each(
    make_snapshot: Callable[[Mapping[str, str]], Snapshot],
    sandbox: Sandbox,
    environment: TestEnvironment,
    cancel: CancelToken,
) -> None:
    pytest.importorskip("django")
    root = make_snapshot(DJANGO).root
    django = replace(environment, runner="django", entry="site/manage.py")
    tests = RepoPath("site/shop/tests.py")
    probes = [
        Probe(ITEM, "item.double()", tests),
        Probe(ITEM, "Item.objects.all()", tests),
        Probe("from shop.models import Item", "Item.objects.count()"),
        Probe("", "1 / 0", tests),
        Probe(ITEM, "Item.objects.create(pk=item.pk, price=4)", tests),
        Probe("from shop.models import Item", "Item.objects.count()"),
    ]
    seen = observe(sandbox, root, django, probes, cancel, timeout_seconds=60)
    assert seen == (
        "returns 6",
        "returns <QuerySet [<Item: Item object (1)>]>",
        "returns 0",
        "raises ZeroDivisionError: division by zero",
        "raises IntegrityError: UNIQUE constraint failed: shop_item.id",
        "returns 0",
    )
    broken = replace(django, entry="site/no_manage.py")
    plain = [Probe("from shop import settings", "settings.SECRET_KEY"), Probe("", "2 + 2")]
    assert observe(sandbox, root, broken, plain, cancel, timeout_seconds=60) == ("returns 'x'", "returns 4")


def test_answers_that_our_runner_did_not_write_are_none(outcomes: Callable[..., tuple[str, ...]]) -> None:
    """The code under test finds the file and writes to it: it may spoil its own answers, and breaks nothing."""
    lines = ['[9, "returns 1"]', '[-1, "x"]', "[]", "{}", "[1, 2]", "x", '[[0], "x"]', "[0]"]
    forge = (
        f"open([a for a in __import__('sys').argv if 'outcomes' in a][0], 'a').write({chr(10).join(lines)!r} + chr(10))"
    )
    assert outcomes(forge, "twice(2)") == (f"returns {sum(map(len, lines)) + len(lines)}", "returns 4")
