#!/usr/bin/env python3
"""Kernels of other projects, compiled as they are by NVRTC and run on the simulator with all checks on.

run.py --crates DIR --nvrtc DIR --include DIR [--seeds 3] [--arch sm_89] [--only WORD]

DIR of --crates holds candle-kernels-0.11.1 and dfdx-0.13.0 (as `cargo vendor` or a registry unpacks them); --nvrtc the
libraries of the package nvidia-cuda-nvrtc; --include the headers of nvidia-cuda-runtime and nvidia-cuda-cccl. Needs numpy and ml_dtypes, and
`cargo build -p ptxsim --example outside`. Every result of every schedule is compared with numpy in double precision; a line for every run that is not
right, and a table by source file at the end. Other kernels are in ladders.cu beside this file, written for it."""
import argparse, collections, ctypes, glob, os, re, struct, subprocess, sys, tempfile
import numpy as np, ml_dtypes

TYPES = {"f32": np.float32, "f64": np.float64, "f16": np.float16, "bf16": ml_dtypes.bfloat16, "f8_e4m3": ml_dtypes.float8_e4m3fn,
         "fp8_e4m3": ml_dtypes.float8_e4m3fn, "u8": np.uint8, "u32": np.uint32, "i16": np.int16, "i32": np.int32, "i64": np.int64}
# What a rounding costs, times a few for a chain of them.
EPS = {"f32": 1e-6, "f64": 2e-15, "f16": 1e-3, "bf16": 8e-3, "f8_e4m3": 0.07, "fp8_e4m3": 0.07}
rng = np.random.default_rng(1)
np.seterr(all="ignore")

def random(ty, n, low=-2.0, high=2.0):
    if ty in EPS: return rng.uniform(low, high, n).astype(TYPES[ty])
    return rng.integers(0 if ty[0] == "u" else -50, 100, n).astype(TYPES[ty])
def wide(x): return x.astype(np.float64) if x.dtype.kind not in "iub" else x.astype(object) if x.dtype.kind == "O" else x
def raw(x): return "hex:" + np.asarray(x).tobytes().hex()
def size(n): return raw(np.uint64(n))
NULL = size(0)

class Run:
    """One launch; `check` gets the outputs by argument number."""
    def __init__(self, file, entry, args, check, grid=(2, 1, 1), block=(64, 1, 1), shared=0):
        self.__dict__.update(locals())

def close(ty, expected, out, k=4, at_least=1.0):
    """Where it is wrong, or None."""
    found = np.frombuffer(out, TYPES[ty]); expected = np.asarray(expected).reshape(-1)
    if ty not in EPS:
        bad = np.nonzero(found != expected.astype(TYPES[ty]))[0]
    else:
        expected = expected.astype(np.float64).astype(TYPES[ty]).astype(np.float64); found = found.astype(np.float64)
        same = (found == expected) | (np.isnan(found) & np.isnan(expected))
        bad = np.nonzero(~(same | (np.abs(found - expected) <= k * EPS[ty] * np.maximum(np.abs(expected), at_least))))[0]
    return None if len(bad) == 0 else f"[{bad[0]}]: {found[bad[0]]} instead of {expected[bad[0]]}, {len(bad)} in all"

class In:
    def __init__(self, x): self.x = np.ascontiguousarray(x)
class InOut(In): pass
class Out:
    def __init__(self, ty, n): self.bytes = n * np.dtype(TYPES[ty]).itemsize

# ---- shapes: contiguous, and transposed in memory ---------------------------------------------------------------------------
DIMS = (6, 5, 11)
N = int(np.prod(DIMS))
def layouts():
    c = [55, 11, 1]
    t = [1, 66, 6]  # dims (6, 5, 11), innermost first in memory: (5, 11, 6)
    yield "contiguous", c, lambda x: x.reshape(DIMS)
    yield "strided", t, lambda x: x.reshape(5, 11, 6).transpose(2, 0, 1)
def info(*strides): return In(np.array(list(DIMS) + [s for one in strides for s in one], np.uint64))

from math import erf
UNARY = {
    "copy": lambda x: x, "neg": lambda x: -x, "recip": lambda x: 1 / x, "exp": np.exp, "log": np.log, "sin": np.sin, "cos": np.cos, "tanh": np.tanh,
    "erf": np.vectorize(erf), "ceil": np.ceil, "floor": np.floor, "round": lambda x: np.trunc(x + np.copysign(0.5, x)), "abs": np.abs, "sqr": lambda x: x * x, "sqrt": np.sqrt,
    "normcdf": lambda x: 0.5 * (1 + np.vectorize(erf)(x / np.sqrt(2))),
    "gelu": lambda x: 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x ** 3))),
    "gelu_erf": lambda x: x * 0.5 * (1 + np.vectorize(erf)(x / np.sqrt(2))), "relu": lambda x: np.maximum(x, 0), "silu": lambda x: x / (1 + np.exp(-x)),
    "sigmoid": lambda x: 1 / (1 + np.exp(-x)), "sign": np.sign,
    "elu": lambda x: np.where(x > 0, x, 0.75 * (np.exp(x) - 1)), "powf": lambda x: x ** 2.5,
}
BINARY = {"badd": np.add, "bsub": np.subtract, "bmul": np.multiply, "bdiv": lambda x, y: x / y if x.dtype.kind == "f" else np.trunc(x / np.maximum(y, 1)),
          "bmaximum": np.maximum, "bminimum": np.minimum, "eq": np.equal, "ne": np.not_equal, "lt": np.less, "le": np.less_equal, "gt": np.greater, "ge": np.greater_equal}
COMPARE = {"eq", "ne", "lt", "le", "gt", "ge"}
POSITIVE = {"log", "sqrt", "powf", "recip"}

def candle(entries):
    for file, names in entries.items():
        for name in names:
            stem = os.path.basename(file)
            yield from candle_one(stem, file, name)

def typed(name):
    """Prefix and type."""
    for ty in sorted(TYPES, key=len, reverse=True):
        if name.endswith("_" + ty): return name[:-len(ty) - 1], ty
    return name, None

def candle_one(stem, file, name):
    op, ty = typed(name)
    if ty is None: return
    if stem == "unary.cu" and op[0] == "u" and op[1:] in UNARY:
        op = op[1:]
        for _, strides, view in layouts():
            x = random(ty, N, 0.2 if op in POSITIVE else -2.0)
            expected = UNARY[op](view(wide(x)))
            param = [] if op not in ("elu", "powf") else [raw(np.array(0.75 if op == "elu" else 2.5).astype(TYPES[ty]))]
            k = 24 if op in ("gelu", "gelu_erf", "normcdf", "silu", "powf", "sigmoid", "elu") else 4
            yield Run(file, name, [size(N), size(3), info(strides), *param, In(x), Out(ty, N)], lambda o, e=expected, k=k: close(ty, e, o[-1], k))
    elif stem == "binary.cu" and op in BINARY:
        for (_, ls, lv), (_, rs, rv) in zip(layouts(), reversed(list(layouts())) if "max" in op else layouts()):
            x, y = random(ty, N), random(ty, N, 0.3)
            if op == "bdiv" and ty not in EPS: y = np.maximum(y, 1).astype(TYPES[ty])
            if op in COMPARE: y[::3] = x[::3]
            expected = BINARY[op](lv(wide(x)), rv(wide(y)))
            out = "u8" if op in COMPARE else ty
            yield Run(file, name, [size(N), size(3), info(ls, rs), In(x), In(y), Out(out, N)], lambda o, e=expected, t=out: close(t, e, o[-1]))
    elif stem == "affine.cu" and op == "affine":
        for _, strides, view in layouts():
            x, mul, add = random(ty, N), random(ty, 1), random(ty, 1)
            expected = view(wide(x)) * wide(mul) + wide(add)
            yield Run(file, name, [size(N), size(3), info(strides), In(x), Out(ty, N), raw(mul), raw(add)], lambda o, e=expected: close(ty, e, o[4]))
    elif stem == "ternary.cu" and op.startswith("where_"):
        for _, strides, view in layouts():
            ids = (rng.integers(0, 2, N)).astype(TYPES[op[6:]])
            t, f = random(ty, N), random(ty, N)
            expected = np.where(view(ids) != 0, view(wide(t)), view(wide(f)))
            yield Run(file, name, [size(N), size(3), info(strides, strides, strides), In(ids), In(t), In(f), Out(ty, N)], lambda o, e=expected: close(ty, e, o[-1]))
    elif stem == "cast.cu" and op.startswith("cast_"):
        source = op[5:]
        if source not in TYPES: return
        for _, strides, view in layouts():
            x = random(source, N, 0.0, 200.0) if source in EPS else np.abs(random(source, N)).astype(TYPES[source])
            expected = view(wide(x))
            if ty not in EPS: expected = np.trunc(expected.astype(np.float64))
            yield Run(file, name, [size(N), size(3), info(strides), In(x), Out(ty, N)], lambda o, e=expected: close(ty, e, o[-1], 1))
    elif stem == "fill.cu" and op == "fill":
        v = random(ty, 1)
        yield Run(file, name, [Out(ty, N), raw(v), size(N)], lambda o: close(ty, np.repeat(wide(v), N), o[0]))
    elif stem == "fill.cu" and op == "const_set":
        for _, strides, view in layouts():
            v = random(ty, 1)
            yield Run(file, name, [size(N), size(3), info(strides), raw(v), Out(ty, N)], lambda o, v=v: close(ty, np.repeat(wide(v), N), o[-1]))
    elif stem == "fill.cu" and op == "copy2d":
        x, old = random(ty, 7 * 13), random(ty, 7 * 17)
        expected = wide(old).reshape(7, 17).copy(); expected[:, :11] = wide(x).reshape(7, 13)[:, :11]
        yield Run(file, name, [In(x), InOut(old), *(raw(np.uint32(v)) for v in (7, 11, 13, 17))], lambda o: close(ty, expected, o[1]))
    elif stem == "sort.cu" and op.startswith("asort"):
        rows, cols = 3, 45
        x = rng.permutation(rows * cols).reshape(rows, cols)
        x = (x % 100 if ty in ("u8", "bf16", "f16") else x)
        x = np.stack([rng.permutation(cols) for _ in range(rows)]).astype(TYPES[ty])
        order = np.argsort(wide(x) if "asc" in op else -wide(x).astype(np.float64), axis=1, kind="stable")
        yield Run(file, name, [In(x), Out("u32", rows * cols), raw(np.int32(cols)), raw(np.int32(64))],
                  lambda o: close("u32", order, o[1]), (rows, 1, 1), (64, 1, 1), 64 * 4)
    elif stem == "reduce.cu":
        yield from candle_reduce(file, name, op, ty)
    elif stem == "indexing.cu":
        yield from candle_index(file, name, op, ty)

REDUCE = {"fast_sum": np.sum, "fast_min": np.min, "fast_max": np.max, "fast_argmin": np.argmin, "fast_argmax": np.argmax}
def candle_reduce(file, name, op, ty):
    if op in REDUCE:
        for _, strides, view in layouts():
            x = rng.permutation(N)[:N].astype(np.float64)
            x = (x % (17 if op == "fast_sum" else 251) / (1 if ty not in EPS else 8)).astype(TYPES[ty])
            rows = view(wide(x)).reshape(6, 55)
            if "arg" in op:
                x = np.empty(N, TYPES[ty]); m = np.stack([rng.permutation(55) for _ in range(6)]).astype(TYPES[ty])
                view(x)[...] = m.reshape(DIMS); rows = wide(m)
            # Of several dimensions, candle gives the index in the last.
            expected, out = REDUCE[op](rows, axis=1), ty
            if "arg" in op: expected, out = expected % 11, "u32"
            yield Run(file, name, [size(N), size(55), size(3), info(strides), In(x), Out(out, 6)], lambda o, e=expected, t=out: close(t, e, o[-1], 16), (6, 1, 1), (64, 1, 1))
    elif op == "fast_sum_small":
        x = random(ty, N, 0, 1) if ty in EPS else (random("u8", N) % 4).astype(TYPES[ty])
        expected = wide(x).reshape(6, 55).sum(axis=1)
        yield Run(file, name, [size(6), size(55), size(3), info([55, 11, 1]), In(x), Out(ty, 6)], lambda o: close(ty, expected, o[-1], 64), (2, 1, 1), (128, 1, 1))
    elif op == "softmax":
        x = random(ty, 5 * 77); e = np.exp(wide(x).reshape(5, 77) - wide(x).reshape(5, 77).max(axis=1, keepdims=True)); e /= e.sum(axis=1, keepdims=True)
        yield Run(file, name, [In(x), Out(ty, 5 * 77), raw(np.int32(77))], lambda o: close(ty, e, o[1], 8), (5, 1, 1), (1, 32, 1))
    elif op in ("rmsnorm", "layernorm"):
        for threads in (32, 1024):
            rows, n = 3, 1100 if threads > 32 else 70
            x, alpha, beta = random(ty, rows * n), random(ty, n), random(ty, n)
            m = wide(x).reshape(rows, n)
            if op == "layernorm": e = (m - m.mean(axis=1, keepdims=True)) / np.sqrt(m.var(axis=1, keepdims=True) + 1e-5) * wide(alpha) + wide(beta)
            else: e = m / np.sqrt((m * m).mean(axis=1, keepdims=True) + 1e-5) * wide(alpha)
            args = [In(x), Out(ty, rows * n), In(alpha)] + ([In(beta)] if op == "layernorm" else []) + [raw(np.int32(n)), raw(np.int32(threads)), raw(np.float32(1e-5))]
            accumulates = "f32" if ty == "f64" else ty
            yield Run(file, name, args, lambda o, e=e: (lambda f: close(accumulates, e, f.astype(TYPES[accumulates]).tobytes(), 16))(np.frombuffer(o[1], TYPES[ty])), (rows, 1, 1), (threads, 1, 1))
    elif op in ("rope", "rope_i", "rope_thd"):
        b, h, t, d = 2, 3, 4, 10
        x = random(ty, b * h * t * d); angle = rng.uniform(0, 6, (t, d // 2)); c, s = np.cos(angle).astype(TYPES[ty]), np.sin(angle).astype(TYPES[ty])
        m = wide(x).reshape(b, t, h, d).transpose(0, 2, 1, 3) if op == "rope_thd" else wide(x).reshape(b, h, t, d)
        p, q = (m[..., 0::2], m[..., 1::2]) if op == "rope_i" else (m[..., :5], m[..., 5:])
        y, z = p * wide(c) - q * wide(s), p * wide(s) + q * wide(c)
        e = np.stack([y, z], axis=-1).reshape(m.shape) if op == "rope_i" else np.concatenate([y, z], axis=-1)
        if op == "rope_thd": e = e.transpose(0, 2, 1, 3)
        sizes = {"rope_i": (b * h, t * d, 0), "rope": (b * h, t * d, d, 0), "rope_thd": (b, t, h, d, 0)}[op]
        yield Run(file, name, [In(x), In(c), In(s), Out(ty, x.size), *(raw(np.uint32(v)) for v in sizes)], lambda o: close(ty, e, o[3], 6), (2, 1, 1), (64, 1, 1))

def candle_index(file, name, op, ty):
    op, _, index = op.partition("_")
    if index not in TYPES or op not in ("is", "gather", "ia", "sa", "s"): return
    left, source, ids_n, right = 3, 9, 5, 4
    if op == "is":
        ids = rng.integers(0, source, ids_n).astype(TYPES[index]); x = random(ty, left * source * right)
        e = wide(x).reshape(left, source, right)[:, ids.astype(int), :]
        dims = In(np.array([left, source, right, source * right, right, 1], np.uint64))
        yield Run(file, name, [size(e.size), size(3), dims, In(ids), In(x), Out(ty, e.size), *(size(v) for v in (left, source, ids_n, right))], lambda o: close(ty, e, o[5]))
    elif op == "gather":
        ids = rng.integers(0, source, (left, ids_n, right)).astype(TYPES[index]); x = random(ty, left * source * right)
        e = np.take_along_axis(wide(x).reshape(left, source, right), ids.astype(int), axis=1)
        yield Run(file, name, [size(e.size), In(ids), In(x), Out(ty, e.size), *(size(v) for v in (left, source, ids_n, right))], lambda o: close(ty, e, o[3]))
    else:
        # Destinations `source` long get values from `ids_n`.
        shape = (ids_n,) if op == "ia" else (left, ids_n, right)
        ids = rng.integers(0, source, shape).astype(TYPES[index])
        small = lambda n: (random("u8", n) % 20).astype(TYPES[ty])
        x, old = small(left * ids_n * right), small(left * source * right)
        e = wide(old).reshape(left, source, right).copy(); m = wide(x).reshape(left, ids_n, right)
        for i in np.ndindex(left, ids_n, right):
            to = (i[0], int(ids[i[1]] if op == "ia" else ids[i]), i[2])
            e[to] = m[i] if op == "s" else e[to] + m[i]
        args = [In(ids)] + ([size(ids_n)] if op == "ia" else []) + [In(x), InOut(old)]
        tail = (left, source, source, right) if op == "ia" else (left, ids_n, source, right)
        yield Run(file, name, args + [size(v) for v in tail], lambda o, at=len(args) - 1: close(ty, e, o[at], 4))

# ---- dfdx: forward and backward of unary and binary operations -----------------------------------------------------------------
def d_gelu(x):
    c, k = np.sqrt(2 / np.pi), 0.044715
    t = np.tanh(c * (x + k * x ** 3)); return 0.5 * (1 + t) + 0.5 * x * (1 - t * t) * c * (1 + 3 * k * x * x)
# As dfdx has it: the density's factor is 2/sqrt(pi) there, not 1/sqrt(2 pi) twice.
def d_acc(x): return 0.5 * (1 + np.vectorize(erf)(x / np.sqrt(2))) + x / 2 * 2 / np.sqrt(np.pi) * np.exp(-x * x / 2)
S = 0.75
DFDX = {  # forward, derivative by x (y is its value), least x, parameters
    "abs": (np.abs, lambda x, y: np.sign(x), -2, 0), "accurate_gelu": (UNARY["gelu_erf"], lambda x, y: d_acc(x), -2, 0), "fast_gelu": (UNARY["gelu"], lambda x, y: d_gelu(x), -2, 0),
    "clamp": (lambda x: np.clip(x, -0.5, S), lambda x, y: ((x >= -0.5) & (x <= S)).astype(float), -2, (-0.5, S)), "cos": (np.cos, lambda x, y: -np.sin(x), -2, 0), "exp": (np.exp, lambda x, y: y, -2, 0),
    "ln": (np.log, lambda x, y: 1 / x, 0.2, 0), "nans_to": (lambda x: x, lambda x, y: 1 + 0 * x, -2, (S,)), "negate": (lambda x: -x, lambda x, y: -1 + 0 * x, -2, 0), "pow": (lambda x: x ** S, lambda x, y: S * x ** (S - 1), 0.2, (S,)),
    "recip": (lambda x: 1 / x, lambda x, y: -y * y, 0.3, 0), "relu": (lambda x: np.maximum(x, 0), lambda x, y: (x > 0).astype(float), -2, 0), "sigmoid": (UNARY["sigmoid"], lambda x, y: y * (1 - y), -2, 0), "sin": (np.sin, lambda x, y: np.cos(x), -2, 0),
    "sqrt": (np.sqrt, lambda x, y: 0.5 / y, 0.2, 0), "square": (lambda x: x * x, lambda x, y: 2 * x, -2, 0), "tanh": (np.tanh, lambda x, y: 1 - y * y, -2, 0),
    "sadd": (lambda x: x + S, lambda x, y: 1 + 0 * x, -2, (S,)), "ssub": (lambda x: x - S, lambda x, y: 1 + 0 * x, -2, (S,)), "smul": (lambda x: x * S, lambda x, y: S + 0 * x, -2, (S,)), "sdiv": (lambda x: x / S, lambda x, y: 1 / S + 0 * x, -2, (S,)),
}
PAIRS = {  # forward, derivatives by left and right
    "badd": (np.add, lambda x, y: 1 + 0 * x, lambda x, y: 1 + 0 * x), "bsub": (np.subtract, lambda x, y: 1 + 0 * x, lambda x, y: -1 + 0 * x), "bmul": (np.multiply, lambda x, y: y, lambda x, y: x),
    "bdiv": (np.divide, lambda x, y: 1 / y, lambda x, y: -x / (y * y)), "maximum": (np.maximum, lambda x, y: (x > y) + 0.5 * (x == y), lambda x, y: (y > x) + 0.5 * (x == y)),
    "minimum": (np.minimum, lambda x, y: (x < y) + 0.5 * (x == y), lambda x, y: (y < x) + 0.5 * (x == y)),
}
def dfdx(entries):
    for file, names in entries.items():
        for name in names:
            m = re.fullmatch(r"(\w+?)_(fwd|bwd|bwd_lhs|bwd_rhs)_(f16|f32|f64)", name)
            if not m: continue
            op, way, ty = m.groups()
            if op in DFDX:
                f, df, low, param = DFDX[op]
                # The operation itself is the first parameter; one byte where it is empty.
                first = raw(np.array(param).astype(TYPES[ty])) if param else "hex:00"
                for n in (N, 1001):
                    x = random(ty, n, low)
                    if way == "fwd":
                        yield Run(file, name, [first, size(n), In(x), Out(ty, n)], lambda o, e=f(wide(x)), ty=ty: close(ty, e, o[3], 16))
                    else:
                        y, grad, old = f(wide(x)).astype(TYPES[ty]), random(ty, n), random(ty, n)
                        e = wide(old) + df(wide(x), wide(y)) * wide(grad)
                        yield Run(file, name, [first, size(n), In(x), InOut(old), In(y), In(grad)], lambda o, e=e, ty=ty: close(ty, e, o[3], 32))
            elif op in PAIRS:
                f, *d = PAIRS[op]
                x, y = random(ty, N, 0.3), random(ty, N, 0.3)
                c = [55, 11, 1]
                if way == "fwd":
                    for _, strides, view in layouts():
                        yield Run(file, name, ["hex:00", size(N), size(3), info(c, strides), In(x), In(y), Out(ty, N)], lambda o, e=f(wide(x).reshape(DIMS), view(wide(y))), ty=ty: close(ty, e, o[6], 8))
                else:
                    # Sums of 11 along the last dimension go to one gradient where an operand is broadcast.
                    for chunk in (1, 11):
                        mine = random(ty, N // chunk, 0.3); other = y; grad = random(ty, N, 0, 0.5); old = random(ty, N // chunk, 0, 0.5)
                        a = np.repeat(wide(mine), chunk)
                        slope = d[0](a, wide(other)) if way == "bwd_lhs" else d[1](wide(other), a)
                        e = wide(old) + (slope * wide(grad)).reshape(-1, chunk).sum(axis=1)
                        i = info(c, c); i.x = np.concatenate([i.x, i.x])
                        if way == "bwd_lhs": args = ["hex:00", size(N), size(3), i, In(mine), InOut(old), size(chunk), In(other), In(grad)]; at = 5
                        else: args = ["hex:00", size(N), size(3), i, In(other), In(mine), InOut(old), size(chunk), In(grad)]; at = 6
                        yield Run(file, name, args, lambda o, e=e, at=at, ty=ty: close(ty, e, o[at], 64), (6, 1, 1), (55, 1, 1))
            elif op in ("sum_to", "max_to", "min_to"):
                x = random(ty, N); rows = wide(x).reshape(30, 11)
                if way == "fwd":
                    start = {"sum_to": 0.0, "max_to": -np.inf, "min_to": np.inf}[op]
                    e = {"sum_to": np.sum, "max_to": np.max, "min_to": np.min}[op](rows, axis=1)
                    extra = [raw(np.array(1).astype(TYPES[ty]))] if op == "sum_to" else []
                    args = [size(N), size(3), *extra, size(11), info([55, 11, 1]), In(x), InOut(np.full(30, start).astype(TYPES[ty]))]
                    yield Run(file, name, args, lambda o, e=e, at=len(args) - 1, ty=ty: close(ty, e, o[at], 64), (6, 1, 1), (64, 1, 1))

# ---- compiling, running, reporting ----------------------------------------------------------------------------------------------
def compiler(folder):
    for name in sorted(glob.glob(folder + "/libnvrtc-builtins.so*")): ctypes.CDLL(name, mode=ctypes.RTLD_GLOBAL)
    nvrtc = ctypes.CDLL(sorted(glob.glob(folder + "/libnvrtc.so*"))[0])
    def compile(file, arch, options, to):
        program, length = ctypes.c_void_p(), ctypes.c_size_t()
        text = open(file).read().encode()
        nvrtc.nvrtcCreateProgram(ctypes.byref(program), text, file.encode(), 0, None, None)
        options = [f"--gpu-architecture={arch.replace('sm', 'compute')}", "--std=c++17", "-default-device", "-lineinfo", *options]
        failed = nvrtc.nvrtcCompileProgram(program, len(options), (ctypes.c_char_p * len(options))(*[o.encode() for o in options]))
        if failed:
            nvrtc.nvrtcGetProgramLogSize(program, ctypes.byref(length)); log = ctypes.create_string_buffer(length.value)
            nvrtc.nvrtcGetProgramLog(program, log); return log.value.decode().splitlines()[0]
        nvrtc.nvrtcGetPTXSize(program, ctypes.byref(length)); ptx = ctypes.create_string_buffer(length.value)
        nvrtc.nvrtcGetPTX(program, ptx); open(to, "wb").write(ptx.raw[:length.value].rstrip(b"\0"))
    return compile

def main():
    p = argparse.ArgumentParser(); here = os.path.dirname(os.path.abspath(__file__))
    for name in ("crates", "nvrtc", "include"): p.add_argument("--" + name, required=True)
    p.add_argument("--seeds", type=int, default=3); p.add_argument("--arch", default="sm_89"); p.add_argument("--only", default=""); p.add_argument("--work", default=None)
    p.add_argument("--runner", default=here + "/../../../target/debug/examples/outside")
    a = p.parse_args(); work = a.work or tempfile.mkdtemp(); os.makedirs(work, exist_ok=True)
    compile, sources = compiler(a.nvrtc), collections.OrderedDict()
    shim = work + "/shim"; os.makedirs(shim, exist_ok=True)
    # What NVRTC has built in, and headers include all the same.
    open(shim + "/stdint.h", "w").write("#pragma once\ntypedef signed char int8_t; typedef short int16_t; typedef int int32_t; typedef long long int64_t;\ntypedef unsigned char uint8_t; typedef unsigned short uint16_t; typedef unsigned uint32_t; typedef unsigned long long uint64_t; typedef unsigned long long uintptr_t; typedef long long intptr_t;\n")
    open(shim + "/cstdint", "w").write('#include "stdint.h"\n'); [open(f"{shim}/{name}", "w").write("") for name in ("limits", "cmath", "math.h")]
    os.makedirs(shim + "/cuda/std", exist_ok=True)
    limits = "".join(f"template<> struct numeric_limits<{t}> {{ static __device__ constexpr {t} lowest() {{ return {low}; }} static __device__ constexpr {t} max() {{ return {high}; }} }};\n"
        for t, low, high in [("long long", "(-9223372036854775807LL - 1)", "9223372036854775807LL"), ("unsigned", "0u", "4294967295u"), ("unsigned char", "0", "255")])
    open(shim + "/cuda/std/limits", "w").write("#pragma once\nnamespace cuda { namespace std { template<class T> struct numeric_limits;\n" + limits + "} }\n")
    math = ["-DINFINITY=__int_as_float(0x7f800000)", "-DM_2_SQRTPI=1.12837916709551257390", "-DM_SQRT1_2=0.70710678118654752440", "-DM_SQRT2=1.41421356237309504880"]
    groups = [("candle-kernels-0.11.1", "src/*.cu", candle, ["src"]), ("dfdx-0.13.0", "src/tensor_ops/*/*.cu", dfdx, ["src/tensor_ops/utilities"])]
    from_ladders = os.path.join(here, "ladders.py")
    tables, lines = collections.OrderedDict(), []
    runner = subprocess.Popen([a.runner], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    def launch(project, stem, run, ptx):
        counts = tables.setdefault((project, stem), collections.Counter())
        args = []
        for k, arg in enumerate(run.args):
            if isinstance(arg, Out): args.append(f"out:{arg.bytes}")
            elif isinstance(arg, In):
                arg.x.tofile(f"{work}/in.{k}"); args.append(("inout:" if isinstance(arg, InOut) else "in:") + f"{work}/in.{k}")
            else: args.append(arg)
        fields = [ptx, run.entry, ",".join(map(str, run.grid)), ",".join(map(str, run.block)), str(run.shared), str(a.seeds), work, *args]
        runner.stdin.write("\t".join(fields) + "\n"); runner.stdin.flush()
        verdict = runner.stdout.readline().strip()
        if verdict.startswith("ok"):
            for seed in range(a.seeds):
                outputs = collections.defaultdict(bytes)
                for k in range(len(run.args)):
                    if os.path.exists(f"{work}/{seed}.{k}") and isinstance(run.args[k], (Out, InOut)): outputs[k] = open(f"{work}/{seed}.{k}", "rb").read()
                last = max(outputs); outputs[-1] = outputs[last]
                wrong = run.check(outputs)
                if wrong: verdict = "wrong " + wrong; break
        kind = verdict.split(" ")[0] or "crashed"
        counts["right" if kind == "ok" else kind] += 1
        if kind != "ok": lines.append(f"{project} {stem} {run.entry}: {verdict}")
    for project, pattern, cases, includes in groups:
        root = os.path.join(a.crates, project); entries = {}; ptxs = {}
        for file in sorted(glob.glob(os.path.join(root, pattern))):
            if a.only and a.only not in file: continue
            ptx = f"{work}/{project}-{os.path.basename(file)}.ptx"
            options = [f"-I{shim}", *math, *(f"-I{root}/{i}" for i in includes), f"-I{a.include}"]
            failed = None if os.path.exists(ptx) else compile(file, a.arch, options, ptx)
            if failed: lines.append(f"{project} {os.path.basename(file)}: NVRTC: {failed}"); continue
            entries[file] = re.findall(r"\.entry (\w+)\(", open(ptx).read()); ptxs[file] = ptx
        for run in cases(entries): launch(project, os.path.basename(run.file), run, ptxs[run.file])
    if os.path.exists(from_ladders):
        sys.path.insert(0, here); import ladders
        ptx = f"{work}/ladders.ptx"; failed = compile(here + "/ladders.cu", a.arch, [], ptx)
        if failed: sys.exit(failed)
        for run in ladders.cases(sys.modules[__name__]): launch("ladders", run.file, run, ptx)
    print("\n".join(lines)); total = collections.Counter()
    print("| project | source | runs | right | finding | wrong | refused |\n|---|---|---|---|---|---|---|")
    for (project, stem), c in tables.items():
        total.update(c); print(f"| {project} | {stem} | {sum(c.values())} | {c['right']} | {c['finding']} | {c['wrong']} | {c['refused'] + c['failed'] + c['crashed']} |")
    print(f"| all | | {sum(total.values())} | {total['right']} | {total['finding']} | {total['wrong']} | {total['refused'] + total['failed'] + total['crashed']} |")

if __name__ == "__main__": main()
