#!/usr/bin/env bash
# What tests need of other people's programs, in .venvs/test-*: clients of the API, loaders of exported rows, chat
# templates.
# Costs nothing when nothing changed.
set -euo pipefail
cd "$(dirname "$0")/.."

python=${PYTHON:-python3.11}
requirements=deploy/requirements
install="install --quiet --disable-pip-version-check --require-hashes"

# made DIR FILE...: whether a folder was made from these files; and notes that it was.
stamp() { { "$python" --version; cat "$@"; pwd; } | sha256sum | cut -c1-16; }
made() { [ "$(cat "$1/.made-from" 2>/dev/null)" = "$(stamp "${@:2}")" ]; }
note() { stamp "${@:2}" > "$1/.made-from"; }

clients() {
  local folder=.venvs/test-clients file=$requirements/test-clients.lock
  made $folder "$file" && return
  echo "test: clients of the API in $folder (about a minute)"
  "$python" -m venv --clear $folder
  # shellcheck disable=SC2086
  $folder/bin/python -m pip $install -r "$file"
  note $folder "$file"
}

clients_node() {
  local folder=.venvs/test-clients-node from=$requirements/test-clients-node
  made $folder $from/package.json $from/package-lock.json && return
  echo "test: Vercel's AI SDK in $folder"
  mkdir -p $folder
  cp $from/package.json $from/package-lock.json $folder/
  npm ci --prefix $folder --silent --no-audit --no-fund
  note $folder $from/package.json $from/package-lock.json
}

inspector() {
  local folder=.venvs/test-inspector from=$requirements/test-inspector
  made $folder $from/package.json $from/package-lock.json && return
  echo "test: the MCP inspector in $folder (half a minute)"
  mkdir -p $folder
  cp $from/package.json $from/package-lock.json $folder/
  # Not `npm ci`: not every registry has an optional package for Windows which the lock then lacks.
  npm install --prefix $folder --silent --no-audit --no-fund
  note $folder $from/package.json $from/package-lock.json
}

loaders() {
  local folder=.venvs/test-loaders file=$requirements/test-loaders.lock
  made $folder "$file" && return
  echo "test: loaders of exported rows in $folder"
  rm -rf $folder
  # shellcheck disable=SC2086
  .venv/bin/python -m pip $install --no-deps --target $folder -r "$file"
  note $folder "$file"
}

templates() {
  local folder=.venvs/test-templates file=$requirements/test-templates.lock
  made $folder "$file" && return
  echo "test: chat templates of models in $folder"
  rm -rf $folder
  # shellcheck disable=SC2086
  .venv/bin/python -m pip $install --no-deps --target $folder -r "$file"
  note $folder "$file"
}

clients
clients_node
inspector
loaders
templates
