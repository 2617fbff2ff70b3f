//! A cuBLASLt that computes on the host, by layouts as the real one documents them, and has algorithms of made-up speeds.
//!
//! Its first guess is not its fastest, one of its algorithms declines when it is asked to multiply, and 8-bit operands come in the one
//! form that the library has them in before Blackwell: the first transposed, the second not, in multiples of 4 or 16.

use std::sync::Arc;

use ptxsim::{Memory, Pointer};

use super::clock;
use super::context::FakeContext;
use super::stream::Work;
use crate::device::cuda::blas::{Algorithm, Blas, Compute, Config, Gemm, HINT, Layout};
use crate::device::cuda::driver::{Address, Context, Handle};
use crate::error::{Error, Result};
use crate::ops::{DType, Role, Tensor, TensorSpec};
use crate::units::Bytes;

/// The name that its launches break by.
pub const ENTRY: &str = "cublasLtMatmul";

/// Number, share of the peak, split of k, and workspace, by its guess the fastest first; without a share it declines.
const ALGORITHMS: [(u32, Option<f64>, u32, u64); 5] = [
    (20, Some(0.4), 1, 0),
    (24, None, 1, 0),
    (66, Some(0.9), 1, 1 << 20),
    (31, Some(0.6), 3, 4 << 20),
    (6, Some(0.7), 1, 256 << 20),
];

#[derive(Debug)]
pub struct FakeBlas<'c> {
    context: &'c FakeContext,
}

impl<'c> FakeBlas<'c> {
    pub fn new(context: &'c FakeContext) -> Result<Self> {
        match context.state().stream.conditions.cublaslt {
            true => Ok(FakeBlas { context }),
            false => Err(Error::Refused(HINT.into())),
        }
    }

    fn described(&self, gemm: Handle) -> Result<Gemm> {
        let known = self.context.state().products.get(&gemm.0).copied();
        known.ok_or_else(|| failed("find a product", "the parameter is incorrect (7)"))
    }
}

fn failed(what: &str, why: &str) -> Error {
    Error::Library(format!("cuBLASLt failed to {what}: {why}"))
}

impl Blas for FakeBlas<'_> {
    fn version(&self) -> String {
        "0.0.0".into()
    }

    fn describe(&self, gemm: &Gemm) -> Result<Handle> {
        let mut state = self.context.state();
        let handle = state.handle();
        state.products.insert(handle, *gemm);
        Ok(Handle(handle))
    }

    fn algorithms(&self, gemm: Handle, workspace: Bytes, most: usize) -> Result<Vec<Algorithm>> {
        let gemm = self.described(gemm)?;
        sizes(&gemm).map_err(|why| failed("find algorithms", &why))?;
        if !supports(&gemm, self.context.attributes().capability) {
            return Ok(Vec::new());
        }
        let fitting = ALGORITHMS.iter().filter(|(.., bytes)| Bytes(*bytes) <= workspace);
        let algorithm = |&(id, _, split_k, bytes): &(u32, _, u32, u64)| Algorithm {
            opaque: [u64::from(id); 8],
            config: Config { id, tile: 20, stages: 8, split_k, ..Config::default() },
            workspace: Bytes(bytes),
            waves: 1.5,
        };
        Ok(fitting.map(algorithm).take(most).collect())
    }

    unsafe fn multiply(
        &self,
        gemm: Handle,
        algorithm: &Algorithm,
        operands: [Address; 3],
        _workspace: Address,
    ) -> Result<()> {
        let gemm = self.described(gemm)?;
        let known = ALGORITHMS.iter().find(|(id, ..)| u64::from(*id) == algorithm.opaque[0]);
        let share = known.and_then(|(_, share, ..)| *share);
        let share = share.ok_or_else(|| failed("multiply", "the operation is not supported"))?;
        let (m, n, k) = sizes(&gemm).map_err(|why| failed("multiply", &why))?;
        let tensor = gemm.a.dtype != DType::F32 || gemm.compute == Compute::Tf32;
        let batch = f64::from(gemm.d.batch);
        let (m, n, k) = (m as f64, n as f64, k as f64);
        let size = |layout: &Layout| layout.dtype.size() as f64;
        let bytes = m * k * size(&gemm.a) + k * n * size(&gemm.b) + m * n * size(&gemm.d);
        let ns = clock::product_ns(2.0 * m * n * k * batch, bytes * batch, tensor, share);
        let work = Work::Multiply(Arc::new(Multiplication { gemm, operands, ns }));
        self.context.state().enqueue(work);
        Ok(())
    }

    fn forget(&self, gemm: Handle) {
        self.context.state().products.remove(&gemm.0);
    }
}

/// m, n and k of a product whose layouts fit together, by columns.
fn sizes(gemm: &Gemm) -> std::result::Result<(u64, u64, u64), String> {
    let read = |layout: &Layout, transposed: bool| match transposed {
        false => (layout.rows, layout.columns),
        true => (layout.columns, layout.rows),
    };
    let ((m, k), (k2, n)) = (read(&gemm.a, gemm.transpose_a), read(&gemm.b, gemm.transpose_b));
    let all = [gemm.a, gemm.b, gemm.d];
    let long = |layout: &Layout| layout.ld >= layout.rows as i64 && layout.rows > 0;
    let fits = k == k2 && (m, n) == (gemm.d.rows, gemm.d.columns) && all.iter().all(long);
    let batched = all.iter().all(|layout| layout.batch == gemm.d.batch);
    match fits && batched {
        true => Ok((m, n, k)),
        false => Err(format!("an unsupported value or parameter was passed (7): {gemm:?}")),
    }
}

/// Whether the library documents this product for a GPU of this capability.
fn supports(gemm: &Gemm, capability: u32) -> bool {
    let formats = (gemm.compute, gemm.a.dtype, gemm.d.dtype);
    let multiple = match formats {
        (Compute::F32 | Compute::Tf32, DType::F32, DType::F32) => return true,
        (Compute::F32, DType::Bf16, DType::Bf16 | DType::F32) => return capability >= 80,
        (Compute::F32, DType::F16, DType::F16 | DType::F32) => return true,
        (Compute::F32, DType::E4m3, DType::Bf16 | DType::F16 | DType::F32) if capability >= 89 => {
            16
        }
        (Compute::I32, DType::I8, DType::I32) => 4,
        _ => return false,
    };
    let aligned = |layout: &Layout| layout.ld % multiple == 0 && layout.columns.is_multiple_of(4);
    gemm.transpose_a && !gemm.transpose_b && aligned(&gemm.a) && aligned(&gemm.b)
}

/// A product with its addresses.
#[derive(Debug)]
pub struct Multiplication {
    pub gemm: Gemm,
    pub operands: [Address; 3],
    /// How long it takes.
    pub ns: f64,
}

impl Multiplication {
    /// What its result depends on.
    pub fn key(&self) -> (Gemm, [Address; 3]) {
        (self.gemm, self.operands)
    }

    /// Computes it in f64, and rounds the result to its format.
    pub fn execute(&self, memory: &mut Memory) -> std::result::Result<(), String> {
        let (m, n, k) = sizes(&self.gemm)?;
        let Gemm { a, b, d, transpose_a, transpose_b, .. } = self.gemm;
        for batch in 0..d.batch as u64 {
            let first = read(memory, self.operands[0], &a, batch)?;
            let second = read(memory, self.operands[1], &b, batch)?;
            // Element (row, column) of what is stored by columns, or of its transpose.
            let at = |layout: &Layout, transposed: bool, row: u64, column: u64| match transposed {
                false => (row + column * layout.ld as u64) as usize,
                true => (column + row * layout.ld as u64) as usize,
            };
            for column in 0..n {
                let sum = |row| {
                    let term = |i| {
                        first[at(&a, transpose_a, row, i)] * second[at(&b, transpose_b, i, column)]
                    };
                    (0..k).map(term).sum::<f64>()
                };
                let bytes: Vec<u8> = (0..m).flat_map(|row| encode(d.dtype, sum(row))).collect();
                let element = batch * d.stride as u64 + column * d.ld as u64;
                let to = self.operands[2].offset(element * d.dtype.size() as u64);
                memory.write(Pointer(to.0), &bytes).map_err(|e| e.to_string())?;
            }
        }
        Ok(())
    }
}

/// One matrix as it is stored, columns and what lies between them.
fn read(
    memory: &Memory,
    at: Address,
    layout: &Layout,
    batch: u64,
) -> std::result::Result<Vec<f64>, String> {
    let size = layout.dtype.size() as u64;
    let elements = (layout.columns.max(1) - 1) * layout.ld as u64 + layout.rows;
    let from = at.offset(batch * layout.stride as u64 * size);
    let bytes = memory.read(Pointer(from.0), (elements * size) as usize);
    let mut tensor = Tensor::zeroed(TensorSpec::new(Role::A, layout.dtype, &[elements as usize]));
    tensor.bytes[..(elements * size) as usize].copy_from_slice(&bytes.map_err(|e| e.to_string())?);
    Ok(tensor.to_f64())
}

fn encode(dtype: DType, value: f64) -> Vec<u8> {
    match dtype {
        DType::Bf16 => half::bf16::from_f64(value).to_le_bytes().to_vec(),
        DType::F16 => half::f16::from_f64(value).to_le_bytes().to_vec(),
        DType::I32 => (value as i32).to_le_bytes().to_vec(),
        _ => (value as f32).to_le_bytes().to_vec(),
    }
}
