// Layers of networks.

__device__ float block_sum(float value, float* scratch) {
  for (int mask = 16; mask > 0; mask /= 2) value += __shfl_xor_sync(~0u, value, mask);
  __syncthreads();
  if (threadIdx.x % 32 == 0) scratch[threadIdx.x / 32] = value;
  __syncthreads();
  value = 0;
  for (int w = 0; w < blockDim.x / 32; w++) value += scratch[w];
  return value;
}

// One block a row, three passes.
extern "C" __global__ void softmax_block(const float* x, float* y, int n) {
  __shared__ float scratch[32];
  const float* row = x + blockIdx.x * n;
  float largest = -__int_as_float(0x7f800000);
  for (int j = threadIdx.x; j < n; j += blockDim.x) largest = fmaxf(largest, row[j]);
  for (int mask = 16; mask > 0; mask /= 2) largest = fmaxf(largest, __shfl_xor_sync(~0u, largest, mask));
  if (threadIdx.x % 32 == 0) scratch[threadIdx.x / 32] = largest;
  __syncthreads();
  for (int w = 0; w < blockDim.x / 32; w++) largest = fmaxf(largest, scratch[w]);
  float sum = 0;
  for (int j = threadIdx.x; j < n; j += blockDim.x) sum += __expf(row[j] - largest);
  sum = block_sum(sum, scratch);
  for (int j = threadIdx.x; j < n; j += blockDim.x) y[blockIdx.x * n + j] = __expf(row[j] - largest) / sum;
}

// One warp a row, one pass: maximum and sum together, merged by shuffles.
extern "C" __global__ void softmax_online(const float* x, float* y, int rows, int n) {
  int r = blockIdx.x * (blockDim.x / 32) + threadIdx.x / 32, lane = threadIdx.x % 32;
  if (r >= rows) return;
  float largest = -__int_as_float(0x7f800000), sum = 0;
  for (int j = lane; j < n; j += 32) {
    float value = x[r * n + j], next = fmaxf(largest, value);
    sum = sum * expf(largest - next) + expf(value - next);
    largest = next;
  }
  for (int mask = 16; mask > 0; mask /= 2) {
    float other = __shfl_xor_sync(~0u, largest, mask), part = __shfl_xor_sync(~0u, sum, mask);
    float next = fmaxf(largest, other);
    sum = sum * expf(largest - next) + part * expf(other - next);
    largest = next;
  }
  for (int j = lane; j < n; j += 32) y[r * n + j] = expf(x[r * n + j] - largest) / sum;
}

// Also stores mean and reciprocal deviation.
extern "C" __global__ void layernorm(const float* x, const float* gain, const float* bias, float* y, float* mean, float* rstd, int n) {
  __shared__ float scratch[32];
  const float* row = x + blockIdx.x * n;
  float sum = 0, square = 0;
  for (int j = threadIdx.x; j < n; j += blockDim.x) sum += row[j];
  float m = block_sum(sum, scratch) / n;
  for (int j = threadIdx.x; j < n; j += blockDim.x) square += (row[j] - m) * (row[j] - m);
  float r = rsqrtf(block_sum(square, scratch) / n + 1e-5f);
  for (int j = threadIdx.x; j < n; j += blockDim.x) y[blockIdx.x * n + j] = (row[j] - m) * r * gain[j] + bias[j];
  if (threadIdx.x == 0) {
    mean[blockIdx.x] = m;
    rstd[blockIdx.x] = r;
  }
}

// Gradients of layernorm: dx by row, gain's and bias's by atomic additions.
extern "C" __global__ void layernorm_backward(const float* dy, const float* x, const float* gain, const float* mean, const float* rstd,
                                              float* dx, float* dgain, float* dbias, int n) {
  __shared__ float scratch[32];
  int row = blockIdx.x * n;
  float m = mean[blockIdx.x], r = rstd[blockIdx.x], a = 0, b = 0;
  for (int j = threadIdx.x; j < n; j += blockDim.x) {
    float h = (x[row + j] - m) * r, d = gain[j] * dy[row + j];
    a += d;
    b += d * h;
  }
  a = block_sum(a, scratch) / n;
  b = block_sum(b, scratch) / n;
  for (int j = threadIdx.x; j < n; j += blockDim.x) {
    float h = (x[row + j] - m) * r;
    dx[row + j] = (gain[j] * dy[row + j] - a - h * b) * r;
    atomicAdd(&dgain[j], dy[row + j] * h);
    atomicAdd(&dbias[j], dy[row + j]);
  }
}

extern "C" __global__ void gelu(const float* x, float* y, int n) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < n) y[i] = 0.5f * x[i] * (1 + tanhf(0.7978845608f * (x[i] + 0.044715f * x[i] * x[i] * x[i])));
}

extern "C" __global__ void swiglu(const float* gate, const float* up, float* y, int n) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < n) y[i] = gate[i] / (1 + expf(-gate[i])) * up[i];
}

// Pairs of f16: max(0, x) * a + b.
extern "C" __global__ void relu_f16x2(const unsigned* x, unsigned* y, unsigned a, unsigned b, int n) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= n) return;
  unsigned value = x[i];
  asm("max.f16x2 %0, %0, %1;" : "+r"(value) : "r"(0));
  asm("fma.rn.f16x2 %0, %0, %1, %2;" : "+r"(value) : "r"(a), "r"(b));
  y[i] = value;
}

// Rotary embedding of pairs (j, j + half); exact angles up to the position.
extern "C" __global__ void rope(float* q, int heads, int half, float base) {
  int position = blockIdx.x, head = blockIdx.y;
  for (int j = threadIdx.x; j < half; j += blockDim.x) {
    float angle = position * powf(base, -(float)j / half), s, c;
    sincosf(angle, &s, &c);
    float* at = q + (position * heads + head) * 2 * half;
    float u = at[j], v = at[j + half];
    at[j] = u * c - v * s;
    at[j + half] = u * s + v * c;
  }
}

// Loss and gradient at the logits for one target a row; one warp a row.
extern "C" __global__ void cross_entropy(const float* logits, const int* targets, float* loss, float* grad, int n) {
  int row = blockIdx.x, lane = threadIdx.x;
  float largest = -__int_as_float(0x7f800000), sum = 0;
  for (int j = lane; j < n; j += 32) largest = fmaxf(largest, logits[row * n + j]);
  for (int mask = 16; mask > 0; mask /= 2) largest = fmaxf(largest, __shfl_xor_sync(~0u, largest, mask));
  for (int j = lane; j < n; j += 32) sum += expf(logits[row * n + j] - largest);
  for (int mask = 16; mask > 0; mask /= 2) sum += __shfl_xor_sync(~0u, sum, mask);
  int target = targets[row];
  for (int j = lane; j < n; j += 32) grad[row * n + j] = expf(logits[row * n + j] - largest) / sum - (j == target);
  if (lane == 0) loss[row] = logf(sum) + largest - logits[row * n + target];
}

// Token and position embeddings, added: four floats a thread; width a multiple of 4.
extern "C" __global__ void embed(const int* tokens, const float4* words, const float4* positions, float4* out, int t, int width4, int n) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= n * width4) return;
  int at = i / width4, c = i % width4;
  float4 u = words[tokens[at] * width4 + c], v = positions[at % t * width4 + c];
  out[i] = make_float4(u.x + v.x, u.y + v.y, u.z + v.z, u.w + v.w);
}

// Largest magnitude of a row scales it to int8; half away from even.
extern "C" __global__ void quantize_rows(const float* x, signed char* q, float* scale, int n) {
  int row = blockIdx.x, lane = threadIdx.x;
  float largest = 0;
  for (int j = lane; j < n; j += 32) largest = fmaxf(largest, fabsf(x[row * n + j]));
  for (int mask = 16; mask > 0; mask /= 2) largest = fmaxf(largest, __shfl_xor_sync(~0u, largest, mask));
  float step = largest / 127;
  for (int j = lane; j < n; j += 32) q[row * n + j] = (signed char)__float2int_rn(x[row * n + j] / step);
  if (lane == 0) scale[row] = step;
}
