// attention/decode: one query a sequence against its KV cache, the keys split over blocks; a second launch combines the parts.
//
// attention_decode: a block takes HEADS query heads that share a KV head, and one part of the keys, which it reads once for all
//   of them. LANES lanes hold a key, 16 bytes each at a time: they agree on its scores by shuffles, and the same lanes hold the
//   columns of V that they then weigh. Every such group of lanes keeps a softmax of its own (UNROLL keys a step, all loads in
//   flight at once); in the end those of a block merge.
// attention_decode_combine: one block a query head merges the parts.
// Needs: any architecture; f32 or bf16 queries (IN), cache (CACHE) and result (OUT); any cache length, causal or not (a single last
//   query sees all keys); grouped queries; D_QK and D_V multiples of 16 bytes of cache, up to 32·CHUNKS of those. Workspace: f32
//   [batch·heads, parts, D_V], and maximum and sum of each part. Static shared memory: WARPS·HEADS·(D_V + 2)·4 bytes. Ceiling:
//   255 registers at 128 threads.
// Ladder: rung 4, for the one shape where flash-mma would have 1 of its 128 rows to work on. Against online-softmax: all
//   multiprocessors work on one sequence, loads are 16 bytes a lane and whole lines, and the cache is read once for a group.
// Bound (H100): memory. 4·group flops for 2 or 4 bytes of cache, 16 to 32 for 8 bf16 heads a KV head, against 20 fp32 flops a byte;
//   UNROLL·CHUNKS·16 bytes of keys and as many of values a lane are in flight: 16 KiB an SM and block of 128 threads, enough for
//   3.35 TB/s at two blocks. At 8 heads a group the shuffles (log2(LANES) a key and head) come close to the time of the loads.
// Least work: 2·seq_kv·(D_QK + D_V) flops a head; K and V once for each KV head; the parts add 2·parts·D_V·4 bytes a head.
// Ideas: T. Dao, D. Haziza, F. Massa, G. Sizov, Flash-Decoding for long-context inference (2023).
#include "common/softmax.cuh"

#if !defined(IN) || !defined(CACHE) || !defined(OUT) || !defined(WARPS) || !defined(D_QK) || !defined(D_V) || !defined(HEADS) || \
    !defined(LANES) || !defined(CHUNKS) || !defined(UNROLL)
#error "the row passes IN, CACHE, OUT, WARPS, D_QK, D_V, HEADS, LANES, CHUNKS and UNROLL"
#endif
constexpr u32 VEC = 16 / sizeof(CACHE), HELD = VEC * CHUNKS, SLOTS = 32 / LANES;
static_assert(D_QK % VEC == 0 && D_V % VEC == 0, "rows of the cache are whole 16-byte units");
static_assert(LANES * HELD >= D_QK && LANES * HELD >= D_V, "lanes hold a row");

// The column of element 0 of a lane's chunk.
DEVICE u32 column_of(u32 chunk) { return (chunk * LANES + threadIdx.x % LANES) * VEC; }

// A lane's chunks of a row of Width elements, as they are stored; zeros beyond the row, or where it is not `wanted`.
template <u32 Width> DEVICE void load(uint4 (&to)[CHUNKS], const CACHE* __restrict__ row, bool wanted) {
#pragma unroll
  for (u32 c = 0; c < CHUNKS; c++) to[c] = wanted && column_of(c) < Width ? *(const uint4*)(row + column_of(c)) : make_uint4(0, 0, 0, 0);
}
// Element e of chunk c.
DEVICE float held(const uint4 (&x)[CHUNKS], u32 c, u32 e) {
  u32 word[4] = {x[c].x, x[c].y, x[c].z, x[c].w};
  if constexpr (sizeof(CACHE) == 4) return __uint_as_float(word[e]);
  else return e % 2 ? bf16_high(word[e / 2]) : bf16_low(word[e / 2]);
}

// A softmax in parts: maximum (in units of log 2), sum, and this lane's columns of the weighted values.
struct Part {
  float most, total, sum[HELD];
};
// Takes the part of the lane `apart` lanes off, which holds the same columns.
DEVICE void merge_lanes(Part& x, u32 apart) {
  float most = fmaxf(x.most, __shfl_xor_sync(0xffffffffu, x.most, apart)), factor = shrink_exp2(x.most, most);
  x.total *= factor;
  x.total += __shfl_xor_sync(0xffffffffu, x.total, apart);
#pragma unroll
  for (u32 i = 0; i < HELD; i++) {
    x.sum[i] *= factor;
    x.sum[i] += __shfl_xor_sync(0xffffffffu, x.sum[i], apart);
  }
  x.most = most;
}

extern "C" __global__ void __launch_bounds__(WARPS * 32, 2)
attention_decode(const IN* __restrict__ q, const CACHE* __restrict__ k, const CACHE* __restrict__ v, float* __restrict__ sums,
                 float2* __restrict__ weights, u32 group, u32 seq_kv, u32 parts, u32 keys_a_part, float scale) {
  __shared__ float shared_sums[WARPS][HEADS][D_V];
  __shared__ float2 shared_weights[WARPS][HEADS];
  u32 sets = (group + HEADS - 1) / HEADS, number = blockIdx.x / parts, part = blockIdx.x % parts;
  u32 kv_head = number / sets, first = number % sets * HEADS, head = kv_head * group + first, heads = min((u32)HEADS, group - first);
  k += (u64)kv_head * seq_kv * D_QK;
  v += (u64)kv_head * seq_kv * D_V;

  float query[HEADS][HELD];
  Part state[HEADS];
#pragma unroll
  for (u32 h = 0; h < HEADS; h++) {
    state[h].most = minus_infinity();
    state[h].total = 0;
#pragma unroll
    for (u32 i = 0; i < HELD; i++) {
      u32 column = column_of(i / VEC) + i % VEC;
      state[h].sum[i] = 0;
      query[h][i] = h < heads && column < D_QK ? to_f32(q[(u64)(head + h) * D_QK + column]) * (scale * LOG2_E) : 0.f;
    }
  }

  u32 begin = part * keys_a_part, end = min(begin + keys_a_part, seq_kv), warp = threadIdx.x / 32;
  constexpr u32 STEP = WARPS * SLOTS; // keys of a block that neighbouring groups of lanes hold
  for (u32 base = begin; base < end; base += STEP * UNROLL) {
    u32 key = base + threadIdx.x / LANES;
    uint4 keys[UNROLL][CHUNKS], values[UNROLL][CHUNKS];
#pragma unroll
    for (u32 u = 0; u < UNROLL; u++) load<D_QK>(keys[u], k + (u64)(key + u * STEP) * D_QK, key + u * STEP < end);
#pragma unroll
    for (u32 u = 0; u < UNROLL; u++) load<D_V>(values[u], v + (u64)(key + u * STEP) * D_V, key + u * STEP < end);
#pragma unroll
    for (u32 h = 0; h < HEADS; h++) {
      float score[UNROLL], most = state[h].most;
#pragma unroll
      for (u32 u = 0; u < UNROLL; u++) {
        float dot = 0;
#pragma unroll
        for (u32 i = 0; i < HELD; i++) dot = fmaf(query[h][i], held(keys[u], i / VEC, i % VEC), dot);
        dot = lanes_sum<LANES>(dot);
        score[u] = key + u * STEP < end ? dot : minus_infinity();
        most = fmaxf(most, score[u]);
      }
      float factor = shrink_exp2(state[h].most, most);
      state[h].most = most;
      state[h].total *= factor;
#pragma unroll
      for (u32 i = 0; i < HELD; i++) state[h].sum[i] *= factor;
#pragma unroll
      for (u32 u = 0; u < UNROLL; u++) {
        float weight = most == minus_infinity() ? 0.f : ex2_approx(score[u] - most);
        state[h].total += weight;
#pragma unroll
        for (u32 i = 0; i < HELD; i++) state[h].sum[i] = fmaf(weight, held(values[u], i / VEC, i % VEC), state[h].sum[i]);
      }
    }
  }

#pragma unroll
  for (u32 h = 0; h < HEADS; h++) {
#pragma unroll
    for (u32 apart = LANES; apart < 32; apart *= 2) merge_lanes(state[h], apart);
    if (threadIdx.x % 32 == 0) shared_weights[warp][h] = {state[h].most, state[h].total};
#pragma unroll
    for (u32 i = 0; i < HELD; i++) {
      u32 column = column_of(i / VEC) + i % VEC;
      if (threadIdx.x % 32 < LANES && column < D_V) shared_sums[warp][h][column] = state[h].sum[i];
    }
  }
  __syncthreads();
  for (u32 i = threadIdx.x; i < heads * D_V; i += WARPS * 32) {
    u32 h = i / D_V, column = i % D_V;
    float most = minus_infinity(), total = 0, sum = 0;
#pragma unroll
    for (u32 w = 0; w < WARPS; w++) most = fmaxf(most, shared_weights[w][h].x);
#pragma unroll
    for (u32 w = 0; w < WARPS; w++) {
      float factor = shrink_exp2(shared_weights[w][h].x, most);
      total = fmaf(shared_weights[w][h].y, factor, total);
      sum = fmaf(shared_sums[w][h][column], factor, sum);
    }
    u64 at = (u64)(head + h) * parts + part;
    sums[at * D_V + column] = sum;
    if (column == 0) weights[at] = {most, total};
  }
}

extern "C" __global__ void __launch_bounds__(WARPS * 32, 8)
attention_decode_combine(OUT* __restrict__ out, const float* __restrict__ sums, const float2* __restrict__ weights, u32 parts) {
  sums += (u64)blockIdx.x * parts * D_V;
  weights += (u64)blockIdx.x * parts;
  float most = minus_infinity(), total = 0;
  for (u32 part = 0; part < parts; part++) most = fmaxf(most, weights[part].x);
  for (u32 part = 0; part < parts; part++) total = fmaf(weights[part].y, ex2_approx(weights[part].x - most), total);
  for (u32 column = threadIdx.x; column < D_V; column += WARPS * 32) {
    float sum = 0;
    for (u32 part = 0; part < parts; part++)
      sum = fmaf(sums[(u64)part * D_V + column], ex2_approx(weights[part].x - most), sum);
    out[(u64)blockIdx.x * D_V + column] = from_f32<OUT>(sum / total);
  }
}
