#!/usr/bin/env bash
# The pages of `scalemark report` in a headless Chromium: every control used, nothing complained of. Needs a Chromium or Chrome in the
# path, or SCALEMARK_CHROMIUM. `scripts/html.sh --if-there` says so and ends well where there is none; without it, and in CI that has one
# (CI=true on GitHub's Linux machines), that is an error.
set -euo pipefail
cd "$(dirname "$0")/.."

found=${SCALEMARK_CHROMIUM:-$(command -v chromium chromium-browser google-chrome chrome | head -n 1 || true)}
if [ -z "$found" ]; then
  reason="no Chromium in the path: the pages of \`report\` were not opened in a browser (install one, or set SCALEMARK_CHROMIUM)"
  if [ "${1:-}" = --if-there ] && [ -z "${GITHUB_ACTIONS:-}" ]; then
    echo "== NOT TESTED: $reason"
    exit 0
  fi
  echo "error: $reason" >&2
  exit 1
fi
echo "== pages in $found"
SCALEMARK_CHROMIUM=$found cargo test --locked --test pages -- --ignored --skip hundred
