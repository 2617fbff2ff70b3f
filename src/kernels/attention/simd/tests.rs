//! The building blocks, on every instruction set that this processor has, against plain arithmetic and the portable twin.

use half::bf16;

use super::vector::{Elem, Format, Paired, Simd, Single, exp2};
use super::{Portable, With, choose, pack};
use crate::device::Isa;
use crate::kernels::attention::team::Shared;
use crate::ops::DType;

/// Runs a check on every path for both formats.
fn everywhere<W: With<Out = ()> + Copy>(check: W) {
    let avx2 = Isa { avx2: true, ..Isa::PORTABLE };
    let avx512 = Isa { avx512: true, ..avx2 };
    for isa in [Isa::PORTABLE, avx2, avx512, Isa { avx512_bf16: true, ..avx512 }] {
        for inputs in [DType::F32, DType::Bf16] {
            choose(&isa, inputs, check);
        }
    }
}

fn registers<S: Simd>(s: S, x: &[f32]) -> S::V {
    assert!(x.len() >= S::LANES);
    // SAFETY: as long as a register, as just checked.
    unsafe { s.load(x.as_ptr()) }
}

fn lanes<S: Simd>(s: S, v: S::V) -> Vec<f32> {
    let mut x = vec![0.0; S::LANES];
    // SAFETY: as long as a register.
    unsafe { s.store(x.as_mut_ptr(), v) };
    x
}

#[derive(Clone, Copy)]
struct Exponentials;

impl With for Exponentials {
    type Out = ();
    fn with<S: Simd, F: Format>(self, s: S) {
        for i in 0..4000 {
            let x: Vec<f32> = (0..16).map(|l| (i * 16 + l) as f32 * -0.00197).collect();
            for (x, y) in x.iter().zip(lanes(s, exp2(s, registers(s, &x)))) {
                let want = f64::from(*x).exp2();
                assert!((f64::from(y) - want).abs() <= 2e-7 * want + 1.2e-38, "{x} {y} {want}");
            }
        }
        let low = exp2(s, s.splat(f32::NEG_INFINITY));
        assert!(lanes(s, low).iter().all(|&x| (0.0..1.2e-38).contains(&x)));
        assert!(lanes(s, exp2(s, s.splat(0.0))).iter().all(|&x| x == 1.0));
    }
}

#[test]
fn exponentials_are_good_to_a_few_roundings_and_vanish_far_down() {
    everywhere(Exponentials);
}

#[derive(Clone, Copy)]
struct Lanes;

impl With for Lanes {
    type Out = ();
    fn with<S: Simd, F: Format>(self, s: S) {
        let x: Vec<f32> = (0..16).map(|i| (i as f32 - 5.3) * 1.0039063).collect();
        let y: Vec<f32> = (0..16).map(|i| 1.0 / (i as f32 + 0.7)).collect();
        let (a, b) = (registers(s, &x), registers(s, &y));
        let n = S::LANES;
        assert_eq!(s.largest(a), x[n - 1]);
        assert!((s.sum(a) - x[..n].iter().sum::<f32>()).abs() < 1e-4);
        for keep in 0..=n {
            let kept = lanes(s, s.keep_first(a, keep));
            assert!((0..n).all(|i| kept[i] == if i < keep { x[i] } else { 0.0 }));
        }
        // Rounding is to nearest even, bit for bit; pairs hold the low one first.
        let pairs = lanes(s, s.pairs(a, b));
        let mut narrow = vec![bf16::ZERO; n];
        // SAFETY: as long as a register.
        unsafe { s.store_bf16(narrow.as_mut_ptr(), a) };
        for i in 0..n {
            let (low, high) = (bf16::from_f32(x[i]), bf16::from_f32(y[i]));
            assert_eq!(narrow[i], low);
            assert_eq!(pairs[i].to_bits(), Paired::word(low, high).to_bits());
        }
        // SAFETY: as long as a register.
        assert_eq!(lanes(s, unsafe { s.load_bf16(narrow.as_ptr()) })[3], narrow[3].wide());
        let products = s.dot_bf16(s.pairs(a, b), s.pairs(b, b), s.splat(0.5));
        for (i, got) in lanes(s, products).into_iter().enumerate() {
            let (low, high) = (bf16::from_f32(x[i]).to_f64(), bf16::from_f32(y[i]).to_f64());
            let want = low * high + high * high + 0.5;
            assert!((f64::from(got) - want).abs() < 1e-5, "{got} {want}");
        }
        let nan = lanes(s, s.pairs(s.splat(f32::NAN), a));
        assert!(f32::from_bits(nan[0].to_bits() << 16).is_nan());
    }
}

#[test]
fn lane_operations_agree_with_plain_arithmetic_on_every_path() {
    everywhere(Lanes);
}

/// Packed numbers as f64, word by word.
fn unpacked<F: Format>(words: &[f32]) -> Vec<f64> {
    let halves = |w: &f32| [w.to_bits() as u16, (w.to_bits() >> 16) as u16];
    match F::PER_WORD {
        1 => words.iter().map(|&w| w.into()).collect(),
        _ => words.iter().flat_map(halves).map(|b| bf16::from_bits(b).to_f64()).collect(),
    }
}

fn packs<F: Format>() {
    let (rows, width, side) = (101, 7, 4);
    let data: Vec<F::Elem> = (0..rows * width).map(|i| F::Elem::narrow(i as f32 % 97.0)).collect();
    let from = pack::Rows::of(&data, 0, rows, width);
    let at = |row: usize, column: usize| {
        if row < rows && column < width {
            f64::from(data[row * width + column].wide())
        } else {
            0.0
        }
    };
    let mut across = vec![f32::NAN; pack::across_len::<F>(rows, width)];
    let mut along = vec![f32::NAN; pack::along_len::<F>(rows, width, side)];
    for chunk in 0..rows.div_ceil(pack::CHUNK) {
        let part = pack::CHUNK * pack::words::<F>(width);
        pack::across::<F>(from, chunk, side, &mut across[chunk * part..][..part]);
        // SAFETY: as long as it has to be, and used by this thread alone.
        unsafe { pack::along::<F>(from, chunk, side, Shared::new(&mut along)) };
    }
    let (w, n) = (F::PER_WORD, width.div_ceil(F::PER_WORD));
    for (i, x) in unpacked::<F>(&across).into_iter().enumerate() {
        let (half, word) = (i % w, i / w);
        let (row, column) = (word / (side * n) * side + word % side, word / side % n * w + half);
        assert_eq!(x, at(row, column), "across {row} {column}");
    }
    let padded = rows.next_multiple_of(pack::CHUNK) / w;
    for (i, x) in unpacked::<F>(&along).into_iter().enumerate() {
        let (half, word) = (i % w, i / w);
        let (row, column) =
            (word / side % padded * w + half, word / (side * padded) * side + word % side);
        assert_eq!(x, at(row, column), "along {row} {column}");
    }
}

#[test]
fn packed_panels_hold_every_number_once_and_zeros_beyond_the_end() {
    packs::<Single>();
    packs::<Paired>();
}

#[test]
fn a_processor_without_vectors_gets_the_portable_path() {
    struct LanesOf;
    impl With for LanesOf {
        type Out = (usize, usize);
        fn with<S: Simd, F: Format>(self, _: S) -> (usize, usize) {
            (S::LANES * S::MR, F::PER_WORD)
        }
    }
    assert_eq!(choose(&Isa::PORTABLE, DType::F32, LanesOf), (Portable::LANES * Portable::MR, 1));
    assert_eq!(choose(&Isa::PORTABLE, DType::Bf16, LanesOf).1, 2);
}
