// C = A · B in f32, all row-major, A m×k, B k×n: from one thread an entry to register tiles fed by vector loads.

extern "C" __global__ void sgemm_entry(const float* a, const float* b, float* c, int m, int n, int k) {
  int column = blockIdx.x * blockDim.x + threadIdx.x, row = blockIdx.y * blockDim.y + threadIdx.y;
  if (row >= m || column >= n) return;
  float sum = 0;
  for (int p = 0; p < k; p++) sum += a[row * k + p] * b[p * n + column];
  c[row * n + column] = sum;
}

// Tiles of 16×16 in shared memory; any sizes.
extern "C" __global__ void sgemm_tiled(const float* a, const float* b, float* c, int m, int n, int k) {
  __shared__ float ta[16][16], tb[16][16];
  int x = threadIdx.x, y = threadIdx.y, row = blockIdx.y * 16 + y, column = blockIdx.x * 16 + x;
  float sum = 0;
  for (int p = 0; p < k; p += 16) {
    ta[y][x] = row < m && p + x < k ? a[row * k + p + x] : 0;
    tb[y][x] = p + y < k && column < n ? b[(p + y) * n + column] : 0;
    __syncthreads();
    for (int q = 0; q < 16; q++) sum += ta[y][q] * tb[q][x];
    __syncthreads();
  }
  if (row < m && column < n) c[row * n + column] = sum;
}

// 64×64 a block of 256 threads, 4×4 a thread, A transposed in shared memory, two buffers; sizes multiples of 64, 64, 8.
extern "C" __global__ void __launch_bounds__(256) sgemm_registers(const float* a, const float* b, float* c, int m, int n, int k) {
  __shared__ __align__(16) float ta[2][8][64 + 4], tb[2][8][64];
  int t = threadIdx.x, row = blockIdx.y * 64, column = blockIdx.x * 64;
  int ar = t / 4, ac = t % 4 * 2, br = t / 32, bc = t % 32 * 2;
  float sum[4][4] = {};
  float2 va = *(const float2*)&a[(row + ar) * k + ac], vb = *(const float2*)&b[br * n + column + bc];
  ta[0][ac][ar] = va.x;
  ta[0][ac + 1][ar] = va.y;
  *(float2*)&tb[0][br][bc] = vb;
  __syncthreads();
  for (int p = 0, now = 0; p < k; p += 8, now ^= 1) {
    bool more = p + 8 < k;
    if (more) {
      va = *(const float2*)&a[(row + ar) * k + p + 8 + ac];
      vb = *(const float2*)&b[(p + 8 + br) * n + column + bc];
    }
#pragma unroll
    for (int q = 0; q < 8; q++) {
      float4 u = *(float4*)&ta[now][q][t / 16 * 4], v = *(float4*)&tb[now][q][t % 16 * 4];
      float x[4] = {u.x, u.y, u.z, u.w}, y[4] = {v.x, v.y, v.z, v.w};
#pragma unroll
      for (int i = 0; i < 4; i++)
#pragma unroll
        for (int j = 0; j < 4; j++) sum[i][j] += x[i] * y[j];
    }
    if (more) {
      ta[now ^ 1][ac][ar] = va.x;
      ta[now ^ 1][ac + 1][ar] = va.y;
      *(float2*)&tb[now ^ 1][br][bc] = vb;
    }
    __syncthreads();
  }
#pragma unroll
  for (int i = 0; i < 4; i++)
    *(float4*)&c[(row + t / 16 * 4 + i) * n + column + t % 16 * 4] = make_float4(sum[i][0], sum[i][1], sum[i][2], sum[i][3]);
}

// int8 with dp4a: A m×k, B n×k, C m×n in int32; k is a multiple of 4.
extern "C" __global__ void igemm_dp4a(const int* a, const int* b, int* c, int m, int n, int k4) {
  int column = blockIdx.x * blockDim.x + threadIdx.x, row = blockIdx.y * blockDim.y + threadIdx.y;
  if (row >= m || column >= n) return;
  int sum = 0;
  for (int p = 0; p < k4; p++) sum = __dp4a(a[row * k4 + p], b[column * k4 + p], sum);
  c[row * n + column] = sum;
}
