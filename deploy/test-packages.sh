#!/usr/bin/env bash
# Debian packages that tests need: a browser, with a font that has Chinese letters; libfaketime, which moves the clock
# of a process; npm for a client of the API.
set -euo pipefail
packages=(chromium fonts-noto-cjk libfaketime)
missing=()
for package in "${packages[@]}"; do
  dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing+=("$package")
done
command -v npm >/dev/null || missing+=(npm)
[ ${#missing[@]} -eq 0 ] && exit
if [ "$(id -u)" -eq 0 ] && command -v apt-get >/dev/null; then
  echo "test: installing ${missing[*]}"
  apt-get update -qq
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
else
  echo "test: some tests need: ${missing[*]}. Install them (Debian: sudo apt-get install ${missing[*]})." >&2
  exit 1
fi
