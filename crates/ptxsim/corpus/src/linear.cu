// Vectors: one thread an element, one thread four elements, a grid-stride loop, and dot products.

extern "C" __global__ void saxpy(float a, const float* x, float* y, int n) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < n) y[i] = a * x[i] + y[i];
}

// n is a multiple of 4.
extern "C" __global__ void saxpy_vector(float a, const float4* x, float4* y, int n) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= n / 4) return;
  float4 u = x[i], v = y[i];
  v.x = a * u.x + v.x;
  v.y = a * u.y + v.y;
  v.z = a * u.z + v.z;
  v.w = a * u.w + v.w;
  y[i] = v;
}

extern "C" __global__ void scale_stride(double factor, double* x, unsigned long long n) {
  unsigned long long step = (unsigned long long)gridDim.x * blockDim.x;
  for (unsigned long long i = (unsigned long long)blockIdx.x * blockDim.x + threadIdx.x; i < n; i += step) x[i] *= factor;
}

// One atomic addition a warp.
extern "C" __global__ void dot(const float* x, const float* y, float* result, int n) {
  float sum = 0;
  for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < n; i += gridDim.x * blockDim.x) sum = fmaf(x[i], y[i], sum);
  for (int offset = 16; offset > 0; offset /= 2) sum += __shfl_down_sync(~0u, sum, offset);
  if (threadIdx.x % 32 == 0) atomicAdd(result, sum);
}

// y = A x, one warp a row; A is m×n.
extern "C" __global__ void matvec(const float* a, const float* x, float* y, int m, int n) {
  int row = blockIdx.x * (blockDim.x / 32) + threadIdx.x / 32, lane = threadIdx.x % 32;
  if (row >= m) return;
  float sum = 0;
  for (int j = lane; j < n; j += 32) sum += a[row * n + j] * x[j];
  for (int mask = 16; mask > 0; mask /= 2) sum += __shfl_xor_sync(~0u, sum, mask);
  if (lane == 0) y[row] = sum;
}
