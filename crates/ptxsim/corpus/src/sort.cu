// Sorting, counting, and moving by key.

// 512 unsigned keys in shared memory by 256 threads.
extern "C" __global__ void bitonic_block(unsigned* keys) {
  __shared__ unsigned s[512];
  int t = threadIdx.x;
  unsigned* base = keys + blockIdx.x * 512;
  s[t] = base[t];
  s[t + 256] = base[t + 256];
  for (int size = 2; size <= 512; size *= 2)
    for (int stride = size / 2; stride > 0; stride /= 2) {
      __syncthreads();
      int i = 2 * t - (t & (stride - 1));
      bool up = (i & size) == 0 || size == 512;
      unsigned a = s[i], b = s[i + stride];
      if ((a > b) == up) {
        s[i] = b;
        s[i + stride] = a;
      }
    }
  __syncthreads();
  base[t] = s[t];
  base[t + 256] = s[t + 256];
}

// One merge step of a bitonic sort of floats in global memory.
extern "C" __global__ void bitonic_step(float* x, int stride, int size) {
  int i = blockIdx.x * blockDim.x + threadIdx.x, j = i ^ stride;
  if (j <= i) return;
  float a = x[i], b = x[j];
  bool up = (i & size) == 0;
  if (up ? a > b : a < b) {
    x[i] = b;
    x[j] = a;
  }
}

// A stable sort of 256 keys by 4 bits: per-digit ballots count, a scan places.
extern "C" __global__ void radix_digit(const unsigned* keys, unsigned* out, int shift) {
  __shared__ unsigned counts[16][8], starts[16][8];
  int t = threadIdx.x, warp = t / 32, lane = t % 32;
  unsigned key = keys[t], digit = key >> shift & 15, mine = 0;
  for (unsigned d = 0; d < 16; d++) {
    unsigned votes = __ballot_sync(~0u, digit == d);
    if (digit == d) mine = __popc(votes & ((1u << lane) - 1));
    if (lane == 0) counts[d][warp] = __popc(votes);
  }
  __syncthreads();
  if (t == 0) {
    unsigned sum = 0;
    for (int d = 0; d < 16; d++)
      for (int w = 0; w < 8; w++) {
        starts[d][w] = sum;
        sum += counts[d][w];
      }
  }
  __syncthreads();
  out[starts[digit][warp] + mine] = key;
}

// 256 bins: a copy in shared memory a block, then one atomic addition a bin.
extern "C" __global__ void histogram(const unsigned char* x, unsigned* bins, int n) {
  __shared__ unsigned s[256];
  for (int b = threadIdx.x; b < 256; b += blockDim.x) s[b] = 0;
  __syncthreads();
  for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < n; i += gridDim.x * blockDim.x) atomicAdd(&s[x[i]], 1u);
  __syncthreads();
  for (int b = threadIdx.x; b < 256; b += blockDim.x)
    if (s[b]) atomicAdd(&bins[b], s[b]);
}

// 8 bins, all in global memory: contended; lanes with the same bin elect one of them.
extern "C" __global__ void histogram_matched(const unsigned* x, unsigned* bins, int n) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  unsigned active = __ballot_sync(~0u, i < n);
  if (i >= n) return;
  unsigned bin = x[i] % 8, same = __match_any_sync(active, bin);
  if ((threadIdx.x & 31) == __ffs(same) - 1) atomicAdd(&bins[bin], (unsigned)__popc(same));
}
