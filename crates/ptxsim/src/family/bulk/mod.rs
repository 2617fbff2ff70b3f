//! Asynchronous bulk and tensor copies and reductions: cp.async.bulk, cp.reduce.async.bulk (PTX ISA 9.7.9.25.4 to 9.7.9.27).
//!
//! Each is started by one thread at a time and posted as work that reads its source when it ends, through the asynchronous
//! proxy. Loads tell an mbarrier of each destination block how many bytes have come; stores belong to groups of their thread.
//! Refused by name: the wide modes of im2col, gather modes, `.cta_group`, byte masks, `tensormap.replace`.

mod group;
mod reduce;
mod work;

use crate::ast::{Instruction, Operand};
use crate::error::{Fault, Result};
use crate::exec::{Context, Flow};
use crate::family::memory::{Reduction, What};
use crate::program::{Address, Lowering, R32, Space, Type};

pub(crate) use group::{WarpState, end};
pub(crate) use work::{Work, complete};

/// A resolved instruction.
#[derive(Debug)]
pub(crate) enum Op {
    /// From global to shared memory by a tensor map.
    Load(Box<Load>),
    /// From shared to global memory by a tensor map.
    Store(Box<Store>),
    /// Bytes in a row.
    Copy(Box<Copy>),
    /// Prefetches, which change nothing.
    Prefetch,
    /// `cp.async.bulk.commit_group`
    Commit,
    /// `cp.async.bulk.wait_group`: how many of the latest groups may be left, and whether only their reads are waited for.
    Wait(usize, bool),
}

/// A tensor and a place in it.
#[derive(Debug)]
pub(crate) struct Tensor {
    map: Address,
    at: Vec<R32>,
    /// Whether it is a column for im2col, and its offsets.
    column: bool,
    offsets: Vec<R32>,
}

/// A load by a tensor map.
#[derive(Debug)]
pub(crate) struct Load {
    to: Address,
    tensor: Tensor,
    barrier: Address,
    /// Ranks of the blocks that get the tile; `None` for the block that `to` lies in.
    blocks: Option<R32>,
    /// Whether the destination is of the own block only.
    own: bool,
}

/// A store by a tensor map.
#[derive(Debug)]
pub(crate) struct Store {
    tensor: Tensor,
    from: Address,
    /// What is done to elements of global memory that are not only overwritten.
    reduce: Option<What>,
}

/// A copy of bytes.
#[derive(Debug)]
pub(crate) struct Copy {
    to: (Space, Address),
    from: (Space, Address),
    bytes: R32,
    /// The mbarrier to tell; without one it belongs to a group.
    barrier: Option<Address>,
    blocks: Option<R32>,
    reduce: Option<Reduction>,
}

/// Resolves an instruction of this family.
pub(crate) fn lower(i: &Instruction, l: &mut Lowering) -> Result<Option<Op>> {
    let has = |name: &str| i.modifiers.iter().any(|m| m == name);
    match i.opcode.as_str() {
        "prefetch" if has("tensormap") => {
            l.take(|m| (m == "tensormap").then_some(()));
            l.space();
            l.address(0)?;
            return Ok(Some(Op::Prefetch));
        }
        "tensormap" => return Err(l.unsupported("tensor maps are not changed by kernels here")),
        "cp" if has("bulk") => {}
        _ => return Ok(None),
    }
    let reduces = l.flag("reduce");
    l.require("async")?;
    l.require("bulk")?;
    if l.flag("commit_group") {
        return Ok(Some(Op::Commit));
    }
    if l.flag("wait_group") {
        let read = l.flag("read");
        return match l.constant(0)? {
            n @ 0.. => Ok(Some(Op::Wait(n as usize, read))),
            n => Err(l.unsupported(format!("{n} groups"))),
        };
    }
    for (modifier, what) in [
        ("im2col::w", "wide im2col loads"),
        ("im2col::w::128", "wide im2col loads"),
        ("tile::gather4", "gathering loads"),
        ("tile::scatter4", "scattering stores"),
        ("cta_group::1", "pairs of blocks"),
        ("cta_group::2", "pairs of blocks"),
        ("cp_mask", "byte masks"),
    ] {
        if has(modifier) {
            return Err(l.unsupported(format!("{what} are not executed")));
        }
    }
    let prefetch = l.flag("prefetch");
    let tensor = l.flag("tensor");
    let rank = match tensor {
        true => l.one_of(&[("1d", 1), ("2d", 2), ("3d", 3), ("4d", 4), ("5d", 5)]),
        false => Some(0),
    };
    let Some(rank) = rank else { return Err(l.unsupported("its number of dimensions")) };
    l.flag("tile");
    let (column, plain) = (l.flag("im2col"), l.flag("im2col_no_offs"));
    if (column || plain) && rank < 3 {
        return Err(l.unsupported(format!("im2col in {rank} dimensions")));
    }
    if prefetch {
        if plain {
            return Err(l.unsupported("prefetches for im2col have offsets"));
        }
        l.require("L2")?;
        l.require("global")?;
        let hint = l.flag("L2::cache_hint");
        if tensor {
            let mut tensor = self::tensor(l, 0, rank, column)?;
            tensor.offset(l, 1)?;
        } else {
            l.address(0)?;
            l.source32(1, Type::U32)?;
        }
        hinted(l, hint, if tensor { 1 + column as usize } else { 2 })?;
        return Ok(Some(Op::Prefetch));
    }
    let (to, from) = (l.space(), l.space());
    let reduce = if reduces { Some(reduce::lower(tensor, to, l)?) } else { None };
    let barrier = l.flag("mbarrier::complete_tx::bytes");
    if !barrier {
        l.require("bulk_group")?;
    }
    let multicast = l.flag("multicast::cluster");
    let hint = l.flag("L2::cache_hint");
    let shared = |space: Space| matches!(space, Space::Shared | Space::Cluster);
    let known = match (to, from) {
        (Space::Global, Space::Shared) => !barrier && !multicast,
        (to, Space::Global) => barrier && shared(to) && !reduces,
        (Space::Cluster, Space::Shared) => barrier && !multicast && !tensor,
        _ => false,
    };
    if !known || column && to == Space::Global || plain && to != Space::Global {
        return Err(l.unsupported("this combination of state spaces and completion"));
    }
    let (op, next) = match (tensor, to) {
        (true, Space::Global) => {
            let op = Store {
                tensor: self::tensor(l, 0, rank, plain)?,
                from: l.address(1)?,
                reduce: reduce.map(|(what, _)| what),
            };
            (Op::Store(Box::new(op)), 2)
        }
        (true, _) => {
            let (address, mut tensor) = (l.address(0)?, self::tensor(l, 1, rank, column)?);
            let barrier = l.address(2)?;
            tensor.offset(l, 3)?;
            let next = 3 + column as usize;
            let blocks = if multicast { Some(l.source32(next, Type::B16)?) } else { None };
            let own = to == Space::Shared;
            let op = Load { to: address, tensor, barrier, blocks, own };
            (Op::Load(Box::new(op)), next + multicast as usize)
        }
        (false, _) => {
            if let Some(Operand::Integer(bytes)) = i.operands.get(2)
                && bytes % 16 != 0
            {
                return Err(l.unsupported(format!("{bytes} bytes: a multiple of 16 is wanted")));
            }
            let op = Copy {
                to: (to, l.address(0)?),
                from: (from, l.address(1)?),
                bytes: l.source32(2, Type::U32)?,
                barrier: if barrier { Some(l.address(3)?) } else { None },
                blocks: if multicast { Some(l.source32(4, Type::B16)?) } else { None },
                reduce: reduce.and_then(|(what, ty)| Some(Reduction { what, ty: ty? })),
            };
            (Op::Copy(Box::new(op)), 3 + barrier as usize + multicast as usize)
        }
    };
    hinted(l, hint, next)?;
    Ok(Some(op))
}

/// Where lines are cached changes no result.
fn hinted(l: &mut Lowering, hint: bool, k: usize) -> Result<()> {
    if hint {
        l.source64(k, Type::B64)?;
    }
    Ok(())
}

fn tensor(l: &mut Lowering, k: usize, rank: usize, column: bool) -> Result<Tensor> {
    let Operand::Tensor(map, rest) = l.operand(k)? else {
        return Err(l.unsupported(format!("operand {} is no place in a tensor", k + 1)));
    };
    let at = match rest.as_slice() {
        [Operand::Vector(at)] => at.as_slice(),
        all => all,
    };
    if at.len() != rank {
        return Err(l.unsupported(format!("{} coordinates in {rank} dimensions", at.len())));
    }
    let at = at.iter().map(|o| l.read32(o, Type::S32)).collect::<Result<_>>()?;
    Ok(Tensor { map: l.read_address(map)?, at, column, offsets: Vec::new() })
}

impl Tensor {
    /// Takes operand `k` as offsets for im2col, if it is such a place: one for each of W, H, D.
    fn offset(&mut self, l: &mut Lowering, k: usize) -> Result<()> {
        if self.column {
            let (parts, wanted) = (l.vector(k)?, self.at.len() - 2);
            if parts.len() != wanted {
                let count = parts.len();
                return Err(l.unsupported(format!("{count} im2col offsets, not {wanted}")));
            }
            self.offsets =
                parts.iter().map(|part| l.read32(part, Type::U16)).collect::<Result<_>>()?;
        }
        Ok(())
    }
}

/// Executes it.
pub(crate) fn execute(op: &Op, context: &mut Context, mask: u32) -> Result<Flow, Fault> {
    match op {
        Op::Prefetch => {}
        Op::Commit => context.warp.state.bulk.commit(mask),
        Op::Wait(left, read) => group::wait(*left, *read, context, mask)?,
        Op::Load(op) => work::load(op, context, mask)?,
        Op::Store(op) => work::store(op, context, mask)?,
        Op::Copy(op) => work::copy(op, context, mask)?,
    }
    Ok(Flow::Next)
}
