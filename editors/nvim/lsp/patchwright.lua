-- Found by Neovim 0.11 on its own: `vim.lsp.enable('patchwright')` works without calling setup().
return {
  cmd = { 'patchwright', 'serve' },
  filetypes = {
    'python', 'javascript', 'javascriptreact', 'typescript', 'typescriptreact', 'go', 'rust', 'java', 'c', 'cpp', 'ruby',
    'php', 'cs',
  },
  root_markers = { 'pyproject.toml', 'setup.py', 'setup.cfg', '.git' },
  -- The server works on projects; a single file has no tests to verify a fix with.
  workspace_required = true,
}
