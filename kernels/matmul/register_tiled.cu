// matmul/register-tiled: f32 C[m, n] = A·B; 256 threads a BM×BN tile of C, 8×8 entries a thread in registers.
//
// Needs: any architecture, any sizes; 16-byte accesses where rows are multiples of 4 elements, single ones otherwise.
//   BM = BN = 128: 2 warps down, 4 across, each 64×32. Static shared memory: 2·BK·(BM + BN + 8)·4 bytes. Ceiling: 128
//   registers, so that two blocks share an SM.
// Ladder: rung 4, the best that fp32 pipes do. Global loads of the next BK-deep step travel in registers while this one is
//   computed, then go to the other of two buffers in shared memory: one barrier a step.
// Bound (H100, H200): fp32 issue. A warp's step of k loads 64 + 32 floats for 64·32 fmas: 4 loads, between 3 wavefronts (their
//   distinct bytes) and 16 (a quarter of a warp each), for 64 fmas that take 16 cycles of an SM.
//   Global: 128 tiles give 32 flops a byte. 16 warps of the 64 that fit, so that latency is hidden by 64 independent fmas a thread. What is left below the peak: loads and addresses
//   in the issue slots, barriers, the tail of the last wave. The next rung multiplies by tensor cores.
// Shared memory is k-major for both operands; an operand contiguous in k is turned on its way there: with 4 floats of padding
//   and BK = 8 its 32 lanes (16 rows × 2 quarters) hit 32 banks.
// Least work: 2·m·n·k flops; m·k + k·n + m·n elements. Asks for m·n·k·(1/BM + 1/BN) elements.
// Ideas: V. Volkov and J. Demmel (2008); CUTLASS, SIMT gemm with warp tiles; S. Boehm (2022), kernels 5 to 10.
#include "common/tiles.cuh"
#include "matmul/operands.cuh"

#if !defined(BM) || !defined(BN) || !defined(BK)
#error "the row passes BM, BN and BK"
#endif
#define THREADS 256
#define PAD 4
// Compilers for sm_100 and later pair registers for packed fmas, and do not keep to 128 where more is unrolled.
#define UNROLL (__CUDA_ARCH__ >= 1000 ? 2 : BK)
static_assert(BM == 128 && BN == 128 && BK % 4 == 0 && BK * 128 % (4 * THREADS) == 0, "8 warps of 64×32, 8×8 a thread");

DEVICE bool wide_rows(const float* p, u32 length) { return length % 4 == 0 && (u64)p % 16 == 0; }

// A step of one operand on its way from global memory to shared: Rows of m or n by BK, four elements at a time along the
// contiguous direction.
template <u32 Rows, bool KContiguous> struct Panel {
  enum : u32 { VECTORS = Rows * BK / 4 / THREADS };
  const float* p[VECTORS]; // where this thread reads next
  float4 v[VECTORS];
  u32 rows_left; // from the tile's first on
  u32 length;    // of a row of the storage
  bool wide;     // rows of the storage are multiples of 4 elements and 16 bytes aligned

  static __device__ __forceinline__ u32 row_of(u32 i) {
    u32 vector = threadIdx.x + i * THREADS;
    return KContiguous ? vector / (BK / 4) : vector % (Rows / 4) * 4;
  }
  static __device__ __forceinline__ u32 k_of(u32 i) {
    u32 vector = threadIdx.x + i * THREADS;
    return KContiguous ? vector % (BK / 4) * 4 : vector / (Rows / 4);
  }

  __device__ __forceinline__ void start(const float* __restrict__ from, u32 row0, u32 rows, u32 k) {
    rows_left = rows - row0;
    length = KContiguous ? k : rows;
    wide = wide_rows(from, length);
#pragma unroll
    for (u32 i = 0; i < VECTORS; i++) {
      // Rows past the last read the last one: what they add goes to entries that are not written.
      u32 line = KContiguous ? min(row0 + row_of(i), rows - 1) : k_of(i), at = KContiguous ? k_of(i) : row0 + row_of(i);
      p[i] = from + (u64)line * length + at;
    }
  }

  // Loads the next step, of which `k_left` lie inside; beyond are zeros.
  __device__ __forceinline__ void load(u32 k_left) {
#pragma unroll
    for (u32 i = 0; i < VECTORS; i++) {
      u32 at = KContiguous ? k_of(i) : row_of(i), end = KContiguous ? k_left : rows_left;
      bool in = KContiguous || k_of(i) < k_left;
      v[i] = make_float4(0, 0, 0, 0);
      if (wide) {
        if (in && at < end) v[i] = __ldg((const float4*)p[i]);
      } else if (in) {
        if (at < end) v[i].x = __ldg(p[i]);
        if (at + 1 < end) v[i].y = __ldg(p[i] + 1);
        if (at + 2 < end) v[i].z = __ldg(p[i] + 2);
        if (at + 3 < end) v[i].w = __ldg(p[i] + 3);
      }
      p[i] += KContiguous ? BK : (u64)BK * length;
    }
  }

  __device__ __forceinline__ void store(float (*to)[Rows + PAD]) const {
#pragma unroll
    for (u32 i = 0; i < VECTORS; i++) {
      u32 row = row_of(i), at = k_of(i);
      if (KContiguous) {
        to[at][row] = v[i].x;
        to[at + 1][row] = v[i].y;
        to[at + 2][row] = v[i].z;
        to[at + 3][row] = v[i].w;
      } else {
        *(float4*)&to[at][row] = v[i];
      }
    }
  }
};

DEVICE void load_8(float (&to)[8], const float* first, const float* second) {
  float4 x = *(const float4*)first, y = *(const float4*)second;
  to[0] = x.x, to[1] = x.y, to[2] = x.z, to[3] = x.w, to[4] = y.x, to[5] = y.y, to[6] = y.z, to[7] = y.w;
}

extern "C" __global__ void __launch_bounds__(THREADS, 2)
matmul_register_tiled(const float* __restrict__ a, const float* __restrict__ b, float* __restrict__ c, u32 m, u32 n, u32 k) {
  __shared__ __align__(16) float tile_a[2][BK][BM + PAD];
  __shared__ __align__(16) float tile_b[2][BK][BN + PAD];
  Tile tile = tile_of<8>(blockIdx.x, ceil_div(m, BM), ceil_div(n, BN));
  u32 i0 = tile.m * BM, j0 = tile.n * BN;
  a += (u64)tile.product * m * k;
  b += (u64)tile.product * k * n;
  c += (u64)tile.product * m * n;

  Panel<BM, !TRANS_A> next_a;
  Panel<BN, TRANS_B> next_b;
  next_a.start(a, i0, m, k);
  next_b.start(b, j0, n, k);
  next_a.load(k);
  next_b.load(k);
  next_a.store(tile_a[0]);
  next_b.store(tile_b[0]);
  __syncthreads();

  // A warp's 64×32 entries are 2×2 quarters of 32×16; 8×4 lanes take 4×4 of each.
  u32 warp = threadIdx.x / 32, lane = threadIdx.x % 32;
  u32 row = warp / 4 * 64 + lane / 4 * 4, column = warp % 4 * 32 + lane % 4 * 4;
  float sum[8][8] = {};
  u32 steps = ceil_div(k, BK);
#pragma unroll 1
  for (u32 step = 0; step < steps; step++) {
    u32 now = step % 2;
    bool more = step + 1 < steps;
    if (more) {
      next_a.load(k - (step + 1) * BK);
      next_b.load(k - (step + 1) * BK);
    }
#pragma unroll UNROLL
    for (u32 p = 0; p < BK; p++) {
      float x[8], y[8];
      load_8(x, &tile_a[now][p][row], &tile_a[now][p][row + 32]);
      load_8(y, &tile_b[now][p][column], &tile_b[now][p][column + 16]);
#pragma unroll
      for (u32 i = 0; i < 8; i++)
#pragma unroll
        for (u32 j = 0; j < 8; j++) sum[i][j] = fmaf(x[i], y[j], sum[i][j]);
    }
    if (more) {
      // The other buffer was last read before the barrier that ended the step before this one.
      next_a.store(tile_a[1 - now]);
      next_b.store(tile_b[1 - now]);
      __syncthreads();
    }
  }

  bool wide_c = wide_rows(c, n);
#pragma unroll
  for (u32 i = 0; i < 8; i++) {
    u32 to_row = i0 + row + i % 4 + i / 4 * 32;
    if (to_row >= m) continue;
#pragma unroll
    for (u32 half = 0; half < 2; half++) {
      u32 to_column = j0 + column + half * 16;
      float* to = c + (u64)to_row * n + to_column;
      const float* from = &sum[i][half * 4];
      if (wide_c) {
        if (to_column < n) *(float4*)to = make_float4(from[0], from[1], from[2], from[3]);
      } else {
#pragma unroll
        for (u32 e = 0; e < 4; e++)
          if (to_column + e < n) to[e] = from[e];
      }
    }
  }
}
