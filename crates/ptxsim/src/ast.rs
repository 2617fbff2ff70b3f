//! What a PTX text says, before anything is looked up: names are strings, and every instruction is kept as written.

mod print;

/// A PTX module.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Module {
    /// `.version`, as major and minor.
    pub version: (u32, u32),
    /// `.target`: the number, e.g. 90.
    pub sm: u32,
    /// `.target`: the letter of an architecture-specific (`a`) or family-specific (`f`) target.
    pub suffix: Option<char>,
    /// `.address_size`: 32 or 64.
    pub address_size: u32,
    /// `.file` numbers and names.
    pub files: Vec<(u32, String)>,
    /// Variables outside functions, in order.
    pub variables: Vec<Variable>,
    /// Kernels and device functions, in order; a declaration has no body.
    pub functions: Vec<Function>,
}

/// How a symbol is seen from other modules.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Linkage {
    /// In this module only.
    #[default]
    Internal,
    /// `.visible`
    Visible,
    /// `.extern`: defined elsewhere; an array of no length in shared memory is sized by the launch.
    Extern,
    /// `.weak`
    Weak,
    /// `.common`
    Common,
}

/// Where a variable lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Space {
    /// `.global`
    Global,
    /// `.const`
    Const,
    /// `.shared`
    Shared,
    /// `.local`
    Local,
    /// `.param`
    Param,
}

/// `.shared .align 16 .b8 tile[4096];`, and a parameter of a function.
#[derive(Debug, Clone, PartialEq)]
pub struct Variable {
    /// Who sees it.
    pub linkage: Linkage,
    /// Where it lies; parameters in registers (`.reg`) of device functions are [`Statement::Registers`] instead.
    pub space: Space,
    /// `.align`, in bytes; 0 where it is not written (then the type's).
    pub align: u32,
    /// Type of an element as written, without the dot: `b8`, `f32`, `u64`.
    pub ty: String,
    /// 1, or 2 and 4 for `.v2` and `.v4`.
    pub vector: u32,
    /// Its name.
    pub name: String,
    /// Lengths of the dimensions; `None` for `[]`.
    pub dims: Vec<Option<u64>>,
    /// What it holds at first, flattened in order; empty where nothing is written.
    pub init: Vec<Init>,
    /// Line of the PTX text, from 1.
    pub line: u32,
}

/// An element of an initializer.
#[derive(Debug, Clone, PartialEq)]
pub enum Init {
    /// An integer, in two's complement.
    Integer(i128),
    /// The bits of `0f…` or `0d…`, or of a decimal number as a double.
    Float(u64),
    /// The address of a symbol plus an offset; `generic(name)` asks for a generic address.
    Symbol {
        /// Its name.
        name: String,
        /// Bytes.
        offset: i64,
        /// Whether a generic address is meant.
        generic: bool,
    },
}

/// A kernel (`.entry`) or device function (`.func`).
#[derive(Debug, Clone, PartialEq)]
pub struct Function {
    /// Whether it is a kernel.
    pub entry: bool,
    /// Who sees it.
    pub linkage: Linkage,
    /// Its name.
    pub name: String,
    /// What it returns.
    pub returns: Vec<Parameter>,
    /// What it takes.
    pub params: Vec<Parameter>,
    /// `.maxntid 256, 1, 1`, `.reqnctapercluster 2`, `.noreturn`, …: names without the dot, with their numbers.
    pub directives: Vec<(String, Vec<u64>)>,
    /// Its statements; `None` for a declaration.
    pub body: Option<Vec<Statement>>,
    /// Line of the PTX text, from 1.
    pub line: u32,
}

/// A parameter: in `.param` space, or of a device function in registers.
#[derive(Debug, Clone, PartialEq)]
pub enum Parameter {
    /// In `.param` space.
    Memory(Variable),
    /// `.reg .b32 x`: type and name.
    Register(String, String),
}

/// One statement of a body.
#[derive(Debug, Clone, PartialEq)]
pub enum Statement {
    /// `{ … }`: a scope of names.
    Block(Vec<Statement>),
    /// `name:`
    Label(String, u32),
    /// A variable of the function; in shared space one a block, in local and param space one a thread.
    Variable(Variable),
    /// `.reg .f32 %f<8>;` declares `%f0` to `%f7`; without a count the name itself.
    Registers {
        /// Type as written: `pred`, `b32`, `f32`, `b64`.
        ty: String,
        /// 1, 2 or 4.
        vector: u32,
        /// Name, or prefix where there is a count.
        name: String,
        /// The number in angle brackets.
        count: Option<u32>,
    },
    /// An instruction.
    Instruction(Instruction),
    /// `.branchtargets` or `.calltargets`.
    Targets {
        /// Its own name.
        label: String,
        /// The labels, or functions.
        names: Vec<String>,
        /// Whether they are functions.
        functions: bool,
    },
    /// `.callprototype` with a label: what a function called through a pointer returns and takes.
    Prototype(String, Vec<Parameter>, Vec<Parameter>),
    /// `.pragma "nounroll";`
    Pragma(String),
}

/// Where in the CUDA source an instruction comes from, by the last `.loc`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
pub struct Location {
    /// Number of the `.file`.
    pub file: u32,
    /// Line, from 1; 0 where it is not known.
    pub line: u32,
    /// Column.
    pub column: u32,
}

/// `@!%p1 ld.global.nc.v4.f32 {%f1, %f2, %f3, %f4}, [%rd1+16];`
#[derive(Debug, Clone, PartialEq)]
pub struct Instruction {
    /// Predicate register, and whether it is negated.
    pub guard: Option<(String, bool)>,
    /// The part before the first dot: `ld`.
    pub opcode: String,
    /// The parts after it, in order, without dots: `global`, `nc`, `v4`, `f32`; `shared::cta` is one part.
    pub modifiers: Vec<String>,
    /// Operands in order.
    pub operands: Vec<Operand>,
    /// Line of the PTX text, from 1.
    pub line: u32,
    /// Where it comes from.
    pub location: Location,
}

/// An operand as written.
#[derive(Debug, Clone, PartialEq)]
pub enum Operand {
    /// A register, special register (`%tid.x`), variable, function or label.
    Name(String),
    /// `!%p1`
    Not(String),
    /// An integer constant (constant expressions are evaluated), in two's complement.
    Integer(i128),
    /// Bits of `0f3F800000` (32 bits).
    F32(u32),
    /// Bits of `0d3FF0000000000000`, or of a decimal constant (64 bits).
    F64(u64),
    /// `{a, b}`
    Vector(Vec<Operand>),
    /// `[base+offset]`; the base is a name or an integer. `[%rd1], 16`-like tails are operands of their own.
    Address(Box<Operand>, i64),
    /// `[map, {c0, c1}]`, `[map, {c0, c1}, x]`: a tensor map's address, and what follows it.
    Tensor(Box<Operand>, Vec<Operand>),
    /// `p|q`: two destinations.
    Pair(Box<Operand>, Box<Operand>),
    /// `name+4` outside brackets: the address of a variable plus an offset.
    Offset(String, i64),
    /// `(a, b)`: arguments or results of a call.
    List(Vec<Operand>),
    /// `%r1.x`-like parts of a vector register: name and index.
    Part(String, usize),
    /// `_`
    Sink,
}

impl Instruction {
    /// The opcode with its modifiers, as reports name an instruction: `ld.global.nc.v4.f32`.
    pub fn mnemonic(&self) -> String {
        let mut text = self.opcode.clone();
        for modifier in &self.modifiers {
            text.push('.');
            text.push_str(modifier);
        }
        text
    }
}
