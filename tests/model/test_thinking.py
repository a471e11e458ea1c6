"""Which models think, by the chat templates of their families, and how thoughts are told from answers."""

from pathlib import Path

import jinja2
import pytest

from patchwright_engine.model.loops import Circles, loop_start
from patchwright_engine.model.thinking import ThinkStyle, settle, split_thoughts, think_format

TEMPLATES = Path(__file__).parent / "chat_templates"
NEVER, ALWAYS, SWITCHED = ThinkStyle.NEVER, ThinkStyle.ALWAYS, ThinkStyle.SWITCHED
OPENED, CLOSED = "<think>\n", "<think>\n\n</think>\n\n"
TURNS = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "Why?"},
    {"role": "assistant", "content": "Because."},
    {"role": "user", "content": "And?"},
]


def template(name: str) -> str:
    return (TEMPLATES / f"{name}.jinja").read_text(encoding="utf-8")


def rendered(name: str, **switches: bool) -> str:
    """The prompt as a server with Jinja makes it."""
    environment = jinja2.Environment(trim_blocks=True, lstrip_blocks=True, autoescape=False)
    return environment.from_string(template(name)).render(messages=TURNS, add_generation_prompt=True, **switches)


@pytest.mark.parametrize(
    ("name", "style", "opened", "closed"),
    [
        ("deepseek_r1_distill_first", ALWAYS, OPENED, CLOSED),
        ("deepseek_r1_distill", ALWAYS, OPENED, CLOSED),
        ("qwen3", SWITCHED, OPENED, CLOSED),
        ("qwen3_thinking_2507", ALWAYS, OPENED, CLOSED),
        ("smollm3", SWITCHED, OPENED, "<think>\n\n</think>\n"),
        ("deepseek_v31", SWITCHED, "<think>", "<think></think>"),
    ],
)
def test_a_family_that_thinks_is_known_by_its_template(name: str, style: ThinkStyle, opened: str, closed: str) -> None:
    found = think_format(template(name))
    assert (found.style, found.opened, found.closed) == (style, opened, closed)


@pytest.mark.parametrize("name", ["qwen25_coder", "lfm25_instruct"])
def test_a_family_that_does_not_think_is_left_alone_unless_the_user_says_otherwise(name: str) -> None:
    assert think_format(template(name)).style is NEVER
    assert think_format(None).style is NEVER
    assert think_format(template(name), told=True).style is ALWAYS


@pytest.mark.parametrize(
    ("name", "switches", "ends"),
    [
        ("deepseek_r1_distill", {}, "opened"),
        ("qwen3", {"enable_thinking": False, "thinking": False}, "closed"),
        ("qwen3_thinking_2507", {"enable_thinking": False, "thinking": False}, "opened"),
        ("smollm3", {"enable_thinking": False, "thinking": False}, "closed"),
        ("deepseek_v31", {"enable_thinking": True, "thinking": True}, "opened"),
        ("deepseek_v31", {"enable_thinking": False, "thinking": False}, "closed"),
    ],
)
def test_what_is_read_off_a_template_is_what_the_template_does(name: str, switches: dict[str, bool], ends: str) -> None:
    assert rendered(name, **switches).endswith(getattr(think_format(template(name)), ends))


@pytest.mark.parametrize(
    ("text", "thoughts", "answer"),
    [
        ("yes", "", "yes"),
        ("<think>\nwhy\n</think>\n\nyes", "why", "yes"),
        ("<think>never ends ```python\nx", "never ends ```python\nx", ""),
        ("the prompt had opened it\n</think>\n\nyes", "the prompt had opened it", "yes"),
        # Twice, with code between that must not become the answer.
        ("<think>a</think>\nb\n```python\nevil\n```\n</think>\nyes", "a\nb\n```python\nevil\n```", "yes"),
        ("a </think> b </think> yes", "a\nb", "yes"),
        # A fence that the thought never closed.
        (
            "draft:\n```python\nevil\n</think>\n\n```python\ngood\n```",
            "draft:\n```python\nevil",
            "```python\ngood\n```",
        ),
        ("draft:\n```python\nevil\n</think>\n\ncalc.py", "draft:\n```python\nevil", "calc.py"),
        ("<think>x</think>```\ntag = '</think>'\n```", "x", "```\ntag = '</think>'\n```"),
        # Code is no thought: the tags stand inside a fence, or behind words that no tag closes.
        ("```python\ntag = '</think>'\n```", "", "```python\ntag = '</think>'\n```"),
        ("```python\nopen = '<think>'\nclose = '</think>'", "", "```python\nopen = '<think>'\nclose = '</think>'"),
        ("Use `<think>` here", "", "Use `<think>` here"),
        # What SWE-Reasoner answers in.
        ("<think>why</think>\n<answer>\na.py\nb.py\n</answer> trailing", "why", "a.py\nb.py"),
        ("why\n</think>\n<answer>cut off", "why", "cut off"),
    ],
)
def test_thoughts_are_told_from_the_answer(text: str, thoughts: str, answer: str) -> None:
    assert split_thoughts(text) == (thoughts, answer)


def test_an_answer_is_unwrapped_only_as_a_whole() -> None:
    assert settle("see <answer>x</answer>") == ("", "see <answer>x</answer>")


def words(text: str) -> list[int]:
    return [hash(word) % 50_000 for word in text.split()]


def turns_at(tokens: list[int]) -> int | None:
    circles = Circles()
    return next((at for at, token in enumerate(tokens) if circles.turning(token)), None)


ROUND = words(" ".join(f"wait the {noun} may be wrong so look at {noun} again" for noun in map(str, range(40))))


def test_a_thought_that_goes_round_in_long_rounds_is_seen_in_the_third() -> None:
    # One word changes each time, so nothing repeats to the token, and the round is longer than any period looked at.
    tokens = [token for turn in range(8) for token in [*ROUND, turn]]
    assert loop_start(tokens[: len(tokens) // 16 * 16]) is None
    at = turns_at(tokens)
    assert at is not None
    assert 2 * len(ROUND) < at < 4 * len(ROUND)


def test_a_draft_said_again_as_the_result_is_no_loop() -> None:
    draft = words(" ".join(f"line{n} = value{n} + {n}" for n in range(120)))
    assert turns_at([*draft, *words("so the function is"), *draft]) is None


def test_a_long_thought_about_the_same_names_is_no_loop() -> None:
    said = " ".join(
        f"the parser reads token {n} then the parser checks case {n * 7 % 31} of rule {n % 5}" for n in range(400)
    )
    assert turns_at(words(said)) is None
