// Stencils, bodies, waves.

// Five points, a halo in shared memory; 16×16 threads, any sizes, borders stay.
extern "C" __global__ void jacobi(const float* x, float* y, int m, int n) {
  __shared__ float s[18][18];
  int c = blockIdx.x * 16 + threadIdx.x, r = blockIdx.y * 16 + threadIdx.y;
  for (int i = threadIdx.y * 16 + threadIdx.x; i < 18 * 18; i += 256) {
    int rr = blockIdx.y * 16 + i / 18 - 1, cc = blockIdx.x * 16 + i % 18 - 1;
    s[i / 18][i % 18] = rr >= 0 && rr < m && cc >= 0 && cc < n ? x[rr * n + cc] : 0;
  }
  __syncthreads();
  if (r >= m || c >= n) return;
  int i = threadIdx.y + 1, j = threadIdx.x + 1;
  bool inner = r > 0 && r < m - 1 && c > 0 && c < n - 1;
  y[r * n + c] = inner ? 0.25f * (s[i - 1][j] + s[i + 1][j] + s[i][j - 1] + s[i][j + 1]) : s[i][j];
}

// Seven points in three dimensions, walking along z with the neighbours in registers.
extern "C" __global__ void stencil3d(const double* x, double* y, int nx, int ny, int nz) {
  int i = blockIdx.x * blockDim.x + threadIdx.x, j = blockIdx.y * blockDim.y + threadIdx.y;
  if (i < 1 || j < 1 || i >= nx - 1 || j >= ny - 1) return;
  int plane = nx * ny, at = j * nx + i;
  double below = x[at], here = x[at + plane];
  for (int k = 1; k < nz - 1; k++) {
    at += plane;
    double above = x[at + plane];
    y[at] = below + above + x[at - 1] + x[at + 1] + x[at - nx] + x[at + nx] - 6 * here;
    below = here;
    here = above;
  }
}

// Weights in constant memory.
__constant__ float weights[9];
extern "C" __global__ void convolve(const float* x, float* y, int n) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= n) return;
  float sum = 0;
  for (int k = 0; k < 9; k++) {
    int j = i + k - 4;
    if (j >= 0 && j < n) sum += weights[k] * x[j];
  }
  y[i] = sum;
}

extern "C" __global__ void life(const unsigned char* x, unsigned char* y, int m, int n) {
  int c = blockIdx.x * blockDim.x + threadIdx.x, r = blockIdx.y * blockDim.y + threadIdx.y;
  if (r >= m || c >= n) return;
  int around = 0;
  for (int dr = -1; dr <= 1; dr++)
    for (int dc = -1; dc <= 1; dc++)
      if (dr || dc) around += x[(r + dr + m) % m * n + (c + dc + n) % n];
  y[r * n + c] = around == 3 || (around == 2 && x[r * n + c]);
}

// Accelerations of n bodies, tiles of 64 in shared memory; n is a multiple of 64.
extern "C" __global__ void bodies(const float4* body, float4* out, int n) {
  __shared__ float4 tile[64];
  int i = blockIdx.x * 64 + threadIdx.x;
  float4 me = body[i];
  float ax = 0, ay = 0, az = 0;
  for (int base = 0; base < n; base += 64) {
    tile[threadIdx.x] = body[base + threadIdx.x];
    __syncthreads();
#pragma unroll 8
    for (int j = 0; j < 64; j++) {
      float4 other = tile[j];
      float dx = other.x - me.x, dy = other.y - me.y, dz = other.z - me.z;
      float inverse = rsqrtf(dx * dx + dy * dy + dz * dz + 1e-3f);
      float s = other.w * inverse * inverse * inverse;
      ax += dx * s;
      ay += dy * s;
      az += dz * s;
    }
    __syncthreads();
  }
  out[i] = make_float4(ax, ay, az, 0);
}

// Forward transform of 256 complex numbers a block, radix 2, in shared memory; 128 threads.
extern "C" __global__ void fft256(float2* x) {
  __shared__ float2 s[256];
  float2* base = x + blockIdx.x * 256;
  int t = threadIdx.x;
  for (int i = t; i < 256; i += 128) s[__brev(i) >> 24] = base[i];
  for (int half = 1; half < 256; half *= 2) {
    __syncthreads();
    int k = t % half, i = t / half * 2 * half + k;
    float sine, cosine;
    sincospif(-(float)k / half, &sine, &cosine);
    float2 a = s[i], b = s[i + half];
    float2 w = make_float2(b.x * cosine - b.y * sine, b.x * sine + b.y * cosine);
    s[i] = make_float2(a.x + w.x, a.y + w.y);
    s[i + half] = make_float2(a.x - w.x, a.y - w.y);
  }
  __syncthreads();
  for (int i = t; i < 256; i += 128) base[i] = s[i];
}

// Angles up to 10^6: the slow reduction of large arguments goes through local memory.
extern "C" __global__ void waves(const float* x, float* y, int n) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < n) y[i] = sinf(x[i]) + cosf(3 * x[i]);
}
