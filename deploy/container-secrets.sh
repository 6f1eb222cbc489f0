#!/usr/bin/env bash
# Make the passwords of deploy/compose.yaml in deploy/secrets, once: what is there stays.
# The folder is closed; its files are open to the users of the containers, each of which sees only those it needs.
set -euo pipefail
cd "$(dirname "$0")"

umask 022
mkdir -p secrets
chmod 700 secrets
# secret NAME TEXT
secret() { [ -e "secrets/$1" ] || printf '%s' "$2" > "secrets/$1"; }
random() { od -An -tx1 -N24 /dev/urandom | tr -d ' \n'; }

secret mongo_root_password "$(random)"
secret mongo_password "$(random)"
secret mongodb_uri "mongodb://agent_assets:$(cat secrets/mongo_password)@mongod:27017/?authSource=admin"
secret postgres_password "$(random)"
secret postgres_url "postgresql+psycopg2://dagster:$(cat secrets/postgres_password)@postgres:5432/dagster"
echo "secrets: $PWD/secrets"
