"""Every prompt loads, takes exactly the values its stage gives, and starts with the issue."""

import re
from importlib.resources import files

import pytest

from patchwright_engine.model.prompting import NAMES, conversation, load_examples, load_prompt, render
from patchwright_engine.search.split_tests import split_claims

VALUES = {
    "system": set(),
    "issue": {"issue"},
    "rerank": set(),
    "understand": {"map"},
    "locate": {"code"},
    "reproduce": {"issue", "tests", "imports", "again"},
    "reproduce_system": {"framework"},
    "reproduce_tests": {"path", "code"},
    "reproduce_again": {"feedback"},
    "repair_rewrite": {"context", "path", "code", "names", "language"},
    "repair_search_replace": {"context", "path", "code", "names", "language"},
    "failing_test": {"test", "failure"},
    "revise": {"feedback"},
    "judge_answer": set(),
    "judge_patch": {"diff"},
    "inputs": {"changes"},
}


@pytest.mark.parametrize("name", NAMES)
def test_a_prompt_takes_the_values_of_its_stage(name: str) -> None:
    assert set(load_prompt(name).get_identifiers()) == VALUES[name]
    text = render(name, **{key: f"<{key}>" for key in VALUES[name]})
    assert text
    assert not re.search(r"\$\w", text)


def test_the_list_of_prompts_is_the_folder() -> None:
    folder = files("patchwright_engine.model").joinpath("prompts")
    names = {f"{name}.md" for name in NAMES} | {"reproduce_examples.toml"}
    assert {entry.name for entry in folder.iterdir()} == names


def test_worked_examples_are_valid_tests_of_their_own_imports() -> None:
    assert len(load_examples()) == 3
    for example in load_examples():
        claims = split_claims(f"import pytest\n{example.imports}\n\n{example.test}")
        assert len(claims) == 1
        assert example.imports in claims[0]
        assert example.issue


def test_a_dollar_sign_in_a_value_is_left_alone() -> None:
    assert "$HOME ${x}" in render("issue", issue="$HOME ${x}")


def test_all_stages_share_the_issue_as_prefix() -> None:
    a, b = conversation("it breaks", "locate it"), conversation("it breaks", "repair it")
    assert a[0] == b[0]
    shared = a[1].content.removesuffix("locate it")
    assert b[1].content.startswith(shared)
    assert "it breaks" in shared
