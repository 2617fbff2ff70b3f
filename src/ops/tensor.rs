//! Tensors: typed, aligned memory with a role, and the expected answer that results are checked against.

use std::sync::Arc;

use bytemuck::Pod;
use serde::{Deserialize, Serialize};

use super::DType;
use crate::device::memory::AlignedBytes;
use crate::units::Bytes;

/// What a tensor is to its op.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Left operand of a product.
    A,
    /// Right operand of a product.
    B,
    /// Result of a product.
    C,
    /// Queries.
    Q,
    /// Keys (in a decode: the key cache).
    K,
    /// Values (in a decode: the value cache).
    V,
    /// Attention output.
    Out,
    /// Log-sum-exp of each attention row.
    Lse,
    /// Gradient of the attention output.
    DOut,
    /// Gradient of the queries.
    DQ,
    /// Gradient of the keys.
    DK,
    /// Gradient of the values.
    DV,
    /// Parameters of a model, updated in place.
    Params,
    /// Gradients of the parameters.
    Grads,
    /// First moment, momentum or accumulator, updated in place.
    Moment1,
    /// Second moment, updated in place.
    Moment2,
    /// Plain memory of a peak probe.
    Stream,
}

/// Role, dtype and shape of a tensor, before it has memory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TensorSpec {
    /// What it is to its op.
    pub role: Role,
    /// Its number format.
    pub dtype: DType,
    /// Its sizes, outermost first; memory is dense and row-major.
    pub shape: Vec<usize>,
    /// Whether a launch updates it in place (it is then both an operand and a result).
    pub in_out: bool,
}

impl TensorSpec {
    /// A tensor that is only read or only written.
    pub fn new(role: Role, dtype: DType, shape: &[usize]) -> Self {
        TensorSpec { role, dtype, shape: shape.to_vec(), in_out: false }
    }

    /// A tensor that is updated in place.
    pub fn in_out(role: Role, dtype: DType, shape: &[usize]) -> Self {
        TensorSpec { in_out: true, ..TensorSpec::new(role, dtype, shape) }
    }

    /// The number of elements.
    pub fn len(&self) -> usize {
        self.shape.iter().product()
    }

    /// Whether it has no elements.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The memory that it takes.
    pub fn bytes(&self) -> Bytes {
        Bytes(self.len() as u64 * self.dtype.size() as u64)
    }
}

/// A tensor in host memory.
#[derive(Debug, Clone)]
pub struct Tensor {
    /// Role, dtype and shape.
    pub spec: TensorSpec,
    /// Its elements, dense and row-major, aligned to at least 64 bytes.
    pub bytes: AlignedBytes,
}

impl Tensor {
    /// A tensor of zero bytes.
    pub fn zeroed(spec: TensorSpec) -> Self {
        let bytes = AlignedBytes::zeroed(spec.bytes().0 as usize);
        Tensor { spec, bytes }
    }

    /// A tensor that starts as NaN (integers: a pattern that no small sum reaches), so that an entry which is never
    /// written cannot pass for an answer.
    pub fn poisoned(spec: TensorSpec) -> Self {
        let mut tensor = Tensor::zeroed(spec);
        tensor.poison();
        tensor
    }

    /// Overwrites every element with NaN, or with the smallest integer.
    pub fn poison(&mut self) {
        match self.spec.dtype {
            DType::F64 => self.as_mut::<f64>().fill(f64::NAN),
            DType::F32 | DType::Tf32 => self.as_mut::<f32>().fill(f32::NAN),
            DType::Bf16 => self.as_mut::<half::bf16>().fill(half::bf16::NAN),
            DType::F16 => self.as_mut::<half::f16>().fill(half::f16::NAN),
            DType::E4m3 => self.as_mut::<u8>().fill(0x7f),
            DType::I8 => self.as_mut::<i8>().fill(i8::MIN),
            DType::I32 => self.as_mut::<i32>().fill(i32::MIN),
        }
    }

    /// The elements as a slice; panics if `T` has another size than the dtype.
    #[expect(
        clippy::should_implement_trait,
        reason = "the element type is the caller's choice, AsRef's is fixed"
    )]
    pub fn as_ref<T: Pod>(&self) -> &[T] {
        assert_eq!(size_of::<T>(), self.spec.dtype.size(), "{:?} read as another size", self.spec);
        bytemuck::cast_slice(&self.bytes)
    }

    /// The elements as a mutable slice; panics if `T` has another size than the dtype.
    #[expect(clippy::should_implement_trait, reason = "as for as_ref")]
    pub fn as_mut<T: Pod>(&mut self) -> &mut [T] {
        assert_eq!(
            size_of::<T>(),
            self.spec.dtype.size(),
            "{:?} written as another size",
            self.spec
        );
        bytemuck::cast_slice_mut(&mut self.bytes)
    }

    /// Element `index` as f64, exactly (every supported format but i64-sized ones is exact in f64).
    pub fn get(&self, index: usize) -> f64 {
        match self.spec.dtype {
            DType::F64 => self.as_ref::<f64>()[index],
            DType::F32 | DType::Tf32 => self.as_ref::<f32>()[index].into(),
            DType::Bf16 => self.as_ref::<half::bf16>()[index].to_f64(),
            DType::F16 => self.as_ref::<half::f16>()[index].to_f64(),
            DType::E4m3 => e4m3_to_f64(self.as_ref::<u8>()[index]),
            DType::I8 => self.as_ref::<i8>()[index].into(),
            DType::I32 => self.as_ref::<i32>()[index].into(),
        }
    }

    /// All elements as f64.
    pub fn to_f64(&self) -> Vec<f64> {
        match self.spec.dtype {
            DType::F32 => self.as_ref::<f32>().iter().map(|&x| x.into()).collect(),
            DType::Bf16 => self.as_ref::<half::bf16>().iter().map(|x| x.to_f64()).collect(),
            _ => (0..self.spec.len()).map(|i| self.get(i)).collect(),
        }
    }
}

/// OCP 8-bit float e4m3: bias 7, no infinities, 0x7f and 0xff are NaN.
fn e4m3_to_f64(bits: u8) -> f64 {
    let sign = if bits & 0x80 == 0 { 1.0 } else { -1.0 };
    let (exponent, mantissa) = (i32::from(bits >> 3 & 0xf), f64::from(bits & 7));
    match (exponent, bits & 7) {
        (15, 7) => f64::NAN,
        (0, _) => sign * mantissa / 8.0 * 2f64.powi(-6),
        _ => sign * (1.0 + mantissa / 8.0) * 2f64.powi(exponent - 7),
    }
}

/// The operands of a case, in the order of [`super::Case::operands`]; cheap to share between kernels.
#[derive(Debug, Clone)]
pub struct Inputs {
    /// The seed that they were made from.
    pub seed: u64,
    /// Read-only operands and the initial values of those updated in place.
    pub tensors: Arc<Vec<Tensor>>,
}

impl Inputs {
    /// The operand with this role; panics if the op has none.
    pub fn get(&self, role: Role) -> &Tensor {
        self.tensors
            .iter()
            .find(|t| t.spec.role == role)
            .expect("the op has an operand of this role")
    }
}

/// What a right answer is: values in f64 with the scale that rounding errors are measured by.
#[derive(Debug, Clone, PartialEq)]
pub struct Expected {
    /// Largest accepted `|got − want| / scale`; 0 where integers are compared exactly.
    pub tolerance: f64,
    /// One part for each tensor that is checked.
    pub parts: Vec<ExpectedPart>,
}

/// The expected entries of one result.
#[derive(Debug, Clone, PartialEq)]
pub struct ExpectedPart {
    /// Which result.
    pub role: Role,
    /// Flat indices of the entries that were computed; `None`: all of them.
    pub entries: Option<Vec<u64>>,
    /// The right values.
    pub values: Vec<f64>,
    /// What an absolute error is divided by, one for each value (for a product Σ|a||b|); positive.
    pub scales: Vec<f64>,
}

impl Expected {
    /// Whether every entry of every result is known.
    pub fn is_full(&self) -> bool {
        self.parts.iter().all(|part| part.entries.is_none())
    }
}
