//! A module: its text taken apart, its entries resolved as they are launched.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use crate::ast::{self, Space, Variable};
use crate::error::{Error, Result};
use crate::exec;
use crate::memory::{Memory, Pointer};
use crate::program::build::build;
use crate::program::{Program, Type};

/// PTX, ready to be launched.
#[derive(Debug)]
pub struct Module {
    ast: ast::Module,
    number: u64,
    programs: Mutex<HashMap<String, Arc<Program>>>,
}

impl From<ast::Module> for Module {
    fn from(ast: ast::Module) -> Module {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        Module { ast, number, programs: Mutex::default() }
    }
}

impl Module {
    /// Takes a PTX text apart.
    ///
    /// # Errors
    /// [`Error::Parse`] where the text is not PTX. Instructions are looked up when an entry is resolved or launched.
    pub fn parse(text: &str) -> Result<Module> {
        crate::parse::parse(text).map(Module::from)
    }

    /// What its text says.
    pub fn ast(&self) -> &ast::Module {
        &self.ast
    }

    /// Names of its entries, in order.
    pub fn entries(&self) -> impl Iterator<Item = &str> {
        self.ast.functions.iter().filter(|f| f.entry && f.body.is_some()).map(|f| f.name.as_str())
    }

    /// Resolves an entry without launching it.
    ///
    /// # Errors
    /// [`Error::Unsupported`] for the first instruction in it that is not executed; [`Error::Launch`] where there is
    /// no such entry.
    pub fn resolve(&self, entry: &str) -> Result<()> {
        self.program(entry).map(|_| ())
    }

    /// The address of a variable in `.global` or `.const`, as the host reads and writes it between launches.
    /// The variables of a module live in `memory` from its first launch, or from here, on.
    ///
    /// # Errors
    /// [`Error::Launch`] where there is no such variable.
    pub fn symbol(&self, name: &str, memory: &mut Memory) -> Result<Pointer> {
        let device = |v: &&Variable| matches!(v.space, Space::Global | Space::Const);
        match self.ast.variables.iter().filter(device).find(|v| v.name == name) {
            Some(variable) => self.variable(variable, memory),
            None => Err(Error::Launch(format!("there is no variable {name}"))),
        }
    }

    pub(crate) fn program(&self, entry: &str) -> Result<Arc<Program>> {
        let mut programs =
            self.programs.lock().expect("nothing panics while it holds the programs");
        if let Some(program) = programs.get(entry) {
            return Ok(program.clone());
        }
        let program = Arc::new(build(&self.ast, entry)?);
        programs.insert(entry.to_owned(), program.clone());
        Ok(program)
    }

    /// Where the variables that a program names lie, by its numbers.
    pub(crate) fn variables(&self, program: &Program, memory: &mut Memory) -> Result<Vec<Pointer>> {
        program
            .variables
            .iter()
            .map(|v| self.variable(&self.ast.variables[v.index], memory))
            .collect()
    }

    fn variable(&self, variable: &Variable, memory: &mut Memory) -> Result<Pointer> {
        let key = (self.number, variable.name.clone());
        if let Some(known) = memory.symbols.get(&key) {
            return Ok(*known);
        }
        let (bytes, _) = crate::program::layout::size(variable)?;
        let Some(bytes) = bytes else {
            let message = format!("variable {} is defined in another module", variable.name);
            return Err(Error::Parse { line: variable.line, message });
        };
        let pointer = memory.allocate(&variable.name, bytes)?;
        // Known before its initializer is: two variables may hold each other's addresses.
        memory.symbols.insert(key, pointer);
        let mut content = vec![0; bytes as usize];
        let element = Type::parse(&variable.ty).map_or(8, |ty| ty.bytes() as usize);
        exec::initial(&variable.init, element, &mut content, |name, _| {
            let here = self.ast.variables.iter().find(|v| v.name == name);
            match here.filter(|v| matches!(v.space, Space::Global | Space::Const)) {
                Some(other) => Ok(self.variable(other, memory)?.0),
                None => Err(Error::Parse {
                    line: variable.line,
                    message: format!("{} is initialized with the address of {name}", variable.name),
                }),
            }
        })?;
        memory.write(pointer, &content)?;
        if variable.space == Space::Const {
            memory.seal(pointer);
        }
        Ok(pointer)
    }
}
