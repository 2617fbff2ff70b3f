//! Some rows as they were read, column by column.

use std::ops::Range;

use ::parquet::column::reader::{ColumnReader, ColumnReaderImpl};
use ::parquet::data_type::{ByteArray, DataType};
use ::parquet::errors::{ParquetError, Result};

use super::super::table::{Unfit, escape};
use super::cells::Cell;
use super::columns::Kind;
use super::{BEFORE, RECORD_COLUMNS, UNREAD, names};

// A bit a column, see `Rows::there`.
const _: () = assert!(BEFORE.len() + RECORD_COLUMNS.len() < 64);

/// Some rows. Its memory is used again for the next ones.
pub struct Rows {
    /// The values of each column.
    pub columns: Vec<Values>,
    /// Which columns have a value, by row: bit i is column i.
    there: Vec<u64>,
}

impl Rows {
    /// None yet.
    pub fn new() -> Rows {
        Rows { columns: names().map(Values::new).collect(), there: Vec::new() }
    }

    /// The next `rows` rows, in place of those before; of columns that nobody reads, nothing.
    ///
    /// # Errors
    /// A file that is not what it says.
    pub fn read(&mut self, from: &mut [ColumnReader], rows: usize) -> Result<()> {
        self.there.clear();
        self.there.resize(rows, 0);
        for (i, (values, from)) in self.columns.iter_mut().zip(from).enumerate() {
            match UNREAD.contains(&values.name) {
                true => values.skip(rows),
                false => values.read(from, rows)?,
            }
            for (there, place) in self.there.iter_mut().zip(&values.places) {
                *there |= u64::from(*place != ABSENT) << i;
            }
        }
        Ok(())
    }

    /// Which columns of a row have a value.
    pub fn there(&self, row: usize) -> u64 {
        self.there[row]
    }

    /// This row and those behind it that are of the same run.
    pub fn stretch(&self, first: usize) -> Range<usize> {
        let run = |row: &usize| self.columns[0].bytes(*row);
        let same = (first + 1..self.there.len()).take_while(|row| run(row) == run(&first));
        first..first + 1 + same.count()
    }

    /// Rows without any value.
    #[cfg(test)]
    pub fn empty(rows: usize) -> Rows {
        let mut empty = Rows::new();
        empty.there.resize(rows, 0);
        empty.columns.iter_mut().for_each(|values| values.skip(rows));
        empty
    }
}

/// Some rows of a column.
pub struct Values {
    name: &'static str,
    kind: Kind,
    /// Where the value of a row stands below, [`ABSENT`] for none.
    places: Vec<u32>,
    levels: Vec<i16>,
    texts: Vec<ByteArray>,
    counts: Vec<i64>,
    numbers: Vec<f64>,
    truths: Vec<bool>,
}

const ABSENT: u32 = u32::MAX;

/// A value that is kept.
#[derive(Debug, Clone, PartialEq)]
pub enum Kept {
    /// Words.
    Text(Box<[u8]>),
    /// The bits of a count, a number or a truth.
    Bits(u64),
}

impl Values {
    fn new(name: &'static str) -> Values {
        Values {
            name,
            kind: Kind::of(name),
            places: Vec::new(),
            levels: Vec::new(),
            texts: Vec::new(),
            counts: Vec::new(),
            numbers: Vec::new(),
            truths: Vec::new(),
        }
    }

    fn skip(&mut self, rows: usize) {
        self.places.clear();
        self.places.resize(rows, ABSENT);
    }

    fn read(&mut self, from: &mut ColumnReader, rows: usize) -> Result<()> {
        let (name, levels) = (self.name, &mut self.levels);
        let found = match (self.kind, from) {
            (Kind::Text | Kind::Escaped, ColumnReader::ByteArrayColumnReader(from)) => {
                fill(name, from, rows, levels, &mut self.texts)?
            }
            (Kind::Count, ColumnReader::Int64ColumnReader(from)) => {
                fill(name, from, rows, levels, &mut self.counts)?
            }
            (Kind::Number, ColumnReader::DoubleColumnReader(from)) => {
                fill(name, from, rows, levels, &mut self.numbers)?
            }
            (Kind::Truth, ColumnReader::BoolColumnReader(from)) => {
                fill(name, from, rows, levels, &mut self.truths)?
            }
            _ => return Err(damaged(name, "values of another type")),
        };
        let mut next = 0;
        self.places.clear();
        self.places.extend(levels.iter().map(|level| {
            let place = if *level == 0 { ABSENT } else { next };
            next += u32::from(*level != 0);
            place
        }));
        match found < next as usize {
            true => Err(damaged(name, "fewer values than it says")),
            false => Ok(()),
        }
    }

    fn place(&self, row: usize) -> Option<usize> {
        Some(self.places[row]).filter(|&place| place != ABSENT).map(|place| place as usize)
    }

    /// The bytes of a row's words, of which nobody knows yet whether they are UTF-8; none where there are none.
    pub fn bytes(&self, row: usize) -> &[u8] {
        self.place(row).map_or(&[], |place| self.texts[place].data())
    }

    /// The words of a row, as they stand in the file; none where there are none.
    fn text(&self, row: usize) -> Result<&str, Unfit> {
        let wrong = |_| Unfit::new(self.name, "text that is not UTF-8");
        std::str::from_utf8(self.bytes(row)).map_err(wrong)
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
    ///
    /// # Errors
    /// Words that are not UTF-8.
    pub fn cell(&self, row: usize) -> Result<Cell, Unfit> {
        Ok(match (self.kind, self.place(row)) {
            (Kind::Text, _) => Cell::Text(self.text(row)?.to_owned()),
            (Kind::Escaped, _) => Cell::Text(escape(self.text(row)?)),
            (_, None) => Cell::Nothing,
            (Kind::Count, Some(place)) => Cell::Count(self.counts[place].cast_unsigned()),
            (Kind::Number, Some(place)) => Cell::Number(self.numbers[place]),
            (Kind::Truth, Some(place)) => Cell::Truth(self.truths[place]),
        })
    }

    fn bits(&self, place: usize) -> u64 {
        match self.kind {
            Kind::Number => self.numbers[place].to_bits(),
            Kind::Truth => u64::from(self.truths[place]),
            _ => self.counts[place].cast_unsigned(),
        }
    }

    /// The value of a row, to be compared with others'; `None` where there is none.
    pub fn keep(&self, row: usize) -> Option<Kept> {
        let place = self.place(row)?;
        Some(match self.kind {
            Kind::Text | Kind::Escaped => Kept::Text(self.texts[place].data().into()),
            _ => Kept::Bits(self.bits(place)),
        })
    }

    /// Whether a row has this value, which was kept of a row of this column.
    pub fn is(&self, row: usize, kept: &Kept) -> bool {
        self.place(row).is_some_and(|place| match kept {
            Kept::Text(text) => self.texts[place].data() == &**text,
            Kept::Bits(bits) => self.bits(place) == *bits,
        })
    }
}

fn damaged(name: &str, what: &str) -> ParquetError {
    ParquetError::General(format!("column {name} holds {what}"))
}

/// The next rows of a column, in place of what the vectors held; returns how many values that were.
fn fill<T: DataType>(
    name: &str,
    from: &mut ColumnReaderImpl<T>,
    rows: usize,
    levels: &mut Vec<i16>,
    values: &mut Vec<T::T>,
) -> Result<usize> {
    levels.clear();
    values.clear();
    while levels.len() < rows {
        let (read, ..) = from.read_records(rows - levels.len(), Some(levels), None, values)?;
        if read == 0 {
            return Err(damaged(name, "fewer values than there are rows"));
        }
    }
    Ok(values.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_that_are_not_utf_8_are_an_error_that_names_the_column() {
        let mut kernel = Values::new("kernel");
        kernel.places.push(0);
        kernel.texts.push(ByteArray::from(vec![b'a', 0xff]));
        let refused = kernel.cell(0).unwrap_err();
        assert_eq!((refused.column, &*refused.reason), ("kernel", "text that is not UTF-8"));
        kernel.texts[0] = "a;b".into();
        assert_eq!(kernel.cell(0).unwrap(), Cell::Text("a;b".to_owned()));
    }

    #[test]
    fn a_row_has_a_value_that_was_kept_only_if_it_is_the_same() {
        let mut time = Values::new("time_median_ns");
        time.places = vec![0, ABSENT, 1, 2];
        time.numbers = vec![1.5, 2.5, 1.5];
        let kept = time.keep(0).unwrap();
        assert_eq!([0, 1, 2, 3].map(|row| time.is(row, &kept)), [true, false, false, true]);
        assert_eq!(time.keep(1), None);
    }
}
