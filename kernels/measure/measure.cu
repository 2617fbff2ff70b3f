// measure: what times are taken with, and what the taking is calibrated by. No op's kernels.
//
// Needs: any architecture.
// measure_empty: does nothing: what is left of a time when there is no work in it.
// measure_block: holds the stream until the host has enqueued what follows, so that the host's pace is not in the time; it gives up
//   after a while, and says so.
// measure_spin: runs for as long as it is told, by the GPU's own clock: a kernel of known length.
// measure_clock: how fast the multiprocessor runs: both clocks between two ticks of the slower one, some 20 microseconds apart.
// Ideas: nvbench's blocking_kernel (NVIDIA/nvbench).
#include "common/ptx.cuh"

DEVICE u64 nanoseconds() {
  u64 now;
  asm volatile("mov.u64 %0, %%globaltimer;" : "=l"(now));
  return now;
}

DEVICE u64 cycles() {
  u64 now;
  asm volatile("mov.u64 %0, %%clock64;" : "=l"(now));
  return now;
}

extern "C" __global__ void measure_empty() {}

extern "C" __global__ void measure_block(volatile u32* go, volatile u32* gave_up, u64 patience_ns) {
  const u64 start = nanoseconds();
  while (*go == 0) {
    if (nanoseconds() - start > patience_ns) {
      *gave_up = 1;
      return;
    }
  }
}

extern "C" __global__ void measure_spin(u64 length_ns) {
  const u64 start = nanoseconds();
  while (nanoseconds() - start < length_ns) {
  }
}

extern "C" __global__ void measure_clock(u64* out, u64 length_ns) {
  // From tick to tick: between ticks the slower clock says nothing.
  u64 before = nanoseconds(), start = before;
  while (start == before) start = nanoseconds();
  const u64 from = cycles();
  u64 end = start;
  while (end - start < length_ns) end = nanoseconds();
  const u64 to = cycles();
  out[0] = end - start;
  out[1] = to - from;
}
