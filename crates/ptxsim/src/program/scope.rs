//! Names, and what they stand for in the innermost block that declares them.

use std::collections::HashMap;

use super::Reg;

/// What a name stands for.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Symbol {
    /// A register.
    Register(Reg),
    /// A vector register: its parts.
    Vector(Vec<Reg>),
    /// A variable of the module in `.global` or `.const`, by its index there.
    Module(usize),
    /// A variable of the module in `.shared`, by its index there.
    ModuleShared(usize),
    /// A variable in `.shared`, by its offset.
    Shared(u32),
    /// A variable in `.local`: offset and length.
    Local(u32, u32),
    /// A parameter of the entry: offset.
    EntryParameter(u32),
    /// A parameter of a device function, in the thread's memory: offset and length.
    FunctionParameter(u32, u32),
    /// A function of the module, by its index there.
    Function(usize),
    /// A label: index of an instruction.
    Label(u32),
    /// `.branchtargets` or `.calltargets`: the names.
    Targets(Vec<String>),
    /// `.callprototype`.
    Prototype,
}

/// Names in blocks within blocks.
#[derive(Debug, Default)]
pub(crate) struct Scopes(Vec<HashMap<String, Symbol>>);

impl Scopes {
    /// Enters a block.
    pub fn push(&mut self) {
        self.0.push(HashMap::new());
    }

    /// Leaves it.
    pub fn pop(&mut self) {
        self.0.pop();
    }

    /// Declares `name` in the innermost block; false where it is declared there already.
    pub fn declare(&mut self, name: &str, symbol: Symbol) -> bool {
        let scope = self.0.last_mut().expect("a scope is open while names are declared");
        scope.insert(name.to_owned(), symbol).is_none()
    }

    /// What `name` stands for here.
    pub fn find(&self, name: &str) -> Option<&Symbol> {
        self.0.iter().rev().find_map(|scope| scope.get(name))
    }
}
