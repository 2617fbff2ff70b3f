//! From addresses to regions, and the checks that every access passes.

use super::{
    Access, AccessKind, LOCAL_WINDOW, Machine, PARAM_WINDOW, Pattern, Place, Proxy, Region,
    Request, SHARED_WINDOW,
};
use crate::error::{Fault, Kind};
use crate::exec::lanes;
use crate::program::Space;
use crate::program::build::{LOCAL_BASE, SHARED_BASE};

/// Addresses with the same key are in the same region.
#[inline(always)]
fn key(space: Space, address: u64) -> u64 {
    match space {
        Space::Global | Space::Const => address >> 36,
        Space::Shared | Space::Cluster => address >> 24,
        Space::Local => 0,
        Space::Param => (address >= LOCAL_BASE as u64) as u64,
        Space::Generic => match address >> 60 {
            0 => address >> 36,
            1 => address >> 24,
            window => window << 36,
        },
    }
}

/// The lanes of `rest` whose addresses are in the region of the first of them.
#[inline(always)]
pub(super) fn alike(space: Space, addresses: &[u64; 32], rest: u32) -> u32 {
    let leading = addresses[rest.trailing_zeros() as usize & 31];
    let shift = match (space, leading >> 60) {
        (Space::Global | Space::Const, _) | (Space::Generic, 0) => 36,
        (Space::Shared | Space::Cluster, _) | (Space::Generic, 1) => 24,
        _ => 60,
    };
    if rest == !0 && space != Space::Param {
        let mut differ = 0;
        for address in addresses {
            differ |= address ^ leading;
        }
        if differ >> shift == 0 {
            return rest;
        }
    }
    let first = key(space, leading);
    let mut same = 0;
    for lane in 0..32 {
        same |= ((key(space, addresses[lane]) == first) as u32) << lane;
    }
    same & rest
}

impl Machine<'_> {
    /// The region of an address, and the address at which it begins.
    #[inline(always)]
    pub(super) fn region(
        &self,
        place: Place,
        request: &Request,
        address: u64,
    ) -> Result<(Region, u64), Fault> {
        let (space, within) = match request.space {
            Space::Generic => match address >> 60 {
                0 => (Space::Global, address),
                1 => (Space::Cluster, address - SHARED_WINDOW),
                2 => (Space::Local, address - LOCAL_WINDOW),
                3 => (Space::Param, address - PARAM_WINDOW),
                _ => return Err(outside(address, "no memory")),
            },
            space => (space, address),
        };
        let window = address - within;
        match space {
            Space::Global | Space::Const => match self.memory.find(address) {
                Some((index, _, offset)) => {
                    Ok((Region::Global(index), address.wrapping_sub(offset)))
                }
                None => Err(outside(address, &self.memory.nearest(address))),
            },
            Space::Shared | Space::Cluster => {
                let rank = (within >> 24) as usize;
                if rank >= self.clusters[place.cluster].blocks.len() {
                    return Err(outside(address, "shared memory of no block of the cluster"));
                }
                if space == Space::Shared && rank != place.block {
                    let message = format!(
                        "{address:#x} is shared memory of block {rank} of the cluster, not of this one"
                    );
                    return Err(Fault::new(Kind::OutOfBounds, message));
                }
                let cluster = &self.clusters[place.cluster];
                if cluster.blocks[rank].running == 0 && cluster.running > 0 {
                    let message = format!(
                        "{address:#x} is shared memory of block {rank} of the cluster, which has exited"
                    );
                    return Err(Fault::new(Kind::OutOfBounds, message));
                }
                Ok((Region::Shared(rank), window + ((rank as u64) << 24)))
            }
            Space::Param if within < LOCAL_BASE as u64 => Ok((Region::Param, window)),
            _ => Ok((Region::Local, window + LOCAL_BASE as u64)),
        }
    }

    /// Bounds, alignment and permission of an access, then what checks and counters have to say.
    #[inline(always)]
    pub(super) fn admit(
        &mut self,
        place: Place,
        access: &Access,
        local: usize,
        aligned: u64,
    ) -> Result<(), Fault> {
        let length = match access.region {
            Region::Global(index) => self.memory.allocation(index).len,
            Region::Shared(rank) => self.clusters[place.cluster].blocks[rank].shared.len(),
            Region::Local => local,
            Region::Param => self.parameters.len(),
        } as u64;
        let low = if let Region::Shared(_) = access.region { SHARED_BASE as u64 } else { 0 };
        let bytes = access.bytes as u64;
        let (mut outside, mut odd) = (length < bytes, 0);
        match access.pattern {
            Pattern::Any => {
                let last = length.wrapping_sub(bytes);
                for offset in access.offsets {
                    outside |= *offset > last || *offset < low;
                    odd |= offset & (aligned - 1);
                }
            }
            pattern => {
                let first = access.first();
                let extent = if pattern == Pattern::Row { 32 * bytes } else { bytes };
                outside |= first > length || length - first < extent || first < low;
                odd = first & (aligned - 1);
            }
        }
        if outside || odd != 0 {
            self.refuse(access, low, length, aligned)?;
        }
        if access.request.kind != AccessKind::Read {
            self.permit(access)?;
        }
        if self.check.is_on() {
            self.uninitialized(place, access);
            if let Region::Shared(rank) = access.region
                && access.request.proxy != Proxy::Barrier
                && let Some((bad, at)) =
                    self.clusters[place.cluster].blocks[rank].state.mbarrier.touched(access)
            {
                let message = format!(
                    "it touches bytes of the mbarrier at {at:#x} of block {rank}, which only mbarrier instructions may"
                );
                self.report(place, Kind::Mbarrier, bad, message);
            }
            self.look(place, access);
        }
        self.count.access(place.pc, self.program.code[place.pc as usize].engine, access);
        Ok(())
    }

    /// Which lanes of an access are out of bounds or misaligned; none where only lanes that are off are.
    #[cold]
    fn refuse(&self, access: &Access, first: u64, length: u64, aligned: u64) -> Result<(), Fault> {
        let what = match access.region {
            Region::Global(index) => {
                let allocation = self.memory.allocation(index);
                format!("{} ({} bytes)", allocation.name, allocation.len)
            }
            Region::Shared(rank) => {
                format!(
                    "shared memory of block {rank} of the cluster (bytes {SHARED_BASE} to {length})"
                )
            }
            Region::Local => format!("local memory ({length} bytes)"),
            Region::Param => format!("the parameters ({length} bytes)"),
        };
        let bytes = access.bytes as u64;
        let verb = match access.request.kind {
            AccessKind::Read => "read",
            AccessKind::Write => "write",
            AccessKind::Atomic => "atomic access",
        };
        let tell = |kind: Kind, bad: u32, how: &str| {
            let offset = access.offsets[bad.trailing_zeros() as usize] as i64;
            Err(Fault::new(
                kind,
                format!("{verb} of {bytes} bytes at offset {offset} {how} {what}"),
            )
            .lanes(bad))
        };
        let select = |wrong: &dyn Fn(u64) -> bool| {
            lanes(access.lanes)
                .filter(|lane| wrong(access.offsets[*lane]))
                .fold(0, |m, lane| m | 1 << lane)
        };
        let bad = select(&|offset| offset < first || offset > length || length - offset < bytes);
        if bad != 0 {
            return tell(Kind::OutOfBounds, bad, "is outside");
        }
        match select(&|offset| !offset.is_multiple_of(aligned)) {
            0 => Ok(()),
            bad => tell(Kind::Misaligned, bad, &format!("is no multiple of {aligned} in")),
        }
    }

    #[inline(always)]
    fn permit(&self, access: &Access) -> Result<(), Fault> {
        let refused = match access.region {
            Region::Global(index) => {
                let allocation = self.memory.allocation(index);
                if !allocation.writable {
                    Some(format!("{} is constant", allocation.name))
                } else if self.may_write.is_some_and(|may| !may[index]) {
                    Some(format!("the launch does not let {} be written", allocation.name))
                } else {
                    None
                }
            }
            Region::Param => Some("the entry's parameters are constant".into()),
            _ => None,
        };
        match refused {
            None => Ok(()),
            Some(message) => Err(Fault::new(Kind::ReadOnly, message).lanes(access.lanes)),
        }
    }

    /// Reports reads of bytes that nothing ever wrote.
    #[inline(always)]
    fn uninitialized(&mut self, place: Place, access: &Access) {
        if access.request.kind == AccessKind::Write || !self.options.checks.memory {
            return;
        }
        let bytes = access.bytes as usize;
        let bad = match access.region {
            Region::Global(index) => {
                let allocation = self.memory.allocation(index);
                unwritten(access, |offset, len| allocation.is_written(offset, len))
            }
            Region::Shared(rank) => {
                let block = &self.clusters[place.cluster].blocks[rank];
                unwritten(access, |offset, len| block.is_written(offset, len))
            }
            _ => 0,
        };
        if bad != 0 {
            let offset = access.offsets[bad.trailing_zeros() as usize];
            let what = match access.region {
                Region::Global(index) => self.memory.allocation(index).name.clone(),
                _ => "shared memory".into(),
            };
            let message = format!(
                "{bytes} bytes at offset {offset} of {what} are read, but were never written"
            );
            self.report(place, Kind::UninitializedMemory, bad, message);
        }
    }
}

#[inline(always)]
fn unwritten(access: &Access, written: impl Fn(usize, usize) -> bool) -> u32 {
    let bytes = access.bytes as usize;
    let extent = match access.pattern {
        Pattern::Row => 32 * bytes,
        Pattern::Same => bytes,
        Pattern::Any => 0,
    };
    if extent > 0 && written(access.first() as usize, extent) {
        return 0;
    }
    let mut bad = 0;
    for lane in lanes(access.lanes) {
        bad |= (!written(access.offsets[lane] as usize, bytes) as u32) << lane;
    }
    bad
}

#[cold]
fn outside(address: u64, what: &str) -> Fault {
    Fault::new(Kind::OutOfBounds, format!("address {address:#x} is in {what}"))
}
