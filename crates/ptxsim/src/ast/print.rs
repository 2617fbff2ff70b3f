//! The syntax tree as PTX text: what is parsed from it is the same tree, but for the lines.
//!
//! What the parser leaves out stays out: comments, debug sections, and promises to a compiler (`.ptr`, `.attribute`).

use std::fmt::{self, Display, Formatter, Write};

use super::{
    Function, Init, Instruction, Linkage, Location, Module, Operand, Parameter, Space, Statement,
    Variable,
};

impl Display for Module {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        writeln!(f, ".version {}.{}", self.version.0, self.version.1)?;
        writeln!(f, ".target sm_{}{}", self.sm, self.suffix.map_or("".into(), String::from))?;
        writeln!(f, ".address_size {}", self.address_size)?;
        for (number, name) in &self.files {
            writeln!(f, ".file {number} \"{name}\"")?;
        }
        // An initializer may hold the address of a function declared above, and a body that of any variable.
        let bodies = self.functions.iter().position(|function| function.body.is_some());
        let (declared, rest) = self.functions.split_at(bodies.unwrap_or(self.functions.len()));
        declared.iter().try_for_each(|function| writeln!(f, "{function}"))?;
        self.variables.iter().try_for_each(|variable| writeln!(f, "{variable};"))?;
        rest.iter().try_for_each(|function| writeln!(f, "{function}"))
    }
}

impl Display for Linkage {
    /// With a space after it; nothing for a symbol of this module.
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Linkage::Internal => "",
            Linkage::Visible => ".visible ",
            Linkage::Extern => ".extern ",
            Linkage::Weak => ".weak ",
            Linkage::Common => ".common ",
        })
    }
}

impl Display for Space {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Space::Global => ".global",
            Space::Const => ".const",
            Space::Shared => ".shared",
            Space::Local => ".local",
            Space::Param => ".param",
        })
    }
}

impl Display for Variable {
    /// Without its semicolon, as a parameter has none.
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.linkage, self.space)?;
        if self.align > 0 {
            write!(f, " .align {}", self.align)?;
        }
        vector(f, self.vector)?;
        write!(f, " .{} {}", self.ty, self.name)?;
        for dim in &self.dims {
            match dim {
                Some(len) => write!(f, "[{len}]")?,
                None => f.write_str("[]")?,
            }
        }
        let wide = self.ty == "f64";
        match &self.init[..] {
            [] => Ok(()),
            [one] if self.dims.is_empty() => {
                f.write_str(" = ")?;
                initial(f, one, wide)
            }
            all => {
                f.write_str(" = {")?;
                list(f, all, |f, one| initial(f, one, wide))?;
                f.write_char('}')
            }
        }
    }
}

fn vector(f: &mut Formatter<'_>, parts: u32) -> fmt::Result {
    if parts > 1 { write!(f, " .v{parts}") } else { Ok(()) }
}

/// An element of an initializer; `wide` where it is a double.
fn initial(f: &mut Formatter<'_>, init: &Init, wide: bool) -> fmt::Result {
    match init {
        Init::Integer(value) => write!(f, "{value}"),
        Init::Float(bits) if wide || bits >> 32 != 0 => write!(f, "0d{bits:016X}"),
        Init::Float(bits) => write!(f, "0f{bits:08X}"),
        Init::Symbol { name, offset, generic } => {
            if *generic { write!(f, "generic({name})") } else { f.write_str(name) }?;
            if *offset == 0 { Ok(()) } else { write!(f, "+{offset}") }
        }
    }
}

/// `all` with commas between.
fn list<T>(
    f: &mut Formatter<'_>,
    all: &[T],
    mut one: impl FnMut(&mut Formatter<'_>, &T) -> fmt::Result,
) -> fmt::Result {
    for (k, item) in all.iter().enumerate() {
        if k > 0 {
            f.write_str(", ")?;
        }
        one(f, item)?;
    }
    Ok(())
}

impl Display for Parameter {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Parameter::Memory(variable) => write!(f, "{variable}"),
            Parameter::Register(ty, name) => write!(f, ".reg .{ty} {name}"),
        }
    }
}

fn parameters(f: &mut Formatter<'_>, all: &[Parameter]) -> fmt::Result {
    f.write_char('(')?;
    list(f, all, |f, parameter| write!(f, "{parameter}"))?;
    f.write_char(')')
}

impl Display for Function {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{}{} ", self.linkage, if self.entry { ".entry" } else { ".func" })?;
        if !self.returns.is_empty() {
            parameters(f, &self.returns)?;
            f.write_char(' ')?;
        }
        f.write_str(&self.name)?;
        parameters(f, &self.params)?;
        for (name, numbers) in &self.directives {
            write!(f, "\n.{name}{}", if numbers.is_empty() { "" } else { " " })?;
            list(f, numbers, |f, number| write!(f, "{number}"))?;
        }
        let Some(body) = &self.body else { return f.write_str(";") };
        f.write_str("\n{\n")?;
        statements(f, body, &mut Location::default())?;
        f.write_str("}")
    }
}

/// `location` is what the last `.loc` said.
fn statements(f: &mut Formatter<'_>, all: &[Statement], location: &mut Location) -> fmt::Result {
    for statement in all {
        match statement {
            Statement::Block(inner) => {
                f.write_str("{\n")?;
                statements(f, inner, location)?;
                f.write_str("}\n")?;
            }
            Statement::Label(name, _) => writeln!(f, "{name}:")?,
            Statement::Variable(variable) => writeln!(f, "{variable};")?,
            Statement::Registers { ty, vector: parts, name, count } => {
                f.write_str(".reg")?;
                vector(f, *parts)?;
                write!(f, " .{ty} {name}")?;
                match count {
                    Some(count) => writeln!(f, "<{count}>;")?,
                    None => f.write_str(";\n")?,
                }
            }
            Statement::Instruction(instruction) => {
                if instruction.location != *location {
                    *location = instruction.location;
                    let Location { file, line, column } = location;
                    writeln!(f, ".loc {file} {line} {column}")?;
                }
                writeln!(f, "{instruction}")?;
            }
            Statement::Targets { label, names, functions } => {
                write!(
                    f,
                    "{label}: .{} ",
                    if *functions { "calltargets" } else { "branchtargets" }
                )?;
                list(f, names, |f, name| f.write_str(name))?;
                f.write_str(";\n")?;
            }
            Statement::Prototype(name, returns, params) => {
                write!(f, "{name}: .callprototype ")?;
                parameters(f, returns)?;
                f.write_str(" _ ")?;
                parameters(f, params)?;
                f.write_str(";\n")?;
            }
            Statement::Pragma(text) => writeln!(f, ".pragma \"{text}\";")?,
        }
    }
    Ok(())
}

impl Display for Instruction {
    /// As written, with guard, operands and semicolon, without its `.loc`.
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if let Some((name, negated)) = &self.guard {
            write!(f, "@{}{name} ", if *negated { "!" } else { "" })?;
        }
        f.write_str(&self.opcode)?;
        self.modifiers.iter().try_for_each(|modifier| write!(f, ".{modifier}"))?;
        if !self.operands.is_empty() {
            f.write_char(' ')?;
        }
        list(f, &self.operands, |f, operand| write!(f, "{operand}"))?;
        f.write_char(';')
    }
}

impl Display for Operand {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let all = |f: &mut Formatter<'_>, operands| list(f, operands, |f, one| write!(f, "{one}"));
        match self {
            Operand::Name(name) => f.write_str(name),
            Operand::Not(name) => write!(f, "!{name}"),
            Operand::Integer(value) => write!(f, "{value}"),
            Operand::F32(bits) => write!(f, "0f{bits:08X}"),
            Operand::F64(bits) => write!(f, "0d{bits:016X}"),
            Operand::Vector(parts) => {
                f.write_char('{')?;
                all(f, parts)?;
                f.write_char('}')
            }
            Operand::Address(base, 0) => write!(f, "[{base}]"),
            Operand::Address(base, offset) => write!(f, "[{base}+{offset}]"),
            Operand::Tensor(base, rest) => {
                write!(f, "[{base}, ")?;
                all(f, rest)?;
                f.write_char(']')
            }
            Operand::Pair(first, second) => write!(f, "{first}|{second}"),
            Operand::Offset(name, offset) => write!(f, "{name}+{offset}"),
            Operand::List(parts) => {
                f.write_char('(')?;
                all(f, parts)?;
                f.write_char(')')
            }
            Operand::Part(name, index) => write!(f, "{name}.{}", ["x", "y", "z", "w"][index & 3]),
            Operand::Sink => f.write_char('_'),
        }
    }
}
