"""The tokenizer alone counts as the model does, and packed context keeps to its count."""

import argparse
import random
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

from patchwright_engine.control import CancelToken
from patchwright_engine.errors import ModelUnavailable
from patchwright_engine.index import open_index
from patchwright_engine.localize.context import code_excerpts, repo_map
from patchwright_engine.localize.fill import MAX_COUNTS
from patchwright_engine.model.local import LocalModel
from patchwright_engine.model.parameters import LoadParameters
from patchwright_engine.model.tokenizer import Tokenizer
from patchwright_engine.types import RankedFile, RankedSymbol, Ranking
from patchwright_engine.workspace.snapshot import take_snapshot

TEXTS = ("", "def f(x):\n    return x\n", "  \n\n\n\t x", "<|im_end|> 汉字 é \udc80", "x" * 5_000)


@pytest.fixture(scope="module")
def tokenizer(small_model_path: Path) -> Iterator[Tokenizer]:
    with Tokenizer(small_model_path) as opened:
        yield opened


@pytest.mark.model
def test_its_counts_are_those_of_the_model(tokenizer: Tokenizer, small_model_path: Path) -> None:
    model = LocalModel(small_model_path, LoadParameters(n_ctx=256, context_tokens=256, n_seq=1))
    try:
        for text in (*TEXTS, Path(argparse.__file__).read_text()):
            assert tokenizer.count(text) == model.count_tokens(text)
    finally:
        model.close()


@pytest.mark.model
def test_packed_context_is_never_over_its_budget_with_few_counts(tokenizer: Tokenizer, tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    for module in (argparse, textwrap, random):
        (root / Path(str(module.__file__)).name).write_text(Path(str(module.__file__)).read_text())
    snapshot, drawing = take_snapshot(root), random.Random(0)
    with open_index(root, tmp_path / "cache") as index:
        index.refresh(snapshot, CancelToken())
        symbols = [s for path in index.files() for s in index.symbols(path) if s.kind in ("function", "method")]
        for budget in (0, 1, 10, *(drawing.randrange(20, 20_000) for _ in range(12))):
            drawing.shuffle(symbols)
            ranking = Ranking(
                tuple(RankedFile(path, 1.0) for path in index.files()),
                tuple(RankedSymbol(symbol, 1.0) for symbol in symbols[:20]),
                0.0,
            )
            for pack in (
                lambda count: code_excerpts(symbols[:60], snapshot, count, budget),  # noqa: B023 - called at once
                lambda count: repo_map(ranking, snapshot, index, count, budget),  # noqa: B023
            ):
                counts: list[int] = []

                def count(text: str, counts: list[int] = counts) -> int:
                    counts.append(tokenizer.count(text))
                    return counts[-1]

                fitted = pack(count)
                used = tokenizer.count(fitted.text)
                assert used <= budget
                assert len(counts) <= MAX_COUNTS
                assert budget < 500 or not fitted.dropped or used > 0.8 * budget


@pytest.mark.parametrize("content", [None, b"", b"GGUF", b"<html>sign in</html>" * 50])
def test_a_file_that_is_no_model_is_told(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "model.gguf"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ModelUnavailable) as caught:
        Tokenizer(path)
    assert str(path) in caught.value.message
    assert caught.value.cure
