-- Patchwright for Neovim: starts the language server, shows jobs, lists fixes, previews and applies them.
-- The server decides everything that matters; this file only asks and shows. Progress needs no code here:
-- Neovim raises LspProgress, and vim.lsp.status() reads it.
local M = {}

local NAME = 'patchwright'

-- jobs by id, as `patchwright/jobUpdated` last told; `order` keeps the newest last
local jobs, order, status = {}, {}, nil

local function tell(text, level)
  vim.notify('Patchwright: ' .. text, level or vim.log.levels.INFO)
end

local function on_job(_, job)
  local known = jobs[job.job]
  if not known then
    table.insert(order, job.job)
  end
  jobs[job.job] = job
  vim.api.nvim_exec_autocmds('User', { pattern = 'PatchwrightJob', data = job, modeline = false })
  local ended = job.state == 'done' and not (known and known.state == 'done')
  if ended and #job.fixes > 0 then
    tell(('%s Look at it with :PatchwrightFixes'):format(job.message))
  end
end

local function on_status(_, value)
  status = value
end

--- The server asks whether interrupted jobs should go on. A prompt in the middle of typing would be no question, so
--- it waits for :PatchwrightResume; not answered, it is asked again by the next server.
local function on_question(_, params)
  tell(params.message .. ' Decide with :PatchwrightResume')
  local waiting, is_main = coroutine.running()
  if waiting and not is_main then
    coroutine.yield()
  end
  return vim.NIL
end

--- The server died, and its jobs with it; the next one tells which can go on.
local function on_lost()
  status = nil
  for _, job in pairs(jobs) do
    if job.state == 'starting' or job.state == 'running' then
      job.state, job.message = 'failed', 'The server stopped.'
    end
  end
end

--- Start the server for source files and set its options.
--- @param options? { cmd?: string[], model?: string, budget?: string|integer, python?: string, testCommand?: string, testTimeout?: number }
function M.setup(options)
  options = options or {}
  local settings = {}
  for _, key in ipairs({ 'model', 'budget', 'python', 'testCommand', 'testTimeout' }) do
    settings[key] = options[key]
  end
  local config = {
    settings = { patchwright = next(settings) and settings or vim.empty_dict() },
    handlers = {
      ['patchwright/jobUpdated'] = on_job,
      ['patchwright/status'] = on_status,
      ['window/showMessageRequest'] = on_question,
    },
    on_exit = require('patchwright.revive').on_exit(tell, on_lost),
  }
  if options.cmd then
    config.cmd = options.cmd
  end
  vim.lsp.config(NAME, config)
  vim.lsp.enable(NAME)
end

--- The client of the current buffer, or any; nil with a message when there is none.
local function client()
  local found = vim.lsp.get_clients({ name = NAME, bufnr = 0 })[1] or vim.lsp.get_clients({ name = NAME })[1]
  if not found then
    tell("the server is not running here. Call require('patchwright').setup() and open a project's file", vim.log.levels.ERROR)
  end
  return found
end

local function run(name, argument, done)
  local server = client()
  if not server then
    return
  end
  local command = { title = name, command = 'patchwright.' .. name, arguments = { argument } }
  server:exec_cmd(command, { bufnr = vim.api.nvim_get_current_buf() }, function(problem, result)
    if problem then
      tell(problem.message, vim.log.levels.ERROR)
    elseif done then
      done(result)
    end
  end)
end

local function start(argument)
  argument.uri = vim.uri_from_bufnr(0)
  run('fix', argument, function(result)
    tell('working on it; :PatchwrightStatus tells how far it is')
    M.last = result.job
  end)
end

--- The LSP form of the diagnostic under the cursor, or nil.
local function diagnostic_here()
  local line = vim.api.nvim_win_get_cursor(0)[1] - 1
  local found = vim.diagnostic.get(0, { lnum = line })[1]
  if not found then
    return nil
  end
  if found.user_data and found.user_data.lsp then
    return found.user_data.lsp
  end
  local position = { line = found.lnum, character = 0 }
  return {
    range = { start = position, ['end'] = position },
    message = found.message,
    source = found.source,
    code = found.code,
  }
end

--- Give `use` the issue a command means. With text: that issue. With a range: the selected lines. Else the
--- diagnostic under the cursor, else it asks.
local function with_issue(given, use)
  if given.args ~= '' then
    return use({ text = given.args })
  end
  if given.range > 0 then
    local first, last = given.line1 - 1, given.line2
    return use({ range = { start = { line = first, character = 0 }, ['end'] = { line = last, character = 0 } } })
  end
  local diagnostic = diagnostic_here()
  if diagnostic then
    return use({ diagnostic = diagnostic })
  end
  vim.ui.input({ prompt = 'What is wrong? ' }, function(text)
    if text and text ~= '' then
      use({ text = text })
    end
  end)
end

--- :PatchwrightFix [text]
function M.fix(given)
  with_issue(given, start)
end

local function show_places(issue)
  local server = client()
  if not server then
    return
  end
  issue.uri = vim.uri_from_bufnr(0)
  server:request('patchwright/locate', issue, function(problem, result)
    if problem then
      return tell(problem.message, vim.log.levels.ERROR)
    end
    if result.problem then
      tell(result.problem, vim.log.levels.WARN)
    end
    local items = vim.tbl_map(function(place)
      return {
        filename = vim.uri_to_fname(place.uri),
        lnum = place.range.start.line + 1,
        text = ('%s %s: %s'):format(place.kind, place.name, table.concat(place.reasons, ', ')),
      }
    end, result.locations)
    vim.fn.setqflist({}, ' ', { title = 'Patchwright: suspected locations', items = items })
    if #items == 0 then
      return tell('nothing in this workspace matches the issue', vim.log.levels.WARN)
    end
    vim.cmd('botright copen')
  end)
end

--- :PatchwrightLocate [text]. The likeliest places as a quickfix list, with their reasons.
function M.locate(given)
  with_issue(given, show_places)
end

--- :PatchwrightLocateTest. The same for the failing test at the cursor, which is run and followed.
function M.locate_test()
  local place = { line = vim.api.nvim_win_get_cursor(0)[1] - 1, character = 0 }
  show_places({ range = { start = place, ['end'] = place }, test = true })
end

--- The newest job that is a fix; one that found something before one that did not.
local function newest(with_fixes)
  for at = #order, 1, -1 do
    local job = jobs[order[at]]
    if job.kind == 'fix' and (not with_fixes or #job.fixes > 0) then
      return job
    end
  end
end

--- A fix's proof and diff in a floating window; `a` applies, `q` closes.
function M.preview(fix)
  run('showFix', { fix = fix.id, open = false }, function(report)
    local lines = { '# ' .. report.title, '# ' .. report.words }
    for _, one in ipairs(report.runs) do
      table.insert(lines, ('# %s: %s -> %s (%s)'):format(one.kind, one.before, one.after, one.command))
    end
    if report.withdrawn and report.withdrawn ~= vim.NIL then
      table.insert(lines, '# withdrawn: ' .. report.withdrawn)
    end
    table.insert(lines, '')
    vim.list_extend(lines, vim.split(report.diff, '\n'))
    for at, line in ipairs(lines) do
      lines[at] = line:gsub('[\r\n]', ' ')
    end
    local buffer = vim.api.nvim_create_buf(false, true)
    vim.api.nvim_buf_set_lines(buffer, 0, -1, false, lines)
    vim.bo[buffer].filetype = 'diff'
    vim.bo[buffer].modifiable = false
    vim.bo[buffer].bufhidden = 'wipe'
    local width, height = math.floor(vim.o.columns * 0.8), math.min(#lines, math.floor(vim.o.lines * 0.7))
    local window = vim.api.nvim_open_win(buffer, true, {
      relative = 'editor',
      width = math.max(width, 20),
      height = math.max(height, 3),
      row = math.floor(vim.o.lines * 0.1),
      col = math.floor(vim.o.columns * 0.1),
      border = 'rounded',
      title = ' a: apply   q: close ',
    })
    local function close()
      if vim.api.nvim_win_is_valid(window) then
        vim.api.nvim_win_close(window, true)
      end
    end
    vim.keymap.set('n', 'q', close, { buffer = buffer })
    vim.keymap.set('n', 'a', function()
      close()
      M.apply(fix)
    end, { buffer = buffer })
  end)
end

--- Apply a fix to the buffers. Nothing is saved: `u` takes it back, `:wall` keeps it.
function M.apply(fix)
  run('applyFix', { fix = fix.id }, function(result)
    if result.applied then
      tell('applied; the buffers are not saved yet')
    else
      tell('not applied: ' .. result.reason, vim.log.levels.WARN)
    end
  end)
end

--- :PatchwrightFixes. Pick a fix by its proof, look at it, apply it.
function M.fixes()
  local job = newest(true)
  if not job then
    local last = newest(false)
    return tell(last and last.message or 'there is no fix yet; start with :PatchwrightFix')
  end
  vim.ui.select(job.fixes, {
    prompt = 'Patchwright: ' .. job.title,
    kind = 'patchwright',
    format_item = function(fix)
      local mark = fix.verified and 'verified' or 'NOT verified'
      local gone = fix.withdrawn ~= vim.NIL and fix.withdrawn and (' [withdrawn: ' .. fix.withdrawn .. ']') or ''
      return ('%d. %s: %s (%s)%s'):format(fix.rank, mark, fix.proof, fix.title, gone)
    end,
  }, function(fix)
    if fix then
      M.preview(fix)
    end
  end)
end

--- :PatchwrightDeeper
function M.deeper()
  local job = newest(false)
  if not job then
    return tell('there is no fix to deepen; start with :PatchwrightFix')
  end
  run('fixDeeper', { job = job.job }, function(result)
    M.last = result.job
  end)
end

--- :PatchwrightReport. The last search as a page in the browser: its tree, proofs, scores and costs.
function M.report()
  local job = newest(false)
  if not job then
    return tell('there is no search to report on; start with :PatchwrightFix')
  end
  run('showTrace', { job = job.job, open = false }, function(result)
    local _, problem = vim.ui.open(result.page)
    if problem then
      tell('no browser could be opened; the report is ' .. result.page, vim.log.levels.WARN)
    end
  end)
end

--- :PatchwrightCancel
function M.cancel()
  run('cancel', vim.empty_dict(), function(result)
    tell(#result.jobs == 0 and 'nothing is running' or 'cancelled')
  end)
end

--- :PatchwrightResume. Go on with a fix that was cut off, or give it up.
function M.resume()
  local choices = {}
  for _, id in ipairs(order) do
    local job = jobs[id]
    if job.state == 'failed' and job.stopped == 'interrupted' then
      table.insert(choices, { 'resume', 'Continue', job })
      table.insert(choices, { 'discard', 'Discard', job })
    end
  end
  if #choices == 0 then
    return tell('no fix was interrupted')
  end
  vim.ui.select(choices, {
    prompt = 'Patchwright: interrupted',
    kind = 'patchwright',
    format_item = function(choice)
      return ('%s: %s'):format(choice[2], choice[3].title)
    end,
  }, function(choice)
    if choice then
      run(choice[1], { job = choice[3].job })
    end
  end)
end

--- :PatchwrightStatus
function M.status()
  local lines = { status and ('%s (%s)'):format(status.message, status.health) or 'the server has not spoken yet' }
  for _, id in ipairs(order) do
    local job = jobs[id]
    if job.kind == 'fix' then
      local spent = job.budget > 0 and (' %d/%d'):format(job.rollouts, job.budget) or ''
      table.insert(lines, ('  %s: %s%s, %s'):format(job.title, job.state, spent, job.message))
    end
  end
  tell(table.concat(lines, '\n'))
end

--- What is known of all jobs, oldest first; for status lines and tests.
function M.jobs()
  return vim.tbl_map(function(id)
    return jobs[id]
  end, order)
end

return M
