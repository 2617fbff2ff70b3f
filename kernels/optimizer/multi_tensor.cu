// optimizer/multi-tensor: one step of any rule over a list of tensors, in one launch.
//
// Needs: any architecture; f32, or bf16 parameters and gradients with f32 moments. Tensors of any length at any address: those
//   whose vectors all begin at multiples of 16 bytes are updated 16 bytes at a time, the others one by one.
// Ladder: rung 3. A model has hundreds of tensors, most of them small; a launch for each costs more than the work. `tensors` holds
//   five words a tensor (gradients, parameters, first and second moment, length), `chunks` the tensor and first parameter
//   of what a block updates, CHUNK parameters at most. The row cuts one flat vector into uneven pieces.
// Bound (H100): memory; two dependent loads of tables a block come before it, hidden by the other blocks of an SM.
// Least work: as vectorized; tables take 16 bytes a block and 40 a tensor.
// Ideas: NVIDIA Apex, multi_tensor_apply; PyTorch's foreach optimizers.
#include "optimizer/rules.cuh"

#if !defined(CHUNK)
#error "the row passes CHUNK"
#endif

struct Tensor {
  Vectors at;
  u64 params;
};
struct Chunk {
  u64 tensor, first;
};

extern "C" __global__ void __launch_bounds__(THREADS)
optimizer_multi_tensor(const Tensor* __restrict__ tensors, const Chunk* __restrict__ chunks, CONSTANTS) {
  const Constants k = GATHERED;
  const Chunk chunk = chunks[blockIdx.x];
  const Tensor tensor = tensors[chunk.tensor];
  const Vectors at = {tensor.at.g + chunk.first, tensor.at.p + chunk.first, tensor.at.m + chunk.first, tensor.at.v + chunk.first};
  const u64 left = tensor.params - chunk.first;
  const u32 here = left < CHUNK ? (u32)left : CHUNK;
  const u64 places = (u64)at.g | (u64)at.p | (MOMENTS > 0 ? (u64)at.m : 0) | (MOMENTS > 1 ? (u64)at.v : 0);
  const u32 whole = places % 16 == 0 ? here / WIDE : 0;
  for (u32 i = threadIdx.x; i < whole; i += THREADS) {
    Held held;
    load(held, at, i);
    step_and_store(k, held, at, i);
  }
  for (u32 i = whole * WIDE + threadIdx.x; i < here; i += THREADS) step_one(k, at, i);
}
