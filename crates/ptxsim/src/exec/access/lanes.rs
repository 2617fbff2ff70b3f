//! Accesses of a warp: an address a lane.

use super::region::alike;
use super::{Access, AccessKind, Context, Region, Request};
use crate::error::{Fault, Kind};
use crate::exec::block::{is_written, mark};
use crate::exec::lanes;

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
        let mut rest = mask;
        while rest != 0 {
            let (region, offsets, now) = self.admit::<N>(request, addresses, rest)?;
            let whole = now == mask;
            match region {
                Region::Global(index) => {
                    let allocation = self.machine.memory.allocation(index);
                    if whole {
                        // Lanes that are off have the address of one that is on.
                        for lane in 0..32 {
                            out[lane] = allocation.load::<N>(offsets[lane] as usize);
                        }
                    } else {
                        lanes(now).for_each(|l| out[l] = allocation.load::<N>(offsets[l] as usize));
                    }
                }
                Region::Shared(rank) => {
                    let shared = &self.machine.clusters[self.place.cluster].blocks[rank].shared;
                    if whole {
                        for lane in 0..32 {
                            out[lane].copy_from_slice(&shared[offsets[lane] as usize..][..N]);
                        }
                    } else {
                        lanes(now).for_each(|l| {
                            out[l].copy_from_slice(&shared[offsets[l] as usize..][..N])
                        });
                    }
                }
                Region::Local => {
                    let stride = self.warp.local_bytes;
                    for lane in lanes(now) {
                        out[lane].copy_from_slice(
                            &self.warp.local[lane * stride + offsets[lane] as usize..][..N],
                        );
                    }
                }
                Region::Param => {
                    let parameters = self.machine.parameters;
                    lanes(now).for_each(|l| {
                        out[l].copy_from_slice(&parameters[offsets[l] as usize..][..N])
                    });
                }
            }
            rest &= !now;
        }
        Ok(out)
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
        let mut rest = mask;
        while rest != 0 {
            let (region, offsets, now) = self.admit::<N>(request, addresses, rest)?;
            let shared = matches!(region, Region::Global(_) | Region::Shared(_));
            if self.machine.options.checks.races && shared {
                self.machine.collide(self.place, &offsets, now, values);
            }
            self.store(region, &offsets, now, values);
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
        let mut rest = mask;
        while rest != 0 {
            let (region, offsets, now) = self.admit::<N>(request, addresses, rest)?;
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
    ) -> Result<(Region, [u64; 32], u32), Fault> {
        let leader = rest.trailing_zeros() as usize;
        let now = alike(request.space, addresses, rest);
        let at = |fault: Fault| fault.lanes(now);
        let (region, base) =
            self.machine.region(self.place, request, addresses[leader]).map_err(at)?;
        let leading = addresses[leader].wrapping_sub(base);
        let mut offsets = [leading; 32];
        for lane in 0..32 {
            let offset = addresses[lane].wrapping_sub(base);
            offsets[lane] = if now >> lane & 1 == 1 { offset } else { leading };
        }
        let access = Access { request, region, bytes: N as u32, lanes: now, offsets: &offsets };
        self.machine.admit(self.place, &access, self.warp.local_bytes, N as u64)?;
        if region == Region::Local && request.kind != AccessKind::Write {
            self.never_written::<N>(&offsets, now);
        }
        Ok((region, offsets, now))
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
