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

/// Some rows of a column as they were read.
pub struct Values {
    kind: Kind,
    /// Where the value of a row stands below, [`ABSENT`] for none.
    places: Vec<u32>,
    texts: Vec<ByteArray>,
    counts: Vec<i64>,
    numbers: Vec<f64>,
    truths: Vec<bool>,
}

const ABSENT: u32 = u32::MAX;

/// A value that is kept.
#[derive(Debug, Clone, PartialEq)]
pub enum Kept {
    /// None.
    Nothing,
    /// Words.
    Text(Box<[u8]>),
    /// The bits of a count, a number or a truth.
    Bits(u64),
}

impl Values {
    /// No values at all, of so many rows.
    pub fn absent(name: &str, rows: usize) -> Values {
        Values {
            kind: Kind::of(name),
            places: vec![ABSENT; rows],
            texts: Vec::new(),
            counts: Vec::new(),
            numbers: Vec::new(),
            truths: Vec::new(),
        }
    }

    /// The next `rows` rows of a column.
    pub fn read(name: &str, from: &mut ColumnReader, rows: usize) -> Result<Values> {
        let mut values = Values::absent(name, 0);
        let mut levels = Vec::with_capacity(rows);
        match (values.kind, from) {
            (Kind::Text | Kind::Escaped, ColumnReader::ByteArrayColumnReader(from)) => {
                fill(name, from, rows, &mut levels, &mut values.texts)?;
                if values.texts.iter().any(|text| text.as_utf8().is_err()) {
                    return Err(damaged(name, "text that is not UTF-8"));
                }
            }
            (Kind::Count, ColumnReader::Int64ColumnReader(from)) => {
                fill(name, from, rows, &mut levels, &mut values.counts)?;
            }
            (Kind::Number, ColumnReader::DoubleColumnReader(from)) => {
                fill(name, from, rows, &mut levels, &mut values.numbers)?;
            }
            (Kind::Truth, ColumnReader::BoolColumnReader(from)) => {
                fill(name, from, rows, &mut levels, &mut values.truths)?;
            }
            _ => return Err(damaged(name, "values of another type")),
        }
        let mut next = 0;
        values.places = levels
            .into_iter()
            .map(|level| {
                let place = if level == 0 { ABSENT } else { next };
                next += u32::from(level != 0);
                place
            })
            .collect();
        let found = values.texts.len().max(values.counts.len());
        let found = found.max(values.numbers.len()).max(values.truths.len());
        if found < next as usize {
            return Err(damaged(name, "fewer values than it says"));
        }
        Ok(values)
    }

    fn place(&self, row: usize) -> Option<usize> {
        Some(self.places[row]).filter(|&place| place != ABSENT).map(|place| place as usize)
    }

    /// Whether a row has a value.
    pub fn is_there(&self, row: usize) -> bool {
        self.places[row] != ABSENT
    }

    /// The words of a row, as they stand in the file; none where there are none.
    pub fn text(&self, row: usize) -> &str {
        let bytes = self.place(row).map(|place| &self.texts[place]);
        bytes.and_then(|bytes| bytes.as_utf8().ok()).unwrap_or_default()
    }

    /// Its bytes, which were checked when they were read.
    pub fn bytes(&self, row: usize) -> &[u8] {
        self.place(row).map_or(&[], |place| self.texts[place].data())
    }

    /// The count of a row.
    pub fn count(&self, row: usize) -> Option<u64> {
        self.place(row).map(|place| self.counts[place].cast_unsigned())
    }

    /// The number of a row.
    pub fn number(&self, row: usize) -> Option<f64> {
        self.place(row).map(|place| self.numbers[place])
    }

    /// The value of a row as a cell of `records.csv`.
    pub fn cell(&self, row: usize) -> Cell {
        let Some(place) = self.place(row) else {
            return match self.kind {
                Kind::Text | Kind::Escaped => Cell::Text(String::new()),
                _ => Cell::Nothing,
            };
        };
        match self.kind {
            Kind::Text => Cell::Text(self.text(row).to_owned()),
            Kind::Escaped => Cell::Text(escape(self.text(row))),
            Kind::Count => Cell::Count(self.counts[place].cast_unsigned()),
            Kind::Number => Cell::Number(self.numbers[place]),
            Kind::Truth => Cell::Truth(self.truths[place]),
        }
    }

    fn bits(&self, place: usize) -> u64 {
        match self.kind {
            Kind::Number => self.numbers[place].to_bits(),
            Kind::Truth => u64::from(self.truths[place]),
            _ => self.counts[place].cast_unsigned(),
        }
    }

    /// The value of a row, to be compared with others'.
    pub fn keep(&self, row: usize) -> Kept {
        match (self.place(row), self.kind) {
            (None, _) => Kept::Nothing,
            (Some(_), Kind::Text | Kind::Escaped) => Kept::Text(self.text(row).as_bytes().into()),
            (Some(place), _) => Kept::Bits(self.bits(place)),
        }
    }

    /// Whether a row has this value.
    pub fn is(&self, row: usize, kept: &Kept) -> bool {
        match (self.place(row), kept) {
            (None, kept) => *kept == Kept::Nothing,
            (Some(place), Kept::Text(text)) => {
                self.texts.get(place).is_some_and(|own| own.data() == &**text)
            }
            (Some(place), Kept::Bits(bits)) => self.texts.is_empty() && self.bits(place) == *bits,
            (Some(_), Kept::Nothing) => false,
        }
    }
}

fn damaged(name: &str, what: &str) -> ParquetError {
    ParquetError::General(format!("column {name} holds {what}"))
}

fn fill<T: DataType>(
    name: &str,
    from: &mut ColumnReaderImpl<T>,
    rows: usize,
    levels: &mut Vec<i16>,
    values: &mut Vec<T::T>,
) -> Result<()> {
    while levels.len() < rows {
        let (read, ..) = from.read_records(rows - levels.len(), Some(levels), None, values)?;
        if read == 0 {
            return Err(damaged(name, "fewer values than there are rows"));
        }
    }
    Ok(())
}
