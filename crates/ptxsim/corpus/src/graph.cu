// Sparse matrices, graphs, integers.

// y = A x, A in compressed rows: one thread a row.
extern "C" __global__ void spmv_row(const int* start, const int* column, const float* value, const float* x, float* y, int rows) {
  int r = blockIdx.x * blockDim.x + threadIdx.x;
  if (r >= rows) return;
  float sum = 0;
  for (int i = start[r]; i < start[r + 1]; i++) sum += value[i] * x[column[i]];
  y[r] = sum;
}

// One warp a row.
extern "C" __global__ void spmv_warp(const int* start, const int* column, const float* value, const float* x, float* y, int rows) {
  int r = (blockIdx.x * blockDim.x + threadIdx.x) / 32, lane = threadIdx.x % 32;
  if (r >= rows) return;
  float sum = 0;
  for (int i = start[r] + lane; i < start[r + 1]; i += 32) sum += value[i] * x[column[i]];
  for (int offset = 16; offset > 0; offset /= 2) sum += __shfl_down_sync(~0u, sum, offset);
  if (lane == 0) y[r] = sum;
}

// One level of a breadth-first search; who marks a vertex first appends it.
extern "C" __global__ void breadth_first(const int* start, const int* edge, int* depth, const int* frontier, int size, int* next, int* next_size, int level) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= size) return;
  int v = frontier[i];
  for (int e = start[v]; e < start[v + 1]; e++)
    if (atomicCAS(&depth[edge[e]], -1, level) == -1) next[atomicAdd(next_size, 1)] = edge[e];
}

// One step of all shortest paths over vertex k; n×n, in place. Row and column k do not change in their own step.
extern "C" __global__ void shortest_paths(int* d, int n, int k) {
  int j = blockIdx.x * blockDim.x + threadIdx.x, i = blockIdx.y * blockDim.y + threadIdx.y;
  if (i >= n || j >= n || i == k || j == k) return;
  int through = d[i * n + k] + d[k * n + j];
  if (through < d[i * n + j]) d[i * n + j] = through;
}

// Steps of the Collatz sequence: a loop whose length differs by lane; 64-bit division and multiplication.
extern "C" __global__ void collatz(const unsigned long long* x, unsigned* steps, int n) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= n) return;
  unsigned long long v = x[i];
  unsigned count = 0;
  while (v != 1) {
    v = v % 2 ? 3 * v + 1 : v / 2;
    count++;
  }
  steps[i] = count;
}

// Modular powers: 64-bit remainders by a variable.
extern "C" __global__ void power_mod(const unsigned* base, unsigned* out, unsigned exponent, unsigned modulus, int n) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= n) return;
  unsigned long long b = base[i] % modulus, r = 1;
  for (unsigned e = exponent; e; e >>= 1) {
    if (e & 1) r = r * b % modulus;
    b = b * b % modulus;
  }
  out[i] = (unsigned)r;
}

// Escape times of points; f64.
extern "C" __global__ void mandelbrot(unsigned short* out, int width, int height, double x0, double y0, double step) {
  int px = blockIdx.x * blockDim.x + threadIdx.x, py = blockIdx.y * blockDim.y + threadIdx.y;
  if (px >= width || py >= height) return;
  double cx = x0 + px * step, cy = y0 + py * step, x = 0, y = 0;
  int i = 0;
  for (; i < 100 && x * x + y * y <= 4; i++) {
    double t = x * x - y * y + cx;
    y = 2 * x * y + cy;
    x = t;
  }
  out[py * width + px] = i;
}

// Points of a generator in the quarter circle; 64-bit state, one count a warp.
extern "C" __global__ void monte_carlo(unsigned long long seed, int rounds, unsigned* inside) {
  unsigned long long s = seed + (blockIdx.x * blockDim.x + threadIdx.x) * 0x9e3779b97f4a7c15ull;
  unsigned hits = 0;
  for (int i = 0; i < rounds; i++) {
    s = s * 6364136223846793005ull + 1442695040888963407ull;
    float x = (unsigned)(s >> 40) * 0x1p-24f, y = (unsigned)(s >> 8 & 0xffffff) * 0x1p-24f;
    hits += x * x + y * y < 1;
  }
  hits = __reduce_add_sync(~0u, hits);
  if (threadIdx.x % 32 == 0) atomicAdd(inside, hits);
}

// A switch with a case a lane, and a device function that is called.
__device__ __noinline__ int mix(int a, int b) { return (a ^ b << 5) * 0x2545f491 + (b >> 3); }
extern "C" __global__ void interpret(const int* code, const int* x, int* y, int length, int n) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= n) return;
  int value = x[i];
  for (int p = 0; p < length; p++) {
    switch (code[(p + i) % length]) {
      case 0: value += i; break;
      case 1: value *= 3; break;
      case 2: value = ~value; break;
      case 3: value = mix(value, i); break;
      case 4: value = __clz(value) + 7; break;
      case 5: value = (value << 7) | ((unsigned)value >> 25); break;
      case 6: value = value / 5 - value % 7; break;
      default: value = max(value, -value); break;
    }
  }
  y[i] = value;
}

// A polynomial hash of lines of text, byte by byte, of unequal lengths.
extern "C" __global__ void hash_lines(const unsigned char* text, const int* start, unsigned* hash, int lines) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= lines) return;
  unsigned h = 2166136261u;
  for (int at = start[i]; at < start[i + 1]; at++) h = (h ^ text[at]) * 16777619u;
  hash[i] = h;
}
