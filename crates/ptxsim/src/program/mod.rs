//! The resolved program: registers are rows, operands are typed, labels are numbers.
//!
//! One [`ast::Instruction`](crate::ast::Instruction) becomes one [`Instruction`]. A program holds one entry and all
//! device functions that it may call, one after another in [`Program::code`]; their registers are different rows of
//! one file, for functions do not recurse.

pub(crate) mod build;
pub(crate) mod layout;
pub(crate) mod lowering;
pub(crate) mod operands;
mod rows;
mod scope;
mod types;

use crate::ast::Location;
use crate::count::{Cost, Engine};
use crate::family;

pub(crate) use lowering::{FALSE, Lowering};
pub use types::{Address, Base, Fill, P, PSource, R32, R64, Reg, Space, Special, Type};

/// A resolved instruction, by family; see [`family`] for how to add one.
#[derive(Debug)]
pub(crate) enum Op {
    Scalar(family::scalar::Op),
    Memory(family::memory::Op),
    Control(family::control::Op),
    Collective(family::collective::Op),
    Barrier(family::barrier::Op),
    Matrix(family::matrix::Op),
    Wgmma(family::wgmma::Op),
    Copy(family::copy::Op),
    Mbarrier(family::mbarrier::Op),
    Bulk(family::bulk::Op),
    Cluster(family::cluster::Op),
    Send(Box<family::send::Op>),
    Misc(family::misc::Op),
}

/// What the scheduler looks at for every step.
#[derive(Debug)]
pub(crate) struct Instruction {
    /// What to do.
    pub op: Op,
    /// `@%p1`, `@!%p1`.
    pub guard: Option<PSource>,
    /// Whether it touches registers that a `wgmma.mma_async` of the program uses.
    pub watched: bool,
    /// Who makes its accesses to memory.
    pub engine: Engine,
}

/// What reports, checks and counters look at.
#[derive(Debug)]
pub(crate) struct Info {
    /// The mnemonic with its modifiers.
    pub text: String,
    /// Line of the PTX text.
    pub line: u32,
    /// Where it comes from in the CUDA source.
    pub location: Location,
    /// How it is counted.
    pub cost: Cost,
    /// Registers that it reads, its guard's among them; constant rows are left out.
    pub reads: Box<[Reg]>,
    /// Registers that it writes.
    pub writes: Box<[Reg]>,
}

/// A device function, or the entry itself as the first.
#[derive(Debug)]
pub(crate) struct Function {
    /// Its name.
    pub name: String,
    /// Index of its first instruction.
    pub start: u32,
    /// Where its parameters lie.
    pub params: Vec<Place>,
    /// Where its results lie.
    pub returns: Vec<Place>,
}

/// Where an argument or result of a device function lies: a call copies from place to place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// In a register.
    Register(Reg),
    /// In the thread's own memory: offset and length in bytes.
    Memory(u32, u32),
}

/// A variable of the module in global or constant memory that the program names.
#[derive(Debug, Clone)]
pub(crate) struct ModuleVariable {
    /// Index in [`crate::ast::Module::variables`].
    pub index: usize,
}

/// A parameter of the entry.
#[derive(Debug, Clone, Copy)]
pub(crate) struct EntryParameter {
    /// Offset in parameter space.
    pub offset: u32,
    /// Bytes.
    pub len: u32,
}

/// An entry with all that it calls, resolved.
#[derive(Debug)]
pub(crate) struct Program {
    /// Name of the entry.
    pub entry: String,
    /// Instructions of all functions.
    pub code: Vec<Instruction>,
    /// Their origins, index by index.
    pub info: Vec<Info>,
    /// The entry, then device functions.
    pub functions: Vec<Function>,
    /// What fills the rows of the 32-bit file.
    pub fill32: Vec<Fill>,
    /// What fills the rows of the 64-bit file.
    pub fill64: Vec<Fill>,
    /// Number of predicates; the first is always false.
    pub predicates: usize,
    /// Bytes of static shared memory; the first [`build::SHARED_BASE`] of them are no variable's.
    pub shared: u32,
    /// Alignment of dynamic shared memory.
    pub shared_align: u32,
    /// Bytes of local memory a thread has, parameters of device functions among them.
    pub local: u32,
    /// The entry's parameters.
    pub parameters: Vec<EntryParameter>,
    /// Bytes of all of them.
    pub parameter_bytes: u32,
    /// Variables that the program names, as [`Fill::Variable`] numbers them.
    pub variables: Vec<ModuleVariable>,
    /// `.reqntid`, if written.
    pub required_block: Option<[u32; 3]>,
    /// `.maxntid`, as the number of threads.
    pub max_threads: u32,
    /// Registers that a thread has at first, where directives tell; as `setmaxnreg` counts them, a multiple of 8.
    pub registers: Option<u32>,
    /// `.reqnctapercluster`, if written.
    pub cluster: Option<[u32; 3]>,
    /// Whether blocks may talk to each other through global memory, so that they must run interleaved.
    pub communicates: bool,
    /// `.file` names by number.
    pub files: Vec<(u32, String)>,
}
