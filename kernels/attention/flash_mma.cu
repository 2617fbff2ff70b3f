// attention/flash-mma: tiled online softmax on tensor cores (mma.sync m16n8k16, bf16 with f32 sums), forward; with BACKWARD also
//   the gradients, see flash_mma_backward.cuh.
//
// A block takes BM queries of one head and goes over the keys they see, BN at a time. Each warp has BM / WARPS queries, whole
// rows of scores, so that the softmax needs no other warp: scores stay in registers, become the A operand of the second product
// there, and O is divided once at the end. It is scaled only when a row's maximum has grown by 2^8 since it was scaled last, which
// after the first tiles is rare: at 128 fma a lane and tile it would cost a quarter of the products' time on sm_80.
//
// Needs: sm_80; bf16 operands, bf16 or f32 result (OUT), head_dim (D) 64 or 128 for keys and values alike, any lengths, causal or
//   not, grouped queries. Dynamic shared memory: (BM + 4·BN)·D·2 bytes, 64 KiB at D = 128 (BN = 32, so that no register spills on any
//   architecture) and 48 at 64. Ceiling: 255 registers at 128 threads, two blocks a multiprocessor.
// Ladder: rung 3. Against online-softmax: products on tensor cores, keys and values as bf16 through cp.async, two tiles of each,
//   so that the next tile's copies run under this one's products with one barrier a tile.
// Shared memory: rows of D in swizzled chunks (flash.cuh); the simulator counts no bank conflict in either pass, and no global sector
//   beyond the ideal. The 512 bytes of two fragments of K or V serve a warp's 32 queries; with the queries' own fragments, read
//   again for each tile, 128 bytes a cycle feed 1365 fma a cycle and SM at D = 128, 1638 at 64: above what mma.sync does (1024 on
//   an A100, some 1250 on an H100).
// Causal: tiles beyond the last query of the block are not loaded, those beyond a warp's are not computed, and only tiles that the
//   mask or the end of the keys cuts are masked. Blocks of a head begin with the last queries, which have the most to do.
// Bound (H100 SXM, D = 128): mma.sync, some 60 % of the 989 TFLOP/s that wgmma reaches. An exponential (16 a cycle and SM) for each
//   4·D flops takes a third of the products' time at that rate, and the SM's other block hides part of it: 350 TFLOP/s are to be
//   expected, what FlashAttention-2 reaches, and 250 at D = 64. Bytes do not bind: seq_kv / 2 flops for each of Q, K, V and O.
// Least work: 2·pairs·2·D flops; Q, K, V and O once.
// Ideas: T. Dao et al., FlashAttention (2022); T. Dao, FlashAttention-2 (2023): rows split over warps, division last, log-sum-exp
//   saved; FlashAttention-4 (2025): scaling only where it is needed; exponentials as 2^x with the scale in one fma; swizzled shared
//   memory as in CUTLASS.
#if !defined(BM) || !defined(BN) || !defined(OUT) || !defined(SAVE_LSE) || !defined(BACKWARD)
#error "the row passes HEAD_DIM, WARPS, BM, BN, OUT, SAVE_LSE and BACKWARD"
#endif
#include "attention/flash.cuh"
#include "attention/shape.cuh"

constexpr u32 TILES = BM / WARPS / 16; // of 16 queries, a warp
static_assert(TILES * WARPS * 16 == BM && BN % 16 == 0, "warps take whole fragments");

// Minus infinity for the scores that the mask or the end of the keys hides: rows are queries from `query` on, columns keys from `key`.
template <u32 Tiles, u32 N>
DEVICE void hide_keys(float (&s)[Tiles][N][4], u32 query, u32 key, u32 seq_q, u32 seq_kv, u32 causal) {
#pragma unroll
  for (u32 i = 0; i < Tiles; i++)
#pragma unroll
    for (u32 half = 0; half < 2; half++) {
      u32 seen = visible_keys(query + i * 16 + half * 8 + lane_id() / 4, seq_q, seq_kv, causal);
      i32 left = (i32)(seen - key - lane_id() % 4 * 2); // from the lane's first key of the tile to the first that is hidden
#pragma unroll
      for (u32 j = 0; j < N; j++)
#pragma unroll
        for (u32 e = 0; e < 2; e++)
          if ((i32)(j * 8 + e) >= left) s[i][j][half * 2 + e] = minus_infinity();
    }
}

// The running softmax of a lane's rows: maxima over the row's four lanes, sums of its own columns only until the end.
struct Softmax {
  float most[TILES][2], sum[TILES][2];
};

// Turns raw scores into exp(scale·(score − maximum)) and adds them up. The maximum is that of an earlier tile as long as no row of
// the warp exceeds it by a factor of 2^SLACK, which bf16 and f32 hold as exactly; then nothing summed so far has to be scaled.
DEVICE void softmax_step(Softmax& rows, float (&s)[TILES][BN / 8][4], float (&out)[TILES][CHUNKS][4], float scale_log2) {
  constexpr float SLACK = 8;
  float most[TILES][2];
  bool grown = false;
#pragma unroll
  for (u32 i = 0; i < TILES; i++)
#pragma unroll
    for (u32 half = 0; half < 2; half++) {
      most[i][half] = rows.most[i][half];
#pragma unroll
      for (u32 j = 0; j < BN / 8; j++) most[i][half] = fmaxf(most[i][half], fmaxf(s[i][j][half * 2], s[i][j][half * 2 + 1]));
      most[i][half] = lanes_max<4>(most[i][half]); // finite: the first tile has a key that every query sees
      grown |= (most[i][half] - rows.most[i][half]) * scale_log2 > SLACK;
    }
  if (__any_sync(0xffffffffu, grown)) {
#pragma unroll
    for (u32 i = 0; i < TILES; i++)
#pragma unroll
      for (u32 half = 0; half < 2; half++) {
        float factor = ex2_approx_ftz((rows.most[i][half] - most[i][half]) * scale_log2);
        rows.most[i][half] = most[i][half];
        rows.sum[i][half] *= factor;
#pragma unroll
        for (u32 j = 0; j < CHUNKS; j++) {
          out[i][j][half * 2] *= factor;
          out[i][j][half * 2 + 1] *= factor;
        }
      }
  }
#pragma unroll
  for (u32 i = 0; i < TILES; i++)
#pragma unroll
    for (u32 half = 0; half < 2; half++) {
      float shift = rows.most[i][half] * scale_log2;
#pragma unroll
      for (u32 j = 0; j < BN / 8; j++)
#pragma unroll
        for (u32 e = half * 2; e < half * 2 + 2; e++) {
          s[i][j][e] = ex2_approx_ftz(fmaf(s[i][j][e], scale_log2, -shift));
          rows.sum[i][half] += s[i][j][e];
        }
    }
}

extern "C" __global__ void __launch_bounds__(WARPS * 32)
attention_flash_mma(const bf16* __restrict__ q, const bf16* __restrict__ k, const bf16* __restrict__ v, OUT* __restrict__ out,
#if SAVE_LSE
                    float* __restrict__ lse,
#endif
                    u32 group, u32 seq_q, u32 seq_kv, u32 causal, float scale) {
  constexpr u32 KEYS = BN * ROW_BYTES; // bytes of a tile of K or V
  extern __shared__ __align__(ROW_BYTES) u8 shared[];
  u32 queries = shared_address(shared), ring = queries + BM * ROW_BYTES;
  u32 blocks = (seq_q + BM - 1) / BM, head = blockIdx.x / blocks, first = (blocks - 1 - blockIdx.x % blocks) * BM;
  q += (u64)head * seq_q * HEAD_DIM;
  k += (u64)(head / group) * seq_kv * HEAD_DIM;
  v += (u64)(head / group) * seq_kv * HEAD_DIM;
  u32 tiles = (visible_keys(min(first + BM, seq_q) - 1, seq_q, seq_kv, causal) + BN - 1) / BN;
  auto copy = [&](u32 tile) {
    if (tile < tiles) {
      u32 to = ring + tile % 2 * 2 * KEYS;
      copy_tile<BN>(to, k, tile * BN, seq_kv);
      copy_tile<BN>(to + KEYS, v, tile * BN, seq_kv);
    }
    cp_async_commit(); // also where nothing was copied: groups are counted
  };
  copy_tile<BM>(queries, q, first, seq_q);
  copy(0);

  u32 lane = lane_id(), row = threadIdx.x / 32 * TILES * 16, mine = a_lane(queries, row);
  // The keys that none of the warp's queries sees, and those that all of them see.
  u32 last = min(first + row + TILES * 16, seq_q);
  u32 most_seen = last > first + row ? visible_keys(last - 1, seq_q, seq_kv, causal) : 0;
  u32 least_seen = visible_keys(first + row, seq_q, seq_kv, causal);
  float sum[TILES][CHUNKS][4] = {};
  Softmax rows;
#pragma unroll
  for (u32 i = 0; i < TILES; i++)
#pragma unroll
    for (u32 half = 0; half < 2; half++) {
      rows.most[i][half] = minus_infinity();
      rows.sum[i][half] = 0;
    }

  for (u32 tile = 0; tile < tiles; tile++) {
    cp_async_wait<0>();
    __syncthreads(); // everyone's copies of this tile have landed, and nobody reads the tiles that are overwritten next
    copy(tile + 1);
    u32 key = tile * BN, keys = ring + tile % 2 * 2 * KEYS;
    if (key >= most_seen) continue;
    float s[TILES][BN / 8][4];
    product_with_rows<TILES, BN / 8>(s, mine, keys);
    if (key + BN > least_seen) hide_keys(s, first + row, key, seq_q, seq_kv, causal);
    softmax_step(rows, s, sum, scale * LOG2_E);
    add_product<TILES, BN / 8>(sum, s, keys + KEYS);
  }

#pragma unroll
  for (u32 i = 0; i < TILES; i++)
#pragma unroll
    for (u32 half = 0; half < 2; half++) {
      float total = lanes_sum<4>(rows.sum[i][half]);
      rows.sum[i][half] = rcp_approx_ftz(total);
#if SAVE_LSE
      u32 at = first + row + i * 16 + half * 8 + lane / 4;
      if (lane % 4 == 0 && at < seq_q) lse[(u64)head * seq_q + at] = rows.most[i][half] * scale + logf(total);
#endif
    }
  if (first + row >= seq_q) return;
  out += ((u64)head * seq_q + first) * HEAD_DIM;
  store_rows<TILES>(out, sum, queries, row, seq_q - first, [&](u32 i, u32 half) { return rows.sum[i][half]; });
}

#if BACKWARD
#include "attention/flash_mma_backward.cuh"
#endif
