//! CSV tables, read as strictly as they are written: one row a line, a fixed header, no line breaks in cells.

use std::path::Path;

use csv::StringRecord;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// The columns of one file.
pub(super) struct Columns {
    /// Every column, in order.
    pub names: &'static [&'static str],
    /// How many of them, from the first, are facts; the rest is derived and not read.
    pub facts: usize,
}

/// A cell that does not fit, to be placed in a file or a record by the caller.
#[derive(Debug)]
pub(super) struct Unfit {
    /// Its column.
    pub column: &'static str,
    /// What is wrong with it.
    pub reason: String,
}

impl Unfit {
    pub fn new(column: &'static str, reason: impl Into<String>) -> Self {
        Unfit { column, reason: reason.into() }
    }

    /// As an error that names file, line and column.
    pub fn at(self, path: &Path, line: u64) -> Error {
        Error::format(path, Some(line), format!("{}: {}", self.column, self.reason))
    }
}

/// Where a row stands in its file.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    /// The line, from 1.
    pub line: u64,
    /// The offset of the row's first byte.
    pub byte: u64,
}

/// What the facts of a table come to; a seal compares it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Sum {
    /// Rows below the header.
    pub rows: u64,
    /// CRC-32 (IEEE) over the cells of all facts, each cell followed by 0x1F, each row by 0x1E. Over cells and not bytes,
    /// so that a copy with other line ends is still the same table.
    pub crc32: u32,
}

/// One line of a table, from a struct of scalars.
pub(super) fn line(row: &impl Serialize) -> Vec<u8> {
    let mut writer = csv::WriterBuilder::new().has_headers(false).from_writer(Vec::new());
    writer.serialize(row).expect("rows consist of scalars, which any table can hold");
    writer.into_inner().expect("a vector takes what is written to it")
}

/// The line with the names of columns.
pub(super) fn header(columns: &Columns) -> Vec<u8> {
    line(&columns.names)
}

/// Reads a whole table and hands every row to `each`, in order.
///
/// # Errors
/// A table that does not end in a line end, whose header is not exactly `columns`, a row with more or fewer cells, text
/// that is not UTF-8, a line break in a cell (an unbalanced quote), or whatever `each` objects to: always with the line.
pub(super) fn read(
    path: &Path,
    text: &[u8],
    columns: &Columns,
    mut each: impl FnMut(Place, &StringRecord) -> Result<()>,
) -> Result<Sum> {
    if text.last() != Some(&b'\n') {
        let last = 1 + text.iter().filter(|&&b| b == b'\n').count() as u64;
        let reason = "cut off in the middle of a line; if the run was interrupted, `--resume` mends it, otherwise restore \
                      the file from a copy";
        return Err(Error::format(path, Some(last), reason));
    }
    let mut reader = csv::ReaderBuilder::new().has_headers(false).flexible(true).from_reader(text);
    let mut row = StringRecord::new();
    let (mut rows, mut crc) = (0, flate2::Crc::new());
    let mut seen_header = false;
    loop {
        match reader.read_record(&mut row) {
            Ok(true) => {}
            Ok(false) if seen_header => break,
            Ok(false) => return Err(Error::format(path, Some(1), "empty: it has no header")),
            Err(error) => {
                let line = error.position().map(csv::Position::line);
                return Err(Error::format(path, line, "not UTF-8 text; restore it from a copy"));
            }
        }
        let position = row.position().expect("a row that was read has a position");
        let place = Place { line: position.line(), byte: position.byte() };
        if !seen_header {
            check_header(path, place.line, &row, columns)?;
            seen_header = true;
            continue;
        }
        check_shape(path, place.line, &row, columns)?;
        for cell in row.iter().take(columns.facts) {
            crc.update(cell.as_bytes());
            crc.update(&[0x1f]);
        }
        crc.update(&[0x1e]);
        rows += 1;
        each(place, &row)?;
    }
    Ok(Sum { rows, crc32: crc.sum() })
}

fn check_header(path: &Path, line: u64, found: &StringRecord, columns: &Columns) -> Result<()> {
    let wanted = columns.names;
    if found.iter().eq(wanted.iter().copied()) {
        return Ok(());
    }
    let fail = |reason: String| Err(Error::format(path, Some(line), reason));
    let advice = "this build reads only the columns that results/README.md lists";
    if let Some((at, name)) = found.iter().enumerate().find(|(_, name)| !wanted.contains(name)) {
        return fail(format!(
            "unknown column `{}` (number {}): {advice}",
            name.escape_debug(),
            at + 1
        ));
    }
    if let Some(name) = wanted.iter().find(|&&name| !found.iter().any(|f| f == name)) {
        return fail(format!("column `{name}` is missing: {advice}"));
    }
    match found.iter().zip(wanted).position(|(f, &w)| f != w) {
        Some(at) => fail(format!(
            "column {} is `{}` where `{}` belongs: {advice}, in that order",
            at + 1,
            &found[at],
            wanted[at]
        )),
        None => fail(format!("column `{}` stands twice", &found[wanted.len()])),
    }
}

fn check_shape(path: &Path, line: u64, row: &StringRecord, columns: &Columns) -> Result<()> {
    if let Some(at) = row.iter().position(|cell| cell.contains(['\n', '\r'])) {
        let column = columns.names.get(at).unwrap_or(&"the last cell");
        let reason =
            format!("{column}: a line break within a cell; a quote is missing or too many");
        return Err(Error::format(path, Some(line), reason));
    }
    if row.len() != columns.names.len() {
        let (has, wants) = (row.len(), columns.names.len());
        // The first column that is missing, or the last one before the surplus.
        let column = columns.names[has.min(wants - 1)];
        let reason = format!(
            "{column}: the row has {has} cells where the header has {wants}; it was cut off or edited"
        );
        return Err(Error::format(path, Some(line), reason));
    }
    Ok(())
}

/// A row as a struct whose fields are the columns in order.
pub(super) fn typed<'a, T: Deserialize<'a>>(
    path: &Path,
    line: u64,
    row: &'a StringRecord,
    columns: &Columns,
) -> Result<T> {
    row.deserialize(None).map_err(|error| {
        let (at, reason) = match error.kind() {
            csv::ErrorKind::Deserialize { err, .. } => (err.field(), err.kind().to_string()),
            _ => (None, error.to_string()),
        };
        let reason = match at
            .and_then(|at| Some((columns.names.get(at as usize)?, row.get(at as usize)?)))
        {
            Some((name, cell)) => format!("{name}: `{}`: {reason}", cell.escape_debug()),
            None => reason,
        };
        Error::format(path, Some(line), reason)
    })
}

/// What a spreadsheet takes for the beginning of a formula, which could run something.
const FORMULA: [char; 5] = ['=', '+', '-', '@', '\t'];

/// Text as it stands in a cell: one line, with `\n`, `\r` and `\\` escaped, and a backslash before what would begin a formula.
pub(super) fn escape(text: &str) -> String {
    let line = text.replace('\\', r"\\").replace('\n', r"\n").replace('\r', r"\r");
    if line.starts_with(FORMULA) { format!("\\{line}") } else { line }
}

/// The text of a cell.
pub(super) fn unescape(column: &'static str, cell: &str) -> Result<String, Unfit> {
    let mut rest = cell;
    let mut text = String::with_capacity(cell.len());
    while let Some((before, after)) = rest.split_once('\\') {
        text.push_str(before);
        text.push(match after.chars().next() {
            Some('\\') => '\\',
            Some('n') => '\n',
            Some('r') => '\r',
            Some(sign) if text.is_empty() && FORMULA.contains(&sign) => sign,
            _ => {
                let reason = r"a backslash that is not part of `\\`, `\n` or `\r`, nor before a formula's sign";
                return Err(Unfit::new(column, reason));
            }
        });
        rest = &after[1..];
    }
    text.push_str(rest);
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    const COLUMNS: Columns = Columns { names: &["a", "b", "c"], facts: 2 };

    #[test]
    fn no_text_begins_a_formula_of_a_spreadsheet_and_each_reads_back() {
        for text in ["=1+1", "+1", "-1", "@SUM(1)", "\t=1", "=\n=", "\\=", "a=b", ""] {
            let cell = escape(text);
            assert!(!cell.starts_with(FORMULA), "{cell}");
            assert_eq!(unescape("detail", &cell).unwrap(), text);
        }
        assert_eq!(
            unescape("detail", "=as older files have it").unwrap(),
            "=as older files have it"
        );
        assert!(unescape("detail", r"a\=b").is_err(), "only at the beginning");
    }

    fn read_text(text: &str) -> std::result::Result<(Sum, Vec<Vec<String>>), String> {
        let mut rows = Vec::new();
        let sum = read(Path::new("t.csv"), text.as_bytes(), &COLUMNS, |_, row| {
            rows.push(row.iter().map(str::to_owned).collect());
            Ok(())
        });
        sum.map(|sum| (sum, rows)).map_err(|e| e.to_string())
    }

    #[test]
    fn a_table_reads_back_and_its_sum_ignores_derived_cells_and_line_ends() {
        let (sum, rows) = read_text("a,b,c\n1,\"x,y\",3\n").unwrap();
        assert_eq!(rows, [["1", "x,y", "3"]]);
        assert_eq!(read_text("a,b,c\r\n1,\"x,y\",4\r\n").unwrap().0, sum);
        assert_ne!(read_text("a,b,c\n1,\"xy\",3\n").unwrap().0, sum);
        assert_ne!(read_text("a,b,c\n1x,\",y\",3\n").unwrap().0, sum);
    }

    #[test]
    fn every_fault_of_a_table_names_file_and_line() {
        for (text, message) in [
            ("", "t.csv:1: cut off"),
            ("\n", "t.csv:1: empty"),
            ("a,b,c\n1,2,3", "t.csv:2: cut off"),
            ("a,b,d\n", "t.csv:1: unknown column `d` (number 3)"),
            ("a,b\n", "t.csv:1: column `c` is missing"),
            ("a,c,b\n", "t.csv:1: column 2 is `c` where `b` belongs"),
            ("a,b,c,c\n", "t.csv:1: column `c` stands twice"),
            ("a,b,c\n1,2,3\n1,2\n", "t.csv:3: c: the row has 2 cells where the header has 3"),
            ("a,b,c\n1,2,3,4\n", "t.csv:2: c: the row has 4 cells"),
            ("a,b,c\n1,\"2,3\n1,2,3\n", "t.csv:2: b: a line break"),
        ] {
            let error = read_text(text).unwrap_err();
            assert!(error.starts_with(message), "{text:?}: {error}");
        }
        let error = read(Path::new("t.csv"), b"a,b,c\n1,\xff,3\n", &COLUMNS, |_, _| Ok(()));
        assert!(error.unwrap_err().to_string().starts_with("t.csv:2: not UTF-8"));
    }

    #[test]
    fn any_text_stays_on_one_line_and_comes_back() {
        for text in ["", "plain", "a\nb\r\nc", r"C:\new\r", "\\", "é\\\n"] {
            assert!(!escape(text).contains(['\n', '\r']));
            assert_eq!(unescape("detail", &escape(text)).unwrap(), text);
        }
        assert_eq!(unescape("detail", r"a\").unwrap_err().column, "detail");
        assert!(unescape("detail", r"a\é").is_err());
    }
}
