#!/usr/bin/env bash
# The tests of scalemark, and what they need: a Rust toolchain (rust-version in Cargo.toml), Python 3 for its package
# installer. The OpenBLAS that a baseline is tested against, the numpy of an external worker, and the compiler and disassembler of CUDA kernels (no GPU is needed),
# go into target/; nothing outside this folder is changed.
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

NUMPY=2.3.5
if [ -z "${SCALEMARK_TEST_NUMPY:-}" ]; then
  wheel=target/test-wheels/numpy-$NUMPY
  if [ ! -d "$wheel/numpy" ]; then
    say "installing numpy $NUMPY into $wheel"
    python3 -m pip install --quiet --disable-pip-version-check --no-deps --target "$wheel" "numpy==$NUMPY" ||
      { echo "error: external workers are tested with numpy, and pip could not install it; set SCALEMARK_TEST_NUMPY to a folder that has it" >&2; exit 1; }
  fi
  export SCALEMARK_TEST_NUMPY=$PWD/$wheel
fi

DUCKDB=2.0.1
if [ -z "${SCALEMARK_TEST_DUCKDB:-}" ]; then
  wheel=target/test-wheels/duckdb-$DUCKDB
  if [ ! -d "$wheel/duckdb" ]; then
    say "installing DuckDB $DUCKDB into $wheel"
    python3 -m pip install --quiet --disable-pip-version-check --no-deps --target "$wheel" "duckdb==$DUCKDB" ||
      { echo "error: exports are tested with DuckDB, and pip could not install it; set SCALEMARK_TEST_DUCKDB to a folder that has it" >&2; exit 1; }
  fi
  export SCALEMARK_TEST_DUCKDB=$PWD/$wheel
fi

NVRTC=13.0.88
NVDISASM=13.5.37
wheel=target/test-wheels/nvrtc-$NVRTC-$NVDISASM
if [ -z "${SCALEMARK_NVRTC:-}" ] || [ -z "${SCALEMARK_NVDISASM:-}" ]; then
  if [ ! -x "$wheel/nvidia/cu13/bin/nvdisasm" ]; then
    say "installing NVRTC $NVRTC and nvdisasm $NVDISASM into $wheel"
    python3 -m pip install --quiet --disable-pip-version-check --no-deps --target "$wheel" \
      "nvidia-cuda-nvrtc==$NVRTC" "nvidia-cuda-nvdisasm==$NVDISASM" ||
      { echo "error: CUDA kernels are compiled in tests, and pip could not install NVRTC; set SCALEMARK_NVRTC and SCALEMARK_NVDISASM" >&2; exit 1; }
  fi
  export SCALEMARK_NVRTC=${SCALEMARK_NVRTC:-$PWD/$wheel/nvidia/cu13/lib}
  export SCALEMARK_NVDISASM=${SCALEMARK_NVDISASM:-$PWD/$wheel/nvidia/cu13/bin/nvdisasm}
fi
export SCALEMARK_CACHE=${SCALEMARK_CACHE:-$PWD/target/test-cache}

say "cargo test"
cargo test --workspace --locked "$@"

say "reports in a browser"
scripts/html.sh --if-there

say "every CUDA kernel on the simulator"
cargo run --quiet --locked -- verify --device sim
