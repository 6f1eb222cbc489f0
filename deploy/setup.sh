#!/usr/bin/env bash
# Make the Python environments: core in .venv, engines in .venvs/<name>. Costs nothing when nothing changed.
#
#   deploy/setup.sh            core and the engine environment for this machine (gpu when it has one, else cpu)
#   deploy/setup.sh core       core only
#   deploy/setup.sh export     core, engines, and what writes GGUF files (`agent-assets export-model`; 50 MB more)
#
# AGENT_ASSETS_DEVICE  cpu or gpu: that engine environment, whatever this machine has
# PYTHON               the Python 3.11 to use (default python3.11)
# PYTHON_GPU           the Python 3.12 of the GPU engines (default python3.12)
# TORCH_ARGS           further arguments of the `pip install torch` line, such as the index of the CPU builds
set -euo pipefail
cd "$(dirname "$0")/.."

python=${PYTHON:-python3.11}
requirements=deploy/requirements

die() { printf 'setup: %s\n' "$1" >&2; exit 1; }

command -v "$python" >/dev/null || die "$python is not installed. Install Python 3.11 (Debian: apt-get install python3.11-venv) or set PYTHON."
"$python" -c 'import ensurepip, venv' 2>/dev/null || die "$python has no venv module. Debian: apt-get install python3.11-venv."

# stamp FILE...: what an environment is made from; a new hash means install again.
stamp() { { "$python" --version; cat "$@"; echo "${TORCH_ARGS:-}"; pwd; } | sha256sum | cut -c1-16; }
fresh() { [ -f "$1/.made-from" ] && [ "$(cat "$1/.made-from")" = "$2" ]; }

# install DIR ARGUMENT...: with the pip of an environment, only files whose hashes the locks name. A package that
# comes as source is built with what is there, so nothing else is fetched.
install() {
  "$1/bin/python" -m pip install --quiet --disable-pip-version-check --require-hashes --no-build-isolation "${@:2}"
}

# venv DIR: an environment with the locked installers, kept when its interpreter still works.
venv() {
  "$1/bin/python" -c '' 2>/dev/null || { rm -rf "$1"; "$python" -m venv "$1"; }
  install "$1" -r "$requirements/installers.lock"
}

core() {
  local want; want=$(stamp pyproject.toml "$requirements/installers.lock" "$requirements/core.lock")
  fresh .venv "$want" && return
  echo "setup: core environment in .venv (about 2 minutes)"
  venv .venv
  install .venv -r "$requirements/core.lock"
  .venv/bin/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --no-index -e .
  echo "$want" > .venv/.made-from
}

engine_cpu() {
  local locks=("$requirements"/engine-cpu-torch.lock "$requirements"/engine-cpu.lock "$requirements"/engine-cpu-nodeps.lock) want
  want=$(stamp "$requirements/installers.lock" "${locks[@]}")
  fresh .venvs/cpu "$want" && return
  echo "setup: engine environment in .venvs/cpu (about 3 minutes, 4 GB)"
  mkdir -p .venvs
  venv .venvs/cpu
  # shellcheck disable=SC2086
  install .venvs/cpu --no-deps ${TORCH_ARGS:-} -r "${locks[0]}" ||
    die "The CPU build of torch, with the hash of ${locks[0]}, is not in your package index. Name the index of the CPU builds: TORCH_ARGS=\"--index-url ...\" make setup."
  install .venvs/cpu -r "${locks[1]}"
  install .venvs/cpu --no-deps -r "${locks[2]}"
  echo "$want" > .venvs/cpu/.made-from
}

engine_gpu() {
  local gpu_python=${PYTHON_GPU:-python3.12} want
  want=$(stamp "$requirements/installers.lock" "$requirements/engine-gpu.lock")
  fresh .venvs/gpu "$want" && return
  command -v "$gpu_python" >/dev/null || die "$gpu_python is not installed; the GPU engines need Python 3.12. Set PYTHON_GPU."
  echo "setup: engine environment in .venvs/gpu (about 10 minutes)"
  mkdir -p .venvs
  python=$gpu_python venv .venvs/gpu
  install .venvs/gpu -r "$requirements/engine-gpu.lock"
  echo "$want" > .venvs/gpu/.made-from
}

# A folder of packages, not an environment: its program runs in that of the engines.
export_tools() {
  local engine=.venvs/$1 lock=$requirements/export.lock want
  want=$(stamp "$requirements/installers.lock" "$lock" "$engine/.made-from")
  fresh .venvs/export "$want" && return
  echo "setup: the converter to GGUF in .venvs/export (a few seconds)"
  rm -rf .venvs/export
  install "$engine" --no-deps --target .venvs/export -r "$lock"
  echo "$want" > .venvs/export/.made-from
}

core
[ "${1:-all}" = core ] && exit
case "${AGENT_ASSETS_DEVICE:-auto}" in
  cpu | gpu) device=$AGENT_ASSETS_DEVICE ;;
  auto) device=cpu; if command -v nvidia-smi >/dev/null && nvidia-smi -L >/dev/null 2>&1; then device=gpu; fi ;;
  *) die "AGENT_ASSETS_DEVICE is '$AGENT_ASSETS_DEVICE'. Set it to auto, cpu or gpu, or unset it." ;;
esac
"engine_$device"
if [ "${1:-all}" = export ]; then export_tools "$device"; fi
