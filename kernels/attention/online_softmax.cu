// attention/online-softmax: one pass over the keys and no score matrix: each warp holds a query's running softmax and output.
//
// A block takes WARPS neighbouring queries of one head and goes over the keys that they see, 32 at a time, K and V in shared memory
// as f32. A lane scores one key of the 32; the warp agrees on the new maximum and weights; then lanes take columns of V.
// Needs: any architecture; f32 or bf16 operands (IN; K and V: CACHE) and result (OUT); forward and decode; any lengths, causal or
//   not, grouped queries; head sizes whose tiles fit 48 KiB: 4·(32·(head_dim_qk | 1) + 32·head_dim_v + WARPS·head_dim_qk) bytes of
//   dynamic shared memory, with head_dim_v up to 32·COLUMNS. Ceiling: 80 registers.
// Ladder: rung 2. Against naive: the matrix of scores never exists, so that bytes are those of K and V once for each WARPS
//   queries, and the softmax is one pass, its rescaling one fma a column for each 32 keys.
// Shared memory: rows of K are an odd number of words apart, so that 32 lanes read 32 rows at once without conflicts; V is read
//   along rows, queries are broadcast.
// Bound (H100): shared memory. Each fma of a lane reads 4 bytes, and a multiprocessor delivers 128 a cycle: one warp's fma a
//   cycle where its pipes do four, a quarter of the 67 TFLOP/s of fp32, less the broadcast of the query (every second load of the
//   first product) and one shuffle a key: some 10 TFLOP/s. What removes that bound is a tile of queries a warp, in fragments:
//   the next rung.
// Least work: 2·pairs·(head_dim_qk + head_dim_v) flops; Q, K, V and O once. Reads K and V seq_q / WARPS times, from L2.
// Ideas: M. Milakov, N. Gimelshein, Online normalizer calculation for softmax (2018); M. Rabe, C. Staats, Self-attention does not
//   need O(n²) memory (2021); T. Dao et al., FlashAttention (2022).
#include "attention/shape.cuh"
#include "common/softmax.cuh"

#if !defined(IN) || !defined(CACHE) || !defined(OUT) || !defined(WARPS) || !defined(COLUMNS)
#error "the row passes IN, CACHE, OUT, WARPS and COLUMNS"
#endif

// Widens `count` rows of `from` to rows of `stride` floats.
template <class T> DEVICE void stage(float* to, const T* __restrict__ from, u32 count, u32 head_dim, u32 stride) {
  for (u32 i = threadIdx.x; i < count * head_dim; i += WARPS * 32) to[i / head_dim * stride + i % head_dim] = to_f32(from[i]);
}

extern "C" __global__ void __launch_bounds__(WARPS * 32, 3)
attention_online_softmax(const IN* __restrict__ q, const CACHE* __restrict__ k, const CACHE* __restrict__ v, OUT* __restrict__ out,
                         u32 group, u32 seq_q, u32 seq_kv, u32 head_dim_qk, u32 head_dim_v, u32 causal, float scale) {
  extern __shared__ float shared[];
  u32 stride = head_dim_qk | 1;
  float *keys = shared, *values = keys + 32 * stride, *queries = values + 32 * head_dim_v;
  u32 warp = threadIdx.x / 32, lane = threadIdx.x % 32;
  u32 blocks = (seq_q + WARPS - 1) / WARPS, head = blockIdx.x / blocks, first = blockIdx.x % blocks * WARPS;
  u64 row = (u64)head * seq_q + first;
  k += (u64)(head / group) * seq_kv * head_dim_qk;
  v += (u64)(head / group) * seq_kv * head_dim_v;
  u32 here = min((u32)WARPS, seq_q - first); // queries of this block
  stage(queries, q + row * head_dim_qk, here, head_dim_qk, head_dim_qk);

  bool works = warp < here;
  u32 seen = works ? visible_keys(first + warp, seq_q, seq_kv, causal) : 0;
  u32 all = visible_keys(first + here - 1, seq_q, seq_kv, causal);
  const float* query = queries + warp * head_dim_qk;
  float most = minus_infinity(), total = 0, sum[COLUMNS] = {};
  for (u32 key = 0; key < all; key += 32) {
    u32 count = min(32u, all - key);
    __syncthreads(); // nobody reads the last tile any more
    stage(keys, k + (u64)key * head_dim_qk, count, head_dim_qk, stride);
    stage(values, v + (u64)key * head_dim_v, count, head_dim_v, head_dim_v);
    __syncthreads();
    if (key >= seen) continue;
    count = min(count, seen - key);
    float score = minus_infinity();
    if (lane < count) {
      score = 0;
      for (u32 p = 0; p < head_dim_qk; p++) score = fmaf(query[p], keys[lane * stride + p], score);
      score *= scale * LOG2_E;
    }
    float before = most;
    most = fmaxf(most, lanes_max(score));
    float factor = shrink_exp2(before, most), weight = ex2_approx(score - most);
    total = fmaf(total, factor, weight); // of this lane's keys
#pragma unroll
    for (u32 c = 0; c < COLUMNS; c++) sum[c] *= factor;
    for (u32 j = 0; j < count; j++) {
      float p = __shfl_sync(0xffffffffu, weight, j);
#pragma unroll
      for (u32 c = 0; c < COLUMNS; c++)
        if (c * 32 + lane < head_dim_v) sum[c] = fmaf(p, values[j * head_dim_v + c * 32 + lane], sum[c]);
    }
  }
  if (!works) return;
  total = lanes_sum(total);
  out += (row + warp) * head_dim_v;
#pragma unroll
  for (u32 c = 0; c < COLUMNS; c++)
    if (c * 32 + lane < head_dim_v) out[c * 32 + lane] = from_f32<OUT>(sum[c] / total);
}
