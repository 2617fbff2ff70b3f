//! Tensor maps, encoded by the driver: what a copy by TMA needs to know of a tensor.

use std::ffi::c_void;

use cudarc::driver::sys;
use cudarc::driver::sys::{CUtensorMapDataType_enum as Type, CUtensorMapSwizzle_enum as Spread};
use ptxsim::conformance::Map;
use ptxsim::tensor::map::{ElementType, Im2col, Tiled};
use ptxsim::tensor::swizzle::Swizzle;

use super::check;
use crate::device::cuda::driver::Address;
use crate::error::Result;

/// The 128 bytes of a map of a tensor in the buffer at `buffer`.
///
/// # Errors
/// Where the driver refuses it: strides, sizes or addresses that the hardware does not take.
pub fn encode(map: &Map, buffer: Address) -> Result<[u8; 128]> {
    let mut encoded = sys::CUtensorMap { opaque: [0; 16] };
    let status = match map {
        Map::Tiled(tiled) => encode_tiled(&mut encoded, tiled, buffer),
        Map::Im2col(im2col) => encode_im2col(&mut encoded, im2col, buffer),
    };
    check(status, "encode a tensor map")?;
    Ok(bytemuck::cast(encoded.opaque))
}

fn encode_tiled(encoded: &mut sys::CUtensorMap, map: &Tiled, buffer: Address) -> sys::CUresult {
    let rank = map.dims.len();
    assert!(map.strides.len() + 1 == rank && map.tile.len() == rank, "lists of one rank");
    let steps = steps(&map.element_strides, rank);
    // SAFETY: every list is as long as the rank (strides one shorter), which was just asserted; the driver only computes.
    unsafe {
        sys::cuTensorMapEncodeTiled(
            encoded,
            data_type(map.element),
            rank as u32,
            buffer.offset(map.address.0).0 as *mut c_void,
            map.dims.as_ptr(),
            map.strides.as_ptr(),
            map.tile.as_ptr(),
            steps.as_ptr(),
            sys::CUtensorMapInterleave_enum::CU_TENSOR_MAP_INTERLEAVE_NONE,
            spread(map.swizzle),
            sys::CUtensorMapL2promotion_enum::CU_TENSOR_MAP_L2_PROMOTION_L2_128B,
            fill(map.fill_nan),
        )
    }
}

fn encode_im2col(encoded: &mut sys::CUtensorMap, map: &Im2col, buffer: Address) -> sys::CUresult {
    let rank = map.dims.len();
    assert!(rank >= 3 && map.strides.len() + 1 == rank, "lists of one rank");
    assert!(map.lower.len() + 2 == rank && map.upper.len() + 2 == rank, "corners of one rank");
    let steps = steps(&map.element_strides, rank);
    // SAFETY: every list is as long as the rank (strides one shorter, corners two), which was just asserted; the driver only
    // computes.
    unsafe {
        sys::cuTensorMapEncodeIm2col(
            encoded,
            data_type(map.element),
            rank as u32,
            buffer.offset(map.address.0).0 as *mut c_void,
            map.dims.as_ptr(),
            map.strides.as_ptr(),
            map.lower.as_ptr(),
            map.upper.as_ptr(),
            map.channels,
            map.pixels,
            steps.as_ptr(),
            sys::CUtensorMapInterleave_enum::CU_TENSOR_MAP_INTERLEAVE_NONE,
            spread(map.swizzle),
            sys::CUtensorMapL2promotion_enum::CU_TENSOR_MAP_L2_PROMOTION_L2_128B,
            fill(map.fill_nan),
        )
    }
}

/// Steps between elements along every dimension; none given stands for ones.
fn steps(given: &[u32], rank: usize) -> Vec<u32> {
    let steps = if given.is_empty() { vec![1; rank] } else { given.to_vec() };
    assert_eq!(steps.len(), rank, "a step along each dimension");
    steps
}

fn data_type(element: ElementType) -> Type {
    match element {
        ElementType::U8 => Type::CU_TENSOR_MAP_DATA_TYPE_UINT8,
        ElementType::U16 => Type::CU_TENSOR_MAP_DATA_TYPE_UINT16,
        ElementType::U32 => Type::CU_TENSOR_MAP_DATA_TYPE_UINT32,
        ElementType::S32 => Type::CU_TENSOR_MAP_DATA_TYPE_INT32,
        ElementType::U64 => Type::CU_TENSOR_MAP_DATA_TYPE_UINT64,
        ElementType::S64 => Type::CU_TENSOR_MAP_DATA_TYPE_INT64,
        ElementType::F16 => Type::CU_TENSOR_MAP_DATA_TYPE_FLOAT16,
        ElementType::Bf16 => Type::CU_TENSOR_MAP_DATA_TYPE_BFLOAT16,
        ElementType::F32 => Type::CU_TENSOR_MAP_DATA_TYPE_FLOAT32,
        ElementType::F64 => Type::CU_TENSOR_MAP_DATA_TYPE_FLOAT64,
    }
}

fn spread(swizzle: Swizzle) -> Spread {
    match swizzle {
        Swizzle::None => Spread::CU_TENSOR_MAP_SWIZZLE_NONE,
        Swizzle::B32 => Spread::CU_TENSOR_MAP_SWIZZLE_32B,
        Swizzle::B64 => Spread::CU_TENSOR_MAP_SWIZZLE_64B,
        Swizzle::B128 => Spread::CU_TENSOR_MAP_SWIZZLE_128B,
    }
}

fn fill(nan: bool) -> sys::CUtensorMapFloatOOBfill {
    use sys::CUtensorMapFloatOOBfill_enum as Fill;
    if nan {
        Fill::CU_TENSOR_MAP_FLOAT_OOB_FILL_NAN_REQUEST_ZERO_FMA
    } else {
        Fill::CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE
    }
}
