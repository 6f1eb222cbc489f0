#!/usr/bin/env bash
# The documentation site, in build/docs/site: warnings are errors, nothing is fetched. Its builder is in .venvs/docs.
set -euo pipefail
cd "$(dirname "$0")/.."

python=${PYTHON:-python3.11}
lock=deploy/requirements/docs.lock
want=$({ "$python" --version; cat "$lock"; pwd; } | sha256sum | cut -c1-16)
if [ "$(cat .venvs/docs/.made-from 2>/dev/null)" != "$want" ]; then
  echo "docs: mkdocs-material in .venvs/docs"
  "$python" -m venv --clear .venvs/docs
  .venvs/docs/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r "$lock"
  echo "$want" > .venvs/docs/.made-from
fi
rm -rf build/docs
.venv/bin/python -m docs.website.assemble build/docs/pages
NO_MKDOCS_2_WARNING=1 .venvs/docs/bin/mkdocs build --strict --config-file docs/website/mkdocs.yml
.venv/bin/python -m docs.website.check_site build/docs/site
echo "docs: $(find build/docs/site -name '*.html' | wc -l) pages, in build/docs/site/index.html"
