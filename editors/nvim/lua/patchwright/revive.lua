-- Starts a server again that died by itself; Neovim would leave the buffers without one. At most MAX_CRASHES within
-- CRASH_MINUTES are answered with a new server, each after a longer pause.
local M = {}

local MAX_CRASHES, CRASH_MINUTES = 3, 5
local FIRST_PAUSE = 500 -- milliseconds
local STOPPED = 128 + 15 -- the server's exit code when it was asked to leave with SIGTERM

local crashes = {}

--- @param tell fun(text: string, level?: integer) says something to the user
--- @param lost fun() is told of every death, before anything else happens
--- @return fun(code: integer, signal: integer, id: integer) on_exit `on_exit` of a client
function M.on_exit(tell, lost)
  return function(code, signal, id)
    local client = vim.lsp.get_client_by_id(id)
    local asked_to = (code == 0 or code == STOPPED) and (signal == 0 or signal == 15)
    -- One that never came up would not the next time either; Neovim says what is wrong.
    if asked_to or not client or not client.initialized then
      return
    end
    local config, buffers = client.config, vim.tbl_keys(client.attached_buffers)
    local now = vim.uv.now()
    crashes = vim.tbl_filter(function(at)
      return now - at < CRASH_MINUTES * 60000
    end, crashes)
    table.insert(crashes, now)
    local count = #crashes
    vim.schedule(function()
      if vim.v.exiting ~= vim.NIL then
        return
      end
      lost()
      if count > MAX_CRASHES then
        local words = 'the server stopped unexpectedly %d times within %d minutes and is not started again; '
          .. ':checkhealth vim.lsp names its log, :edit starts it'
        return tell(words:format(count, CRASH_MINUTES), vim.log.levels.ERROR)
      end
      tell('the server stopped unexpectedly and starts again', vim.log.levels.WARN)
      vim.defer_fn(function()
        for _, buffer in ipairs(buffers) do
          if vim.api.nvim_buf_is_loaded(buffer) then
            vim.lsp.start(config, { bufnr = buffer })
          end
        end
      end, FIRST_PAUSE * 2 ^ (count - 1))
    end)
  end
end

return M
