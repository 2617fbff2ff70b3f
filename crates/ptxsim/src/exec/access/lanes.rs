//! Accesses of a warp: an address a lane.

use super::region::alike;
use super::{Access, AccessKind, Context, Pattern, Region, Request};
use crate::error::{Fault, Kind};
use crate::exec::block::{is_written, mark};
use crate::exec::lanes;

/// What came of the checks of an access: where it goes, for which lanes, and how they lie.
#[derive(Debug, Clone, Copy)]
struct Admitted {
    region: Region,
    lanes: u32,
    pattern: Pattern,
}

impl Context<'_, '_> {
    /// Reads `N` (1, 2, 4, 8, 16 or 32) bytes in each lane of `mask`; what the other lanes get means nothing.
    ///
    /// # Errors
    /// An access out of bounds or misaligned, or a race.
    #[inline(always)]
    pub fn read<const N: usize>(
        &mut self,
        request: &Request,
        addresses: &[u64; 32],
        mask: u32,
    ) -> Result<[[u8; N]; 32], Fault> {
        let mut out = [[0; N]; 32];
        let mut offsets = [0; 32];
        let mut rest = mask;
        while rest != 0 {
            let admitted = self.admit::<N>(request, addresses, rest, &mut offsets)?;
            self.fetch(&admitted, &offsets, &mut out);
            rest &= !admitted.lanes;
        }
        Ok(out)
    }

    /// Carries out an admitted read.
    #[inline(always)]
    fn fetch<const N: usize>(
        &self,
        admitted: &Admitted,
        offsets: &[u64; 32],
        out: &mut [[u8; N]; 32],
    ) {
        let Admitted { region, lanes: now, pattern } = *admitted;
        let first = now.trailing_zeros() as usize & 31;
        match (pattern, region) {
            (Pattern::Same, Region::Global(_) | Region::Shared(_) | Region::Param) => {
                let value = self.load::<N>(region, first, offsets[first] as usize);
                if now.count_ones() == 32 {
                    *out = [value; 32];
                } else {
                    lanes(now).for_each(|l| out[l] = value);
                }
            }
            (Pattern::Row, Region::Global(index)) => {
                let allocation = self.machine.memory.allocation(index);
                allocation.load_row(offsets[0] as usize, out);
            }
            (Pattern::Row, Region::Shared(rank)) => {
                let shared = &self.machine.clusters[self.place.cluster].blocks[rank].shared;
                let row = &shared[offsets[0] as usize..][..32 * N];
                out.as_flattened_mut().copy_from_slice(row);
            }
            (_, Region::Global(index)) => {
                let allocation = self.machine.memory.allocation(index);
                lanes(now).for_each(|l| out[l] = allocation.load::<N>(offsets[l] as usize));
            }
            (_, Region::Shared(rank)) => {
                let shared = &self.machine.clusters[self.place.cluster].blocks[rank].shared[..];
                if now == !0 {
                    for lane in 0..32 {
                        out[lane].copy_from_slice(&shared[offsets[lane] as usize..][..N]);
                    }
                } else {
                    lanes(now)
                        .for_each(|l| out[l].copy_from_slice(&shared[offsets[l] as usize..][..N]));
                }
            }
            (_, Region::Local | Region::Param) => {
                lanes(now).for_each(|l| out[l] = self.load(region, l, offsets[l] as usize));
            }
        }
    }

    /// Writes `N` bytes in each lane of `mask`; of two lanes with the same address the higher one wins.
    ///
    /// # Errors
    /// As [`Context::read`], and a write that is not allowed.
    #[inline(always)]
    pub fn write<const N: usize>(
        &mut self,
        request: &Request,
        addresses: &[u64; 32],
        mask: u32,
        values: &[[u8; N]; 32],
    ) -> Result<(), Fault> {
        let mut offsets = [0; 32];
        let mut rest = mask;
        while rest != 0 {
            let admitted = self.admit::<N>(request, addresses, rest, &mut offsets)?;
            let Admitted { region, lanes: now, pattern } = admitted;
            let shared = matches!(region, Region::Global(_) | Region::Shared(_));
            if self.machine.options.checks.races && shared && pattern != Pattern::Row {
                self.machine.collide(self.place, &offsets, now, values);
            }
            match (pattern, region) {
                (Pattern::Row, Region::Global(index)) => {
                    let allocation = self.machine.memory.allocation(index);
                    allocation.store_row(offsets[0] as usize, values);
                    allocation.mark(offsets[0] as usize, 32 * N);
                }
                (Pattern::Row, Region::Shared(rank)) => {
                    let block = &mut self.machine.clusters[self.place.cluster].blocks[rank];
                    let at = offsets[0] as usize;
                    block.shared[at..at + 32 * N].copy_from_slice(values.as_flattened());
                    block.mark(at, 32 * N);
                }
                _ => self.store(region, &offsets, now, values),
            }
            rest &= !now;
        }
        Ok(())
    }

    /// Reads, changes and writes `N` (2, 4, 8 or 16) bytes in each lane of `mask`, lane after lane: `change` gets the lane and the
    /// old value, and gives the new one, or nothing to leave it. Returns the old values.
    ///
    /// # Errors
    /// As [`Context::write`].
    #[inline(always)]
    pub fn atomic<const N: usize>(
        &mut self,
        request: &Request,
        addresses: &[u64; 32],
        mask: u32,
        mut change: impl FnMut(usize, [u8; N]) -> Option<[u8; N]>,
    ) -> Result<[[u8; N]; 32], Fault> {
        let mut out = [[0; N]; 32];
        let mut offsets = [0; 32];
        let mut rest = mask;
        while rest != 0 {
            let admitted = self.admit::<N>(request, addresses, rest, &mut offsets)?;
            let Admitted { region, lanes: now, .. } = admitted;
            for lane in lanes(now) {
                let old = self.load(region, lane, offsets[lane] as usize);
                out[lane] = old;
                if let Some(new) = change(lane, old) {
                    let mut values = [[0; N]; 32];
                    values[lane] = new;
                    self.store(region, &offsets, 1 << lane, &values);
                }
            }
            rest &= !now;
        }
        self.machine.progress += 1;
        Ok(out)
    }

    /// The region of the first lane of `rest`, all lanes in it, and their offsets; checked.
    #[inline(always)]
    fn admit<const N: usize>(
        &mut self,
        request: &Request,
        addresses: &[u64; 32],
        rest: u32,
        offsets: &mut [u64; 32],
    ) -> Result<Admitted, Fault> {
        let leader = rest.trailing_zeros() as usize & 31;
        let now = alike(request.space, addresses, rest);
        let at = |fault: Fault| fault.lanes(now);
        let (region, base) =
            self.machine.region(self.place, request, addresses[leader]).map_err(at)?;
        let leading = addresses[leader].wrapping_sub(base);
        let (mut differ, mut gaps) = (0, 0);
        if now == !0 {
            for lane in 0..32 {
                let offset = addresses[lane].wrapping_sub(base);
                offsets[lane] = offset;
                differ |= offset ^ leading;
                gaps |= offset ^ leading.wrapping_add((lane * N) as u64);
            }
        } else {
            gaps = 1;
            for lane in 0..32 {
                let offset = addresses[lane].wrapping_sub(base);
                let offset = if now >> lane & 1 == 1 { offset } else { leading };
                offsets[lane] = offset;
                differ |= offset ^ leading;
            }
        }
        let pattern = match (differ, gaps) {
            (0, _) => Pattern::Same,
            (_, 0) => Pattern::Row,
            _ => Pattern::Any,
        };
        let access = Access { request, region, bytes: N as u32, lanes: now, offsets, pattern };
        self.machine.admit(self.place, &access, self.warp.local_bytes, N as u64)?;
        if region == Region::Local && request.kind != AccessKind::Write {
            self.never_written::<N>(offsets, now);
        }
        Ok(Admitted { region, lanes: now, pattern })
    }

    /// Reports reads of local memory that the lane itself never wrote.
    fn never_written<const N: usize>(&mut self, offsets: &[u64; 32], mask: u32) {
        if !self.machine.options.checks.memory {
            return;
        }
        let stride = self.warp.local_bytes;
        let known = |lane: &usize| {
            is_written(&self.warp.local_written, lane * stride + offsets[*lane] as usize, N)
        };
        let bad = lanes(mask).filter(|lane| !known(lane)).fold(0u32, |m, lane| m | 1 << lane);
        if bad != 0 {
            let offset = offsets[bad.trailing_zeros() as usize];
            let message = format!(
                "{N} bytes at offset {offset} of local memory are read, but the lane never wrote them"
            );
            self.report(Kind::UninitializedMemory, bad, message);
        }
    }

    #[inline(always)]
    fn load<const N: usize>(&self, region: Region, lane: usize, offset: usize) -> [u8; N] {
        let mut out = [0; N];
        match region {
            Region::Global(index) => return self.machine.memory.allocation(index).load(offset),
            Region::Shared(rank) => {
                let block = &self.machine.clusters[self.place.cluster].blocks[rank];
                out.copy_from_slice(&block.shared[offset..offset + N]);
            }
            Region::Local => {
                out.copy_from_slice(&self.warp.local[lane * self.warp.local_bytes + offset..][..N]);
            }
            Region::Param => out.copy_from_slice(&self.machine.parameters[offset..offset + N]),
        }
        out
    }

    #[inline(always)]
    fn store<const N: usize>(
        &mut self,
        region: Region,
        offsets: &[u64; 32],
        mask: u32,
        values: &[[u8; N]; 32],
    ) {
        match region {
            Region::Global(index) => {
                let allocation = self.machine.memory.allocation(index);
                for lane in lanes(mask) {
                    allocation.store::<N>(offsets[lane] as usize, values[lane]);
                    allocation.mark(offsets[lane] as usize, N);
                }
            }
            Region::Shared(rank) => {
                let block = &mut self.machine.clusters[self.place.cluster].blocks[rank];
                for lane in lanes(mask) {
                    let offset = offsets[lane] as usize;
                    block.shared[offset..offset + N].copy_from_slice(&values[lane]);
                    block.mark(offset, N);
                }
            }
            Region::Local => {
                let stride = self.warp.local_bytes;
                for lane in lanes(mask) {
                    let at = lane * stride + offsets[lane] as usize;
                    self.warp.local[at..at + N].copy_from_slice(&values[lane]);
                    mark(&mut self.warp.local_written, at, N);
                }
            }
            Region::Param => unreachable!("parameters are never written: `admit` refuses it"),
        }
    }
}

/// Whether a request only reads.
impl AccessKind {
    /// Whether it writes, too.
    pub fn writes(self) -> bool {
        self != AccessKind::Read
    }
}
