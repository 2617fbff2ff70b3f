"""numpy as a baseline: its BLAS for products, array operations for attention and updates. Small, for it shows how a worker is written."""

import ctypes
import math

import numpy as np
from scalemark_worker import Prepared, Refused, serve


def array(tensor):
    """An operand as numpy sees it in the shared file, without a copy."""
    if tensor.dtype != "f32":
        raise Refused(f"takes f32, not {tensor.dtype}")
    return np.frombuffer(tensor.memory, np.float32, tensor.count, tensor.offset).reshape(tensor.shape)


def sets(job, *roles):
    """Copies of these operands, one for each buffer set."""
    return [[array(job.operands[role]).copy() for role in roles] for _ in range(job.slots)]


class Matmul(Prepared):
    def __init__(self, job):
        if job.sizes.get("groups"):
            raise Refused("has no product grouped by experts")
        turned = {"nn": (False, False), "nt": (False, True), "tn": (True, False)}[job.sizes["transpose"]]
        batch, m, n = (job.sizes[name] for name in ("batch", "m", "n"))
        self.slots, self.sets = job.slots, []
        for operands in sets(job, "a", "b"):
            a, b = (x.swapaxes(1, 2) if turn else x for x, turn in zip(operands, turned))
            self.sets.append((a, b, np.full((batch, m, n), np.nan, np.float32)))
        self.allocated = sum(x.nbytes for x in self.sets[0])

    def launch(self, slot):
        a, b, c = self.sets[slot]
        np.matmul(a, b, out=c)

    def results(self):
        c = self.sets[0][2]
        return {"c": ("f32", c.shape, c.data)}


class Attention(Prepared):
    """softmax(Q·Kᵀ/√d)·V with the scores of one sequence in memory."""

    def __init__(self, job):
        if job.what == "bwd":
            raise Refused("computes no gradients")
        s = job.sizes
        self.group, self.slots = s["heads"] // s["kv_heads"], job.slots
        self.scale = np.float32(1 / math.sqrt(s["head_dim_qk"]))
        self.sets = sets(job, "q", "k", "v")
        self.out = np.full((s["batch"], s["heads"], s["seq_q"], s["head_dim_v"]), np.nan, np.float32)
        self.scores = np.zeros((s["heads"], s["seq_q"], s["seq_kv"]), np.float32)
        self.mask = None
        if s["causal"] and s["seq_q"] > 1:
            hidden = np.triu(np.ones((s["seq_q"], s["seq_kv"]), bool), 1 + s["seq_kv"] - s["seq_q"])
            self.mask = np.where(hidden, np.float32(-np.inf), np.float32(0))
        self.allocated = sum(x.nbytes for x in self.sets[0]) + self.out.nbytes + self.scores.nbytes

    def launch(self, slot):
        q, k, v = self.sets[slot]
        heads = self.scores
        for b in range(q.shape[0]):
            for h in range(q.shape[1]):
                np.matmul(q[b, h], k[b, h // self.group].T, out=heads[h])
            heads *= self.scale
            if self.mask is not None:
                heads += self.mask
            heads -= heads.max(axis=-1, keepdims=True)
            np.exp(heads, out=heads)
            heads /= heads.sum(axis=-1, keepdims=True)
            for h in range(q.shape[1]):
                np.matmul(heads[h], v[b, h // self.group], out=self.out[b, h])

    def results(self):
        return {"out": ("f32", self.out.shape, self.out.data)}


class Update(Prepared):
    """One optimizer step in place; two arrays of workspace, so that no launch allocates."""

    in_place = True
    roles = ("params", "moment1", "moment2")

    def __init__(self, job):
        self.rule, self.hyper, self.slots = job.sizes["rule"], job.hyper, job.slots
        self.pristine = {role: array(job.operands[role]) for role in self.roles if role in job.operands}
        self.sets = []
        for _ in range(job.slots):
            written = {role: x.copy() for role, x in self.pristine.items()}
            self.sets.append((array(job.operands["grads"]).copy(), written))
        self.work = np.empty_like(self.sets[0][0]), np.empty_like(self.sets[0][0])
        self.allocated = sum(x.nbytes for x in self.work) + self.sets[0][0].nbytes
        self.allocated += sum(x.nbytes for x in self.sets[0][1].values())

    def launch(self, slot):
        g, written = self.sets[slot]
        p, m, v = written["params"], written.get("moment1"), written.get("moment2")
        x, y = self.work
        h, lr = self.hyper, self.hyper["lr"]
        if self.rule in ("momentum", "nesterov"):
            np.multiply(m, h["momentum"], out=m)
            m += g
        if self.rule in ("adagrad", "rmsprop"):
            self.second_moment(m, g, x)
            self.divide(p, g, m, 1.0, lr, x, y)
        elif self.rule in ("adam", "adamw"):
            average(m, g, h["beta1"], x)
            self.second_moment(v, g, x)
            if self.rule == "adamw":
                p *= 1 - lr * h["weight_decay"]
            root = 1 / math.sqrt(1 - h["beta2"] ** h["step"])
            self.divide(p, m, v, root, lr / (1 - h["beta1"] ** h["step"]), x, y)
        elif self.rule == "lion":
            np.multiply(m, h["beta1"], out=x)
            np.multiply(g, 1 - h["beta1"], out=y)
            x += y
            np.sign(x, out=x)
            x *= lr
            p *= 1 - lr * h["weight_decay"]
            p -= x
            average(m, g, h["beta2"], x)
        else:
            np.copyto(x, g if self.rule in ("sgd", "nesterov") else m)
            if self.rule == "nesterov":
                np.multiply(m, h["momentum"], out=y)
                x += y
            x *= lr
            p -= x

    def second_moment(self, v, g, x):
        np.multiply(g, g, out=x)
        if self.rule != "adagrad":
            v *= self.hyper["beta2"]
            x *= 1 - self.hyper["beta2"]
        v += x

    def divide(self, p, m, v, root, lr, x, y):
        np.sqrt(v, out=x)
        x *= root
        x += self.hyper["eps"]
        np.divide(m, x, out=y)
        y *= lr
        p -= y

    def reset(self):
        for _, written in self.sets:
            for role, x in written.items():
                np.copyto(x, self.pristine[role])

    def results(self):
        return {role: ("f32", x.shape, x.data) for role, x in self.sets[0][1].items()}


def average(m, g, beta, x):
    """m ← β·m + (1 − β)·g."""
    m *= beta
    np.multiply(g, 1 - beta, out=x)
    m += x


def blas():
    """The BLAS that numpy has loaded, by its file and its way to set threads; None where it is not an OpenBLAS."""
    np.ones((2, 2), np.float32) @ np.ones((2, 2), np.float32)
    with open("/proc/self/maps") as maps:
        paths = {line.split()[-1] for line in maps if "openblas" in line}
    for path in sorted(paths):
        library = ctypes.CDLL(path)
        for name in ("scipy_openblas_set_num_threads64_", "openblas_set_num_threads64_", "openblas_set_num_threads"):
            if hasattr(library, name):
                return path, getattr(library, name)
    return None


if __name__ == "__main__":
    found = blas()
    facts = {"numpy": np.__version__}
    if found:
        facts["blas"] = found[0].rsplit("/", 1)[-1]
    kernels = {"matmul/numpy": Matmul, "attention/numpy": Attention, "optimizer/numpy": Update}
    serve("numpy", kernels, facts, found[1] if found else lambda threads: None)
