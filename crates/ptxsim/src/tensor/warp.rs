//! The product that one warp computes, from registers to registers.

use super::element::Element;
use super::form::Form;
use super::fragment::Layout;
use super::product::{BitOp, multiply_portable, vectorize};
use super::tile::{Lanes, accumulate, gather_accumulator, gather_columns, gather_rows, scatter};
use crate::num::Rounding;

/// Layouts of the operands of a form with 32-bit registers: A, B, C, D.
pub fn layouts(form: &Form) -> [Layout; 4] {
    [
        Layout::a(form.a, form.m, form.k),
        Layout::b(form.b, form.n, form.k),
        Layout::c(form.c, form.m, form.n),
        Layout::c(form.d, form.m, form.n),
    ]
}

/// Largest tiles of a warp: `wmma` has m·n = 256, `mma` k up to 64 where it is not binary.
const LARGEST: usize = 16 * 64;

vectorize! {
    /// D = A · B + C for all forms of `mma` and `wmma` but `f64` and `mma.m8n8k4`.
    ///
    /// # Panics
    /// If there are too few registers, or the form is none of these.
    pub fn multiply_registers(
        form: &Form,
        a: &[&Lanes],
        b: &[&Lanes],
        c: &[&Lanes],
        d: &mut [Lanes],
    ) = registers;
}

#[inline(always)]
fn registers(form: &Form, a: &[&Lanes], b: &[&Lanes], c: &[&Lanes], d: &mut [Lanes]) {
    /// A form whose sizes and types the compiler knows.
    macro_rules! usual {
        ($($k:literal $inputs:ident $result:ident,)*) => {$({
            const FORM: Form = m16n8($k, Element::$inputs, Element::$result);
            if *form == FORM {
                return sized::<{ 16 * $k }, { 8 * $k }, 128>(&FORM, a, b, c, d);
            }
        })*};
    }
    usual! { 16 Bf16 F32, 16 F16 F32, 16 F16 F16, 8 Tf32 F32, 8 Bf16 F32, 8 F16 F32, 32 S8 S32, 32 E4m3 F32, }
    sized::<LARGEST, LARGEST, 256>(form, a, b, c, d)
}

const fn m16n8(k: usize, inputs: Element, result: Element) -> Form {
    let (m, n) = (16, 8);
    let (bit_op, saturate, rounding) = (None, false, Rounding::Nearest);
    Form { m, n, k, a: inputs, b: inputs, c: result, d: result, bit_op, saturate, rounding }
}

#[inline(always)]
fn sized<const A: usize, const B: usize, const C: usize>(
    form: &Form,
    a: &[&Lanes],
    b: &[&Lanes],
    c: &[&Lanes],
    d: &mut [Lanes],
) {
    let [la, lb, lc, ld] = layouts(form);
    let mut tc = [0.0; C];
    match form.bit_op {
        Some(op) => count_bits(form, op, a, b, &mut tc),
        None => {
            let (mut ta, mut tb) = ([0.0; A], [0.0; B]);
            gather_rows(form.a, la, a, false, &mut ta);
            gather_columns(form.b, lb, b, false, &mut tb);
            if form.c != Element::S32 {
                gather_accumulator(form.c, lc, c, &mut tc);
            }
            multiply_portable(form.size(), &ta, &tb, &mut tc);
        }
    }
    match form.d {
        Element::S32 => accumulate(ld, &tc, c, form.saturate, d),
        _ => scatter(form.d, ld, &tc, d),
    }
}

/// Binary products: 32 bits of k at a time are one register of A and one of B.
fn count_bits(form: &Form, op: BitOp, a: &[&Lanes], b: &[&Lanes], sums: &mut [f32]) {
    let slices = form.m / 8;
    for k in 0..form.k / 128 {
        for (i, line) in sums.chunks_exact_mut(form.n).enumerate().take(form.m) {
            let a = a[k * slices + i / 8];
            for (j, sum) in line.iter_mut().enumerate() {
                for word in 0..4 {
                    *sum += op.count(a[i % 8 * 4 + word], b[k][j * 4 + word]) as f32;
                }
            }
        }
    }
}

#[cfg(test)]
#[path = "warp_tests.rs"]
mod tests;
