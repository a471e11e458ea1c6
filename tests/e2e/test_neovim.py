"""The plugin in a real Neovim, headless, against the real server, pipeline and sandbox with a scripted model."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from demo_project import FILES, FIXED, ISSUE, JUDGE, PIECES, REPAIR, REPRODUCTION, check_untouched
from scripted_model import Rule, ScriptedServer, serve_scripted

PLUGIN = Path(__file__).parents[2] / "editors" / "nvim"
NVIM = Path(sys.executable).with_name("nvim")
SERVER = [sys.executable, "-P", "-m", "patchwright_server"]

pytestmark = [pytest.mark.editor, pytest.mark.timeout(120)]

PRELUDE = """
local given = vim.json.decode(arg[1])
vim.opt.runtimepath:prepend(given.plugin)
vim.cmd('filetype on')
vim.cmd('runtime! plugin/patchwright.lua')
notes, progress = {}, {}
vim.notify = function(text) table.insert(notes, text) end
vim.api.nvim_create_autocmd('LspProgress', { callback = function(event)
  table.insert(progress, event.data.params.value)
end })
function wait(what, condition, milliseconds)
  if not vim.wait(milliseconds or 60000, condition, 20) then
    error('timeout: ' .. what .. '\\nnotes: ' .. vim.inspect(notes) .. '\\njobs: '
      .. vim.inspect(require('patchwright').jobs()))
  end
end
function text() return table.concat(vim.api.nvim_buf_get_lines(0, 0, -1, false), '\\n') .. '\\n' end
function fix_job()
  local found
  for _, job in ipairs(require('patchwright').jobs()) do
    if job.kind == 'fix' then found = job end
  end
  return found
end
function ended(state)
  return function() local job = fix_job(); return job and job.state == (state or 'done') end
end
function said(part)
  return function()
    return vim.iter(notes):any(function(note) return note:find(part, 1, true) ~= nil end)
  end
end
function is(found, wanted)
  if found ~= wanted then error(('found %s, not %s'):format(vim.inspect(found), vim.inspect(wanted)), 2) end
end
if given.setup.cmd then require('patchwright').setup(given.setup) else vim.lsp.enable('patchwright') end
vim.cmd.edit(given.file)
wait('attach', function()
  local client = vim.lsp.get_clients({ bufnr = 0, name = 'patchwright' })[1]
  return client and client.initialized
end)
client = vim.lsp.get_clients({ bufnr = 0, name = 'patchwright' })[1]
"""
ENDING = """
client:stop()
wait('the server to leave', function() return client:is_stopped() end, 10000)
io.stderr:write('\\nSCRIPT ENDED WELL\\n')
os.exit(0)
"""

RunNeovim = Callable[..., None]


@pytest.fixture
def neovim(project: Path, settings: dict[str, Any], tmp_path: Path) -> RunNeovim:
    """Runs a Lua script in a Neovim of its own, on the demo project, with the plugin set up."""

    def run(script: str, *, setup: bool = True, **more: Any) -> None:
        environment = {key: value for key, value in os.environ.items() if not key.startswith(("NVIM", "VIM"))}
        for name in ("CONFIG", "DATA", "STATE", "CACHE"):
            environment[f"XDG_{name}_HOME"] = str(tmp_path / f"xdg-{name.lower()}")
        environment["PATH"] = f"{NVIM.parent}{os.pathsep}{environment['PATH']}"
        lua = tmp_path / "script.lua"
        lua.write_text(PRELUDE + script + ENDING, encoding="utf-8")
        subprocess.run(["git", "init", "-q", str(project)], check=True, timeout=20)
        given = {
            "plugin": str(PLUGIN),
            "file": str(project / "calc.py"),
            "setup": {"cmd": SERVER, **settings, **more} if setup else {},
        }
        command = [str(NVIM), "--headless", "--clean", "-l", str(lua), json.dumps(given)]
        done = subprocess.run(
            command, capture_output=True, text=True, env=environment, timeout=100, cwd=project, check=False
        )
        shutil.rmtree(project / ".git")
        assert done.returncode == 0, done.stderr
        assert "SCRIPT ENDED WELL" in done.stderr

    return run


def test_a_fix_is_started_picked_looked_at_applied_and_undone(neovim: RunNeovim, project: Path) -> None:
    neovim(f"""
    vim.api.nvim_buf_set_lines(0, 0, 0, false, {{ '# ünsaved 漢字 😀' }})
    local before = text()
    vim.cmd('PatchwrightFix ' .. {json.dumps(ISSUE)})
    wait('the end of the job', ended())
    is(#fix_job().fixes, 1)

    local shown
    vim.ui.select = function(items, options, choose)
      shown = options.format_item(items[1])
      choose(items[1], 1)
    end
    vim.cmd('PatchwrightFixes')
    wait('the preview', function() return vim.bo.filetype == 'diff' end)
    is(shown, '1. verified: reproduction passes, 1 test passes (calc.py +1 -1)')
    assert(text():find('+    return a + b', 1, true), text())
    assert(text():find('# reproduction: 1 failed -> 1 passed', 1, true), text())
    vim.api.nvim_feedkeys('a', 'x', false)
    wait('the edit', function() return vim.bo.filetype == 'python' and text() ~= before end)
    is(text(), (before:gsub('a %- b', 'a + b')))
    is(vim.bo.modified, true)
    wait('word of it', said('applied'))

    vim.cmd('undo')
    is(text(), before)
    local kinds = vim.iter(progress):map(function(value) return value.kind end):totable()
    assert(vim.tbl_contains(kinds, 'begin') and vim.tbl_contains(kinds, 'end'), vim.inspect(kinds))
    """)
    check_untouched(project)


def test_the_report_of_a_search_is_opened_in_the_browser(neovim: RunNeovim, project: Path) -> None:
    neovim(f"""
    local opened, problem
    vim.ui.open = function(path) opened = path; return nil, problem end
    vim.cmd('PatchwrightReport')
    assert(said('there is no search to report on')(), vim.inspect(notes))
    vim.cmd('PatchwrightFix ' .. {json.dumps(ISSUE)})
    wait('the end of the job', ended())
    vim.cmd('PatchwrightReport')
    wait('the page', function() return opened end)
    local page = table.concat(vim.fn.readfile(opened), '\\n')
    assert(page:find('Verified fix found', 1, true), page)
    opened, problem = nil, 'no handler'
    vim.cmd('PatchwrightReport')
    wait('the word of it', said('no browser could be opened; the report is /'))
    """)
    check_untouched(project)


def test_suspected_locations_fill_the_quickfix_list(neovim: RunNeovim, project: Path) -> None:
    neovim(f"""
    vim.cmd('PatchwrightLocate ' .. {json.dumps(ISSUE)})
    wait('the list', function() return vim.bo.buftype == 'quickfix' end)
    local list = vim.fn.getqflist({{ items = 0, title = 0 }})
    is(list.title, 'Patchwright: suspected locations')
    local best = list.items[1]
    is(vim.fs.basename(vim.api.nvim_buf_get_name(best.bufnr)), 'calc.py')
    assert(best.text:find('function add: ', 1, true), best.text)
    vim.cmd('cc 1')
    is(vim.fn.line('.'), best.lnum)
    """)
    check_untouched(project)


FAILS = """\
from calc import add, mul


def test_mul():
    assert mul(2, 3) == 6


def test_sum():
    assert add(2, 3)[0] == 5
"""


def test_the_failing_test_at_the_cursor_is_followed(neovim: RunNeovim, project: Path) -> None:
    (project / "test_sum.py").write_text(FAILS)
    neovim(f"""
    vim.cmd.edit({json.dumps(str(project / "test_sum.py"))})
    wait('attach', function() return vim.lsp.get_clients({{ bufnr = 0, name = 'patchwright' }})[1] end)
    vim.api.nvim_win_set_cursor(0, {{ 9, 4 }})
    vim.cmd('PatchwrightLocateTest')
    wait('the list', function() return vim.bo.buftype == 'quickfix' end)
    local best = vim.fn.getqflist()[1]
    is(vim.fs.basename(vim.api.nvim_buf_get_name(best.bufnr)), 'calc.py')
    assert(best.text:find('function add: ', 1, true), best.text)
    assert(best.text:find('runs in the failing test', 1, true), best.text)
    vim.cmd('cclose')
    vim.api.nvim_win_set_cursor(0, {{ 5, 4 }})
    vim.cmd('PatchwrightLocateTest')
    wait('word of it', said('The test was not followed: the named tests do not fail here'))
    wait('the list', function() return vim.bo.buftype == 'quickfix' end)
    """)
    assert (project / "test_sum.py").read_text() == FAILS


def test_the_fix_is_an_ordinary_code_action_too(neovim: RunNeovim, project: Path) -> None:
    neovim(f"""
    vim.cmd('PatchwrightFix ' .. {json.dumps(ISSUE)})
    wait('the end of the job', ended())
    vim.api.nvim_buf_set_lines(0, 0, 0, false, {{ '# moved 😀 after the job' }})
    vim.api.nvim_win_set_cursor(0, {{ 6, 0 }})
    vim.lsp.buf.code_action({{
      apply = true,
      filter = function(action) return not action.title:find('regression test', 1, true) end,
      context = {{ only = {{ 'quickfix.patchwright' }}, diagnostics = {{}} }},
    }})
    wait('the edit', function() return text():find('a + b', 1, true) end)
    is(text(), '# moved 😀 after the job\\n' .. {json.dumps(FIXED, ensure_ascii=False)})
    vim.cmd('write')
    """)
    assert (project / "calc.py").read_text(encoding="utf-8") == "# moved 😀 after the job\n" + FIXED


def test_the_fix_can_bring_its_regression_test(neovim: RunNeovim, project: Path) -> None:
    there = set(project.iterdir())
    neovim(f"""
    vim.cmd('PatchwrightFix ' .. {json.dumps(ISSUE)})
    wait('the end of the job', ended())
    vim.api.nvim_win_set_cursor(0, {{ 5, 0 }})
    vim.lsp.buf.code_action({{
      apply = true,
      filter = function(action) return action.title:find('regression test', 1, true) ~= nil end,
      context = {{ only = {{ 'quickfix.patchwright' }}, diagnostics = {{}} }},
    }})
    wait('the edit', function() return text():find('a + b', 1, true) end)
    vim.cmd('wall')
    """)
    assert (project / "calc.py").read_text(encoding="utf-8") == FIXED
    (test,) = set(project.iterdir()) - there
    assert test.name.startswith("test_")
    assert "def test_" in test.read_text(encoding="utf-8")


def test_the_diagnostic_under_the_cursor_is_fixed_without_a_word(neovim: RunNeovim, project: Path) -> None:
    neovim("""
    local space = vim.api.nvim_create_namespace('linter')
    vim.diagnostic.set(space, 0, {
      { lnum = 4, col = 4, message = 'add(2, 3)[0] is -1, not 5', source = 'lint', code = 'E1' },
    })
    vim.api.nvim_win_set_cursor(0, { 5, 0 })
    vim.cmd('PatchwrightFix')
    wait('the end of the job', ended())
    is(fix_job().title, 'calc.py:5: add(2, 3)[0] is -1, not 5 (lint E1)')
    """)
    check_untouched(project)


def test_without_a_text_or_a_diagnostic_it_asks(neovim: RunNeovim, project: Path) -> None:
    neovim(f"""
    vim.ui.input = function(_, answer) answer({json.dumps(ISSUE)}) end
    vim.cmd('PatchwrightFix')
    wait('the end of the job', ended())
    assert(fix_job().title:find('returns -1', 1, true), fix_job().title)
    """)


def test_a_range_is_fixed_as_a_selection(neovim: RunNeovim, project: Path) -> None:
    neovim("""
    vim.cmd('4,5PatchwrightFix')
    wait('the job', function() return fix_job() end)
    is(fix_job().title, 'Something is wrong in the selected lines, calc.py:4-6:')
    vim.cmd('PatchwrightCancel')
    wait('its end', function() return fix_job().state ~= 'running' end)
    """)


def test_a_job_is_cancelled_and_status_says_so(neovim: RunNeovim, project: Path) -> None:
    hanging = Rule(REPAIR.answers, match=REPAIR.match, fault="hang")
    with serve_scripted(FILES, PIECES, REPRODUCTION, hanging, JUDGE) as server:
        neovim(
            f"""
            vim.cmd('PatchwrightFix ' .. {json.dumps(ISSUE)})
            wait('repair', function() local job = fix_job(); return job and job.stage == 'repair' end)
            local started = vim.uv.hrtime()
            vim.cmd('PatchwrightCancel')
            wait('the cancel', ended('cancelled'), 5000)
            assert((vim.uv.hrtime() - started) / 1e6 < 500)
            vim.cmd('PatchwrightStatus')
            assert(said('cancelled')(), vim.inspect(notes))
            vim.cmd('PatchwrightFixes')
            assert(said('Cancelled')(), vim.inspect(notes))
            """,
            model=server.url,
        )
    check_untouched(project)


def test_a_killed_server_starts_again_and_the_fix_goes_on(neovim: RunNeovim, project: Path) -> None:
    slow = Rule(REPAIR.answers, match=REPAIR.match, delay=3.0)
    with serve_scripted(FILES, PIECES, REPRODUCTION, slow, JUDGE) as server:
        neovim(
            f"""
            vim.cmd('PatchwrightResume')
            assert(said('no fix was interrupted')(), vim.inspect(notes))
            vim.cmd('PatchwrightFix ' .. {json.dumps(ISSUE)})
            wait('repair', function() local job = fix_job(); return job and job.stage == 'repair' end)
            local before = fix_job()
            for _, pid in ipairs(vim.api.nvim_get_proc_children(vim.fn.getpid())) do vim.uv.kill(pid, 'sigkill') end
            wait('the loss', said('the server stopped unexpectedly and starts again'))
            is(fix_job().message, 'The server stopped.')
            wait('a new server', function()
              local found = vim.lsp.get_clients({{ bufnr = 0, name = 'patchwright' }})[1]
              local new = found and found.id ~= client.id and found.initialized
              client = new and found or client
              return new
            end)
            wait('the question', said('Patchwright stopped while it was fixing'))
            assert(said('Decide with :PatchwrightResume')(), vim.inspect(notes))
            local shown
            vim.ui.select = function(items, options, choose)
              shown = vim.tbl_map(options.format_item, items)
              choose(items[1], 1)
            end
            vim.cmd('PatchwrightResume')
            is(table.concat(shown, '|'), ('Continue: %s|Discard: %s'):format(before.title, before.title))
            wait('the end of the job', ended())
            is(fix_job().job, before.job)
            is(#fix_job().fixes, 1)
            """,
            model=server.url,
        )
    check_untouched(project)


def test_a_server_that_keeps_dying_is_left_alone_and_one_that_is_stopped_too(neovim: RunNeovim) -> None:
    neovim("""
    local function running()
      local found = vim.lsp.get_clients({ bufnr = 0, name = 'patchwright' })[1]
      return found and found.initialized and not found:is_stopped() and found
    end
    for _ = 1, 3 do
      for _, pid in ipairs(vim.api.nvim_get_proc_children(vim.fn.getpid())) do vim.uv.kill(pid, 'sigkill') end
      wait('another server', function() return running() and running().id ~= client.id end)
      client = running()
    end
    for _, pid in ipairs(vim.api.nvim_get_proc_children(vim.fn.getpid())) do vim.uv.kill(pid, 'sigkill') end
    wait('the last word', said('stopped unexpectedly 4 times within 5 minutes and is not started again'))
    vim.wait(1000)
    is(#vim.lsp.get_clients({ name = 'patchwright' }), 0)
    vim.cmd('edit')
    wait('one that was asked for', running)
    client = running()
    client:stop(true)
    wait('its end', function() return #vim.lsp.get_clients({ name = 'patchwright' }) == 0 end)
    vim.wait(1000)
    is(#vim.lsp.get_clients({ name = 'patchwright' }), 0)
    is(#vim.tbl_filter(function(note) return note:find('stopped unexpectedly', 1, true) end, notes), 4)
    """)


def test_what_goes_wrong_is_said(neovim: RunNeovim, project: Path, model: ScriptedServer) -> None:
    neovim(
        """
        local failed
        local handler = vim.lsp.handlers['window/showMessage']
        vim.lsp.handlers['window/showMessage'] = function(problem, message, context)
          if message.type == vim.lsp.protocol.MessageType.Error then failed = message.message end
          return handler(problem, message, context)
        end
        vim.cmd('PatchwrightFix it is broken')
        wait('the message', function() return failed end)
        is(fix_job().state, 'failed')
        assert(failed:find('no-such-model', 1, true), failed)
        """,
        model="no-such-model",
    )


def test_without_setup_neovim_finds_the_server_by_itself(neovim: RunNeovim) -> None:
    neovim(
        """
        is(client.config.cmd[1], 'patchwright')
        is(client.server_info.name, 'patchwright')
        local kinds = client.server_capabilities.codeActionProvider.codeActionKinds
        is(vim.inspect(kinds), '{ "quickfix.patchwright" }')
        """,
        setup=False,
    )


def test_the_help_has_its_tags(tmp_path: Path) -> None:
    copied = tmp_path / "doc"
    copied.mkdir()
    (copied / "patchwright.txt").write_text((PLUGIN / "doc" / "patchwright.txt").read_text(encoding="utf-8"))
    command = [str(NVIM), "--headless", "--clean", "-c", f"helptags {copied}", "-c", "qall!"]
    subprocess.run(command, check=True, timeout=30, capture_output=True)
    assert ":PatchwrightFix\t" in (copied / "tags").read_text()
