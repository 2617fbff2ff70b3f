//! A user's own case list: a CSV with the columns of `records.csv` that matter.

use std::collections::HashMap;
use std::path::Path;
use std::str::FromStr;

use super::Planned;
use crate::error::{Error, Result};
use crate::ops::{
    Attention, Cache, Case, Groups, Matmul, Pass, Precision, Problem, Regime, Rule, Transpose,
    Update,
};

/// The columns that a case list may have; `op` must be there.
const COLUMNS: &[&str] = &[
    "op",
    "model",
    "dtype",
    "pass",
    "threads",
    "cache",
    "transpose",
    "m",
    "n",
    "k",
    "batch",
    "heads",
    "kv_heads",
    "seq_q",
    "seq_kv",
    "head_dim_qk",
    "head_dim_v",
    "causal",
    "params",
    "groups",
    "routing_skew",
];

/// Reads a case list. An empty or absent cell takes its default: dtype f32, pass fwd, all `threads`, cache warm, transpose
/// nn, batch 1, kv_heads as heads, seq_q as seq_kv (1 in a decode), head_dim_v as head_dim_qk, causal true.
///
/// # Errors
/// Names file and line of the first cell that makes no sense; a list without cases is an error.
pub fn read(path: &Path, threads: usize) -> Result<Vec<Planned>> {
    let file = std::fs::File::open(path).map_err(Error::io("read", path))?;
    parse(file, path, threads)
}

fn parse(input: impl std::io::Read, path: &Path, threads: usize) -> Result<Vec<Planned>> {
    let mut reader =
        csv::ReaderBuilder::new().trim(csv::Trim::All).comment(Some(b'#')).from_reader(input);
    let at = |error: csv::Error| {
        let line = error.position().map(csv::Position::line);
        Error::format(path, line, error.to_string())
    };
    let header = reader.headers().map_err(at)?.clone();
    for (i, column) in header.iter().enumerate() {
        if !COLUMNS.contains(&column) {
            let hint = super::select::nearest(column, COLUMNS.iter().map(|c| c.to_string()));
            let known = COLUMNS.join(", ");
            return Err(Error::format(
                path,
                Some(1),
                format!("unknown column `{column}`{hint}; known are {known}"),
            ));
        }
        if header.iter().take(i).any(|c| c == column) {
            return Err(Error::format(
                path,
                Some(1),
                format!("the column `{column}` stands twice"),
            ));
        }
    }
    if !header.iter().any(|column| column == "op") {
        return Err(Error::format(path, Some(1), "there is no column `op`; every case needs one"));
    }
    let mut cases = Vec::new();
    for row in reader.records() {
        let row = row.map_err(at)?;
        let line = row.position().map(csv::Position::line);
        let cells: HashMap<&str, &str> =
            header.iter().zip(row.iter()).filter(|(_, cell)| !cell.is_empty()).collect();
        let planned =
            Cells(cells).planned(threads).map_err(|reason| Error::format(path, line, reason))?;
        if let Some(reason) = planned.case.invalid() {
            return Err(Error::format(path, line, reason));
        }
        cases.push(planned);
    }
    if cases.is_empty() {
        return Err(Error::format(path, None, "the list holds no case"));
    }
    Ok(cases)
}

/// The cells of a row that are not empty, by column.
struct Cells<'a>(HashMap<&'a str, &'a str>);

impl Cells<'_> {
    fn get<T: FromStr>(&self, column: &str) -> Result<Option<T>, String> {
        let read = |cell: &&str| {
            cell.parse().map_err(|_| format!("column {column}: `{cell}` makes no sense there"))
        };
        self.0.get(column).map(read).transpose()
    }

    /// A size of at least 1.
    fn size(&self, column: &str, default: Option<usize>) -> Result<usize, String> {
        match self.get::<usize>(column)? {
            Some(0) => Err(format!("column {column}: a size of 0 leaves nothing to measure")),
            Some(size) => Ok(size),
            None => {
                default.ok_or_else(|| format!("column {column} is empty, and this op needs it"))
            }
        }
    }

    fn choice<T: clap::ValueEnum>(&self, column: &str, default: T) -> Result<T, String> {
        match self.0.get(column) {
            Some(cell) => T::from_str(cell, false)
                .map_err(|_| format!("column {column}: unknown value `{cell}`")),
            None => Ok(default),
        }
    }

    fn planned(&self, threads: usize) -> Result<Planned, String> {
        let op = self.0.get("op").copied().ok_or("column op is empty")?;
        let precision = match self.0.get("dtype") {
            Some(text) => text.parse::<Precision>()?,
            None => Precision::F32,
        };
        let pass = self.choice("pass", Pass::Forward)?;
        let (problem, precision) = match op {
            "matmul" => {
                let groups = match self.get::<usize>("groups")? {
                    Some(experts) => {
                        Some(Groups { experts, skew: self.get("routing_skew")?.unwrap_or(0.0) })
                    }
                    None => None,
                };
                let product = Matmul {
                    batch: self.size("batch", Some(1))?,
                    transpose: self.choice("transpose", Transpose::Nn)?,
                    groups,
                    ..Matmul::new(
                        self.size("m", None)?,
                        self.size("n", None)?,
                        self.size("k", None)?,
                    )
                };
                (Problem::Matmul(product), precision)
            }
            "attention" => {
                let (heads, seq_kv) = (self.size("heads", None)?, self.size("seq_kv", None)?);
                let head_dim_qk = self.size("head_dim_qk", None)?;
                let attention = Attention {
                    batch: self.size("batch", Some(1))?,
                    heads,
                    kv_heads: self.size("kv_heads", Some(heads))?,
                    seq_q: self
                        .size("seq_q", Some(if pass == Pass::Decode { 1 } else { seq_kv }))?,
                    seq_kv,
                    head_dim_qk,
                    head_dim_v: self.size("head_dim_v", Some(head_dim_qk))?,
                    causal: self.get("causal")?.unwrap_or(true),
                };
                (Problem::Attention(attention), precision)
            }
            other => match Rule::ALL.into_iter().find(|rule| rule.name() == other) {
                Some(rule) => {
                    let update = Update { rule, params: self.size("params", None)? };
                    (Problem::Update(update), rule.precision(precision))
                }
                None => {
                    let names = Problem::ops().into_iter().map(|(op, _)| op.to_owned());
                    return Err(format!(
                        "unknown op `{other}`{}",
                        super::select::nearest(other, names)
                    ));
                }
            },
        };
        let case = Case {
            problem,
            precision,
            pass: if matches!(problem, Problem::Update(_)) { Pass::Forward } else { pass },
            threads: self.size("threads", Some(threads))?,
            cache: self.choice("cache", Cache::Warm)?,
            regime: Regime::Burst,
        };
        let models = self
            .0
            .get("model")
            .map(|m| m.split(';').map(str::to_owned).collect())
            .unwrap_or_default();
        Ok(Planned::of_models(case, models))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parse_text(text: &str) -> Result<Vec<Planned>> {
        parse(text.as_bytes(), Path::new("cases.csv"), 2)
    }

    #[test]
    fn defaults_fill_what_a_list_leaves_out() {
        let cases = parse_text("op,m,n,k,params,seq_kv,heads,head_dim_qk,pass\nmatmul,2,3,4,,,,,\nadam,,,,99,,,,\nattention,,,,,64,4,32,decode\n").unwrap();
        let keys: Vec<String> = cases.iter().map(|p| p.case.key()).collect();
        assert_eq!(
            keys,
            [
                "matmul/nn/m2-n3-k4/f32/fwd/t2/warm/burst",
                "adam/p99/f32+f32/t2/warm/burst",
                "attention/b1-h4-q1-s64-d32-causal/f32/decode/t2/warm/burst"
            ]
        );
    }

    #[test]
    fn errors_name_file_line_and_column() {
        for (text, part) in [
            ("op,m,n,k\nmatmul,2,3,\n", "cases.csv:2: column k is empty"),
            ("op,m,n,k\nmatmul,2,3,4\nmatmul,2,x,4\n", "cases.csv:3: column n: `x`"),
            ("op,m,n,k\nmatmul,2,0,4\n", "size of 0"),
            ("op,size\nmatmul,2\n", "unknown column `size`"),
            ("m,n,k\n1,2,3\n", "no column `op`"),
            ("op,op\nmatmul,matmul\n", "stands twice"),
            ("op,m,n,k\n", "holds no case"),
            ("op,m,n,k\nmatmull,2,3,4\n", "did you mean `matmul`"),
            ("op,heads,kv_heads,seq_kv,head_dim_qk\nattention,8,3,64,64\n", "cannot share"),
            ("op,m,n,k\nmatmul,2,3\n", "cases.csv:2"),
        ] {
            let error = parse_text(text).unwrap_err().to_string();
            assert!(error.contains(part), "{text:?} gives {error}");
        }
    }

    proptest! {
        #[test]
        fn no_file_makes_the_reader_panic(text in "(op|m|n|k|,|\n|[0-9]|matmul|adam|\\PC){0,60}") {
            let _ = parse_text(&text);
        }
    }
}
