"""Draws the next token of one answer: llama.cpp's chain top-k, top-p, temperature, draw, and a grammar where one holds.

Invariant: equal logits, seed and grammar give equal tokens. With a grammar a token is drawn as without it, and only
when the grammar refuses that one is it drawn again among all it allows: a look at the whole vocabulary at every token
would cost more than small models do.
"""

import ctypes
from types import ModuleType
from typing import Any

from patchwright_engine.errors import BadInput

TOP_K = 100
# llama.cpp takes this one seed as "choose by the clock".
RANDOM_SEED = 0xFFFFFFFF


class Sampler:
    """A chain with its own seed for one answer; `close` frees it."""

    def __init__(self, lib: ModuleType, context: Any, temperature: float, top_p: float, seed: int) -> None:
        self._lib = lib
        self._context = context
        self._vocab = lib.llama_model_get_vocab(lib.llama_get_model(context))
        self._grammar: Any = None
        params = lib.llama_sampler_chain_default_params()
        params.no_perf = True
        self._chain: Any = lib.llama_sampler_chain_init(params)
        if temperature <= 0:
            lib.llama_sampler_chain_add(self._chain, lib.llama_sampler_init_greedy())
            return
        lib.llama_sampler_chain_add(self._chain, lib.llama_sampler_init_top_k(TOP_K))
        lib.llama_sampler_chain_add(self._chain, lib.llama_sampler_init_top_p(top_p, 1))
        lib.llama_sampler_chain_add(self._chain, lib.llama_sampler_init_temp(temperature))
        lib.llama_sampler_chain_add(self._chain, lib.llama_sampler_init_dist(seed % RANDOM_SEED))

    @property
    def constrained(self) -> bool:
        """Whether a grammar holds."""
        return self._grammar is not None

    def constrain(self, grammar: str) -> None:
        """Let only what `grammar` (GBNF, its root named 'root') allows be drawn from the next token on.

        Raises:
            BadInput: llama.cpp does not accept the grammar.
        """
        made = self._lib.llama_sampler_init_grammar(self._vocab, grammar.encode(), b"root")
        if not made:
            raise BadInput("llama.cpp does not accept the grammar of this request")
        self._free_grammar()
        self._grammar = made

    def sample(self, index: int) -> int:
        """Draw from row `index` of the last decode."""
        token = int(self._lib.llama_sampler_sample(self._chain, self._context, index))
        if self._grammar is None:
            return token
        import numpy

        size = int(self._lib.llama_vocab_n_tokens(self._vocab))
        pointer = self._lib.llama_get_logits_ith(self._context, index)
        return self._allowed(token, numpy.ctypeslib.as_array(pointer, shape=(size,)))

    def sample_from(self, logits: Any) -> int:
        """Draw from logits kept from an earlier decode (a numpy array, left as it is)."""
        token = self._draw(_table(logits))
        return token if self._grammar is None else self._allowed(token, logits)

    def close(self) -> None:
        """Free everything; repeated calls do nothing."""
        self._free_grammar()
        if self._chain is not None:
            self._lib.llama_sampler_free(self._chain)
            self._chain = None

    def _allowed(self, token: int, logits: Any) -> int:
        """`token`, or another one when the grammar refuses it."""
        # llama.cpp ends the process when it is told a token its grammar refuses, so each is asked about before.
        if not len(self._permitted(_table([0.0], token))):
            permitted = self._permitted(_table(logits))
            if not len(permitted):
                # Only a vocabulary without single bytes leads here; an answer cut short names nothing wrong.
                return int(self._lib.llama_vocab_eos(self._vocab))
            token = self._draw(permitted)
        self._lib.llama_sampler_accept(self._grammar, token)
        return token

    def _permitted(self, table: Any) -> Any:
        """The rows of `table` that the grammar allows next."""
        import numpy

        self._lib.llama_sampler_apply(self._grammar, ctypes.byref(self._array(table)))
        return table[numpy.isfinite(table["logit"])]

    def _draw(self, table: Any) -> int:
        array = self._array(table)
        self._lib.llama_sampler_apply(self._chain, ctypes.byref(array))
        token = int(array.data[array.selected].id)
        self._lib.llama_sampler_accept(self._chain, token)
        return token

    def _array(self, table: Any) -> Any:
        """llama.cpp's view of `table`, which must outlive it."""
        pointer = table.ctypes.data_as(ctypes.POINTER(self._lib.llama_token_data))
        return self._lib.llama_token_data_array(pointer, len(table), -1, False)

    def _free_grammar(self) -> None:
        if self._grammar is not None:
            self._lib.llama_sampler_free(self._grammar)
            self._grammar = None


def _table(logits: Any, first: int = 0) -> Any:
    """llama.cpp's table of candidates for the logits of the tokens from `first` on."""
    import numpy

    table = numpy.zeros(len(logits), dtype=[("id", "i4"), ("logit", "f4"), ("p", "f4")])
    table["id"] = numpy.arange(first, first + len(logits), dtype="i4")
    table["logit"] = logits
    return table
