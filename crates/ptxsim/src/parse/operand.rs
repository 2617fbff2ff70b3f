//! Operands, numbers, and constant expressions.

use super::Parser;
use super::lexer::{Token, error};
use crate::ast::{Init, Operand};
use crate::error::Result;

/// A number as written.
enum Number {
    Integer(i128),
    F32(u32),
    F64(u64),
}

impl Parser<'_> {
    fn literal(&mut self) -> Result<Option<Number>> {
        let Some(Token::Word(word)) = self.peek() else { return Ok(None) };
        if !word.starts_with(|c: char| c.is_ascii_digit()) {
            return Ok(None);
        }
        let line = self.line();
        self.at += 1;
        let bad = || error(line, format!("`{word}` is no number"));
        let lower = word.to_ascii_lowercase();
        let digits = lower.strip_suffix('u').unwrap_or(&lower);
        let radix = |digits: &str, radix| i128::from_str_radix(digits, radix).map_err(|_| bad());
        Ok(Some(if let Some(hex) = lower.strip_prefix("0f") {
            Number::F32(u32::from_str_radix(hex, 16).map_err(|_| bad())?)
        } else if let Some(hex) = lower.strip_prefix("0d") {
            Number::F64(u64::from_str_radix(hex, 16).map_err(|_| bad())?)
        } else if let Some(hex) = digits.strip_prefix("0x") {
            Number::Integer(radix(hex, 16)?)
        } else if let Some(binary) = digits.strip_prefix("0b") {
            Number::Integer(radix(binary, 2)?)
        } else if word.contains('.') || lower.contains('e') {
            let mut text = word.to_string();
            // The sign of an exponent is a mark of its own.
            if lower.ends_with('e') && (self.is('-') || self.is('+')) {
                text.push(if self.is('-') { '-' } else { '+' });
                self.at += 1;
                text.push_str(self.word()?);
            }
            Number::F64(text.parse::<f64>().map_err(|_| bad())?.to_bits())
        } else if digits.len() > 1 && digits.starts_with('0') {
            Number::Integer(radix(&digits[1..], 8)?)
        } else {
            Number::Integer(radix(digits, 10)?)
        }))
    }

    /// A constant expression of integers: `+ - * / << >> & | ^ ~`, parentheses.
    pub(super) fn integer(&mut self) -> Result<i128> {
        self.deeper(|parser| parser.binary(0))
    }

    fn binary(&mut self, least: u32) -> Result<i128> {
        let mut left = self.unary()?;
        loop {
            let Some(Token::Mark(mark)) = self.peek() else { return Ok(left) };
            let level = match mark {
                '|' => 1,
                '^' => 2,
                '&' => 3,
                '<' | '>'
                    if self.tokens.get(self.at + 1).map(|t| t.0) == Some(Token::Mark(mark)) =>
                {
                    4
                }
                '+' | '-' => 5,
                '*' | '/' => 6,
                _ => return Ok(left),
            };
            if level <= least {
                return Ok(left);
            }
            self.at += 1;
            if level == 4 {
                self.expect(mark)?;
            }
            let line = self.line();
            let right = self.deeper(|parser| parser.binary(level))?;
            left = match mark {
                '|' => Some(left | right),
                '^' => Some(left ^ right),
                '&' => Some(left & right),
                '<' => u32::try_from(right).ok().and_then(|by| left.checked_shl(by)),
                '>' => u32::try_from(right).ok().and_then(|by| left.checked_shr(by)),
                '+' => left.checked_add(right),
                '-' => left.checked_sub(right),
                '*' => left.checked_mul(right),
                _ => left.checked_div(right),
            }
            .ok_or_else(|| error(line, "a constant expression has no value"))?;
        }
    }

    fn unary(&mut self) -> Result<i128> {
        if self.take('-') {
            return Ok(self.deeper(Self::unary)?.wrapping_neg());
        }
        if self.take('~') {
            return Ok(!self.deeper(Self::unary)?);
        }
        if self.take('+') {
            return self.deeper(Self::unary);
        }
        if self.take('(') {
            let value = self.integer()?;
            self.expect(')')?;
            return Ok(value);
        }
        match self.literal()? {
            Some(Number::Integer(value)) => Ok(value),
            _ => Err(self.error("an integer")),
        }
    }

    /// An element of an initializer.
    pub(super) fn initial(&mut self) -> Result<Init> {
        Ok(match self.constant()? {
            Some(Operand::Integer(value)) => Init::Integer(value),
            Some(Operand::F32(bits)) => Init::Float(bits as u64),
            Some(Operand::F64(bits)) => Init::Float(bits),
            _ => {
                let mut name = self.word()?;
                let generic = name == "generic" && self.take('(');
                if generic {
                    name = self.word()?;
                    self.expect(')')?;
                }
                let offset = self.offset()?;
                Init::Symbol { name: name.to_string(), offset, generic }
            }
        })
    }

    /// A number, or `None` where the next is a name.
    fn constant(&mut self) -> Result<Option<Operand>> {
        let start = self.at;
        let negative = self.take('-');
        match self.literal()? {
            Some(Number::F32(bits)) => {
                return Ok(Some(Operand::F32(bits ^ (negative as u32) << 31)));
            }
            Some(Number::F64(bits)) => {
                return Ok(Some(Operand::F64(bits ^ (negative as u64) << 63)));
            }
            _ => self.at = start,
        }
        match self.peek() {
            Some(Token::Mark('-' | '~' | '+')) => {}
            Some(Token::Word(word)) if word.starts_with(|c: char| c.is_ascii_digit()) => {}
            _ => return Ok(None),
        }
        let line = self.line();
        match self.integer()? {
            // PTX has 64-bit constants, signed or not.
            value if (i64::MIN as i128..=u64::MAX as i128).contains(&value) => {
                Ok(Some(Operand::Integer(value)))
            }
            value => Err(error(line, format!("{value} has more than 64 bits"))),
        }
    }

    /// `+16`, `-4`, or nothing.
    fn offset(&mut self) -> Result<i64> {
        let mut offset = 0i64;
        while self.is('+') || self.is('-') {
            let negative = self.take('-');
            self.take('+');
            let line = self.line();
            let value = self.deeper(|parser| parser.binary(5))?;
            let value = i64::try_from(if negative { -value } else { value });
            let sum = value.ok().and_then(|value| offset.checked_add(value));
            offset = sum.ok_or_else(|| error(line, "an offset beyond 64 bits"))?;
        }
        Ok(offset)
    }

    /// Operands between commas, up to `end`, which is taken.
    pub(super) fn list(&mut self, end: char) -> Result<Vec<Operand>> {
        let mut operands = Vec::new();
        while !self.take(end) {
            operands.push(self.deeper(Self::operand)?);
            if !self.is(end) {
                self.expect(',')?;
            }
        }
        Ok(operands)
    }

    /// One operand of an instruction.
    pub(super) fn operand(&mut self) -> Result<Operand> {
        if self.take('{') {
            return Ok(Operand::Vector(self.list('}')?));
        }
        if self.take('[') {
            return self.address();
        }
        if self.take('!') {
            return Ok(Operand::Not(self.word()?.to_string()));
        }
        if self.is('(') {
            // A list of arguments; a constant in parentheses is one too, of one number.
            self.at += 1;
            return Ok(Operand::List(self.list(')')?));
        }
        if let Some(constant) = self.constant()? {
            return Ok(constant);
        }
        let word = self.word()?;
        if self.take('|') {
            let second = self.word()?;
            return Ok(Operand::Pair(Box::new(name(word)), Box::new(name(second))));
        }
        if self.is('+') || self.is('-') {
            return Ok(Operand::Offset(word.to_string(), self.offset()?));
        }
        Ok(name(word))
    }

    /// What stands in brackets.
    fn address(&mut self) -> Result<Operand> {
        let base = match self.constant()? {
            Some(constant) => constant,
            None => name(self.word()?),
        };
        let offset = self.offset()?;
        if self.take(']') {
            return Ok(Operand::Address(Box::new(base), offset));
        }
        self.expect(',')?;
        if offset != 0 {
            return Err(self.error("`]` after an offset"));
        }
        Ok(Operand::Tensor(Box::new(base), self.list(']')?))
    }
}

/// A name, `_`, or an element of a vector register.
fn name(word: &str) -> Operand {
    if word == "_" {
        return Operand::Sink;
    }
    let special = [
        "%tid",
        "%ntid",
        "%ctaid",
        "%nctaid",
        "%clusterid",
        "%nclusterid",
        "%cluster_ctaid",
        "%cluster_nctaid",
    ];
    if let Some((base, part)) = word.split_once('.')
        && !special.contains(&base)
        && let Some(index) =
            ["x", "y", "z", "w"]
                .iter()
                .position(|name| *name == part)
                .or(["r", "g", "b", "a"].iter().position(|name| *name == part))
    {
        return Operand::Part(base.to_string(), index);
    }
    Operand::Name(word.to_string())
}
