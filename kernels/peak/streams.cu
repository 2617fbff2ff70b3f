// peak/streams: what memory gives to each access pattern: read, write, copy, triad, and updates in place.
//
// Needs: any architecture; streams of f32 that begin at multiples of 16 bytes.
// Place: the roof of everything that memory bounds. 16 bytes a thread and access, whole lines a warp, a grid that strides.
//   read: the exclusive or of all words, which no order changes: partial results of blocks (peak_read), then one block over
//   them (peak_read_end). write: a pattern of 16 numbers. copy: b = a. triad: c = a + 3·b.
//   update: p = p/2 + g for one, two or three streams p with one g: the traffic of SGD, momentum, Adam.
// Bound (H100): HBM; 32 KiB an SM must be in flight, and 2048 threads × 16 bytes are just that.
// Least work: as STREAM counts: bytes read plus bytes written.
// Ideas: McCalpin, STREAM (1995); BabelStream.
#if !defined(THREADS)
#error "the row passes THREADS"
#endif
#include "peak/streams.cuh"

DEVICE u32 folded(uint4 x) { return x.x ^ x.y ^ x.z ^ x.w; }

// The exclusive or over the block, on its thread 0.
DEVICE u32 block_xor(u32 x) {
  __shared__ u32 warps[THREADS / 32];
#pragma unroll
  for (int lanes = 16; lanes > 0; lanes /= 2) x ^= __shfl_xor_sync(0xffffffff, x, lanes);
  if (threadIdx.x % 32 == 0) warps[threadIdx.x / 32] = x;
  __syncthreads();
  u32 all = 0;
  if (threadIdx.x == 0) {
#pragma unroll
    for (int w = 0; w < THREADS / 32; w++) all ^= warps[w];
  }
  return all;
}

extern "C" __global__ void __launch_bounds__(THREADS) peak_read(const u32* __restrict__ a, u32* __restrict__ partial, u64 words) {
  u32 sum = 0;
  each(words, [&](u64 i) { sum ^= folded(((const uint4*)a)[i]); }, [&](u64 i) { sum ^= a[i]; });
  sum = block_xor(sum);
  if (threadIdx.x == 0) partial[blockIdx.x] = sum;
}

extern "C" __global__ void __launch_bounds__(THREADS)
peak_read_end(u32* __restrict__ result, const u32* __restrict__ partial, u32 blocks) {
  u32 sum = 0;
  for (u32 i = threadIdx.x; i < blocks; i += THREADS) sum ^= partial[i];
  sum = block_xor(sum);
  if (threadIdx.x == 0) *result = sum;
}

extern "C" __global__ void __launch_bounds__(THREADS) peak_write(const u32* __restrict__ pattern, u32* __restrict__ b, u64 words) {
  // A thread's quarter of the pattern is the same in every turn, for the stride is a multiple of four.
  const uint4 mine = ((const uint4*)pattern)[threadIdx.x % 4];
  each(words, [&](u64 i) { ((uint4*)b)[i] = mine; }, [&](u64 i) { b[i] = pattern[i % 16]; });
}

extern "C" __global__ void __launch_bounds__(THREADS) peak_copy(const u32* __restrict__ a, u32* __restrict__ b, u64 words) {
  each(words, [&](u64 i) { ((uint4*)b)[i] = ((const uint4*)a)[i]; }, [&](u64 i) { b[i] = a[i]; });
}

extern "C" __global__ void __launch_bounds__(THREADS)
peak_triad(const float* __restrict__ a, const float* __restrict__ b, float* __restrict__ c, u64 words) {
  const float s = 3.0f;
  each(
      words,
      [&](u64 i) {
        float4 x = ((const float4*)a)[i], y = ((const float4*)b)[i];
        ((float4*)c)[i] = make_float4(x.x + s * y.x, x.y + s * y.y, x.z + s * y.z, x.w + s * y.w);
      },
      [&](u64 i) { c[i] = a[i] + s * b[i]; });
}

// The first WRITTEN streams of p, all of them loaded before one is stored, as the optimizers do.
template <int WRITTEN> DEVICE void update(const float* g, float* const (&p)[WRITTEN], u64 words) {
  const float half = 0.5f;
  each(
      words,
      [&](u64 i) {
        float4 by = ((const float4*)g)[i], x[WRITTEN];
#pragma unroll
        for (int k = 0; k < WRITTEN; k++) x[k] = ((const float4*)p[k])[i];
#pragma unroll
        for (int k = 0; k < WRITTEN; k++)
          ((float4*)p[k])[i] =
              make_float4(half * x[k].x + by.x, half * x[k].y + by.y, half * x[k].z + by.z, half * x[k].w + by.w);
      },
      [&](u64 i) {
#pragma unroll
        for (int k = 0; k < WRITTEN; k++) p[k][i] = half * p[k][i] + g[i];
      });
}

extern "C" __global__ void __launch_bounds__(THREADS) peak_update1(const float* __restrict__ g, float* __restrict__ p, u64 words) {
  update<1>(g, {p}, words);
}

extern "C" __global__ void __launch_bounds__(THREADS)
peak_update2(const float* __restrict__ g, float* __restrict__ p, float* __restrict__ m, u64 words) {
  update<2>(g, {p, m}, words);
}

extern "C" __global__ void __launch_bounds__(THREADS)
peak_update3(const float* __restrict__ g, float* __restrict__ p, float* __restrict__ m, float* __restrict__ v, u64 words) {
  update<3>(g, {p, m, v}, words);
}
