"""Answers that can only be names: the grammar, llama.cpp's own reading of it, and the real 0.5B model under it."""

import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy
import pytest

from patchwright_engine.control import CancelToken
from patchwright_engine.errors import BadInput
from patchwright_engine.model import decode
from patchwright_engine.model.backend import Completion, CompletionRequest, Message
from patchwright_engine.model.chat import ChatFormat
from patchwright_engine.model.grammar import MAX_CHOICES, as_choices, choices_grammar
from patchwright_engine.model.llama import LlamaContext, quiet_environment
from patchwright_engine.model.local import LocalModel
from patchwright_engine.model.parameters import LoadParameters

ODD = (
    'say "hi".py',
    "back\\slash\\n.py",
    "with space/a b.py",
    "naïve/日本語.py",
    "🦀.rs",
    "tab\there.py",
    "[a-z]{2}(x|y)*?.py",
    "a::b.<lambda>",
    "# no comment.py",
)
FILES = tuple(f"src/shop/{name}.py" for name in ("cart", "carts", "card", "price", "tax/rates", "tax/rounding"))
CHOICES = (*FILES, *ODD)
ASK = (
    Message("system", "You are a careful programmer."),
    Message(
        "user",
        "The files are:\n" + "\n".join(CHOICES) + "\n\nTotals are rounded the wrong way when tax is added to a cart."
        " Which files must be changed? Answer with file paths, one per line, and nothing else.",
    ),
)
WILD: dict[str, Any] = {"n": 8, "temperature": 1.5, "top_p": 1.0, "seed": 1, "max_answer_tokens": 120}


def test_names_share_their_beginnings() -> None:
    assert choices_grammar(["ab/c.py", "ab/d.py", "ab/c.pyi", "x"], 2) == (
        'root ::= line ("\\n" line){0,1} "\\n"?\nline ::= "ab/" ("c.py" ("i")? | "d.py") | "x"\n'
    )


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["b", "a", "b"], ("b", "a")),
        ([], ()),
        (["a", "two\nlines"], ()),
        (["a", "undecodable\udc80"], ()),
        (["a", ""], ()),
        (map(str, range(MAX_CHOICES)), tuple(map(str, range(MAX_CHOICES)))),
        (map(str, range(MAX_CHOICES + 1)), ()),
    ],
)
def test_what_a_grammar_cannot_offer_whole_is_not_offered(names: Sequence[str], expected: tuple[str, ...]) -> None:
    assert as_choices(names) == expected


@pytest.mark.parametrize(("choices", "most"), [((), 1), (("a\nb",), 1), (("\udc80",), 1), (("a",), 0), (("a", ""), 1)])
def test_a_grammar_that_cannot_be_is_refused(choices: tuple[str, ...], most: int) -> None:
    with pytest.raises(BadInput):
        choices_grammar(choices, most)


@pytest.mark.parametrize("choices", [CHOICES, ("a" * 4000, "a" * 3999 + "b"), tuple("a" * n for n in range(1, 201))])
def test_llama_cpp_accepts_the_grammar(choices: tuple[str, ...]) -> None:
    os.environ.update(quiet_environment())
    from llama_cpp import llama_cpp as lib

    def accepts(text: str) -> bool:
        sampler = lib.llama_sampler_init_grammar(None, text.encode(), b"root")
        if sampler:
            lib.llama_sampler_free(sampler)
        return bool(sampler)

    assert accepts(choices_grammar(choices, 5))
    assert not accepts(choices_grammar(choices, 5).replace("line ::=", "lines ::="))


@pytest.fixture(scope="module")
def model(small_model_path: Path) -> Iterator[LocalModel]:
    os.environ.update(quiet_environment())
    loaded = LocalModel(small_model_path, LoadParameters(n_ctx=4096, context_tokens=2048, n_seq=8))
    yield loaded
    loaded.close()


@pytest.fixture
def context(model: LocalModel) -> LlamaContext:
    return model._session.context


def refused_at(context: LlamaContext, tokens: Sequence[int], most: int = 2) -> int | None:
    """Index of the first token that cannot be drawn though the model wants nothing else; None: all can."""
    sampler = context.sampler(0.0, 1.0, 0)
    sampler.constrain(choices_grammar(CHOICES, most))
    try:
        for index, token in enumerate(tokens):
            logits = numpy.zeros(context.n_vocab, dtype="f4")
            logits[token] = 50
            if sampler.sample_from(logits) != token:
                return index
        return None
    finally:
        sampler.close()


def end_of(context: LlamaContext) -> int:
    return context.tokenize("<|im_end|>", special=True)[0]


@pytest.mark.model
@pytest.mark.parametrize("choice", CHOICES)
def test_every_choice_can_be_written_and_ended_after(context: LlamaContext, choice: str) -> None:
    end = end_of(context)
    whole = context.tokenize(choice)
    assert refused_at(context, [*whole, end]) is None
    assert refused_at(context, [*context.tokenize(choice + "\n" + FILES[0]), end]) is None
    assert refused_at(context, [*context.tokenize(choice + "\n"), end]) is None
    # Byte by byte too, as a model may that never saw such a name.
    letters = [token for letter in choice for token in context.tokenize(letter)]
    assert refused_at(context, [*letters, end]) is None


@pytest.mark.model
def test_nothing_else_can_be_written(context: LlamaContext) -> None:
    end = end_of(context)
    assert refused_at(context, [end]) == 0
    cut = context.tokenize(FILES[0])[:-1]
    assert refused_at(context, [*cut, end]) == len(cut)
    for wrong in ("src/shop/carp.py", "./" + FILES[0], "say hi.py", "back\\slash\n.py", FILES[0] + " ", " " + FILES[0]):
        assert refused_at(context, [*context.tokenize(wrong), end]) is not None
    one_too_many = context.tokenize("\n".join(FILES[:3]))
    at = refused_at(context, one_too_many)
    assert at is not None
    assert b"".join(map(context.piece, one_too_many[:at])).decode().strip() == "\n".join(FILES[:2])


def lines_of(answers: Sequence[Completion]) -> list[str]:
    return [line for one in answers for line in one.answer.removesuffix("\n").split("\n")]


@pytest.mark.model
def test_at_any_temperature_only_names_that_exist_are_written(
    model: LocalModel, record_property: Callable[[str, object], None]
) -> None:
    def ask(**fields: Any) -> tuple[Completion, ...]:
        return model.complete(CompletionRequest(ASK, **{**WILD, **fields}), CancelToken()).completions

    bound = ask(choices=CHOICES, max_choices=4)
    assert {one.finish for one in bound} == {"stop"}
    assert all(1 <= len(lines_of([one])) <= 4 for one in bound)
    assert not set(lines_of(bound)) - set(CHOICES)
    assert len({one.answer for one in bound}) > 1
    assert ask(choices=CHOICES, max_choices=4) == bound
    free = lines_of(ask(max_answer_tokens=40))
    made_up = [line for line in free if line not in CHOICES]
    record_property("lines that name nothing, without a grammar", f"{len(made_up)} of {len(free)}")
    assert made_up, "the model needs no grammar here: this test shows nothing"


@pytest.mark.model
def test_thoughts_are_free_and_the_answer_after_them_is_not(model: LocalModel, context: LlamaContext) -> None:
    chat = ChatFormat((context.chat_template or "") + "{# <think> #}", context.apply_template)
    session = decode.Session(context, model._session.cache, chat)
    request = CompletionRequest(ASK, **WILD, max_think_tokens=10, choices=FILES, max_choices=3)
    answers = decode.complete(session, request, CancelToken()).completions
    # The model may also end everything in the middle of a thought.
    given = [one for one in answers if one.answer]
    assert len(given) > len(answers) // 2
    assert not set(lines_of(given)) - set(FILES)
    assert any(set(one.think.split("\n")) - set(FILES) for one in given)
