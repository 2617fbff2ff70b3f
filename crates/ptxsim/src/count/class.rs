//! To which class an instruction belongs, and how many floating-point operations a lane of it does.

use crate::ast::Instruction;

/// How an instruction is counted: by what executes it on hardware, as far as PTX tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
#[non_exhaustive]
pub enum Class {
    /// Arithmetic and comparisons in f64.
    Fp64,
    /// Arithmetic and comparisons in f32.
    Fp32,
    /// Arithmetic and comparisons in f16 and bf16, packed or not.
    Fp16,
    /// Integer arithmetic, comparisons, shifts and logic.
    Integer,
    /// `cvt`
    Conversion,
    /// Functions of any type and precision: `rcp`, `sqrt`, `rsqrt`, `ex2`, `lg2`, `sin`, `cos`, `tanh`.
    Special,
    /// `mov`, `selp`, `cvta` and what else only moves bits between registers.
    Move,
    /// Branches, calls, returns, exits.
    Control,
    /// Barriers, fences, waits and arrivals.
    Barrier,
    /// Shuffles, votes and other exchanges within a warp.
    Collective,
    /// Loads, stores and atomics that name global memory.
    Global,
    /// Those that name no space: the address tells.
    Generic,
    /// Loads that name constant memory.
    Constant,
    /// Those that name shared memory, `ldmatrix` and `stmatrix` among them.
    Shared,
    /// Those that name local memory.
    Local,
    /// Those that name parameters.
    Parameter,
    /// Asynchronous copies.
    Copy,
    /// Matrix products.
    Tensor,
    /// None of the others.
    #[default]
    Other,
}

impl Class {
    /// Every class, in the order of reports.
    pub const ALL: [Class; 19] = [
        Class::Fp64,
        Class::Fp32,
        Class::Fp16,
        Class::Integer,
        Class::Conversion,
        Class::Special,
        Class::Move,
        Class::Control,
        Class::Barrier,
        Class::Collective,
        Class::Global,
        Class::Generic,
        Class::Constant,
        Class::Shared,
        Class::Local,
        Class::Parameter,
        Class::Copy,
        Class::Tensor,
        Class::Other,
    ];

    /// Its name in counters: `fp32`, `integer`, …
    pub fn name(self) -> &'static str {
        match self {
            Class::Fp64 => "fp64",
            Class::Fp32 => "fp32",
            Class::Fp16 => "fp16",
            Class::Integer => "integer",
            Class::Conversion => "conversion",
            Class::Special => "special",
            Class::Move => "move",
            Class::Control => "control",
            Class::Barrier => "barrier",
            Class::Collective => "collective",
            Class::Global => "global",
            Class::Generic => "generic",
            Class::Constant => "constant",
            Class::Shared => "shared",
            Class::Local => "local",
            Class::Parameter => "parameter",
            Class::Copy => "copy",
            Class::Tensor => "tensor",
            Class::Other => "other",
        }
    }
}

/// The class of an instruction that is no matrix product.
pub(super) fn classify(i: &Instruction) -> Class {
    match i.opcode.as_str() {
        "ld" | "ldu" | "st" | "atom" | "red" | "prefetch" | "prefetchu" => memory(i),
        "ldmatrix" | "stmatrix" => Class::Shared,
        "wmma" => memory(i),
        "cvt" => Class::Conversion,
        "rcp" | "sqrt" | "rsqrt" | "ex2" | "lg2" | "sin" | "cos" | "tanh" => Class::Special,
        "mov" | "selp" | "slct" | "cvta" | "prmt" | "isspacep" | "mapa" | "getctarank" => {
            Class::Move
        }
        "bra" | "brx" | "call" | "ret" | "exit" | "trap" | "brkpt" => Class::Control,
        "bar" | "barrier" | "membar" | "fence" | "mbarrier" | "griddepcontrol" => Class::Barrier,
        "wgmma" => Class::Barrier,
        "shfl" | "vote" | "match" | "redux" | "elect" | "activemask" | "movmatrix" => {
            Class::Collective
        }
        "cp" => Class::Copy,
        "nanosleep" | "setmaxnreg" | "createpolicy" | "applypriority" | "discard" | "tensormap" => {
            Class::Other
        }
        _ => arithmetic(i),
    }
}

fn memory(i: &Instruction) -> Class {
    let names = |space: &str| {
        i.modifiers
            .iter()
            .any(|m| m == space || m.strip_prefix(space).is_some_and(|m| m.starts_with("::")))
    };
    match () {
        () if names("shared") => Class::Shared,
        () if names("local") => Class::Local,
        () if names("param") => Class::Parameter,
        () if names("const") => Class::Constant,
        () if names("global") => Class::Global,
        () => Class::Generic,
    }
}

fn arithmetic(i: &Instruction) -> Class {
    match i.modifiers.last().map(String::as_str) {
        Some("f64") => Class::Fp64,
        Some("f32" | "f32x2") => Class::Fp32,
        Some("f16" | "f16x2" | "bf16" | "bf16x2") => Class::Fp16,
        Some("u8" | "s8" | "u16" | "s16" | "u32" | "s32" | "u64" | "s64") => Class::Integer,
        Some("b8" | "b16" | "b32" | "b64" | "b128" | "pred") => Class::Integer,
        _ => Class::Other,
    }
}

/// Floating-point operations of one lane: a fused multiply-add counts as two, a packed form for each of its parts; comparisons,
/// minima and maxima are none.
pub(super) fn operations(i: &Instruction) -> u64 {
    let each = match i.opcode.as_str() {
        "fma" => 2,
        "mad" if matches!(arithmetic(i), Class::Fp32 | Class::Fp64) => 2,
        "add" | "sub" | "mul" | "div" => 1,
        _ => return 0,
    };
    match arithmetic(i) {
        Class::Fp64 | Class::Fp32 | Class::Fp16 => {
            let packed = i.modifiers.last().is_some_and(|ty| ty.ends_with("x2"));
            if packed { 2 * each } else { each }
        }
        _ => 0,
    }
}
