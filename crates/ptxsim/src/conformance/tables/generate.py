#!/usr/bin/env python3
"""Writes the tables beside this file: what instructions give by the PTX ISA, by exact fractions and Python's integers.

A block starts with `> SM VERSION TYPE TYPE … [~ BOUND] : PTX`: the least target and PTX version that ptxas takes it for, the type
of d, then those of a, b, c as the kernel loads them, then statements over the registers d, a, b, c and the predicates p, q.
Each line after it is one thread: operands, then the result, in hex. A result of `nan` stands for any NaN. Where there is a
bound (`ulp N`, `abs X` or `rel X`, X a power of two), the result is the exact one rounded to nearest.

products.txt has a line for each form of mma.sync that ptxas takes: least target, version, form.
Needs Python, and ptxas as the variable PTXAS.
"""

import functools
import math
import operator
import os
import re
import struct
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction

sys.path.insert(0, "../../num/reference")
sys.modules.setdefault("ml_dtypes", type(sys)("ml_dtypes"))
sys.modules.setdefault("mpmath", type(sys)("mpmath"))
sys.modules.setdefault("numpy", type(sys)("numpy"))
for name in ("float16", "float32"):
    setattr(sys.modules["numpy"], name, None)
for name in ("bfloat16", "float8_e4m3fn", "float8_e5m2", "float6_e2m3fn", "float6_e3m2fn", "float4_e2m1fn"):
    setattr(sys.modules["ml_dtypes"], name, None)
from generate import FORMATS, arithmetic, fraction, operands, round_fraction, splitmix

FORMATS.update(e4m3=(4, 3), e5m2=(5, 2))
NAN = {"f32": 0x7FFFFFFF, "f16": 0x7FFF, "bf16": 0x7FFF, "f64": None}
BITS = {"f32": 32, "f16": 16, "bf16": 16, "f64": 64}


VERSIONS = ["7.0", "7.1", "7.8", "8.0", "8.1", "8.4", "8.6", "8.7", "8.8", "9.0"]
# Targets, each with the first version that has it.
TARGETS = [("75", "6.3"), ("80", "7.0"), ("86", "7.1"), ("89", "7.8"), ("90a", "8.0"), ("100a", "8.6"), ("120a", "8.7")]


def accepts(target, version, body):
    """Whether ptxas takes a kernel."""
    text = f".version {version}\n.target sm_{target}\n.address_size 64\n.visible .entry k(.param .u64 rows)\n{{\n{body}\nret;\n}}\n"
    with tempfile.NamedTemporaryFile("w", suffix=".ptx") as file:
        file.write(text)
        file.flush()
        done = subprocess.run([os.environ["PTXAS"], f"-arch=sm_{target}", file.name, "-o", "/dev/null"], capture_output=True)
        return done.returncode == 0


def least(body):
    """The least target and version, or None."""
    for target, first in TARGETS:
        if accepts(target, "9.0", body):
            versions = [v for v in VERSIONS if float(v) >= float(first)]
            return target.rstrip("a"), next(v for v in versions if accepts(target, v, body))
    return None


def block(out, types, text, rows, bound=""):
    """Notes a block; `write_blocks` writes all of them."""
    out.append((types, text, list(rows), bound))


def write_blocks(out, blocks):
    def target(noted):
        types, text, _, _ = noted
        names = [f".reg .{ty} {name};" for name, ty in zip("dabc", types.split())]
        # A value that ptxas cannot know, so that it does not fold the statements away.
        loads = [f"ld.global.{ty} {name}, [at];" for name, ty in list(zip("dabc", types.split()))[1:]]
        store = f"st.global.{types.split()[0]} [at], d;"
        declared = ".reg .pred p, q; .reg .b32 i; .reg .b64 at; ld.param.u64 at, [rows]; mov.u32 i, %tid.x;"
        return least("\n".join([declared, *names, *loads, text, store]))

    with ThreadPoolExecutor() as pool:
        for (types, text, rows, bound), found in zip(blocks, pool.map(target, blocks)):
            if not found:
                print(f"left out, for ptxas refuses it: {text}", file=sys.stderr)
                continue
            out.write(f"> {found[0]} {found[1]} {types}{' ~ ' + bound if bound else ''} : {text}\n")
            for *operands_, result in rows:
                words = [f"{x:x}" for x in operands_]
                out.write(" ".join(words + ["nan" if result is None else f"{result:x}"]) + "\n")


def products(out):
    """Every form of mma.sync, tried."""
    shapes = [f"m{m}n8k{k}" for m in (8, 16) for k in (4, 8, 16, 32, 64, 128, 256)]
    floats_ = ["f16", "bf16", "tf32", "e4m3", "e5m2", "f64"]
    forms = []
    for shape in shapes:
        for a in floats_:
            for b in floats_ if a[0] == "e" else [a]:
                if b != a and b[0] != "e":
                    continue
                for d in ["f16", "f32", "f64"]:
                    forms.append(f"{shape}.{d}.{a}.{b}.{d}")
        forms.append(f"{shape}.f32.f16.f16.f16")
        for width in ("8", "4"):
            for a in "su":
                for b in "su":
                    for sat in ("", ".satfinite"):
                        forms.append(f"{shape}{sat}.s32.{a}{width}.{b}{width}.s32")
        for op in ("xor", "and"):
            forms.append(f"{shape}.s32.b1.b1.s32.{op}.popc")

    bits = {"f16": 16, "bf16": 16, "tf32": 32, "f64": 64, "f32": 32, "s32": 32, "e4m3": 8, "e5m2": 8, "b1": 1}
    width = lambda ty: bits.get(ty) or int(ty[1:])

    def target(form):
        m, n, k = (int(x) for x in re.match(r"m(\d+)n(\d+)k(\d+)", form).groups())
        shape, *rest = form.split(".")
        types = [t for t in rest if t in bits or re.fullmatch(r"[su][48]", t)]
        d, a, b, c = types
        register = lambda ty: ("b64", "d") if ty == "f64" else ("f32", "f") if ty == "f32" else ("b32", "r")
        each = lambda ty, count: count * width(ty) // 32 // (64 if ty == "f64" else 32)
        quad = (m, k, a) == (8, 4, "f16")
        counts = [each(d, m * n), each(a, m * k), each(b, k * n), each(c, m * n)]
        if quad:
            counts = [8 if d == "f32" else 4, 2, 2, 8 if c == "f32" else 4]
        if 0 in counts:
            return None
        names, lines = [], []
        for operand, ty, count in zip("dabc", (d, a, b, c), counts):
            kind, prefix = register(ty)
            lines.append(f".reg .{kind} {operand}<{count}>;")
            names.append("{" + ", ".join(f"{operand}{i}" for i in range(count)) + "}")
            if operand != "d":
                lines += [f"ld.global.{kind} {operand}{i}, [at+{8 * i}];" for i in range(count)]
        lines.append(f"mma.sync.aligned.{shape}.row.col.{'.'.join(rest)} {', '.join(names)};")
        lines += [f"st.global.{register(d)[0]} [at+{8 * i}], d{i};" for i in range(counts[0])]
        return least("\n".join([".reg .b64 at; ld.param.u64 at, [rows];", *lines]))

    with ThreadPoolExecutor() as pool:
        for form, found in zip(forms, pool.map(target, forms)):
            if found:
                out.write(f"{found[0]} {found[1]} {form}\n")


def approximate(out):
    """Approximate functions between their special values, with the errors that the ISA allows."""
    source = splitmix(91)
    single = lambda x: struct.unpack("<I", struct.pack("<f", x))[0]
    real = lambda bits: struct.unpack("<f", struct.pack("<I", bits))[0]
    unit = lambda: next(source) / 2.0**64
    both = lambda x: -x if next(source) & 1 else x
    wide = lambda: both(2.0 ** (240 * unit() - 120))
    tau = 2 * math.pi
    # Text, bound, function, arguments.
    rows = [
        ("rcp.approx{f}.f32", "ulp 1", lambda x: 1 / x, wide),
        ("sqrt.approx{f}.f32", "rel -23", math.sqrt, lambda: abs(wide())),
        ("rsqrt.approx{f}.f32", "rel -22.9", lambda x: 1 / math.sqrt(x), lambda: abs(wide())),
        ("ex2.approx{f}.f32", "ulp 2", lambda x: 2.0**x, lambda: 240 * unit() - 120),
        ("lg2.approx{f}.f32", "abs -22", math.log2, lambda: 0.5 + 1.5 * unit()),
        ("lg2.approx{f}.f32", "rel -22", math.log2, lambda: 2.0 ** (2 + 110 * unit()) if next(source) & 1 else 2.0 ** (-2 - 110 * unit())),
        ("sin.approx{f}.f32", "abs -20.5", math.sin, lambda: both(tau * unit())),
        ("cos.approx{f}.f32", "abs -20.5", math.cos, lambda: both(tau * unit())),
        ("sin.approx{f}.f32", "abs -14.7", math.sin, lambda: both(50 * tau * unit())),
        ("cos.approx{f}.f32", "abs -14.7", math.cos, lambda: both(50 * tau * unit())),
        ("tanh.approx.f32", "rel -11", math.tanh, lambda: both(6 * unit())),
    ]
    for text, bound, function, argument in rows:
        for flush_ in ["", ".ftz"] if "{f}" in text else [""]:
            table = []
            for _ in range(32):
                bits = single(argument())
                table.append((bits, single(function(real(bits)))))
            block(out, "b32 b32", text.replace("{f}", flush_) + " d, a;", table, bound)
    for name in ["approx", "full"]:
        for flush_ in ["", ".ftz"]:
            table = []
            for _ in range(32):
                a, b = single(both(2.0 ** (60 * unit() - 30))), single(both(2.0 ** (60 * unit() - 30)))
                table.append((a, b, single(real(a) / real(b))))
            block(out, "b32 b32 b32", f"div.{name}{flush_}.f32 d, a, b;", table, "ulp 2")
    # 16-bit formats, by their own rounding.
    small = [
        ("tanh.approx.f16", "f16", "abs -10.987", math.tanh, lambda: both(4 * unit())),
        ("tanh.approx.bf16", "bf16", "abs -8", math.tanh, lambda: both(4 * unit())),
        ("ex2.approx.f16", "f16", "rel -9.9", lambda x: 2.0**x, lambda: 24 * unit() - 12),
        ("ex2.approx.ftz.bf16", "bf16", "rel -7", lambda x: 2.0**x, lambda: 200 * unit() - 100),
    ]
    for text, name, bound, function, argument in small:
        table = []
        for _ in range(32):
            near = lambda x: round_fraction(int(x < 0), Fraction(abs(x)), name, "rn")
            bits = near(argument())
            sign, value = fraction(bits, name)
            x = float(value) * (-1 if sign else 1)
            table.append((bits, near(function(x))))
        block(out, "b16 b16", f"{text} d, a;", table, bound)


def flush(bits, name):
    e, m = FORMATS[name]
    return bits & 1 << (e + m) if (bits >> m & ((1 << e) - 1)) == 0 else bits


def settle(bits, name, ftz=False, sat=False, relu=False):
    """What modifiers make of a result; None is NaN."""
    e, m = FORMATS[name]
    if ftz and bits is not None:
        bits = flush(bits, name)
    one = ((1 << (e - 1)) - 1) << m
    if sat:
        return 0 if bits is None or bits >> (e + m) else min(bits, one)
    if relu and bits is not None and bits >> (e + m):
        return 0
    return NAN[name] if bits is None else bits


def floats(out):
    for name in ["f32", "f64", "f16", "bf16"]:
        ty = f"b{BITS[name]}"
        roundings = ["rn", "rz", "rm", "rp"] if name in ("f32", "f64") else ["rn"]
        forms = {"add": "add.R{m}.T d, a, b;", "sub": "sub.R{m}.T d, a, b;", "mul": "mul.R{m}.T d, a, b;", "fma": "fma.R{m}.T d, a, b, c;"}
        if name in ("f32", "f64"):
            forms |= {"div": "div.R{m}.T d, a, b;", "sqrt": "sqrt.R{m}.T d, a;", "rcp": "rcp.R{m}.T d, a;"}
        modifiers = {"f32": ["", ".ftz", ".sat", ".ftz.sat"], "f64": [""], "f16": ["", ".ftz", ".sat", ".ftz.sat"], "bf16": [""]}[name]
        for op, form in forms.items():
            for rounding in roundings:
                mods = [m for m in modifiers if ".sat" not in m or op in ("add", "sub", "mul", "fma")]
                if op == "fma" and name in ("f16", "bf16"):
                    mods = mods + [".relu"]
                for m in mods:
                    ftz, sat, relu = ".ftz" in m, ".sat" in m, ".relu" in m
                    count = {"sqrt": 1, "rcp": 1, "fma": 3}.get(op, 2)
                    rows = []
                    for index, (a, b, c) in enumerate(operands(name, 32, len(op) * 7 + len(m))):
                        if index % 8 == 5:
                            a, b = a & ((1 << FORMATS[name][1]) - 1), b
                        x, y, z = (flush(v, name) if ftz else v for v in (a, b, c))
                        if op == "sub":
                            e, mm = FORMATS[name]
                            bits = arithmetic("add", name, x, y ^ 1 << (e + mm), z, rounding)
                        elif op == "rcp":
                            e, mm = FORMATS[name]
                            bits = arithmetic("div", name, ((1 << (e - 1)) - 1) << mm, x, 0, rounding)
                        else:
                            bits = arithmetic(op, name, x, y, z, rounding)
                        rows.append(((a, b, c)[:count]) + (settle(bits, name, ftz, sat, relu),))
                    text = form.replace("R", rounding).replace("{m}", m).replace("T", name)
                    block(out, " ".join([ty] * (count + 1)), text, rows)
    pairs(out)
    extrema(out)
    special(out)


def pairs(out):
    """Packed forms: both halves apart."""
    for name, packed, width in [("f16", "f16x2", 16), ("bf16", "bf16x2", 16), ("f32", "f32x2", 32)]:
        for op, count in [("add", 2), ("sub", 2), ("mul", 2), ("fma", 3)]:
            rows = []
            triples = list(operands(name, 24, 5))
            for low, high in zip(triples[::2], triples[1::2]):
                halves = []
                for a, b, c in (low, high):
                    e, m = FORMATS[name]
                    bits = arithmetic("add" if op == "sub" else op, name, a, b ^ 1 << (e + m) if op == "sub" else b, c, "rn")
                    halves.append(NAN[name] if bits is None else bits)
                rows.append(tuple(h << width | l for l, h in zip(low, high))[:count] + (halves[1] << width | halves[0],))
            rounding = ".rn" if op == "fma" or name == "f32" else ".rn"
            block(out, " ".join([f"b{2 * width}"] * (count + 1)), f"{op}{rounding}.{packed} d, {', '.join('abc'[:count])};", rows)


def extrema(out):
    for name in ["f32", "f16", "bf16", "f64"]:
        e, m = FORMATS[name]
        sign, top = 1 << (e + m), e + m
        inf = ((1 << e) - 1) << m
        values = [0, sign, 1, sign | 1, inf, sign | inf, inf | 1, sign | inf | 1 << (m - 1), ((1 << (e - 1)) - 1) << m, sign | ((1 << (e - 1)) - 1) << m]
        nan = lambda x: x & ~sign > inf
        order = lambda x: -(x & ~sign) - 1 if x & sign else x
        for op in ["min", "max"]:
            forms = [""] if name == "f64" else ["", ".NaN", ".xorsign.abs", ".NaN.xorsign.abs"] + ([".ftz"] if name in ("f32", "f16") else [])
            for form in forms:
                rows = []
                for a in values:
                    for b in values[:: 1 if form == "" else 3]:
                        x, y = (flush(v, name) if "ftz" in form else v for v in (a, b))
                        xor = (x ^ y) & sign
                        if "abs" in form:
                            x, y = x & ~sign, y & ~sign
                        if nan(x) and nan(y) or ("NaN" in form and (nan(x) or nan(y))):
                            rows.append((a, b, NAN[name]))
                            continue
                        r = y if nan(x) else x if nan(y) else max(x, y, key=order) if op == "max" else min(x, y, key=order)
                        rows.append((a, b, r & ~sign | xor if "xorsign" in form else r))
                ty = f"b{BITS[name]}"
                block(out, f"{ty} {ty} {ty}", f"{op}{form}.{name} d, a, b;", rows)


def special(out):
    """The tables of special values of the approximate functions."""
    inf, nan, one = 0x7F800000, 0x7FFFFFFF, 0x3F800000
    minus = 0x80000000
    arguments = [minus | inf, minus, 0, inf, nan]
    for text, results in [
        ("rcp.approx", [minus, minus | inf, inf, 0, nan]),
        ("sqrt.approx", [nan, minus, 0, inf, nan]),
        ("rsqrt.approx", [nan, minus | inf, inf, 0, nan]),
        ("ex2.approx", [0, one, one, inf, nan]),
        ("lg2.approx", [nan, minus | inf, minus | inf, inf, nan]),
        ("sin.approx", [nan, minus, 0, nan, nan]),
        ("cos.approx", [nan, one, one, nan, nan]),
        ("tanh.approx", [minus | one, minus, 0, one, nan]),
    ]:
        block(out, "b32 b32", f"{text}.f32 d, a;", zip(arguments, results))
        if "tanh" not in text:
            tiny = [(5, {"rcp": inf, "sqrt": 0, "rsqrt": inf, "ex2": one, "lg2": minus | inf, "sin": 0, "cos": one}[text[: text.index(".")]])]
            block(out, "b32 b32", f"{text}.ftz.f32 d, a;", list(zip(arguments, results)) + tiny)
    half = [0xFC00, 0x8000, 0, 0x7C00, 0x7FFF]
    block(out, "b16 b16", "tanh.approx.f16 d, a;", zip(half, [0xBC00, 0x8000, 0, 0x3C00, 0x7FFF]))
    block(out, "b16 b16", "ex2.approx.f16 d, a;", zip(half, [0, 0x3C00, 0x3C00, 0x7C00, 0x7FFF]))
    brain = [0xFF80, 0x8001, 0x8000, 0, 1, 0x7F80, 0x7FFF]
    block(out, "b16 b16", "ex2.approx.ftz.bf16 d, a;", zip(brain, [0, 0x3F80, 0x3F80, 0x3F80, 0x3F80, 0x7F80, 0x7FFF]))
    d = 1 << 63
    di, dn = 0x7FF << 52, 0x7FFFFFFF << 32
    block(out, "b64 b64", "rcp.approx.ftz.f64 d, a;", zip([d | di, d | 5, d, 0, 5, di, di | 1 << 51], [d, d | di, d | di, di, di, 0, dn]))
    block(out, "b64 b64", "rsqrt.approx.ftz.f64 d, a;", zip([d | di, d | 5, d, 0, 5, di, di | 1 << 51], [dn, d | di, d | di, di, di, 0, dn]))


def as_integer(x, bits, signed):
    x &= (1 << bits) - 1
    return x - (1 << bits) if signed and x >> (bits - 1) else x


def to_integral(sign, value, rounding):
    floor = value.numerator // value.denominator
    rest = value - floor
    if rounding == "rni":
        up = rest > Fraction(1, 2) or rest == Fraction(1, 2) and floor % 2 == 1
    else:
        up = rest > 0 and {"rzi": False, "rmi": sign == 1, "rpi": sign == 0}[rounding]
    return floor + up


def conversions(out):
    source = splitmix(77)
    integers = [(bits, signed) for bits in (8, 16, 32, 64) for signed in (False, True)]
    tag = lambda bits, signed: ("s" if signed else "u") + str(bits)
    carrier = lambda bits: f"b{max(bits, 16)}"
    # Floats to integers.
    for name in ["f16", "bf16", "f32", "f64"]:
        e, m = FORMATS[name]
        bias, width = (1 << (e - 1)) - 1, 1 + e + m
        for bits, signed in integers:
            if bits == 8 and name == "bf16":
                continue
            least, most = (-(1 << (bits - 1)), (1 << (bits - 1)) - 1) if signed else (0, (1 << bits) - 1)
            for rounding in ["rni", "rzi", "rmi", "rpi"]:
                inputs = [0, 1 << (width - 1), 1, ((1 << e) - 1) << m, ((1 << e) - 1) << m | 1 << (width - 1), (1 << (width - 1)) - 1]
                for k in range(14):
                    x = next(source)
                    exponent = bias - 2 + x % min(bits + 4, bias)
                    # Half of them with few bits, so that ties occur.
                    mantissa = (x >> 20) & ((1 << m) - 1)
                    if k % 2:
                        mantissa &= ((1 << m) - 1) ^ ((1 << max(m - 3, 0)) - 1)
                    inputs.append((x >> 63) << (width - 1) | exponent << m | mantissa)
                rows = []
                for a in inputs:
                    sign, value = fraction(a, name)
                    if value is None:
                        r = 1 << (bits - 1) if name == "f64" or bits == 64 else 0
                    elif value == "inf":
                        r = least if sign else most
                    else:
                        r = to_integral(sign, value, rounding)
                        r = max(least, min(most, -r if sign else r))
                    # An 8-bit result is extended to the 16 bits of its register.
                    r = as_integer(r, bits, signed) & ((1 << max(bits, 16)) - 1)
                    rows.append((a, r))
                block(out, f"{carrier(bits)} b{width}", f"cvt.{rounding}.{tag(bits, signed)}.{name} d, a;", rows)
    # Integers to floats.
    for name in ["f16", "bf16", "f32", "f64"]:
        for bits, signed in integers:
            for rounding in ["rn", "rz", "rm", "rp"]:
                rows = []
                for k in range(16):
                    a = next(source) >> (next(source) % bits if k % 2 else 0) & ((1 << bits) - 1)
                    if k < 3:
                        a = [0, 1 << (bits - 1), (1 << bits) - 1][k]
                    value = as_integer(a, bits, signed)
                    r = round_fraction(int(value < 0), Fraction(abs(value)), name, rounding) if value else 0
                    rows.append((a, r))
                block(out, f"b{BITS[name]} {carrier(bits)}", f"cvt.{rounding}.{name}.{tag(bits, signed)} d, a;", rows)
    # Integers to integers.
    for from_bits, from_signed in integers:
        for to_bits, to_signed in integers:
            if (from_bits, from_signed) == (to_bits, to_signed):
                continue
            least, most = (-(1 << (to_bits - 1)), (1 << (to_bits - 1)) - 1) if to_signed else (0, (1 << to_bits) - 1)
            from_least, from_most = (-(1 << (from_bits - 1)), (1 << (from_bits - 1)) - 1) if from_signed else (0, (1 << from_bits) - 1)
            for sat in [False, True]:
                if sat and from_least >= least and from_most <= most:
                    continue
                rows = []
                for k in range(8):
                    a = next(source) >> (next(source) % from_bits if k % 2 else 0) & ((1 << from_bits) - 1)
                    value = as_integer(a, from_bits, from_signed)
                    r = max(least, min(most, value)) if sat else as_integer(value, to_bits, to_signed)
                    rows.append((a, as_integer(r, to_bits, to_signed) & ((1 << max(to_bits, 16)) - 1)))
                block(out, f"{carrier(to_bits)} {carrier(from_bits)}", f"cvt{'.sat' if sat else ''}.{tag(to_bits, to_signed)}.{tag(from_bits, from_signed)} d, a;", rows)
    # Floats to floats.
    for source_name in ["f16", "bf16", "f32", "f64"]:
        for name in ["f16", "bf16", "f32", "f64"]:
            if source_name == name:
                continue
            wider = FORMATS[name][0] >= FORMATS[source_name][0] and FORMATS[name][1] >= FORMATS[source_name][1]
            for rounding in [""] if wider else ["rn", "rz", "rm", "rp"]:
                if (source_name, name) in (("f32", "bf16"), ("f32", "f16")) and name == "bf16" and rounding in ("rm", "rp"):
                    continue
                mods = ["", ".sat"] if name in ("f16", "f32", "f64") and source_name != "bf16" and name != "bf16" else [""]
                if "f32" in (source_name, name) and "bf16" not in (source_name, name):
                    mods.append(".ftz")
                for m in mods:
                    rows = []
                    for index, (a, b, _) in enumerate(operands(source_name, 24, 11)):
                        e, mm = FORMATS[source_name]
                        if index >= 6 and FORMATS[name][0] < e:
                            bias = (1 << (FORMATS[name][0] - 1)) - 1
                            exponent = (1 << (e - 1)) - 1 - bias - FORMATS[name][1] + b % (2 * bias + FORMATS[name][1] + 4)
                            a = a & 1 << (e + mm) | exponent << mm | a & ((1 << mm) - 1)
                        x = flush(a, source_name) if m == ".ftz" and source_name == "f32" else a
                        sign, value = fraction(x, source_name)
                        if value is None:
                            r = 0 if m == ".sat" else NAN[name] if (source_name, name) != ("bf16", "f32") else None
                            if name == "f64" and m != ".sat":
                                r = None
                        else:
                            ee, em = FORMATS[name]
                            r = sign << (ee + em) | ((1 << ee) - 1) << em if value == "inf" else round_fraction(sign, value, name, rounding or "rn")
                            r = settle(r, name, m == ".ftz" and name == "f32", m == ".sat")
                        rows.append((a, r))
                    block(out, f"b{BITS[name]} b{BITS[source_name]}", f"cvt{'.' + rounding if rounding else ''}{m}.{name}.{source_name} d, a;", rows)
    narrow(out)
    integral(out)


def integral(out):
    """Floats to integral floats of the same type."""
    for name in ["f16", "f32", "f64"]:
        e, m = FORMATS[name]
        bias = (1 << (e - 1)) - 1
        for rounding in ["rni", "rzi", "rmi", "rpi"]:
            rows = []
            for index, (a, b, _) in enumerate(operands(name, 16, 3)):
                if index > 2:
                    a = a & 1 << (e + m) | (bias - 2 + b % (m + 4)) << m | a & ((1 << m) - 1) & ~((1 << max(0, m - 4)) - 1 if index % 2 else 0)
                sign, value = fraction(a, name)
                if value is None:
                    r = NAN[name]
                elif value == "inf":
                    r = a
                else:
                    whole = to_integral(sign, value, rounding)
                    r = round_fraction(sign, Fraction(whole), name, "rn")
                rows.append((a, r))
            block(out, f"b{BITS[name]} b{BITS[name]}", f"cvt.{rounding}.{name}.{name} d, a;", rows)


def encode_small(sign, value, name, relu):
    """Nearest of e4m3 or e5m2, saturated."""
    e, m = FORMATS[name]
    top = 0x7E if name == "e4m3" else 0x7B
    if value is None:
        return 0x7F
    if sign and relu:
        return 0
    if value == "inf":
        return sign << 7 | top
    if name == "e4m3" and value >= 256:
        # The exponent that IEEE 754 keeps for infinity holds numbers, in steps of 32.
        steps = value / 32
        kept = steps.numerator // steps.denominator
        rest = steps - kept
        kept += rest > Fraction(1, 2) or rest == Fraction(1, 2) and kept % 2
        bits = 0x78 + kept - 8
    else:
        bits = round_fraction(0, value, name, "rn")
    return sign << 7 | min(bits, top)


def narrow(out):
    """f32 and f16 pairs to 8-bit floats and back; packed f16 and bf16; tf32."""
    source = splitmix(5)
    for name in ["e4m3", "e5m2"]:
        e, m = FORMATS[name]
        for relu in ["", ".relu"]:
            rows, halves = [], []
            for k in range(24):
                pair = []
                for _ in range(2):
                    x = next(source)
                    bias = (1 << (e - 1)) - 1
                    exponent = 127 - bias - m - 1 + x % (2 * bias + m + 3)
                    pair.append((x >> 63) << 31 | exponent << 23 | (x >> 8 & 0x7FFFFF) & (0x7F0000 if k % 2 else 0x7FFFFF))
                if k < 3:
                    pair[0] = [0x7F800000, 0xFF800000, 0x7FC00000][k]
                bytes_ = [encode_small(*fraction(x, "f32"), name, bool(relu)) for x in pair]
                rows.append((pair[0], pair[1], bytes_[0] << 8 | bytes_[1]))
                # The same of f16 values.
                words = [round_fraction(*fraction(x, "f32"), "f16", "rn") if k >= 3 or i else [0x7C00, 0xFC00, 0x7E00][k] for i, x in enumerate(pair)]
                bytes_ = [encode_small(*fraction(x, "f16"), name, bool(relu)) for x in words]
                halves.append((words[0] << 16 | words[1], bytes_[0] << 8 | bytes_[1]))
            block(out, "b16 b32 b32", f"cvt.rn.satfinite{relu}.{name}x2.f32 d, a, b;", rows)
            block(out, "b16 b32", f"cvt.rn.satfinite{relu}.{name}x2.f16x2 d, a;", halves)
            rows = []
            for k in range(0, 256, 5):
                pair = [k, (k * 37 + 11) & 0xFF]
                words = []
                for x in pair:
                    sign, magnitude = x >> 7, x & 0x7F
                    if magnitude == 0x7F or name == "e5m2" and magnitude > 0x7C:
                        words.append(0x7FFF)
                    elif name == "e5m2" and magnitude == 0x7C:
                        words.append(0 if sign and relu else sign << 15 | 0x7C00)
                    else:
                        exponent, mantissa = magnitude >> m, magnitude & ((1 << m) - 1)
                        value = (Fraction(mantissa, 1 << m) + (exponent > 0)) * Fraction(2) ** (max(exponent, 1) - ((1 << (e - 1)) - 1))
                        words.append(0 if sign and relu else round_fraction(sign, value, "f16", "rn"))
                rows.append((pair[0] << 8 | pair[1], words[0] << 16 | words[1]))
            block(out, "b32 b16", f"cvt.rn{relu}.f16x2.{name}x2 d, a;", rows)
    for name in ["f16", "bf16"]:
        e, m = FORMATS[name]
        for rounding in ["rn", "rz"]:
            for mods in ["", ".relu", ".satfinite"]:
                rows = []
                triples = list(operands("f32", 32, 21))
                for a, b, _ in triples:
                    words = []
                    for x in (a, b):
                        sign, value = fraction(x, "f32")
                        if value is None:
                            words.append(0x7FFF)
                            continue
                        inf = ((1 << e) - 1) << m
                        bits = inf if value == "inf" else round_fraction(0, value, name, rounding)
                        if mods == ".satfinite" and bits == inf:
                            bits -= 1
                        words.append(0 if mods == ".relu" and sign else sign << 15 | bits)
                    rows.append((a, b, words[0] << 16 | words[1]))
                block(out, "b32 b32 b32", f"cvt.{rounding}{mods}.{name}x2.f32 d, a, b;", rows)
    rows = []
    for a, _, _ in operands("f32", 32, 31):
        sign, value = fraction(a, "f32")
        if value is None:
            rows.append((a, 0x7FFFFFFF))
        else:
            half = (a & 0x7FFFFFFF) + 0x1000 & 0x7FFFE000
            rows.append((a, a if value == "inf" else a & 0x80000000 | min(half, 0x7F800000)))
    block(out, "b32 b32", "cvt.rna.tf32.f32 d, a;", rows)


def integers(out):
    source = splitmix(1234)
    edge = {bits: [0, 1, (1 << bits) - 1, 1 << (bits - 1), (1 << (bits - 1)) - 1] for bits in (16, 32, 64)}

    def numbers(bits, k):
        if k < 5:
            return [edge[bits][k], edge[bits][(k * 3 + 1) % 5], edge[bits][(k + 2) % 5]]
        return [next(source) >> (64 - bits) >> (next(source) % bits if k % 3 == i else 0) for i in range(3)]

    def table(text, types, count, f, bits, fix=lambda x: x):
        rows = []
        for k in range(14):
            operands_ = fix(numbers(bits, k))[:count]
            result = f(*operands_)
            if result is not None:
                rows.append(tuple(operands_) + (result & ((1 << int(types.split()[0][1:])) - 1),))
        block(out, types, text, rows)

    def quotient(a, b):
        q = abs(a) // abs(b)
        return q if (a < 0) == (b < 0) else -q

    for bits in (16, 32, 64):
        b = f"b{bits}"
        for signed in (False, True):
            t = ("s" if signed else "u") + str(bits)
            v = lambda x, bits=bits, signed=signed: as_integer(x, bits, signed)
            table(f"add.{t} d, a, b;", f"{b} {b} {b}", 2, lambda x, y: x + y, bits)
            table(f"sub.{t} d, a, b;", f"{b} {b} {b}", 2, lambda x, y: x - y, bits)
            table(f"mul.lo.{t} d, a, b;", f"{b} {b} {b}", 2, lambda x, y: x * y, bits)
            table(f"mul.hi.{t} d, a, b;", f"{b} {b} {b}", 2, lambda x, y: v(x) * v(y) >> bits, bits)
            table(f"mad.lo.{t} d, a, b, c;", f"{b} {b} {b} {b}", 3, lambda x, y, z: x * y + z, bits)
            table(f"mad.hi.{t} d, a, b, c;", f"{b} {b} {b} {b}", 3, lambda x, y, z: (v(x) * v(y) >> bits) + z, bits)
            nonzero = lambda x: [x[0], x[1] or 7, x[2]]
            table(f"div.{t} d, a, b;", f"{b} {b} {b}", 2, lambda x, y: quotient(v(x), v(y)), bits, nonzero)
            table(f"rem.{t} d, a, b;", f"{b} {b} {b}", 2, lambda x, y: v(x) - v(y) * quotient(v(x), v(y)), bits, nonzero)
            table(f"min.{t} d, a, b;", f"{b} {b} {b}", 2, lambda x, y: min(v(x), v(y)), bits)
            table(f"max.{t} d, a, b;", f"{b} {b} {b}", 2, lambda x, y: max(v(x), v(y)), bits)
            amount = lambda x, bits=bits: [x[0], x[1] % (bits + 5), x[2]]
            table(f"shr.{t} d, a, b;", f"{b} {b} b32", 2, lambda x, y: v(x) >> y, bits, amount)
            for name, f in [("eq", lambda x, y: x == y), ("ne", lambda x, y: x != y), ("lt", lambda x, y: x < y), ("le", lambda x, y: x <= y), ("gt", lambda x, y: x > y), ("ge", lambda x, y: x >= y)]:
                table(f"setp.{name}.{t} p, a, b; selp.b32 d, 1, 0, p;", f"b32 {b} {b}", 2, lambda x, y, f=f: int(f(v(x), v(y))), bits)
            if bits < 64:
                wide = f"b{2 * bits}"
                table(f"mul.wide.{t} d, a, b;", f"{wide} {b} {b}", 2, lambda x, y: v(x) * v(y), bits)
                table(f"mad.wide.{t} d, a, b, c;", f"{wide} {b} {b} {wide}", 3, lambda x, y, z: v(x) * v(y) + z, bits)
            if bits >= 32:
                field = lambda x, bits=bits: [x[0], x[1] % (bits + 3), x[2] % (bits + 3)]

                def bfe(x, pos, length, bits=bits, signed=signed):
                    sign = x >> min(pos + length - 1, bits - 1) & 1 if signed and length else 0
                    return sum((x >> (pos + i) & 1 if i < length and pos + i < bits else sign) << i for i in range(bits))

                table(f"bfe.{t} d, a, b, c;", f"{b} {b} b32 b32", 3, bfe, bits, field)
                def bfind(x, bits=bits, signed=signed):
                    if signed and x >> (bits - 1):
                        x = ~x & ((1 << bits) - 1)
                    return x.bit_length() - 1
                table(f"bfind.{t} d, a;", f"b32 {b}", 1, bfind, bits)
        table(f"shl.b{bits} d, a, b;", f"{b} {b} b32", 2, lambda x, y: x << y, bits, lambda x, bits=bits: [x[0], x[1] % (bits + 5), x[2]])
        for name, f in [("and", lambda x, y: x & y), ("or", lambda x, y: x | y), ("xor", lambda x, y: x ^ y)]:
            table(f"{name}.b{bits} d, a, b;", f"{b} {b} {b}", 2, f, bits)
        table(f"not.b{bits} d, a;", f"{b} {b}", 1, lambda x: ~x, bits)
        table(f"cnot.b{bits} d, a;", f"{b} {b}", 1, lambda x: int(x == 0), bits)
        table(f"neg.s{bits} d, a;", f"{b} {b}", 1, lambda x: -x, bits)
        table(f"abs.s{bits} d, a;", f"{b} {b}", 1, lambda x, bits=bits: abs(as_integer(x, bits, True)), bits)
        if bits >= 32:
            table(f"popc.b{bits} d, a;", f"b32 {b}", 1, lambda x: bin(x).count("1"), bits)
            table(f"clz.b{bits} d, a;", f"b32 {b}", 1, lambda x, bits=bits: bits - x.bit_length(), bits)
            table(f"brev.b{bits} d, a;", f"{b} {b}", 1, lambda x, bits=bits: int(f"{x:0{bits}b}"[::-1], 2), bits)

            def bfi(a, bb, c, bits=bits):
                pos, length = c & 0xFF, 5 + (c & 7)
                mask = (((1 << length) - 1) << pos) & ((1 << bits) - 1)
                return bb & ~mask | a << pos & mask

            field = lambda x, bits=bits: [x[0], x[1], x[2] % (bits - 4) // 8 * 8 + 3]
            table(f"bfi.b{bits} d, a, b, c, 8;", f"{b} {b} {b} b32", 3, lambda x, y, c: bfi(x, y, c), bits, field)
    table("add.sat.s32 d, a, b;", "b32 b32 b32", 2, lambda x, y: max(-(1 << 31), min((1 << 31) - 1, as_integer(x, 32, True) + as_integer(y, 32, True))), 32)
    table("sub.sat.s32 d, a, b;", "b32 b32 b32", 2, lambda x, y: max(-(1 << 31), min((1 << 31) - 1, as_integer(x, 32, True) - as_integer(y, 32, True))), 32)
    table("sad.s32 d, a, b, c;", "b32 b32 b32 b32", 3, lambda x, y, z: z + abs(as_integer(x, 32, True) - as_integer(y, 32, True)), 32)
    table("sad.u32 d, a, b, c;", "b32 b32 b32 b32", 3, lambda x, y, z: z + abs(x - y), 32)
    table("mul24.lo.u32 d, a, b;", "b32 b32 b32", 2, lambda x, y: (x & 0xFFFFFF) * (y & 0xFFFFFF), 32)
    table("mul24.hi.s32 d, a, b;", "b32 b32 b32", 2, lambda x, y: as_integer(x, 24, True) * as_integer(y, 24, True) >> 16, 32)
    for immediate in (0x96, 0xE8, 0x40, 0xFE):
        lut = lambda a, b, c, t=immediate: sum(((t >> ((a >> i & 1) << 2 | (b >> i & 1) << 1 | (c >> i & 1))) & 1) << i for i in range(32))
        table(f"lop3.b32 d, a, b, c, {immediate};", "b32 b32 b32 b32", 3, lut, 32)

    def prmt(a, b, c):
        source_bytes = a | b << 32
        r = 0
        for i in range(4):
            selector = c >> (4 * i) & 15
            byte = source_bytes >> (8 * (selector & 7)) & 0xFF
            if selector & 8:
                byte = 0xFF if byte & 0x80 else 0
            r |= byte << (8 * i)
        return r

    table("prmt.b32 d, a, b, c;", "b32 b32 b32 b32", 3, prmt, 32)
    for mode in ("clamp", "wrap"):
        n = lambda c, mode=mode: min(c, 32) if mode == "clamp" else c & 31
        table(f"shf.l.{mode}.b32 d, a, b, c;", "b32 b32 b32 b32", 3, lambda a, b, c, n=n: (b << 32 | a) << n(c) >> 32, 32, lambda x: [x[0], x[1], x[2] % 40])
        table(f"shf.r.{mode}.b32 d, a, b, c;", "b32 b32 b32 b32", 3, lambda a, b, c, n=n: (b << 32 | a) >> n(c), 32, lambda x: [x[0], x[1], x[2] % 40])
    for sa in "us":
        for sb in "us":
            def dp4a(a, b, c, sa=sa, sb=sb):
                return c + sum(as_integer(a >> 8 * i, 8, sa == "s") * as_integer(b >> 8 * i, 8, sb == "s") for i in range(4))
            table(f"dp4a.{sa}32.{sb}32 d, a, b, c;", "b32 b32 b32 b32", 3, dp4a, 32)
            for part, first in (("lo", 0), ("hi", 2)):
                def dp2a(a, b, c, sa=sa, sb=sb, first=first):
                    return c + sum(as_integer(a >> 16 * i, 16, sa == "s") * as_integer(b >> 8 * (first + i), 8, sb == "s") for i in range(2))
                table(f"dp2a.{part}.{sa}32.{sb}32 d, a, b, c;", "b32 b32 b32 b32", 3, dp2a, 32)
    # 64-bit sums from 32-bit halves.
    split = "{ .reg .b32 al, ah, bl, bh, l, h; mov.b64 {al, ah}, a; mov.b64 {bl, bh}, b; OP mov.b64 d, {l, h}; }"
    table(split.replace("OP", "add.cc.u32 l, al, bl; addc.u32 h, ah, bh;"), "b64 b64 b64", 2, lambda x, y: x + y, 64)
    table(split.replace("OP", "sub.cc.u32 l, al, bl; subc.u32 h, ah, bh;"), "b64 b64 b64", 2, lambda x, y: x - y, 64)
    table("slct.b32.s32 d, a, b, c;".replace("b32.s32", "u32.s32"), "b32 b32 b32 b32", 3, lambda a, b, c: a if as_integer(c, 32, True) >= 0 else b, 32)
    for op in ("min", "max"):
        f = min if op == "min" else max
        table(f"{op}.s16x2 d, a, b;", "b32 b32 b32", 2, lambda a, b, f=f: sum((f(as_integer(a >> s, 16, True), as_integer(b >> s, 16, True)) & 0xFFFF) << s for s in (0, 16)), 32)


def warps(out):
    """Instructions by which the 32 lanes of a warp, a row each, exchange values; matrices in shared memory too."""
    source = splitmix(13)
    word = lambda: next(source) & 0xFFFFFFFF
    few = lambda: next(source) % 5

    def lanes(text, types, operand, result):
        """`operand` makes a lane's operands, `result` of all lanes' operands their results."""
        rows = [tuple(operand(lane)) for lane in range(32)]
        block(out, types, text, [row + (r,) for row, r in zip(rows, result(rows))])

    def shuffle(mode, c):
        def result(rows):
            segment, clamp = c >> 8, c & 31
            results = []
            for lane, (a, b) in enumerate(rows):
                least, most = lane & segment, lane & segment | clamp & ~segment & 31
                b &= 31
                at = {"idx": least | b & ~segment & 31, "up": lane - b, "down": lane + b, "bfly": lane ^ b}[mode]
                inside = at >= most if mode == "up" else at <= most
                results.append((rows[at][0] if inside else a) << 32 | int(inside))
            return results

        text = f"{{ .reg .b32 v, w; shfl.sync.{mode}.b32 v|p, a, b, {c}, -1; selp.b32 w, 1, 0, p; mov.b64 d, {{w, v}}; }}"
        lanes(text, "b64 b32 b32", lambda _: (word(), next(source) % 32), result)

    for mode in ("idx", "up", "down", "bfly"):
        for width in (32, 16, 8):
            shuffle(mode, 32 - width << 8 | (0 if mode == "up" else 31))
    full = "setp.ne.u32 p, a, 0;"
    back = " selp.b32 d, 1, 0, q;"
    ballot = lambda rows: sum((a != 0) << lane for lane, (a,) in enumerate(rows))
    lanes(f"{full} vote.sync.ballot.b32 d, p, -1;", "b32 b32", lambda _: (few() & 1,), lambda rows: [ballot(rows)] * 32)
    for mode, value in [("any", lambda all_: int(all_ != 0)), ("all", lambda all_: int(all_ == 0xFFFFFFFF)), ("uni", lambda all_: int(all_ in (0, 0xFFFFFFFF)))]:
        for operand in (lambda _: (0,), lambda _: (1,), lambda _: (few() & 1,)):
            lanes(f"{full} vote.sync.{mode}.pred q, p, -1;{back}", "b32 b32", operand, lambda rows, v=value: [v(ballot(rows))] * 32)
    lanes("match.any.sync.b32 d, a, -1;", "b32 b32", lambda _: (few(),), lambda rows: [sum((b == a) << k for k, b in enumerate(rows)) for a in rows])
    for operand in (lambda _: (7,), lambda lane: (lane // 31,)):
        equal = lambda rows: 0xFFFFFFFF if len(set(rows)) == 1 else 0
        lanes("match.all.sync.b32 d|p, a, -1;", "b32 b32", operand, lambda rows: [equal(rows)] * 32)
    signed = lambda x: as_integer(x, 32, True)
    fold = {
        "add.s32": lambda v: sum(v),
        "add.u32": lambda v: sum(v),
        "min.u32": min,
        "max.u32": max,
        "min.s32": lambda v: min(map(signed, v)),
        "max.s32": lambda v: max(map(signed, v)),
        "and.b32": lambda v: functools.reduce(operator.and_, v),
        "or.b32": lambda v: functools.reduce(operator.or_, v),
        "xor.b32": lambda v: functools.reduce(operator.xor, v),
    }
    for op, f in fold.items():
        lanes(f"redux.sync.{op} d, a, -1;", "b32 b32", lambda _: (word() | 0x100,), lambda rows, f=f: [f([a for (a,) in rows]) & 0xFFFFFFFF] * 32)
    # A matrix of 8 rows of 16 bytes: lane 4r + q stores elements 2q and 2q + 1 of row r, and gets what the figure says.
    store = "{ .shared .align 16 .b8 m[128]; .reg .b32 s, r; mov.u32 s, m; shl.b32 r, i, 2; add.u32 r, r, s; st.shared.b32 [r], a; bar.warp.sync -1; and.b32 r, i, 7; shl.b32 r, r, 4; add.u32 r, r, s;"
    half = lambda rows, r, c: rows[4 * r + c // 2][0] >> 16 * (c % 2) & 0xFFFF
    by_rows = lambda rows: [half(rows, lane // 4, lane % 4 * 2) | half(rows, lane // 4, lane % 4 * 2 + 1) << 16 for lane in range(32)]
    by_columns = lambda rows: [half(rows, lane % 4 * 2, lane // 4) | half(rows, lane % 4 * 2 + 1, lane // 4) << 16 for lane in range(32)]
    lanes(store + " ldmatrix.sync.aligned.m8n8.x1.shared.b16 {d}, [r]; }", "b32 b32", lambda _: (word(),), by_rows)
    lanes(store + " ldmatrix.sync.aligned.m8n8.x1.trans.shared.b16 {d}, [r]; }", "b32 b32", lambda _: (word(),), by_columns)
    lanes("movmatrix.sync.aligned.m8n8.trans.b16 d, a;", "b32 b32", lambda _: (word(),), by_columns)
    for trans, result in (("", by_rows), (".trans", by_columns)):
        text = "{ .shared .align 16 .b8 m[128]; .reg .b32 s, r; mov.u32 s, m; and.b32 r, i, 7; shl.b32 r, r, 4; add.u32 r, r, s;"
        text += f" stmatrix.sync.aligned.m8n8.x1{trans}.shared.b16 [r], {{a}}; bar.warp.sync -1; shl.b32 r, i, 2; add.u32 r, r, s; ld.shared.b32 d, [r]; }}"
        lanes(text, "b32 b32", lambda _: (word(),), result)


def main():
    for name, note in [("float", floats), ("convert", conversions), ("integer", integers), ("approximate", approximate), ("warp", warps)]:
        blocks = []
        note(blocks)
        with open(f"{name}.txt", "w") as out:
            write_blocks(out, blocks)
    with open("products.txt", "w") as out:
        products(out)


if __name__ == "__main__":
    main()
