// Sums and extrema of a block, a grid, and a warp.

// A tree in shared memory with neighbours far apart; blockDim a power of two, dynamic shared memory of blockDim floats.
extern "C" __global__ void reduce_tree(const float* x, float* partial, int n) {
  extern __shared__ float s[];
  int t = threadIdx.x, i = blockIdx.x * blockDim.x * 2 + t;
  s[t] = (i < n ? x[i] : 0) + (i + blockDim.x < n ? x[i + blockDim.x] : 0);
  __syncthreads();
  for (int half = blockDim.x / 2; half > 0; half /= 2) {
    if (t < half) s[t] += s[t + half];
    __syncthreads();
  }
  if (t == 0) partial[blockIdx.x] = s[0];
}

// Strides that double: the naive tree, whose threads diverge and whose banks conflict.
extern "C" __global__ void reduce_interleaved(const int* x, int* partial) {
  __shared__ int s[256];
  int t = threadIdx.x;
  s[t] = x[blockIdx.x * 256 + t];
  __syncthreads();
  for (int stride = 1; stride < 256; stride *= 2) {
    if (t % (2 * stride) == 0) s[t] += s[t + stride];
    __syncthreads();
  }
  if (t == 0) partial[blockIdx.x] = s[0];
}

// Shuffles within warps, then across them.
extern "C" __global__ void reduce_shuffle(const double* x, double* total, int n) {
  __shared__ double warps[32];
  double sum = 0;
  for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < n; i += gridDim.x * blockDim.x) sum += x[i];
  for (int offset = 16; offset > 0; offset >>= 1) sum += __shfl_down_sync(~0u, sum, offset);
  int warp = threadIdx.x >> 5, lane = threadIdx.x & 31;
  if (lane == 0) warps[warp] = sum;
  __syncthreads();
  if (warp == 0) {
    sum = lane < (blockDim.x >> 5) ? warps[lane] : 0;
    for (int offset = 16; offset > 0; offset >>= 1) sum += __shfl_down_sync(~0u, sum, offset);
    if (lane == 0) atomicAdd(total, sum);
  }
}

// The last block to arrive adds up what the others left: fences and a ticket.
__device__ unsigned tickets;
extern "C" __global__ void reduce_last_block(const float* x, volatile float* partial, float* result, int n) {
  __shared__ float s[128];
  __shared__ bool last;
  int t = threadIdx.x;
  float sum = 0;
  for (int i = blockIdx.x * 128 + t; i < n; i += gridDim.x * 128) sum += x[i];
  s[t] = sum;
  __syncthreads();
  for (int half = 64; half > 0; half /= 2) {
    if (t < half) s[t] += s[t + half];
    __syncthreads();
  }
  if (t == 0) {
    partial[blockIdx.x] = s[0];
    __threadfence();
    last = atomicAdd(&tickets, 1) == gridDim.x - 1;
    __threadfence();
  }
  __syncthreads();
  if (last && t == 0) {
    sum = 0;
    for (int b = 0; b < gridDim.x; b++) sum += partial[b];
    *result = sum;
    tickets = 0;
  }
}

// Value and place of the largest, the first of equals, as one 64-bit maximum.
extern "C" __global__ void argmax(const float* x, unsigned long long* best, int n) {
  unsigned long long mine = 0;
  for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < n; i += gridDim.x * blockDim.x) {
    unsigned bits = __float_as_uint(x[i]);
    bits = bits & 0x80000000u ? ~bits : bits | 0x80000000u;
    unsigned long long key = (unsigned long long)bits << 32 | (0xffffffffu - i);
    mine = key > mine ? key : mine;
  }
  for (int mask = 16; mask > 0; mask >>= 1) {
    unsigned long long other = __shfl_xor_sync(~0u, mine, mask);
    mine = other > mine ? other : mine;
  }
  if (threadIdx.x % 32 == 0) atomicMax(best, mine);
}

// Sum and extrema of integers by redux (sm_80).
extern "C" __global__ void redux(const int* x, int* out) {
  int value = x[threadIdx.x];
  int sum = __reduce_add_sync(~0u, value), least = __reduce_min_sync(~0u, value);
  unsigned any = __reduce_or_sync(~0u, (unsigned)value);
  if (threadIdx.x % 32 == 0) {
    out[threadIdx.x / 32 * 3] = sum;
    out[threadIdx.x / 32 * 3 + 1] = least;
    out[threadIdx.x / 32 * 3 + 2] = (int)any;
  }
}
