#!/usr/bin/env bash
# The tests of scalemark, and what they need: a Rust toolchain (rust-version in Cargo.toml), Python 3 for its package
# installer. The OpenBLAS that a baseline is tested against goes into target/, nothing outside this folder is changed.
set -euo pipefail
cd "$(dirname "$0")/.."

say() { printf '== %s\n' "$*"; }

OPENBLAS=0.3.34.0.0
if [ -z "${SCALEMARK_OPENBLAS:-}" ]; then
  wheel=target/test-wheels/openblas-$OPENBLAS
  if [ ! -f "$wheel/scipy_openblas32/lib/libscipy_openblas.so" ]; then
    say "installing OpenBLAS $OPENBLAS into $wheel"
    python3 -m pip install --quiet --disable-pip-version-check --no-deps --target "$wheel" "scipy-openblas32==$OPENBLAS" ||
      { echo "error: the OpenBLAS baseline is tested, and pip could not install it; set SCALEMARK_OPENBLAS to a library" >&2; exit 1; }
  fi
  SCALEMARK_OPENBLAS=$PWD/$wheel/scipy_openblas32/lib/libscipy_openblas.so
  export SCALEMARK_OPENBLAS
fi

say "cargo test"
cargo test --workspace --locked "$@"
