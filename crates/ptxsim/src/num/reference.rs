//! Compares with tables that `reference/generate.py` computes by other means: numpy and ml_dtypes, search in sorted lists
//! of values, and exact fractions.

use super::convert::{Float, f16_to_f32, f32_to_bf16, f32_to_f16, f32_to_tf32};
use super::format::*;
use super::special::Function;
use super::{Mode, Rounding, double, half, single};
use std::collections::BTreeMap;

/// FNV-1a over the results, 8 little-endian bytes each.
fn hash(results: impl Iterator<Item = u64>) -> (usize, u64) {
    results.fold((0, 0xcbf2_9ce4_8422_2325), |(count, hash), result| {
        let step = |h: u64, byte| (h ^ byte as u64).wrapping_mul(0x100_0000_01b3);
        (count + 1, result.to_le_bytes().into_iter().fold(hash, step))
    })
}

/// The table's entries whose name starts with `prefix`, as what follows it.
fn entries(prefix: &str) -> BTreeMap<&'static str, (usize, u64)> {
    let lines = include_str!("reference/hashes.txt").lines().map(|line| {
        let [name, count, hash] = line.split(' ').collect::<Vec<_>>()[..] else { panic!("{line}") };
        (name, (count.parse().unwrap(), u64::from_str_radix(hash, 16).unwrap()))
    });
    lines.filter_map(|(name, entry)| Some((name.strip_prefix(prefix)?, entry))).collect()
}

/// Every upper half of an `f32` with lower halves around ties.
fn inputs() -> impl Iterator<Item = u32> {
    const LOW: [u32; 9] = [0, 1, 0xfff, 0x1000, 0x1001, 0x7fff, 0x8000, 0x8001, 0xffff];
    (0..1 << 16).flat_map(|high| LOW.map(|low| high << 16 | low))
}

struct SplitMix(u64);

impl SplitMix {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }
}

/// Random triples of a format of `e` and `m` bits; some of like exponents, some nearly cancelling, some special.
fn operands(e: u32, m: u32, count: usize, seed: usize) -> Vec<[u64; 3]> {
    let width = 1 + e + m;
    let mut source = SplitMix(seed as u64);
    let ones = (1u64 << e) - 1;
    let special = [0, 1 << (width - 1), ones << m, 1, (1 << m) - 1, 1 << m, (ones << m) - 1];
    let triple = |index| {
        let mut x: [u64; 3] = std::array::from_fn(|_| source.next() >> (64 - width));
        let choice = source.next();
        if index % 4 == 1 {
            x[1] = x[0] ^ (choice & 1) << (width - 1) ^ (choice >> 8 & 15);
        }
        if index % 4 == 2 {
            let middle = (ones >> 1) << m;
            x = x.map(|x| {
                (x & ((1 << m) - 1) | x & 1 << (width - 1)) | (middle + ((x >> m & 3) << m))
            });
        }
        if index % 16 == 3 {
            x[1] = special[(choice % 7) as usize];
            x[2] = special[(choice / 7 % 7) as usize];
        }
        x
    };
    (0..count).map(triple).collect()
}

fn rounding(name: &str) -> Rounding {
    Rounding::parse(name).unwrap_or_else(|| panic!("{name}"))
}

#[test]
fn every_value_of_every_narrow_format_decodes_as_numpy_and_ml_dtypes_say() {
    let any_nan = |value: f64| if value.is_nan() { u64::MAX } else { value.to_bits() };
    for line in include_str!("reference/decode.txt").lines() {
        let mut parts = line.split(' ');
        let name = parts.next().unwrap();
        let expected: Vec<u64> = parts.map(|part| u64::from_str_radix(part, 16).unwrap()).collect();
        let decoded: Vec<u64> = match name {
            "e4m3" => (0..256).map(|bits| any_nan(decode::<E4m3>(bits))).collect(),
            "e5m2" => (0..256).map(|bits| any_nan(decode::<E5m2>(bits))).collect(),
            "e2m3" => (0..64).map(|bits| any_nan(decode::<E2m3>(bits))).collect(),
            "e3m2" => (0..64).map(|bits| any_nan(decode::<E3m2>(bits))).collect(),
            "e2m1" => (0..16).map(|bits| any_nan(decode::<E2m1>(bits))).collect(),
            "f16.hash" => {
                vec![hash((0..1 << 16).map(|bits| any_nan(decode::<F16>(bits)))).1]
            }
            "bf16.hash" => {
                vec![hash((0..1 << 16).map(|bits| any_nan(decode::<Bf16>(bits)))).1]
            }
            other => panic!("{other}"),
        };
        assert_eq!(decoded, expected, "{name}");
    }
}

#[test]
fn encoding_finds_the_neighbour_that_a_search_among_all_values_finds() {
    let mut compared = 0;
    for (name, expected) in entries("encode.") {
        let mut parts = name.split('.');
        let (format, rounding) = (parts.next().unwrap(), rounding(parts.next().unwrap()));
        let satfinite = parts.next().is_some();
        let with = |encode: fn(f64, Rounding, bool) -> u32| {
            let value = |bits| f32::from_bits(bits) as f64;
            hash(inputs().map(|bits| encode(value(bits), rounding, satfinite) as u64))
        };
        let found = match format {
            "f16" => with(encode::<F16>),
            "bf16" => with(encode::<Bf16>),
            "tf32" => with(encode::<Tf32>),
            "e4m3" => with(encode::<E4m3>),
            "e5m2" => with(encode::<E5m2>),
            "e2m3" => with(encode::<E2m3>),
            "e3m2" => with(encode::<E3m2>),
            "e2m1" => with(encode::<E2m1>),
            other => panic!("{other}"),
        };
        assert_eq!(found, expected, "{name}");
        compared += 1;
    }
    assert_eq!(compared, 80);
}

#[test]
fn the_short_ways_from_f32_agree_with_encoding() {
    for bits in inputs() {
        let value = f32::from_bits(bits) as f64;
        for rounding in [Rounding::Nearest, Rounding::Zero] {
            let f16 = f32_to_f16(bits, rounding);
            assert_eq!(f16 as u32, encode::<F16>(value, rounding, false), "{bits:x}");
            let bf16 = f32_to_bf16(bits, rounding);
            assert_eq!(bf16 as u32, encode::<Bf16>(value, rounding, false), "{bits:x}");
        }
        let tf32 = f32_to_tf32(bits, Rounding::NearestAway, false);
        match encode::<Tf32>(value, Rounding::NearestAway, false) {
            Tf32::NAN => assert_eq!(tf32, 0x7fff_ffff),
            other => assert_eq!(tf32, other << 13),
        }
        assert_eq!(
            f16_to_f32(bits as u16),
            Float::F16.convert(Float::F32, bits as u16 as u64, Default::default()) as u32
        );
    }
}

#[test]
fn a_single_rounding_from_f64_is_that_of_exact_fractions() {
    let mut compared = 0;
    for (name, expected) in entries("narrow.") {
        let (mode, format) = name.split_once('.').unwrap();
        let (e, m, to) = match format {
            "f32" => (8, 23, Float::F32),
            "f16" => (5, 10, Float::F16),
            "bf16" => (8, 7, Float::Bf16),
            other => panic!("{other}"),
        };
        let bias = (1u64 << (e - 1)) - 1;
        let value = |[a, b, _]: [u64; 3]| {
            let exponent = 1023 - bias - m + b % (2 * bias + m + 4);
            let half = 1u64 << (51 - m);
            let tail = [0, 1, half - 1, half, half + 1][((b >> 32) % 5) as usize];
            let kept = (a & ((1 << 52) - 1)) >> (52 - m) << (52 - m);
            f64::from_bits(a & 1 << 63 | exponent << 52 | kept | tail)
        };
        let inputs = operands(11, 52, 4096, 99).into_iter().map(value);
        let found = hash(inputs.map(|value| to.narrow(value, rounding(mode), false)));
        assert_eq!(found, expected, "{name}");
        compared += 1;
    }
    assert_eq!(compared, 12);
}

#[test]
fn arithmetic_in_every_rounding_is_that_of_exact_fractions() {
    let mut compared = 0;
    for op in ["add", "mul", "fma", "div", "sqrt"] {
        for (name, (count, expected)) in entries(&format!("{op}.")) {
            let (mode, format) = name.split_once('.').unwrap();
            let rounding = rounding(mode);
            let (e, m) = match format {
                "f32" => (8, 23),
                "f64" => (11, 52),
                "f16" => (5, 10),
                _ => (8, 7),
            };
            let apply = |[a, b, c]: [u64; 3]| -> u64 {
                let single_mode = Mode { rounding, ..Mode::default() };
                let [x, y, z] = [a, b, c].map(|bits| bits as u32);
                let [h, i, j] = [a, b, c].map(|bits| bits as u16);
                let result = match (format, op) {
                    ("f32", "add") => single::add(x, y, single_mode) as u64,
                    ("f32", "mul") => single::mul(x, y, single_mode) as u64,
                    ("f32", "fma") => single::fma(x, y, z, single_mode) as u64,
                    ("f32", "div") => single::div(x, y, single_mode) as u64,
                    ("f32", _) => single::sqrt(x, single_mode) as u64,
                    ("f64", "add") => double::add(a, b, rounding),
                    ("f64", "mul") => double::mul(a, b, rounding),
                    ("f64", "fma") => double::fma(a, b, c, rounding),
                    ("f64", "div") => double::div(a, b, rounding),
                    ("f64", _) => double::sqrt(a, rounding),
                    ("f16", "add") => half::add::<F16>(h, i, Default::default()) as u64,
                    ("f16", "mul") => half::mul::<F16>(h, i, Default::default()) as u64,
                    ("f16", _) => half::fma::<F16>(h, i, j, Default::default()) as u64,
                    (_, "add") => half::add::<Bf16>(h, i, Default::default()) as u64,
                    (_, "mul") => half::mul::<Bf16>(h, i, Default::default()) as u64,
                    (_, _) => half::fma::<Bf16>(h, i, j, Default::default()) as u64,
                };
                let nan = match format {
                    "f32" => result == 0x7fff_ffff,
                    "f64" => f64::from_bits(result).is_nan(),
                    _ => result == 0x7fff,
                };
                if nan { u64::MAX } else { result }
            };
            let seed = format.len() + op.len();
            let found = hash(operands(e, m, count, seed).into_iter().map(apply));
            assert_eq!(found, (count, expected), "{op}.{name}");
            compared += 1;
        }
    }
    assert_eq!(compared, 46);
}

#[test]
fn approximate_functions_are_rounded_from_what_mpmath_computes() {
    let mut compared = 0;
    for (name, expected) in entries("approx.") {
        let argument = |[a, b, _]: [u64; 3]| {
            let exponent =
                127 + if b & 0x10000 != 0 { (b % 64) as i64 - 40 } else { (b % 8) as i64 - 4 };
            let mut bits = a & 0x807f_ffff | (exponent as u64) << 23;
            if matches!(name, "sqrt" | "rsqrt" | "lg2") {
                bits &= 0x7fff_ffff;
            }
            if name == "ex2" && exponent > 127 + 7 {
                bits = bits & 0x807f_ffff | (127 + 6) << 23;
            }
            bits as u32
        };
        let function = Function::parse(name).unwrap();
        let arguments = operands(8, 23, 4096, 7).into_iter().map(argument);
        let found = hash(arguments.map(|bits| function.single(bits, false) as u64));
        assert_eq!(found, expected, "{name}");
        compared += 1;
    }
    assert_eq!(compared, 8);
}
