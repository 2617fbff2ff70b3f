// C = A · B in bf16 with f32 sums: ldmatrix, ldmatrix.trans, mma.sync, stmatrix-free epilogue. A is m×k, B is k×n, C is m×n,
// all row-major, sizes multiples of 32, 32 and 16. One block of 4 warps makes a 32×32 tile of C.
typedef unsigned int u32;
typedef unsigned short u16;

extern "C" __global__ void matrix_gemm(const u16* a, const u16* b, float* c, int m, int n, int k) {
  __shared__ __align__(16) u16 ta[32][16 + 8];
  __shared__ __align__(16) u16 tb[16][32 + 8];
  int t = threadIdx.x, lane = t % 32, warp = t / 32;
  int row = blockIdx.y * 32, column = blockIdx.x * 32;
  float d[2][4] = {};
  for (int p = 0; p < k; p += 16) {
    if (t < 64) *(uint4*)&ta[t / 2][t % 2 * 8] = *(const uint4*)&a[(row + t / 2) * k + p + t % 2 * 8];
    else *(uint4*)&tb[(t - 64) / 4][t % 4 * 8] = *(const uint4*)&b[(p + (t - 64) / 4) * n + column + t % 4 * 8];
    __syncthreads();
    u32 fa[4], fb[4];
    u32 at = (u32)__cvta_generic_to_shared(&ta[warp / 2 * 16 + lane % 16][lane / 16 * 8]);
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
                 : "=r"(fa[0]), "=r"(fa[1]), "=r"(fa[2]), "=r"(fa[3]) : "r"(at));
    at = (u32)__cvta_generic_to_shared(&tb[lane % 16][warp % 2 * 16 + lane / 16 * 8]);
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];"
                 : "=r"(fb[0]), "=r"(fb[1]), "=r"(fb[2]), "=r"(fb[3]) : "r"(at));
    for (int h = 0; h < 2; h++)
      asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
                   : "+f"(d[h][0]), "+f"(d[h][1]), "+f"(d[h][2]), "+f"(d[h][3])
                   : "r"(fa[0]), "r"(fa[1]), "r"(fa[2]), "r"(fa[3]), "r"(fb[2 * h]), "r"(fb[2 * h + 1]));
    __syncthreads();
  }
  for (int h = 0; h < 2; h++)
    for (int i = 0; i < 2; i++) {
      int r = row + warp / 2 * 16 + lane / 4 + i * 8, q = column + warp % 2 * 16 + h * 8 + lane % 4 * 2;
      *(float2*)&c[r * n + q] = make_float2(d[h][2 * i], d[h][2 * i + 1]);
    }
}
