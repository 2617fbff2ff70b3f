// The update rules: one step of one parameter in f32, chosen by RULE, with what a step of all parameters shares.
//
// PARAM is the type of parameters and gradients, float or bf16; moments are float. MOMENTS is how many the rule has.
// Formulas are those of src/ops/optimizer.rs (the forms of PyTorch); division and root are rounded as IEEE 754 says.
#pragma once
#include "common/ptx.cuh"

#define SGD 0
#define MOMENTUM 1
#define NESTEROV 2
#define ADAGRAD 3
#define RMSPROP 4
#define ADAM 5
#define ADAMW 6
#define LION 7

#if !defined(RULE) || !defined(PARAM) || !defined(THREADS)
#error "the row passes RULE, PARAM and THREADS"
#endif
#define MOMENTS (RULE == SGD ? 0 : RULE == ADAM || RULE == ADAMW ? 2 : 1)

// Computed once a step on the host, in f64: rate is lr, with bias correction lr / (1 - beta1^t); kept is 1 - lr·decay; fresh is
// 1 - beta; correction is 1 / sqrt(1 - beta2^t). beta1 is the momentum of the rules that have one.
struct Constants {
  float rate, kept, beta1, fresh1, beta2, fresh2, eps, correction;
};
#define CONSTANTS float rate, float kept, float beta1, float fresh1, float beta2, float fresh2, float eps, float correction
#define GATHERED Constants{rate, kept, beta1, fresh1, beta2, fresh2, eps, correction}

// m is the first moment or the only one, v the second.
DEVICE void step(const Constants& k, float g, float& p, float& m, float& v) {
  if constexpr (RULE == SGD) {
    p -= k.rate * g;
  } else if constexpr (RULE == MOMENTUM) {
    m = k.beta1 * m + g;
    p -= k.rate * m;
  } else if constexpr (RULE == NESTEROV) {
    m = k.beta1 * m + g;
    p -= k.rate * (g + k.beta1 * m);
  } else if constexpr (RULE == ADAGRAD) {
    m += g * g;
    p -= k.rate * g / (sqrtf(m) + k.eps);
  } else if constexpr (RULE == RMSPROP) {
    m = k.beta2 * m + k.fresh2 * (g * g);
    p -= k.rate * g / (sqrtf(m) + k.eps);
  } else if constexpr (RULE == ADAM || RULE == ADAMW) {
    m = k.beta1 * m + k.fresh1 * g;
    v = k.beta2 * v + k.fresh2 * (g * g);
    float update = k.rate * m / (sqrtf(v) * k.correction + k.eps);
    p = (RULE == ADAMW ? k.kept * p : p) - update;
  } else {
    float mixed = k.beta1 * m + k.fresh1 * g;
    float sign = mixed > 0 ? 1.0f : mixed < 0 ? -1.0f : 0.0f;
    p = k.kept * p - k.rate * sign;
    m = k.beta2 * m + k.fresh2 * g;
  }
}

// Parameters of an entry over flat vectors, and its pointers gathered: a rule's entry takes no moments that it lacks.
#if MOMENTS > 0
#define TAKES_M float* __restrict__ m,
#define GIVEN_M m
#else
#define TAKES_M
#define GIVEN_M nullptr
#endif
#if MOMENTS > 1
#define TAKES_V float* __restrict__ v,
#define GIVEN_V v
#else
#define TAKES_V
#define GIVEN_V nullptr
#endif
#define FLAT const PARAM* __restrict__ g, PARAM* __restrict__ p, TAKES_M TAKES_V u64 params, CONSTANTS
#define FLAT_VECTORS Vectors{g, p, GIVEN_M, GIVEN_V}

// Pointers to one tensor's vectors; those of moments that the rule lacks are never followed.
struct Vectors {
  const PARAM* g;
  PARAM* p;
  float *m, *v;
};

DEVICE void step_one(const Constants& k, const Vectors& at, u64 i) {
  float g = to_f32(at.g[i]), p = to_f32(at.p[i]), m = 0, v = 0;
  if (MOMENTS > 0) m = at.m[i];
  if (MOMENTS > 1) v = at.v[i];
  step(k, g, p, m, v);
  at.p[i] = from_f32<PARAM>(p);
  if (MOMENTS > 0) at.m[i] = m;
  if (MOMENTS > 1) at.v[i] = v;
}

// ---- 16 bytes at a time -----------------------------------------------------------------------------------------------------
#define WIDE (16 / (int)sizeof(PARAM))  // parameters in 16 bytes

DEVICE void unpack(uint4 x, float (&y)[4]) {
  y[0] = __uint_as_float(x.x), y[1] = __uint_as_float(x.y), y[2] = __uint_as_float(x.z), y[3] = __uint_as_float(x.w);
}
DEVICE void unpack(uint4 x, float (&y)[8]) {
  u32 pairs[4] = {x.x, x.y, x.z, x.w};
#pragma unroll
  for (int i = 0; i < 4; i++) y[2 * i] = bf16_low(pairs[i]), y[2 * i + 1] = bf16_high(pairs[i]);
}
DEVICE uint4 pack(const float (&y)[4]) {
  return make_uint4(__float_as_uint(y[0]), __float_as_uint(y[1]), __float_as_uint(y[2]), __float_as_uint(y[3]));
}
DEVICE uint4 pack(const float (&y)[8]) {
  return make_uint4(pack_bf16(y[0], y[1]), pack_bf16(y[2], y[3]), pack_bf16(y[4], y[5]), pack_bf16(y[6], y[7]));
}

// What a thread holds of WIDE parameters.
struct Held {
  uint4 g, p;
  float4 m[WIDE / 4], v[WIDE / 4];
};

// Parameters [WIDE·i, WIDE·i + WIDE) of vectors that are aligned to 16 bytes.
DEVICE void load(Held& held, const Vectors& at, u64 i) {
  held.g = ((const uint4*)at.g)[i];
  held.p = ((const uint4*)at.p)[i];
#pragma unroll
  for (int q = 0; q < WIDE / 4; q++) {
    if (MOMENTS > 0) held.m[q] = ((const float4*)at.m)[i * (WIDE / 4) + q];
    if (MOMENTS > 1) held.v[q] = ((const float4*)at.v)[i * (WIDE / 4) + q];
  }
}
DEVICE void step_and_store(const Constants& k, Held& held, const Vectors& at, u64 i) {
  float g[WIDE], p[WIDE];
  unpack(held.g, g);
  unpack(held.p, p);
#pragma unroll
  for (int q = 0; q < WIDE / 4; q++) {
    float m[4] = {0, 0, 0, 0}, v[4] = {0, 0, 0, 0};
    if (MOMENTS > 0) m[0] = held.m[q].x, m[1] = held.m[q].y, m[2] = held.m[q].z, m[3] = held.m[q].w;
    if (MOMENTS > 1) v[0] = held.v[q].x, v[1] = held.v[q].y, v[2] = held.v[q].z, v[3] = held.v[q].w;
#pragma unroll
    for (int e = 0; e < 4; e++) step(k, g[4 * q + e], p[4 * q + e], m[e], v[e]);
    if (MOMENTS > 0) ((float4*)at.m)[i * (WIDE / 4) + q] = make_float4(m[0], m[1], m[2], m[3]);
    if (MOMENTS > 1) ((float4*)at.v)[i * (WIDE / 4) + q] = make_float4(v[0], v[1], v[2], v[3]);
  }
  ((uint4*)at.p)[i] = pack(p);
}
