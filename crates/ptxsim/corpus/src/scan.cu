// Running sums.

// Inclusive, one block of 256, two buffers in shared memory.
extern "C" __global__ void scan_doubling(const int* x, int* y) {
  __shared__ int s[2][256];
  int t = threadIdx.x, now = 0;
  s[0][t] = x[blockIdx.x * 256 + t];
  __syncthreads();
  for (int offset = 1; offset < 256; offset *= 2) {
    s[now ^ 1][t] = s[now][t] + (t >= offset ? s[now][t - offset] : 0);
    now ^= 1;
    __syncthreads();
  }
  y[blockIdx.x * 256 + t] = s[now][t];
}

// Exclusive, one block of 128 threads on 256 elements: up and down a tree.
extern "C" __global__ void scan_tree(const float* x, float* y) {
  __shared__ float s[256];
  int t = threadIdx.x, base = blockIdx.x * 256;
  s[2 * t] = x[base + 2 * t];
  s[2 * t + 1] = x[base + 2 * t + 1];
  int offset = 1;
  for (int d = 128; d > 0; d >>= 1, offset *= 2) {
    __syncthreads();
    if (t < d) s[offset * (2 * t + 2) - 1] += s[offset * (2 * t + 1) - 1];
  }
  if (t == 0) s[255] = 0;
  for (int d = 1; d < 256; d *= 2) {
    offset >>= 1;
    __syncthreads();
    if (t < d) {
      int i = offset * (2 * t + 1) - 1, j = offset * (2 * t + 2) - 1;
      float left = s[i];
      s[i] = s[j];
      s[j] += left;
    }
  }
  __syncthreads();
  y[base + 2 * t] = s[2 * t];
  y[base + 2 * t + 1] = s[2 * t + 1];
}

// Inclusive over a whole grid in one pass: every block looks back at what its predecessors published.
// state[b] holds a flag (1: own sum, 2: prefix) in the upper word and the value in the lower.
__device__ unsigned next_block;
extern "C" __global__ void scan_lookback(const unsigned* x, unsigned* y, unsigned long long* state, int n) {
  __shared__ unsigned warps[8], block, before;
  int t = threadIdx.x, lane = t & 31, warp = t >> 5;
  if (t == 0) block = atomicAdd(&next_block, 1);
  __syncthreads();
  int i = block * 256 + t;
  unsigned sum = i < n ? x[i] : 0;
  for (int offset = 1; offset < 32; offset *= 2) {
    unsigned other = __shfl_up_sync(~0u, sum, offset);
    if (lane >= offset) sum += other;
  }
  if (lane == 31) warps[warp] = sum;
  __syncthreads();
  unsigned inside = 0, total = 0;
  for (int w = 0; w < 8; w++) {
    if (w < warp) inside += warps[w];
    total += warps[w];
  }
  if (t == 0) {
    unsigned prefix = 0;
    if (block > 0) {
      atomicExch(&state[block], 1ull << 32 | total);
      for (int b = block - 1; b >= 0;) {
        unsigned long long seen = atomicAdd(&state[b], 0ull);
        if (seen >> 32 == 0) continue;
        prefix += (unsigned)seen;
        if (seen >> 32 == 2) break;
        b--;
      }
    }
    atomicExch(&state[block], 2ull << 32 | (prefix + total));
    before = prefix;
  }
  __syncthreads();
  if (i < n) y[i] = before + inside + sum;
}

// Keeps positive numbers, in the order of warps; places by ballot.
extern "C" __global__ void compact(const int* x, int* y, int* count, int n) {
  int i = blockIdx.x * blockDim.x + threadIdx.x, lane = threadIdx.x % 32;
  int value = i < n ? x[i] : 0;
  unsigned keep = __ballot_sync(~0u, value > 0);
  int base = 0;
  if (lane == 0) base = atomicAdd(count, __popc(keep));
  base = __shfl_sync(~0u, base, 0);
  if (value > 0) y[base + __popc(keep & ((1u << lane) - 1))] = value;
}
