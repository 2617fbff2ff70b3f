"""AMD's zentorch as a baseline: the operators by which it replaces PyTorch's, called as its compiler backend calls them, with `out=`."""

import torch
import zentorch
from scalemark_worker import Refused, serve
from torch.nn.attention import SDPBackend
from torch_worker import Attention, Matmul, empty


class Product(Matmul):
    """zentorch_linear_unary for single products, B as it lies, and zentorch_bmm for batches."""

    def __init__(self, job):
        super().__init__(job)
        if job.precision["inputs"] not in ("f32", "bf16"):
            raise Refused(f"multiplies f32 and bf16, not {job.precision['inputs']}")
        self.linear, self.batches = torch.ops.zentorch.zentorch_linear_unary.out, torch.ops.zentorch.zentorch_bmm.out

    def launch(self, slot):
        a, b, c = self.sets[slot]
        if self.single:
            self.linear(a, b.t(), out=c)
        else:
            self.batches(a, b, out=c)


class FusedAttention(Attention):
    """zentorch_sdpa, forward and decode."""

    def __init__(self, job):
        if job.what == "bwd":
            raise Refused("computes no gradients")
        if job.precision["inputs"] not in ("f32", "bf16"):
            raise Refused(f"takes f32 and bf16, not {job.precision['inputs']}")
        if job.sizes["head_dim_qk"] != job.sizes["head_dim_v"]:
            raise Refused("has values as wide as queries and keys")
        self.function, self.into = torch.ops.zentorch.zentorch_sdpa.out, empty(job, "out")
        super().__init__(job, SDPBackend.FLASH_ATTENTION)
        self.allocated += self.into.nbytes

    def call(self, q, k, v):
        mask = self.options.get("attn_mask")
        if mask is not None and mask.dtype == torch.bool:
            mask = self.options["attn_mask"] = torch.zeros(mask.shape, dtype=q.dtype).masked_fill_(~mask, float("-inf"))
        if self.options["enable_gqa"] and k.shape[1] != q.shape[1]:
            raise Refused("has a KV head for every query head")
        self.function(q, k, v, 0.0, self.options.get("is_causal", False), attn_mask=mask, out=self.into)
        return self.into


if __name__ == "__main__":
    facts = {"zentorch": zentorch.__version__, "torch": torch.__version__}
    serve("zentorch", {"matmul/zentorch": Product, "attention/zentorch": FusedAttention}, facts, torch.set_num_threads)
