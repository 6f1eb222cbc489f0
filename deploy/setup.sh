#!/usr/bin/env bash
# Make the Python environments of a checkout: core in .venv, engines in .venvs/<name>. Costs nothing when nothing
# changed.
#
#   deploy/setup.sh                    core and the engine environment for this machine (gpu when it has one, else cpu)
#   deploy/setup.sh core               core only
#   deploy/setup.sh cpu|gpu|unsloth    core and this engine environment
#   deploy/setup.sh export             core, and what writes GGUF files beside the engines (50 MB)
#
# PYTHON               the Python of core, 3.11 to 3.13 (default python3.11)
# The rest is `agent-assets setup` (agent_assets/engines/install.py), with its variables: AGENT_ASSETS_DEVICE,
# AGENT_ASSETS_ENGINES, PYTHON_CPU, PYTHON_GPU, TORCH_ARGS.
set -euo pipefail
cd "$(dirname "$0")/.."

python=${PYTHON:-python3.11}
installers=agent_assets/engines/locks/installers.lock
lock=deploy/requirements/core.lock

die() { printf 'setup: %s\n' "$1" >&2; exit 1; }

command -v "$python" >/dev/null || die "$python is not installed. Install Python 3.11 (Debian: apt-get install python3.11-venv) or set PYTHON."
"$python" -c 'import ensurepip, venv' 2>/dev/null || die "$python has no venv module. Debian: apt-get install python3.11-venv."

# install ARGUMENT...: only files whose hashes the locks name. A package that comes as source is built with what is
# there, so nothing else is fetched.
install() {
  .venv/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes --no-build-isolation "$@"
}

core() {
  # What core is made from; a new hash means install again.
  local want; want=$({ "$python" --version; cat pyproject.toml "$installers" "$lock"; pwd; } | sha256sum | cut -c1-16)
  [ "$(cat .venv/.made-from 2>/dev/null)" = "$want" ] && return
  echo "setup: core environment in .venv (about 2 minutes)"
  [ "$(.venv/bin/python --version 2>/dev/null)" = "$("$python" --version)" ] || { rm -rf .venv; "$python" -m venv .venv; }
  install -r "$installers"
  install -r "$lock"
  .venv/bin/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --no-index -e .
  echo "$want" > .venv/.made-from
}

core
[ "${1:-}" = core ] || exec .venv/bin/agent-assets setup "$@"
