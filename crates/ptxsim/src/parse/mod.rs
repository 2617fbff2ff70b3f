//! From PTX text to [`ast::Module`].

mod function;
mod lexer;
mod operand;
#[cfg(test)]
mod round;
#[cfg(test)]
mod tests;

use crate::ast::{Init, Linkage, Module, Space, Variable};
use crate::error::{Error, Result};
use lexer::{Token, lex};

/// Takes a PTX text apart.
///
/// # Errors
/// [`Error::Parse`], with the line, where the text is not PTX. Instructions are not looked up here.
pub fn parse(text: &str) -> Result<Module> {
    let mut parser = Parser { tokens: lex(text)?, at: 0, depth: 0 };
    let mut module = Module::default();
    while parser.at < parser.tokens.len() {
        parser.item(&mut module)?;
    }
    Ok(module)
}

/// The tokens and how far they are read.
pub(crate) struct Parser<'a> {
    tokens: Vec<(Token<'a>, u32)>,
    at: usize,
    depth: u32,
}

impl<'a> Parser<'a> {
    fn peek(&self) -> Option<Token<'a>> {
        self.tokens.get(self.at).map(|token| token.0)
    }

    fn line(&self) -> u32 {
        self.tokens.get(self.at).or(self.tokens.last()).map_or(1, |token| token.1)
    }

    fn error(&self, expected: &str) -> Error {
        let found = match self.peek() {
            Some(Token::Word(word)) => format!("`{word}`"),
            Some(Token::Text(text)) => format!("\"{text}\""),
            Some(Token::Mark(mark)) => format!("`{mark}`"),
            None => "the end".to_string(),
        };
        lexer::error(self.line(), format!("expected {expected}, found {found}"))
    }

    fn is(&self, mark: char) -> bool {
        self.peek() == Some(Token::Mark(mark))
    }

    /// Takes `mark` where it is next.
    fn take(&mut self, mark: char) -> bool {
        let found = self.is(mark);
        self.at += found as usize;
        found
    }

    fn expect(&mut self, mark: char) -> Result<()> {
        if self.take(mark) { Ok(()) } else { Err(self.error(&format!("`{mark}`"))) }
    }

    /// A name, mnemonic or number; those that begin with a dot are directives.
    fn word(&mut self) -> Result<&'a str> {
        match self.peek() {
            Some(Token::Word(word)) if !word.starts_with('.') => {
                self.at += 1;
                Ok(word)
            }
            _ => Err(self.error("a name")),
        }
    }

    /// The next word where it is a directive.
    fn directive(&self) -> Option<&'a str> {
        match self.peek() {
            Some(Token::Word(word)) => word.strip_prefix('.'),
            _ => None,
        }
    }

    fn number(&mut self) -> Result<u64> {
        let at = self.at;
        match self.integer()?.try_into() {
            Ok(number) => Ok(number),
            Err(_) => {
                self.at = at;
                Err(self.error("a number"))
            }
        }
    }

    /// Goes a level deeper; texts that nest without end are refused before the stack ends.
    fn deeper<T>(&mut self, f: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        if self.depth == 200 {
            return Err(lexer::error(self.line(), "nested too deeply"));
        }
        self.depth += 1;
        let result = f(self);
        self.depth -= 1;
        result
    }

    fn item(&mut self, module: &mut Module) -> Result<()> {
        let line = self.line();
        let Some(directive) = self.directive() else {
            if self.take(';') {
                return Ok(());
            }
            return Err(self.error("a directive"));
        };
        match directive {
            "version" => {
                self.at += 1;
                let version = self.word()?;
                let parts = version.split_once('.').map(|(a, b)| (a.parse(), b.parse()));
                let Some((Ok(major), Ok(minor))) = parts else {
                    return Err(lexer::error(line, format!("`{version}` is no version")));
                };
                module.version = (major, minor);
            }
            "target" => {
                self.at += 1;
                let target = self.word()?;
                let sm = target.strip_prefix("sm_").unwrap_or("");
                let digits = sm.trim_end_matches(|c: char| c.is_ascii_lowercase());
                module.sm = digits
                    .parse()
                    .map_err(|_| lexer::error(line, format!("`{target}` is no target")))?;
                module.suffix = sm[digits.len()..].chars().next();
                while self.take(',') {
                    self.word()?;
                }
            }
            "address_size" => {
                self.at += 1;
                module.address_size = self.number()? as u32;
            }
            "file" => {
                self.at += 1;
                let number = self.number()? as u32;
                let Some(Token::Text(name)) = self.peek() else {
                    return Err(self.error("a file name"));
                };
                self.at += 1;
                module.files.push((number, name.to_string()));
                while self.take(',') {
                    self.number()?;
                }
            }
            "section" => {
                // Its name begins with a dot, too.
                self.at += 2;
                self.expect('{')?;
                let mut open = 1;
                while open > 0 {
                    match self.peek() {
                        Some(Token::Mark('{')) => open += 1,
                        Some(Token::Mark('}')) => open -= 1,
                        None => return Err(self.error("the end of a section")),
                        _ => {}
                    }
                    self.at += 1;
                }
            }
            "pragma" | "alias" => {
                while !self.take(';') {
                    if self.peek().is_none() {
                        return Err(self.error("`;`"));
                    }
                    self.at += 1;
                }
            }
            _ => {
                let linkage = self.linkage();
                match self.directive() {
                    Some("entry" | "func") => module.functions.push(self.function(linkage)?),
                    _ => self.variables(linkage, &mut module.variables)?,
                }
            }
        }
        Ok(())
    }

    fn linkage(&mut self) -> Linkage {
        let linkage = match self.directive() {
            Some("visible") => Linkage::Visible,
            Some("extern") => Linkage::Extern,
            Some("weak") => Linkage::Weak,
            Some("common") => Linkage::Common,
            _ => return Linkage::Internal,
        };
        self.at += 1;
        linkage
    }

    /// One declaration of variables up to its semicolon.
    fn variables(&mut self, linkage: Linkage, out: &mut Vec<Variable>) -> Result<()> {
        let first = self.variable(linkage)?;
        let (space, align, ty, vector) = (first.space, first.align, first.ty.clone(), first.vector);
        out.push(first);
        while self.take(',') {
            let line = self.line();
            let mut variable = Variable {
                linkage,
                space,
                align,
                ty: ty.clone(),
                vector,
                name: String::new(),
                dims: Vec::new(),
                init: Vec::new(),
                line,
            };
            self.declarator(&mut variable)?;
            out.push(variable);
        }
        self.expect(';')
    }

    /// A variable or parameter without its semicolon.
    fn variable(&mut self, linkage: Linkage) -> Result<Variable> {
        let mut variable = Variable {
            linkage,
            space: Space::Param,
            align: 0,
            ty: String::new(),
            vector: 1,
            name: String::new(),
            dims: Vec::new(),
            init: Vec::new(),
            line: self.line(),
        };
        let mut pointer = false;
        while let Some(directive) = self.directive() {
            self.at += 1;
            match directive {
                // What a pointer parameter points to is a promise to the compiler.
                "ptr" => pointer = true,
                "global" | "const" | "shared" | "local" if pointer => {}
                "global" => variable.space = Space::Global,
                "const" => variable.space = Space::Const,
                "shared" => variable.space = Space::Shared,
                "local" => variable.space = Space::Local,
                "param" => variable.space = Space::Param,
                "align" => {
                    let align = self.number()? as u32;
                    if !pointer {
                        variable.align = align;
                    }
                }
                "attribute" => {
                    self.expect('(')?;
                    while !self.take(')') {
                        if self.peek().is_none() {
                            return Err(self.error("`)`"));
                        }
                        self.at += 1;
                    }
                }
                "v2" => variable.vector = 2,
                "v4" => variable.vector = 4,
                "v8" => variable.vector = 8,
                ty => variable.ty = ty.to_string(),
            }
        }
        if variable.ty.is_empty() {
            return Err(self.error("a type"));
        }
        self.declarator(&mut variable)?;
        Ok(variable)
    }

    /// Name, dimensions and initial value.
    fn declarator(&mut self, variable: &mut Variable) -> Result<()> {
        variable.name = self.word()?.to_string();
        while self.take('[') {
            variable.dims.push(if self.is(']') { None } else { Some(self.number()?) });
            self.expect(']')?;
        }
        if self.take('=') {
            self.init(&mut variable.init)?;
        }
        Ok(())
    }

    fn init(&mut self, out: &mut Vec<Init>) -> Result<()> {
        if self.take('{') {
            while !self.take('}') {
                self.deeper(|parser| parser.init(out))?;
                if !self.is('}') {
                    self.expect(',')?;
                }
            }
            return Ok(());
        }
        out.push(self.initial()?);
        Ok(())
    }
}
