//! PTX text as words, strings and marks, each with its line.

use crate::error::{Error, Result};

/// A piece of the text.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Token<'a> {
    /// A name, directive, mnemonic with its modifiers, or number: letters, digits, `_ $ % .`, and `::` inside.
    Word(&'a str),
    /// What stands between quotes.
    Text(&'a str),
    /// Any other character.
    Mark(char),
}

/// An [`Error::Parse`].
pub(crate) fn error(line: u32, message: impl Into<String>) -> Error {
    Error::Parse { line, message: message.into() }
}

/// The text's tokens and their lines, from 1; comments are left out.
pub(crate) fn lex(text: &str) -> Result<Vec<(Token<'_>, u32)>> {
    let (bytes, mut tokens, mut at, mut line) = (text.as_bytes(), Vec::new(), 0, 1);
    let inside = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'$' | b'%' | b'.');
    while at < bytes.len() {
        let start = at;
        match bytes[at] {
            b'\n' => {
                line += 1;
                at += 1;
            }
            b if b.is_ascii_whitespace() || b == 0 => at += 1,
            b'/' if bytes.get(at + 1) == Some(&b'/') => {
                at += bytes[at..].iter().take_while(|b| **b != b'\n').count();
            }
            b'/' if bytes.get(at + 1) == Some(&b'*') => {
                let Some(len) = text[at..].find("*/") else {
                    return Err(error(line, "a comment does not end"));
                };
                line += text[at..at + len].matches('\n').count() as u32;
                at += len + 2;
            }
            b'"' => {
                let Some(len) = text[at + 1..].find('"') else {
                    return Err(error(line, "a string does not end"));
                };
                tokens.push((Token::Text(&text[at + 1..at + 1 + len]), line));
                line += text[at..at + 1 + len].matches('\n').count() as u32;
                at += len + 2;
            }
            b if inside(b) => {
                loop {
                    at += bytes[at..].iter().take_while(|b| inside(**b)).count();
                    // `shared::cta` is one word; a single colon ends a label.
                    let more = bytes[at..].starts_with(b"::")
                        && bytes.get(at + 2).is_some_and(|b| inside(*b));
                    if !more {
                        break;
                    }
                    at += 2;
                }
                // Directives may follow each other without a space: `.reg.b32`.
                if bytes[start] == b'.'
                    && let Some(len) = text[start + 1..at].find('.')
                {
                    at = start + 1 + len;
                }
                tokens.push((Token::Word(&text[start..at]), line));
            }
            b if b.is_ascii() => {
                tokens.push((Token::Mark(b as char), line));
                at += 1;
            }
            _ => return Err(error(line, "a character outside ASCII")),
        }
    }
    Ok(tokens)
}
