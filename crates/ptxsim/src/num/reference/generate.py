#!/usr/bin/env python3
"""Writes decode.txt and hashes.txt, which num's tests compare with. Needs numpy, ml_dtypes, mpmath.

Nothing here shares a method with the Rust code: values of formats come from numpy and ml_dtypes, conversions are found
by search in the sorted list of a format's values, arithmetic is done with Python's fractions, functions with mpmath.

hashes.txt: name, number of results, and the FNV-1a hash (64 bits, 8 little-endian bytes a result) of the results' bits
over the inputs that `inputs` and `operands` below define; src/num/reference.rs defines the same inputs.
"""

import math
from fractions import Fraction

import ml_dtypes
import mpmath
import numpy as np

MASK = (1 << 64) - 1


def splitmix(seed):
    while True:
        seed = (seed + 0x9E3779B97F4A7C15) & MASK
        z = seed
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
        yield z ^ (z >> 31)


def fnv(results):
    h = 0xCBF29CE484222325
    for value in results:
        for byte in int(value).to_bytes(8, "little"):
            h = ((h ^ byte) * 0x100000001B3) & MASK
    return h


NARROW = {
    "f16": (np.float16, 16, 0x7FFF), "bf16": (ml_dtypes.bfloat16, 16, 0x7FFF),
    "e4m3": (ml_dtypes.float8_e4m3fn, 8, 0x7F), "e5m2": (ml_dtypes.float8_e5m2, 8, 0x7F),
    "e2m3": (ml_dtypes.float6_e2m3fn, 6, 0x1F), "e3m2": (ml_dtypes.float6_e3m2fn, 6, 0x1F),
    "e2m1": (ml_dtypes.float4_e2m1fn, 4, 0x7),
}


def values(name):
    """All values of a format as f64, by their bits."""
    if name == "tf32":
        return (np.arange(1 << 19, dtype=np.uint32) << np.uint32(13)).view(np.float32).astype(np.float64)
    dtype, bits, _ = NARROW[name]
    raw = np.arange(1 << bits, dtype=np.uint16 if bits == 16 else np.uint8)
    return raw.view(dtype).astype(np.float64)


def inputs():
    """Every upper half of an f32 with lower halves around ties."""
    low = np.array([0, 1, 0x0FFF, 0x1000, 0x1001, 0x7FFF, 0x8000, 0x8001, 0xFFFF], dtype=np.uint32)
    high = np.arange(1 << 16, dtype=np.uint32) << np.uint32(16)
    return (high[:, None] | low).reshape(-1).view(np.float32)


def encode(name, x, rounding, satfinite):
    table = values(name)
    half = len(table) // 2
    positive = table[:half]
    finite = positive[np.isfinite(positive)]
    count = len(finite)
    assert np.all(np.diff(finite) > 0)
    nan = 0x3FFFF if name == "tf32" else NARROW[name][2]
    infinite = count < half and np.isinf(positive[count]) and not satfinite
    a = np.abs(x.astype(np.float64))
    below = np.searchsorted(finite, np.where(np.isnan(a), 0, a), side="right") - 1
    step = finite[-1] - finite[-2]
    above = np.minimum(below + 1, count - 1)
    low, high = finite[below], np.where(below + 1 < count, finite[above], finite[-1] + step)
    with np.errstate(invalid="ignore"):
        exact, down, up = a == low, a - low, high - a
    negative = np.signbit(x)
    if rounding == "rn":
        take = (down > up) | ((down == up) & (below % 2 == 1))
    elif rounding == "rna":
        take = down >= up
    else:
        take = {"rz": np.zeros_like(negative), "rm": negative, "rp": ~negative}[rounding] & ~exact
    index = below + np.where(exact, 0, take)
    beyond = index >= count
    index = np.where(beyond, count if infinite else count - 1, index)
    index = np.where(np.isinf(a), count if infinite else count - 1, index)
    return np.where(np.isnan(a), nan, index + np.where(negative, half, 0))


def check(name, x):
    """The search agrees with numpy and ml_dtypes where those round."""
    dtype = NARROW[name][0]
    finite = x[np.isfinite(x)]
    with np.errstate(over="ignore"):
        theirs = finite.astype(dtype)
    ours = encode(name, finite, "rn", False)
    theirs = theirs.view(np.uint16 if NARROW[name][1] == 16 else np.uint8)
    max_index = np.isfinite(values(name)[: len(values(name)) // 2]).sum() - 1
    within = (ours & (len(values(name)) // 2 - 1)) < max_index
    assert np.array_equal(ours[within], theirs[within]), name


def conversions():
    x = inputs()
    for name in [*NARROW, "tf32"]:
        if name != "tf32":
            check(name, x)
        for rounding in ["rn", "rz", "rm", "rp", "rna"]:
            for sat in [False, True]:
                results = encode(name, x, rounding, sat)
                yield f"encode.{name}.{rounding}{'.satfinite' if sat else ''}", results


FORMATS = {"f16": (5, 10), "bf16": (8, 7), "f32": (8, 23), "f64": (11, 52)}


def fraction(bits, name):
    """A finite pattern's sign and value, or 'inf', or None for NaN."""
    e, m = FORMATS[name]
    sign, exponent, mantissa = bits >> (e + m), bits >> m & ((1 << e) - 1), bits & ((1 << m) - 1)
    if exponent == (1 << e) - 1:
        return sign, None if mantissa else "inf"
    bias = (1 << (e - 1)) - 1
    value = Fraction(mantissa, 1 << m) + (1 if exponent else 0)
    return sign, value * Fraction(2) ** (max(exponent, 1) - bias)


def round_fraction(sign, value, name, rounding):
    """The bits of sign and magnitude `value`, which may carry a square root as ('sqrt', v)."""
    e, m = FORMATS[name]
    bias = (1 << (e - 1)) - 1
    root = isinstance(value, tuple)
    exact = value[1] if root else value
    if exact == 0:
        return sign << (e + m)
    size = exact.numerator.bit_length() - exact.denominator.bit_length()
    size = size // 2 if root else size
    for exponent in (size + 1, size, size - 1, size - 2):
        if exact >= (Fraction(4) if root else Fraction(2)) ** exponent:
            break
    quantum = max(exponent, 1 - bias) - m
    if root:
        scaled = exact / Fraction(4) ** quantum
        kept = math.isqrt(scaled.numerator // scaled.denominator)
        rest, tie = scaled - kept * kept, scaled - (kept + Fraction(1, 2)) ** 2
    else:
        scaled = exact / Fraction(2) ** quantum
        kept = scaled.numerator // scaled.denominator
        rest, tie = scaled - kept, scaled - kept - Fraction(1, 2)
    if rounding == "rn":
        up = tie > 0 or (tie == 0 and kept % 2 == 1)
    else:
        up = rest > 0 and {"rz": False, "rm": sign == 1, "rp": sign == 0}[rounding]
    bits = ((max(exponent, 1 - bias) - (1 - bias)) << m) + kept + up
    infinity = ((1 << e) - 1) << m
    if bits >= infinity:
        bits = infinity - (not {"rn": True, "rz": False, "rm": sign == 1, "rp": sign == 0}[rounding])
    return sign << (e + m) | bits


def operands(name, count, seed):
    """Triples: random bits, and near ones (exponents around the first's, every fourth nearly cancelling)."""
    e, m = FORMATS[name]
    width = 1 + e + m
    source = splitmix(seed)
    special = [0, 1 << (width - 1), ((1 << e) - 1) << m, 1, (1 << m) - 1, 1 << m, ((1 << e) - 1 << m) - 1]
    for index in range(count):
        a, b, c = (next(source) >> (64 - width) for _ in range(3))
        choice = next(source)
        if index % 4 == 1:
            b = a ^ (choice & 1) << (width - 1) ^ (choice >> 8 & 0xF)
        if index % 4 == 2:
            middle = ((1 << (e - 1)) - 1) << m
            a, b, c = (x & ((1 << m) - 1) | x & 1 << (width - 1) | middle + ((x >> m & 3) << m) for x in (a, b, c))
        if index % 16 == 3:
            b = special[choice % 7]
            c = special[choice // 7 % 7]
        yield a, b, c


def arithmetic(op, name, a, b, c, rounding):
    """None for NaN."""
    (sa, a), (sb, b), (sc, c) = (fraction(x, name) for x in (a, b, c))
    e, m = FORMATS[name]
    infinity = ((1 << e) - 1) << m
    top = e + m

    def add(sx, x, sy, y):
        if x is None or y is None:
            return None
        if "inf" in (x, y):
            if x == y and sx != sy:
                return None
            return (sx if x == "inf" else sy) << top | infinity
        total = (-x if sx else x) + (-y if sy else y)
        if total == 0:
            sign = sx if x == y == 0 and sx == sy else int(rounding == "rm")
            return sign << top
        return round_fraction(int(total < 0), abs(total), name, rounding)

    def product(sx, x, sy, y):
        if x is None or y is None or ("inf" in (x, y) and 0 in (x, y)):
            return 0, None
        return sx ^ sy, "inf" if "inf" in (x, y) else x * y

    if op == "add":
        return add(sa, a, sb, b)
    if op == "mul":
        sign, value = product(sa, a, sb, b)
        if value is None:
            return None
        return sign << top | infinity if value == "inf" else round_fraction(sign, value, name, rounding)
    if op == "fma":
        sign, value = product(sa, a, sb, b)
        return add(sign, value, sc, c)
    if op == "div":
        if a is None or b is None or (a == b and a in ("inf", 0)):
            return None
        sign = sa ^ sb
        if a == "inf" or b == 0:
            return sign << top | infinity
        return round_fraction(sign, Fraction(0) if b == "inf" else a / b, name, rounding)
    if a is None or (sa and a != 0):
        return None
    if a == "inf":
        return infinity
    return round_fraction(sa, ("sqrt", a), name, rounding)


def arithmetics():
    for name, ops, roundings, count in [
        ("f32", ["add", "mul", "fma", "div", "sqrt"], ["rn", "rz", "rm", "rp"], 4096),
        ("f64", ["add", "mul", "fma", "div", "sqrt"], ["rn", "rz", "rm", "rp"], 2048),
        ("f16", ["add", "mul", "fma"], ["rn"], 16384),
        ("bf16", ["add", "mul", "fma"], ["rn"], 16384),
    ]:
        for op in ops:
            for rounding in roundings:
                results = []
                for a, b, c in operands(name, count, len(name + op)):
                    bits = arithmetic(op, name, a, b, c, rounding)
                    results.append(MASK if bits is None else bits)
                yield f"{op}.{rounding}.{name}", results


def narrowing():
    """f64 to f32 and to f16 in one rounding, around ties."""
    for name in ["f32", "f16", "bf16"]:
        for rounding in ["rn", "rz", "rm", "rp"]:
            results = []
            for a, b, _ in operands("f64", 4096, 99):
                e, m = FORMATS[name]
                # Exponents of the destination's range and a little beyond; low bits at or next to a tie.
                bias = (1 << (e - 1)) - 1
                exponent = 1023 - bias - m + b % (2 * bias + m + 4)
                tail = [0, 1, (1 << (51 - m)) - 1, 1 << (51 - m), (1 << (51 - m)) + 1][(b >> 32) % 5]
                a = a & 1 << 63 | exponent << 52 | (a & ((1 << 52) - 1)) >> (52 - m) << (52 - m) | tail
                sign, value = fraction(a, "f64")
                results.append(round_fraction(sign, value, name, rounding))
            yield f"narrow.{rounding}.{name}", results


def functions():
    """Approximate functions, rounded correctly from 120 bits; NaN is all ones."""
    mpmath.mp.prec = 120
    exact = {
        "rcp": lambda x: 1 / x, "sqrt": mpmath.sqrt, "rsqrt": lambda x: 1 / mpmath.sqrt(x),
        "ex2": lambda x: mpmath.power(2, x), "lg2": lambda x: mpmath.log(x, 2),
        "sin": mpmath.sin, "cos": mpmath.cos, "tanh": mpmath.tanh,
    }
    for name, function in exact.items():
        results = []
        for a, b, _ in operands("f32", 4096, 7):
            # Exponents from 2^-40 to 2^23, mostly around 1.
            exponent = 127 + (b % 64 - 40 if b & 0x10000 else b % 8 - 4)
            a = a & 0x807FFFFF | exponent << 23
            if name in ("sqrt", "rsqrt", "lg2"):
                a &= 0x7FFFFFFF
            if name == "ex2" and exponent > 127 + 7:
                a = a & 0x807FFFFF | 127 + 6 << 23
            sign, value = fraction(a, "f32")
            x = mpmath.mpf(value.numerator) / value.denominator * (-1 if sign else 1)
            y = function(x)
            m, e = mpmath.mpf(abs(y)).man_exp
            bits = round_fraction(int(y < 0), Fraction(m) * Fraction(2) ** e, "f32", "rn")
            results.append(bits)
        yield f"approx.{name}", results


def main():
    with open("decode.txt", "w") as out:
        for name in ["e4m3", "e5m2", "e2m3", "e3m2", "e2m1"]:
            bits = [int(v.view(np.uint64)) if not np.isnan(v) else MASK for v in values(name)]
            out.write(f"{name} {' '.join(f'{b:x}' for b in bits)}\n")
        for name in ["f16", "bf16"]:
            bits = [int(v.view(np.uint64)) if not np.isnan(v) else MASK for v in values(name)]
            out.write(f"{name}.hash {fnv(bits):x}\n")
    with open("hashes.txt", "w") as out:
        for source in (conversions, arithmetics, narrowing, functions):
            for name, results in source():
                out.write(f"{name} {len(results)} {fnv(results):016x}\n")
                out.flush()


if __name__ == "__main__":
    main()
