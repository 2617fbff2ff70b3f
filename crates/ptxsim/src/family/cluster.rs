//! Clusters: addresses of other blocks' shared memory (`mapa`, `getctarank`) and the barrier of the cluster's threads
//! (`barrier.cluster`). Cluster fences are with the other fences.
//!
//! Each thread arrives and then waits, in turns; threads that have exited are not waited for. The aligned forms are executed
//! by all living lanes of a warp together.

use crate::ast::Instruction;
use crate::check::{Event, Object};
use crate::error::{Fault, Kind, Result};
use crate::exec::access::SHARED_WINDOW;
use crate::exec::{self, Context, Flow, Machine, Place, lanes};
use crate::program::{Lowering, R32, R64, Space, Type};

/// A resolved instruction.
#[derive(Debug)]
pub(crate) enum Op {
    /// `mapa.shared::cluster.u32`, and with an address in 64 bits.
    Map32(R32, R32, R32),
    Map64(Space, R64, R64, R32),
    /// `getctarank`
    Rank32(R32, R32),
    Rank64(Space, R32, R64),
    /// `barrier.cluster.arrive`
    Arrive {
        aligned: bool,
        release: bool,
    },
    /// `barrier.cluster.wait`
    Wait {
        aligned: bool,
    },
}

/// Resolves an instruction of this family.
pub(crate) fn lower(i: &Instruction, l: &mut Lowering) -> Result<Option<Op>> {
    Ok(Some(match i.opcode.as_str() {
        "mapa" | "getctarank" => {
            let space = l.space();
            if !matches!(space, Space::Generic | Space::Cluster) {
                return Err(l.unsupported("its state space"));
            }
            let ty = l.ty()?;
            match (i.opcode.as_str(), ty) {
                ("mapa", Type::U32) if space == Space::Cluster => {
                    Op::Map32(l.destination32(0)?, l.source32(1, ty)?, l.source32(2, Type::U32)?)
                }
                ("mapa", Type::U64) => Op::Map64(
                    space,
                    l.destination64(0)?,
                    l.source64(1, ty)?,
                    l.source32(2, Type::U32)?,
                ),
                ("getctarank", Type::U32) if space == Space::Cluster => {
                    Op::Rank32(l.destination32(0)?, l.source32(1, ty)?)
                }
                ("getctarank", Type::U64) => {
                    Op::Rank64(space, l.destination32(0)?, l.source64(1, ty)?)
                }
                _ => return Err(l.unsupported("addresses of this width in this space")),
            }
        }
        "barrier" if i.modifiers.first().is_some_and(|m| m == "cluster") => {
            l.require("cluster")?;
            let arrive = l.flag("arrive");
            if !arrive {
                l.require("wait")?;
            }
            let relaxed = l.flag("relaxed");
            l.flag(if arrive { "release" } else { "acquire" });
            let aligned = l.flag("aligned");
            if arrive {
                Op::Arrive { aligned, release: !relaxed }
            } else if relaxed {
                return Err(l.unsupported("a wait is never relaxed"));
            } else {
                Op::Wait { aligned }
            }
        }
        _ => return Ok(None),
    }))
}

/// An address of shared memory, given in that space or by a generic address.
pub(crate) fn in_shared(address: u64, aligned: u32, what: &str) -> Result<u32, Fault> {
    let offset =
        if address >> 60 == SHARED_WINDOW >> 60 { address - SHARED_WINDOW } else { address };
    if offset >> 32 != 0 {
        let message = format!("{what} at {address:#x} is not in shared memory");
        return Err(Fault::new(Kind::OutOfBounds, message));
    }
    if !(offset as u32).is_multiple_of(aligned) {
        let message = format!("{what} at {offset:#x} is no multiple of {aligned}");
        return Err(Fault::new(Kind::Misaligned, message));
    }
    Ok(offset as u32)
}

/// What a group waits for: the cluster's barrier to pass a generation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Wait(u32);

/// What is kept for a warp.
#[derive(Debug, Default)]
pub(crate) struct WarpState {
    /// Lanes that have arrived and not waited yet.
    arrived: u32,
    /// The generation that each of them completes.
    generations: Option<Box<[u32; 32]>>,
}

/// What is kept for a cluster.
#[derive(Debug, Default)]
pub(crate) struct ClusterState {
    /// How often the barrier was passed.
    generation: u32,
    /// Threads that have arrived since.
    arrived: u32,
    /// Threads that have exited.
    exited: u32,
}

/// Executes it.
pub(crate) fn execute(op: &Op, context: &mut Context, mask: u32) -> Result<Flow, Fault> {
    match op {
        Op::Map32(d, address, rank) => {
            let ranks = ranked(context, *rank, mask)?;
            let address = *context.warp.registers.get32(*address);
            let mapped = std::array::from_fn(|lane| address[lane] & 0xff_ffff | ranks[lane] << 24);
            context.warp.registers.set32(*d, mapped, mask);
        }
        Op::Map64(space, d, address, rank) => {
            let ranks = ranked(context, *rank, mask)?;
            let address = *context.warp.registers.get64(*address);
            shared(*space, &address, mask)?;
            let mapped = std::array::from_fn(|lane| {
                address[lane] & !0xff00_0000 | (ranks[lane] as u64) << 24
            });
            context.warp.registers.set64(*d, mapped, mask);
        }
        Op::Rank32(d, address) => {
            let ranks = context.warp.registers.get32(*address).map(|address| address >> 24);
            context.warp.registers.set32(*d, ranks, mask);
        }
        Op::Rank64(space, d, address) => {
            let address = *context.warp.registers.get64(*address);
            shared(*space, &address, mask)?;
            let ranks = address.map(|address| address as u32 >> 24);
            context.warp.registers.set32(*d, ranks, mask);
        }
        Op::Arrive { aligned, .. } | Op::Wait { aligned }
            if *aligned && mask != context.warp.alive =>
        {
            return Ok(Flow::Wait(exec::Wait::Converge(context.warp.lanes)));
        }
        Op::Arrive { release, .. } => arrive(context, mask, *release)?,
        Op::Wait { .. } => return wait(context, mask),
    }
    Ok(Flow::Next)
}

/// The ranks in a row, which must be of blocks of the cluster.
fn ranked(context: &mut Context, row: R32, mask: u32) -> Result<[u32; 32], Fault> {
    let ranks = *context.warp.registers.get32(row);
    let blocks = context.cluster().blocks.len() as u32;
    match lanes(mask).find(|lane| ranks[*lane] >= blocks) {
        None => Ok(ranks),
        Some(lane) => {
            let message = format!("rank {} in a cluster of {blocks} blocks", ranks[lane]);
            Err(Fault::new(Kind::Undefined, message).lanes(1 << lane))
        }
    }
}

fn shared(space: Space, addresses: &[u64; 32], mask: u32) -> Result<(), Fault> {
    let window = if space == Space::Generic { SHARED_WINDOW >> 60 } else { 0 };
    match lanes(mask).find(|lane| addresses[*lane] >> 60 != window) {
        None => Ok(()),
        Some(lane) => {
            let message = format!("{:#x} is no address of shared memory", addresses[lane]);
            Err(Fault::new(Kind::Undefined, message).lanes(1 << lane))
        }
    }
}

fn arrive(context: &mut Context, mask: u32, release: bool) -> Result<(), Fault> {
    let again = context.warp.state.cluster.arrived & mask;
    if again != 0 {
        let message = "threads arrive again at the cluster's barrier before they have waited";
        return Err(Fault::new(Kind::Barrier, message).lanes(again));
    }
    let generation = context.cluster().state.cluster.generation;
    let state = &mut context.warp.state.cluster;
    state.arrived |= mask;
    let generations = state.generations.get_or_insert_default();
    lanes(mask).for_each(|lane| generations[lane] = generation);
    let object = Object::Cluster(generation);
    let event = if release { Event::Arrive(object) } else { Event::ArriveRelaxed(object) };
    context.machine.check.event(context.place, mask, event)?;
    context.cluster().state.cluster.arrived += mask.count_ones();
    pass(context);
    Ok(())
}

/// Opens the barrier where all have come.
fn pass(context: &mut Context) {
    let cluster = context.cluster();
    let threads: u32 = cluster.blocks.iter().map(|block| block.threads).sum();
    let state = &mut cluster.state.cluster;
    if state.arrived > 0 && state.arrived >= threads - state.exited {
        state.arrived = 0;
        state.generation += 1;
        context.machine.progress += 1;
    }
}

fn wait(context: &mut Context, mask: u32) -> Result<Flow, Fault> {
    let state = &context.warp.state.cluster;
    let early = mask & !state.arrived;
    if early != 0 {
        let message = "threads wait at the cluster's barrier and have not arrived at it";
        return Err(Fault::new(Kind::Barrier, message).lanes(early));
    }
    let generations = state.generations.as_ref().expect("threads that arrived have theirs");
    let last = lanes(mask).map(|lane| generations[lane]).max().expect("lanes execute this");
    let wait = Wait(last);
    context.warp.state.cluster.arrived &= !mask;
    if ready(&wait, context, mask) {
        return Ok(Flow::Next);
    }
    Ok(Flow::WaitThen(exec::Wait::Cluster(wait)))
}

/// Whether it has come.
pub(crate) fn ready(wait: &Wait, context: &mut Context, lanes: u32) -> bool {
    let passed = context.cluster().state.cluster.generation > wait.0;
    if passed {
        let event = Event::Wait(Object::Cluster(wait.0));
        // To wait is to learn, which cannot fail.
        let _ = context.machine.check.event(context.place, lanes, event);
    }
    passed
}

/// What it is, in words.
pub(crate) fn describe(_wait: &Wait, machine: &Machine, place: Place) -> String {
    let cluster = &machine.clusters[place.cluster];
    let threads: u32 = cluster.blocks.iter().map(|block| block.threads).sum();
    let state = &cluster.state.cluster;
    let expected = threads - state.exited;
    format!("the cluster's barrier, where {} of {expected} threads have arrived", state.arrived)
}

/// Lanes have exited: the barrier may have waited for nobody else.
pub(crate) fn exited(context: &mut Context, mask: u32) -> Result<(), Fault> {
    // Those that arrived and exit without waiting count as arrived until the barrier passes.
    let generation = context.cluster().state.cluster.generation;
    let state = &context.warp.state.cluster;
    let mut still = 0;
    if let Some(generations) = &state.generations {
        let arrived = lanes(mask & state.arrived);
        still = arrived.filter(|lane| generations[*lane] == generation).count() as u32;
    }
    let state = &mut context.cluster().state.cluster;
    state.exited += mask.count_ones();
    state.arrived -= still;
    pass(context);
    Ok(())
}
