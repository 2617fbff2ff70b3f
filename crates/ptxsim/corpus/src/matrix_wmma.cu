// C = A · B by the wmma interface of CUDA C++ in f16 with f32 sums, scaled by alpha on the fragment. One warp makes a 16×16
// tile; A is m×k row-major, B is k×n column-major, C is m×n row-major.
#include <mma.h>
using namespace nvcuda;

extern "C" __global__ void matrix_wmma(const half* a, const half* b, float* c, int m, int n, int k, float alpha) {
  wmma::fragment<wmma::matrix_a, 16, 16, 16, half, wmma::row_major> fa;
  wmma::fragment<wmma::matrix_b, 16, 16, 16, half, wmma::col_major> fb;
  wmma::fragment<wmma::accumulator, 16, 16, 16, float> fc;
  wmma::fill_fragment(fc, 0.0f);
  int row = blockIdx.y * 16, column = blockIdx.x * 16;
  for (int p = 0; p < k; p += 16) {
    wmma::load_matrix_sync(fa, a + row * k + p, k);
    wmma::load_matrix_sync(fb, b + column * k + p, k);
    wmma::mma_sync(fc, fa, fb, fc);
  }
  for (int i = 0; i < fc.num_elements; i++) fc.x[i] *= alpha;
  wmma::store_matrix_sync(c + row * n + column, fc, n, wmma::mem_row_major);
}
