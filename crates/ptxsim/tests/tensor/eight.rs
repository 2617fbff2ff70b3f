//! `ldmatrix`, `stmatrix` and `movmatrix`.

use crate::warp::*;

/// `ldmatrix` of rows that hold 256·(matrix) + 16·row + column, the rows of matrix i stored in reverse.
#[test]
fn ldmatrix_takes_row_r_of_matrix_i_from_the_address_of_lane_8i_plus_r() {
    for (count, trans) in [(1, ""), (2, ""), (4, ""), (1, ".trans"), (2, ".trans"), (4, ".trans")] {
        let body = format!(
            "mov.u32 %r1, tile;\nshl.b32 %r2, %r0, 4;\nadd.u32 %r2, %r1, %r2;\n\
             ld.global.b32 %r3, [%rd0];\nst.shared.b32 [%r2], %r3;\n\
             ld.global.b32 %r3, [%rd0+128];\nst.shared.b32 [%r2+4], %r3;\n\
             ld.global.b32 %r3, [%rd0+256];\nst.shared.b32 [%r2+8], %r3;\n\
             ld.global.b32 %r3, [%rd0+384];\nst.shared.b32 [%r2+12], %r3;\nbar.warp.sync -1;\n\
             xor.b32 %r4, %r0, 7;\nshl.b32 %r4, %r4, 4;\nadd.u32 %r4, %r1, %r4;\n\
             ldmatrix.sync.aligned.m8n8.x{count}{trans}.shared.b16 {}, [%r4];\n{}",
            list("r", 10, count),
            store(1, 10, count)
        );
        let element = |line: usize, column: usize| (16 * line + column) as u32;
        let input: Vec<u32> = (0..128)
            .map(|i| {
                let (word, line) = (i / 32, i % 32);
                element(line, 2 * word) | element(line, 2 * word + 1) << 16
            })
            .collect();
        let got = execute(&entry(2, "sm_80", &body), &[input], 32 * count).unwrap();
        for matrix in 0..count {
            for lane in 0..32 {
                let (r, q) = (lane / 4, lane % 4 * 2);
                let at = |row: usize, column: usize| element((8 * matrix + row) ^ 7, column);
                let want = if trans.is_empty() {
                    at(r, q) | at(r, q + 1) << 16
                } else {
                    at(q, r) | at(q + 1, r) << 16
                };
                assert_eq!(got[32 * matrix + lane], want, "x{count}{trans} {matrix} {lane}");
            }
        }
    }
}

#[test]
fn stmatrix_undoes_ldmatrix_and_movmatrix_transposes() {
    for trans in ["", ".trans"] {
        let body = format!(
            "mov.u32 %r1, tile;\nshl.b32 %r2, %r0, 4;\nadd.u32 %r2, %r1, %r2;\n{}\
             stmatrix.sync.aligned.m8n8.x4{trans}.shared.b16 [%r2], {};\nbar.warp.sync -1;\n\
             ldmatrix.sync.aligned.m8n8.x4{trans}.shared.b16 {}, [%r2];\n\
             movmatrix.sync.aligned.m8n8.trans.b16 %r24, %r20;\n{}",
            load(0, 10, 4),
            list("r", 10, 4),
            list("r", 20, 4),
            store(1, 20, 5)
        );
        let input = words(&mut Random(3), 4);
        let got = execute(&entry(2, "sm_90", &body), std::slice::from_ref(&input), 160).unwrap();
        assert_eq!(got[..128], input);
        for lane in 0..32 {
            let element = |row: usize, column: usize| {
                input[row * 4 + column / 2] >> (16 * (column % 2)) & 0xffff
            };
            let (r, q) = (lane / 4, lane % 4 * 2);
            assert_eq!(got[128 + lane], element(q, r) | element(q + 1, r) << 16);
        }
    }
}
