//! What is known of an instruction's cost before it runs.

use super::class::{Class, classify, operations};
use crate::ast::{Instruction, Operand};
use crate::family;
use crate::program::Op;

/// Which engine makes an instruction's accesses to memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Engine {
    /// The load-store unit: `ld`, `st`, `atom`, `red`, `ldmatrix`, `stmatrix`, `wmma.load`, `wmma.store`.
    #[default]
    Lanes,
    /// `cp.async`
    Copy,
    /// `cp.async.bulk` and `cp.reduce.async.bulk` without a tensor map.
    Bulk,
    /// Those with one.
    Tensor,
    /// `st.async` and `red.async`
    Send,
    /// Whose traffic is not counted by what is accessed: mbarriers, descriptors of `wgmma`.
    Other,
}

/// What else an instruction counts as, by warps that issue it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Event {
    Branch,
    /// Waits at barrier 0 for all threads of the block.
    BlockBarrier,
    /// Waits at another barrier of the block, or for a number of threads.
    NamedBarrier,
    BarrierArrival,
    WarpBarrier,
    ClusterBarrier,
    ClusterArrival,
    MbarrierWait,
    MbarrierArrival,
    Fence,
}

impl Event {
    /// Its counter.
    pub fn name(self) -> &'static str {
        match self {
            Event::Branch => "branches",
            Event::BlockBarrier => "block_barriers",
            Event::NamedBarrier => "named_barriers",
            Event::BarrierArrival => "barrier_arrivals",
            Event::WarpBarrier => "warp_barriers",
            Event::ClusterBarrier => "cluster_barriers",
            Event::ClusterArrival => "cluster_arrivals",
            Event::MbarrierWait => "mbarrier_waits",
            Event::MbarrierArrival => "mbarrier_arrivals",
            Event::Fence => "fences",
        }
    }
}

/// How an instruction is counted, found out once when it is resolved.
#[derive(Debug)]
pub(crate) struct Cost {
    pub class: Class,
    pub event: Option<Event>,
    /// Floating-point operations of one lane.
    pub operations: u64,
    /// Shape and types of a matrix product, and operations of one warp.
    pub product: Option<(String, u64)>,
    /// Bytes of shared memory that one warp's part of a `wgmma` reads.
    pub group_bytes: u64,
}

impl Cost {
    pub fn of(i: &Instruction, op: &Op) -> Cost {
        let product = family::product(op).map(|(form, count)| (form.to_string(), count));
        Cost {
            class: if product.is_some() { Class::Tensor } else { classify(i) },
            event: event(i),
            operations: if product.is_some() { 0 } else { operations(i) },
            product,
            group_bytes: match op {
                Op::Wgmma(op) => op.shared_bytes(),
                _ => 0,
            },
        }
    }
}

/// Who makes the accesses of an instruction.
pub(crate) fn engine(i: &Instruction) -> Engine {
    let has = |name: &str| i.modifiers.iter().any(|m| m == name);
    match i.opcode.as_str() {
        "cp" if has("mbarrier") => Engine::Other,
        "cp" if has("tensor") => Engine::Tensor,
        "cp" if has("bulk") => Engine::Bulk,
        "cp" => Engine::Copy,
        "mbarrier" | "wgmma" => Engine::Other,
        "st" | "red" if has("async") => Engine::Send,
        _ => Engine::Lanes,
    }
}

fn event(i: &Instruction) -> Option<Event> {
    let has = |name: &str| i.modifiers.iter().any(|m| m == name);
    Some(match i.opcode.as_str() {
        "bra" | "brx" => Event::Branch,
        "bar" if has("warp") => Event::WarpBarrier,
        "barrier" if has("cluster") && has("arrive") => Event::ClusterArrival,
        "barrier" if has("cluster") => Event::ClusterBarrier,
        "bar" | "barrier" if has("arrive") => Event::BarrierArrival,
        "bar" | "barrier" => {
            // A reduction has its result before the barrier's number, and its predicate at the end.
            let (number, plain) = if has("red") { (1, 3) } else { (0, 1) };
            let first = matches!(i.operands.get(number), Some(Operand::Integer(0)));
            if first && i.operands.len() == plain {
                Event::BlockBarrier
            } else {
                Event::NamedBarrier
            }
        }
        "mbarrier" if has("try_wait") || has("test_wait") => Event::MbarrierWait,
        "mbarrier" if has("arrive") || has("arrive_drop") => Event::MbarrierArrival,
        "cp" if has("mbarrier") && has("arrive") => Event::MbarrierArrival,
        "membar" | "fence" => Event::Fence,
        _ => return None,
    })
}
