//! Which shapes, types and modifiers `mma.sync`, `wgmma.mma_async` and `wmma` have, as tables.

use std::fmt;

use super::element::Element::{self, *};
use super::product::{BitOp, Size};
use crate::num::Rounding;

/// A product that an instruction asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Form {
    /// Rows of A.
    pub m: usize,
    /// Columns of B.
    pub n: usize,
    /// Columns of A.
    pub k: usize,
    /// Type of A.
    pub a: Element,
    /// Type of B.
    pub b: Element,
    /// Type of C.
    pub c: Element,
    /// Type of D.
    pub d: Element,
    /// For `.b1`: how bits meet.
    pub bit_op: Option<BitOp>,
    /// `.satfinite`: integer sums clamp.
    pub saturate: bool,
    /// How steps of an `.f64` sum are rounded.
    pub rounding: Rounding,
}

impl Form {
    /// The sizes.
    pub const fn size(&self) -> Size {
        Size { m: self.m, n: self.n, k: self.k }
    }

    /// Operations that the product counts as: a multiplication and an addition for each of m·n·k.
    pub const fn operations(&self) -> u64 {
        2 * (self.m * self.n * self.k) as u64
    }
}

impl fmt::Display for Form {
    /// Shape, then types of D, A, B and C, with the operation on bits where there is one.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Form { m, n, k, a, b, c, d, .. } = self;
        write!(f, "m{m}n{n}k{k}.{}.{}.{}.{}", d.name(), a.name(), b.name(), c.name())?;
        match self.bit_op {
            Some(BitOp::Xor) => f.write_str(".xor.popc"),
            Some(BitOp::And) => f.write_str(".and.popc"),
            None => Ok(()),
        }
    }
}

/// `m16n8k16` as three numbers.
pub fn shape(modifier: &str) -> Option<(usize, usize, usize)> {
    let (m, rest) = modifier.strip_prefix('m')?.split_once('n')?;
    let (n, k) = rest.split_once('k')?;
    Some((m.parse().ok()?, n.parse().ok()?, k.parse().ok()?))
}

/// Shapes, types of A (B may be another of the list where the list holds signs or 8-bit floats), and pairs (D, C).
type Row = (&'static [(usize, usize, usize)], &'static [Element], &'static [(Element, Element)]);

const FLOATS: &[(Element, Element)] = &[(F16, F16), (F32, F32)];

/// `mma.sync`, PTX ISA 9.7.14.5.14.
const MMA: [Row; 9] = [
    (&[(8, 8, 4)], &[F16], &[(F16, F16), (F32, F32), (F32, F16)]),
    (&[(16, 8, 8), (16, 8, 16)], &[F16], FLOATS),
    (&[(16, 8, 8), (16, 8, 16)], &[Bf16], &[(F32, F32)]),
    (&[(16, 8, 4), (16, 8, 8)], &[Tf32], &[(F32, F32)]),
    (&[(16, 8, 16), (16, 8, 32)], &[E4m3, E5m2], FLOATS),
    (&[(8, 8, 4), (16, 8, 4), (16, 8, 8), (16, 8, 16)], &[F64], &[(F64, F64)]),
    (&[(8, 8, 16), (16, 8, 16), (16, 8, 32)], &[S8, U8], &[(S32, S32)]),
    (&[(8, 8, 32), (16, 8, 32), (16, 8, 64)], &[S4, U4], &[(S32, S32)]),
    (&[(8, 8, 128), (16, 8, 128), (16, 8, 256)], &[B1], &[(S32, S32)]),
];

/// `wmma`, PTX ISA 9.7.14.4.
const WMMA: [Row; 7] = [
    (WMMA_16, &[F16], &[(F16, F16), (F32, F32), (F32, F16), (F16, F32)]),
    (WMMA_16, &[Bf16], &[(F32, F32)]),
    (WMMA_16, &[S8, U8], &[(S32, S32)]),
    (&[(16, 16, 8)], &[Tf32], &[(F32, F32)]),
    (&[(8, 8, 4)], &[F64], &[(F64, F64)]),
    (&[(8, 8, 32)], &[S4, U4], &[(S32, S32)]),
    (&[(8, 8, 128)], &[B1], &[(S32, S32)]),
];
const WMMA_16: &[(usize, usize, usize)] = &[(16, 16, 16), (32, 8, 16), (8, 32, 16)];

/// `wgmma.mma_async`, PTX ISA 9.7.15.5.2: k, types of A and B, types of D; m is 64, n a multiple of 8 up to 256.
const WGMMA: [(usize, &[Element], &[Element]); 6] = [
    (16, &[F16], &[F16, F32]),
    (16, &[Bf16], &[F32]),
    (8, &[Tf32], &[F32]),
    (32, &[E4m3, E5m2], &[F16, F32]),
    (32, &[S8, U8], &[S32]),
    (256, &[B1], &[S32]),
];

fn legal(table: &[Row], form: &Form) -> bool {
    table.iter().any(|(shapes, types, results)| {
        shapes.contains(&(form.m, form.n, form.k))
            && types.contains(&form.a)
            && types.contains(&form.b)
            && results.contains(&(form.d, form.c))
    })
}

/// Reads `shape … dtype.atype.btype.ctype` with what may stand around; layouts and qualifiers have been taken out.
fn read(parts: &[&str]) -> Option<Form> {
    let (mut types, mut popc, mut rounded) = (Vec::new(), false, false);
    let mut form = Form {
        m: 0,
        n: 0,
        k: 0,
        a: F32,
        b: F32,
        c: F32,
        d: F32,
        bit_op: None,
        saturate: false,
        rounding: Rounding::Nearest,
    };
    for &part in parts {
        match part {
            "satfinite" => form.saturate = true,
            "xor" => form.bit_op = Some(BitOp::Xor),
            "and" => form.bit_op = Some(BitOp::And),
            "popc" => popc = true,
            "rn" | "rz" | "rm" | "rp" => {
                form.rounding = Rounding::parse(part)?;
                rounded = true;
            }
            _ => match (shape(part), Element::parse(part)) {
                (Some(sizes), _) => (form.m, form.n, form.k) = sizes,
                (_, Some(element)) => types.push(element),
                _ => return None,
            },
        }
    }
    match types[..] {
        [d, a, b, c] => (form.d, form.a, form.b, form.c) = (d, a, b, c),
        // `wgmma` has no C, `wmma` on `.f16` names D and C alone.
        [d, a, b] => (form.d, form.a, form.b, form.c) = (d, a, b, d),
        [d, c] => (form.d, form.a, form.b, form.c) = (d, F16, F16, c),
        _ => return None,
    }
    let bits = form.a == B1;
    let qualifiers_fit = bits == form.bit_op.is_some()
        && bits == popc
        && (form.a == F64 || !rounded)
        && (!form.saturate || form.d == S32 && !bits);
    qualifiers_fit.then_some(form)
}

/// The form that `mma.sync`'s modifiers ask for after `sync.aligned` and without the layouts `row` and `col`; `None` where the
/// table has no such form.
pub fn mma(parts: &[&str]) -> Option<Form> {
    read(parts).filter(|form| legal(&MMA, form))
}

/// The same for `wmma.mma`.
pub fn wmma(parts: &[&str]) -> Option<Form> {
    read(parts).filter(|form| legal(&WMMA, form))
}

/// Whether `wmma.load` and `wmma.store` have this shape and type for matrix `a`, `b`, `c` or `d`.
pub fn wmma_holds(matrix: char, sizes: (usize, usize, usize), element: Element) -> bool {
    WMMA.iter().any(|(shapes, types, results)| {
        shapes.contains(&sizes)
            && match matrix {
                'a' | 'b' => types.contains(&element),
                'c' => results.iter().any(|&(_, c)| c == element),
                _ => results.iter().any(|&(d, _)| d == element),
            }
    })
}

/// The form that `wgmma.mma_async`'s modifiers ask for after `sync.aligned`.
pub fn wgmma(parts: &[&str]) -> Option<Form> {
    let form = read(parts)?;
    let integer = form.d == S32;
    let n_fits = form.n.is_multiple_of(8)
        && (8..=256).contains(&form.n)
        // Integers: 8, 16, 24, 32, then every 16th.
        && (!integer || form.n <= 32 || form.n.is_multiple_of(16));
    let types_fit = WGMMA.iter().any(|(k, types, results)| {
        *k == form.k
            && types.contains(&form.a)
            && types.contains(&form.b)
            && results.contains(&form.d)
    });
    // Of binary products only `.and` exists.
    (form.m == 64 && n_fits && types_fit && form.bit_op != Some(BitOp::Xor)).then_some(form)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(text: &str) -> Vec<&str> {
        text.split('.').collect()
    }

    #[test]
    fn the_usual_forms_are_read() {
        let form = mma(&parts("m16n8k16.f32.bf16.bf16.f32")).unwrap();
        assert_eq!((form.m, form.n, form.k, form.a, form.d), (16, 8, 16, Bf16, F32));
        assert_eq!(form.operations(), 4096);
        assert_eq!(form.to_string(), "m16n8k16.f32.bf16.bf16.f32");
        assert!(mma(&parts("m16n8k32.satfinite.s32.u8.s8.s32")).unwrap().saturate);
        assert_eq!(
            mma(&parts("m16n8k256.s32.b1.b1.s32.and.popc")).unwrap().bit_op,
            Some(BitOp::And)
        );
        assert_eq!(wmma(&parts("m16n16k16.f32.f16")).unwrap().c, F16);
        assert_eq!(wgmma(&parts("m64n256k32.f16.e4m3.e5m2")).unwrap().b, E5m2);
        assert!(wgmma(&parts("m64n48k32.satfinite.s32.s8.u8")).is_some());
    }

    #[test]
    fn the_forms_of_mma_are_those_that_ptxas_takes() {
        let taken = include_str!("../conformance/tables/products.txt");
        for line in taken.lines() {
            let form = line.rsplit(' ').next().unwrap();
            assert!(mma(&parts(form)).is_some(), "{form}");
        }
        // Signs and 8-bit floats mix, integers may saturate, bits meet in two ways.
        let count = |(shapes, types, results): &Row| {
            let mixed = if types.len() == 2 { 4 } else { types.len() };
            let qualified = if matches!(types[0], S8 | S4 | B1) { 2 } else { 1 };
            shapes.len() * mixed * results.len() * qualified
        };
        assert_eq!(MMA.iter().map(count).sum::<usize>(), taken.lines().count());
    }

    #[test]
    fn forms_that_ptx_does_not_have_are_none() {
        for text in [
            "m16n8k32.f32.bf16.bf16.f32",
            "m16n8k16.f16.bf16.bf16.f16",
            "m16n8k16.f32.f16.f16.f16",
            "m16n8k16.f32.f16.bf16.f32",
            "m16n8k32.f32.e2m1.e2m1.f32",
            "m16n8k256.s32.b1.b1.s32",
            "m16n8k16.satfinite.f32.f16.f16.f32",
            "m16n8k16.rn.f32.f16.f16.f32",
            "m16n8k8.rna.f64.f64.f64.f64",
        ] {
            assert_eq!(mma(&parts(text)), None, "{text}");
        }
        for text in ["m64n12k16.f32.f16.f16", "m64n264k16.f32.f16.f16", "m64n40k32.s32.s8.s8"] {
            assert_eq!(wgmma(&parts(text)), None, "{text}");
        }
        assert!(wmma_holds('a', (32, 8, 16), Bf16) && !wmma_holds('a', (16, 16, 8), F16));
    }
}
