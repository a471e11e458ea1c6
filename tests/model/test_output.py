"""How one answer is read while it is generated."""

from hypothesis import given
from hypothesis import strategies as st

from patchwright_engine.model.output import AnswerStream, Step


def stream(**fields: object) -> AnswerStream:
    return AnswerStream(**{"max_answer": 1000, "max_think": 1000, **fields})  # type: ignore[arg-type]


def feed(into: AnswerStream, *pieces: str) -> list[Step]:
    return [into.feed(hash(piece) % 50000, piece.encode()) for piece in pieces]


def test_the_answer_ends_before_a_stop_string_that_spans_tokens() -> None:
    one = stream(stop=("```",))
    assert feed(one, "x = 1\n", "`", "``\nrest") == [Step.GO_ON, Step.GO_ON, Step.STOP]
    assert one.answer == "x = 1\n"


def test_a_stop_string_inside_the_forced_prefix_does_not_stop() -> None:
    one = stream(stop=("```",), prefix="```python\n")
    assert feed(one, "x") == [Step.GO_ON]
    assert one.answer == "```python\nx"


def test_the_answer_cap_cuts() -> None:
    one = stream(max_answer=2)
    assert feed(one, "a", "b") == [Step.GO_ON, Step.LENGTH]


def test_thinking_has_a_cap_of_its_own_and_the_answer_gets_its_whole_cap() -> None:
    one = stream(max_think=2, max_answer=2, thinking=True)
    assert feed(one, "hm", "mm") == [Step.GO_ON, Step.CLOSE_THINK]
    one.close_think()
    assert feed(one, "a", "b") == [Step.GO_ON, Step.LENGTH]
    assert (one.think, one.answer, one.tokens) == ("hmmm", "ab", 4)


def test_a_think_block_the_model_opens_itself_is_no_answer() -> None:
    one = stream()
    steps = feed(one, "<th", "ink>", "why", "</think", ">\n", "\n", "yes")
    assert steps[4] is Step.THINK_CLOSED
    assert (one.think, one.answer) == ("why", "yes")


def test_stop_strings_do_not_count_while_thinking() -> None:
    one = stream(stop=("X",), thinking=True)
    assert feed(one, "aXb", "</think>", "cXd") == [Step.GO_ON, Step.THINK_CLOSED, Step.STOP]
    assert one.answer == "c"


def test_a_model_asked_not_to_think_is_closed_at_once() -> None:
    one = stream(max_think=0)
    assert feed(one, "<think>") == [Step.CLOSE_THINK]


def test_thoughts_are_counted_apart_and_say_how_they_ended() -> None:
    for end, last in (("closed", "</think>"), ("length", "mm")):
        one = stream(max_think=3, thinking=True)
        feed(one, "hm", "mm", last)
        one.close_think(4) if end == "length" else None
        feed(one, "a", "b")
        assert (one.think_tokens, one.tokens, one.think_end) == (3, 5, end)
    silent = stream()
    feed(silent, "a")
    assert (silent.think_tokens, silent.think_end) == (0, "")


def test_a_thought_that_nothing_was_planned_for_shortens_the_answer_and_not_the_room() -> None:
    one = stream(max_think=2, max_answer=8, room=10)
    assert feed(one, "<think>", "x") == [Step.GO_ON, Step.CLOSE_THINK]
    one.close_think(3)
    assert one.left == 5
    assert feed(one, *"abcde")[-1] is Step.LENGTH


def test_what_follows_a_second_closing_tag_is_the_answer_and_its_wrapping_goes() -> None:
    one = stream(thinking=True)
    feed(one, "a", "</think>", "\nb ```x``` ", "</think>\n", "<answer>\n", "calc.py", "\n</answer>")
    assert one.answer == "calc.py"
    prefixed = stream(thinking=True, prefix="```\n")
    feed(prefixed, "a", "</think>", "tag = '</think>'")
    assert prefixed.answer == "```\ntag = '</think>'"


def test_a_thought_that_goes_round_in_long_rounds_is_closed() -> None:
    one = stream(thinking=True, max_think=100_000)
    steps = [one.feed(token, b"w ") for _ in range(6) for token in range(300)]
    assert Step.CLOSE_THINK in steps
    assert 600 < steps.index(Step.CLOSE_THINK) < 1200
    assert one.think_end == "loop"


def test_repetition_is_cut_to_one_round() -> None:
    one = stream()
    steps: list[Step] = []
    for token, piece in [(1, b"begin "), *[(2, b"a"), (3, b"b")] * 200]:
        steps.append(one.feed(token, piece))
        if steps[-1] is not Step.GO_ON:
            break
    assert steps[-1] is Step.LOOP
    assert len(steps) < 160
    assert one.answer.startswith("begin ab")
    assert len(one.answer) < 30


def test_a_long_table_is_no_loop() -> None:
    one = stream()
    for row in range(100):
        for token, piece in [(1, b"("), (1000 + row, str(row).encode()), (2, b","), (3, b" 0"), (4, b"),\n")]:
            assert one.feed(token, piece) is Step.GO_ON


def test_a_thinking_loop_closes_the_block_instead_of_the_answer() -> None:
    one = stream(thinking=True)
    steps = [one.feed(7, b"wait ") for _ in range(128)]
    assert steps[-1] is Step.CLOSE_THINK


@given(st.text(), st.integers(1, 7))
def test_text_survives_any_cut_into_tokens(text: str, size: int) -> None:
    data = text.encode("utf-8", "replace")
    one = stream(prefix="!", max_answer=10**9)
    for token, start in enumerate(range(0, len(data), size)):
        one.feed(token, data[start : start + size])
    assert one.answer == "!" + data.decode()


def test_a_character_cut_in_half_is_left_out() -> None:
    one = stream(max_answer=2)
    one.feed(1, b"a")
    one.feed(2, "é".encode()[:1])
    assert one.answer == "a"
