"""The extension in a real VS Code (code-server, in Debian's Chromium), from its .vsix, against the real server,
pipeline and sandbox with a scripted model. `make test-editors` installs what it needs and builds the .vsix."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from demo_project import FILES, FIXED, ISSUE, JUDGE, PIECES, REPAIR, REPRODUCTION, check_untouched
from scripted_model import Rule, serve_scripted

ROOT = Path(__file__).parents[2]
EXTENSION = ROOT / "editors" / "vscode"
VSIX = EXTENSION / "patchwright.vsix"
WINDOW = Path(__file__).parent / "vscode" / "window.mjs"
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
EDITORS = Path(os.environ.get("PATCHWRIGHT_TEST_EDITORS") or CACHE / "patchwright" / "editors")
NODE = EDITORS / "node" / "bin" / "node"
CODE_SERVER = EDITORS / "vscode" / "node_modules" / "code-server" / "out" / "node" / "entry.js"
STORY_SECONDS = 200
"""A bound for a hanging editor, not a measure: on a loaded machine a story takes minutes."""

pytestmark = [pytest.mark.editor, pytest.mark.timeout(STORY_SECONDS + 60)]

SETTINGS = {
    "security.workspace.trust.enabled": False,
    "workbench.startupEditor": "none",
    "git.enabled": False,
    "files.autoSave": "off",
    "telemetry.telemetryLevel": "off",
    "extensions.autoCheckUpdates": False,
    "extensions.ignoreRecommendations": True,
    "chat.disableAIFeatures": True,
    "workbench.secondarySideBar.defaultVisibility": "hidden",
    "workbench.colorTheme": "Default Dark Modern",
    "editor.minimap.enabled": False,
    "editor.cursorBlinking": "solid",
    "workbench.reduceMotion": "on",
}

Story = Callable[..., None]


def needed() -> None:
    """Skip with the cure where the editor is not installed; fail where it was promised."""
    built = VSIX.stat().st_mtime if VSIX.exists() else 0.0
    sources = [*(EXTENSION / "src").glob("*.ts"), EXTENSION / "package.json"]
    missing = [str(path) for path in (NODE, CODE_SERVER) if not path.exists()]
    if shutil.which("chromium") is None:
        missing.append("chromium")
    if built < max(path.stat().st_mtime for path in sources):
        missing.append("an up-to-date patchwright.vsix")
    if missing:
        message = f"VS Code is not there to be tested ({', '.join(missing)}). Cure: make test-editors"
        if os.environ.get("PATCHWRIGHT_REQUIRE_EDITORS"):
            pytest.fail(message)
        pytest.skip(message)


@pytest.fixture(scope="session")
def extensions(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of extensions in which the .vsix is installed as a user would."""
    needed()
    folder = tmp_path_factory.mktemp("vscode")
    command = [str(NODE), str(CODE_SERVER), "--config", str(config(folder, 0)), "--user-data-dir", str(folder / "user")]
    command += ["--extensions-dir", str(folder / "extensions"), "--install-extension", str(VSIX)]
    subprocess.run(command, check=True, timeout=90, capture_output=True, env=environment())
    return folder / "extensions"


def environment() -> dict[str, str]:
    """No gallery is asked for anything."""
    return {**os.environ, "EXTENSIONS_GALLERY": '{"serviceUrl":""}'}


def config(folder: Path, port: int) -> Path:
    """code-server's configuration; without one it would write its own into the home folder."""
    file = folder / "config.yaml"
    file.write_text(f"bind-addr: 127.0.0.1:{port}\nauth: none\ncert: false\n")
    return file


@pytest.fixture
def command(tmp_path: Path) -> Path:
    """A `patchwright` as an installation makes it; what process it became stands beside it."""
    file = tmp_path / "bin" / "patchwright"
    file.parent.mkdir()
    file.write_text(f'#!/bin/sh\necho $$ > "{file}.pid"\nexec "{sys.executable}" -P -m patchwright_engine "$@"\n')
    file.chmod(0o755)
    return file


@pytest.fixture
def vscode(project: Path, settings: dict[str, Any], command: Path, extensions: Path, tmp_path: Path) -> Iterator[Story]:
    """Tells a story in a window of its own on the demo project."""
    running: list[subprocess.Popen[bytes]] = []

    def tell(story: str, *, file: str | None = "calc.py", user: dict[str, Any] | None = None, **more: Any) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        machine = {f"patchwright.{key}": value for key, value in {"path": str(command), **settings, **more}.items()}
        for scope, values in (("User", {**SETTINGS, **(user or {})}), ("Machine", machine)):
            (tmp_path / "user" / scope).mkdir(parents=True, exist_ok=True)
            (tmp_path / "user" / scope / "settings.json").write_text(json.dumps(values))
        start = [str(NODE), str(CODE_SERVER), "--config", str(config(tmp_path, port))]
        start += ["--user-data-dir", str(tmp_path / "user"), "--extensions-dir", str(extensions)]
        start += ["--disable-telemetry", "--disable-update-check", "--disable-proxy"]
        with (tmp_path / "code-server.log").open("wb") as log:
            server = subprocess.Popen(start, stdout=log, stderr=log, env=environment(), start_new_session=True)
        running.append(server)
        wait_for(f"http://127.0.0.1:{port}/healthz", server)
        script = tmp_path / "story.mjs"
        script.write_text(f"export default async function (window, given, {{ is, holds }}) {{\n{story}\n}}\n")
        given = {
            "editors": str(EDITORS),
            "chromium": shutil.which("chromium"),
            "address": f"127.0.0.1:{port}",
            "folder": str(project),
            "file": str(project / file) if file else None,
            "issue": ISSUE,
            "command": str(command),
            "seconds": STORY_SECONDS,
            "failure": str(tmp_path / "failure.png"),
            "pictures": os.environ.get("PATCHWRIGHT_PICTURES"),
        }
        done = subprocess.run(
            [str(NODE), str(WINDOW), str(script), json.dumps(given)],
            capture_output=True,
            text=True,
            timeout=STORY_SECONDS + 30,
            check=False,
        )
        assert done.returncode == 0, f"{done.stderr}\npicture: {given['failure']}"
        assert "STORY ENDED WELL" in done.stdout

    yield tell
    for server in running:
        end(server)


def wait_for(url: str, server: subprocess.Popen[bytes]) -> None:
    for _ in range(600):
        assert server.poll() is None, "code-server ended"
        try:
            urllib.request.urlopen(url, timeout=1).close()
        except OSError:
            time.sleep(0.1)
        else:
            return
    pytest.fail("code-server does not answer")


def end(server: subprocess.Popen[bytes]) -> None:
    """The editor, its extension host and our server; none of them may stay."""
    family = [psutil.Process(server.pid), *psutil.Process(server.pid).children(recursive=True)]
    server.terminate()
    try:
        server.wait(20)
    except subprocess.TimeoutExpired:
        os.killpg(server.pid, signal.SIGKILL)
        server.wait(5)
    _, left = psutil.wait_procs(family, 30)
    for process in left:
        process.kill()
    assert not left, f"still running: {left}"


def test_an_issue_is_fixed_looked_at_applied_saved_and_undone(vscode: Story, project: Path) -> None:
    vscode("""
    await window.ready();
    await window.run('Fix an Issue…');
    await window.answer('Fix an issue', given.issue);
    await window.toast('attempt 1 of 2');
    await window.screenshot('progress');
    const done = await window.toast('1 fix; the best');
    await done.getByText('Show Fixes').click();
    await window.rows.filter({ hasText: '1. Verified: reproduction passes, 1 test passes' }).first().waitFor();
    await window.page.keyboard.press('Enter');
    await window.until('the diff', async () => (await window.text('.modified')).includes('return a + b'));
    await window.page.locator('.activitybar .action-label[aria-label^="Patchwright"]').click();
    const fix = window.treeRows.filter({ hasText: '1. Verified: reproduction passes' });
    await fix.locator('.monaco-tl-twistie').click();
    await window.treeRows.filter({ hasText: 'reproduction: 1 failed → 1 passed' }).waitFor();
    await window.treeRows.filter({ hasText: 'Regression test: ' }).waitFor();
    await window.screenshot('fixes');
    await window.page.locator('.modified .view-line', { hasText: 'return a + b' }).click();
    await window.page.keyboard.press('Control+Enter');
    await window.toast('applied to calc.py. Not saved yet');
    await window.until('the edit', async () => (await window.text()).includes('return a + b'));
    await window.treeRows.filter({ hasText: 'applied' }).waitFor();
    await window.click('return a + b');
    await window.page.keyboard.press('Control+Z');
    await window.until('undo', async () => (await window.text()).includes('return a - b'));
    await window.run('Apply Parts of a Fix…');
    await window.rows.filter({ hasText: '1. Verified: reproduction passes, 1 test passes' }).first().waitFor();
    await window.page.keyboard.press('Enter');
    const part = window.page.locator('.bulk-edit-panel .monaco-list-row', { hasText: 'return a -+ b' });
    await part.locator('input, .monaco-custom-toggle').first().click();
    await window.screenshot('parts');
    await window.page.locator('.bulk-edit-panel .monaco-button', { hasText: 'Apply' }).click();
    await window.until('the edit', async () => (await window.text()).includes('return a + b'));
    await window.save('return a + b');
    """)
    assert (project / "calc.py").read_text(encoding="utf-8") == FIXED


def test_suspected_locations_are_listed_with_their_reasons_and_opened(vscode: Story, project: Path) -> None:
    vscode(
        """
        await window.run('Show Suspected Locations…');
        await window.answer('Where may it come from?', given.issue);
        await window.page.locator('.quick-input-title', { hasText: 'Suspected locations' }).waitFor();
        const best = await window.rows.first().innerText();
        holds(best, 'add');
        holds(best, 'calc.py:4');
        holds(best, 'Defines a name that the issue mentions');
        await window.screenshot('locations');
        await window.page.keyboard.press('Enter');
        await window.until('the file', async () => (await window.text()).includes('def add(a, b):'));
        await window.page.locator('.statusbar-item', { hasText: 'Ln 4, Col 1' }).waitFor();
        await window.page.locator('.activitybar .action-label[aria-label^="Patchwright"]').click();
        const kept = await window.treeRows.filter({ hasText: 'calc.py:4' }).innerText();
        holds(kept, 'Defines a name that the issue mentions');

        await window.click('def add(a, b):');
        await window.page.keyboard.press('Home');
        await window.page.keyboard.press('Shift+End');
        await window.run('Show Suspected Locations…');
        await window.rows.filter({ hasText: 'The selected text' }).filter({ hasText: 'def add(a, b):' }).waitFor();
        await window.page.keyboard.press('Enter');
        await window.page.locator('.quick-input-title', { hasText: 'Suspected locations' }).waitFor();
        holds(await window.rows.first().innerText(), 'You pointed at it');
        """,
        file=None,
    )
    check_untouched(project)


def test_the_failing_test_at_the_cursor_is_followed(vscode: Story, project: Path) -> None:
    test = "from calc import add\n\n\ndef test_sum():\n    assert add(2, 3)[0] == 5\n"
    (project / "test_sum.py").write_text(test)
    vscode(
        """
        await window.ready();
        await window.click('assert add(2, 3)[0] == 5');
        await window.run('Show Suspected Locations for This Test');
        await window.page.locator('.quick-input-title', { hasText: 'Suspected locations' }).waitFor();
        const best = await window.rows.first().innerText();
        holds(best, 'add');
        holds(best, 'calc.py:4');
        holds(best, 'Runs in the failing test, rarely in passing ones');
        """,
        file="test_sum.py",
    )
    assert (project / "test_sum.py").read_text() == test


def test_a_selection_is_fixed_and_the_fix_applied_by_code_actions(vscode: Story, project: Path) -> None:
    vscode("""
    await window.ready();
    await window.click('return a - b');
    await window.page.keyboard.press('Home');
    await window.page.keyboard.press('Shift+End');
    await window.codeAction('Fix this issue…');
    await window.page.keyboard.press('Enter');
    await window.toast('1 fix; the best');
    await window.page.keyboard.press('Control+Home');
    await window.page.keyboard.type('# moved');
    await window.page.keyboard.press('Enter');
    await window.click('return a - b');
    await window.codeAction('Apply verified fix 1 of 1: reproduction passes, 1 test passes');
    await window.screenshot('action');
    await window.page.keyboard.press('Enter');
    await window.until('the edit', async () => (await window.text()).includes('return a + b'));
    await window.save('return a + b');
    """)
    assert (project / "calc.py").read_text(encoding="utf-8") == "# moved\n" + FIXED


def test_an_issue_written_in_a_tab_is_fixed_has_its_trace_and_is_deepened(vscode: Story) -> None:
    vscode("""
    await window.ready();
    await window.run('Fix an Issue…');
    await window.choose('Fix an issue', 'Write it in an editor…');
    await window.page.locator('.tab.active', { hasText: 'Untitled-1' }).waitFor();
    await window.page.keyboard.type(`${given.issue}\\nSeen today.`);
    await window.page.locator('.editor-actions .codicon-wrench').waitFor();
    await window.page.keyboard.press('Control+Enter');
    await window.toast('1 fix; the best');
    await window.run('Show Trace');
    await window.page.locator('.tab.active', { hasText: '.jsonl' }).waitFor();
    await window.run('Fix Deeper');
    await window.page.locator('.activitybar .action-label[aria-label^="Patchwright"]').click();
    const jobs = window.treeRows.filter({ hasText: 'It should return 5' });
    await window.until('the second job', async () => (await jobs.count()) === 2);
    """)


def test_the_report_of_a_search_opens_in_a_tab_in_the_colours_of_the_editor(vscode: Story) -> None:
    vscode("""
    await window.ready();
    await window.run('Fix an Issue…');
    await window.answer('Fix an issue', given.issue);
    await window.toast('1 fix; the best');
    await window.run('Show Search Report');
    await window.page.locator('.tab.active', { hasText: 'Report: ' }).waitFor();
    const report = window.page.frameLocator('iframe.webview.ready').frameLocator('#active-frame');
    await report.locator('h2', { hasText: 'Verified fix found' }).waitFor();
    const shown = report.locator('.inside#c1 .diff .added');
    is(await shown.isVisible(), false);
    const row = report.locator('details.rollout', { has: report.locator('#c1') }).locator('summary').first();
    await row.click();
    await shown.first().waitFor();
    await row.click();
    await report.locator('h1').scrollIntoViewIfNeeded();
    is(await row.evaluate((one) => one.getBoundingClientRect().top > innerHeight), true);
    await report.locator('.strip a').first().click();
    await window.until('the jump', () => row.evaluate((one) => one.getBoundingClientRect().top < innerHeight));
    await row.click();
    const dark = await report.locator('body').evaluate((body) => getComputedStyle(body).backgroundColor);
    is(dark, 'rgb(19, 19, 18)');
    await window.screenshot('report');
    """)


def test_a_running_fix_is_cancelled_in_its_notification(vscode: Story, project: Path) -> None:
    hanging = Rule(REPAIR.answers, match=REPAIR.match, fault="hang")
    with serve_scripted(FILES, PIECES, REPRODUCTION, hanging, JUDGE) as model:
        vscode(
            """
            await window.ready();
            await window.run('Fix an Issue…');
            await window.answer('Fix an issue', given.issue);
            await window.until('repair', async () => (await window.statusText()).includes('repair'));
            const running = await window.toast('attempt 1 of 2');
            await running.getByText('Cancel', { exact: true }).click();
            await window.ready();
            is(await window.toasts.count(), 0, 'messages');
            await window.run('Show Found Fixes…');
            await window.toast('Patchwright: Cancelled');
            """,
            model=model.url,
        )
        assert model.hang_ups >= 1
    check_untouched(project)


def test_a_missing_server_is_said_with_its_cure_and_a_killed_one_starts_again(vscode: Story, tmp_path: Path) -> None:
    vscode(
        """
        const fs = await import('node:fs');
        const missing = await window.toast('which is no command that can be started');
        await missing.getByText('Choose the Command…').waitFor();
        await window.screenshot('missing');
        fs.symlinkSync(given.command, `${given.command}-later`);
        await window.run('Restart Server');
        await window.ready();
        const pid = () => Number(fs.readFileSync(`${given.command}.pid`, 'utf8'));
        const first = pid();
        process.kill(first, 'SIGKILL');
        await window.until('another server', async () => pid() !== first);
        await window.ready();
        process.kill(pid(), 0);
        """,
        path=str(tmp_path / "bin" / "patchwright-later"),
    )


def test_a_fix_goes_on_when_its_server_was_killed(vscode: Story, project: Path) -> None:
    slow = Rule(REPAIR.answers, match=REPAIR.match, delay=5.0)
    with serve_scripted(FILES, PIECES, REPRODUCTION, slow, JUDGE) as model:
        vscode(
            """
            const fs = await import('node:fs');
            await window.ready();
            await window.run('Fix an Issue…');
            await window.answer('Fix an issue', given.issue);
            await window.until('repair', async () => (await window.statusText()).includes('repair'));
            process.kill(Number(fs.readFileSync(`${given.command}.pid`, 'utf8')), 'SIGKILL');
            const question = await window.toast('Patchwright stopped while it was fixing');
            await window.page.locator('.activitybar .action-label[aria-label^="Patchwright"]').click();
            await window.treeRows.filter({ hasText: 'Stopped with the server before it was done.' }).waitFor();
            await question.getByText('Continue', { exact: true }).click();
            await window.toast('attempt 1 of 2');
            await window.toast('1 fix; the best');
            await window.treeRows.filter({ hasText: '1. Verified: reproduction passes' }).waitFor();
            """,
            model=model.url,
        )
    check_untouched(project)


def test_nothing_runs_in_a_folder_that_is_not_trusted(vscode: Story, command: Path) -> None:
    vscode(
        """
        const fs = await import('node:fs');
        const started = () => fs.existsSync(`${given.command}.pid`);
        await window.until('the status', async () => (await window.statusText()) === 'Patchwright');
        await window.run('Fix an Issue…');
        const refused = await window.toast('Nothing runs in a folder that you have not trusted');
        is(started(), false, 'a server was started');
        await refused.getByText('Manage Trust').click();
        await window.page.locator('.workspace-trust-editor .monaco-button', { hasText: /^Trust$/ }).first().click();
        await window.until('the server', async () => started());
        await window.ready();
        """,
        user={"security.workspace.trust.enabled": True, "security.workspace.trust.startupPrompt": "never"},
    )
    assert Path(f"{command}.pid").exists()
