"""Untrusted output: bounded, and harmless on a terminal."""

import pytest

from patchwright_engine.sandbox.output import BoundedOutput, sanitize_output


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        ("plain\ttab\nline", "plain\ttab\nline"),
        ("\x1b[1;31mred\x1b[0m", "red"),
        ("\x1b]0;new title\x07after", "after"),
        ("\x1b]8;;http://evil\x1b\\link\x1b]8;;\x1b\\", "link"),
        ("\x1bP+q544e\x1b\\after", "after"),
        ("\x1b[?1049hhidden", "hidden"),
        ("a\x08\x00\x7fb\x9bc", "abc"),
        ("one\r\ntwo\rthree", "one\ntwo\nthree"),
        ("safe\u202etxet", "safetxet"),
        ("Ünïcode ✓", "Ünïcode ✓"),
        ("unfinished \x1b]0;title", "unfinished "),
    ],
)
def test_only_text_is_left(raw: str, shown: str) -> None:
    assert sanitize_output(raw) == shown


def test_short_output_is_kept_whole() -> None:
    output = BoundedOutput(100)
    for block in (b"one ", b"two ", b"three"):
        output.add(block)
    assert output.text() == "one two three"
    assert not output.truncated


def test_long_output_keeps_both_ends_and_tells_what_is_missing() -> None:
    output = BoundedOutput(20)
    for number in range(1000):
        output.add(f"{number:04d} ".encode())
    assert output.truncated
    assert output.text() == "0000 0001 \n[... 4980 bytes left out ...]\n0998 0999 "
