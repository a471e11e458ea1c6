#!/usr/bin/env bash
# Installs Debian's Emacs and eglot (200 MB) for test_emacs.py where apt may be used; where not, the test says the cure.
set -euo pipefail
if emacs --batch -q --eval "(progn (package-initialize) (require 'eglot))" >/dev/null 2>&1; then exit 0; fi
as_root=""
[ "$(id -u)" = 0 ] || as_root="sudo -n"
if command -v apt-get >/dev/null && { [ -z "$as_root" ] || sudo -n true 2>/dev/null; }; then
  echo "==> installing Emacs and eglot"
  packages() { $as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends emacs-nox elpa-eglot; }
  packages >/dev/null 2>&1 || { $as_root apt-get update -qq; packages >/dev/null; }
fi
