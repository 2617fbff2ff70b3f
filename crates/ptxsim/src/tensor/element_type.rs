//! Types of tensors' elements.

/// Type of a tensor's elements.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs)] // Each is named as CUDA names it.
pub enum ElementType {
    U8,
    U16,
    U32,
    S32,
    U64,
    S64,
    F16,
    Bf16,
    F32,
    F64,
}

pub(super) const TYPES: [ElementType; 10] = {
    use ElementType::*;
    [U8, U16, U32, S32, U64, S64, F16, Bf16, F32, F64]
};
impl ElementType {
    /// Bytes of an element.
    pub const fn bytes(self) -> u32 {
        use ElementType::*;
        match self {
            U8 => 1,
            U16 | F16 | Bf16 => 2,
            U32 | S32 | F32 => 4,
            U64 | S64 | F64 => 8,
        }
    }

    /// Whether elements out of bounds may be read as the NaN that `CU_TENSOR_MAP_FLOAT_OOB_FILL_NAN_REQUEST_ZERO_FMA` asks for.
    pub(super) const fn is_float(self) -> bool {
        matches!(self, ElementType::F16 | ElementType::Bf16 | ElementType::F32 | ElementType::F64)
    }
}
