//! The register files of a warp: rows of 32 lanes.

use crate::program::{Address, Base, P, PSource, R32, R64};

/// 32 lanes of 32 bits, aligned as vector units want it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(align(64))]
pub struct Row32(pub [u32; 32]);

/// 32 lanes of 64 bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(align(64))]
pub struct Row64(pub [u64; 32]);

/// What a 32-bit register holds before it is written: easy to see, and no small number.
pub(crate) const NOTHING: u32 = 0xDEAD_BEEF;

/// The three register files of one warp; constants and special registers are rows as well.
#[derive(Debug, Clone)]
pub struct Registers {
    pub(crate) r32: Vec<Row32>,
    pub(crate) r64: Vec<Row64>,
    pub(crate) predicates: Vec<u32>,
    /// The carry flag of `add.cc` and its kin: one bit a lane.
    pub carry: u32,
}

impl Registers {
    /// The lanes of a register.
    #[inline(always)]
    pub fn get32(&self, r: R32) -> &[u32; 32] {
        &self.r32[r.0 as usize].0
    }

    /// The lanes of a register.
    #[inline(always)]
    pub fn get64(&self, r: R64) -> &[u64; 32] {
        &self.r64[r.0 as usize].0
    }

    /// A predicate: one bit a lane.
    #[inline(always)]
    pub fn predicate(&self, p: PSource) -> u32 {
        self.predicates[p.register.0 as usize] ^ p.flip
    }

    /// Writes the lanes in `mask`.
    #[inline(always)]
    pub fn set32(&mut self, r: R32, value: [u32; 32], mask: u32) {
        let row = &mut self.r32[r.0 as usize].0;
        if mask == !0 {
            *row = value;
        } else {
            for lane in 0..32 {
                row[lane] = if mask >> lane & 1 == 1 { value[lane] } else { row[lane] };
            }
        }
    }

    /// Writes the lanes in `mask`.
    #[inline(always)]
    pub fn set64(&mut self, r: R64, value: [u64; 32], mask: u32) {
        let row = &mut self.r64[r.0 as usize].0;
        if mask == !0 {
            *row = value;
        } else {
            for lane in 0..32 {
                row[lane] = if mask >> lane & 1 == 1 { value[lane] } else { row[lane] };
            }
        }
    }

    /// Writes the bits in `mask`.
    #[inline(always)]
    pub fn set_predicate(&mut self, p: P, value: u32, mask: u32) {
        let bits = &mut self.predicates[p.0 as usize];
        *bits = *bits & !mask | value & mask;
    }

    /// The addresses of an operand `[base+offset]`, lane by lane.
    #[inline(always)]
    pub fn addresses(&self, address: &Address) -> [u64; 32] {
        let offset = address.offset as i64 as u64;
        match address.base {
            // An address in 32 bits wraps around in 32 bits.
            Base::R32(r) => self.get32(r).map(|a| a.wrapping_add(offset as u32) as u64),
            Base::R64(r) => self.get64(r).map(|a| a.wrapping_add(offset)),
        }
    }
}

/// The lanes in `mask`, from the lowest on.
pub fn lanes(mask: u32) -> impl Iterator<Item = usize> {
    let mut rest = mask;
    std::iter::from_fn(move || {
        let lane = rest.trailing_zeros() as usize;
        rest &= rest.wrapping_sub(1);
        (lane < 32).then_some(lane)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lane_that_is_off_writes_nothing() {
        let mut registers = Registers {
            r32: vec![Row32([7; 32])],
            r64: vec![Row64([8; 32])],
            predicates: vec![0],
            carry: 0,
        };
        registers.set32(R32(0), [1; 32], 0x8000_0001);
        registers.set64(R64(0), [2; 32], 2);
        registers.set_predicate(P(0), !0, 4);
        for lane in 0..32 {
            assert_eq!(registers.get32(R32(0))[lane], if lane % 31 == 0 { 1 } else { 7 });
            assert_eq!(registers.get64(R64(0))[lane], if lane == 1 { 2 } else { 8 });
        }
        assert_eq!(registers.predicates[0], 4);
    }

    #[test]
    fn lanes_come_in_order() {
        assert_eq!(lanes(0x8000_0005).collect::<Vec<_>>(), [0, 2, 31]);
        assert_eq!(lanes(0).count(), 0);
    }
}
