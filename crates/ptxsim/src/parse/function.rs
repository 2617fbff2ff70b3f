//! Kernels, device functions, and their statements.

use super::Parser;
use super::lexer::Token;
use crate::ast::{Function, Instruction, Linkage, Location, Parameter, Statement};
use crate::error::Result;

impl Parser<'_> {
    /// From `.entry` or `.func` to the end of the body, or the semicolon of a declaration.
    pub(super) fn function(&mut self, linkage: Linkage) -> Result<Function> {
        let line = self.line();
        let entry = self.directive() == Some("entry");
        self.at += 1;
        let returns = if self.take('(') { self.parameters()? } else { Vec::new() };
        let name = self.word()?.to_string();
        let params = if self.take('(') { self.parameters()? } else { Vec::new() };
        let mut directives = Vec::new();
        while let Some(directive) = self.directive() {
            self.at += 1;
            let mut numbers = Vec::new();
            if directive == "pragma" {
                let Some(Token::Text(_)) = self.peek() else {
                    return Err(self.error("a string"));
                };
                self.at += 1;
                self.expect(';')?;
                continue;
            }
            while matches!(self.peek(), Some(Token::Word(word)) if word.starts_with(|c: char| c.is_ascii_digit()))
            {
                numbers.push(self.number()?);
                self.take(',');
            }
            directives.push((directive.to_string(), numbers));
        }
        let body = if self.take(';') {
            None
        } else {
            self.expect('{')?;
            Some(self.block(&mut Location::default())?)
        };
        Ok(Function { entry, linkage, name, returns, params, directives, body, line })
    }

    fn parameters(&mut self) -> Result<Vec<Parameter>> {
        let mut parameters = Vec::new();
        while !self.take(')') {
            if self.directive() == Some("reg") {
                self.at += 1;
                let Some(ty) = self.directive() else { return Err(self.error("a type")) };
                self.at += 1;
                parameters.push(Parameter::Register(ty.to_string(), self.word()?.to_string()));
            } else {
                parameters.push(Parameter::Memory(self.variable(Linkage::Internal)?));
            }
            if !self.is(')') {
                self.expect(',')?;
            }
        }
        Ok(parameters)
    }

    /// Statements up to the closing brace, which is taken.
    fn block(&mut self, location: &mut Location) -> Result<Vec<Statement>> {
        let mut statements = Vec::new();
        loop {
            if self.take('}') {
                return Ok(statements);
            }
            if self.take('{') {
                let inner = self.deeper(|parser| parser.block(location))?;
                statements.push(Statement::Block(inner));
            } else if !self.take(';') {
                self.statement(location, &mut statements)?;
            }
        }
    }

    fn statement(&mut self, location: &mut Location, out: &mut Vec<Statement>) -> Result<()> {
        let line = self.line();
        match self.directive() {
            Some("loc") => {
                self.at += 1;
                let [file, line_of, column] = [self.number()?, self.number()?, self.number()?];
                *location =
                    Location { file: file as u32, line: line_of as u32, column: column as u32 };
                // Where a function was inlined follows on the same line.
                while self.peek().is_some() && self.line() == line && !self.is('}') {
                    self.at += 1;
                }
            }
            Some("reg") => {
                self.at += 1;
                self.registers(out)?;
            }
            Some("pragma") => {
                self.at += 1;
                let Some(Token::Text(text)) = self.peek() else {
                    return Err(self.error("a string"));
                };
                self.at += 1;
                self.expect(';')?;
                out.push(Statement::Pragma(text.to_string()));
            }
            Some(_) => {
                let linkage = self.linkage();
                let mut variables = Vec::new();
                self.variables(linkage, &mut variables)?;
                out.extend(variables.into_iter().map(Statement::Variable));
            }
            None => {
                let label = matches!(self.peek(), Some(Token::Word(_)))
                    && matches!(self.tokens.get(self.at + 1), Some((Token::Mark(':'), _)));
                if label {
                    let name = self.word()?.to_string();
                    self.at += 1;
                    self.labelled(name, line, out)?;
                } else {
                    let instruction = self.instruction(*location)?;
                    out.push(Statement::Instruction(instruction));
                }
            }
        }
        Ok(())
    }

    /// What follows a label: the targets of branches and calls, a prototype, or nothing.
    fn labelled(&mut self, name: String, line: u32, out: &mut Vec<Statement>) -> Result<()> {
        match self.directive() {
            Some(kind @ ("branchtargets" | "calltargets")) => {
                self.at += 1;
                let mut names = vec![self.word()?.to_string()];
                while self.take(',') {
                    names.push(self.word()?.to_string());
                }
                self.expect(';')?;
                let functions = kind == "calltargets";
                out.push(Statement::Targets { label: name, names, functions });
            }
            Some("callprototype") => {
                self.at += 1;
                let returns = if self.take('(') { self.parameters()? } else { Vec::new() };
                self.word()?;
                let params = if self.take('(') { self.parameters()? } else { Vec::new() };
                while self.directive().is_some() {
                    self.at += 1;
                }
                self.expect(';')?;
                out.push(Statement::Prototype(name, returns, params));
            }
            _ => out.push(Statement::Label(name, line)),
        }
        Ok(())
    }

    fn registers(&mut self, out: &mut Vec<Statement>) -> Result<()> {
        let (mut ty, mut vector) = (String::new(), 1);
        while let Some(directive) = self.directive() {
            self.at += 1;
            match directive {
                "v2" => vector = 2,
                "v4" => vector = 4,
                _ => ty = directive.to_string(),
            }
        }
        loop {
            let name = self.word()?.to_string();
            let mut count = None;
            if self.take('<') {
                count = Some(self.number()? as u32);
                self.expect('>')?;
            }
            out.push(Statement::Registers { ty: ty.clone(), vector, name, count });
            if !self.take(',') {
                return self.expect(';');
            }
        }
    }

    fn instruction(&mut self, location: Location) -> Result<Instruction> {
        let guard = if self.take('@') {
            let negated = self.take('!');
            Some((self.word()?.to_string(), negated))
        } else {
            None
        };
        let line = self.line();
        let mut parts = self.word()?.split('.').map(str::to_string);
        let opcode = parts.next().unwrap_or_default();
        let modifiers = parts.collect();
        let operands = self.list(';')?;
        Ok(Instruction { guard, opcode, modifiers, operands, line, location })
    }
}
