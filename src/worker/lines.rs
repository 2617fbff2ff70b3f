//! Lines of another process, which may be of any length and no text at all.

use std::io::{BufRead, Read};

/// A line without its end, in which what is no UTF-8 is replaced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Line {
    /// All of it.
    Whole(String),
    /// The beginning of one that is longer than the limit; its rest comes as further lines.
    Cut(String),
}

/// The lines of a reader, until it ends or breaks.
pub(super) struct Lines<R> {
    reader: R,
    longest: usize,
}

impl<R: BufRead> Lines<R> {
    /// Lines of at most `longest` bytes.
    pub(super) fn of(reader: R, longest: usize) -> Self {
        Lines { reader, longest }
    }
}

impl<R: BufRead> Iterator for Lines<R> {
    type Item = Line;

    fn next(&mut self) -> Option<Line> {
        let mut bytes = Vec::new();
        let mut part = (&mut self.reader).take(self.longest as u64 + 1);
        part.read_until(b'\n', &mut bytes).ok().filter(|&read| read > 0)?;
        let whole = bytes.len() <= self.longest || bytes.ends_with(b"\n");
        if bytes.ends_with(b"\n") {
            bytes.pop();
        }
        let text = String::from_utf8_lossy(&bytes).trim_end_matches('\r').to_owned();
        Some(if whole { Line::Whole(text) } else { Line::Cut(text) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(bytes: &[u8]) -> Vec<Line> {
        Lines::of(bytes, 5).collect()
    }

    #[test]
    fn lines_end_at_their_ends() {
        let whole = |text: &str| Line::Whole(text.into());
        assert_eq!(lines(b"one\r\n\nthree\nlast"), ["one", "", "three", "last"].map(whole));
        assert_eq!(lines(b""), []);
    }

    #[test]
    fn a_line_without_end_is_cut() {
        let cut = |text: &str| Line::Cut(text.into());
        assert_eq!(lines(&[b'x'; 12]), [cut("xxxxxx"), cut("xxxxxx")]);
    }

    #[test]
    fn what_is_no_text_is_replaced() {
        assert_eq!(lines(b"a\xff\n"), [Line::Whole("a\u{fffd}".into())]);
    }
}
