//! What to compile and launch for one case, in plain numbers.
//!
//! Arguments have one order: read buffers, written buffers (those updated in place, then results), workspace, scalars, tensor
//! maps. A step lists its own, for a kernel of several launches passes different ones to each.

use crate::ops::Case;

/// Blocks of a grid that strides, at most: eight on each of an H100's 132 multiprocessors, so that none is started faster than it
/// can be fed.
pub const MOST_BLOCKS: u64 = 8 * 132;

/// The launches of one case.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Plan {
    /// Compiler options of the form `-DNAME=VALUE`: tile sizes, types, layouts.
    pub defines: Vec<String>,
    /// Memory beyond operands and results.
    pub workspace: Vec<Workspace>,
    /// Launches outside the clock that fill workspace: the forward pass whose results a backward pass starts from.
    pub prologue: Vec<Step>,
    /// Launches, in order; none where there is nothing to do.
    pub steps: Vec<Step>,
}

/// Memory that a kernel needs beyond operands and results, allocated and filled outside the clock.
#[derive(Debug, Clone, PartialEq)]
pub struct Workspace {
    /// What reports call it.
    pub name: &'static str,
    /// What it holds before the first launch.
    pub init: Init,
    /// Whether launches write it.
    pub written: bool,
}

/// What workspace begins as.
#[derive(Debug, Clone, PartialEq)]
pub enum Init {
    /// So many bytes that nobody has written.
    Unwritten(u64),
    /// These bytes.
    Bytes(Vec<u8>),
    /// 64-bit words, for tables of pointers in global memory.
    Words(Vec<Word>),
}

/// A word of a table.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Word {
    /// A number.
    Number(u64),
    /// The address so many bytes into a buffer.
    Address(Buffer, u64),
}

/// A buffer of the launch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Buffer {
    /// Operand that is only read, by its place among those.
    Read(usize),
    /// Operand updated in place, then results, by place.
    Written(usize),
    /// By its place in [`Plan::workspace`].
    Workspace(usize),
}

/// One launch.
#[derive(Debug, Clone, PartialEq)]
pub struct Step {
    /// Name of the `extern "C"` function.
    pub entry: &'static str,
    /// Blocks along x, y, z.
    pub grid: [u32; 3],
    /// Threads of a block along x, y, z.
    pub block: [u32; 3],
    /// Blocks of a cluster, where the launch and not the source says so.
    pub cluster: Option<[u32; 3]>,
    /// Bytes of dynamic shared memory.
    pub shared: u32,
    /// Pointers, in the order of arguments.
    pub buffers: Vec<Buffer>,
    /// What follows them.
    pub scalars: Vec<Scalar>,
    /// What comes last.
    pub maps: Vec<TensorMap>,
}

/// An argument that is a number.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Scalar {
    /// `u32`
    U32(u32),
    /// `u64`
    U64(u64),
    /// `float`
    F32(f32),
}

/// Elements of a tensor map.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MapType {
    /// 8-bit integers or floats.
    U8,
    /// Brain floats.
    Bf16,
    /// Halves.
    F16,
    /// Singles.
    F32,
    /// 32-bit integers.
    I32,
}

/// How 16-byte units are spread over the banks of shared memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Swizzle {
    /// Not at all.
    None,
    /// Over 32 bytes.
    B32,
    /// Over 64 bytes.
    B64,
    /// Over 128 bytes.
    B128,
}

/// What a CUtensorMap describes; each device encodes it in its way. Elements out of bounds read as zero.
#[derive(Debug, Clone, PartialEq)]
pub struct TensorMap {
    /// Where element 0 is: the start of this buffer.
    pub buffer: Buffer,
    /// Elements.
    pub dtype: MapType,
    /// Sizes, innermost first.
    pub dims: Vec<u64>,
    /// Bytes from one element to the next in every dimension but the innermost.
    pub strides: Vec<u64>,
    /// Elements that one copy takes, innermost first.
    pub box_dims: Vec<u32>,
    /// How they lie in shared memory.
    pub swizzle: Swizzle,
}

impl Step {
    /// A launch of `blocks` × `threads` in one dimension, with these buffers and scalars.
    pub fn flat(
        entry: &'static str,
        blocks: u32,
        threads: u32,
        buffers: Vec<Buffer>,
        scalars: Vec<Scalar>,
    ) -> Self {
        Step {
            entry,
            grid: [blocks, 1, 1],
            block: [threads, 1, 1],
            cluster: None,
            shared: 0,
            buffers,
            scalars,
            maps: Vec::new(),
        }
    }
}

impl Plan {
    /// The buffers that a case has, in the order of arguments: read, then written.
    pub fn buffers(case: &Case) -> Vec<Buffer> {
        let operands = case.operands();
        let read = operands.iter().filter(|o| !o.in_out).count();
        let written = operands.len() - read + case.results().len();
        (0..read).map(Buffer::Read).chain((0..written).map(Buffer::Written)).collect()
    }

    /// What is wrong with this plan, if anything: an argument that does not exist, an empty launch, an order of arguments
    /// that is not the one above.
    pub fn check(&self, case: &Case) -> Option<String> {
        let known = Plan::buffers(case);
        let rank = |buffer: &Buffer| match *buffer {
            Buffer::Read(i) => (0, i),
            Buffer::Written(i) => (1, i),
            Buffer::Workspace(i) => (2, i),
        };
        let exists = |buffer: &Buffer| match buffer {
            Buffer::Workspace(i) => *i < self.workspace.len(),
            other => known.contains(other),
        };
        for step in self.prologue.iter().chain(&self.steps) {
            let all = step.buffers.iter().chain(step.maps.iter().map(|map| &map.buffer));
            if let Some(unknown) = all.clone().find(|b| !exists(b)) {
                return Some(format!("{}: there is no {unknown:?}", step.entry));
            }
            if !step.buffers.is_sorted_by_key(rank) {
                return Some(format!("{}: {:?} are out of order", step.entry, step.buffers));
            }
            if step.grid.contains(&0) || step.block.contains(&0) {
                return Some(format!("{}: an empty launch", step.entry));
            }
            if step.block.iter().product::<u32>() > 1024 {
                return Some(format!("{}: more than 1024 threads", step.entry));
            }
        }
        None
    }

    /// Bytes of workspace.
    pub fn workspace_bytes(&self) -> u64 {
        self.workspace.iter().map(|w| w.init.bytes()).sum()
    }
}

impl Init {
    /// How long it is.
    pub fn bytes(&self) -> u64 {
        match self {
            Init::Unwritten(bytes) => *bytes,
            Init::Bytes(bytes) => bytes.len() as u64,
            Init::Words(words) => 8 * words.len() as u64,
        }
    }
}
