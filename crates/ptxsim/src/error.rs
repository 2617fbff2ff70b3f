//! What can go wrong: errors of text and launch, and findings, which are errors of the executed kernel.

use std::fmt;

use crate::ast::Instruction;

/// Why a module, a launch or an execution ended.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    /// The text is not PTX that is understood.
    #[error("PTX line {line}: {message}")]
    Parse {
        /// Line of the PTX text, from 1.
        line: u32,
        /// What is wrong, with the text that it is about.
        message: String,
    },
    /// An instruction, or a form of it, is not executed.
    #[error("PTX line {line}{}: `{instruction}` is not executed: {why}", cuda(*source_line))]
    Unsupported {
        /// The mnemonic with all its modifiers.
        instruction: String,
        /// Line of the PTX text, from 1.
        line: u32,
        /// Line of the CUDA source; 0 where it is not known.
        source_line: u32,
        /// Which part of it is not executed.
        why: String,
    },
    /// The launch does not fit the entry, or the memory.
    #[error("{0}")]
    Launch(String),
    /// The kernel did something that hardware would punish, now or later.
    #[error("{0}")]
    Finding(Box<Finding>),
}

fn cuda(line: u32) -> String {
    if line == 0 { String::new() } else { format!(" (CUDA line {line})") }
}

impl Error {
    /// An [`Error::Unsupported`] about `instruction`.
    pub(crate) fn unsupported(instruction: &Instruction, why: impl Into<String>) -> Error {
        Error::Unsupported {
            instruction: instruction.mnemonic(),
            line: instruction.line,
            source_line: instruction.location.line,
            why: why.into(),
        }
    }
}

/// Shorthand for results with [`enum@Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

macro_rules! kinds {
    ($($(#[$doc:meta])* $kind:ident,)*) => {
        /// What kind of mistake a finding reports.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[non_exhaustive]
        pub enum Kind {
            $($(#[$doc])* $kind,)*
        }

        impl Kind {
            /// Every kind, in order.
            pub const ALL: &[Kind] = &[$(Kind::$kind),*];
        }
    };
}

kinds! {
    /// An access outside every allocation, variable or window.
    OutOfBounds,
    /// An address that is no multiple of the access's size.
    Misaligned,
    /// A write to memory that the launch declared read-only, or that the kernel cannot write.
    ReadOnly,
    /// A read of memory that nothing ever wrote.
    UninitializedMemory,
    /// A read of a register that nothing ever wrote.
    UninitializedRegister,
    /// Two accesses, one of them a write, that nothing orders.
    Race,
    /// Generic and asynchronous accesses without the proxy fence between them.
    MissingProxyFence,
    /// A barrier initialized without the fence that shows it to others.
    MissingInitFence,
    /// An mbarrier used against its rules.
    Mbarrier,
    /// A named barrier used against its rules, or reached by some threads only.
    Barrier,
    /// Registers touched while an asynchronous instruction owns them.
    InFlight,
    /// Asynchronous work that nobody waited for.
    Abandoned,
    /// No warp can go on.
    Deadlock,
    /// The budget of instructions is used up.
    Budget,
    /// `trap`, or a failed assertion.
    Trap,
    /// An instruction executed with operands or lanes for which PTX defines no result.
    Undefined,
    /// An indirect call, a descriptor or a tensor map that leads nowhere.
    Invalid,
}

/// A mistake of the kernel, and where it was made.
#[derive(Debug, Clone, PartialEq)]
pub struct Finding {
    /// What kind of mistake.
    pub kind: Kind,
    /// What happened, with addresses and the other party.
    pub message: String,
    /// The entry that was launched.
    pub kernel: String,
    /// The instruction; empty where none is to blame.
    pub instruction: String,
    /// Line of the PTX text; 0 where none is to blame.
    pub line: u32,
    /// File of the CUDA source by its `.file` name; empty where it is not known.
    pub file: String,
    /// Line of the CUDA source; 0 where it is not known.
    pub source_line: u32,
    /// `%ctaid`
    pub block: [u32; 3],
    /// Index of the warp in its block.
    pub warp: u32,
    /// Which lanes, one bit each.
    pub lanes: u32,
    /// How often the same mistake was made at this instruction.
    pub count: u64,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} in {}", self.kind, self.kernel)?;
        if self.line != 0 {
            write!(f, ", PTX line {}", self.line)?;
        }
        if self.source_line != 0 {
            write!(
                f,
                ", {}:{}",
                if self.file.is_empty() { "CUDA line" } else { &self.file },
                self.source_line
            )?;
        }
        let [x, y, z] = self.block;
        write!(f, ", block ({x}, {y}, {z}) warp {} lanes {:#010x}", self.warp, self.lanes)?;
        if !self.instruction.is_empty() {
            write!(f, ", `{}`", self.instruction)?;
        }
        write!(f, ": {}", self.message)
    }
}

/// What ends the execution of an instruction; the scheduler adds where it happened.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Fault {
    /// What kind of mistake.
    pub kind: Kind,
    /// What happened.
    pub message: String,
    /// Which lanes are to blame; 0 stands for all that executed.
    pub lanes: u32,
}

impl Fault {
    /// A fault of all executing lanes.
    pub fn new(kind: Kind, message: impl Into<String>) -> Fault {
        Fault { kind, message: message.into(), lanes: 0 }
    }

    /// The same, of `lanes` only.
    pub fn lanes(self, lanes: u32) -> Fault {
        Fault { lanes, ..self }
    }
}
