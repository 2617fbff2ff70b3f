#!/usr/bin/env bash
# The tests of scalemark, and what they need: a Rust toolchain (rust-version in Cargo.toml), Python 3 for its package
# installer. The OpenBLAS that a baseline is tested against, the numpy of an external worker, the DuckDB, pandas and ClickHouse that read exports
# (about 275 MB of download, once), and the compiler and disassembler of CUDA kernels (no GPU is needed) go into target/; nothing outside this folder
# is changed.
set -euo pipefail
cd "$(dirname "$0")/.."

say() { printf '== %s\n' "$*"; }

# wheel NAME FILE WHY PACKAGE…: the folder below target/ that has FILE of these packages, brought from PyPI if it is not there yet.
wheel() {
  local folder=target/test-wheels/$1 file=$2 why=$3
  shift 3
  if [ ! -e "$folder/$file" ]; then
    say "installing $* into $folder" >&2
    python3 -m pip install --quiet --disable-pip-version-check --no-deps --target "$folder" "$@" >&2 ||
      { echo "error: pip could not install $*: $why" >&2; return 1; }
  fi
  echo "$PWD/$folder"
}

if [ -z "${SCALEMARK_OPENBLAS:-}" ]; then
  file=scipy_openblas32/lib/libscipy_openblas.so
  folder=$(wheel openblas-0.3.34.0.0 $file "a baseline is tested with it; set SCALEMARK_OPENBLAS to a library" scipy-openblas32==0.3.34.0.0)
  export SCALEMARK_OPENBLAS=$folder/$file
fi
if [ -z "${SCALEMARK_TEST_NUMPY:-}" ]; then
  SCALEMARK_TEST_NUMPY=$(wheel numpy-2.3.5 numpy "external workers are tested with it; set SCALEMARK_TEST_NUMPY to a folder that has it" numpy==2.3.5)
  export SCALEMARK_TEST_NUMPY
fi
if [ -z "${SCALEMARK_TEST_DUCKDB:-}" ]; then
  SCALEMARK_TEST_DUCKDB=$(wheel duckdb-2.0.1 duckdb "exports are tested with it; set SCALEMARK_TEST_DUCKDB to a folder that has it" duckdb==2.0.1)
  export SCALEMARK_TEST_DUCKDB
fi
if [ -z "${SCALEMARK_TEST_PANDAS:-}" ]; then
  SCALEMARK_TEST_PANDAS=$(wheel pandas-3.1.1-26.0.1 pandas "exports are tested with it; set SCALEMARK_TEST_PANDAS to a folder that has it" \
    pandas==3.1.1 pyarrow==26.0.1 python-dateutil==4.0.0 tzdata==2026.6)
  export SCALEMARK_TEST_PANDAS
fi
if [ -z "${SCALEMARK_TEST_CLICKHOUSE:-}" ]; then
  SCALEMARK_TEST_CLICKHOUSE=$(wheel chdb-26.9.0 chdb "exports are tested with it; set SCALEMARK_TEST_CLICKHOUSE to a folder that has it" chdb-core==26.9.0)
  export SCALEMARK_TEST_CLICKHOUSE
fi
if [ -z "${SCALEMARK_NVRTC:-}" ] || [ -z "${SCALEMARK_NVDISASM:-}" ]; then
  folder=$(wheel nvrtc-13.0.88-13.5.37 nvidia/cu13/bin/nvdisasm \
    "CUDA kernels are compiled in tests; set SCALEMARK_NVRTC and SCALEMARK_NVDISASM" \
    nvidia-cuda-nvrtc==13.0.88 nvidia-cuda-nvdisasm==13.5.37)
  export SCALEMARK_NVRTC=${SCALEMARK_NVRTC:-$folder/nvidia/cu13/lib}
  export SCALEMARK_NVDISASM=${SCALEMARK_NVDISASM:-$folder/nvidia/cu13/bin/nvdisasm}
fi
export SCALEMARK_CACHE=${SCALEMARK_CACHE:-$PWD/target/test-cache}

say "cargo test"
cargo test --workspace --locked "$@"

say "reports in a browser"
scripts/html.sh --if-there

say "every CUDA kernel on the simulator"
cargo run --quiet --locked -- verify --device sim
