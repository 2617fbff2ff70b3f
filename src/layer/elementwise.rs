//! What stands between the kernels of a layer: plain loops over f32 rows, on one thread.

/// Sums that are carried side by side: a sum in one register waits for itself.
const LANES: usize = 16;
/// What keeps the root of a norm from zero.
const EPS: f32 = 1e-6;

/// Σ a·b.
fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut sums = [0f32; LANES];
    let (a_chunks, b_chunks) = (a.chunks_exact(LANES), b.chunks_exact(LANES));
    let rest: f32 = a_chunks.remainder().iter().zip(b_chunks.remainder()).map(|(a, b)| a * b).sum();
    for (a, b) in a_chunks.zip(b_chunks) {
        for ((sum, a), b) in sums.iter_mut().zip(a).zip(b) {
            *sum += a * b;
        }
    }
    sums.iter().sum::<f32>() + rest
}

/// `y = gain · x / rms(x)` of each row (Zhang and Sennrich 2019) into the first of `written`; `1 / rms` into the second.
pub fn rms_norm(x: &[f32], gain: &[f32], written: &mut [&mut [f32]]) {
    let [y, inverse] = written else { panic!("a norm writes two tensors") };
    let width = gain.len();
    let rows = x.chunks_exact(width).zip(y.chunks_exact_mut(width));
    for ((x, y), inverse) in rows.zip(inverse.iter_mut()) {
        *inverse = 1.0 / (dot(x, x) / width as f32 + EPS).sqrt();
        for ((y, x), gain) in y.iter_mut().zip(x).zip(gain) {
            *y = x * *inverse * gain;
        }
    }
}

/// The gradients of [`rms_norm`], from dy, x, gain and `1 / rms`: `dx = r·(g·dy − x·r²·mean(g·dy·x))`, and that of the
/// gain, added up over rows.
pub fn rms_norm_back(read: &[&[f32]], written: &mut [&mut [f32]]) {
    let ([dy, x, gain, inverse], [dx, dgain]) = (read, written) else {
        panic!("the gradients of a norm read four tensors and write two")
    };
    let width = gain.len();
    dgain.fill(0.0);
    let mut scaled = vec![0f32; width];
    let rows = dy.chunks_exact(width).zip(x.chunks_exact(width)).zip(dx.chunks_exact_mut(width));
    for (((dy, x), dx), r) in rows.zip(inverse.iter()) {
        for ((((scaled, dgain), dy), x), gain) in
            scaled.iter_mut().zip(dgain.iter_mut()).zip(dy).zip(x).zip(gain.iter())
        {
            *scaled = dy * gain;
            *dgain += dy * x * r;
        }
        let mean = dot(&scaled, x) / width as f32 * r * r;
        for ((dx, scaled), x) in dx.iter_mut().zip(&scaled).zip(x) {
            *dx = r * (scaled - x * mean);
        }
    }
}

/// `y = a + b`.
pub fn add(a: &[f32], b: &[f32], y: &mut [f32]) {
    for ((y, a), b) in y.iter_mut().zip(a).zip(b) {
        *y = a + b;
    }
}

/// `y = max(x, 0)`.
pub fn relu(x: &[f32], y: &mut [f32]) {
    for (y, x) in y.iter_mut().zip(x) {
        *y = x.max(0.0);
    }
}

/// The gradient of [`relu`] at `x`.
pub fn relu_back(dy: &[f32], x: &[f32], dx: &mut [f32]) {
    for ((dx, dy), x) in dx.iter_mut().zip(dy).zip(x) {
        *dx = if *x > 0.0 { *dy } else { 0.0 };
    }
}

/// Sizes of heads in rows of tokens.
#[derive(Debug, Clone, Copy)]
pub struct Heads {
    /// Sequences.
    pub batch: usize,
    /// Tokens a sequence.
    pub seq: usize,
    /// Heads.
    pub heads: usize,
    /// Length of a head.
    pub dim: usize,
}

impl Heads {
    /// Calls `f` with the place of each head of each token: in rows of `width` elements from `first` on, and in
    /// `[batch, heads, seq, dim]`.
    fn each(&self, width: usize, first: usize, mut f: impl FnMut(usize, usize)) {
        for batch in 0..self.batch {
            for head in 0..self.heads {
                for token in 0..self.seq {
                    let row = (batch * self.seq + token) * width + first + head * self.dim;
                    f(row, ((batch * self.heads + head) * self.seq + token) * self.dim);
                }
            }
        }
    }

    /// Takes heads out of rows of `width`, from element `first` of each.
    pub fn apart(&self, rows: &[f32], width: usize, first: usize, heads: &mut [f32]) {
        let dim = self.dim;
        self.each(width, first, |row, place| {
            heads[place..place + dim].copy_from_slice(&rows[row..row + dim]);
        });
    }

    /// Puts heads back into rows.
    pub fn together(&self, heads: &[f32], rows: &mut [f32], width: usize, first: usize) {
        let dim = self.dim;
        self.each(width, first, |row, place| {
            rows[row..row + dim].copy_from_slice(&heads[place..place + dim]);
        });
    }
}
