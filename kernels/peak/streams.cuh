// The streams of a probe, 16 bytes at a time: what the kernels of streams.cu share.
#pragma once
#include "common/ptx.cuh"

// f over every 16 bytes of a stream of `words` 32-bit words, UNROLL turns at a time; g over the words that are left.
template <class F, class G> DEVICE void each(u64 words, F wide, G one) {
  const u64 whole = words / 4, stride = (u64)gridDim.x * THREADS;
  for (u64 i = (u64)blockIdx.x * THREADS + threadIdx.x; i < whole; i += stride) wide(i);
  u64 left = whole * 4 + threadIdx.x;
  if (blockIdx.x == gridDim.x - 1 && left < words) one(left);
}
