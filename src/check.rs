//! The answer against the reference: NaN is wrong, and a kernel that writes nothing is wrong.

use std::fs::File;
use std::io::{BufReader, BufWriter, Read, Write};
use std::path::Path;

use crate::error::{Error, Result};
use crate::ops::{Case, DType, Expected, ExpectedPart, Inputs, Problem, Role, Tensor};
use crate::record::Check;

/// The outcome of a check with, where it failed, what was found.
#[derive(Debug, Clone, PartialEq)]
pub struct Checked {
    /// How far and with what deviation.
    pub check: Check,
    /// What is wrong, if anything.
    pub wrong: Option<String>,
}

/// Compares `outputs` with `expected`: every expected entry by its scaled error, every float for NaN, and a product that
/// was only sampled also by Freivalds' check.
pub fn check(case: &Case, inputs: &Inputs, expected: &Expected, outputs: &[Tensor]) -> Checked {
    let mut worst = Worst::default();
    let mut wrong = None;
    for part in &expected.parts {
        match outputs.iter().find(|t| t.spec.role == part.role) {
            Some(tensor) => worst.compare(part, tensor),
            None => wrong = Some(format!("there is no {:?} among the results", part.role)),
        }
    }
    for tensor in outputs {
        if let Some(index) = first_nan(tensor) {
            wrong.get_or_insert_with(|| {
                format!("{:?}[{index}] is NaN or was never written", tensor.spec.role)
            });
            worst.deviation = f64::NAN;
        }
    }
    if let (Problem::Matmul(product), false, None) = (&case.problem, expected.is_full(), &wrong) {
        let c = outputs.iter().find(|t| t.spec.role == Role::C);
        let deviation =
            c.map_or(f64::NAN, |c| product.freivalds(case.precision, inputs, c, inputs.seed));
        if !(deviation <= expected.tolerance) {
            wrong =
                Some(format!("Freivalds' check of the whole product deviates by {deviation:.3e}"));
        }
        worst.note(deviation);
    }
    let check = Check {
        full: expected.is_full(),
        deviation: worst.deviation,
        tolerance: expected.tolerance,
    };
    if !(check.deviation <= check.tolerance) {
        wrong.get_or_insert_with(|| {
            format!(
                "{}: deviation {:.3e}, tolerance {:.3e}",
                worst.place, check.deviation, check.tolerance
            )
        });
    }
    Checked { check, wrong }
}

#[derive(Default)]
struct Worst {
    deviation: f64,
    place: String,
}

impl Worst {
    /// Keeps the larger deviation; NaN is larger than everything, and stays.
    fn note(&mut self, deviation: f64) -> bool {
        let larger = !(deviation <= self.deviation) && !self.deviation.is_nan();
        if larger {
            self.deviation = deviation;
        }
        larger
    }

    fn compare(&mut self, part: &ExpectedPart, tensor: &Tensor) {
        if part.entries.is_none() && tensor.spec.len() != part.values.len() {
            self.deviation = f64::NAN;
            self.place = format!(
                "{:?} has {} entries, not {}",
                part.role,
                tensor.spec.len(),
                part.values.len()
            );
            return;
        }
        let index = |i: usize| part.entries.as_ref().map_or(i, |entries| entries[i] as usize);
        // The common formats without a choice for every entry: large results are compared at the speed of memory.
        let worst = match tensor.spec.dtype {
            DType::F32 => {
                let got = tensor.as_ref::<f32>();
                self.scan(part, |i| f64::from(got[index(i)]))
            }
            DType::Bf16 => {
                let got = tensor.as_ref::<half::bf16>();
                self.scan(part, |i| got[index(i)].to_f64())
            }
            _ => self.scan(part, |i| tensor.get(index(i))),
        };
        if let Some(i) = worst {
            let (at, want) = (index(i), part.values[i]);
            self.place = format!("{:?}[{at}] is {:e}, not {want:e}", part.role, tensor.get(at));
        }
    }

    /// Takes in the deviations of all entries of a part; the last that was larger than all before it, if any.
    fn scan(&mut self, part: &ExpectedPart, got: impl Fn(usize) -> f64) -> Option<usize> {
        let mut worst = None;
        for (i, (&want, &scale)) in part.values.iter().zip(&part.scales).enumerate() {
            let error = (got(i) - want).abs();
            // An exact match needs no scale, and a scale of 0 forgives nothing.
            let deviation = if error == 0.0 { 0.0 } else { error / scale };
            if self.note(deviation) {
                worst = Some(i);
            }
        }
        worst
    }
}

/// The first entry that is NaN (for integers: none).
fn first_nan(tensor: &Tensor) -> Option<usize> {
    use crate::ops::DType::*;
    match tensor.spec.dtype {
        F32 | Tf32 => tensor.as_ref::<f32>().iter().position(|x| x.is_nan()),
        Bf16 => tensor.as_ref::<half::bf16>().iter().position(|x| x.is_nan()),
        F16 => tensor.as_ref::<half::f16>().iter().position(|x| x.is_nan()),
        F64 => tensor.as_ref::<f64>().iter().position(|x| x.is_nan()),
        E4m3 => tensor.as_ref::<u8>().iter().position(|x| x & 0x7f == 0x7f),
        I8 | I32 => None,
    }
}

const MAGIC: &[u8; 8] = b"smexpct1";

/// Writes an expected answer for other processes of this machine; native byte order.
pub fn save_expected(path: &Path, expected: &Expected) -> Result<()> {
    let write = || -> std::io::Result<()> {
        let mut out = BufWriter::with_capacity(1 << 20, File::create(path)?);
        out.write_all(MAGIC)?;
        out.write_all(bytemuck::bytes_of(&expected.tolerance))?;
        out.write_all(bytemuck::bytes_of(&(expected.parts.len() as u64)))?;
        for part in &expected.parts {
            let role = serde_json::to_vec(&part.role)?;
            let entries = part.entries.as_deref();
            let header = [role.len() as u64, entries.is_some().into(), part.values.len() as u64];
            out.write_all(bytemuck::cast_slice(&header))?;
            out.write_all(&role)?;
            out.write_all(bytemuck::cast_slice(entries.unwrap_or(&[])))?;
            out.write_all(bytemuck::cast_slice(&part.values))?;
            out.write_all(bytemuck::cast_slice(&part.scales))?;
        }
        out.flush()
    };
    write().map_err(Error::io("write", path))
}

/// Reads what [`save_expected`] wrote.
pub fn load_expected(path: &Path) -> Result<Expected> {
    let read = || -> std::io::Result<Expected> {
        let mut input = BufReader::with_capacity(1 << 20, File::open(path)?);
        let mut magic = [0u8; 8];
        input.read_exact(&mut magic)?;
        if &magic != MAGIC {
            return Err(std::io::Error::other("not an expected answer"));
        }
        let tolerance = numbers::<f64>(&mut input, 1)?[0];
        let parts = numbers::<u64>(&mut input, 1)?[0];
        let parts = (0..parts).map(|_| {
            let header = numbers::<u64>(&mut input, 3)?;
            let mut role = vec![0u8; header[0] as usize];
            input.read_exact(&mut role)?;
            let len = header[2] as usize;
            let entries = if header[1] == 1 { Some(numbers(&mut input, len)?) } else { None };
            let values = numbers(&mut input, len)?;
            let scales = numbers(&mut input, len)?;
            Ok(ExpectedPart { role: serde_json::from_slice(&role)?, entries, values, scales })
        });
        let parts = parts.collect::<std::io::Result<_>>()?;
        Ok(Expected { tolerance, parts })
    };
    read().map_err(Error::io("read", path))
}

fn numbers<T: bytemuck::Pod>(input: &mut impl Read, len: usize) -> std::io::Result<Vec<T>> {
    let mut out = vec![T::zeroed(); len];
    input.read_exact(bytemuck::cast_slice_mut(&mut out))?;
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::{Attention, DType, Precision, TensorSpec};

    fn case() -> Case {
        Case::new(Problem::Attention(Attention::new(1, 4, 1, false)), Precision::F32)
    }

    fn expected() -> Expected {
        let part = ExpectedPart {
            role: Role::Out,
            entries: None,
            values: vec![1.0, -2.0, 0.0, 4.0],
            scales: vec![1.0, 2.0, 1.0, 4.0],
        };
        Expected { tolerance: 1e-6, parts: vec![part] }
    }

    fn output(values: [f32; 4]) -> Vec<Tensor> {
        let mut t = Tensor::poisoned(TensorSpec::new(Role::Out, DType::F32, &[4]));
        t.as_mut::<f32>().copy_from_slice(&values);
        vec![t]
    }

    fn run(expected: &Expected, outputs: &[Tensor]) -> Checked {
        let case = case();
        check(&case, &case.inputs(1), expected, outputs)
    }

    #[test]
    fn a_right_answer_passes_with_its_deviation() {
        let checked = run(&expected(), &output([1.0, -2.0, 0.0, 4.0]));
        assert_eq!(checked.wrong, None);
        assert_eq!(checked.check, Check { full: true, deviation: 0.0, tolerance: 1e-6 });
    }

    #[test]
    fn an_error_is_judged_by_its_scale() {
        assert_eq!(run(&expected(), &output([1.0, -2.0, 0.0, 4.0 + 3e-6])).wrong, None);
        let wrong = run(&expected(), &output([1.0 + 3e-6, -2.0, 0.0, 4.0])).wrong.unwrap();
        assert!(wrong.contains("Out[0]"), "{wrong}");
    }

    #[test]
    fn a_kernel_that_writes_nothing_is_wrong() {
        let untouched = vec![Tensor::poisoned(TensorSpec::new(Role::Out, DType::F32, &[4]))];
        let checked = run(&expected(), &untouched);
        assert!(checked.wrong.is_some());
        assert!(checked.check.deviation.is_nan());
    }

    #[test]
    fn one_nan_among_unsampled_entries_is_wrong() {
        let part = ExpectedPart {
            role: Role::Out,
            entries: Some(vec![0]),
            values: vec![1.0],
            scales: vec![1.0],
        };
        let sampled = Expected { tolerance: 1e-6, parts: vec![part] };
        assert_eq!(run(&sampled, &output([1.0, 9.0, 9.0, 9.0])).wrong, None);
        assert!(run(&sampled, &output([1.0, 9.0, f32::NAN, 9.0])).wrong.is_some());
    }

    #[test]
    fn a_missing_or_short_result_is_wrong() {
        assert!(run(&expected(), &[]).wrong.is_some());
        let short = vec![Tensor::zeroed(TensorSpec::new(Role::Out, DType::F32, &[3]))];
        assert!(run(&expected(), &short).wrong.is_some());
    }

    #[test]
    fn an_expected_answer_survives_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("expected");
        let mut answer = expected();
        let entries = Some(vec![3, 1, 2]);
        answer.parts.push(ExpectedPart {
            role: Role::DK,
            entries,
            values: vec![1.0; 3],
            scales: vec![2.0; 3],
        });
        save_expected(&path, &answer).unwrap();
        assert_eq!(load_expected(&path).unwrap(), answer);
        std::fs::write(&path, b"smexpct1 cut").unwrap();
        assert!(load_expected(&path).is_err());
    }
}
