"""An example of a kernel in Triton as a worker: a tiled product in f16 or bf16 with sums in f32, on a GPU.

    scalemark run --device cuda -m 4096 --dtype bf16 --kernel 'matmul/*' --worker 'python3 workers/triton_worker.py'
"""

import torch
import triton
import triton.language as tl
import torch_worker
from scalemark_worker import Refused, asked_device, serve


@triton.jit
def product(a, b, c, m, n, k, am, ak, bk, bn, cm, cn, BM: tl.constexpr, BN: tl.constexpr, BK: tl.constexpr, GROUP: tl.constexpr):
    # Blocks of GROUP rows of tiles follow one another, so that they find each other's columns of B in the L2.
    block, rows, columns = tl.program_id(0), tl.cdiv(m, BM), tl.cdiv(n, BN)
    first = block // (GROUP * columns) * GROUP
    height = min(rows - first, GROUP)
    i = first + block % (GROUP * columns) % height
    j = block % (GROUP * columns) // height
    at_m, at_n, at_k = i * BM + tl.arange(0, BM), j * BN + tl.arange(0, BN), tl.arange(0, BK)
    sums = tl.zeros((BM, BN), dtype=tl.float32)
    for start in range(0, k, BK):
        left = k - start
        x = tl.load(a + at_m[:, None] * am + (start + at_k)[None, :] * ak,
                    mask=(at_m[:, None] < m) & (at_k[None, :] < left), other=0.0)
        y = tl.load(b + (start + at_k)[:, None] * bk + at_n[None, :] * bn,
                    mask=(at_k[:, None] < left) & (at_n[None, :] < n), other=0.0)
        sums = tl.dot(x, y, sums)
    tl.store(c + at_m[:, None] * cm + at_n[None, :] * cn, sums.to(c.dtype.element_ty),
             mask=(at_m[:, None] < m) & (at_n[None, :] < n))


class Matmul(torch_worker.Matmul):
    """One product, in tiles of 128 × 128 × 64; any layout, for strides say how operands lie."""

    def __init__(self, job):
        if torch_worker.device.type != "cuda":
            raise Refused("Triton needs a GPU that CUDA or ROCm finds")
        job.needs(inputs=["f16", "bf16"], output=["f16", "bf16"])
        super().__init__(job)
        if not self.single:
            raise Refused("multiplies two matrices, not batches")

    def launch(self, slot):
        a, b, c = self.sets[slot]
        (m, k), n = a.shape, b.shape[1]
        grid = (triton.cdiv(m, 128) * triton.cdiv(n, 128),)
        product[grid](a, b, c, m, n, k, *a.stride(), *b.stride(), *c.stride(), BM=128, BN=128, BK=64, GROUP=8,
                      num_warps=8, num_stages=3)


if __name__ == "__main__":
    device = torch_worker.device = torch.device(asked_device() if torch.cuda.is_available() else "cpu")
    serve("triton", {"matmul/triton": Matmul}, {"triton": triton.__version__, "torch": torch.__version__},
          device=str(device), free=torch.cuda.empty_cache if device.type == "cuda" else lambda: None, uuid=torch_worker.uuid())
