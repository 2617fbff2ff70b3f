//! `wmma` from memory to memory.

use crate::warp::*;

fn wmma(
    layouts: [&str; 3],
    shape: &str,
    types: [&str; 4],
    counts: [usize; 3],
    strides: [usize; 3],
) -> String {
    let [a, b, c] = layouts;
    let [sa, sb, sc] = strides;
    let product = match types[1] {
        "f16" => format!("{}.{}", types[0], types[3]),
        _ => types.join("."),
    };
    // Whole matrices: the lanes' offset is taken back.
    let back: String = (0..4).map(|i| format!("sub.s64 %rd{i}, %rd{i}, %rd39;\n")).collect();
    format!(
        "{back}mov.u32 %r1, {sa};\nmov.u32 %r2, {sb};\n\
         wmma.load.a.sync.aligned.{a}.{shape}.global.{} {}, [%rd0], %r1;\n\
         wmma.load.b.sync.aligned.{b}.{shape}.global.{} {}, [%rd1], %r2;\n\
         wmma.load.c.sync.aligned.{c}.{shape}.global.{} {}, [%rd2], {sc};\n\
         wmma.mma.sync.aligned.{a}.{b}.{shape}.{product} {}, {}, {}, {};\n\
         wmma.store.d.sync.aligned.{c}.{shape}.global.{} [%rd3], {}, {sc};\n",
        types[1],
        list("r", 10, counts[0]),
        types[2],
        list("r", 20, counts[1]),
        types[3],
        list("r", 30, counts[2]),
        list("r", 40, counts[2]),
        list("r", 10, counts[0]),
        list("r", 20, counts[1]),
        list("r", 30, counts[2]),
        types[0],
        list("r", 40, counts[2]),
    )
}

/// Integer matrices small enough that every type holds sums exactly.
#[test]
fn wmma_multiplies_matrices_in_memory_in_every_layout_and_shape() {
    for (m, n) in [(16usize, 16usize), (32, 8), (8, 32)] {
        let k = 16;
        for code in 0..16 {
            let layouts = [0, 1, 2].map(|bit| if code >> bit & 1 == 0 { "row" } else { "col" });
            let integers = code >> 3 == 1;
            let value = |i: usize, salt: usize| ((i * 7 + salt) % 5) as i32 - 2;
            let place = |layout: &str, row: usize, column: usize, stride: usize| {
                if layout == "row" { row * stride + column } else { column * stride + row }
            };
            // Strides longer than the matrices.
            let strides = [
                if layouts[0] == "row" { k } else { m } + 16,
                if layouts[1] == "row" { n } else { k } + 16,
                if layouts[2] == "row" { n } else { m } + 4,
            ];
            let bytes = if integers { 1 } else { 2 };
            let mut image = [vec![0u8; 2 * 64 * 64], vec![0u8; 2 * 64 * 64]];
            let mut put = |which: usize, at: usize, x: i32| {
                let half = [0xc000u16, 0xbc00, 0, 0x3c00, 0x4000][(x + 2) as usize];
                let encoded = if integers { [x as u8, 0] } else { half.to_le_bytes() };
                image[which][at * bytes..at * bytes + bytes].copy_from_slice(&encoded[..bytes]);
            };
            for p in 0..k {
                for i in 0..m {
                    put(0, place(layouts[0], i, p, strides[0]), value(i * k + p, 1));
                }
                for j in 0..n {
                    put(1, place(layouts[1], p, j, strides[1]), value(p * n + j, 3));
                }
            }
            let mut c = vec![0u32; 64 * 64];
            for i in 0..m {
                for j in 0..n {
                    let x = (i * n + j) as i32;
                    let bits = if integers { x as u32 } else { (x as f32).to_bits() };
                    c[place(layouts[2], i, j, strides[2])] = bits;
                }
            }
            let (types, counts) = if integers {
                (["s32", "s8", "s8", "s32"], [m / 8, n / 8, 8])
            } else {
                (["f32", "f16", "f16", "f32"], [8, 8, 8])
            };
            let shape = format!("m{m}n{n}k{k}");
            let text = entry(4, "sm_80", &wmma(layouts, &shape, types, counts, strides));
            let as_words = |bytes: &Vec<u8>| -> Vec<u32> {
                bytes.chunks_exact(4).map(|b| u32::from_le_bytes(b.try_into().unwrap())).collect()
            };
            let inputs = [as_words(&image[0]), as_words(&image[1]), c];
            let got = execute(&text, &inputs, 64 * 64).unwrap();
            for i in 0..m {
                for j in 0..n {
                    let sum: i32 = (0..k).map(|p| value(i * k + p, 1) * value(p * n + j, 3)).sum();
                    let want = sum + (i * n + j) as i32;
                    let bits = got[place(layouts[2], i, j, strides[2])];
                    let got = if integers { bits as i32 } else { f32::from_bits(bits) as i32 };
                    assert_eq!(got, want, "{shape} {layouts:?} {integers} {i} {j}");
                }
            }
        }
    }
}
