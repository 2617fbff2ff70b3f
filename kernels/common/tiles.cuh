// Which tile of which product a block works on.
#pragma once
#include "common/ptx.cuh"

struct Tile {
  u32 m, n;    // tile coordinates
  u32 product; // in the batch
};

// Deals the tiles of a batch of products, each `tiles_m` × `tiles_n`, to consecutive numbers: down `Group` rows of tiles, then
// one column on, so that blocks that run together share `Group` panels of A and few of B in L2 (the order of Triton's matmul
// tutorial).
template <u32 Group> DEVICE Tile tile_of(u32 number, u32 tiles_m, u32 tiles_n) {
  u32 per_product = tiles_m * tiles_n;
  Tile t;
  t.product = number / per_product;
  number -= t.product * per_product;
  u32 band = number / (Group * tiles_n);
  number -= band * Group * tiles_n;
  u32 first = band * Group;
  u32 rows = min(tiles_m - first, Group);
  t.n = number / rows;
  t.m = first + number - t.n * rows;
  return t;
}

DEVICE u32 ceil_div(u32 x, u32 y) { return (x + y - 1) / y; }
