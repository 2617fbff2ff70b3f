// matmul/mma: C[m, n] = A·B on tensor cores (mma.sync): bf16 with f32 sums (m16n8k16; result bf16 or f32), or int8 with i32 sums
//   and result (m16n8k32; only nt, as ldmatrix transposes 16-bit elements).
//
// Needs: sm_80; any sizes. Rows of an operand that are multiples of 16 bytes are copied 16 bytes at a time by cp.async, which
//   fills zeros in at the edges; others go through registers, element by element. Dynamic shared memory: the ring of STAGES
//   steps, (BM + BN)·BK·sizeof(IN) bytes each, or the result's BM·BN·sizeof(OUT) if larger. Ceiling: 255 registers at 128 threads.
// Ladder: rung 5. Copies run STAGES − 1 steps ahead without passing through registers; ldmatrix reads fragments of either
//   storage (transposing where k is not the contiguous direction); fragments of the next 16 k load while these multiply.
// Shared memory: lines of 16-byte chunks, chunk number xor line, so that the 8 lines of an ldmatrix phase hit all banks once, and
//   so do copies and the result's way through shared memory, which makes C's writes whole 128-byte lines.
// Bound: on A100 the tensor cores: a warp's 64×64×16 step reads (64 + 64)·16·2 bytes for 131072 flops, half of the shared-
//   memory rate at 2048 flops a cycle and SM. On H100 and H200 mma.sync reaches some 60 % of what wgmma does, which feeds the
//   tensor cores from shared memory itself: the next rung. Two blocks an SM (255 registers·128 threads, 64 KiB each) cover
//   each other's barriers and epilogues. Global: 128×128 tiles give 64 flops a byte of bf16, from L2 by the order of tiles.
// Least work: 2·m·n·k flops; m·k + k·n + m·n elements. Asks for m·n·k·(1/BM + 1/BN) elements.
// Ideas: CUTLASS, multistage mainloop and swizzled shared memory; A. Kerr, Developing CUDA Kernels to Push Tensor Cores to the
//   Absolute Limit on NVIDIA A100 (GTC 2020).
#include "common/tiles.cuh"
#include "matmul/operands.cuh"

#if !defined(BM) || !defined(BN) || !defined(BK) || !defined(STAGES) || !defined(WARPS_M) || !defined(WARPS_N) || \
    !defined(IN) || !defined(OUT)
#error "the row passes BM, BN, BK, STAGES, WARPS_M, WARPS_N, IN and OUT"
#endif
#define THREADS (WARPS_M * WARPS_N * 32)
#define WM (BM / WARPS_M)
#define WN (BN / WARPS_N)
#define CHUNK (16 / sizeof(IN)) // elements of 16 bytes
#define DEPTH (2 * CHUNK)       // k of one mma
static_assert(WM % 16 == 0 && WN % 16 == 0 && BK % DEPTH == 0, "warps take whole fragments");
static_assert(sizeof(IN) == 2 || (!TRANS_A && TRANS_B), "8-bit fragments are read as they are stored");
using Sum = SumOf<IN>::Type;

// One operand's step in shared memory: Rows of m or n by BK, in lines along the contiguous direction.
template <u32 Rows, bool KContiguous> struct Step {
  // An enum, as static members would become variables in the device's memory.
  enum : u32 { LINES = KContiguous ? Rows : BK, CHUNKS = (KContiguous ? BK : Rows) / CHUNK, BYTES = Rows * BK * sizeof(IN) };
  static_assert(CHUNKS == 4 || CHUNKS % 8 == 0, "the swizzle spreads 8 lines over 128-byte rows of banks");
  static_assert(LINES * CHUNKS % THREADS == 0, "threads copy whole chunks");

  static __device__ __forceinline__ u32 offset(u32 line, u32 chunk) {
    return (line * CHUNKS + (chunk ^ (CHUNKS == 4 ? line / 2 % 4 : line % 8))) * 16;
  }

  // Copies the step at (row0, k0) of a rows × k operand to `to`; what lies outside is zeros.
  static __device__ __forceinline__ void copy(u32 to, const IN* __restrict__ from, u32 row0, u32 k0, u32 rows, u32 k, bool wide) {
    u32 lines = KContiguous ? rows : k, length = KContiguous ? k : rows;
    u32 line0 = KContiguous ? row0 : k0, at0 = KContiguous ? k0 : row0;
#pragma unroll
    for (u32 i = 0; i < LINES * CHUNKS / THREADS; i++) {
      u32 q = threadIdx.x + i * THREADS, line = q / CHUNKS, chunk = q % CHUNKS;
      u32 at = at0 + chunk * CHUNK;
      const IN* p = from + (u64)(line0 + line) * length + at;
      bool in = line0 + line < lines && at < length;
      if (wide) {
        cp_async_16_zfill(to + offset(line, chunk), in ? p : from, in ? 16 : 0);
      } else {
        u32 word[4] = {};
#pragma unroll
        for (u32 e = 0; e < CHUNK; e++)
          if (in && at + e < length) word[e * sizeof(IN) / 4] |= bits(p[e]) << e * sizeof(IN) % 4 * 8;
        st_shared(to + offset(line, chunk), make_uint4(word[0], word[1], word[2], word[3]));
      }
    }
  }

  // Four matrices of 8 lines of 16 bytes: 16 rows from `row` by two chunks from `chunk` in k. RowsFirst: in the order (row, chunk)
  // = (0,0) (8,0) (0,1) (8,1), which is A's fragment; otherwise (0,0) (0,1) (8,0) (8,1), two fragments of B.
  template <bool RowsFirst> static __device__ __forceinline__ void fragments(u32 (&r)[4], u32 base, u32 row, u32 chunk, u32 lane) {
    u32 first = lane / 8 % 2, second = lane / 16;
    u32 at_row = row + (RowsFirst ? first : second) * 8, at_chunk = chunk + (RowsFirst ? second : first);
    if (KContiguous) ldmatrix_x4(r, base + offset(at_row + lane % 8, at_chunk));
    else ldmatrix_x4_trans(r, base + offset(at_chunk * 8 + lane % 8, at_row / 8));
  }
};

DEVICE bool wide_rows(const void* p, u32 bytes) { return bytes % 16 == 0 && (u64)p % 16 == 0; }

// The result's chunk in shared memory: pairs of columns are written down 8 rows, chunks are read along rows.
DEVICE u32 result_offset(u32 row, u32 chunk) {
  constexpr u32 CHUNKS = BN * sizeof(OUT) / 16;
  return (row * CHUNKS + (chunk ^ (sizeof(OUT) == 2 ? row % 8 : row % 4 * 2))) * 16;
}
DEVICE void store_pair(u32 base, u32 row, u32 column, Sum x, Sum y) {
  u32 at = base + result_offset(row, column * sizeof(OUT) / 16) + column * sizeof(OUT) % 16;
  if constexpr (sizeof(OUT) == 2) st_shared(at, pack_bf16(x, y));
  else st_shared(at, bits(x), bits(y));
}
// Element e of 16 bytes.
DEVICE OUT element(const u32 (&from)[4], u32 e) {
  if constexpr (sizeof(OUT) == 2) return {(u16)(from[e / 2] >> e % 2 * 16)};
  else return reinterpret_cast<const OUT&>(from[e]);
}

extern "C" __global__ void __launch_bounds__(THREADS)
matmul_mma(const IN* __restrict__ a, const IN* __restrict__ b, OUT* __restrict__ c, u32 m, u32 n, u32 k) {
  using StepA = Step<BM, !TRANS_A>;
  using StepB = Step<BN, TRANS_B>;
  extern __shared__ __align__(128) u8 shared[];
  u32 ring = shared_address(shared);
  Tile tile = tile_of<8>(blockIdx.x, ceil_div(m, BM), ceil_div(n, BN));
  u32 i0 = tile.m * BM, j0 = tile.n * BN;
  a += (u64)tile.product * m * k;
  b += (u64)tile.product * k * n;
  c += (u64)tile.product * m * n;
  bool wide_a = wide_rows(a, (TRANS_A ? m : k) * sizeof(IN)), wide_b = wide_rows(b, (TRANS_B ? k : n) * sizeof(IN));
  u32 steps = ceil_div(k, BK);
  auto copy = [&](u32 step) {
    if (step < steps) {
      u32 to = ring + step % STAGES * (StepA::BYTES + StepB::BYTES);
      StepA::copy(to, a, i0, step * BK, m, k, wide_a);
      StepB::copy(to + StepA::BYTES, b, j0, step * BK, n, k, wide_b);
    }
    cp_async_commit(); // also where nothing was copied: groups are counted
  };

  u32 warp = threadIdx.x / 32, lane = threadIdx.x % 32;
  u32 row = warp / WARPS_N * WM, column = warp % WARPS_N * WN;
  u32 frag_a[2][WM / 16][4], frag_b[2][WN / 16][4];
  Sum sum[WM / 16][WN / 8][4] = {};
  auto load = [&](u32 base, u32 p) {
#pragma unroll
    for (u32 i = 0; i < WM / 16; i++) StepA::fragments<true>(frag_a[p % 2][i], base, row + i * 16, p * 2, lane);
#pragma unroll
    for (u32 j = 0; j < WN / 16; j++) StepB::fragments<false>(frag_b[p % 2][j], base + StepA::BYTES, column + j * 16, p * 2, lane);
  };

#pragma unroll
  for (u32 step = 0; step < STAGES - 1; step++) copy(step);
  for (u32 step = 0; step < steps; step++) {
    cp_async_wait<STAGES - 2>();
    __syncthreads(); // everyone's copies of this step have landed, and nobody reads the stage that is overwritten next
    u32 base = ring + step % STAGES * (StepA::BYTES + StepB::BYTES);
    load(base, 0);
    copy(step + STAGES - 1);
#pragma unroll
    for (u32 p = 0; p < BK / DEPTH; p++) {
      if (p + 1 < BK / DEPTH) load(base, p + 1);
#pragma unroll
      for (u32 i = 0; i < WM / 16; i++)
#pragma unroll
        for (u32 j = 0; j < WN / 8; j++)
          multiply(sum[i][j], frag_a[p % 2][i], frag_b[p % 2][j / 2][j % 2 * 2], frag_b[p % 2][j / 2][j % 2 * 2 + 1]);
    }
  }

  cp_async_wait<0>();
  __syncthreads(); // the ring is free: the result takes its place
#pragma unroll
  for (u32 i = 0; i < WM / 16; i++)
#pragma unroll
    for (u32 j = 0; j < WN / 8; j++) {
      u32 at_row = row + i * 16 + lane / 4, at_column = column + j * 8 + lane % 4 * 2;
      store_pair(ring, at_row, at_column, sum[i][j][0], sum[i][j][1]);
      store_pair(ring, at_row + 8, at_column, sum[i][j][2], sum[i][j][3]);
    }
  __syncthreads();
  constexpr u32 PER = 16 / sizeof(OUT), CHUNKS = BN / PER;
  // Where rows of C are multiples of 16 bytes and begin at one, no chunk crosses a row's end: at < n has all of it inside.
  bool wide_c = wide_rows(c, n * sizeof(OUT));
#pragma unroll 4
  for (u32 q = threadIdx.x; q < BM * CHUNKS; q += THREADS) {
    u32 from_row = q / CHUNKS, chunk = q % CHUNKS, at = j0 + chunk * PER;
    uint4 x = ld_shared_v4(ring + result_offset(from_row, chunk));
    if (i0 + from_row >= m || at >= n) continue;
    OUT* to = c + (u64)(i0 + from_row) * n + at;
    if (wide_c) {
      *(uint4*)to = x;
    } else {
      u32 from[4] = {x.x, x.y, x.z, x.w};
#pragma unroll
      for (u32 e = 0; e < PER; e++)
        if (at + e < n) to[e] = element(from, e);
    }
  }
}
