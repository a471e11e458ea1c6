"""Attacks by the network: whatever leaves, or reaches a service of this machine. Each is first shown to succeed."""

import os
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from attacks import python, unconfined_python
from patchwright_engine.sandbox.base import Sandbox

Listen = Callable[..., list[str]]


@pytest.fixture
def listen() -> Iterator[Listen]:
    """Start services on this machine; each call gives the growing list of what reached it."""
    with ExitStack() as services:

        def start(server: socket.socket) -> list[str]:
            reached: list[str] = []
            services.enter_context(server)
            done = threading.Event()
            server.settimeout(0.05)

            def serve() -> None:
                while not done.is_set():
                    try:
                        if server.type == socket.SOCK_DGRAM:
                            data, sender = server.recvfrom(100)
                            server.sendto(data, sender)
                        else:
                            server.accept()[0].close()
                        reached.append("reached")
                    except TimeoutError:
                        continue

            thread = threading.Thread(target=serve)
            thread.start()
            services.callback(thread.join)
            services.callback(done.set)
            return reached

        yield start


def check_out_of_reach(sandbox: Sandbox, workspace: Path, script: str, reached: list[str]) -> None:
    """The script reaches the service unconfined and not from inside."""
    assert "through" in unconfined_python(workspace, script)
    assert reached
    reached.clear()
    report = python(sandbox, workspace, script)
    assert report.exit_code == 1, report.output
    assert "through" not in report.output
    assert reached == []


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_tcp_services_of_this_machine_are_out_of_reach(
    sandbox: Sandbox, workspace: Path, listen: Listen, host: str
) -> None:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        server = socket.create_server((host, 0), family=family)
    except OSError as error:
        pytest.skip(f"no {host} here: {error}")
    port = server.getsockname()[1]
    script = f"import socket; socket.create_connection(('{host}', {port}), timeout=3); print('through')"
    check_out_of_reach(sandbox, workspace, script, listen(server))


def test_a_name_server_of_this_machine_is_out_of_reach(sandbox: Sandbox, workspace: Path, listen: Listen) -> None:
    server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    server.bind(("127.0.0.1", 0))
    question = r"b'\x12\x34\1\0\0\1\0\0\0\0\0\0\7example\3org\0\0\1\0\1'"
    script = (
        "import socket; s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.settimeout(3); "
        f"s.sendto({question}, ('127.0.0.1', {server.getsockname()[1]})); s.recv(100); print('through')"
    )
    check_out_of_reach(sandbox, workspace, script, listen(server))


def test_names_are_not_resolved(sandbox: Sandbox, workspace: Path) -> None:
    report = python(sandbox, workspace, "import socket; print(socket.getaddrinfo('example.org', 80))")
    assert report.exit_code == 1
    assert "gaierror" in report.output or "PermissionError" in report.output
    assert "nameserver" not in python(sandbox, workspace, "print(open('/etc/resolv.conf').read())").output


@pytest.mark.parametrize(("family", "address"), [("AF_INET", "192.0.2.1"), ("AF_INET6", "2001:db8::1")])
@pytest.mark.parametrize("kind", ["SOCK_DGRAM", "SOCK_STREAM"])
def test_nothing_leaves_for_another_machine(
    sandbox: Sandbox, workspace: Path, family: str, address: str, kind: str
) -> None:
    script = (
        f"import socket; s = socket.socket(socket.{family}, socket.{kind}); s.settimeout(2)\n"
        f"try: s.connect(('{address}', 53)); s.send(b'x'); print('left')\n"
        "except TimeoutError: print('left')"  # unanswered is not unsent
    )
    report = python(sandbox, workspace, script)
    assert "left" not in report.output
    said = ("unreachable", "Cannot assign requested address", "PermissionError")  # no route, no address, no socket
    assert any(words in report.output for words in said)


@pytest.mark.parametrize("place", ["in a folder", "among the services of the system", "abstract"])
def test_unix_sockets_outside_are_out_of_reach(
    sandbox: Sandbox, workspace: Path, tmp_path: Path, listen: Listen, place: str
) -> None:
    """As Docker's, a session bus's or a key agent's."""
    names = {
        "in a folder": str(tmp_path / "agent.sock"),
        "among the services of the system": f"/run/patchwright-test-{os.getpid()}.sock",
        "abstract": f"\0patchwright-test-{os.getpid()}",
    }
    server = socket.socket(socket.AF_UNIX)
    try:
        server.bind(names[place])
    except PermissionError:
        pytest.skip("only root may bind there")
    server.listen()
    script = f"import socket; socket.socket(socket.AF_UNIX).connect({names[place]!r}); print('through')"
    try:
        check_out_of_reach(sandbox, workspace, script, listen(server))
    finally:
        if place != "abstract":
            Path(names[place]).unlink()


@pytest.mark.parametrize("path", ["/run/docker.sock", "/var/run/docker.sock", "/run/podman/podman.sock"])
def test_the_container_service_is_out_of_reach(sandbox: Sandbox, workspace: Path, path: str) -> None:
    script = f"import socket; socket.socket(socket.AF_UNIX).connect('{path}'); print('through')"
    report = python(sandbox, workspace, script)
    assert report.exit_code == 1
    assert "FileNotFoundError" in report.output or "PermissionError" in report.output


FAMILIES = {
    "a virtual machine's host": "socket.AF_VSOCK, socket.SOCK_STREAM",
    "raw packets": "socket.AF_PACKET, socket.SOCK_RAW",
    "raw IP": "socket.AF_INET, socket.SOCK_RAW, 1",
    "the kernel's ciphers": "socket.AF_ALG, socket.SOCK_SEQPACKET",
}


@pytest.mark.parametrize("what", FAMILIES)
def test_other_kinds_of_sockets_are_refused(sandbox: Sandbox, workspace: Path, what: str) -> None:
    """A network namespace does not confine every family: AF_VSOCK goes through to the hypervisor."""
    script = f"import socket; socket.socket({FAMILIES[what]}); print('opened')"
    if "opened" not in unconfined_python(workspace, script):
        pytest.skip("this kernel or user cannot open one anyway")
    report = python(sandbox, workspace, script)
    assert report.exit_code == 1
    assert "opened" not in report.output
