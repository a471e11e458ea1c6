"""Prompts are data: `prompts/*.md`, filled with `$name` placeholders. What is stable stands first.

Every stage's user message begins with the issue, so that the stages of a job share one prefix in the KV cache.
Reproduction is the exception: its worked examples come first, and are the same for every job.
"""

import tomllib
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from string import Template

from patchwright_engine.model.backend import Message

NAMES = (
    "system",
    "issue",
    "rerank",
    "understand",
    "locate",
    "reproduce",
    "reproduce_system",
    "reproduce_tests",
    "reproduce_again",
    "repair_rewrite",
    "repair_search_replace",
    "failing_test",
    "revise",
    "judge_answer",
    "judge_patch",
    "inputs",
)


@cache
def load_prompt(name: str) -> Template:
    """The template of one prompt. Raises FileNotFoundError for a name that does not exist."""
    return Template(files(__package__).joinpath("prompts", f"{name}.md").read_text(encoding="utf-8").strip())


def render(name: str, **values: str) -> str:
    """Fill a prompt. Raises KeyError when a placeholder has no value. Values are inserted as they are."""
    return load_prompt(name).substitute(values)


@dataclass(frozen=True, slots=True)
class Example:
    """One worked example of a reproduction test."""

    issue: str
    imports: str
    test: str


@cache
def load_examples() -> tuple[Example, ...]:
    """The worked examples of the reproduction stage, from `prompts/reproduce_examples.toml`."""
    text = files(__package__).joinpath("prompts", "reproduce_examples.toml").read_text(encoding="utf-8")
    return tuple(
        Example(**{key: value.strip("\n") for key, value in entry.items()}) for entry in tomllib.loads(text)["example"]
    )


def conversation(issue_text: str, stage_text: str) -> tuple[Message, ...]:
    """System message plus one user message: the issue first, then what the stage asks."""
    user = f"{render('issue', issue=issue_text)}\n\n{stage_text}"
    return (Message("system", render("system")), Message("user", user))
