//! The columns of the file: their types, and values on their way to it.

use std::io::Write;

use ::parquet::column::writer::ColumnWriter;
use ::parquet::data_type::ByteArray;
use ::parquet::errors::{ParquetError, Result};
use ::parquet::file::writer::SerializedFileWriter;

use super::super::table::unescape;

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
