-- The commands. Nothing is loaded before one of them is used.
if vim.g.loaded_patchwright then
  return
end
vim.g.loaded_patchwright = true

if vim.fn.has('nvim-0.11') == 0 then
  vim.notify('Patchwright needs Neovim 0.11 or newer', vim.log.levels.ERROR)
  return
end

local function command(name, method, options)
  vim.api.nvim_create_user_command(name, function(given)
    require('patchwright')[method](given)
  end, options)
end

command('PatchwrightFix', 'fix', { nargs = '*', range = true, desc = 'Fix an issue, the diagnostic or the selection' })
command('PatchwrightFixes', 'fixes', { desc = 'Pick a found fix, look at it, apply it' })
command('PatchwrightLocate', 'locate', { nargs = '*', range = true, desc = 'Where an issue may come from, as a quickfix list' })
command('PatchwrightLocateTest', 'locate_test', { desc = 'Where the failing test at the cursor comes from: it is run and followed' })
command('PatchwrightDeeper', 'deeper', { desc = 'Search on for the last issue with the next budget' })
command('PatchwrightReport', 'report', { desc = 'Show the last search as a page in the browser' })
command('PatchwrightCancel', 'cancel', { desc = 'Cancel all running jobs' })
command('PatchwrightResume', 'resume', { desc = 'Go on with a fix that was interrupted, or give it up' })
command('PatchwrightStatus', 'status', { desc = 'What Patchwright is doing' })
