// B = Aᵀ, A is m×n in f32.

extern "C" __global__ void transpose_strided(const float* a, float* b, int m, int n) {
  int x = blockIdx.x * blockDim.x + threadIdx.x, y = blockIdx.y * blockDim.y + threadIdx.y;
  if (x < n && y < m) b[x * m + y] = a[y * n + x];
}

// Through a tile with a column of padding; 32×8 threads.
extern "C" __global__ void transpose_padded(const float* a, float* b, int m, int n) {
  __shared__ float tile[32][33];
  int x = blockIdx.x * 32 + threadIdx.x, y = blockIdx.y * 32 + threadIdx.y;
  for (int j = 0; j < 32; j += 8)
    if (x < n && y + j < m) tile[threadIdx.y + j][threadIdx.x] = a[(y + j) * n + x];
  __syncthreads();
  x = blockIdx.y * 32 + threadIdx.x;
  y = blockIdx.x * 32 + threadIdx.y;
  for (int j = 0; j < 32; j += 8)
    if (x < m && y + j < n) b[(y + j) * m + x] = tile[threadIdx.x][threadIdx.y + j];
}

// Through a tile whose columns are permuted by an exclusive or; m and n multiples of 32.
extern "C" __global__ void transpose_swizzled(const float* a, float* b, int m, int n) {
  __shared__ float tile[32 * 32];
  int c = threadIdx.x, r = threadIdx.y, x = blockIdx.x * 32, y = blockIdx.y * 32;
  for (int j = r; j < 32; j += 8) tile[j * 32 + (c ^ j)] = a[(y + j) * n + x + c];
  __syncthreads();
  for (int j = r; j < 32; j += 8) b[(x + j) * m + y + c] = tile[c * 32 + (j ^ c)];
}

// Bytes, four at a time, by byte permutation: each thread turns a 4×4 tile. m and n are multiples of 4.
extern "C" __global__ void transpose_bytes(const unsigned* a, unsigned* b, int m, int n) {
  int x = blockIdx.x * blockDim.x + threadIdx.x, y = blockIdx.y * blockDim.y + threadIdx.y;
  if (x >= n / 4 || y >= m / 4) return;
  unsigned r[4];
  for (int i = 0; i < 4; i++) r[i] = a[(4 * y + i) * (n / 4) + x];
  unsigned u = __byte_perm(r[0], r[1], 0x5140), v = __byte_perm(r[2], r[3], 0x5140);
  unsigned s = __byte_perm(r[0], r[1], 0x7362), t = __byte_perm(r[2], r[3], 0x7362);
  b[(4 * x) * (m / 4) + y] = __byte_perm(u, v, 0x5410);
  b[(4 * x + 1) * (m / 4) + y] = __byte_perm(u, v, 0x7632);
  b[(4 * x + 2) * (m / 4) + y] = __byte_perm(s, t, 0x5410);
  b[(4 * x + 3) * (m / 4) + y] = __byte_perm(s, t, 0x7632);
}
