// attention/flash-mma backward: dQ, dK and dV from the output and the log-sum-exp that the forward pass saved.
//
// Three launches: D = Σ dO∘O of each query; dK and dV, a block for each BKV keys of a KV head, which goes over the queries of all
// heads of its group that see them; dQ, a block for each BDQ queries, which goes over the keys. Both compute the scores again:
// seven products where the sharing of dS between blocks would need five, but no atomics: the same bits in every run.
//
// dK and dV work on transposed scores, Sᵀ = K·Qᵀ and dPᵀ = V·dOᵀ, a warp owning rows of keys: Pᵀ and dSᵀ are then A operands of
// dV = Pᵀ·dO and dK = dSᵀ·Q where they are, in registers. dQ does the same with rows of queries.
// Needs: as forward. Dynamic shared memory: 2·BKV·D·2 bytes for the keys and values, and two steps of BQ rows of Q and dO
//   (4·BQ·D·2) with 16·BQ bytes of log-sum-exp and D; dQ the same the other way round. 97 KiB at D = 128.
//   Ceiling: 255 registers at 128 threads.
// Bound (H100 SXM): mma.sync as forward, with 16 instead of 32 rows a warp at D = 128, where two accumulators of D columns fill the
//   registers: a fragment feeds half the work, and shared memory at 128 bytes a cycle holds the products to some 930 fma a cycle and
//   SM, under half of the peak. Seven products for the five that count: 200 to 250 TFLOP/s of least work are to be expected.
// Least work: 2·pairs·5·D flops; Q, K, V, O, dO and log-sum-exp read once, dQ, dK and dV written once.
// Ideas: T. Dao, FlashAttention-2 (2023), section 3.1.2; the form of two kernels without atomics as in Triton's
//   fused-attention tutorial.
#if !defined(BKV) || !defined(BQ) || !defined(BDQ) || !defined(BDK)
#error "the row passes BKV, BQ, BDQ and BDK for a backward pass"
#endif

// Two rows of two tiles and two numbers a query: one step of a ring.
template <u32 Rows> struct Pair {
  enum : u32 { TILE = Rows * ROW_BYTES, BYTES = 2 * TILE };
};

// Two neighbouring elements, of which the first has an even number.
DEVICE float2 pair_at(const bf16* x) {
  u32 pair = *(const u32*)x;
  return {bf16_low(pair), bf16_high(pair)};
}
DEVICE float2 pair_at(const float* x) { return *(const float2*)x; }

// One warp a query row: D in f32.
extern "C" __global__ void __launch_bounds__(WARPS * 32)
attention_flash_delta(const bf16* __restrict__ dout, const OUT* __restrict__ out, float* __restrict__ delta, u32 rows) {
  u32 row = blockIdx.x * WARPS + threadIdx.x / 32, lane = lane_id();
  if (row >= rows) return;
  float sum = 0;
#pragma unroll
  for (u32 i = 0; i < HEAD_DIM / 64; i++) {
    u64 at = (u64)row * HEAD_DIM + i * 64 + lane * 2;
    float2 x = pair_at(dout + at), y = pair_at(out + at);
    sum = fmaf(x.x, y.x, sum);
    sum = fmaf(x.y, y.y, sum);
  }
  sum = lanes_sum(sum);
  if (lane == 0) delta[row] = sum;
}

extern "C" __global__ void __launch_bounds__(WARPS * 32)
attention_flash_gradient_keys(const bf16* __restrict__ q, const bf16* __restrict__ k, const bf16* __restrict__ v,
                              const bf16* __restrict__ dout, OUT* __restrict__ dk, OUT* __restrict__ dv,
                              const float* __restrict__ lse, const float* __restrict__ delta, u32 group, u32 seq_q, u32 seq_kv,
                              u32 causal, float scale) {
  constexpr u32 M = BKV / WARPS / 16, N = BQ / 8, STEP = Pair<BQ>::BYTES + 2 * BQ * 4;
  static_assert(M * WARPS * 16 == BKV && BQ % 16 == 0, "warps take whole fragments");
  static_assert(2 * BQ <= WARPS * 32, "a thread copies one number of a step");
  extern __shared__ __align__(ROW_BYTES) u8 shared[];
  u32 keys = shared_address(shared), values = keys + BKV * ROW_BYTES, ring = values + BKV * ROW_BYTES;
  u32 blocks = (seq_kv + BKV - 1) / BKV, kv_head = blockIdx.x / blocks, first = blockIdx.x % blocks * BKV;
  // The steps of each head of the group that see a key of the block, from its first query on.
  u32 begin = first_query(first, seq_q, seq_kv, causal) / BQ, each = (seq_q + BQ - 1) / BQ - begin, steps = each * group;
  auto copy = [&](u32 step) {
    if (step < steps) {
      u32 to = ring + step % 2 * STEP, at = (begin + step % each) * BQ;
      u64 rows = (u64)(kv_head * group + step / each) * seq_q;
      copy_tile<BQ>(to, q + rows * HEAD_DIM, at, seq_q);
      copy_tile<BQ>(to + Pair<BQ>::TILE, dout + rows * HEAD_DIM, at, seq_q);
      u32 i = threadIdx.x % BQ;
      const float* from = (threadIdx.x < BQ ? lse : delta) + rows;
      if (threadIdx.x < 2 * BQ)
        cp_async_4_zfill(to + Pair<BQ>::BYTES + threadIdx.x * 4, at + i < seq_q ? from + at + i : from, at + i < seq_q ? 4 : 0);
    }
    cp_async_commit(); // also where nothing was copied: groups are counted
  };
  copy_tile<BKV>(keys, k + (u64)kv_head * seq_kv * HEAD_DIM, first, seq_kv);
  copy_tile<BKV>(values, v + (u64)kv_head * seq_kv * HEAD_DIM, first, seq_kv);
  copy(0);

  u32 lane = lane_id(), row = threadIdx.x / 32 * M * 16;
  float sum_k[M][CHUNKS][4] = {}, sum_v[M][CHUNKS][4] = {};
  for (u32 step = 0; step < steps; step++) {
    cp_async_wait<0>();
    __syncthreads(); // everyone's copies of this step have landed, and nobody reads the step that is overwritten next
    copy(step + 1);
    u32 queries = ring + step % 2 * STEP, gradients = queries + Pair<BQ>::TILE, numbers = gradients + Pair<BQ>::TILE;
    u32 query = (begin + step % each) * BQ;
    // No query of the step sees a key of the warp.
    if (first + row >= visible_keys(min(query + BQ, seq_q) - 1, seq_q, seq_kv, causal)) continue;
    float p[M][N][4], ds[M][N][4];
    product_with_rows<M, N>(p, a_lane(keys, row), queries);
    product_with_rows<M, N>(ds, a_lane(values, row), gradients);
    if (first + row + M * 16 > visible_keys(query, seq_q, seq_kv, causal)) {
#pragma unroll
      for (u32 j = 0; j < N; j++)
#pragma unroll
        for (u32 e = 0; e < 2; e++) {
          u32 seen = visible_keys(query + j * 8 + lane % 4 * 2 + e, seq_q, seq_kv, causal);
#pragma unroll
          for (u32 m = 0; m < M; m++)
#pragma unroll
            for (u32 half = 0; half < 2; half++)
              if (first + row + m * 16 + half * 8 + lane / 4 >= seen) p[m][j][half * 2 + e] = minus_infinity();
        }
    }
#pragma unroll
    for (u32 j = 0; j < N; j++) {
      float2 shift = ld_shared_f32x2(numbers + (j * 8 + lane % 4 * 2) * 4);
      float2 d = ld_shared_f32x2(numbers + (BQ + j * 8 + lane % 4 * 2) * 4);
#pragma unroll
      for (u32 m = 0; m < M; m++)
#pragma unroll
        for (u32 e = 0; e < 4; e++) {
          p[m][j][e] = ex2_approx_ftz(fmaf(p[m][j][e], scale * LOG2_E, -LOG2_E * (e % 2 ? shift.y : shift.x)));
          ds[m][j][e] = p[m][j][e] * (ds[m][j][e] - (e % 2 ? d.y : d.x));
        }
    }
    add_product<M, N>(sum_v, p, gradients);
    add_product<M, N>(sum_k, ds, queries);
  }
  if (first + row >= seq_kv) return;
  u64 at = ((u64)kv_head * seq_kv + first) * HEAD_DIM;
  store_rows<M>(dk + at, sum_k, keys, row, seq_kv - first, [&](u32, u32) { return scale; });
  store_rows<M>(dv + at, sum_v, values, row, seq_kv - first, [&](u32, u32) { return 1.f; });
}

extern "C" __global__ void __launch_bounds__(WARPS * 32)
attention_flash_gradient_queries(const bf16* __restrict__ q, const bf16* __restrict__ k, const bf16* __restrict__ v,
                                 const bf16* __restrict__ dout, OUT* __restrict__ dq, const float* __restrict__ lse,
                                 const float* __restrict__ delta, u32 group, u32 seq_q, u32 seq_kv, u32 causal, float scale) {
  constexpr u32 M = BDQ / WARPS / 16, N = BDK / 8;
  static_assert(M * WARPS * 16 == BDQ && BDK % 16 == 0, "warps take whole fragments");
  extern __shared__ __align__(ROW_BYTES) u8 shared[];
  u32 queries = shared_address(shared), gradients = queries + BDQ * ROW_BYTES, ring = gradients + BDQ * ROW_BYTES;
  u32 blocks = (seq_q + BDQ - 1) / BDQ, head = blockIdx.x / blocks, first = (blocks - 1 - blockIdx.x % blocks) * BDQ;
  u64 keys_of_head = (u64)(head / group) * seq_kv * HEAD_DIM, row0 = (u64)head * seq_q;
  u32 tiles = (visible_keys(min(first + BDQ, seq_q) - 1, seq_q, seq_kv, causal) + BDK - 1) / BDK;
  auto copy = [&](u32 tile) {
    if (tile < tiles) {
      u32 to = ring + tile % 2 * Pair<BDK>::BYTES;
      copy_tile<BDK>(to, k + keys_of_head, tile * BDK, seq_kv);
      copy_tile<BDK>(to + Pair<BDK>::TILE, v + keys_of_head, tile * BDK, seq_kv);
    }
    cp_async_commit(); // also where nothing was copied: groups are counted
  };
  copy_tile<BDQ>(queries, q + row0 * HEAD_DIM, first, seq_q);
  copy_tile<BDQ>(gradients, dout + row0 * HEAD_DIM, first, seq_q);
  copy(0);

  u32 lane = lane_id(), row = threadIdx.x / 32 * M * 16;
  float shift[M][2], d[M][2];
#pragma unroll
  for (u32 m = 0; m < M; m++)
#pragma unroll
    for (u32 half = 0; half < 2; half++) {
      u32 i = first + row + m * 16 + half * 8 + lane / 4;
      shift[m][half] = i < seq_q ? lse[row0 + i] * LOG2_E : 0.f;
      d[m][half] = i < seq_q ? delta[row0 + i] : 0.f;
    }
  u32 last = min(first + row + M * 16, seq_q);
  u32 most_seen = last > first + row ? visible_keys(last - 1, seq_q, seq_kv, causal) : 0;
  u32 least_seen = visible_keys(first + row, seq_q, seq_kv, causal);
  float sum[M][CHUNKS][4] = {};
  for (u32 tile = 0; tile < tiles; tile++) {
    cp_async_wait<0>();
    __syncthreads(); // as above
    copy(tile + 1);
    u32 key = tile * BDK, keys = ring + tile % 2 * Pair<BDK>::BYTES;
    if (key >= most_seen) continue;
    float s[M][N][4], ds[M][N][4];
    product_with_rows<M, N>(s, a_lane(queries, row), keys);
    if (key + BDK > least_seen) hide_keys(s, first + row, key, seq_q, seq_kv, causal);
    product_with_rows<M, N>(ds, a_lane(gradients, row), keys + Pair<BDK>::TILE);
#pragma unroll
    for (u32 m = 0; m < M; m++)
#pragma unroll
      for (u32 j = 0; j < N; j++)
#pragma unroll
        for (u32 e = 0; e < 4; e++) {
          float p = ex2_approx_ftz(fmaf(s[m][j][e], scale * LOG2_E, -shift[m][e / 2]));
          ds[m][j][e] = p * (ds[m][j][e] - d[m][e / 2]);
        }
    add_product<M, N>(sum, ds, keys);
  }
  if (first + row >= seq_q) return;
  store_rows<M>(dq + (row0 + first) * HEAD_DIM, sum, queries, row, seq_q - first, [&](u32, u32) { return scale; });
}
