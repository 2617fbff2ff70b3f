//! Bulk work: starting it, and ending it.

use super::{Copy, Load, Store, Tensor, reduce};
use crate::error::{Fault, Kind};
use crate::exec::{self, AccessKind, Context, Machine, Place, Request, lanes};
use crate::family::cluster::in_shared;
use crate::family::mbarrier::{self, Target};
use crate::family::memory::Reduction;
use crate::program::{Address, R32, Space};
use crate::tensor::map::{Part, TensorMap};

const READ_MAP: Request = Request::new(Space::Generic, AccessKind::Read);
const READ_GLOBAL: Request = Request::new(Space::Global, AccessKind::Read).asynchronous();
const WRITE_GLOBAL: Request = Request::new(Space::Global, AccessKind::Write).asynchronous();
const READ_SHARED: Request = Request::new(Space::Cluster, AccessKind::Read).asynchronous();
const WRITE_SHARED: Request = Request::new(Space::Cluster, AccessKind::Write).asynchronous();

/// Work that ends later. The lane that started it comes with it.
#[derive(Debug)]
pub(crate) enum Work {
    /// A tile into shared memory: to the same offset of blocks of the cluster.
    Load(u32, Box<Tile>, Delivery),
    /// A tile out of shared memory, from this address.
    Store(u32, Box<Tile>, u32, Option<Reduction>),
    /// Bytes into shared memory.
    Copy(u32, (Space, u64), u32, Delivery, Option<Reduction>),
    /// Bytes out of shared memory: from, to, how many.
    CopyOut(u32, [u64; 2], u32, Option<Reduction>),
}

/// A place in a tensor: coordinates, and offsets for im2col.
#[derive(Debug)]
pub(crate) struct Tile {
    map: TensorMap,
    at: [i32; 5],
    offsets: [u16; 3],
}

impl Tile {
    /// The parts of it that lie in the tensor.
    fn parts(&self) -> Vec<Part> {
        self.map.parts(self.at, self.offsets)
    }
}

impl Work {
    /// Whether an mbarrier tells of its end.
    pub fn is_counted(&self) -> bool {
        matches!(self, Work::Load(..) | Work::Copy(..))
    }
}

/// Where what is loaded goes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Delivery {
    /// Ranks, one bit each.
    blocks: u32,
    /// Offset in shared memory.
    offset: u32,
    /// Offset of each destination's own mbarrier.
    barrier: u32,
}

impl Delivery {
    /// The mbarrier of the first of the blocks.
    fn first(self) -> Target {
        Target { rank: self.blocks.trailing_zeros() as usize, offset: self.barrier }
    }
}

/// What a store has read: pieces of it go to addresses of global memory.
#[derive(Debug)]
pub(crate) struct Stored {
    lane: u32,
    bytes: Vec<u8>,
    parts: Vec<Part>,
    reduce: Option<Reduction>,
}

fn undefined(message: String) -> Fault {
    Fault::new(Kind::Undefined, message)
}

fn value(context: &Context, address: &Address, lane: usize) -> u64 {
    context.warp.registers.addresses(address)[lane]
}

fn find_tensor(tensor: &Tensor, context: &mut Context, lane: usize) -> Result<Box<Tile>, Fault> {
    let address = value(context, &tensor.map, lane);
    if !address.is_multiple_of(64) {
        let message = format!("the tensor map at {address:#x} is no multiple of 64");
        return Err(Fault::new(Kind::Misaligned, message));
    }
    let mut image = [0; 128];
    context.machine.read_bytes(context.place, &READ_MAP, lane as u32, address, &mut image)?;
    let map = TensorMap::decode(&image)
        .map_err(|what| Fault::new(Kind::Invalid, format!("at {address:#x} {what}")))?;
    if map.rank != tensor.at.len() {
        let (rank, given) = (map.rank, tensor.at.len());
        let message = format!("the tensor map has {rank} dimensions, the instruction {given}");
        return Err(Fault::new(Kind::Invalid, message));
    }
    if map.is_column() != tensor.column {
        let kinds = ["tiles", "im2col"];
        let [made, given] = [map.is_column(), tensor.column].map(|column| kinds[column as usize]);
        let message = format!("the tensor map is one for {made}, the instruction one for {given}");
        return Err(Fault::new(Kind::Invalid, message));
    }
    let (mut at, mut offsets) = ([0; 5], [0; 3]);
    for (at, row) in at.iter_mut().zip(&tensor.at) {
        *at = context.warp.registers.get32(*row)[lane] as i32;
    }
    for (offset, row) in offsets.iter_mut().zip(&tensor.offsets) {
        *offset = context.warp.registers.get32(*row)[lane] as u16;
    }
    map.admits(at, offsets).map_err(undefined)?;
    Ok(Box::new(Tile { map, at, offsets }))
}

/// Where a load to `to` goes; a multicast has a mask of blocks.
fn deliver(
    context: &mut Context,
    lane: usize,
    to: u32,
    barrier: &Address,
    multicast: Option<R32>,
) -> Result<Delivery, Fault> {
    let barrier = in_shared(value(context, barrier, lane), 8, "the mbarrier")?;
    let barrier = Target::new(barrier);
    let rank = to >> 24;
    let count = context.cluster().blocks.len() as u32;
    let blocks = match multicast {
        None => 1u32.checked_shl(rank).unwrap_or(0),
        Some(row) => context.warp.registers.get32(row)[lane] & 0xffff,
    };
    if blocks == 0 || blocks >> count != 0 {
        let message = format!("blocks {blocks:#x} of a cluster of {count} are to get the copy");
        return Err(undefined(message));
    }
    // A multicast tells the mbarrier of each destination.
    if multicast.is_none() && barrier.rank as u32 != rank {
        let message =
            format!("the mbarrier is of block {}, the destination of block {rank}", barrier.rank);
        return Err(undefined(message));
    }
    for rank in lanes(blocks) {
        let (cluster, offset) = (context.place.cluster, barrier.offset);
        if let Some(pc) = context.machine.check.hidden(cluster, rank, offset) {
            let line = context.machine.program.info[pc as usize].line;
            let message = format!(
                "the copy tells the mbarrier at {offset:#x} of block {rank}, which PTX line {line} initialized with no \
                 fence.mbarrier_init or fence.proxy.async since"
            );
            context.report(Kind::MissingInitFence, 1 << lane, message);
        }
    }
    Ok(Delivery { blocks, offset: to & 0xff_ffff, barrier: barrier.offset })
}

/// Starts loads by a tensor map.
pub(super) fn load(op: &Load, context: &mut Context, mask: u32) -> Result<(), Fault> {
    for lane in lanes(mask) {
        let at = |fault: Fault| fault.lanes(1 << lane);
        let tensor = find_tensor(&op.tensor, context, lane).map_err(at)?;
        let to = in_shared(value(context, &op.to, lane), 128, "the destination").map_err(at)?;
        if op.own && to >> 24 != context.place.block as u32 {
            return Err(at(undefined("the destination is of another block".into())));
        }
        let delivery = deliver(context, lane, to, &op.barrier, op.blocks).map_err(at)?;
        let work = Work::Load(lane as u32, tensor, delivery);
        context.machine.post(context.place, 1 << lane, exec::Work::Bulk(work));
    }
    Ok(())
}

/// Starts stores and reductions by a tensor map.
pub(super) fn store(op: &Store, context: &mut Context, mask: u32) -> Result<(), Fault> {
    for lane in lanes(mask) {
        let at = |fault: Fault| fault.lanes(1 << lane);
        let tensor = find_tensor(&op.tensor, context, lane).map_err(at)?;
        let from = in_shared(value(context, &op.from, lane), 128, "the source").map_err(at)?;
        let of_tensor = |what| reduce::of_tensor(what, tensor.map.element);
        let reduce = op.reduce.map(of_tensor).transpose().map_err(at)?;
        let work = Work::Store(lane as u32, tensor, from, reduce);
        let ticket = context.machine.post(context.place, 1 << lane, exec::Work::Bulk(work));
        context.warp.state.bulk.started(lane, ticket, context.place.pc);
    }
    Ok(())
}

/// Starts copies of bytes and reductions of arrays.
pub(super) fn copy(op: &Copy, context: &mut Context, mask: u32) -> Result<(), Fault> {
    for lane in lanes(mask) {
        let at = |fault: Fault| fault.lanes(1 << lane);
        let bytes = context.warp.registers.get32(op.bytes)[lane];
        if !bytes.is_multiple_of(16) {
            return Err(at(undefined(format!("a copy of {bytes} bytes, no multiple of 16"))));
        }
        let place = |context: &Context, (space, address): &(Space, Address), what: &str| {
            let address = value(context, address, lane);
            if *space != Space::Global {
                return in_shared(address, 16, what).map(|address| address as u64);
            }
            if address.is_multiple_of(16) {
                return Ok(address);
            }
            let message = format!("{what} at {address:#x} is no multiple of 16");
            Err(Fault::new(Kind::Misaligned, message))
        };
        let to = place(context, &op.to, "the destination").map_err(at)?;
        let from = place(context, &op.from, "the source").map_err(at)?;
        let lane = lane as u32;
        let Some(barrier) = &op.barrier else {
            let work = Work::CopyOut(lane, [from, to], bytes, op.reduce);
            let ticket = context.machine.post(context.place, 1 << lane, exec::Work::Bulk(work));
            context.warp.state.bulk.started(lane as usize, ticket, context.place.pc);
            continue;
        };
        if op.to.0 == Space::Shared && to >> 24 != context.place.block as u64 {
            return Err(at(undefined("the destination is of another block".into())));
        }
        let delivery =
            deliver(context, lane as usize, to as u32, barrier, op.blocks).map_err(at)?;
        let work = Work::Copy(lane, (op.from.0, from), bytes, delivery, op.reduce);
        context.machine.post(context.place, 1 << lane, exec::Work::Bulk(work));
    }
    Ok(())
}

/// Ends it.
pub(crate) fn complete(work: Work, machine: &mut Machine, place: Place) -> Result<(), Fault> {
    match work {
        Work::Load(lane, tile, delivery) => {
            let map = &tile.map;
            mbarrier::meant(machine, place, delivery.first());
            let mut bytes = map.filled();
            for (offset, address, len) in tile.parts() {
                let out = &mut bytes[offset..offset + len];
                machine.read_bytes(place, &READ_GLOBAL, lane, address, out)?;
            }
            let bytes = map.swizzled(delivery.offset, bytes);
            delivered(machine, place, lane, &bytes, delivery, None)
        }
        Work::Copy(lane, (space, address), len, delivery, reduce) => {
            mbarrier::meant(machine, place, delivery.first());
            let mut bytes = vec![0; len as usize];
            let request = if space == Space::Global { READ_GLOBAL } else { READ_SHARED };
            machine.read_bytes(place, &request, lane, address, &mut bytes)?;
            delivered(machine, place, lane, &bytes, delivery, reduce)
        }
        out => {
            let stored = read(out, machine, place)?;
            write(&stored, machine, place)
        }
    }
}

fn delivered(
    machine: &mut Machine,
    place: Place,
    lane: u32,
    bytes: &[u8],
    to: Delivery,
    reduce: Option<Reduction>,
) -> Result<(), Fault> {
    for rank in lanes(to.blocks) {
        let barrier = Target { rank, offset: to.barrier };
        mbarrier::meant(machine, place, barrier);
        let address = (rank as u64) << 24 | to.offset as u64;
        match reduce {
            _ if bytes.is_empty() => {}
            None => machine.write_bytes(place, &WRITE_SHARED, lane, address, bytes)?,
            Some(reduction) => {
                let to = (Space::Cluster, address);
                reduce::reduce(machine, place, lane, reduction, to, bytes)?;
            }
        }
        mbarrier::complete_bytes(machine, place, lane, barrier, bytes.len() as u64)?;
    }
    Ok(())
}

/// Reads the source of a store.
pub(super) fn read(work: Work, machine: &mut Machine, place: Place) -> Result<Stored, Fault> {
    match work {
        Work::Store(lane, tile, from, reduce) => {
            let mut bytes = vec![0; tile.map.tile_bytes()];
            machine.read_bytes(place, &READ_SHARED, lane, from as u64, &mut bytes)?;
            let bytes = tile.map.swizzled(from & 0xff_ffff, bytes);
            Ok(Stored { lane, bytes, parts: tile.parts(), reduce })
        }
        Work::CopyOut(lane, [from, to], len, reduce) => {
            let mut bytes = vec![0; len as usize];
            if len > 0 {
                machine.read_bytes(place, &READ_SHARED, lane, from, &mut bytes)?;
            }
            let parts = if len > 0 { vec![(0, to, len as usize)] } else { Vec::new() };
            Ok(Stored { lane, bytes, parts, reduce })
        }
        Work::Load(..) | Work::Copy(..) => unreachable!("loads belong to no group"),
    }
}

/// Writes what a store has read.
pub(super) fn write(stored: &Stored, machine: &mut Machine, place: Place) -> Result<(), Fault> {
    for (offset, address, len) in &stored.parts {
        let bytes = &stored.bytes[*offset..offset + len];
        match stored.reduce {
            None => machine.write_bytes(place, &WRITE_GLOBAL, stored.lane, *address, bytes)?,
            Some(reduction) => {
                let to = (Space::Global, *address);
                reduce::reduce(machine, place, stored.lane, reduction, to, bytes)?;
            }
        }
    }
    Ok(())
}
