#!/usr/bin/env bash
# Write the locks anew: every package of every environment with its version and the hashes of its files. Versions
# stay as they are locked; name packages to take their newest version that fits. Needs uv (pip install uv).
#
#   deploy/lock.sh [PACKAGE...]
#
# TORCH_ARGS   where pip finds the CPU build of torch, as in `agent-assets setup`
set -euo pipefail
cd "$(dirname "$0")/.."

python=${PYTHON:-python3.11}
requirements=deploy/requirements
engines=agent_assets/engines/locks  # in the wheel: `agent-assets setup` installs them
newest=()
for package in "$@"; do newest+=(--upgrade-package "$package"); done

# lock NAME ARGUMENT...: from what the arguments name to NAME.lock; in another folder where NAME has one.
lock() {
  local file=$1
  [[ $file == */* ]] || file=$requirements/$file
  echo "lock: $file"
  uv pip compile --quiet --generate-hashes --no-header --no-annotate "${newest[@]}" \
    --output-file "$file.lock" "${@:2}"
}

# keep_new NAME LOCK: leave out of NAME.lock what LOCK has already.
keep_new() {
  "$python" - "$requirements/$1.lock" "$requirements/$2.lock" <<'PYTHON'
import re, sys
from pathlib import Path
ours, theirs = (re.split(r"\n(?=\S)", Path(name).read_text()) for name in sys.argv[1:])
name = lambda entry: entry.split("==")[0]
known = {name(entry) for entry in theirs}
Path(sys.argv[1]).write_text("\n".join(e.rstrip("\n") for e in ours if name(e) not in known) + "\n")
PYTHON
}

lock $engines/installers $requirements/installers.txt --python-version 3.11 --universal
lock core pyproject.toml --extra embedded --extra dev --python-version 3.11 --universal
lock extras pyproject.toml --extra s3 --extra onnx --python-version 3.11 --universal \
  --constraint $requirements/core.lock
keep_new extras core
lock container pyproject.toml --extra s3 --python-version 3.11 --constraint $requirements/core.lock \
  --constraint $requirements/extras.lock
lock art-local pyproject.toml --extra art-local --python-version 3.11

# torch apart: its CPU build lies in an index of its own, and pip looks there for nothing else.
torch=$(grep '^torch==' $requirements/engine-cpu.txt)
download=$(mktemp -d)
trap 'rm -r "$download"' EXIT
# shellcheck disable=SC2086
"$python" -m pip download --quiet --no-deps --only-binary :all: --dest "$download" ${TORCH_ARGS:-} "$torch"
file=$(basename "$download"/torch-*)
case $file in *+cpu*) ;; *) echo "lock: $file is not the CPU build of torch; set TORCH_ARGS." >&2; exit 1 ;; esac
printf '%s \\\n    --hash=sha256:%s\n' "${torch%%[[:space:]]*}+cpu" "$(sha256sum "$download/$file" | cut -d' ' -f1)" \
  > $engines/engine-cpu-torch.lock
echo "${torch%%[[:space:]]*}+cpu" > "$download/cpu.txt"
lock $engines/engine-cpu $requirements/engine-cpu.txt --python-version 3.11 --universal --no-emit-package torch \
  --find-links "$download" --constraint "$download/cpu.txt"
lock $engines/engine-cpu-nodeps $requirements/engine-cpu-nodeps.txt --python-version 3.11 --no-deps
lock $engines/engine-unsloth $requirements/engine-unsloth.txt --python-version 3.11 --universal \
  --no-emit-package torch --find-links "$download" --constraint "$download/cpu.txt"
lock $engines/engine-gpu $requirements/engine-gpu.txt --python-version 3.12
lock $engines/export $requirements/export.txt --python-version 3.11 --no-deps
lock test-clients $requirements/test-clients.txt --python-version 3.11
lock test-loaders $requirements/test-loaders.txt --python-version 3.11 --no-deps
lock test-templates $requirements/test-templates.txt --python-version 3.11 --no-deps
lock test-go-template $requirements/test-go-template.txt --python-version 3.11 --no-deps
lock test-llama $requirements/test-llama.txt --python-version 3.11 --no-deps
lock audit $requirements/audit.txt --python-version 3.11
lock docs $requirements/docs.txt --python-version 3.11
