"""llama-server as an engine of `inference.py`: the way most people use it, and the best ways it offers.

Usual: as many chat requests as answers at once, then as many verdicts at once; each slot computes the whole prompt.
Best: one request with `n_cmpl`, whose prompt is computed once and shared. The server forgets the answers of all but the
first slot (`server_slot::release`: "do not keep context of the child slots"), so verdicts go to that one, which
holds the prompt; answer and question are new to it.
Slots: the prompt is computed in one slot, saved, and restored into the others; answers and verdicts are pinned to
slots, so that only the question is new to a verdict. It costs a file and a copy of the prompt's cells for each slot.
"""

import dataclasses
import math
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx

from inference_engines import SPARE, TEMPERATURE, TOP_P, WARM_UP, Result, Work, neighbour, peak
from llama_server import serve

MARK = "ANSWER-STANDS-HERE"
SAMPLING = {"temperature": TEMPERATURE, "top_p": TOP_P, "ignore_eos": True}
VERDICT = {"temperature": 0}
WORDS = ("Yes", "No")


def run_server(kind: str, work: Work, busy: bool, binary: Path) -> Result:
    """Start a server, let it do `work`, and end it. Raises RuntimeError."""
    one = work.prompt_tokens + work.tokens + SPARE
    extra = ["-ngl", str(work.gpu_layers)] if work.gpu_layers else []
    context = one * work.n
    if kind != "server":
        # Idle slots keep what the verdicts go on from.
        extra += ["--no-cache-idle-slots", "--cache-ram", "0"]
    if kind == "server-best":
        # One pool, or what is shared would be copied.
        extra += ["--kv-unified"]
        context = one + work.n * (work.tokens + SPARE)
    way = {"server": usual_way, "server-best": best_way, "server-slots": slots_way}[kind]
    # The server inside: were it outside, an interrupt would wait for its replies.
    with (
        tempfile.TemporaryDirectory() as folder,
        ThreadPoolExecutor(max_workers=work.n) as pool,
        serve(
            binary,
            Path(work.model),
            slots=work.n,
            context=context,
            threads=work.threads,
            extra=[*extra, "--slot-save-path", folder],
        ) as server,
        httpx.Client(base_url=server.root, timeout=None, trust_env=False) as client,
    ):
        post(client, "/v1/chat/completions", {"messages": [{"role": "user", "content": WARM_UP}], "max_tokens": 8})
        with neighbour(busy):
            result = way(client, work, pool)
        return dataclasses.replace(result, peak_bytes=peak(server.pid))


def usual_way(client: httpx.Client, work: Work, pool: ThreadPoolExecutor) -> Result:
    """N chat requests at once, then N verdicts at once."""
    path = "/v1/chat/completions"
    common = {"messages": work.messages, "max_tokens": work.tokens, **SAMPLING}
    started = time.perf_counter()
    asked = [{**common, "seed": work.seed + index} for index in range(work.n)]
    replies = list(pool.map(lambda body: post(client, path, body), asked))
    generated = time.perf_counter()
    verdicts: list[Any] = []
    if work.judge:
        contents = [reply["choices"][0]["message"]["content"] for reply in replies]
        judged = [
            {"messages": work.judged(content), "max_tokens": 1, "logprobs": True, "top_logprobs": 20, **VERDICT}
            for content in contents
        ]
        verdicts = list(pool.map(lambda body: post(client, path, body), judged))
    return Result(
        generated - started,
        time.perf_counter() - generated,
        _total(replies, "predicted_n"),
        _total(replies, "prompt_n"),
        _total(verdicts, "prompt_n"),
        tuple(p_yes(reply["choices"][0]["logprobs"]["content"]) for reply in verdicts),
    )


def best_way(client: httpx.Client, work: Work, pool: ThreadPoolExecutor) -> Result:
    """One request for all answers, then N verdicts in the slot that keeps the prompt."""
    prompt, question = _prompt_and_question(client, work)
    body = {"prompt": prompt, "n_cmpl": work.n, "n_predict": work.tokens, "seed": work.seed, "return_tokens": True}
    started = time.perf_counter()
    reply = post(client, "/completion", {**body, **SAMPLING})
    generated = time.perf_counter()
    replies = reply if isinstance(reply, list) else [reply]
    answers = [(one, replies[0]["id_slot"]) for one in replies if work.judge]
    verdicts = _verdicts(client, pool, prompt, question, answers)
    return Result(
        generated - started,
        time.perf_counter() - generated,
        _total(replies, "predicted_n"),
        # A child's timings are a copy of its parent's as far as the prompt goes.
        int(replies[0]["timings"]["prompt_n"]),
        _total(verdicts, "prompt_n"),
        tuple(p_yes(reply["completion_probabilities"]) for reply in verdicts),
    )


def slots_way(client: httpx.Client, work: Work, pool: ThreadPoolExecutor) -> Result:
    """One prefill, copied from slot to slot through a file; answers and verdicts pinned to slots."""
    prompt, question = _prompt_and_question(client, work)
    body = {"prompt": prompt, "n_predict": work.tokens, "return_tokens": True, **SAMPLING}
    started = time.perf_counter()
    first = post(client, "/completion", {"prompt": prompt, "n_predict": 0, "id_slot": 0})
    if work.n > 1:
        post(client, "/slots/0?action=save", {"filename": "prompt"})
    for slot in range(1, work.n):
        post(client, f"/slots/{slot}?action=restore", {"filename": "prompt"})
    asked = [{**body, "seed": work.seed + slot, "id_slot": slot} for slot in range(work.n)]
    replies = list(pool.map(lambda body: post(client, "/completion", body), asked))
    generated = time.perf_counter()
    answers = [(one, one["id_slot"]) for one in replies if work.judge]
    verdicts = _verdicts(client, pool, prompt, question, answers)
    return Result(
        generated - started,
        time.perf_counter() - generated,
        _total(replies, "predicted_n"),
        _total([first, *replies], "prompt_n"),
        _total(verdicts, "prompt_n"),
        tuple(p_yes(reply["completion_probabilities"]) for reply in verdicts),
    )


def _prompt_and_question(client: httpx.Client, work: Work) -> tuple[list[int], list[int]]:
    """Tokens of the conversation up to the answer, and of what follows an answer that is judged."""

    def tokens_of(text: str) -> list[int]:
        reply = post(client, "/tokenize", {"content": text, "add_special": False, "parse_special": True})
        return list(reply["tokens"])

    def rendered(messages: Sequence[dict[str, str]]) -> str:
        return str(post(client, "/apply-template", {"messages": messages})["prompt"])

    return tokens_of(rendered(work.messages)), tokens_of(rendered(work.judged(MARK)).partition(MARK)[2])


def _verdicts(
    client: httpx.Client,
    pool: ThreadPoolExecutor,
    prompt: list[int],
    question: list[int],
    answers: Sequence[tuple[Any, int]],
) -> list[Any]:
    """Replies to the questions about `answers` (reply, slot to ask)."""
    common = {"n_predict": 1, "n_probs": 20, **VERDICT}
    judged = [{**common, "prompt": prompt + one["tokens"] + question, "id_slot": slot} for one, slot in answers]
    return list(pool.map(lambda body: post(client, "/completion", body), judged))


def p_yes(entries: Sequence[dict[str, Any]]) -> float:
    """P(Yes) among the two words at the first token; 0.5 where neither is likely."""
    top = {str(item["token"]).strip(): math.exp(item["logprob"]) for item in reversed(entries[0]["top_logprobs"])}
    yes, no = (top.get(word, 0.0) for word in WORDS)
    return yes / (yes + no) if yes + no else 0.5


def post(client: httpx.Client, path: str, body: dict[str, Any]) -> Any:
    """The reply's JSON. Raises RuntimeError with what the server said."""
    try:
        reply = client.post(path, json=body)
    except httpx.HTTPError as error:
        raise RuntimeError(f"llama-server: {type(error).__name__} {error}") from error
    if reply.status_code != 200:
        raise RuntimeError(f"llama-server {reply.status_code}: {reply.text[:300]}")
    return reply.json()


def _total(replies: Sequence[dict[str, Any]], key: str) -> int:
    return sum(int(reply["timings"][key]) for reply in replies)
