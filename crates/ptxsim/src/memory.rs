//! Global memory: allocations far apart, each with a record of the bytes that were ever written.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU8, AtomicU16, AtomicU32, AtomicU64, Ordering::Relaxed};

use crate::error::{Error, Result};

/// Address bits that tell an offset within one allocation's share of the address space.
const SPAN_BITS: u32 = 36;
/// An allocation begins this far into its share, so that a small negative offset is caught, and told, too.
const LEAD: u64 = 1 << 32;
/// Longest allocation, in bytes.
const LONGEST: u64 = 1 << 35;

/// A device address, as kernels get it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Pointer(pub u64);

impl Pointer {
    /// The address `bytes` further on.
    pub fn offset(self, bytes: i64) -> Pointer {
        Pointer(self.0.wrapping_add_signed(bytes))
    }
}

/// One allocation. Its words are atomics because blocks on several host threads may touch them at a time;
/// all accesses are relaxed and compile to plain loads and stores.
#[derive(Debug)]
pub(crate) struct Allocation {
    /// Its name in reports.
    pub name: String,
    /// Length in bytes.
    pub len: usize,
    /// Whether kernels may write it (`.const` variables they may not).
    pub writable: bool,
    words: Vec<AtomicU64>,
    written: Vec<AtomicU64>,
}

impl Allocation {
    fn new(name: &str, len: usize) -> Allocation {
        let zeros = |n: usize| (0..n).map(|_| AtomicU64::new(0)).collect();
        // Two words more than needed keep 16-byte accesses of the last word inside.
        Allocation {
            name: name.into(),
            len,
            writable: true,
            words: zeros(len.div_ceil(8) + 2),
            written: zeros(len.div_ceil(64) + 1),
        }
    }

    /// Reads `N` (1, 2, 4, 8, 16 or 32) bytes at an offset that is a multiple of `min(N, 8)`.
    ///
    /// # Panics
    /// Where the bytes are not inside.
    #[inline(always)]
    pub fn load<const N: usize>(&self, offset: usize) -> [u8; N] {
        assert!(offset + N <= self.words.len() * 8 && offset.is_multiple_of(N.min(8)));
        let base = self.words.as_ptr().cast::<u8>().cast_mut();
        let mut out = [0; N];
        // SAFETY: the assertion keeps the access inside `words` and aligned, for the words are aligned to 8
        // bytes; they outlive `self`'s borrow and are only accessed atomically.
        unsafe {
            match N {
                1 => out[0] = AtomicU8::from_ptr(base.add(offset)).load(Relaxed),
                2 => out.copy_from_slice(
                    &AtomicU16::from_ptr(base.add(offset).cast()).load(Relaxed).to_le_bytes(),
                ),
                4 => out.copy_from_slice(
                    &AtomicU32::from_ptr(base.add(offset).cast()).load(Relaxed).to_le_bytes(),
                ),
                _ => {
                    for (k, part) in out.as_chunks_mut::<8>().0.iter_mut().enumerate() {
                        let word = AtomicU64::from_ptr(base.add(offset + 8 * k).cast());
                        *part = word.load(Relaxed).to_le_bytes();
                    }
                }
            }
        }
        out
    }

    /// Writes `N` bytes, as [`Allocation::load`] reads them, without a note that they were written.
    ///
    /// # Panics
    /// Where the bytes are not inside.
    #[inline(always)]
    pub fn store<const N: usize>(&self, offset: usize, bytes: [u8; N]) {
        assert!(offset + N <= self.words.len() * 8 && offset.is_multiple_of(N.min(8)));
        let base = self.words.as_ptr().cast::<u8>().cast_mut();
        // SAFETY: as in `load`; atomics may be written through a shared borrow.
        unsafe {
            match N {
                1 => AtomicU8::from_ptr(base.add(offset)).store(bytes[0], Relaxed),
                2 => AtomicU16::from_ptr(base.add(offset).cast())
                    .store(u16::from_le_bytes([bytes[0], bytes[1]]), Relaxed),
                4 => AtomicU32::from_ptr(base.add(offset).cast())
                    .store(u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]), Relaxed),
                _ => {
                    for (k, part) in bytes.as_chunks::<8>().0.iter().enumerate() {
                        let word = AtomicU64::from_ptr(base.add(offset + 8 * k).cast());
                        word.store(u64::from_le_bytes(*part), Relaxed);
                    }
                }
            }
        }
    }

    /// Reads what 32 lanes have side by side.
    ///
    /// # Panics
    /// Where the bytes are not inside.
    #[inline(always)]
    pub fn load_row<const N: usize>(&self, offset: usize, out: &mut [[u8; N]; 32]) {
        if !offset.is_multiple_of(8) {
            for (lane, out) in out.iter_mut().enumerate() {
                *out = self.load::<N>(offset + lane * N);
            }
            return;
        }
        let words = &self.words[offset / 8..][..4 * N];
        for (word, part) in words.iter().zip(out.as_flattened_mut().as_chunks_mut::<8>().0) {
            *part = word.load(Relaxed).to_le_bytes();
        }
    }

    /// Writes what 32 lanes have side by side, as [`Allocation::load_row`] reads it, without a note that it was written.
    ///
    /// # Panics
    /// Where the bytes are not inside.
    #[inline(always)]
    pub fn store_row<const N: usize>(&self, offset: usize, values: &[[u8; N]; 32]) {
        if !offset.is_multiple_of(8) {
            for (lane, value) in values.iter().enumerate() {
                self.store::<N>(offset + lane * N, *value);
            }
            return;
        }
        let words = &self.words[offset / 8..][..4 * N];
        for (word, part) in words.iter().zip(values.as_flattened().as_chunks::<8>().0) {
            word.store(u64::from_le_bytes(*part), Relaxed);
        }
    }

    /// Reads any number of bytes from any offset.
    pub fn read(&self, offset: usize, out: &mut [u8]) {
        let mut at = offset;
        let end = offset + out.len();
        while at < end {
            let n = if at.is_multiple_of(8) && end - at >= 8 { 8 } else { 1 };
            match n {
                8 => out[at - offset..at - offset + 8].copy_from_slice(&self.load::<8>(at)),
                _ => out[at - offset] = self.load::<1>(at)[0],
            }
            at += n;
        }
    }

    /// Writes any number of bytes to any offset, without a note that they were written.
    pub fn write(&self, offset: usize, bytes: &[u8]) {
        let mut at = offset;
        let end = offset + bytes.len();
        while at < end {
            let rest = &bytes[at - offset..];
            match rest.first_chunk::<8>() {
                Some(word) if at.is_multiple_of(8) => {
                    self.store::<8>(at, *word);
                    at += 8;
                }
                _ => {
                    self.store::<1>(at, [rest[0]]);
                    at += 1;
                }
            }
        }
    }

    /// Notes that `len` bytes from `offset` on are written.
    #[inline]
    pub fn mark(&self, offset: usize, len: usize) {
        let (mut at, end) = (offset, offset + len);
        while at < end {
            let n = (64 - at % 64).min(end - at);
            let bits = (!0u64 >> (64 - n)) << (at % 64);
            let word = &self.written[at / 64];
            if word.load(Relaxed) & bits != bits {
                word.fetch_or(bits, Relaxed);
            }
            at += n;
        }
    }

    /// Whether all of `len` bytes from `offset` on were ever written.
    #[inline]
    pub fn is_written(&self, offset: usize, len: usize) -> bool {
        let (mut at, end) = (offset, offset + len);
        while at < end {
            let n = (64 - at % 64).min(end - at);
            let bits = (!0u64 >> (64 - n)) << (at % 64);
            if self.written[at / 64].load(Relaxed) & bits != bits {
                return false;
            }
            at += n;
        }
        true
    }
}

/// Contents of allocations: index, words, and which bytes were written.
#[derive(Debug)]
pub(crate) struct Image(Vec<(usize, Vec<u64>, Vec<u64>)>);

/// The global memory of a device: what the host allocates, and the variables of modules.
#[derive(Debug, Default)]
pub struct Memory {
    allocations: Vec<Allocation>,
    /// Variables of modules by module number and name.
    pub(crate) symbols: HashMap<(u64, String), Pointer>,
}

impl Memory {
    /// Memory with nothing in it.
    pub fn new() -> Memory {
        Memory::default()
    }

    /// Reserves `len` bytes; reports call them `name`. They read as never written until something writes them.
    /// The address is a multiple of 256, as that of `cudaMalloc`.
    ///
    /// # Errors
    /// [`Error::Launch`] where `len` is above 32 GiB.
    pub fn allocate(&mut self, name: &str, len: u64) -> Result<Pointer> {
        if len > LONGEST {
            return Err(Error::Launch(format!(
                "failed to allocate {name}: {len} bytes are more than 32 GiB"
            )));
        }
        self.allocations.push(Allocation::new(name, len as usize));
        Ok(Pointer(((self.allocations.len() as u64) << SPAN_BITS) + LEAD))
    }

    /// Gives an allocation back: its bytes are gone, and an access to it is out of bounds. Its addresses are not used again.
    pub fn release(&mut self, pointer: Pointer) {
        if let Some((k, _)) = index(pointer.0)
            && let Some(allocation) = self.allocations.get_mut(k)
        {
            *allocation = Allocation::new("memory that was given back", 0);
        }
    }

    /// An allocation that kernels may read only.
    pub(crate) fn seal(&mut self, pointer: Pointer) {
        if let Some((allocation, _)) =
            index(pointer.0).and_then(|(k, o)| Some((self.allocations.get_mut(k)?, o)))
        {
            allocation.writable = false;
        }
    }

    /// Copies from the host.
    ///
    /// # Errors
    /// [`Error::Launch`] where the bytes do not lie in one allocation.
    pub fn write(&mut self, to: Pointer, bytes: &[u8]) -> Result<()> {
        let (allocation, offset) = self.range(to, bytes.len())?;
        allocation.write(offset, bytes);
        allocation.mark(offset, bytes.len());
        Ok(())
    }

    /// Copies to the host; bytes never written read as zero.
    ///
    /// # Errors
    /// [`Error::Launch`] where the bytes do not lie in one allocation.
    pub fn read(&self, from: Pointer, len: usize) -> Result<Vec<u8>> {
        let (allocation, offset) = self.range(from, len)?;
        let mut out = vec![0; len];
        allocation.read(offset, &mut out);
        Ok(out)
    }

    /// Whether all of `len` bytes were ever written.
    ///
    /// # Errors
    /// [`Error::Launch`] where the bytes do not lie in one allocation.
    pub fn is_written(&self, from: Pointer, len: usize) -> Result<bool> {
        let (allocation, offset) = self.range(from, len)?;
        Ok(allocation.is_written(offset, len))
    }

    fn range(&self, at: Pointer, len: usize) -> Result<(&Allocation, usize)> {
        match self.find(at.0) {
            Some((_, allocation, offset))
                if (offset as usize).saturating_add(len) <= allocation.len =>
            {
                Ok((allocation, offset as usize))
            }
            _ => Err(Error::Launch(format!("{len} bytes at {:#x} lie in no allocation", at.0))),
        }
    }

    /// The allocation whose share of the address space holds `address`, its index, and the offset, which may lie
    /// outside the allocation (below it, it wraps around to a huge number).
    #[inline(always)]
    pub(crate) fn find(&self, address: u64) -> Option<(usize, &Allocation, u64)> {
        let (k, offset) = index(address)?;
        Some((k, self.allocations.get(k)?, offset))
    }

    /// In words, that an address is in no allocation, and which is nearest.
    #[cold]
    pub(crate) fn nearest(&self, address: u64) -> String {
        let distance = |k: usize| {
            let begin = ((k as u64 + 1) << SPAN_BITS) + LEAD;
            let end = begin + self.allocations[k].len as u64;
            if address < begin { (begin - address, "before") } else { (address - end, "behind") }
        };
        match (0..self.allocations.len()).min_by_key(|k| distance(*k).0) {
            None => "no allocation".into(),
            Some(k) => {
                let (bytes, side) = distance(k);
                let Allocation { name, len, .. } = &self.allocations[k];
                format!("no allocation: {bytes} bytes {side} {name} ({len} bytes), the nearest")
            }
        }
    }

    /// The contents of the allocations that `of` names, to be put back.
    pub(crate) fn image(&self, of: impl Fn(usize, &Allocation) -> bool) -> Image {
        let copy = |list: &[AtomicU64]| list.iter().map(|word| word.load(Relaxed)).collect();
        let chosen = self.allocations.iter().enumerate().filter(|(k, a)| of(*k, a));
        Image(chosen.map(|(k, a)| (k, copy(&a.words), copy(&a.written))).collect())
    }

    /// Puts contents back.
    pub(crate) fn restore(&self, image: &Image) {
        let put = |to: &[AtomicU64], from: &[u64]| {
            to.iter().zip(from).for_each(|(to, from)| to.store(*from, Relaxed));
        };
        for (k, words, written) in &image.0 {
            put(&self.allocations[*k].words, words);
            put(&self.allocations[*k].written, written);
        }
    }

    /// How many allocations there are.
    pub(crate) fn len(&self) -> usize {
        self.allocations.len()
    }

    /// The allocation with this index.
    #[inline(always)]
    pub(crate) fn allocation(&self, index: usize) -> &Allocation {
        &self.allocations[index]
    }
}

#[inline(always)]
fn index(address: u64) -> Option<(usize, u64)> {
    let k = ((address >> SPAN_BITS) as usize).checked_sub(1)?;
    Some((k, (address & ((1 << SPAN_BITS) - 1)).wrapping_sub(LEAD)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_back_and_known_as_written() {
        let mut memory = Memory::new();
        let x = memory.allocate("x", 100).unwrap();
        memory.write(x.offset(3), &[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]).unwrap();
        assert_eq!(
            memory.read(x.offset(2), 13).unwrap(),
            [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 0]
        );
        assert!(memory.is_written(x.offset(3), 11).unwrap());
        assert!(!memory.is_written(x.offset(3), 12).unwrap());
        assert!(!memory.is_written(x.offset(2), 2).unwrap());
    }

    #[test]
    fn a_range_that_leaves_its_allocation_is_an_error() {
        let mut memory = Memory::new();
        let x = memory.allocate("x", 16).unwrap();
        memory.allocate("y", 16).unwrap();
        for at in [x.offset(-1), x.offset(16), x.offset(1), Pointer(0)] {
            assert!(memory.read(at, 16).is_err(), "{at:?}");
        }
    }

    #[test]
    fn rows_of_lanes_agree_with_lanes_wherever_they_begin() {
        fn agree<const N: usize>() {
            let mut memory = Memory::new();
            let x = memory.allocate("x", 2048).unwrap();
            let (_, allocation, _) = memory.find(x.0).unwrap();
            let values: [[u8; N]; 32] = std::array::from_fn(|lane| [3 * lane as u8 + 1; N]);
            for offset in [0, N, 8 * N, 96] {
                allocation.store_row(offset, &values);
                for (lane, value) in values.iter().enumerate() {
                    assert_eq!(allocation.load::<N>(offset + lane * N), *value);
                }
                let mut row = [[0; N]; 32];
                allocation.load_row(offset, &mut row);
                assert_eq!(row, values);
            }
        }
        agree::<1>();
        agree::<4>();
        agree::<8>();
        agree::<32>();
    }

    #[test]
    fn accesses_of_every_width_agree_with_each_other() {
        let mut memory = Memory::new();
        let x = memory.allocate("x", 32).unwrap();
        let (_, allocation, _) = memory.find(x.0).unwrap();
        let bytes: [u8; 32] = std::array::from_fn(|k| 7 * k as u8);
        allocation.store::<32>(0, bytes);
        assert_eq!(allocation.load::<16>(16), bytes[16..]);
        assert_eq!(allocation.load::<4>(12), bytes[12..16]);
        allocation.store::<2>(6, [1, 2]);
        allocation.store::<1>(9, [3]);
        let mut expected = bytes;
        expected[6..8].copy_from_slice(&[1, 2]);
        expected[9] = 3;
        assert_eq!(allocation.load::<32>(0), expected);
    }
}
