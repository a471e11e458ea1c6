"""What each unit of a file says, packed: a unit is a function, the own text of a class, or what is outside both.

A term is its 32-bit hash, apart for each field, so that files can be read in any process without a shared vocabulary;
two terms of a large project rarely meet, and then cost a little precision. Invariant: equal content gives equal bytes.
"""

import struct
import sys
import zlib
from array import array
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol

from patchwright_engine.index.lexical import WORD, word_terms

FIELDS = {"code": 0, "text": 0x9E3779B9, "name": 0x85EBCA6B}
"""Fields of a unit and the seed of their hashes: code itself, comments and strings, what the unit is called."""
MAX_COUNT = 255
LONG_LINE = 400
"""Bytes. Minified code has thousands of functions in one line, whose words are those of the first that begins there."""
_HEADER = struct.Struct("<II")
_BLANK = bytes(byte if byte == 0x0A else 0x20 for byte in range(256))


class Spanned(Protocol):
    """What a unit is made of: a symbol with its 1-based lines."""

    @property
    def name(self) -> str: ...
    @property
    def kind(self) -> str: ...
    @property
    def start_line(self) -> int: ...
    @property
    def end_line(self) -> int: ...


@dataclass(frozen=True, slots=True)
class Vectors:
    """The units of one file: `keys[offsets[i]:offsets[i + 1]]` with `counts` are unit i's."""

    symbols: "array[int]"
    """Position of each unit's symbol among the file's symbols; the last unit, the rest of the file, has -1."""
    nested: "array[int]"
    """1 for a unit whose text is part of another unit's, so that a sum over the file must leave it out."""
    lengths: "array[int]"
    """In words."""
    offsets: "array[int]"
    keys: "array[int]"
    counts: "array[int]"


@lru_cache(maxsize=200_000)
def word_keys(word: str, seed: int) -> tuple[int, ...]:
    """The hashes of one word's terms in the field of `seed`."""
    return tuple(zlib.crc32(term.encode(), seed) for term in word_terms(word))


def term_key(term: str, field: str) -> int:
    """The hash of one term in one field."""
    return zlib.crc32(term.encode(), FIELDS[field])


def make_vectors(source: bytes, symbols: Sequence[Spanned], texts: Iterable[tuple[int, int]]) -> bytes:
    """Pack the units of a file. `texts` are the byte ranges of comments and strings."""
    code, text = _split(source, texts)
    vectors = Vectors(*(array(kind) for kind in "iBIIIB"))
    vectors.offsets.append(0)
    covered = bytearray(len(code))
    long = {number for number, line in enumerate(source.split(b"\n")) if len(line) > LONG_LINE}
    unsaid = set(long)
    function_end = 0
    for position, symbol in enumerate(symbols):
        if symbol.kind == "variable":
            continue
        first, last = symbol.start_line - 1, min(symbol.end_line, len(code))
        own = _own_lines(symbols, position, last) if symbol.kind == "class" else range(first, last)
        if long:
            own = [line for line in own if line not in long or line in unsaid]
            unsaid.difference_update(own)
        nested = first < function_end
        if symbol.kind != "class":
            function_end = max(function_end, last)
        said = {"code": _joined(code, own), "text": _joined(text, own), "name": symbol.name}
        _add(vectors, position, nested, said)
        covered[first:last] = b"\1" * (last - first)
    rest = [line for line, inside in enumerate(covered) if not inside]
    _add(vectors, -1, False, {"code": _joined(code, rest), "text": _joined(text, rest)})
    return _pack(vectors)


def unpack(packed: bytes) -> Vectors:
    """The units that `make_vectors` packed.

    Raises:
        ValueError: these are not its bytes.
    """
    try:
        units, entries = _HEADER.unpack_from(packed)
        vectors = Vectors(*(array(kind) for kind in "iBIIIB"))
        place = _HEADER.size
        for part, count in zip(_parts(vectors), (units, units, units, units + 1, entries, entries), strict=True):
            end = place + count * part.itemsize
            part.frombytes(packed[place:end])
            if len(part) != count:
                raise ValueError("cut short")
            if sys.byteorder == "big":
                part.byteswap()
            place = end
    except struct.error as error:
        raise ValueError(str(error)) from error
    return vectors


def _split(source: bytes, texts: Iterable[tuple[int, int]]) -> tuple[list[str], list[str]]:
    """The lines of the file twice: without its comments and strings, and those alone."""
    code, text = bytearray(source), bytearray(source.translate(_BLANK))
    for start, end in texts:
        text[start:end] = source[start:end]
        code[start:end] = source[start:end].translate(_BLANK)
    return code.decode("utf-8", "replace").split("\n"), text.decode("utf-8", "replace").split("\n")


def _own_lines(symbols: Sequence[Spanned], position: int, last: int) -> list[int]:
    """Lines of a class that are in none of the definitions inside it."""
    outer = symbols[position]
    own: list[int] = []
    line = outer.start_line - 1
    for place in range(position + 1, len(symbols)):
        inner = symbols[place]
        if inner.start_line >= outer.end_line and not inner.name.startswith(f"{outer.name}."):
            break
        if inner.kind != "variable":
            own += range(line, inner.start_line - 1)
            line = max(line, inner.end_line)
    return [*own, *range(line, last)]


def _add(vectors: Vectors, position: int, nested: bool, said: Mapping[str, str]) -> None:
    """One more unit; `said` is its text by field."""
    counts: Counter[int] = Counter()
    length = 0
    for field, part in said.items():
        seed = FIELDS[field]
        words = Counter(WORD.findall(part))
        length += words.total()
        for word, times in words.items():
            for key in word_keys(word, seed):
                counts[key] += times
    vectors.symbols.append(position)
    vectors.nested.append(nested)
    vectors.lengths.append(length)
    vectors.keys.extend(counts)
    vectors.counts.extend(min(count, MAX_COUNT) for count in counts.values())
    vectors.offsets.append(len(vectors.keys))


def _joined(lines: Sequence[str], chosen: Iterable[int]) -> str:
    return "\n".join(lines[number] for number in chosen)


def _parts(vectors: Vectors) -> "tuple[array[int], ...]":
    return vectors.symbols, vectors.nested, vectors.lengths, vectors.offsets, vectors.keys, vectors.counts


def _pack(vectors: Vectors) -> bytes:
    parts = _parts(vectors)
    if sys.byteorder == "big":
        for part in parts:
            part.byteswap()
    header = _HEADER.pack(len(vectors.symbols), len(vectors.keys))
    return header + b"".join(part.tobytes() for part in parts)
