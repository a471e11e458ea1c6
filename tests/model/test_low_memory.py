"""Too little memory, with the real 0.5B: the host gives up what it can spare, says so, and the job goes on."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy
import pytest

from model_hosts import TALK, WORK, hosts, wait_until
from patchwright_engine.control import CancelToken
from patchwright_engine.model.client import HostedModel
from patchwright_engine.model.llama import LlamaContext, Row
from patchwright_engine.model.parameters import LoadParameters

FEW_WORDS = "4 candidates at a time, a context of 4,096 tokens kept in q8_0"
# Address space as it is with the library loaded, the weights, and so much more; then a context for which that is
# too little, in f16 and in q8_0.
STARVED = """
import re, resource, sys
from pathlib import Path
from patchwright_engine.control import CancelToken
from patchwright_engine.model.backend import CompletionRequest, Message
from patchwright_engine.model.client import HostedModel
from patchwright_engine.model.library import library
from patchwright_engine.model.parameters import LoadParameters

library()
import numpy
path = Path(sys.argv[1])
used = int(re.search(r"VmSize:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) << 10
limit = used + path.stat().st_size + (1500 << 20)
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
model = HostedModel(path, "small", LoadParameters(n_ctx=1 << 18, context_tokens=8192, n_seq=4), idle_seconds=1.0)
model.connect(CancelToken())
answer = model.complete(CompletionRequest((Message("user", "Say hello."),), n=2, max_answer_tokens=8), CancelToken())
print(model.context_tokens, len(answer.completions))
print(*model.gave_up, sep="\\n")
model.close()
"""
# Little more than what is in use once the model is loaded; then a batch that wants 256 rows of logits.
STARVED_LATE = """
import re, resource, sys
from pathlib import Path
from patchwright_engine.model.llama import DecodeFailed, LlamaContext, Row, lacked_memory
from patchwright_engine.model.parameters import LoadParameters

import numpy
context = LlamaContext(Path(sys.argv[1]), LoadParameters(n_ctx=512, context_tokens=512, n_seq=1))
used = int(re.search(r"VmSize:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) << 10
resource.setrlimit(resource.RLIMIT_AS, (used + (40 << 20), used + (40 << 20)))
try:
    context.decode([Row(100, place, 0, True) for place in range(256)])
except DecodeFailed as error:
    print(error.code, lacked_memory(error))
"""


@pytest.fixture
def hosted(small_model_path: Path, patchwright_home: Path) -> Iterator[HostedModel]:
    parameters = LoadParameters(n_ctx=4096, context_tokens=4096, n_seq=8)
    model = HostedModel(small_model_path, "small", parameters, idle_seconds=60.0)
    yield model
    model.close()
    for process in hosts():
        process.kill()
        process.wait(5)


@pytest.mark.model
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="limits of address space are Linux's")
def test_a_host_with_too_little_memory_steps_down_and_answers(small_model_path: Path, patchwright_home: Path) -> None:
    run = subprocess.run(
        [sys.executable, "-P", "-c", STARVED, str(small_model_path)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env=os.environ | {"PATCHWRIGHT_HOME": str(patchwright_home)},
    )
    assert run.returncode == 0, run.stderr
    first, *gave_up = run.stdout.splitlines()
    assert first == "8192 2"
    assert gave_up[:2] == ["context kept in q8_0 instead of f16", "context 32,768 tokens instead of 262,144"]
    (log,) = patchwright_home.rglob("model-host.log")
    assert "memory is short: context kept in q8_0 instead of f16" in log.read_text()


@pytest.mark.model
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="limits of address space are Linux's")
def test_a_decode_that_finds_no_memory_says_so(small_model_path: Path) -> None:
    """The host then ends with a status that lets its client ask the next one for less."""
    argv = [sys.executable, "-P", "-c", STARVED_LATE, str(small_model_path)]
    run = subprocess.run(argv, capture_output=True, text=True, timeout=120, check=True)
    assert run.stdout == "-2 True\n"


@pytest.mark.model
def test_a_host_killed_while_it_loads_is_followed_by_one_that_takes_less(hosted: HostedModel) -> None:
    """The kernel kills the process that took too much, without a word."""
    loading = threading.Thread(target=hosted.connect, args=(CancelToken(),))
    loading.start()
    wait_until(lambda: bool(hosts()))
    hosts()[0].kill()
    loading.join(60)
    assert hosted.gave_up == (FEW_WORDS,)
    assert hosted.context_tokens == 4096
    assert len(hosted.complete(WORK, CancelToken()).completions) == 3


@pytest.mark.model
def test_a_request_on_which_hosts_die_is_answered_by_one_that_takes_less(hosted: HostedModel) -> None:
    killed: set[int] = set()

    def kill_two(_progress: object) -> None:
        pid = hosted.host_pid
        if pid and pid not in killed and len(killed) < 2:
            killed.add(pid)
            os.kill(pid, signal.SIGKILL)

    batch = hosted.complete(WORK, CancelToken(), on_progress=kill_two)
    assert len(killed) == 2
    assert len(batch.completions) == 3
    assert hosted.gave_up == (FEW_WORDS,)


@pytest.mark.model
def test_a_context_in_q8_0_answers_as_one_in_f16(small_model_path: Path) -> None:
    """llama.cpp turns on flash attention for it, which nothing here has to ask for."""
    tables = []
    for kv_type in ("f16", "q8_0"):
        parameters = LoadParameters(n_ctx=512, context_tokens=512, n_seq=1, kv_type=kv_type)
        with LlamaContext(small_model_path, parameters) as context:
            assert (context.gave_up, context.parameters) == ([], parameters)
            tokens = context.tokenize(TALK[0].content)[:64]
            context.decode([Row(token, place, 0, place == len(tokens) - 1) for place, token in enumerate(tokens)])
            tables.append(numpy.array(context.logits(len(tokens) - 1)))
    assert tables[0].argmax() == tables[1].argmax()
    assert 0 < numpy.abs(tables[0] - tables[1]).max() < 1.5
