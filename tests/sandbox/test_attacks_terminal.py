"""Attacks on the user's terminal: typing into it, and output that it would obey."""

import os
import pty
import select
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from attacks import PYTHON, python, shell, unconfined_python
from patchwright_engine.sandbox.base import Sandbox

TYPING = """
import fcntl, os
ways = ["/dev/tty", "/dev/console", "/proc/self/fd/0", "/proc/%d/fd/0" % os.getppid()]
for way in [*ways, *range(10)]:
    try:
        terminal = way if isinstance(way, int) else os.open(way, os.O_RDWR | os.O_NOCTTY)
        for letter in b"typed\\n":
            fcntl.ioctl(terminal, 0x5412, bytes([letter]))
        break
    except OSError:
        pass
"""

AT_A_TERMINAL = """
import os, select, subprocess, sys
from pathlib import Path
from patchwright_engine.control import CancelToken
from patchwright_engine.sandbox.select import select_sandbox
from patchwright_engine.types import Command

argv, level, workspace = ({python!r}, "-c", {typing!r}), {level!r}, Path({workspace!r})
if level is None:
    subprocess.run(argv)
else:
    print(select_sandbox(level).run(Command(argv), workspace, CancelToken()).exit_code)
print(os.read(0, 99) if select.select([0], [], [], 0.5)[0] else "nothing typed")
"""


def at_a_terminal(workspace: Path, level: str | None) -> str:
    """What the program says that runs the attack below it, with a real terminal as its controlling one."""
    ours, theirs = pty.openpty()
    program = AT_A_TERMINAL.format(python=PYTHON, typing=TYPING, level=level, workspace=str(workspace))
    process = subprocess.Popen(
        ["setsid", "--ctty", sys.executable, "-c", program],
        stdin=theirs,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        start_new_session=False,
        text=True,
    )
    drained = threading.Thread(target=_drain, args=(ours, process))
    drained.start()
    said, _ = process.communicate(timeout=60)
    drained.join()
    os.close(theirs)
    os.close(ours)
    return said


def _drain(terminal: int, process: "subprocess.Popen[str]") -> None:
    """Take the echo, so that the terminal never blocks."""
    while process.poll() is None:
        if select.select([terminal], [], [], 0.05)[0]:
            os.read(terminal, 1000)


def test_nothing_is_typed_into_the_users_terminal(sandbox: Sandbox, workspace: Path) -> None:
    if "typed\\n" not in at_a_terminal(workspace, None):
        pytest.skip("this kernel lets nobody type into a terminal")
    assert at_a_terminal(workspace, sandbox.level).splitlines()[-1] == "nothing typed"


@pytest.mark.parametrize("call", [0x5412, 0x541C])
def test_the_calls_that_type_are_refused_on_any_terminal(sandbox: Sandbox, workspace: Path, call: int) -> None:
    """TIOCSTI and TIOCLINUX, on a terminal of the attacker's own making."""
    script = (
        "import errno, fcntl, os\n"
        "terminal = os.openpty()[1]\n"
        f"try: fcntl.ioctl(terminal, {call}, b'x')\n"
        "except OSError as error: print(error.errno)\n"
        "else: print('typed')"
    )
    if unconfined_python(workspace, script).strip() == "1":
        pytest.skip("this kernel or user is refused it anyway")
    report = python(sandbox, workspace, script)
    assert report.output == "1\n" or "PermissionError" in report.output or "out of pty devices" in report.output


CODES = {
    "colours": r"\033[31mred\033[0m",
    "a title": r"\033]0;title\007",
    "a link": r"\033]8;;http://evil.example\033\\click\033]8;;\033\\",
    "the clipboard": r"\033]52;c;cm0gLXJmIC8=\007",
    "an answer from the terminal": r"\033[6n\033[c\033P+q544e\033\\",
    "another screen": r"\033[?1049h\033[2J\033[H",
    "eight-bit codes": r"\302\233\061m\302\235\060;t\302\234",
    "overwriting": r"passed\rfailed\b\b\b",
    "reversed text": r"safe\342\200\256txet",
    "a code cut in two": r"\033[3\033[1m1m",
}


@pytest.mark.parametrize("what", CODES)
def test_escape_codes_do_not_reach_the_reader(sandbox: Sandbox, workspace: Path, what: str) -> None:
    report = shell(sandbox, workspace, f"printf '%b' '{CODES[what]}plain\\n'")
    assert report.output.endswith("plain\n")
    assert all(character.isprintable() or character == "\n" for character in report.output), repr(report.output)
