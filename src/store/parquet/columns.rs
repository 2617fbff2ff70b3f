//! The columns of the file: their types, and values on their way to it and back.

use std::io::Write;

use ::parquet::column::reader::{ColumnReader, ColumnReaderImpl};
use ::parquet::column::writer::ColumnWriter;
use ::parquet::data_type::{ByteArray, DataType};
use ::parquet::errors::{ParquetError, Result};
use ::parquet::file::writer::SerializedFileWriter;

use super::super::table::{escape, unescape};
use super::cells::Cell;

/// What a column holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Words; empty ones are null.
    Text,
    /// Words that `records.csv` has escaped, and this file has plain.
    Escaped,
    /// A count that is not negative.
    Count,
    /// A number.
    Number,
    /// Yes or no.
    Truth,
}

impl Kind {
    /// That of a column by its name.
    pub fn of(name: &str) -> Kind {
        match name {
            "kernel" | "provider" | "device" | "detail" | "model" | "placement" | "source_hash" => {
                Kind::Escaped
            }
            "record_id"
            | "m"
            | "n"
            | "k"
            | "batch"
            | "heads"
            | "kv_heads"
            | "seq_q"
            | "seq_kv"
            | "head_dim_qk"
            | "head_dim_v"
            | "params"
            | "groups"
            | "probe_size"
            | "threads"
            | "processes"
            | "samples"
            | "flops"
            | "min_bytes"
            | "allocated_bytes"
            | "peak_resident_bytes" => Kind::Count,
            "routing_skew" | "deviation" | "tolerance" | "gflop_per_s" | "gb_per_s"
            | "share_of_peak" => Kind::Number,
            "causal" => Kind::Truth,
            _ if name.ends_with("_ns") || name.starts_with("peak_") => Kind::Number,
            _ => Kind::Text,
        }
    }

    fn declared(self) -> &'static str {
        match self {
            Kind::Text | Kind::Escaped => "BYTE_ARRAY {} (UTF8)",
            Kind::Count => "INT64 {} (INTEGER(64,false))",
            Kind::Number => "DOUBLE {}",
            Kind::Truth => "BOOLEAN {}",
        }
    }
}

/// The schema in Parquet's own words.
pub fn schema() -> String {
    let field =
        |name: &str| format!("OPTIONAL {};\n", Kind::of(name).declared().replace("{}", name));
    format!("message scalemark {{\n{}}}", super::names().map(field).collect::<String>())
}

/// Values of a column that are to be written.
pub struct Column {
    kind: Kind,
    levels: Vec<i16>,
    texts: Vec<ByteArray>,
    counts: Vec<i64>,
    numbers: Vec<f64>,
    truths: Vec<bool>,
}

impl Column {
    /// One without values.
    pub fn new(name: &str) -> Column {
        Column {
            kind: Kind::of(name),
            levels: Vec::new(),
            texts: Vec::new(),
            counts: Vec::new(),
            numbers: Vec::new(),
            truths: Vec::new(),
        }
    }

    /// Adds a cell as `records.csv` spells it.
    ///
    /// # Panics
    /// On what `records.csv` cannot hold in this column.
    pub fn push(&mut self, cell: &str) {
        self.levels.push(i16::from(!cell.is_empty()));
        if cell.is_empty() {
            return;
        }
        match self.kind {
            Kind::Text => self.texts.push(cell.into()),
            Kind::Escaped => {
                let text = unescape("", cell).expect("a cell that was just written");
                self.texts.push(text.as_str().into());
            }
            // The type is the unsigned one of the same bits.
            Kind::Count => {
                self.counts.push(cell.parse::<u64>().expect("a count").cast_signed());
            }
            Kind::Number => self.numbers.push(cell.parse().expect("a number")),
            Kind::Truth => self.truths.push(cell == "true"),
        }
    }
}

/// Writes a row group of all columns, and empties them.
pub fn flush<W: Write + Send>(
    writer: &mut SerializedFileWriter<W>,
    columns: &mut [Column],
) -> Result<()> {
    let mut group = writer.next_row_group()?;
    for column in columns.iter_mut() {
        let mut to = group
            .next_column()?
            .ok_or_else(|| ParquetError::General("a column too many".into()))?;
        let levels = Some(&column.levels[..]);
        match to.untyped() {
            ColumnWriter::ByteArrayColumnWriter(to) => to.write_batch(&column.texts, levels, None),
            ColumnWriter::Int64ColumnWriter(to) => to.write_batch(&column.counts, levels, None),
            ColumnWriter::DoubleColumnWriter(to) => to.write_batch(&column.numbers, levels, None),
            ColumnWriter::BoolColumnWriter(to) => to.write_batch(&column.truths, levels, None),
            _ => Err(ParquetError::General("a column of another type".into())),
        }?;
        to.close()?;
        column.levels.clear();
        column.texts.clear();
        column.counts.clear();
        column.numbers.clear();
        column.truths.clear();
    }
    group.close()?;
    Ok(())
}

/// The cells of a column in one row group of `rows`.
pub fn read(name: &str, from: ColumnReader, rows: usize) -> Result<Vec<Cell>> {
    let kind = Kind::of(name);
    let empty = match kind {
        Kind::Text | Kind::Escaped => Cell::Text(String::new()),
        _ => Cell::Nothing,
    };
    let text = |bytes: ByteArray| {
        let text = bytes.as_utf8().map_err(|_| damaged(name, "text that is not UTF-8"))?;
        Ok(Cell::Text(if kind == Kind::Escaped { escape(text) } else { text.to_owned() }))
    };
    match (kind, from) {
        (Kind::Text | Kind::Escaped, ColumnReader::ByteArrayColumnReader(from)) => {
            all(name, from, rows, &empty, text)
        }
        (Kind::Count, ColumnReader::Int64ColumnReader(from)) => {
            all(name, from, rows, &empty, |count| Ok(Cell::Count(count.cast_unsigned())))
        }
        (Kind::Number, ColumnReader::DoubleColumnReader(from)) => {
            all(name, from, rows, &empty, |number| Ok(Cell::Number(number)))
        }
        (Kind::Truth, ColumnReader::BoolColumnReader(from)) => {
            all(name, from, rows, &empty, |truth| Ok(Cell::Truth(truth)))
        }
        _ => Err(damaged(name, "values of another type")),
    }
}

fn damaged(name: &str, what: &str) -> ParquetError {
    ParquetError::General(format!("column {name} holds {what}"))
}

fn all<T: DataType>(
    name: &str,
    mut from: ColumnReaderImpl<T>,
    rows: usize,
    empty: &Cell,
    cell: impl Fn(T::T) -> Result<Cell>,
) -> Result<Vec<Cell>> {
    let (mut levels, mut values) = (Vec::new(), Vec::new());
    while levels.len() < rows {
        let (read, ..) =
            from.read_records(rows - levels.len(), Some(&mut levels), None, &mut values)?;
        if read == 0 {
            return Err(damaged(name, "fewer values than there are rows"));
        }
    }
    let mut values = values.into_iter();
    let one = |level: i16| match level {
        0 => Ok(empty.clone()),
        _ => cell(values.next().ok_or_else(|| damaged(name, "fewer values than it says"))?),
    };
    levels.into_iter().map(one).collect()
}
