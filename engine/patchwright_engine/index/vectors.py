"""What each unit of a file says, packed: a unit is a function, the own text of a class, or what is outside both.

A term is its 32-bit hash, so that files can be read in any process without a shared vocabulary; two terms of a large
project rarely meet, and then cost a little precision. Invariant: equal content gives equal bytes.
"""

import re
import struct
import sys
import zlib
from array import array
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import cache
from itertools import accumulate, chain, repeat
from typing import NamedTuple, Protocol, TypeAlias

from patchwright_engine.index.lexical import word_terms

Numbers: TypeAlias = "array[int] | memoryview[int]"
FIELDS = ("code", "text", "name")
"""Fields of a unit: code itself, comments and strings, what the unit is called."""
MAX_COUNT = 255
MAX_WORDS = 200_000
"""Words whose terms a process remembers."""
LONG_LINE = 400
"""Bytes. Minified code has thousands of functions in one line, whose words are those of the first that begins there."""
_HEADER = struct.Struct("<IIIIII")
_KINDS = "iBIIIIBBB"
_SIZES = tuple(array(kind).itemsize for kind in _KINDS)
_LEVEL = 1
"""Of compression: higher levels save little on hashes and cost a cold index much."""
_NOTHING: Mapping[int, int] = {}
_WORDS = bytes(byte if re.fullmatch("[A-Za-z0-9_]", chr(byte)) else 0x20 for byte in range(256))
"""Leaves only what words are made of, so that `split` finds them: several times faster than a pattern."""
_OUTSIDE = re.compile(b"\0+")


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


class Vectors(NamedTuple):
    """The units of one file. Entries follow each other unit by unit, `sizes[i]` of them for unit i."""

    totals: tuple[int, int, int]
    """Terms of the whole file, by field."""
    symbols: Numbers
    """Position of each unit's symbol among the file's symbols; the last unit, the rest of the file, has -1."""
    nested: Numbers
    """1 for a unit whose text is part of another unit's, so that a sum over the file must leave it out."""
    lengths: Numbers
    """In words."""
    sizes: Numbers
    terms: Numbers
    """The distinct terms of the file."""
    places: Numbers
    """Of each entry: its term's place in `terms`."""
    code: Numbers
    """Of each entry: how often the term stands in the field, as are the next two."""
    text: Numbers
    name: Numbers


def term_key(term: str) -> int:
    """The hash of one term."""
    return zlib.crc32(term.encode())


def make_vectors(source: bytes, symbols: Sequence[Spanned], texts: Iterable[tuple[int, int]]) -> bytes:
    """Pack the units of a file. `texts` are the byte ranges of comments and strings."""
    code, text = _split(source, texts)
    sizes = [len(line) for line in source.split(b"\n")]
    starts = [0, *accumulate(map((1).__add__, sizes))]
    lines = len(sizes)
    units = _Units()
    covered = bytearray(lines)
    long = frozenset(number for number, size in enumerate(sizes) if size > LONG_LINE) if max(sizes) > LONG_LINE else ()
    unsaid = set(long)
    function_end = 0
    for position, symbol in enumerate(symbols):
        if symbol.kind == "variable":
            continue
        first, last = symbol.start_line - 1, min(symbol.end_line, lines)
        own = _own_lines(symbols, position, last) if symbol.kind == "class" else [(first, last)]
        if long:
            said = [line for start, end in own for line in range(start, end) if line not in long or line in unsaid]
            unsaid.difference_update(said)
            own = [(line, line + 1) for line in said]
        nested = first < function_end
        if symbol.kind != "class":
            function_end = max(function_end, last)
        spans = [(starts[start], starts[end]) for start, end in own if start < end]
        units.add(position, nested, _cut(code, spans), _cut(text, spans), symbol.name)
        covered[first:last] = b"\1" * (last - first)
    spans = [(starts[match.start()], starts[match.end()]) for match in _OUTSIDE.finditer(covered)]
    units.add(-1, False, _cut(code, spans), _cut(text, spans), "")
    return _pack(units.vectors())


def unpack(packed: bytes) -> Vectors:
    """The units that `make_vectors` packed.

    Raises:
        ValueError: these are not its bytes.
    """
    try:
        content = memoryview(zlib.decompress(packed))
        units, terms, entries, first, second, third = _HEADER.unpack_from(content)
    except (zlib.error, struct.error) as error:
        raise ValueError(f"not packed vectors: {error}") from error
    parts: list[Numbers] = []
    place = _HEADER.size
    counts = (units, units, units, units, terms, entries, entries, entries, entries)
    for kind, size, count in zip(_KINDS, _SIZES, counts, strict=True):
        end = place + count * size
        if end > len(content):
            raise ValueError("not packed vectors: cut short")
        parts.append(_native(kind, content[place:end]))
        place = end
    return Vectors((first, second, third), *parts)


def _native(kind: str, content: "memoryview[int]") -> Numbers:
    """Packed numbers as this machine has them; a view where that is how they are packed."""
    if sys.byteorder == "little":
        view: memoryview[int] = content.cast(kind)  # type: ignore[call-overload]
        return view
    numbers = array(kind, bytes(content))
    numbers.byteswap()
    return numbers


class _WordKeys(dict[bytes, tuple[int, ...]]):
    """The hashes of each word's terms, for a whole process: most words of a file stand in many."""

    def __missing__(self, word: bytes) -> tuple[int, ...]:
        if len(self) >= MAX_WORDS:
            self.clear()
        name = word.lstrip(b"0123456789").decode("ascii")  # No word begins with a digit, as in `lexical.WORD`.
        keys = self[word] = tuple([term_key(term) for term in word_terms(name)])
        return keys


@cache
def _word_keys() -> _WordKeys:
    return _WordKeys()


class _Units:
    """The units of one file as they are read."""

    def __init__(self) -> None:
        self._arrays = [array(kind) for kind in _KINDS]
        self._keys: list[int] = []
        """Of each entry."""
        self._totals = [0, 0, 0]

    def add(self, position: int, nested: bool, code: bytes, text: bytes, name: str) -> None:
        """One more unit, by what it says in each field; `code` and `text` as `_split` leaves them.

        There are tens of units in a file and hardly a loop of Python's own here: this is what a cold index costs most
        beyond parsing.
        """
        symbols, every_nested, lengths, sizes, _, _, codes, texts, names = self._arrays
        keys = _word_keys().__getitem__
        code_words, text_words, name_words = code.split(), text.split(), name.encode().translate(_WORDS).split()
        in_code = Counter(chain.from_iterable(map(keys, code_words)))
        in_text = Counter(chain.from_iterable(map(keys, text_words))) if text_words else _NOTHING
        in_name: dict[int, int] = {}
        for key in chain.from_iterable(map(keys, name_words)):  # A Counter costs more than counting to five.
            in_name[key] = in_name.get(key, 0) + 1
        held = [*{**in_code, **in_text, **in_name}]
        size = len(held)
        symbols.append(position)
        every_nested.append(nested)
        words = len(code_words) + len(text_words) + len(name_words)
        lengths.append(words - sum(map(bytes.isdigit, chain(code_words, text_words, name_words))))
        sizes.append(size)
        self._keys += held
        codes.frombytes(_as_bytes(in_code.values()) + bytes(size - len(in_code)))  # Its terms are the first of `held`.
        texts.frombytes(_as_bytes([*map(in_text.get, held, repeat(0))]) if in_text else bytes(size))
        of_name = bytearray(size)
        for key, count in in_name.items():
            of_name[held.index(key)] = min(count, MAX_COUNT)
        names.frombytes(of_name)
        if not nested:
            for field, counts in enumerate((in_code, in_text, in_name)):
                self._totals[field] += sum(counts.values())

    def vectors(self) -> Vectors:
        terms = dict.fromkeys(self._keys)
        places = dict(zip(terms, range(len(terms)), strict=True))
        self._arrays[4].extend(terms)
        self._arrays[5].extend(map(places.__getitem__, self._keys))
        first, second, third = self._totals
        return Vectors((first, second, third), *self._arrays)


def _as_bytes(counts: Collection[int]) -> bytes:
    try:
        return bytes(counts)
    except ValueError:
        return bytes(min(count, MAX_COUNT) for count in counts)


def _split(source: bytes, texts: Iterable[tuple[int, int]]) -> tuple[bytes, bytes]:
    """The words of a file twice, every byte in its place: those outside comments and strings, and those inside."""
    words = source.translate(_WORDS)
    code, text = bytearray(words), bytearray(b" " * len(words))
    for start, end in texts:
        text[start:end] = words[start:end]
        code[start:end] = b" " * (end - start)
    return bytes(code), bytes(text)


def _own_lines(symbols: Sequence[Spanned], position: int, last: int) -> list[tuple[int, int]]:
    """Ranges of lines of a class that are in none of the definitions inside it."""
    outer = symbols[position]
    own: list[tuple[int, int]] = []
    line = outer.start_line - 1
    for place in range(position + 1, len(symbols)):
        inner = symbols[place]
        if inner.start_line >= outer.end_line and not inner.name.startswith(f"{outer.name}."):
            break
        if inner.kind != "variable":
            own.append((line, inner.start_line - 1))
            line = max(line, inner.end_line)
    return [*own, (line, last)]


def _cut(source: bytes, spans: Sequence[tuple[int, int]]) -> bytes:
    if len(spans) == 1:
        return source[spans[0][0] : spans[0][1]]
    return b"\n".join([source[start:end] for start, end in spans])


def _pack(vectors: Vectors) -> bytes:
    header = _HEADER.pack(len(vectors.symbols), len(vectors.terms), len(vectors.places), *vectors.totals)
    parts = [_packed(kind, numbers) for kind, numbers in zip(_KINDS, vectors[1:], strict=True)]
    return zlib.compress(b"".join((header, *parts)), _LEVEL)


def _packed(kind: str, numbers: Numbers) -> bytes:
    """Numbers with the low byte first."""
    if sys.byteorder == "little":
        return numbers.tobytes()
    swapped = array(kind, numbers)
    swapped.byteswap()
    return swapped.tobytes()
