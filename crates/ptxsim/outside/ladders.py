"""The launches of ladders.cu and what they must give."""
import numpy as np

def cases(run):
    In, InOut, Out, raw, close, Run, rng = run.In, run.InOut, run.Out, run.raw, run.close, run.Run, run.rng
    f32 = lambda *shape: rng.uniform(-1, 1, shape).astype(np.float32)
    i32 = lambda v: raw(np.int32(v))
    ceil = lambda a, b: -(-a // b)

    for name, (m, n, k), grid, block in [
        ("gemm_1_naive", (37, 29, 41), (3, 2, 1), (16, 16, 1)), ("gemm_2_coalesced", (37, 45, 41), (2, 2, 1), (1024, 1, 1)), ("gemm_3_shared", (64, 96, 64), (2, 3, 1), (1024, 1, 1)),
        ("gemm_4_column_a_thread", (128, 64, 40), (1, 2, 1), (512, 1, 1)), ("gemm_5_square_a_thread", (128, 256, 24), (2, 1, 1), (256, 1, 1)),
        ("gemm_6_wide", (256, 128, 24), (1, 2, 1), (256, 1, 1)), ("gemm_7_split", (33, 20, 48), (3, 2, 4), (16, 16, 1))]:
        a, b = f32(m, k), f32(k, n)
        e = a.astype(float) @ b.astype(float)
        c = InOut(np.zeros((m, n), np.float32)) if "split" in name else Out("f32", m * n)
        yield Run("products", name, [In(a), In(b), c, i32(m), i32(n), i32(k)], lambda o, e=e: close("f32", e, o[2], 20), grid, block)

    for n in (1000, 512, 77):
        x = rng.integers(-100, 100, n).astype(np.int32)
        for name in ("reduce_0_modulo", "reduce_1_strided", "reduce_2_halves", "reduce_5_last_warp"):
            blocks = ceil(n, 256); e = [x[256 * b:256 * (b + 1)].sum() for b in range(blocks)]
            yield Run("reductions", name, [In(x), Out("i32", blocks), i32(n)], lambda o, e=e: close("i32", np.array(e), o[1]), (blocks, 1, 1), (256, 1, 1), 1024)
        yield Run("reductions", "reduce_7_shuffles", [In(x), Out("i32", 1), i32(n)], lambda o, x=x: close("i32", np.array([x.sum()]), o[1]), (1, 1, 1), (160, 1, 1))
        a, b = f32(n), f32(n)
        yield Run("reductions", "dot_atomic", [In(a), In(b), InOut(np.zeros(1, np.float32)), i32(n)], lambda o, a=a, b=b: close("f32", [a.astype(float) @ b.astype(float)], o[2], 60), (3, 1, 1), (96, 1, 1))

    for n in (256, 200, 31):
        x = rng.integers(-100, 100, n).astype(np.int32)
        for name in ("scan_hillis", "scan_warps"):
            yield Run("scans", name, [In(x), Out("i32", n), i32(n)], lambda o, x=x: close("i32", np.cumsum(x), o[1]), (1, 1, 1), (256, 1, 1), 2048)
        yield Run("sorts", "sort_odd_even", [InOut(x), i32(n)], lambda o, x=x: close("i32", np.sort(x), o[0]), (1, 1, 1), (128, 1, 1))
        for width in (1, 16, 128):
            runs = np.concatenate([np.sort(x[i:i + width]) for i in range(0, n, width)])
            e = np.concatenate([np.sort(x[i:i + 2 * width]) for i in range(0, n, 2 * width)])
            yield Run("sorts", "sort_merge_ranks", [In(runs), Out("i32", n), i32(n), i32(width)], lambda o, e=e: close("i32", e, o[1]), (4, 1, 1), (64, 1, 1))
        bytes = rng.integers(0, 256, 10 * n).astype(np.uint8)
        for name in ("histogram_global", "histogram_private"):
            yield Run("histograms", name, [In(bytes), InOut(np.zeros(256, np.uint32)), i32(10 * n)], lambda o, b=bytes: close("u32", np.bincount(b, minlength=256), o[1]), (2, 1, 1), (96, 1, 1))

    for rows, n in ((5, 77), (8, 128), (3, 20)):
        x = (4 * f32(rows, n)); w, b = f32(n), f32(n); wide = x.astype(float)
        e = np.exp(wide - wide.max(axis=1, keepdims=True)); e /= e.sum(axis=1, keepdims=True)
        sizes = [i32(rows), i32(n)]
        yield Run("transformer", "softmax_row_a_thread", [In(x), Out("f32", x.size), *sizes], lambda o, e=e: close("f32", e, o[1], 4), (1, 1, 1), (32, 1, 1))
        yield Run("transformer", "softmax_row_a_warp", [In(x), Out("f32", x.size), *sizes], lambda o, e=e: close("f32", e, o[1], 4), (4, 1, 1), (64, 1, 1))
        e = (wide - wide.mean(axis=1, keepdims=True)) / np.sqrt(wide.var(axis=1, keepdims=True) + 1e-5) * w + b
        yield Run("transformer", "layernorm_row_a_warp", [In(x), In(w), In(b), Out("f32", x.size), Out("f32", rows), Out("f32", rows), *sizes], lambda o, e=e: close("f32", e, o[3], 20), (4, 1, 1), (64, 1, 1))
        yield Run("transformer", "gelu_forward", [In(x), Out("f32", x.size), i32(x.size)], lambda o, x=wide: close("f32", run.UNARY["gelu"](x), o[1], 8), (17, 1, 1), (64, 1, 1))
        y = f32(rows, n)
        yield Run("transformer", "residual_wide", [In(x.reshape(-1)[:x.size // 4 * 4]), In(y.reshape(-1)[:x.size // 4 * 4]), Out("f32", x.size // 4 * 4), i32(x.size // 4)], lambda o, x=x, y=y: close("f32", (x + y).reshape(-1)[:x.size // 4 * 4], o[2]), (5, 1, 1), (64, 1, 1))
        yield Run("transformer", "bias_backward", [In(x), InOut(b), *sizes], lambda o, x=wide, b=b: close("f32", b + x.sum(axis=0), o[1], 20), (ceil(n, 32), 1, 1), (32, 8, 1))
        tokens = rng.integers(0, 4, rows * 2).astype(np.int32); dy = f32(rows * 2, n)
        wte, wpe = np.zeros((4, n)), np.zeros((rows, n))
        np.add.at(wte, tokens, dy.astype(float)); np.add.at(wpe, np.arange(rows * 2) % rows, dy.astype(float))
        args = [In(dy), In(tokens), InOut(np.zeros((4, n), np.float32)), InOut(np.zeros((rows, n), np.float32)), i32(rows * 2), i32(rows), i32(n)]
        yield Run("transformer", "encoder_backward", args, lambda o, e=wte, p=wpe: close("f32", e, o[2], 20) or close("f32", p, o[3], 20), (33, 1, 1), (64, 1, 1))

    for t in (32, 50, 77):
        q, k, v = (f32(2, t, 32) for _ in range(3))
        s = np.einsum("hid,hjd->hij", q.astype(float), k.astype(float)) / np.sqrt(32); s[:, np.triu_indices(t, 1)[0], np.triu_indices(t, 1)[1]] = -np.inf
        p = np.exp(s - s.max(axis=2, keepdims=True)); e = np.einsum("hij,hjd->hid", p / p.sum(axis=2, keepdims=True), v.astype(float))
        yield Run("transformer", "attention_online", [In(q), In(k), In(v), Out("f32", q.size), i32(t)], lambda o, e=e: close("f32", e, o[3], 8), (ceil(t, 32), 2, 1), (32, 1, 1))
    n = 333; p, g, m, v = f32(n), f32(n), f32(n), np.abs(f32(n)); lr, b1, b2, c1, c2, eps, decay = h = (0.01, 0.9, 0.95, 0.5, 0.4, 1e-6, 0.1)
    a, b = b1 * m + (1 - b1) * g, b2 * v + (1 - b2) * g * g
    yield Run("transformer", "adamw_step", [InOut(p), In(g), InOut(m), InOut(v), *(raw(np.float32(x)) for x in h), i32(n)], lambda o: close("f32", p - lr * (a / c1 / (np.sqrt(b / c2) + eps) + decay * p), o[0], 8) or close("f32", a, o[2]) or close("f32", b, o[3]), (6, 1, 1), (64, 1, 1))
    yield Run("grid", "chain_of_blocks", [InOut(np.zeros(7, np.int32)), InOut(np.zeros(7, np.int32))], lambda o: close("i32", 2 ** np.arange(1, 8) - 1, o[1]), (7, 1, 1), (32, 1, 1))
