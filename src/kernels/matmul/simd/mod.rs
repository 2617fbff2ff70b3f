//! Packed panels and register tiles, on AMX, AVX-512, AVX2 or any processor.

#[cfg(target_arch = "x86_64")]
mod amx;
#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
#[cfg(target_arch = "x86_64")]
mod dots;
mod drive;
mod pack;
#[cfg(target_arch = "x86_64")]
mod pack512;
mod plan;
mod portable;
mod tile;

use super::format::{product, refuses};
use crate::device::{Isa, Pool};
use crate::kernels::{Body, CpuKernel};
use crate::ops::{Case, DType, Precision};
use drive::body;
use pack::{PlainF32, WideBf16, WideI8};
use portable::{PortableF32, PortableI32};

/// `matmul/simd`.
pub static SIMD: CpuKernel = CpuKernel {
    id: "matmul/simd",
    about: "packed panels and register tiles: AMX, AVX-512 with bf16 and int8 dot products, AVX2, or portable",
    provider: "own",
    refuses,
    build: |on, case, pool| Ok(build(on.isa, case, pool)),
    prologue: None,
};

/// The best path that the instruction set allows for the operands.
fn build(isa: Isa, case: &Case, pool: &Pool) -> Body {
    let (p, threads) = (product(case), pool.threads());
    let narrow = case.precision == Precision::BF16;
    #[cfg(target_arch = "x86_64")]
    {
        use crate::device::amx::Amx;
        use amx::{TileBf16, TileI8, Tiles};
        use avx2::{Avx2F32, Avx2I16};
        use avx512::{Avx512Bf16, Avx512F32, Avx512I8};
        use pack::PairI8;
        use pack512::{ZmmBf16, ZmmF32, ZmmI8};
        if dots::suits(&p) {
            match case.precision.inputs {
                DType::F32 if isa.avx512 => return dots::body::<avx512::F32x16>(p, narrow),
                DType::Bf16 if isa.avx512_bf16 => return dots::body::<avx512::Bf16x32>(p, narrow),
                DType::I8 if isa.avx512_vnni => return dots::body::<avx512::I8x64>(p, narrow),
                _ => {}
            }
        }
        match case.precision.inputs {
            DType::F32 if isa.avx512 => return body::<ZmmF32, Avx512F32>(p, narrow, threads),
            DType::F32 if isa.avx2 => return body::<PlainF32, Avx2F32>(p, narrow, threads),
            DType::Bf16 if isa.amx_bf16 && isa.avx512_bf16 && Amx::detect().bf16 => {
                return body::<TileBf16, Tiles<f32>>(p, narrow, threads);
            }
            DType::I8 if isa.amx_int8 && isa.avx512 && Amx::detect().int8 => {
                return body::<TileI8, Tiles<i32>>(p, narrow, threads);
            }
            DType::Bf16 if isa.avx512_bf16 => {
                return body::<ZmmBf16, Avx512Bf16>(p, narrow, threads);
            }
            DType::Bf16 if isa.avx512 => return body::<WideBf16, Avx512F32>(p, narrow, threads),
            DType::Bf16 if isa.avx2 => return body::<WideBf16, Avx2F32>(p, narrow, threads),
            DType::I8 if isa.avx512_vnni => return body::<ZmmI8, Avx512I8>(p, narrow, threads),
            DType::I8 if isa.avx2 => return body::<PairI8, Avx2I16>(p, narrow, threads),
            _ => {}
        }
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = isa;
    match case.precision.inputs {
        DType::F32 => body::<PlainF32, PortableF32>(p, narrow, threads),
        DType::Bf16 => body::<WideBf16, PortableF32>(p, narrow, threads),
        _ => body::<WideI8, PortableI32>(p, narrow, threads),
    }
}
