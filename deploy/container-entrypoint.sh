#!/bin/sh
# Start a program with secrets from files: where X_FILE names a file, X is what the file says.
set -eu
for name in MONGODB_URI DAGSTER_POSTGRES_URL AGENT_ASSETS_SECRET AGENT_ASSETS_ALERT_SECRET \
  AGENT_ASSETS_EMBEDDING_API_KEY AGENT_ASSETS_TOOL_TOKEN OPENAI_API_KEY WANDB_API_KEY; do
  eval "file=\${${name}_FILE:-}"
  [ -n "$file" ] || continue
  [ -r "$file" ] || { echo "entrypoint: ${name}_FILE is $file, which cannot be read." >&2; exit 1; }
  export "$name=$(cat "$file")"
  unset "${name}_FILE"
done
exec "$@"
