#!/usr/bin/env bash
# Fuzzes every Fuzz function of the module, one after the other, for the time given as the first argument (20s).
set -euo pipefail
cd "$(dirname "$0")/.."
each=${1:-20s}

targets=$(grep -rEo --include='*_test.go' '^func Fuzz[A-Za-z0-9_]*' . | sed -E 's|^(.*)/[^/]*:func (.*)$|\1 \2|' | sort) || true
if [ -z "$targets" ]; then
  echo "There is nothing to fuzz, and there should be: every decoder has a Fuzz function." >&2
  exit 1
fi
while read -r package target; do
  echo "fuzz $package $target for $each"
  go test "$package" -run '^$' -fuzz "^$target\$" -fuzztime "$each" </dev/null
done <<<"$targets"
