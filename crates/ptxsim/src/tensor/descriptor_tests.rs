//! Canonical layouts of PTX ISA 9.7.15.5.1.2.1.3 as data, evaluated as CuTe evaluates a layout, against the module.

use super::*;
use crate::tensor::swizzle::swizzle;

/// What a stride is a multiple of.
#[derive(Clone, Copy)]
enum Unit {
    /// The element.
    One,
    /// T elements: 16 bytes.
    T,
    /// The leading-dimension byte offset.
    Lbo,
    /// The stride-dimension byte offset.
    Sbo,
}
use Unit::*;

/// A mode of a CuTe layout: extents (0: T, and the outermost is open), each with a stride.
type Mode = &'static [(u32, u32, Unit)];

/// Majorness, descriptor bits 62–63, modes of mn and of k, B of `Swizzle<B,4,3>`: the rows of the ISA's table.
const CANONICAL: [(Major, u64, Mode, Mode, u32); 8] = [
    // ((T,1,m),(8,k)):((1,T,SBO),(1T,LBO))
    (Major::Mn, 0, &[(0, 1, One), (1, 1, T), (9, 1, Sbo)], &[(8, 1, T), (9, 1, Lbo)], 0),
    // ((T,2,m),(8,k)):((1,T,LBO),(2T,SBO))
    (Major::Mn, 3, &[(0, 1, One), (2, 1, T), (9, 1, Lbo)], &[(8, 2, T), (9, 1, Sbo)], 1),
    // ((T,4,m),(8,k)):((1,T,LBO),(4T,SBO))
    (Major::Mn, 2, &[(0, 1, One), (4, 1, T), (9, 1, Lbo)], &[(8, 4, T), (9, 1, Sbo)], 2),
    // ((T,8,m),(8,k)):((1,T,LBO),(8T,SBO))
    (Major::Mn, 1, &[(0, 1, One), (8, 1, T), (9, 1, Lbo)], &[(8, 8, T), (9, 1, Sbo)], 3),
    // ((8,m),(T,2k)):((1T,SBO),(1,LBO))
    (Major::K, 0, &[(8, 1, T), (9, 1, Sbo)], &[(0, 1, One), (9, 1, Lbo)], 0),
    // ((8,m),(T,2k)):((2T,SBO),(1,T))
    (Major::K, 3, &[(8, 2, T), (9, 1, Sbo)], &[(0, 1, One), (9, 1, T)], 1),
    // ((8,m),(T,2k)):((4T,SBO),(1,T))
    (Major::K, 2, &[(8, 4, T), (9, 1, Sbo)], &[(0, 1, One), (9, 1, T)], 2),
    // ((8,m),(T,2k)):((8T,SBO),(1,T))
    (Major::K, 1, &[(8, 8, T), (9, 1, Sbo)], &[(0, 1, One), (9, 1, T)], 3),
];

fn along(mode: Mode, mut index: u32, t: u32, size: u32, lbo: u32, sbo: u32) -> u32 {
    let mut bytes = 0;
    for (i, &(extent, times, unit)) in mode.iter().enumerate() {
        let extent = if extent == 0 { t } else { extent };
        let here = if i + 1 == mode.len() { index } else { index % extent };
        index /= extent;
        bytes += here * times * [size, t * size, lbo, sbo][unit as usize];
    }
    bytes
}

/// `Swizzle<B,4,3>` of CuTe: B bits from bit 7 on are added without carry to the B bits from bit 4 on.
fn cute(b: u32, address: u32) -> u32 {
    (0..b).fold(address, |a, bit| a ^ ((address >> (7 + bit) & 1) << (4 + bit)))
}

#[test]
fn every_element_of_every_canonical_layout_is_found() {
    // Sizes of elements with the k that a wgmma covers: 32 bytes.
    for size in [1u32, 2, 4] {
        let (t, k_extent) = (16 / size, 32 / size);
        for (major, mode, mn_mode, k_mode, b) in CANONICAL {
            if major == Major::Mn && size != 2 {
                continue;
            }
            for (start, lbo, sbo) in
                [(0u32, 2048u32, 4096u32), (0x4400, 1024, 8192), (32, 128, 256)]
            {
                let bits = (start as u64 >> 4)
                    | (lbo as u64 >> 4) << 16
                    | (sbo as u64 >> 4) << 32
                    | mode << 62;
                let descriptor = Descriptor::decode(bits);
                for mn in 0..256 {
                    for k in 0..k_extent {
                        let linear = start
                            + along(mn_mode, mn, t, size, lbo, sbo)
                            + along(k_mode, k, t, size, lbo, sbo);
                        let want = cute(b, linear);
                        let got = match major {
                            Major::K => descriptor.chunk(major, mn, k / t) + k % t * size,
                            Major::Mn => descriptor.chunk(major, k, mn / t) + mn % t * size,
                        };
                        assert_eq!(got, want, "{major:?} mode {mode} mn {mn} k {k}");
                    }
                }
            }
        }
    }
}

#[test]
fn the_worked_examples_of_the_isa_are_met() {
    // Exact layouts and encodings as printed under the table: ((8,2),(4,4)):((4,32),(1,64)) for tf32 …
    let plain = Descriptor::decode(16 << 16 | 8 << 32);
    assert_eq!((plain.leading, plain.stride, plain.swizzle), (256, 128, Swizzle::None));
    // Element (9, 5): 1·4 + 1·32 + 1 + 1·64 elements of 4 bytes.
    assert_eq!(plain.chunk(Major::K, 9, 1) + 4, 4 * (4 + 32 + 1 + 64));
    // … Swizzle<2,4,3> o ((8,4,2),(8,2)):((1,8,256),(32,512)) for bf16, MN-major with 64 bytes: element (45, 11).
    let wide = Descriptor::decode(32 << 16 | 64 << 32 | 2 << 62);
    let linear = 2 * (5 + 8 + 256 + 3 * 32 + 512);
    assert_eq!(wide.chunk(Major::Mn, 11, 5) + 10, cute(2, linear));
}

#[test]
fn the_swizzle_of_tensor_maps_is_the_swizzle_of_descriptors() {
    for (b, mode) in
        [Swizzle::None, Swizzle::B32, Swizzle::B64, Swizzle::B128].into_iter().enumerate()
    {
        for address in 0..8192 {
            assert_eq!(swizzle(address, mode), cute(b as u32, address));
        }
    }
}

#[test]
fn a_step_along_k_inside_the_pattern_keeps_the_pattern() {
    let whole = Descriptor::decode(64 << 32 | 1 << 62);
    let stepped = Descriptor::decode(2 | 64 << 32 | 1 << 62);
    for row in 0..64 {
        for chunk in 0..2 {
            assert_eq!(stepped.chunk(Major::K, row, chunk), whole.chunk(Major::K, row, chunk + 2));
        }
    }
}

#[test]
fn a_base_offset_undoes_a_pattern_that_starts_between_its_boundaries() {
    // The pattern starts at 0x280, five lines after a boundary of 1024 bytes: (0x280 >> 7) & 7 = 5.
    let moved = Descriptor::decode(0x28 | 64 << 32 | 5 << 49 | 1 << 62);
    let aligned = Descriptor::decode(64 << 32 | 1 << 62);
    for row in 0..16 {
        assert_eq!(
            moved.chunk(Major::K, row, 1),
            aligned.chunk(Major::K, row, 1) + 0x280,
            "row {row}"
        );
    }
}
