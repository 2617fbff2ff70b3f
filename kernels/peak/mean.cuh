// The mean over all sets of accumulators that a probe of arithmetic leaves: exact if all are right. It is part of the probe's time, so
// that it is spread over the device: eight neighbouring accumulators a block, 128 threads on each.
#pragma once
#include "common/ptx.cuh"

#define MEAN_CHAINS 8
#define MEAN_LANES 128

template <typename T> DEVICE void mean_of_sets(T* __restrict__ result, const T* __restrict__ sets, u32 count, u32 chains) {
  __shared__ T sums[MEAN_LANES][MEAN_CHAINS];
  const u32 chain = threadIdx.x % MEAN_CHAINS, lane = threadIdx.x / MEAN_CHAINS;
  const u32 place = blockIdx.x * MEAN_CHAINS + chain;
  T sum = 0;
#pragma unroll 4
  for (u32 set = lane; set < count; set += MEAN_LANES) sum += sets[(u64)set * chains + place];
  sums[lane][chain] = sum;
  for (u32 half = MEAN_LANES / 2; half > 0; half /= 2) {
    __syncthreads();
    if (lane < half) sums[lane][chain] += sums[lane + half][chain];
  }
  if (lane == 0) result[place] = sums[0][chain] / (T)count;
}
