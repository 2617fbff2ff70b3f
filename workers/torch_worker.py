"""PyTorch as a baseline, driven at its best: results into tensors made before, no graph of gradients where none is asked for, and
memory that is touched before the clock starts. On the CPU or, as the run asks, on a GPU: timed by events, behind a flush of the L2 where
caches are cold. cuDNN's attention comes through here.
"""

import argparse
import contextlib
import functools
import math
import os
import shutil
import warnings

import torch
import torch.nn.functional as F
from scalemark_worker import Prepared, Refused, asked_device, serve
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.attention.bias import causal_lower_right

DTYPES = {"f32": torch.float32, "tf32": torch.float32, "bf16": torch.bfloat16, "f16": torch.float16, "i8": torch.int8, "i32": torch.int32}
NAMES = {dtype: name for name, dtype in DTYPES.items() if name != "tf32"}
# Bytes that are written between two cold samples on a GPU: more than any cache holds.
FLUSH = 512 << 20
# Launches shorter than this are replayed as a CUDA graph, up to so many in one: the host's pace is no part of them.
GRAPH_BELOW_NS, GRAPH_LAUNCHES = 20_000, 256
device = torch.device("cpu")


def tensor(operand):
    """A copy of an operand on the device: its memory is touched here, outside the clock."""
    if operand.dtype not in DTYPES:
        raise Refused(f"takes no {operand.dtype}")
    with warnings.catch_warnings():
        # The shared file can only be read; the copy is ours.
        warnings.simplefilter("ignore")
        flat = torch.frombuffer(operand.memory, dtype=DTYPES[operand.dtype], count=operand.count, offset=operand.offset)
    out = torch.empty(operand.shape, dtype=flat.dtype, device=device)
    out.copy_(flat.view(operand.shape))
    return out


def empty(job, role):
    """A poisoned tensor for a result."""
    placed = next(t for t in job.asked["tensors"] if t["role"] == role)
    out = torch.empty(placed["shape"], dtype=DTYPES[placed["dtype"]], device=device)
    return out.fill_(math.nan if out.is_floating_point() else -(1 << 30))


def output(x):
    """A tensor as (dtype, shape, bytes)."""
    x = x.detach().contiguous().cpu()
    return NAMES[x.dtype], x.shape, memoryview(x.flatten().view(torch.uint8).numpy())


class OnDevice(Prepared):
    """What kernels of torch share: how they are timed on a GPU, and that nothing keeps a graph of gradients unless it must."""

    grad = False

    def __init__(self, job):
        self.slots, self.cold = job.slots, job.cache == "cold"
        # A graph of `replayed` launches; none until a launch was seen to be short, 0 where nothing can be captured.
        self.shortest, self.graph, self.replayed = math.inf, None, None
        self.flush = torch.empty(FLUSH, dtype=torch.uint8, device=device) if device.type == "cuda" and self.cold else None

    @contextlib.contextmanager
    def context(self):
        with torch.inference_mode() if not self.grad else contextlib.nullcontext():
            yield

    def time(self, launches, first_slot):
        if device.type == "cpu":
            return super().time(launches, first_slot)
        if self.cold:
            return sum(self.timed(lambda: self.launch(slot % self.slots), 1) for slot in range(first_slot, first_slot + launches))
        # What only the host drives, gradients and optimizers, is not captured.
        if launches > 1 and self.shortest < GRAPH_BELOW_NS and not self.grad:
            self.capture(launches)
        took = self.timed(lambda: self.replay(launches, first_slot), launches)
        self.shortest = min(self.shortest, took / launches)
        return took

    def capture(self, launches):
        """A graph for samples of so many launches, outside the clock."""
        each = min(launches, GRAPH_LAUNCHES)
        if self.replayed == 0 or self.replayed == each:
            return
        try:
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph):
                for slot in range(each):
                    self.launch(slot % self.slots)
            # The first launch of a graph makes room for it on the GPU.
            graph.replay()
        except RuntimeError as error:
            self.graph, self.replayed = None, 0
            print(f"launches are not captured: {error}")
        else:
            self.graph, self.replayed = graph, each

    def replay(self, launches, first_slot):
        """Enqueues so many launches, as graphs where there is one."""
        graphs, single = divmod(launches, self.replayed) if self.replayed else (0, launches)
        for _ in range(graphs):
            self.graph.replay()
        for slot in range(first_slot, first_slot + single):
            self.launch(slot % self.slots)

    def timed(self, enqueue, launches):
        """Flush the L2, keep the stream busy while the host enqueues, start event, launches, stop event, wait."""
        start, stop = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        if self.flush is not None:
            self.flush.zero_()
        # Cycles: about half a millisecond, and 10 µs a launch, which is more than the host takes to enqueue one.
        torch.cuda._sleep(1_000_000 + 20_000 * min(launches, 500))
        start.record()
        enqueue()
        stop.record()
        stop.synchronize()
        return start.elapsed_time(stop) * 1e6


class Matmul(OnDevice):
    """torch.matmul with `out=`, sums in f32, or in tf32 where the case says so; int8 through torch._int_mm."""

    def __init__(self, job):
        super().__init__(job)
        if job.sizes.get("groups"):
            raise Refused("has no product grouped by experts")
        kinds = {("f32", "f32"), ("bf16", "bf16"), ("f16", "f16"), ("i8", "i32")}
        if device.type == "cuda":
            kinds.add(("tf32", "f32"))
        self.tf32 = job.precision["inputs"] == "tf32"
        kind = (job.precision["inputs"], job.precision["output"])
        if kind not in kinds:
            raise Refused(f"has no product of {kind[0]} with results in {kind[1]}")
        turned = {"nn": (False, False), "nt": (False, True), "tn": (True, False)}[job.sizes["transpose"]]
        self.single = job.sizes["batch"] == 1
        if kind[0] == "i8" and not self.single:
            raise Refused("torch._int_mm has no batches")
        self.sets = []
        for _ in range(job.slots):
            a, b = (x.mT if turn else x for x, turn in zip((tensor(job.operands[r]) for r in "ab"), turned))
            c = empty(job, "c")
            self.sets.append(tuple(x[0] if self.single else x for x in (a, b, c)))
        self.call = torch._int_mm if kind[0] == "i8" else torch.mm if self.single else torch.bmm
        self.allocated = sum(x.nbytes for x in self.sets[0])

    @contextlib.contextmanager
    def context(self):
        # cuBLAS is asked again at each call: kernels of both kinds can be held at a time.
        torch.backends.cuda.matmul.allow_tf32 = self.tf32
        with super().context():
            yield

    def launch(self, slot):
        a, b, c = self.sets[slot]
        self.call(a, b, out=c)

    def results(self):
        c = self.sets[0][2]
        return {"c": output(c[None] if self.single else c)}


class Onednn(Matmul):
    """The products of torch's linear layers under torch.compile: oneDNN with its own choice of vector instructions, B as it lies."""

    def __init__(self, job):
        super().__init__(job)
        if not self.single or job.precision["inputs"] == "i8":
            raise Refused("takes single products of floats")
        self.linear = torch.ops.mkldnn._linear_pointwise

    def launch(self, slot):
        a, b, _ = self.sets[slot]
        self.c = self.linear(a, b.t(), None, "none", [], "")

    def results(self):
        return {"c": output(self.c[None])}


class Attention(OnDevice):
    """scaled_dot_product_attention on one backend, forward and decode, and its gradients."""

    def __init__(self, job, backend):
        super().__init__(job)
        s = job.sizes
        if job.precision["output"] != job.precision["inputs"] or job.precision["state"] not in (None, job.precision["inputs"]):
            raise Refused("has queries, cache and results of one format")
        self.backend, self.grad = backend, job.what == "bwd"
        roles = ("q", "k", "v", "d_out") if self.grad else ("q", "k", "v")
        self.sets = [[tensor(job.operands[role]) for role in roles] for _ in range(job.slots)]
        self.options = {"enable_gqa": s["heads"] != s["kv_heads"]}
        if s["causal"] and s["seq_q"] > 1:
            if s["seq_q"] == s["seq_kv"]:
                self.options["is_causal"] = True
            else:
                # torch aligns masks to the start; queries that follow keys of their own need one to the end.
                mask = causal_lower_right(s["seq_q"], s["seq_kv"])
                self.options["attn_mask"] = mask if device.type == "cuda" else mask._materialize(device)
        self.allocated = sum(x.nbytes for x in self.sets[0])
        self.forwards = []
        with self.context():
            if self.grad:
                for operands in self.sets:
                    for x in operands[:3]:
                        x.requires_grad_(True)
                    self.forwards.append(self.call(*operands[:3]))
            else:
                # A backend that does not take the case says so here.
                self.out = self.call(*self.sets[0])

    @contextlib.contextmanager
    def context(self):
        with super().context(), sdpa_kernel(self.backend), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                yield
            except RuntimeError as error:
                if "No available kernel" in str(error) or "No viable backend" in str(error):
                    raise Refused(f"the backend {self.backend.name.lower()} does not take this case") from error
                raise

    def call(self, q, k, v):
        return F.scaled_dot_product_attention(q, k, v, **self.options)

    def launch(self, slot):
        if self.grad:
            q, k, v, d_out = self.sets[slot]
            self.gradients = torch.autograd.grad(self.forwards[slot], (q, k, v), d_out, retain_graph=True)
        else:
            self.out = self.call(*self.sets[slot])

    def results(self):
        if self.grad:
            return {role: output(x) for role, x in zip(("d_q", "d_k", "d_v"), self.gradients)}
        return {"out": output(self.out)}


class FlashAttn(Attention):
    """The package flash-attn, on a GPU: [batch, seq, heads, head_dim], so that tensors are turned while they are prepared."""

    def __init__(self, job):
        try:
            from flash_attn import flash_attn_func
        except ImportError as error:
            raise Refused(f"flash-attn is not installed ({error}): pip install flash-attn") from error
        self.function = flash_attn_func
        if device.type != "cuda" or job.precision["inputs"] not in ("bf16", "f16"):
            raise Refused("flash-attn takes bf16 and f16 on a GPU")
        self.causal = job.sizes["causal"]
        super().__init__(job, SDPBackend.FLASH_ATTENTION)

    def call(self, q, k, v):
        turned = (x.transpose(1, 2) for x in (q, k, v))
        return self.function(*turned, causal=self.causal).transpose(1, 2)


RULES = {
    "sgd": (torch.optim.SGD, {}, {}),
    "momentum": (torch.optim.SGD, {"momentum": "momentum"}, {"momentum_buffer": "moment1"}),
    "nesterov": (torch.optim.SGD, {"momentum": "momentum"}, {"momentum_buffer": "moment1"}),
    "adagrad": (torch.optim.Adagrad, {"eps": "eps"}, {"sum": "moment1"}),
    "rmsprop": (torch.optim.RMSprop, {"alpha": "beta2", "eps": "eps"}, {"square_avg": "moment1"}),
    "adam": (torch.optim.Adam, {"eps": "eps"}, {"exp_avg": "moment1", "exp_avg_sq": "moment2"}),
    "adamw": (torch.optim.AdamW, {"eps": "eps", "weight_decay": "weight_decay"},
              {"exp_avg": "moment1", "exp_avg_sq": "moment2"}),
}


class Update(OnDevice):
    """torch.optim with `foreach` or `fused`, some way into a training run: state is given, as after the step before this one."""

    in_place = True
    # step() turns gradients off by itself, and its in-place updates are not for inference tensors.
    grad = True

    def __init__(self, job, form):
        super().__init__(job)
        formats = {job.precision[part] for part in ("inputs", "output", "state")} - {None}
        if len(formats) != 1:
            raise Refused("keeps gradients, parameters and state in one format")
        rule = job.sizes["rule"]
        if rule not in RULES:
            raise Refused(f"torch.optim has no {rule}")
        if form == "compiled" and device.type == "cpu" and not shutil.which(os.environ.get("CXX", "g++")):
            raise Refused("torch.compile needs a C++ compiler: install g++, or name one by CXX")
        make, names, self.state = RULES[rule]
        options = {name: job.hyper[ours] for name, ours in names.items()}
        if rule in ("adam", "adamw"):
            options["betas"] = (job.hyper["beta1"], job.hyper["beta2"])
        if rule == "nesterov":
            options["nesterov"] = True
        options["fused" if form == "fused" else "foreach"] = True
        self.pristine = {role: tensor(job.operands[role]) for role in job.operands if role != "grads"}
        self.before, self.sets = float(job.hyper["step"] - 1), []
        for _ in range(job.slots):
            p = self.pristine["params"].clone().requires_grad_(True)
            p.grad = tensor(job.operands["grads"])
            try:
                optimizer = make([p], lr=job.hyper["lr"], **options)
            except (RuntimeError, TypeError) as error:
                raise Refused(f"torch.optim.{make.__name__} has no {form} form here ({error})") from error
            state = optimizer.state[p]
            for name, role in self.state.items():
                state[name] = self.pristine[role].clone()
            if rule not in ("sgd", "momentum", "nesterov"):
                on = device if form == "fused" else torch.device("cpu")
                # A compiled step raises the betas to this power on the device: in f32 that alone costs seven of a parameter's bits.
                dtype = torch.float64 if form == "compiled" else torch.float32
                state["step"] = torch.tensor(self.before, dtype=dtype, device=on)
            step = torch.compile(optimizer.step) if form == "compiled" else optimizer.step
            self.sets.append((p, state, step))
        self.allocated = sum(x.nbytes for x in self.pristine.values()) + self.sets[0][0].grad.nbytes

    def launch(self, slot):
        self.sets[slot][2]()

    def reset(self):
        with torch.no_grad():
            for p, state, _ in self.sets:
                p.copy_(self.pristine["params"])
                for name, role in self.state.items():
                    state[name].copy_(self.pristine[role])
                if "step" in state:
                    state["step"].fill_(self.before)

    def results(self):
        p, state, _ = self.sets[0]
        written = {"params": output(p)}
        written.update({role: output(state[name]) for name, role in self.state.items()})
        return written


def kernels():
    """The kernels of this device, by name."""
    backends = {"flash": SDPBackend.FLASH_ATTENTION, "math": SDPBackend.MATH}
    held = {"matmul/torch": Matmul}
    if device.type == "cuda":
        backends.update(cudnn=SDPBackend.CUDNN_ATTENTION, efficient=SDPBackend.EFFICIENT_ATTENTION)
    else:
        held["matmul/torch-onednn"] = Onednn
    held.update({f"attention/torch-{name}": functools.partial(Attention, backend=b) for name, b in backends.items()})
    if device.type == "cuda":
        held["attention/torch-flash-attn"] = FlashAttn
    forms = ("foreach", "fused", "compiled")
    held.update({f"optimizer/torch-{form}": functools.partial(Update, form=form) for form in forms})
    return held


def uuid():
    """What NVML knows this GPU by; None on the CPU, and where torch does not tell."""
    if device.type != "cuda":
        return None
    known = getattr(torch.cuda.get_device_properties(device), "uuid", None)
    return str(known) if known else None


def main():
    global device
    parser = argparse.ArgumentParser(description="PyTorch as a worker of scalemark")
    parser.add_argument("--device", default=asked_device(), help="cpu, or cuda:N [default: SCALEMARK_DEVICE]")
    device = torch.device(parser.parse_args().device)
    facts = {"torch": torch.__version__, "capability": torch.backends.cpu.get_cpu_capability()}
    if device.type == "cuda":
        torch.cuda.set_device(device)
        # Sums in f32 all the way, as the case says: a product that is split along k would be added up in 16 bits.
        torch.backends.cuda.matmul.allow_bf16_reduced_precision_reduction = False
        torch.backends.cuda.matmul.allow_fp16_reduced_precision_reduction = False
        facts.update(gpu=torch.cuda.get_device_name(device), cudnn=str(torch.backends.cudnn.version()))
    on_gpu = device.type == "cuda"
    serve("torch", kernels(), facts, torch.set_num_threads, device=str(device),
          free=torch.cuda.empty_cache if on_gpu else lambda: None, uuid=uuid())


if __name__ == "__main__":
    main()
