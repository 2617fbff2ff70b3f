//! What atomics and reductions make of an old value and an operand.
//!
//! `.f32` additions to global memory flush subnormals, those to shared memory do not (PTX ISA, "atom"); additions of 16-bit
//! floats keep them everywhere.

use crate::num::format;
use crate::num::half::{self, HalfMode};
use crate::num::select::{Select, select};
use crate::num::{Mode, Rounding, double, single};
use crate::program::Type;

/// An operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum What {
    And,
    Or,
    Xor,
    Exch,
    Cas,
    Add,
    Inc,
    Dec,
    Min,
    Max,
}

impl What {
    /// By its modifier.
    pub fn parse(modifier: &str) -> Option<What> {
        Some(match modifier {
            "and" => What::And,
            "or" => What::Or,
            "xor" => What::Xor,
            "exch" => What::Exch,
            "cas" => What::Cas,
            "add" => What::Add,
            "inc" => What::Inc,
            "dec" => What::Dec,
            "min" => What::Min,
            "max" => What::Max,
            _ => return None,
        })
    }
}

/// An operation on elements of a type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Reduction {
    pub what: What,
    pub ty: Type,
}

impl Reduction {
    /// The new value of `old` with operand `b` (and `c`, what `cas` puts in its place), or nothing where the old one stays;
    /// `global` says in which memory it is.
    pub fn apply(self, old: u128, b: u128, c: u128, global: bool) -> Option<u128> {
        use Type::*;
        let Reduction { what, ty } = self;
        let keep = if ty.bits() == 128 { !0 } else { (1 << ty.bits()) - 1 };
        let b = b & keep;
        let signed = |v: u128| {
            let shift = 128 - ty.bits();
            (v << shift) as i128 >> shift
        };
        let less = if ty.is_signed() { signed(old) < signed(b) } else { old < b };
        let new = match (what, ty) {
            (What::And, _) => old & b,
            (What::Or, _) => old | b,
            (What::Xor, _) => old ^ b,
            (What::Exch, _) => b,
            (What::Cas, _) if old == b => c,
            (What::Cas, _) => return None,
            (What::Inc, _) if old >= b => 0,
            (What::Inc, _) => old + 1,
            (What::Dec, _) if old == 0 || old > b => b,
            (What::Dec, _) => old - 1,
            (What::Add, F32) => {
                let mode = Mode { rounding: Rounding::Nearest, ftz: global, sat: false };
                single::add(old as u32, b as u32, mode) as u128
            }
            (What::Add, F64) => double::add(old as u64, b as u64, Rounding::Nearest) as u128,
            (What::Add, F16 | Bf16 | F16x2 | Bf16x2) => sum(ty, old as u32, b as u32) as u128,
            (What::Add, _) => old.wrapping_add(b),
            (What::Min | What::Max, F16 | Bf16 | F16x2 | Bf16x2) => {
                extreme(ty, old as u32, b as u32, what == What::Max) as u128
            }
            (What::Min, _) => [b, old][less as usize],
            (What::Max, _) => [old, b][less as usize],
        };
        Some(new & keep)
    }

    /// Reduces `old` by `b`, as many bytes, element by element.
    pub fn apply_all(self, old: &mut [u8], b: &[u8], global: bool) {
        let bytes = self.ty.bytes() as usize;
        let wide = |part: &[u8]| part.iter().rev().fold(0, |all, b| all << 8 | *b as u128);
        for (old, b) in old.chunks_exact_mut(bytes).zip(b.chunks_exact(bytes)) {
            if let Some(new) = self.apply(wide(old), wide(b), 0, global) {
                old.copy_from_slice(&new.to_le_bytes()[..bytes]);
            }
        }
    }
}

/// One sum, or two side by side.
fn sum(ty: Type, a: u32, b: u32) -> u32 {
    let mode = HalfMode::default();
    match ty {
        Type::F16 | Type::F16x2 => {
            half::pair([a, b], |[a, b]| half::add::<format::F16>(a, b, mode))
        }
        _ => half::pair([a, b], |[a, b]| half::add::<format::Bf16>(a, b, mode)),
    }
}

/// One maximum or minimum, or two side by side.
fn extreme(ty: Type, a: u32, b: u32, max: bool) -> u32 {
    let how = Select { max, ..Select::default() };
    half::pair([a, b], |[a, b]| match ty {
        Type::F16 | Type::F16x2 => select::<format::F16>(a as u32, b as u32, how) as u16,
        _ => select::<format::Bf16>(a as u32, b as u32, how) as u16,
    })
}
