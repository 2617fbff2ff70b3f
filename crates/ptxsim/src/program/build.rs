//! From a module's text to the program of one entry: declarations, layout of memory, then instruction by instruction.

use std::collections::{HashMap, VecDeque};

use super::layout::{align_up, size};
use super::lowering::Lowering;
use super::scope::{Scopes, Symbol};
use super::{
    EntryParameter, Fill, Function, Info, Instruction, ModuleVariable, Place, Program, R32, R64,
};
use crate::ast::{self, Parameter, Space, Statement, Variable};
use crate::error::{Error, Result};
use crate::{count, family};

/// Shared memory of a block begins with bytes that belong to the system, as on hardware from sm_90 on; so no
/// variable has address 0.
pub(crate) const SHARED_BASE: u32 = 1024;
/// Parameters of device functions and other variables of a thread begin here in local and parameter space, above
/// the entry's parameters.
pub(crate) const LOCAL_BASE: u32 = 1 << 20;

/// A program being built.
pub(crate) struct Builder<'m> {
    pub(super) module: &'m ast::Module,
    pub(super) scopes: Scopes,
    pub(super) communicates: bool,
    code: Vec<Instruction>,
    info: Vec<Info>,
    pub(super) functions: Vec<Function>,
    known: HashMap<usize, usize>,
    queue: VecDeque<(usize, usize)>,
    pub(super) fill32: Vec<Fill>,
    /// Registers of fewer than 32 bits, and how many they have.
    pub(super) narrow: HashMap<R32, u32>,
    pub(super) fill64: Vec<Fill>,
    pub(super) constants32: HashMap<Fill, R32>,
    pub(super) constants64: HashMap<Fill, R64>,
    pub(super) predicates: usize,
    pub(super) shared: u32,
    pub(super) shared_align: u32,
    pub(super) module_shared: HashMap<usize, u32>,
    pub(super) local: u32,
    pub(super) variables: Vec<ModuleVariable>,
}

/// Resolves `entry` and the functions that it calls.
///
/// # Errors
/// [`Error::Launch`] where there is no such entry, [`Error::Unsupported`] for the first form that is not executed,
/// [`Error::Parse`] for names and types that make no sense.
pub(crate) fn build(module: &ast::Module, entry: &str) -> Result<Program> {
    let is_entry = |f: &ast::Function| f.entry && f.name == entry && f.body.is_some();
    let Some(index) = module.functions.iter().position(is_entry) else {
        let names: Vec<&str> =
            module.functions.iter().filter(|f| f.entry).map(|f| f.name.as_str()).collect();
        return Err(Error::Launch(format!("there is no entry {entry}; the module has {names:?}")));
    };
    let mut builder = Builder::new(module);
    let function = &module.functions[index];
    let (parameters, parameter_bytes) = builder.entry(index)?;
    family::wgmma::watch(&mut builder.code, &builder.info);
    let directive =
        |name: &str| function.directives.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_slice());
    let triple = |name: &str| {
        directive(name)
            .map(|v| std::array::from_fn::<u32, 3, _>(|k| v.get(k).map_or(1, |n| *n as u32)))
    };
    let first = |name: &str| directive(name).and_then(|v| v.first()).map(|n| *n as u32);
    let threads = triple("reqntid").or(triple("maxntid")).map(|n| n.iter().product::<u32>());
    let shared_out = threads.zip(first("minnctapersm")).map(|(threads, blocks)| {
        // As ptxas shares out the 65536 registers of a multiprocessor.
        65_536 / (threads.saturating_mul(blocks)).max(1) / 8 * 8
    });
    let registers = first("maxnreg").map(|n| n.next_multiple_of(8)).or(shared_out);
    Ok(Program {
        entry: entry.into(),
        code: builder.code,
        info: builder.info,
        functions: builder.functions,
        fill32: builder.fill32,
        fill64: builder.fill64,
        predicates: builder.predicates,
        shared: builder.shared,
        shared_align: builder.shared_align,
        local: builder.local,
        parameters,
        parameter_bytes,
        variables: builder.variables,
        required_block: triple("reqntid"),
        max_threads: triple("maxntid").map_or(1024, |n| n.iter().product()),
        registers: registers.map(|n| n.min(256)),
        cluster: triple("reqnctapercluster"),
        communicates: builder.communicates,
        files: module.files.clone(),
    })
}

impl<'m> Builder<'m> {
    fn new(module: &'m ast::Module) -> Self {
        let mut scopes = Scopes::default();
        scopes.push();
        for (index, variable) in module.variables.iter().enumerate() {
            let shared = variable.space == Space::Shared;
            let symbol = if shared { Symbol::ModuleShared(index) } else { Symbol::Module(index) };
            scopes.declare(&variable.name, symbol);
        }
        for (index, function) in module.functions.iter().enumerate() {
            // A declaration gives way to the definition.
            if function.body.is_some() || scopes.find(&function.name).is_none() {
                scopes.declare(&function.name, Symbol::Function(index));
            }
        }
        Builder {
            module,
            scopes,
            communicates: false,
            code: Vec::new(),
            info: Vec::new(),
            functions: Vec::new(),
            known: HashMap::new(),
            queue: VecDeque::new(),
            fill32: vec![Fill::Nothing],
            narrow: HashMap::new(),
            fill64: vec![Fill::Nothing; 2],
            constants32: HashMap::new(),
            constants64: HashMap::new(),
            predicates: 2,
            shared: SHARED_BASE,
            shared_align: 16,
            module_shared: HashMap::new(),
            local: 0,
            variables: Vec::new(),
        }
    }

    /// Resolves the entry, then function after function that it refers to.
    fn entry(&mut self, index: usize) -> Result<(Vec<EntryParameter>, u32)> {
        let function = &self.module.functions[index];
        let (mut parameters, mut at) = (Vec::new(), 0);
        self.scopes.push();
        for parameter in &function.params {
            let Parameter::Memory(variable) = parameter else {
                return Err(error(function.line, "an entry's parameter in a register"));
            };
            let (bytes, align) = size(variable)?;
            let len =
                bytes.ok_or_else(|| error(variable.line, "a parameter without length"))? as u32;
            at = align_up(at, align);
            parameters.push(EntryParameter { offset: at, len });
            self.scopes.declare(&variable.name, Symbol::EntryParameter(at));
            at += len;
        }
        self.functions.push(Function {
            name: function.name.clone(),
            start: 0,
            params: vec![],
            returns: vec![],
        });
        self.known.insert(index, 0);
        self.body(function)?;
        self.scopes.pop();
        while let Some((index, number)) = self.queue.pop_front() {
            let function = &self.module.functions[index];
            self.functions[number].start = self.code.len() as u32;
            let places =
                self.functions[number].returns.iter().chain(&self.functions[number].params);
            let places: Vec<Place> = places.copied().collect();
            self.scopes.push();
            for (parameter, place) in function.returns.iter().chain(&function.params).zip(places) {
                match (parameter, place) {
                    (Parameter::Memory(v), Place::Memory(offset, len)) => {
                        self.scopes.declare(&v.name, Symbol::FunctionParameter(offset, len));
                    }
                    (Parameter::Register(_, name), Place::Register(reg)) => {
                        self.scopes.declare(name, Symbol::Register(reg));
                    }
                    _ => unreachable!("places are made from parameters"),
                }
            }
            self.body(function)?;
            self.scopes.pop();
        }
        Ok((parameters, at))
    }

    /// The program's number of a function of the module, which is resolved later.
    pub(super) fn function(&mut self, index: usize) -> Result<usize> {
        if let Some(number) = self.known.get(&index) {
            return Ok(*number);
        }
        let function = &self.module.functions[index];
        if function.body.is_none() {
            return Err(error(
                function.line,
                &format!("function {} is called, but not defined here", function.name),
            ));
        }
        let number = self.functions.len();
        self.known.insert(index, number);
        self.queue.push_back((index, number));
        let mut place = |parameter: &Parameter| -> Result<Place> {
            Ok(match parameter {
                Parameter::Memory(v) => {
                    let (at, len) = self.thread_memory(v)?;
                    Place::Memory(at, len)
                }
                Parameter::Register(ty, _) => Place::Register(self.register(ty, function.line)?),
            })
        };
        let returns = function.returns.iter().map(&mut place).collect::<Result<_>>()?;
        let params = function.params.iter().map(&mut place).collect::<Result<_>>()?;
        self.functions.push(Function { name: function.name.clone(), start: 0, params, returns });
        Ok(number)
    }

    fn body(&mut self, function: &'m ast::Function) -> Result<()> {
        let statements = function.body.as_deref().unwrap_or_default();
        self.block(statements)?;
        // A body that runs into its end returns.
        let line = function.line;
        let end = ast::Instruction {
            guard: None,
            opcode: "ret".into(),
            modifiers: Vec::new(),
            operands: Vec::new(),
            line,
            location: ast::Location::default(),
        };
        self.instruction(&end)
    }

    fn block(&mut self, statements: &'m [Statement]) -> Result<()> {
        self.scopes.push();
        self.labels(statements);
        for statement in statements {
            match statement {
                Statement::Block(inner) => self.block(inner)?,
                Statement::Variable(variable) => self.variable(variable)?,
                Statement::Registers { ty, vector, name, count } => {
                    self.registers(ty, *vector, name, *count)?
                }
                Statement::Instruction(instruction) => self.instruction(instruction)?,
                Statement::Label(..) | Statement::Pragma(_) => {}
                Statement::Targets { .. } | Statement::Prototype(..) => {}
            }
        }
        self.scopes.pop();
        Ok(())
    }

    /// Declares the labels of a block before its instructions: branches go forward, too.
    fn labels(&mut self, statements: &[Statement]) {
        let mut at = self.code.len() as u32;
        for statement in statements {
            match statement {
                Statement::Label(name, _) => _ = self.scopes.declare(name, Symbol::Label(at)),
                Statement::Targets { label, names, .. } => {
                    self.scopes.declare(label, Symbol::Targets(names.clone()));
                }
                Statement::Prototype(name, ..) => _ = self.scopes.declare(name, Symbol::Prototype),
                other => at += instructions(other),
            }
        }
    }

    fn instruction(&mut self, instruction: &ast::Instruction) -> Result<()> {
        if instruction.modifiers.len() > 60 || instruction.operands.len() > 30 {
            return Err(Error::unsupported(instruction, "it has too many parts"));
        }
        let mut lowering = Lowering::new(instruction, self);
        let guard = lowering.guard()?;
        let op = family::lower(instruction, &mut lowering)?;
        lowering.finish()?;
        let (reads, writes) =
            (std::mem::take(&mut lowering.reads), std::mem::take(&mut lowering.writes));
        self.info.push(Info {
            text: instruction.mnemonic(),
            line: instruction.line,
            location: instruction.location,
            cost: count::Cost::of(instruction, &op),
            reads: reads.into(),
            writes: writes.into(),
        });
        let engine = count::engine(instruction);
        self.code.push(Instruction { op, guard, watched: false, engine });
        Ok(())
    }

    fn registers(&mut self, ty: &str, vector: u32, name: &str, count: Option<u32>) -> Result<()> {
        let mut declare = |name: &str| -> Result<()> {
            let symbol = if vector > 1 {
                Symbol::Vector((0..vector).map(|_| self.register(ty, 0)).collect::<Result<_>>()?)
            } else {
                Symbol::Register(self.register(ty, 0)?)
            };
            self.scopes.declare(name, symbol);
            Ok(())
        };
        match count {
            None => declare(name),
            Some(n) => (0..n).try_for_each(|k| declare(&format!("{name}{k}"))),
        }
    }

    fn variable(&mut self, variable: &Variable) -> Result<()> {
        let symbol = match variable.space {
            Space::Local | Space::Param => {
                let (at, len) = self.thread_memory(variable)?;
                Symbol::Local(at, len)
            }
            Space::Shared => Symbol::Shared(self.static_shared(variable)?),
            Space::Global | Space::Const => {
                return Err(error(
                    variable.line,
                    "a global or constant variable inside a function",
                ));
            }
        };
        self.scopes.declare(&variable.name, symbol);
        Ok(())
    }
}

fn instructions(statement: &Statement) -> u32 {
    match statement {
        Statement::Block(inner) => inner.iter().map(instructions).sum(),
        Statement::Instruction(_) => 1,
        _ => 0,
    }
}

pub(super) fn error(line: u32, message: &str) -> Error {
    Error::Parse { line, message: message.into() }
}
