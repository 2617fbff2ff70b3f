// What every rung of the attention ladder knows of its operands.
//
// Row-major [batch, heads, seq, head_dim]; K and V have fewer heads where `group` query heads share one. Query rows are numbered
// over batch, heads and queries, key rows over batch, KV heads and keys; heads of a group are neighbours, so that head number
// `head` of all sequences reads KV head number `head / group` of all sequences.
#pragma once
#include "common/ptx.cuh"

// The number of keys that `query` attends to. Causal: those up to itself, the last query and the last key being aligned, with no
// more queries than keys; so there is at least one.
DEVICE u32 visible_keys(u32 query, u32 seq_q, u32 seq_kv, u32 causal) {
  return causal ? min(query + 1 + (seq_kv - seq_q), seq_kv) : seq_kv;
}

// The first query that attends to `key`.
DEVICE u32 first_query(u32 key, u32 seq_q, u32 seq_kv, u32 causal) {
  u32 before = seq_kv - seq_q; // keys that all queries attend to, but for themselves
  return causal && key > before ? key - before : 0;
}
