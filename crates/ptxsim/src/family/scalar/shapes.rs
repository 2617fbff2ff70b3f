//! Operations that do the same in each lane: their shapes, and how a table of them becomes an enum with an interpreter.
//!
//! An operation is a closure over the values of one lane; its shape says how wide operands and result are. Loops
//! over 32 lanes are compiled for AVX2 with FMA and for the baseline, and chosen at run time.

use crate::error::Result;
use crate::exec::Registers;
use crate::program::{Lowering, R32, R64, Type};

/// Rows of an operation; what each is follows from its shape.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Rows {
    /// Destination.
    pub d: u16,
    /// Sources.
    pub a: u16,
    /// …
    pub b: u16,
    /// …
    pub c: u16,
    /// A fourth source.
    pub e: u16,
    /// A constant of the operation.
    pub x: u32,
}

/// Widths of an operation: sources, then the result; `W` is 64 bits, `N` 32 or fewer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(non_camel_case_types)]
pub(crate) enum Shape {
    N_N,
    NN_N,
    NNN_N,
    NNNN_N,
    W_W,
    WW_W,
    WWW_W,
    W_N,
    N_W,
    NN_W,
    NNW_W,
    WN_W,
    WNN_W,
    WWNN_W,
}

impl Shape {
    /// Takes destination and sources of this shape, of the types `types`, from operand 0 on.
    pub fn rows(self, l: &mut Lowering, types: [Type; 4]) -> Result<Rows> {
        let (sources, wide): (&[bool], bool) = match self {
            Shape::N_N => (&[false], false),
            Shape::NN_N => (&[false; 2], false),
            Shape::NNN_N => (&[false; 3], false),
            Shape::NNNN_N => (&[false; 4], false),
            Shape::W_W => (&[true], true),
            Shape::WW_W => (&[true; 2], true),
            Shape::WWW_W => (&[true; 3], true),
            Shape::W_N => (&[true], false),
            Shape::N_W => (&[false], true),
            Shape::NN_W => (&[false; 2], true),
            Shape::NNW_W => (&[false, false, true], true),
            Shape::WN_W => (&[true, false], true),
            Shape::WNN_W => (&[true, false, false], true),
            Shape::WWNN_W => (&[true, true, false, false], true),
        };
        let mut rows = [0; 4];
        for (k, wide) in sources.iter().enumerate() {
            rows[k] =
                if *wide { l.source64(k + 1, types[k])?.0 } else { l.source32(k + 1, types[k])?.0 };
        }
        let d = if wide { l.destination64(0)?.0 } else { l.destination32(0)?.0 };
        let [a, b, c, e] = rows;
        Ok(Rows { d, a, b, c, e, x: 0 })
    }
}

/// Defines `Kind`, an enum of operations `Name |a, b| …` grouped by [`Shape`], with `Kind::shape` and
/// `run(kind, registers, rows, mask)`. Closures get the sources and the constant `x`.
macro_rules! operations {
    ($($shape:ident { $($name:ident $f:expr,)* })*) => {
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(crate) enum Kind { $($($name,)*)* }

        impl Kind {
            /// The shape of its rows; moves and conversions know it by their types.
            #[allow(dead_code)]
            pub fn shape(self) -> $crate::family::scalar::shapes::Shape {
                match self {
                    $($(Kind::$name => $crate::family::scalar::shapes::Shape::$shape,)*)*
                }
            }
        }

        #[inline(always)]
        #[allow(clippy::redundant_closure)]
        fn body(
            kind: Kind,
            registers: &mut $crate::exec::Registers,
            rows: &$crate::family::scalar::shapes::Rows,
            mask: u32,
        ) {
            match kind {
                $($(Kind::$name => {
                    $crate::family::scalar::shapes::lanes::$shape(registers, rows, mask, $f)
                })*)*
            }
        }

        $crate::family::scalar::shapes::multiversion! {
            /// Does the operation in the lanes of `mask`.
            pub(crate) fn run(
                kind: Kind,
                registers: &mut $crate::exec::Registers,
                rows: &$crate::family::scalar::shapes::Rows,
                mask: u32,
            ) = body
        }
    };
}

/// Defines a function that calls `$body`, an `inline(always)` function with the same arguments, compiled for AVX2
/// with FMA where the host has them, and for the baseline.
macro_rules! multiversion {
    ($(#[$doc:meta])* $vis:vis fn $name:ident($($arg:ident: $ty:ty,)*) $(-> $out:ty)? = $body:ident) => {
        $(#[$doc])*
        #[inline]
        $vis fn $name($($arg: $ty,)*) $(-> $out)? {
            #[cfg(target_arch = "x86_64")]
            {
                #[target_feature(enable = "avx2,fma")]
                fn wide($($arg: $ty,)*) $(-> $out)? {
                    $body($($arg,)*)
                }
                if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
                    // SAFETY: `wide` needs AVX2 and FMA, which the host has: asked for in the line above.
                    return unsafe { wide($($arg,)*) };
                }
            }
            $body($($arg,)*)
        }
    };
}

pub(crate) use {multiversion, operations};

/// The loops, one a shape.
#[allow(non_snake_case)]
pub(crate) mod lanes {
    use super::{R32, R64, Registers, Rows};

    macro_rules! shape {
        ($name:ident, $out:ty, $set:ident, $d:ident, ($($source:ident $get:ident $row:ident $ty:ty),*)) => {
            #[inline(always)]
            pub(crate) fn $name(
                registers: &mut Registers,
                rows: &Rows,
                mask: u32,
                f: impl Fn($($ty,)* u32) -> $out,
            ) {
                let mut out = [0; 32];
                {
                    $(let $source = registers.$get($row(rows.$source));)*
                    for lane in 0..32 {
                        out[lane] = f($($source[lane],)* rows.x);
                    }
                }
                registers.$set($d(rows.d), out, mask);
            }
        };
    }
    shape!(N_N, u32, set32, R32, (a get32 R32 u32));
    shape!(NN_N, u32, set32, R32, (a get32 R32 u32, b get32 R32 u32));
    shape!(NNN_N, u32, set32, R32, (a get32 R32 u32, b get32 R32 u32, c get32 R32 u32));
    shape!(NNNN_N, u32, set32, R32, (a get32 R32 u32, b get32 R32 u32, c get32 R32 u32, e get32 R32 u32));
    shape!(W_W, u64, set64, R64, (a get64 R64 u64));
    shape!(WW_W, u64, set64, R64, (a get64 R64 u64, b get64 R64 u64));
    shape!(WWW_W, u64, set64, R64, (a get64 R64 u64, b get64 R64 u64, c get64 R64 u64));
    shape!(W_N, u32, set32, R32, (a get64 R64 u64));
    shape!(N_W, u64, set64, R64, (a get32 R32 u32));
    shape!(NN_W, u64, set64, R64, (a get32 R32 u32, b get32 R32 u32));
    shape!(NNW_W, u64, set64, R64, (a get32 R32 u32, b get32 R32 u32, c get64 R64 u64));
    shape!(WN_W, u64, set64, R64, (a get64 R64 u64, b get32 R32 u32));
    shape!(WNN_W, u64, set64, R64, (a get64 R64 u64, b get32 R32 u32, c get32 R32 u32));
    shape!(WWNN_W, u64, set64, R64, (a get64 R64 u64, b get64 R64 u64, c get32 R32 u32, e get32 R32 u32));
}
