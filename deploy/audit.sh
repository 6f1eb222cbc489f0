#!/usr/bin/env bash
# Bills of materials of what is locked, and known holes in it (deploy/audit.py), with programs of their own in .venvs/audit.
set -euo pipefail
cd "$(dirname "$0")/.."

python=${PYTHON:-python3.11}
lock=deploy/requirements/audit.lock
want=$({ "$python" --version; cat "$lock"; pwd; } | sha256sum | cut -c1-16)
if [ "$(cat .venvs/audit/.made-from 2>/dev/null)" != "$want" ]; then
  echo "audit: cyclonedx-bom and pip-audit in .venvs/audit"
  "$python" -m venv --clear .venvs/audit
  .venvs/audit/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r "$lock"
  echo "$want" > .venvs/audit/.made-from
fi
.venvs/audit/bin/python deploy/audit.py
