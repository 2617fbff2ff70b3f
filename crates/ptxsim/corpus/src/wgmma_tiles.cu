// One 64×64 tile D = A · B of bf16 with k = 64 by wgmma, from images of shared memory that the host lays out: `image` holds A,
// then B from `b_at` on. Descriptors come from the host as well; `step` is what a step of 16 along k adds to their start.
typedef unsigned int u32;
typedef unsigned long long u64;

#define D32(x) "+f"(x[0]), "+f"(x[1]), "+f"(x[2]), "+f"(x[3]), "+f"(x[4]), "+f"(x[5]), "+f"(x[6]), "+f"(x[7]), \
  "+f"(x[8]), "+f"(x[9]), "+f"(x[10]), "+f"(x[11]), "+f"(x[12]), "+f"(x[13]), "+f"(x[14]), "+f"(x[15]), \
  "+f"(x[16]), "+f"(x[17]), "+f"(x[18]), "+f"(x[19]), "+f"(x[20]), "+f"(x[21]), "+f"(x[22]), "+f"(x[23]), \
  "+f"(x[24]), "+f"(x[25]), "+f"(x[26]), "+f"(x[27]), "+f"(x[28]), "+f"(x[29]), "+f"(x[30]), "+f"(x[31])
#define REGS "{%0,%1,%2,%3,%4,%5,%6,%7,%8,%9,%10,%11,%12,%13,%14,%15,%16,%17,%18,%19,%20,%21,%22,%23,%24,%25,%26,%27,%28,%29,%30,%31}"

template <int TA, int TB> __device__ void shared_shared(float (&d)[32], u64 a, u64 b, u32 scale) {
  asm volatile("{\n.reg .pred p;\nsetp.ne.b32 p, %34, 0;\n"
               "wgmma.mma_async.sync.aligned.m64n64k16.f32.bf16.bf16 " REGS ", %32, %33, p, 1, 1, %35, %36;\n}\n"
               : D32(d) : "l"(a), "l"(b), "r"(scale), "n"(TA), "n"(TB));
}
template <int TB> __device__ void register_shared(float (&d)[32], const u32 (&a)[4], u64 b, u32 scale) {
  asm volatile("{\n.reg .pred p;\nsetp.ne.b32 p, %37, 0;\n"
               "wgmma.mma_async.sync.aligned.m64n64k16.f32.bf16.bf16 " REGS ", {%32,%33,%34,%35}, %36, p, 1, 1, %38;\n}\n"
               : D32(d) : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b), "r"(scale), "n"(TB));
}

__device__ u32 fill(const uint4* image, u32 bytes) {
  extern __shared__ __align__(1024) unsigned char tile[];
  for (u32 i = threadIdx.x; i < bytes / 16; i += 128) ((uint4*)tile)[i] = image[i];
  asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
  __syncthreads();
  return (u32)__cvta_generic_to_shared(tile);
}
__device__ void finish(float (&d)[32], float* out) {
  asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory");
  asm volatile("wgmma.wait_group.sync.aligned 0;" ::: "memory");
  int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  for (int i = 0; i < 32; i++)
    out[(warp * 16 + lane / 4 + i / 2 % 2 * 8) * 64 + i / 4 * 8 + lane % 4 * 2 + i % 2] = d[i];
}

template <int TA, int TB>
__device__ void run(const uint4* image, u32 bytes, u32 b_at, u64 a, u64 b, u32 step_a, u32 step_b, float* out) {
  u32 base = fill(image, bytes);
  float d[32];
  asm volatile("wgmma.fence.sync.aligned;" ::: "memory");
  for (int s = 0; s < 4; s++)
    shared_shared<TA, TB>(d, a + ((base + s * step_a) >> 4), b + ((base + b_at + s * step_b) >> 4), s);
  finish(d, out);
}
#define ENTRY(name, TA, TB) extern "C" __global__ void __launch_bounds__(128) name(const uint4* image, u32 bytes, u32 b_at, u64 a, \
    u64 b, u32 step_a, u32 step_b, float* out) { run<TA, TB>(image, bytes, b_at, a, b, step_a, step_b, out); }
ENTRY(wgmma_kk, 0, 0)
ENTRY(wgmma_mk, 1, 0)
ENTRY(wgmma_kn, 0, 1)
ENTRY(wgmma_mn, 1, 1)

// A from registers: `rows` is A, 64×64 row-major, two bf16 a word.
template <int TB>
__device__ void run_registers(const u32* rows, const uint4* image, u32 bytes, u64 b, u32 step_b, float* out) {
  u32 base = fill(image, bytes);
  float d[32];
  int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  u32 a[4][4];
  for (int s = 0; s < 4; s++)
    for (int i = 0; i < 4; i++) a[s][i] = rows[(warp * 16 + lane / 4 + i % 2 * 8) * 32 + s * 8 + i / 2 * 4 + lane % 4];
  asm volatile("wgmma.fence.sync.aligned;" ::: "memory");
  for (int s = 0; s < 4; s++) register_shared<TB>(d, a[s], b + ((base + s * step_b) >> 4), s);
  finish(d, out);
}
extern "C" __global__ void __launch_bounds__(128) wgmma_rk(const u32* rows, const uint4* image, u32 bytes, u64 b, u32 step_b, float* out) {
  run_registers<0>(rows, image, bytes, b, step_b, out);
}
extern "C" __global__ void __launch_bounds__(128) wgmma_rn(const u32* rows, const uint4* image, u32 bytes, u64 b, u32 step_b, float* out) {
  run_registers<1>(rows, image, bytes, b, step_b, out);
}
