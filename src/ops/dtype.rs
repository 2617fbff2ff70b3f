//! Number formats, and which of them a case uses where.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A number format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DType {
    /// IEEE 754 binary64.
    F64,
    /// IEEE 754 binary32.
    F32,
    /// NVIDIA's 19-bit format, stored in 32.
    Tf32,
    /// The upper half of an f32.
    Bf16,
    /// IEEE 754 binary16.
    F16,
    /// 8-bit float, 4 exponent and 3 mantissa bits.
    E4m3,
    /// 8-bit integer.
    I8,
    /// 32-bit integer.
    I32,
}

impl DType {
    /// Every format.
    pub const ALL: [DType; 8] = [
        DType::F64,
        DType::F32,
        DType::Tf32,
        DType::Bf16,
        DType::F16,
        DType::E4m3,
        DType::I8,
        DType::I32,
    ];

    /// The size of one number, in bytes.
    pub const fn size(self) -> usize {
        match self {
            DType::F64 => 8,
            DType::F32 | DType::Tf32 | DType::I32 => 4,
            DType::Bf16 | DType::F16 => 2,
            DType::E4m3 | DType::I8 => 1,
        }
    }

    /// The name used in files and options.
    pub const fn name(self) -> &'static str {
        match self {
            DType::F64 => "f64",
            DType::F32 => "f32",
            DType::Tf32 => "tf32",
            DType::Bf16 => "bf16",
            DType::F16 => "f16",
            DType::E4m3 => "e4m3",
            DType::I8 => "i8",
            DType::I32 => "i32",
        }
    }

    /// The largest relative error of rounding to nearest; 0 for integers.
    pub const fn unit_roundoff(self) -> f64 {
        match self {
            DType::F64 => 1.0 / (1u64 << 53) as f64,
            DType::F32 => 1.0 / (1u64 << 24) as f64,
            DType::Tf32 | DType::F16 => 1.0 / (1u64 << 11) as f64,
            DType::Bf16 => 1.0 / (1u64 << 8) as f64,
            DType::E4m3 => 1.0 / (1u64 << 4) as f64,
            DType::I8 | DType::I32 => 0.0,
        }
    }

    /// Whether it is an integer format, whose results are compared exactly.
    pub const fn is_integer(self) -> bool {
        matches!(self, DType::I8 | DType::I32)
    }
}

impl fmt::Display for DType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for DType {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        DType::ALL.into_iter().find(|d| d.name() == text).ok_or_else(|| {
            format!("unknown dtype `{text}`; known are f64, f32, tf32, bf16, f16, e4m3, i8, i32")
        })
    }
}

/// The formats of inputs, accumulation, output and state.
///
/// `state` is what an op keeps from call to call: the moments of an optimizer, the KV cache of a decode; `None` where
/// there is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Precision {
    /// Operands.
    pub inputs: DType,
    /// Sums.
    pub accumulate: DType,
    /// Results.
    pub output: DType,
    /// Optimizer moments or KV cache.
    pub state: Option<DType>,
}

impl Precision {
    /// f32 throughout.
    pub const F32: Precision =
        Precision { inputs: DType::F32, accumulate: DType::F32, output: DType::F32, state: None };
    /// bf16 operands and results, f32 sums.
    pub const BF16: Precision =
        Precision { inputs: DType::Bf16, accumulate: DType::F32, output: DType::Bf16, state: None };
    /// bf16 operands, f32 sums and results (what BLAS libraries' `sbgemm` computes).
    pub const BF16_F32: Precision =
        Precision { inputs: DType::Bf16, accumulate: DType::F32, output: DType::F32, state: None };
    /// f32 operands that are rounded to tf32 as they are read, f32 sums and results.
    pub const TF32: Precision =
        Precision { inputs: DType::Tf32, accumulate: DType::F32, output: DType::F32, state: None };
    /// f16 operands and results, f32 sums.
    pub const F16: Precision =
        Precision { inputs: DType::F16, accumulate: DType::F32, output: DType::F16, state: None };
    /// 8-bit floats, f32 sums, bf16 results.
    pub const E4M3: Precision =
        Precision { inputs: DType::E4m3, accumulate: DType::F32, output: DType::Bf16, state: None };
    /// int8 operands, i32 sums and results.
    pub const INT8: Precision =
        Precision { inputs: DType::I8, accumulate: DType::I32, output: DType::I32, state: None };

    /// The same with a state of `dtype`.
    pub const fn with_state(self, dtype: DType) -> Self {
        Precision { state: Some(dtype), ..self }
    }
}

/// `f32`, `bf16`, `bf16-f32`, `int8`, or inputs-accumulate-output in full; a state follows after `+`.
impl fmt::Display for Precision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let base = Precision { state: None, ..*self };
        let mut name = match base {
            Precision::F32 => "f32".to_owned(),
            Precision::BF16 => "bf16".to_owned(),
            Precision::BF16_F32 => "bf16-f32".to_owned(),
            Precision::INT8 => "int8".to_owned(),
            p => format!("{}-{}-{}", p.inputs, p.accumulate, p.output),
        };
        if let Some(state) = self.state {
            name.push_str(&format!("+{state}"));
        }
        f.pad(&name)
    }
}

impl FromStr for Precision {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let (base, state) = match text.split_once('+') {
            Some((base, state)) => (base, Some(state.parse()?)),
            None => (text, None),
        };
        let precision = match base {
            "f32" => Precision::F32,
            "bf16" => Precision::BF16,
            "bf16-f32" => Precision::BF16_F32,
            "int8" | "i8" => Precision::INT8,
            "tf32" => Precision::TF32,
            "f16" => Precision::F16,
            "e4m3" => Precision::E4M3,
            full => match full.split('-').collect::<Vec<_>>()[..] {
                [inputs, accumulate, output] => Precision {
                    inputs: inputs.parse()?,
                    accumulate: accumulate.parse()?,
                    output: output.parse()?,
                    state: None,
                },
                _ => {
                    return Err(format!(
                        "unknown dtype `{text}`; use f32, tf32, bf16, bf16-f32, f16, e4m3, int8, or inputs-accumulate-output such as \
                         bf16-f32-f32, with +f32 for the dtype of optimizer state or KV cache"
                    ));
                }
            },
        };
        Ok(Precision { state, ..precision })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn precision_names_read_back_as_written() {
        for p in [
            Precision::F32,
            Precision::BF16,
            Precision::BF16_F32,
            Precision::INT8,
            Precision::BF16.with_state(DType::F32),
            Precision {
                inputs: DType::F16,
                accumulate: DType::F32,
                output: DType::F16,
                state: None,
            },
        ] {
            assert_eq!(p.to_string().parse::<Precision>().unwrap(), p);
        }
        assert_eq!("tf32".parse::<Precision>().unwrap().to_string(), "tf32-f32-f32");
        assert!("b16".parse::<Precision>().unwrap_err().contains("unknown dtype"));
    }
}
