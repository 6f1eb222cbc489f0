#!/usr/bin/env bash
# What tests need of other people's programs, in .venvs/test-*: clients of the API, loaders of exported rows, chat
# templates, Go's, llama.cpp's server, the schema of compose files; and what writes GGUF files, in .venvs/export.
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

# node_packages NAME WHAT COMMAND
node_packages() {
  local folder=.venvs/$1 from=$requirements/$1
  made "$folder" "$from/package.json" "$from/package-lock.json" && return
  echo "test: $2 in $folder"
  mkdir -p "$folder"
  cp "$from/package.json" "$from/package-lock.json" "$folder/"
  npm "$3" --prefix "$folder" --silent --no-audit --no-fund
  note "$folder" "$from/package.json" "$from/package-lock.json"
}

# wheels NAME WHAT: in a folder that no environment has on its path
wheels() {
  local folder=.venvs/$1 file=$requirements/$1.lock
  made "$folder" "$file" && return
  echo "test: $2 in $folder"
  rm -rf "$folder"
  # shellcheck disable=SC2086
  .venv/bin/python -m pip $install --no-deps --target "$folder" -r "$file"
  note "$folder" "$file"
}

clients
node_packages test-clients-node "Vercel's AI SDK" ci
# Not `npm ci`: not every registry has an optional package for Windows, which the lock then lacks.
node_packages test-inspector "the MCP inspector (half a minute)" install
node_packages test-compose "the schema of compose files" ci
wheels test-loaders "loaders of exported rows"
wheels test-templates "chat templates of models"
wheels test-go-template "Go's templates"
wheels test-llama "llama.cpp's server"
deploy/setup.sh export
