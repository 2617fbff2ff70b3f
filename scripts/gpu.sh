#!/usr/bin/env bash
# Everything that a GPU can settle, in one go: scripts/gpu.sh OUT [quick|full]
#
# Needs a built binary (SCALEMARK, else target/release/scalemark, else scalemark on the path), this repository's files and NVRTC;
# no Rust toolchain and no network. quick takes ten minutes at most on a data-centre GPU, full as long as it takes.
# SCALEMARK_GPU names another device than cuda:0. A device of the fake driver, such as fake:sm_80, makes it a dry run: every step is
# gone through, launches are executed by the simulator, and SCALEMARK_FAKE breaks what it names.
#
# Exit codes: 0 fine, 1 something is wrong or failed, 2 usage, 3 no GPU, or one whose times cannot be trusted.
set -uo pipefail

usage() { echo "usage: scripts/gpu.sh OUT [quick|full]" >&2; exit 2; }
[ $# -ge 1 ] && [ $# -le 2 ] || usage
OUT=$1
MODE=${2:-quick}
case $MODE in quick | full) ;; *) usage ;; esac
if [ -e "$OUT" ] && [ -n "$(ls -A "$OUT" 2>/dev/null)" ]; then
  echo "error: $OUT is not empty; give a folder that is empty or not there yet" >&2
  exit 2
fi
mkdir -p "$OUT/log" || exit 2
OUT=$(cd "$OUT" && pwd)
cd "$(dirname "$0")/.."

BIN=${SCALEMARK:-}
[ -n "$BIN" ] || { [ -x target/release/scalemark ] && BIN=$PWD/target/release/scalemark; } || BIN=$(command -v scalemark) ||
  { echo "error: there is no built scalemark; name it in SCALEMARK" >&2; exit 2; }
DEVICE=${SCALEMARK_GPU:-cuda:0}
DRY=
case $DEVICE in fake:*) DRY=1 ;; esac

WORST=0
SUMMARY=$OUT/summary.md
START=$SECONDS

# Remembers the worst exit code: wrong before unfit before fine.
note_code() {
  case $1 in
    0) ;;
    3) [ "$WORST" = 1 ] || WORST=3 ;;
    *) WORST=1 ;;
  esac
}

# step NAME COMMAND…: runs it, keeps what it says, and writes a line of the summary.
step() {
  local name=$1 code line begun=$SECONDS
  shift
  printf '== %s\n' "$name" >&2
  "$@" >"$OUT/log/$name.out" 2>"$OUT/log/$name.err"
  code=$?
  note_code $code
  # What it came to: the last line of its output, and what went wrong.
  line=$(grep -v '^ *$' "$OUT/log/$name.out" | tail -n 1 | cut -c1-200)
  printf -- '- **%s**: exit %s, %s s. %s\n' "$name" "$code" $((SECONDS - begun)) "$line" >>"$SUMMARY"
  grep -E '^(error|wrong|failed|unfit)' "$OUT/log/$name.err" | head -n 8 | cut -c1-300 | sed 's/^/  - /' >>"$SUMMARY"
  return $code
}

skip() {
  printf '== %s: not done: %s\n' "$1" "$2" >&2
  printf -- '- **%s**: not done: %s\n' "$1" "$2" >>"$SUMMARY"
}

finish() {
  printf -- '\n%s s in all; exit code %s. Logs are in %s.\n' $((SECONDS - START)) "$WORST" "$OUT/log" >>"$SUMMARY"
  cat "$SUMMARY"
  exit "$WORST"
}

printf '# scalemark on %s, %s%s\n\n' "$DEVICE" "$MODE" "${DRY:+ (dry: simulated, times made up)}" >"$SUMMARY"

# What is verified, measured and profiled: small in a dry run, for the simulator takes a core's seconds for a GPU's microseconds.
if [ -n "$DRY" ]; then
  VERIFY=(-m 33 --dtype f32,bf16)
  RUN=(-m 24 --dtype f32,bf16 --budget 100ms --processes 1)
  CHECK=(-m 20)
elif [ "$MODE" = quick ]; then
  VERIFY=()
  RUN=(--suite quick)
  CHECK=(-m 64,97)
else
  VERIFY=()
  RUN=(--suite gpu)
  CHECK=(-m 64,97,256)
fi

# 1. The environment.
step environment "$BIN" machine
"$BIN" machine --json >"$OUT/environment.json" 2>/dev/null
if [ -z "$DRY" ] && command -v nvidia-smi >/dev/null; then step nvidia-smi nvidia-smi -q; fi

# 2. Calibration: a run of next to nothing, whose machine.json has it. Without a GPU everything ends here.
step calibration "$BIN" run --device "$DEVICE" -m 32 --kernel matmul/coalesced --budget 50ms --processes 1 --no-peaks --out "$OUT/calibration"
if [ ! -f "$OUT/calibration/machine.json" ]; then finish; fi

# 3. Every row's answers, on the GPU.
step verify "$BIN" verify --device "$DEVICE" "${VERIFY[@]}"
if [ -n "$DRY" ]; then
  step verify-attention "$BIN" verify --device "$DEVICE" --seq 33 --heads 2 --kv-heads 1 --pass fwd,bwd,decode --dtype f32,bf16
  step verify-optimizer "$BIN" verify --device "$DEVICE" --params 4099
fi

# 4. The simulator against the hardware, instruction by instruction; and every check of the simulator on what was just verified.
ARCH=$(grep -o '"capability": *[0-9]*' "$OUT/calibration/machine.json" | head -n 1 | grep -o '[0-9]*$')
case $ARCH in 9? | 1??) ARCH=sm_${ARCH}a ;; *) ARCH=sm_$ARCH ;; esac
if [ -n "$DRY" ]; then
  step conform "$BIN" conform --device "$DEVICE" --only add
else
  step conform "$BIN" conform --gpu "${DEVICE##*:}"
fi
step simulator "$BIN" verify --device "sim:$ARCH" "${VERIFY[@]}"

# 5. Memory errors and races as the hardware's own tools see them.
if [ -n "$DRY" ]; then
  skip sanitizer "the simulator's checks of the step before stand for it in a dry run"
elif command -v compute-sanitizer >/dev/null; then
  for tool in memcheck racecheck; do
    step "sanitizer-$tool" compute-sanitizer --target-processes all --tool "$tool" --error-exitcode 1 \
      "$BIN" verify --device "$DEVICE" "${CHECK[@]}"
  done
else
  skip sanitizer "compute-sanitizer is not installed; it comes with the CUDA toolkit"
fi

# 6. The measurements, cold and warm, burst and sustained, beside PyTorch where a Python here has it (SCALEMARK_PYTHON names one).
[ -n "$DRY" ] || ! "${SCALEMARK_PYTHON:-python3}" -c 'import torch' 2>/dev/null || RUN+=(--baselines torch)
step run-burst "$BIN" run --device "$DEVICE" "${RUN[@]}" --cache cold,warm --out "$OUT/run-burst"
SUSTAINED=("${RUN[@]}")
if [ -n "$DRY" ]; then SUSTAINED=(--op sgd --params 1000000 --kernel optimizer/scalar --budget 100ms --processes 1 --no-peaks); fi
[ "$MODE" = quick ] && [ -z "$DRY" ] && SUSTAINED=(--op matmul,adamw -m 4096 --params 67108864 --dtype f32,bf16)
step run-sustained "$BIN" run --device "$DEVICE" "${SUSTAINED[@]}" --regime sustained --out "$OUT/run-sustained"

# 7. Profiles of the five cases that are furthest from the machine's limit, each of its fastest kernel.
# The columns of a case list, from a run's records; fields in quotes may hold commas.
worst() {
  awk -v most=5 '
    function fields(line,   n, field, quoted, c, i) {
      n = 1; field = ""; quoted = 0; delete f
      for (i = 1; i <= length(line); i++) {
        c = substr(line, i, 1)
        if (c == "\"") quoted = !quoted
        else if (c == "," && !quoted) { f[n++] = field; field = "" }
        else field = field c
      }
      f[n] = field
    }
    NR == 1 { fields($0); for (i in f) at[f[i]] = i; next }
    { fields($0) }
    f[at["status"]] != "measured" || f[at["family"]] == "peak" || f[at["share_of_peak"]] == "" { next }
    {
      key = f[at["case_key"]]; time = f[at["time_median_ns"]] + 0
      if (key in best && best[key] <= time) next
      best[key] = time; share[key] = f[at["share_of_peak"]] + 0; kernel[key] = f[at["kernel"]]
      parts = split(key, part, "/")
      dtype = f[at["family"]] == "optimizer" ? f[at["dtype_inputs"]] : part[parts - 4]
      row[key] = f[at["op"]] "," dtype "," f[at["pass"]]
      split("cache transpose m n k batch heads kv_heads seq_q seq_kv head_dim_qk head_dim_v causal params", names, " ")
      for (i = 1; i <= 14; i++) row[key] = row[key] "," f[at[names[i]]]
    }
    END {
      while (most-- > 0) {
        low = ""
        for (key in share) if (low == "" || share[key] < share[low]) low = key
        if (low == "") break
        print kernel[low] " " row[low]
        delete share[low]
      }
    }' "$1"
}
# What CUPTI tells of each, as text and as a trace, beside what ncu does where it is there. In a dry run the fake driver tells, and there
# is nothing for ncu to profile; roofs are left out then, whose probes take long to simulate.
NCU=
[ -n "$DRY" ] || NCU=$(command -v ncu)
mkdir -p "$OUT/profiles"
number=0
while read -r kernel row; do
  number=$((number + 1))
  {
    echo "op,dtype,pass,cache,transpose,m,n,k,batch,heads,kv_heads,seq_q,seq_kv,head_dim_qk,head_dim_v,causal,params"
    echo "$row"
  } >"$OUT/profiles/$number.csv"
  step "cupti-$number" "$BIN" profile "$kernel" --device "$DEVICE" --cases "$OUT/profiles/$number.csv" \
    --trace "$OUT/profiles/$number.trace.json" ${DRY:+--no-peaks}
  cp "$OUT/log/cupti-$number.out" "$OUT/profiles/$number.txt"
  if [ -n "$DRY$NCU" ]; then
    step "profile-$number" ${NCU:+"$NCU" --target-processes all --set full -f -o "$OUT/profiles/$number"} \
      "$BIN" verify --device "$DEVICE" --kernel "$kernel" --cases "$OUT/profiles/$number.csv"
  fi
done < <(worst "$OUT/run-burst/records.csv")
[ -n "$DRY$NCU" ] || skip profiles "ncu is not installed; it comes with the CUDA toolkit, and may need root"

# 8. Counters of the simulator beside the hardware's, on small cases.
if [ -n "$DRY" ]; then
  step counters "$BIN" run --device "sim:$ARCH" "${CHECK[@]}" --out "$OUT/simulated"
elif command -v ncu >/dev/null; then
  step counters "$BIN" run --device "sim:$ARCH" "${CHECK[@]}" --out "$OUT/simulated"
  CONFLICTS=l1tex__data_bank_conflicts_pipe_lsu_mem_shared_op
  METRICS=smsp__inst_executed.sum,smsp__thread_inst_executed_pred_on.sum,${CONFLICTS}_ld.sum,${CONFLICTS}_st.sum
  for op in ld st; do METRICS=$METRICS,l1tex__t_sectors_pipe_lsu_mem_global_op_$op.sum; done
  step counters-hardware ncu --target-processes all --csv --print-units base --metrics "$METRICS" \
    "$BIN" verify --device "$DEVICE" "${CHECK[@]}"
  step counters-compared "$BIN" report "$OUT/simulated" --ncu "$OUT/log/counters-hardware.out"
else
  skip counters "ncu is not installed"
fi

finish
