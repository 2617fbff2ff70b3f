//! The matmul ladder on the simulator, beyond the sizes of `verify`: where tiles end, with a batch, under several schedules, and
//! where blocks that stay take more than one tile. Needs NVRTC, as `scripts/test.sh` brings it.

mod common;

use common::right;
use scalemark::ops::{Case, Matmul, Precision, Problem, Transpose};

const TRANSPOSES: [Transpose; 3] = [Transpose::Nn, Transpose::Nt, Transpose::Tn];

fn cases(precisions: &[Precision], transposes: &[Transpose], sizes: &[[usize; 4]]) -> Vec<Case> {
    let mut cases = Vec::new();
    for &precision in precisions {
        for &transpose in transposes {
            for &[m, n, k, batch] in sizes {
                let p = Matmul { transpose, batch, ..Matmul::new(m, n, k) };
                cases.push(Case::new(Problem::Matmul(p), precision));
            }
        }
    }
    cases
}

#[test]
fn register_tiles_are_right_below_at_and_above_their_sides() {
    let sizes = [[127, 129, 17, 2], [128, 128, 16, 1], [132, 124, 9, 1], [3, 2, 0, 1]];
    right(
        "matmul/register-tiled",
        "sm_80",
        &cases(&[Precision::F32], &TRANSPOSES, &sizes),
        &[0, 1],
    );
}

#[test]
fn mma_is_right_in_every_storage_with_rows_of_any_length() {
    let sizes = [[127, 129, 33, 2], [136, 120, 200, 1], [1, 1, 0, 1]];
    let floats = [Precision::BF16, Precision::BF16_F32];
    right("matmul/mma", "sm_80", &cases(&floats, &TRANSPOSES, &sizes), &[0, 1]);
    let integers = cases(&[Precision::INT8], &[Transpose::Nt], &sizes);
    right("matmul/mma", "sm_80", &integers, &[0, 1]);
}

#[test]
fn mma_stores_16_bytes_at_a_time_only_where_rows_of_c_begin_at_multiples_of_16() {
    // Rows of 132 floats are multiples of 16 bytes and rows of 132 bf16 are not; so is neither of 130 and 133; of a batch each
    // product begins where the one before has ended.
    let sizes = [[130, 132, 40, 2], [5, 130, 24, 2], [33, 12, 16, 3], [3, 133, 8, 2]];
    let floats = [Precision::BF16, Precision::BF16_F32];
    right("matmul/mma", "sm_80", &cases(&floats, &[Transpose::Nn], &sizes), &[0]);
    right("matmul/mma", "sm_80", &cases(&[Precision::INT8], &[Transpose::Nt], &sizes), &[0]);
}

#[test]
fn wgmma_is_right_in_every_storage_alone_and_in_clusters() {
    let sizes = [[136, 264, 72, 2], [8, 8, 8, 1], [64, 128, 328, 1]];
    let cases = cases(&[Precision::BF16, Precision::BF16_F32], &TRANSPOSES, &sizes);
    for kernel in ["matmul/wgmma-tma", "matmul/wgmma-tma-cluster"] {
        right(kernel, "sm_90a", &cases, &[0, 1]);
    }
}

#[test]
fn blocks_that_stay_take_several_tiles() {
    // 140 tiles across: more than the 132 blocks, and twice the 66 clusters.
    let many = cases(&[Precision::BF16], &[Transpose::Nt], &[[8, 140 * 256, 8, 1]]);
    for kernel in ["matmul/wgmma-tma", "matmul/wgmma-tma-cluster"] {
        right(kernel, "sm_90a", &many, &[0]);
    }
}
