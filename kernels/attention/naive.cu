// attention/naive: the textbook in steps, each one thread an entry, through a score matrix in memory.
//
// Forward and decode: scores (scale·Q·Kᵀ where a query sees a key), softmax of each row in place with its log-sum-exp, product
//   with V. Backward: D = Σ dO∘O of each row; P = exp(scores − log-sum-exp) and dS = P∘(dO·Vᵀ − D), two matrices; then
//   dQ = scale·dS·K, dK = scale·dSᵀ·Q and dV = Pᵀ·dO, where dK and dV sum over the query heads of a group.
// Needs: any architecture, any sizes; f32 or bf16 operands (IN; K and V: CACHE) and results (OUT), f32 in between. Workspace: one
//   f32 matrix [batch·heads, seq_q, seq_kv] forward, two backward, and f32 a row. Ceiling: 64 registers, no shared memory.
// Ladder: rung 1. Everything that the later rungs remove is here to be seen: the matrix goes through memory four times forward
//   (3·4 bytes read and 2·4 written an entry beside the products), lanes read neighbouring rows of K (a sector of 32 bytes each
//   for 4 used), and the softmax sweeps each row three times by a single thread.
// Bound (H100): the load path. A score costs 2·head_dim loads, half of them 32 sectors wide; as in matmul/naive about a hundredth
//   of the fp32 peak. At head_dim 64 the matrix's 20 bytes an entry against 4·64 flops would bound a perfect kernel of this form at
//   3.35 TB/s · 256/20 = 43 TFLOP/s, under the 67 of fp32 and far under the tensor cores' 989.
// Least work: 2·pairs·(head_dim_qk + head_dim_v) flops; Q, K, V and O once. Backward 2·pairs·(3·head_dim_qk + 2·head_dim_v).
// Ideas: A. Vaswani et al., Attention Is All You Need (2017); backward: T. Dao, FlashAttention-2 (2023), section 3.1; the
//   steps of llm.c's attention_forward kernel 1 (A. Karpathy, 2024).
#include "attention/shape.cuh"
#include "common/softmax.cuh"

#if !defined(IN) || !defined(CACHE) || !defined(OUT) || !defined(THREADS)
#error "the row passes IN, CACHE, OUT and THREADS"
#endif

// The number of this thread over all blocks.
DEVICE u64 thread_number() { return (u64)blockIdx.x * THREADS + threadIdx.x; }

// Query row `row` and column of an entry of a matrix with `columns` of them.
struct Entry {
  u32 row, column;
};
DEVICE Entry entry_of(u64 number, u32 columns) {
  u64 row = number / columns;
  return {(u32)row, (u32)(number - row * columns)};
}
// The first key row of the KV head that query row `row` reads.
DEVICE u64 keys_of(u32 row, u32 group, u32 seq_q, u32 seq_kv) { return (u64)(row / seq_q / group) * seq_kv; }

template <class X, class Y> DEVICE float dot(const X* x, const Y* y, u32 length) {
  float sum = 0;
  for (u32 p = 0; p < length; p++) sum = fmaf(to_f32(x[p]), to_f32(y[p]), sum);
  return sum;
}

// scores[row, key]; entries that the mask hides are neither written here nor read later.
extern "C" __global__ void __launch_bounds__(THREADS)
attention_scores(const IN* __restrict__ q, const CACHE* __restrict__ k, float* __restrict__ scores, u32 rows, u32 group, u32 seq_q,
                 u32 seq_kv, u32 head_dim, u32 causal, float scale) {
  u64 number = thread_number();
  Entry at = entry_of(number, seq_kv);
  if (number >= (u64)rows * seq_kv || at.column >= visible_keys(at.row % seq_q, seq_q, seq_kv, causal)) return;
  u64 key = keys_of(at.row, group, seq_q, seq_kv) + at.column;
  scores[number] = scale * dot(q + (u64)at.row * head_dim, k + key * head_dim, head_dim);
}

// One thread a row: the maximum, the sum, and the division.
extern "C" __global__ void __launch_bounds__(THREADS)
attention_softmax(float* __restrict__ lse, float* __restrict__ scores, u32 rows, u32 seq_q, u32 seq_kv, u32 causal) {
  u64 row = thread_number();
  if (row >= rows) return;
  float* x = scores + row * seq_kv;
  u32 visible = visible_keys(row % seq_q, seq_q, seq_kv, causal);
  float most = minus_infinity(), sum = 0;
  for (u32 j = 0; j < visible; j++) most = fmaxf(most, x[j]);
  for (u32 j = 0; j < visible; j++) {
    x[j] = expf(x[j] - most);
    sum += x[j];
  }
  for (u32 j = 0; j < visible; j++) x[j] /= sum;
  lse[row] = most + logf(sum);
}

// out[row, column] = Σ probabilities[row, key]·v[key, column].
extern "C" __global__ void __launch_bounds__(THREADS)
attention_product(const CACHE* __restrict__ v, OUT* __restrict__ out, const float* __restrict__ probabilities, u32 rows, u32 group,
                  u32 seq_q, u32 seq_kv, u32 head_dim, u32 causal) {
  u64 number = thread_number();
  if (number >= (u64)rows * head_dim) return;
  Entry at = entry_of(number, head_dim);
  const float* p = probabilities + (u64)at.row * seq_kv;
  v += keys_of(at.row, group, seq_q, seq_kv) * head_dim + at.column;
  u32 visible = visible_keys(at.row % seq_q, seq_q, seq_kv, causal);
  float sum = 0;
  for (u32 j = 0; j < visible; j++) sum = fmaf(p[j], to_f32(v[(u64)j * head_dim]), sum);
  out[number] = from_f32<OUT>(sum);
}

// delta[row] = Σ dO∘O.
extern "C" __global__ void __launch_bounds__(THREADS)
attention_delta(const IN* __restrict__ dout, const OUT* __restrict__ out, float* __restrict__ delta, u32 rows, u32 head_dim) {
  u64 row = thread_number();
  if (row < rows) delta[row] = dot(dout + row * head_dim, out + row * head_dim, head_dim);
}

// P and dS of each pair that the mask lets through.
extern "C" __global__ void __launch_bounds__(THREADS)
attention_gradient_scores(const IN* __restrict__ q, const IN* __restrict__ k, const IN* __restrict__ v, const IN* __restrict__ dout,
                          const float* __restrict__ lse, const float* __restrict__ delta, float* __restrict__ p,
                          float* __restrict__ ds, u32 rows, u32 group, u32 seq_q, u32 seq_kv, u32 head_dim_qk, u32 head_dim_v,
                          u32 causal, float scale) {
  u64 number = thread_number();
  Entry at = entry_of(number, seq_kv);
  if (number >= (u64)rows * seq_kv || at.column >= visible_keys(at.row % seq_q, seq_q, seq_kv, causal)) return;
  u64 key = keys_of(at.row, group, seq_q, seq_kv) + at.column;
  float score = scale * dot(q + (u64)at.row * head_dim_qk, k + key * head_dim_qk, head_dim_qk);
  float gradient = dot(dout + (u64)at.row * head_dim_v, v + key * head_dim_v, head_dim_v);
  float probability = expf(score - lse[at.row]);
  p[number] = probability;
  ds[number] = probability * (gradient - delta[at.row]);
}

// dq[row, column] = scale·Σ ds[row, key]·k[key, column].
extern "C" __global__ void __launch_bounds__(THREADS)
attention_gradient_queries(const IN* __restrict__ k, OUT* __restrict__ dq, const float* __restrict__ ds, u32 rows, u32 group,
                           u32 seq_q, u32 seq_kv, u32 head_dim, u32 causal, float scale) {
  u64 number = thread_number();
  if (number >= (u64)rows * head_dim) return;
  Entry at = entry_of(number, head_dim);
  ds += (u64)at.row * seq_kv;
  k += keys_of(at.row, group, seq_q, seq_kv) * head_dim + at.column;
  u32 visible = visible_keys(at.row % seq_q, seq_q, seq_kv, causal);
  float sum = 0;
  for (u32 j = 0; j < visible; j++) sum = fmaf(ds[j], to_f32(k[(u64)j * head_dim]), sum);
  dq[number] = from_f32<OUT>(scale * sum);
}

// to[key, column] = factor·Σ weights[row, key]·x[row, column] over the queries of the group's heads that see the key: dK of dS and
// Q, dV of P and dO.
extern "C" __global__ void __launch_bounds__(THREADS)
attention_gradient_keys(const IN* __restrict__ x, OUT* __restrict__ to, const float* __restrict__ weights, u32 keys, u32 group,
                        u32 seq_q, u32 seq_kv, u32 head_dim, u32 causal, float factor) {
  u64 number = thread_number();
  if (number >= (u64)keys * head_dim) return;
  Entry at = entry_of(number, head_dim);
  u32 kv_head = at.row / seq_kv, key = at.row - kv_head * seq_kv;
  float sum = 0;
  for (u32 head = kv_head * group; head < (kv_head + 1) * group; head++)
    for (u32 i = first_query(key, seq_q, seq_kv, causal); i < seq_q; i++) {
      u64 row = (u64)head * seq_q + i;
      sum = fmaf(weights[row * seq_kv + key], to_f32(x[row * head_dim + at.column]), sum);
    }
  to[number] = from_f32<OUT>(factor * sum);
}
