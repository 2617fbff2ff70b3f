//! Transposition of tiles, which the compiler does not vectorize by itself.

/// `to` becomes the transpose of `from`, which has `rows` rows; both extents are multiples of 8.
///
/// # Panics
/// If a slice is too short, or an extent is no multiple of 8.
pub fn transpose(rows: usize, from: &[f32], to: &mut [f32]) {
    let columns = from.len() / rows;
    assert!(rows.is_multiple_of(8) && columns.is_multiple_of(8) && from.len() == rows * columns);
    let to = &mut to[..from.len()];
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("avx") {
        // SAFETY: the processor has AVX, as was just asked.
        return unsafe { blocks(rows, columns, from, to) };
    }
    portable(rows, columns, from, to);
}

fn portable(rows: usize, columns: usize, from: &[f32], to: &mut [f32]) {
    for row in 0..rows {
        for column in 0..columns {
            to[column * rows + row] = from[row * columns + column];
        }
    }
}

/// Blocks of 8×8 by three rounds of exchanges: pairs of numbers, pairs of those, halves of rows.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx")]
fn blocks(rows: usize, columns: usize, from: &[f32], to: &mut [f32]) {
    use std::arch::x86_64::*;
    for row in (0..rows).step_by(8) {
        for column in (0..columns).step_by(8) {
            let load = |r: usize| {
                let line: &[f32; 8] =
                    from[(row + r) * columns + column..][..8].try_into().expect("8 entries");
                // SAFETY: the eight numbers are those of `line`; the load need not be aligned.
                unsafe { _mm256_loadu_ps(line.as_ptr()) }
            };
            let mut x: [__m256; 8] = std::array::from_fn(load);
            for i in (0..8).step_by(2) {
                (x[i], x[i + 1]) =
                    (_mm256_unpacklo_ps(x[i], x[i + 1]), _mm256_unpackhi_ps(x[i], x[i + 1]));
            }
            let mut y = x;
            for i in [0, 4] {
                for j in 0..2 {
                    y[i + 2 * j] = _mm256_shuffle_ps::<0x44>(x[i + j], x[i + j + 2]);
                    y[i + 2 * j + 1] = _mm256_shuffle_ps::<0xee>(x[i + j], x[i + j + 2]);
                }
            }
            for c in 0..4 {
                let halves = [
                    _mm256_permute2f128_ps::<0x20>(y[c], y[c + 4]),
                    _mm256_permute2f128_ps::<0x31>(y[c], y[c + 4]),
                ];
                for (h, half) in halves.into_iter().enumerate() {
                    let at = (column + c + 4 * h) * rows + row;
                    let line: &mut [f32; 8] = (&mut to[at..at + 8]).try_into().expect("8 entries");
                    // SAFETY: the eight numbers are those of `line`; the store need not be aligned.
                    unsafe { _mm256_storeu_ps(line.as_mut_ptr(), half) };
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_become_columns_as_in_the_portable_version() {
        for (rows, columns) in [(8, 8), (16, 24), (256, 16), (8, 40)] {
            let from: Vec<f32> = (0..rows * columns).map(|i| i as f32).collect();
            let (mut fast, mut slow) = (vec![0.0; from.len()], vec![0.0; from.len()]);
            transpose(rows, &from, &mut fast);
            portable(rows, columns, &from, &mut slow);
            assert_eq!(fast, slow);
            assert_eq!(fast[rows * (columns - 1) + 3], (3 * columns + columns - 1) as f32);
        }
    }
}
