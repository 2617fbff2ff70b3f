// What the flash-mma kernels share: tiles of rows of D bf16 in shared memory, their copies, fragments and accumulators.
//
// A row is D / 8 chunks of 16 bytes; chunk number xor row, in the lowest three bits, so that the 8 rows of an ldmatrix phase hit
// all banks once. A warp owns 16·Tiles rows of a product; a lane has, of each 16×8 accumulator, rows lane / 4 and lane / 4 + 8
// (halves 0 and 1), columns lane % 4 · 2 and the next.
#pragma once
#include "common/softmax.cuh"

#if !defined(HEAD_DIM) || !defined(WARPS)
#error "the row passes HEAD_DIM and WARPS"
#endif
static_assert(HEAD_DIM == 64 || HEAD_DIM == 128, "a row is one or two swizzled lines of 128 bytes");
constexpr u32 CHUNKS = HEAD_DIM / 8, ROW_BYTES = HEAD_DIM * 2;

DEVICE u32 lane_id() { return threadIdx.x % 32; }

// Where a chunk of a row lies in a tile.
DEVICE u32 tile_offset(u32 row, u32 chunk) { return row * ROW_BYTES + (chunk ^ row % 8) * 16; }

// Starts the copy of `Rows` rows from `first` on; those from `rows` on are zeros. A thread's rows are a multiple of 8 apart, so that
// they share a swizzle, and one offset serves them all.
template <u32 Rows> DEVICE void copy_tile(u32 to, const bf16* __restrict__ from, u32 first, u32 rows) {
  constexpr u32 APART = WARPS * 32 / CHUNKS;
  static_assert(APART % 8 == 0 && Rows % APART == 0, "threads copy whole chunks");
  u32 row = threadIdx.x / CHUNKS, chunk = threadIdx.x % CHUNKS;
  from += (u64)(first + row) * HEAD_DIM + chunk * 8;
  to += tile_offset(row, chunk);
#pragma unroll
  for (u32 i = 0; i < Rows; i += APART)
    cp_async_16_zfill(to + i * ROW_BYTES, from + i * HEAD_DIM, first + row + i < rows ? 16 : 0); // with 0, no address is touched
}

// What an ldmatrix of a lane begins with: step 0 of a fragment of A, of two fragments of B = tileᵀ, and of two of B = tile.
DEVICE u32 a_lane(u32 tile, u32 row) { return tile + tile_offset(row + lane_id() % 16, lane_id() / 16); }
DEVICE u32 b_lane(u32 tile) { return tile + tile_offset(lane_id() / 16 * 8 + lane_id() % 8, lane_id() / 8 % 2); }
DEVICE u32 b_trans_lane(u32 tile) { return tile + tile_offset(lane_id() % 16, lane_id() / 16); }
// Two chunks further for each step: with the tile aligned to a row's bytes, its bits of the address are the chunk's alone. One
// instruction from a base that differs by tile, so that the compiler keeps no table of offsets in registers.
DEVICE u32 at_step(u32 lane, u32 step) { return lane ^ step * 32; }

// The accumulators of 16 columns as a fragment of A, rounded to bf16.
DEVICE void as_a_fragment(u32 (&r)[4], const float (&left)[4], const float (&right)[4]) {
  r[0] = pack_bf16(left[0], left[1]);
  r[1] = pack_bf16(left[2], left[3]);
  r[2] = pack_bf16(right[0], right[1]);
  r[3] = pack_bf16(right[2], right[3]);
}

// sum = x·tileᵀ: x has 16·Tiles rows, from `a_lane` on; the result a column for each of 8·N rows of `tile`.
template <u32 Tiles, u32 N> DEVICE void product_with_rows(float (&sum)[Tiles][N][4], u32 x, u32 tile) {
#pragma unroll
  for (u32 i = 0; i < Tiles; i++)
#pragma unroll
    for (u32 j = 0; j < N; j++) sum[i][j][0] = sum[i][j][1] = sum[i][j][2] = sum[i][j][3] = 0.f;
  u32 rows = b_lane(tile);
#pragma unroll
  for (u32 step = 0; step < HEAD_DIM / 16; step++) {
    u32 a[Tiles][4];
#pragma unroll
    for (u32 i = 0; i < Tiles; i++) ldmatrix_x4(a[i], at_step(x, step) + i * 16 * ROW_BYTES);
#pragma unroll
    for (u32 j = 0; j < N; j += 2) {
      u32 b[4]; // the tile's rows 8·j to 8·j + 15, depth 16·step to 16·step + 15
      ldmatrix_x4(b, at_step(rows, step) + j * 8 * ROW_BYTES);
#pragma unroll
      for (u32 i = 0; i < Tiles; i++) {
        mma_m16n8k16_bf16(sum[i][j], a[i], b[0], b[1]);
        mma_m16n8k16_bf16(sum[i][j + 1], a[i], b[2], b[3]);
      }
    }
  }
}

// sum += x·tile: x are accumulators, rounded to bf16, with a column for each of the tile's 8·N rows.
template <u32 Tiles, u32 N> DEVICE void add_product(float (&sum)[Tiles][CHUNKS][4], const float (&x)[Tiles][N][4], u32 tile) {
  u32 columns = b_trans_lane(tile);
#pragma unroll
  for (u32 j = 0; j < N; j += 2) {
    u32 a[Tiles][4];
#pragma unroll
    for (u32 i = 0; i < Tiles; i++) as_a_fragment(a[i], x[i][j], x[i][j + 1]);
#pragma unroll
    for (u32 pair = 0; pair < HEAD_DIM / 16; pair++) {
      u32 b[4]; // depth 8·j to 8·j + 15, columns 16·pair to 16·pair + 15
      ldmatrix_x4_trans(b, at_step(columns, pair) + j * 8 * ROW_BYTES);
#pragma unroll
      for (u32 i = 0; i < Tiles; i++) {
        mma_m16n8k16_bf16(sum[i][pair * 2], a[i], b[0], b[1]);
        mma_m16n8k16_bf16(sum[i][pair * 2 + 1], a[i], b[2], b[3]);
      }
    }
  }
}

// Writes a warp's 16·Tiles rows, from `row` of its block's tile on, each times `factor(tile, half)`, to `to`, whose row 0 is the
// tile's row 0, up to `rows` of them. bf16 goes through shared memory at `tile`, of whose rows the warp must be the only user.
template <u32 Tiles, class Factor>
DEVICE void store_rows(OUT* __restrict__ to, const float (&sum)[Tiles][CHUNKS][4], u32 tile, u32 row, u32 rows, Factor factor) {
  u32 lane = lane_id(), column = lane % 4 * 2;
  if constexpr (sizeof(OUT) == 4) {
#pragma unroll
    for (u32 i = 0; i < Tiles; i++)
#pragma unroll
      for (u32 half = 0; half < 2; half++) {
        u32 at = row + i * 16 + half * 8 + lane / 4;
        float times = factor(i, half);
        if (at >= rows) continue;
#pragma unroll
        for (u32 j = 0; j < CHUNKS; j++)
          st_global(to + (u64)at * HEAD_DIM + j * 8 + column, sum[i][j][half * 2] * times, sum[i][j][half * 2 + 1] * times);
      }
  } else {
    __syncwarp(); // the warp has read its rows
#pragma unroll
    for (u32 i = 0; i < Tiles; i++)
#pragma unroll
      for (u32 half = 0; half < 2; half++) {
        u32 at = row + i * 16 + half * 8 + lane / 4;
        float times = factor(i, half);
#pragma unroll
        for (u32 j = 0; j < CHUNKS; j++)
          st_shared(tile + tile_offset(at, j) + column * 2, pack_bf16(sum[i][j][half * 2] * times, sum[i][j][half * 2 + 1] * times));
      }
    __syncwarp();
#pragma unroll
    for (u32 number = lane; number < Tiles * 16 * CHUNKS; number += 32) {
      u32 at = row + number / CHUNKS, chunk = number % CHUNKS;
      uint4 x = ld_shared_v4(tile + tile_offset(at, chunk));
      if (at < rows) st_global(to + (u64)at * HEAD_DIM + chunk * 8, x);
    }
  }
}
