//! Accesses of any length at one address: bulk copies, tensor copies, matrices in shared memory.

use super::{Access, Machine, Pattern, Place, Region, Request};
use crate::error::{Fault, Kind};

impl Machine<'_> {
    /// Reads `out.len()` bytes at an address of global or shared memory, for `lane` of the warp at `place`.
    ///
    /// # Errors
    /// An access out of bounds, or a race. Alignment is for the caller to check.
    pub fn read_bytes(
        &mut self,
        place: Place,
        request: &Request,
        lane: u32,
        address: u64,
        out: &mut [u8],
    ) -> Result<(), Fault> {
        let (region, offset) = self.admit_bytes(place, request, lane, address, out.len())?;
        match region {
            Region::Global(index) => self.memory.allocation(index).read(offset, out),
            Region::Shared(rank) => {
                let block = &self.clusters[place.cluster].blocks[rank];
                out.copy_from_slice(&block.shared[offset..offset + out.len()]);
            }
            Region::Param => out.copy_from_slice(&self.parameters[offset..offset + out.len()]),
            Region::Local => return Err(local(address)),
        }
        Ok(())
    }

    /// Writes bytes at an address of global or shared memory, for `lane` of the warp at `place`.
    ///
    /// # Errors
    /// As [`Machine::read_bytes`], and a write that is not allowed.
    pub fn write_bytes(
        &mut self,
        place: Place,
        request: &Request,
        lane: u32,
        address: u64,
        bytes: &[u8],
    ) -> Result<(), Fault> {
        let (region, offset) = self.admit_bytes(place, request, lane, address, bytes.len())?;
        match region {
            Region::Global(index) => {
                let allocation = self.memory.allocation(index);
                allocation.write(offset, bytes);
                allocation.mark(offset, bytes.len());
            }
            Region::Shared(rank) => {
                let block = &mut self.clusters[place.cluster].blocks[rank];
                block.shared[offset..offset + bytes.len()].copy_from_slice(bytes);
                block.mark(offset, bytes.len());
            }
            Region::Param | Region::Local => return Err(local(address)),
        }
        Ok(())
    }

    /// Lets `change` change `len` bytes at an address of global or shared memory, for `lane` of the warp at `place`.
    ///
    /// # Errors
    /// As [`Machine::write_bytes`].
    pub fn change_bytes(
        &mut self,
        place: Place,
        request: &Request,
        lane: u32,
        address: u64,
        len: usize,
        change: impl FnOnce(&mut [u8]),
    ) -> Result<(), Fault> {
        match self.admit_bytes(place, request, lane, address, len)? {
            (Region::Global(index), offset) => {
                let allocation = self.memory.allocation(index);
                let mut bytes = vec![0; len];
                allocation.read(offset, &mut bytes);
                change(&mut bytes);
                allocation.write(offset, &bytes);
                allocation.mark(offset, len);
            }
            (Region::Shared(rank), offset) => {
                let block = &mut self.clusters[place.cluster].blocks[rank];
                change(&mut block.shared[offset..offset + len]);
                block.mark(offset, len);
            }
            (Region::Param | Region::Local, _) => return Err(local(address)),
        }
        Ok(())
    }

    fn admit_bytes(
        &mut self,
        place: Place,
        request: &Request,
        lane: u32,
        address: u64,
        len: usize,
    ) -> Result<(Region, usize), Fault> {
        let (region, base) =
            self.region(place, request, address).map_err(|f| f.lanes(1 << lane))?;
        let offset = address.wrapping_sub(base);
        let access = Access {
            request,
            region,
            bytes: len as u32,
            lanes: 1 << lane,
            offsets: &[offset; 32],
            pattern: Pattern::Same,
        };
        self.admit(place, &access, 0, 1)?;
        Ok((region, offset as usize))
    }
}

fn local(address: u64) -> Fault {
    Fault::new(
        Kind::OutOfBounds,
        format!("address {address:#x} is in local or parameter memory, which this cannot access"),
    )
}
