"""The engines that `inference.py` compares: each answers one `Work` from nothing, in a process of its own.

    python benchmarks/inference_engines.py ours|loop     reads a Work as JSON, waits for "go", prints a Result

Invariant: all take the same weights, prompt, threads and number of tokens; ends of answers are forbidden to all, so
that every answer has exactly `tokens` tokens; loading and a short warm-up are not timed.
"""

import contextlib
import dataclasses
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

TEMPERATURE = 0.8
TOP_P = 0.95
QUESTION = "Is this answer correct? Reply with one word, Yes or No."
WARM_UP = "Name a colour."
SPARE = 96
"""Tokens beyond prompt and answer: the question and what the chat template puts around it."""
KINDS = ("ours", "loop", "server", "server-best", "server-slots")


@dataclass(frozen=True, slots=True)
class Work:
    """One cell of the grid."""

    model: str
    system: str
    code: str
    prompt_tokens: int
    n: int
    tokens: int
    judge: bool
    threads: int
    gpu_layers: int = 0
    seed: int = 1

    @property
    def messages(self) -> list[dict[str, str]]:
        return [{"role": "system", "content": self.system}, {"role": "user", "content": self.code}]

    def judged(self, answer: str) -> list[dict[str, str]]:
        """The conversation that is judged after `answer`."""
        return [*self.messages, {"role": "assistant", "content": answer}, {"role": "user", "content": QUESTION}]


@dataclass(frozen=True, slots=True)
class Result:
    """What one engine did. Times are seconds of wall time."""

    generate_seconds: float
    judge_seconds: float
    tokens: int
    """Generated, over all answers."""
    prefill: int
    """Prompt tokens computed for the answers."""
    judge_prefill: int
    """Prompt tokens computed for the verdicts."""
    verdicts: tuple[float, ...]
    peak_bytes: int = 0
    """Most memory the engine's process ever held."""


Go = Callable[[], None]


def run(kind: str, work: Work, busy: bool, server: Path | None) -> Result:
    """Let one engine do `work`, with one core kept busy by another process when `busy`.

    Raises:
        RuntimeError: the engine failed.
    """
    if kind in ("ours", "loop"):
        return _run_child(kind, work, busy)
    if server is None:
        raise RuntimeError("llama-server is not built. Cure: python benchmarks/llama_server.py")
    from inference_servers import run_server

    return run_server(kind, work, busy, server)


@contextlib.contextmanager
def neighbour(wanted: bool) -> Iterator[None]:
    """Another process that wants a core all the time."""
    if not wanted:
        yield
        return
    # It must not outlive this process, however that ends.
    spin = "import os\nparent = os.getppid()\nwhile os.getppid() == parent: sum(range(9999))"
    process = subprocess.Popen([sys.executable, "-c", spin])
    try:
        yield
    finally:
        process.kill()
        process.wait()


def peak(pid: int) -> int:
    """Bytes: Linux keeps the peak, elsewhere what is held now."""
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    return int(psutil.Process(pid).memory_info().rss)


def _run_child(kind: str, work: Work, busy: bool) -> Result:
    environment = dict(os.environ)
    if kind == "ours":
        from patchwright_engine.model.llama import quiet_environment

        environment |= quiet_environment()  # as the model host is started
    process = subprocess.Popen(
        [sys.executable, "-P", __file__, kind],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        process.stdin.write(json.dumps(dataclasses.asdict(work)) + "\n")
        process.stdin.flush()
        if process.stdout.readline().strip() == "ready":
            with neighbour(busy):
                process.stdin.write("go\n")
                process.stdin.flush()
                line = process.stdout.readline()
            if line:
                return dataclasses.replace(Result(**json.loads(line)), peak_bytes=peak(process.pid))
        raise RuntimeError(f"{kind} ended with status {process.wait(10)}")
    finally:
        process.kill()
        process.wait()
        process.stdin.close()
        process.stdout.close()


def ours(work: Work, go: Go) -> Result:
    """Patchwright's own model, as the model host runs it."""
    from patchwright_engine.control import CancelToken
    from patchwright_engine.model import output
    from patchwright_engine.model.backend import CompletionRequest, JudgeRequest, Message
    from patchwright_engine.model.local import LocalModel
    from patchwright_engine.model.parameters import LoadParameters

    one = work.prompt_tokens + work.tokens + SPARE
    parameters = LoadParameters(
        n_ctx=one + work.n * (work.tokens + SPARE),
        context_tokens=one,
        n_seq=work.n,
        n_gpu_layers=work.gpu_layers,
        threads=work.threads,
    )
    model = LocalModel(Path(work.model), parameters)
    _forbid_ends(model)
    # An answer cut for repeating itself would be shorter than the others.
    output.AnswerStream._loop_start = lambda _self: None  # type: ignore[method-assign]

    def chat(messages: Sequence[dict[str, str]]) -> tuple[Message, ...]:
        return tuple(Message(m["role"], m["content"]) for m in messages)

    def ask(messages: Sequence[dict[str, str]], n: int, tokens: int) -> CompletionRequest:
        return CompletionRequest(
            chat(messages), n, tokens, 0, TEMPERATURE, TOP_P, work.seed, first_greedy=False, reference=""
        )

    model.complete(ask([{"role": "user", "content": WARM_UP}], 1, 8), CancelToken())
    go()
    started = time.perf_counter()
    batch = model.complete(ask(work.messages, work.n, work.tokens), CancelToken())
    generated = time.perf_counter()
    verdicts = ()
    if work.judge:
        judged = [JudgeRequest(chat(work.judged(one.answer))) for one in batch.completions]
        verdicts = model.judge(judged, CancelToken())
    return Result(
        generated - started,
        time.perf_counter() - generated,
        batch.generated_tokens,
        batch.prompt_tokens - batch.cached_tokens,
        sum(one.prompt_tokens - one.cached_tokens for one in verdicts),
        tuple(one.probability or 0.0 for one in verdicts),
    )


def _forbid_ends(model: Any) -> None:
    """Take the tokens that end an answer out of the logits, as llama-server's `ignore_eos` does."""
    context = model._session.context
    ends = [token for token in range(context.n_vocab) if context.is_end(token)]
    decode = context.decode

    def decode_without_ends(rows: Sequence[Any], *rest: Any, **more: Any) -> Any:
        result = decode(rows, *rest, **more)
        for index, row in enumerate(rows):
            if row.logits:
                context.logits(index)[ends] = float("-inf")
        return result

    context.decode = decode_without_ends


def loop(work: Work, go: Go) -> Result:
    """llama-cpp-python's `create_chat_completion`, one answer and its verdict after the other: each goes on from
    what the context holds already, so the prompt is computed once and an answer's verdict costs the question only."""
    import llama_cpp
    import numpy

    llm = llama_cpp.Llama(
        work.model,
        n_ctx=work.prompt_tokens + work.tokens + SPARE,
        n_threads=work.threads,
        n_threads_batch=work.threads,
        n_gpu_layers=work.gpu_layers,
        verbose=False,
    )
    vocab = llama_cpp.llama_model_get_vocab(llm.model)
    ends = [token for token in range(llm.n_vocab()) if llama_cpp.llama_vocab_is_eog(vocab, token)]
    words = [llm.tokenize(word, add_bos=False)[0] for word in (b"Yes", b"No")]
    computed = [0]
    evaluate = llm.eval

    def logits() -> Any:
        pointer = llama_cpp.llama_get_logits_ith(llm.ctx, -1)
        return numpy.ctypeslib.as_array(pointer, shape=(llm.n_vocab(),))

    def evaluate_without_ends(tokens: Sequence[int]) -> None:
        computed[0] += len(tokens)
        evaluate(tokens)
        logits()[ends] = float("-inf")

    llm.eval = evaluate_without_ends  # type: ignore[method-assign]

    def say(messages: list[dict[str, str]], tokens: int, seed: int) -> Any:
        return llm.create_chat_completion(messages, temperature=TEMPERATURE, top_p=TOP_P, seed=seed, max_tokens=tokens)

    say([{"role": "user", "content": WARM_UP}], 8, 0)
    go()
    generate_seconds = judge_seconds = 0.0
    tokens = prefill = judge_prefill = 0
    verdicts = []
    for index in range(work.n):
        started, before = time.perf_counter(), computed[0]
        reply = say(work.messages, work.tokens, work.seed + index)
        generate_seconds += time.perf_counter() - started
        made = int(reply["usage"]["completion_tokens"])
        tokens += made
        prefill += computed[0] - before - (made - 1)
        if work.judge:
            started, before = time.perf_counter(), computed[0]
            say(work.judged(reply["choices"][0]["message"]["content"]), 1, 0)
            yes, no = (float(logits()[word]) for word in words)
            verdicts.append(1.0 / (1.0 + float(numpy.exp(no - yes))))
            judge_seconds += time.perf_counter() - started
            judge_prefill += computed[0] - before
    return Result(generate_seconds, judge_seconds, tokens, prefill, judge_prefill, tuple(verdicts))


def main() -> int:
    """The child's side of `_run_child`."""
    work = Work(**json.loads(sys.stdin.readline()))
    # The child of a parent that died must not go on.
    parent = os.getppid()
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()

    def go() -> None:
        print("ready", flush=True)
        sys.stdin.readline()

    result = {"ours": ours, "loop": loop}[sys.argv[1]](work, go)
    print(json.dumps(dataclasses.asdict(result)), flush=True)
    sys.stdin.readline()
    return 0


def _end_with(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)


if __name__ == "__main__":
    raise SystemExit(main())
