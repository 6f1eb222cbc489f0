#!/usr/bin/env bash
# Make the Python environments: core in .venv, engines in .venvs/<name>. Costs nothing when nothing changed.
#
#   deploy/setup.sh            core and the engine environment for this machine (gpu when it has one, else cpu)
#   deploy/setup.sh core       core only
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

# venv DIR: an environment with a recent pip, kept when its interpreter still works.
venv() {
  "$1/bin/python" -c '' 2>/dev/null || { rm -rf "$1"; "$python" -m venv "$1"; }
  "$1/bin/python" -m pip install --quiet --disable-pip-version-check --upgrade 'pip>=25'
}

core() {
  local want; want=$(stamp pyproject.toml "$requirements/core.lock")
  fresh .venv "$want" && return
  echo "setup: core environment in .venv (about 2 minutes)"
  venv .venv
  .venv/bin/pip install --quiet --disable-pip-version-check -c "$requirements/core.lock" -e '.[embedded,dev]'
  echo "$want" > .venv/.made-from
}

engine_cpu() {
  local want; want=$(stamp "$requirements/engine-cpu.txt" "$requirements/engine-cpu.lock" "$requirements/engine-cpu-nodeps.txt")
  fresh .venvs/cpu "$want" && return
  echo "setup: engine environment in .venvs/cpu (about 3 minutes, 4 GB)"
  mkdir -p .venvs
  venv .venvs/cpu
  local pip=".venvs/cpu/bin/pip install --quiet --disable-pip-version-check"
  # shellcheck disable=SC2086
  $pip ${TORCH_ARGS:-} "$(grep '^torch==' "$requirements/engine-cpu.txt")"
  $pip -c "$requirements/engine-cpu.lock" -r "$requirements/engine-cpu.txt"
  $pip --no-deps -r "$requirements/engine-cpu-nodeps.txt"
  echo "$want" > .venvs/cpu/.made-from
}

engine_gpu() {
  local gpu_python=${PYTHON_GPU:-python3.12} want
  want=$(stamp "$requirements/engine-gpu.txt")
  fresh .venvs/gpu "$want" && return
  command -v "$gpu_python" >/dev/null || die "$gpu_python is not installed; the GPU engines need Python 3.12. Set PYTHON_GPU."
  echo "setup: engine environment in .venvs/gpu (about 10 minutes)"
  mkdir -p .venvs
  python=$gpu_python venv .venvs/gpu
  .venvs/gpu/bin/pip install --quiet --disable-pip-version-check -r "$requirements/engine-gpu.txt"
  echo "$want" > .venvs/gpu/.made-from
}

core
[ "${1:-all}" = core ] && exit
case "${AGENT_ASSETS_DEVICE:-auto}" in
  cpu) engine_cpu ;;
  gpu) engine_gpu ;;
  auto) if command -v nvidia-smi >/dev/null && nvidia-smi -L >/dev/null 2>&1; then engine_gpu; else engine_cpu; fi ;;
  *) die "AGENT_ASSETS_DEVICE is '$AGENT_ASSETS_DEVICE'. Set it to auto, cpu or gpu, or unset it." ;;
esac
