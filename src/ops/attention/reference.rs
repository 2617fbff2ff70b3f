//! The f64 reference of attention, row by row, so that a sample of rows costs a sample of the time.
//!
//! Forward and decode: a row of the output through its log-sum-exp. Backward (the derivation in section 3.1 of
//! FlashAttention-2, Dao 2023): with P the probabilities, dP = dO·Vᵀ, D = Σ dO∘O of each row and dS = P∘(dP − D),
//! a row of dQ is `Σⱼ dSᵢⱼ·Kⱼ/√d`, a row of dK `Σᵢ dSᵢⱼ·Qᵢ/√d` and a row of dV `Σᵢ Pᵢⱼ·dOᵢ`.

use std::ops::Range;

use super::Attention;
use crate::ops::random::Stream;
use crate::ops::{DType, Expected, ExpectedPart, Inputs, Pass, Precision, Role};

/// Work up to which the reference is computed whole, in flops of the case's own cost.
const WHOLE: u64 = 1_000_000_000;
/// Sampled rows of each result.
const ROWS: usize = 64;

/// See [`Attention::expected`].
///
/// Above [`WHOLE`] flops at least [`ROWS`] rows of each result are computed, chosen by the seed, with the first row of
/// the first head and the last row of the last head among them. Every query of a KV head must be gone through to know a
/// single row of its dK and dV, so these rows come from one KV head of the first sequence and one of the last; from the
/// latter alone where one costs more than [`WHOLE`].
pub fn expected(
    shape: &Attention,
    precision: Precision,
    pass: Pass,
    inputs: &Inputs,
    threads: usize,
) -> Expected {
    let whole = shape.cost(precision, pass).flops.0 <= WHOLE;
    answer(shape, precision, pass, inputs, threads, whole)
}

/// The expected entries: all of them, or a sample.
pub fn answer(
    shape: &Attention,
    precision: Precision,
    pass: Pass,
    inputs: &Inputs,
    threads: usize,
    whole: bool,
) -> Expected {
    let oracle = Oracle::new(shape, inputs);
    let threads = threads.max(1);
    let parts = match pass {
        Pass::Forward | Pass::Decode => {
            let rows = Rows::choose(shape.batch * shape.heads * shape.seq_q, whole, inputs.seed);
            vec![part(Role::Out, rows, shape.head_dim_v, threads, |r| oracle.out(r))]
        }
        Pass::Backward => backward(&oracle, whole, inputs.seed, threads),
    };
    Expected { tolerance: tolerance(shape, precision, pass), parts }
}

/// Largest accepted `|got − want| / scale`.
///
/// What a kernel may round, relative to the sum of the absolute values of a result's terms, with `u` the unit roundoff
/// of the accumulation (f32: 6·10⁻⁸):
/// - a score is a dot of `head_dim_qk` terms; rounding walks at random, so its absolute error is about `√(d/2)·u` after
///   the division by `√d`, and four to five times that at worst over many entries: `4·√d·u`, which is the relative error
///   of its exponential;
/// - exponentials, with a polynomial good to 10⁻⁷, and the rescaling of an online softmax: `16·u`;
/// - sums over the keys (the normalizer and the output; over the queries for dK and dV), at random: `2·√n·u`;
/// - for operands of less precision (`v` their unit roundoff) the probabilities are rounded to it before the second
///   product: at most `v`. In a backward pass the output that D starts from and dS are rounded as well: `3·v` together;
/// - the result itself: at most its own unit roundoff.
fn tolerance(shape: &Attention, precision: Precision, pass: Pass) -> f64 {
    let sums = if pass == Pass::Backward {
        shape.seq_kv.max(shape.seq_q * shape.group())
    } else {
        shape.seq_kv
    };
    let dims = shape.head_dim_qk.max(shape.head_dim_v) as f64;
    let backward = if pass == Pass::Backward { 2.0 } else { 1.0 };
    let u = precision.accumulate.unit_roundoff();
    let accumulate = backward * u * (16.0 + 4.0 * dims.sqrt() + 2.0 * (sums as f64).sqrt());
    let low = matches!(precision.inputs, DType::Bf16 | DType::F16 | DType::E4m3);
    let operand = if low { precision.inputs.unit_roundoff() } else { 0.0 };
    let roundings = match pass {
        // The output is saved in the result's dtype, which may be narrow while the operands are not.
        Pass::Backward => 2.0 * operand + operand.max(precision.output.unit_roundoff()),
        Pass::Forward | Pass::Decode => operand,
    };
    accumulate + roundings + precision.output.unit_roundoff()
}

/// The rows of a result that are computed.
enum Rows {
    All(usize),
    Some(Vec<usize>),
}

impl Rows {
    fn choose(count: usize, whole: bool, seed: u64) -> Rows {
        if whole || count <= ROWS {
            return Rows::All(count);
        }
        Rows::Some(sample(0..count, ROWS, seed))
    }

    fn list(&self) -> Vec<usize> {
        match self {
            Rows::All(count) => (0..*count).collect(),
            Rows::Some(rows) => rows.clone(),
        }
    }
}

/// `count` different numbers of `range` (all, if it has no more), with the first and the last, in order.
fn sample(range: Range<usize>, count: usize, seed: u64) -> Vec<usize> {
    if range.len() <= count {
        return range.collect();
    }
    let stream = Stream::new(seed, 0x5a3c);
    let mut rows = std::collections::BTreeSet::from([range.start, range.end - 1]);
    let mut draw = 0;
    while rows.len() < count {
        rows.insert(range.start + stream.below(draw, range.len() as u64) as usize);
        draw += 1;
    }
    rows.into_iter().collect()
}

/// A row's values and their scales.
type Row = (Vec<f64>, Vec<f64>);

/// Computes the rows of one result of rows of `width`.
fn part(
    role: Role,
    rows: Rows,
    width: usize,
    threads: usize,
    row: impl Fn(usize) -> Row + Sync,
) -> ExpectedPart {
    let list = rows.list();
    let computed = parallel(&list, threads, &row);
    let mut values = Vec::with_capacity(list.len() * width);
    let mut scales = Vec::with_capacity(list.len() * width);
    for (value, scale) in computed {
        values.extend(value);
        // Operands of exactly zero would make a scale of zero; any error is then wrong.
        scales.extend(scale.into_iter().map(|s| s.max(f64::MIN_POSITIVE)));
    }
    let entries = match rows {
        Rows::All(_) => None,
        Rows::Some(rows) => {
            Some(rows.iter().flat_map(|r| (r * width..(r + 1) * width).map(|i| i as u64)).collect())
        }
    };
    ExpectedPart { role, entries, values, scales }
}

/// `f` of every item, in order; items are dealt to the threads in turn, so that the growing rows of a causal mask balance.
fn parallel<T: Send>(items: &[usize], threads: usize, f: &(impl Fn(usize) -> T + Sync)) -> Vec<T> {
    let threads = threads.min(items.len().div_ceil(16)).max(1);
    let deal = |t: usize| items.iter().skip(t).step_by(threads).map(|&i| f(i)).collect::<Vec<T>>();
    if threads == 1 {
        return deal(0);
    }
    let mut hands: Vec<_> = std::thread::scope(|scope| {
        let deal = &deal;
        let workers: Vec<_> = (0..threads).map(|t| scope.spawn(move || deal(t))).collect();
        let join = |w: std::thread::ScopedJoinHandle<'_, Vec<T>>| {
            w.join().expect("the reference does not panic").into_iter()
        };
        workers.into_iter().map(join).collect()
    });
    (0..items.len())
        .map(|i| hands[i % threads].next().expect("every item was dealt once"))
        .collect()
}

/// What the gradients need to know of a query: the log-sum-exp, D, and D with absolute values.
#[derive(Clone, Copy)]
struct Query {
    lse: f64,
    d: f64,
    d_abs: f64,
}

/// The operands in f64.
struct Oracle<'a> {
    shape: &'a Attention,
    q: Vec<f64>,
    k: Vec<f64>,
    v: Vec<f64>,
    dout: Vec<f64>,
}

impl<'a> Oracle<'a> {
    fn new(shape: &'a Attention, inputs: &Inputs) -> Self {
        let read = |role| {
            inputs.tensors.iter().find(|t| t.spec.role == role).map_or(Vec::new(), |t| t.to_f64())
        };
        Oracle {
            shape,
            q: read(Role::Q),
            k: read(Role::K),
            v: read(Role::V),
            dout: read(Role::DOut),
        }
    }

    /// The first row of K and V of the KV head that query row `row` (of all sequences and heads) attends to.
    fn keys_of(&self, row: usize) -> usize {
        let s = self.shape;
        let head = row / s.seq_q;
        let (b, h) = (head / s.heads, head % s.heads);
        (b * s.kv_heads + h / s.group()) * s.seq_kv
    }

    fn q(&self, row: usize) -> &[f64] {
        &self.q[row * self.shape.head_dim_qk..][..self.shape.head_dim_qk]
    }

    fn k(&self, row: usize) -> &[f64] {
        &self.k[row * self.shape.head_dim_qk..][..self.shape.head_dim_qk]
    }

    fn v(&self, row: usize) -> &[f64] {
        &self.v[row * self.shape.head_dim_v..][..self.shape.head_dim_v]
    }

    fn dout(&self, row: usize) -> &[f64] {
        &self.dout[row * self.shape.head_dim_v..][..self.shape.head_dim_v]
    }

    /// The probabilities of a query row over its visible keys, and its log-sum-exp.
    fn probabilities(&self, row: usize) -> (Vec<f64>, f64) {
        let keys = self.keys_of(row);
        let scale = self.shape.scale();
        let visible = self.shape.visible(row % self.shape.seq_q);
        let q = self.q(row);
        let mut p: Vec<f64> = (keys..keys + visible).map(|j| scale * dot(q, self.k(j))).collect();
        let max = p.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let sum: f64 = p.iter().map(|s| (s - max).exp()).sum();
        let lse = max + sum.ln();
        p.iter_mut().for_each(|s| *s = (*s - lse).exp());
        (p, lse)
    }

    /// A row of the output, with `Σ p|v|`.
    fn out(&self, row: usize) -> Row {
        self.out_with(row, &self.probabilities(row).0)
    }

    fn out_with(&self, row: usize, p: &[f64]) -> Row {
        let mut sums = Sums::new(self.shape.head_dim_v);
        for (&p, j) in p.iter().zip(self.keys_of(row)..) {
            sums.add(p, p, self.v(j));
        }
        sums.row(1.0)
    }

    fn query(&self, row: usize) -> Query {
        let (p, lse) = self.probabilities(row);
        let (out, _) = self.out_with(row, &p);
        let dout = self.dout(row);
        Query { lse, d: dot(dout, &out), d_abs: dot_abs(dout, &out) }
    }

    /// A row of dQ, with the sum of the absolute values of its terms.
    fn dq(&self, row: usize) -> Row {
        let (p, _) = self.probabilities(row);
        let (out, _) = self.out_with(row, &p);
        let dout = self.dout(row);
        let (d, d_abs) = (dot(dout, &out), dot_abs(dout, &out));
        let mut sums = Sums::new(self.shape.head_dim_qk);
        for (&p, j) in p.iter().zip(self.keys_of(row)..) {
            let v = self.v(j);
            sums.add(p * (dot(dout, v) - d), p * (dot_abs(dout, v) + d_abs), self.k(j));
        }
        sums.row(self.shape.scale())
    }

    /// Calls `f(query row, p)` for every query that sees key row `key`; `queries` starts at row `base`.
    fn seen_by(&self, key: usize, mut f: impl FnMut(usize, f64), lse: impl Fn(usize) -> f64) {
        let s = self.shape;
        let (head, j) = (key / s.seq_kv, key % s.seq_kv);
        let (b, kv_head) = (head / s.kv_heads, head % s.kv_heads);
        let first = (b * s.heads + kv_head * s.group()) * s.seq_q;
        for row in first..first + s.group() * s.seq_q {
            if s.visible(row % s.seq_q) > j {
                f(row, (s.scale() * dot(self.q(row), self.k(key)) - lse(row)).exp());
            }
        }
    }

    /// A row of dK; `query` knows the rows of the KV head's queries.
    fn dk(&self, key: usize, query: impl Fn(usize) -> Query) -> Row {
        let mut sums = Sums::new(self.shape.head_dim_qk);
        let v = self.v(key);
        let add = |row: usize, p: f64| {
            let (at, dout) = (query(row), self.dout(row));
            sums.add(p * (dot(dout, v) - at.d), p * (dot_abs(dout, v) + at.d_abs), self.q(row));
        };
        self.seen_by(key, add, |row| query(row).lse);
        sums.row(self.shape.scale())
    }

    /// A row of dV; see [`Oracle::dk`].
    fn dv(&self, key: usize, query: impl Fn(usize) -> Query) -> Row {
        let mut sums = Sums::new(self.shape.head_dim_v);
        self.seen_by(key, |row, p| sums.add(p, p, self.dout(row)), |row| query(row).lse);
        sums.row(1.0)
    }
}

fn backward(oracle: &Oracle<'_>, whole: bool, seed: u64, threads: usize) -> Vec<ExpectedPart> {
    let s = oracle.shape;
    let (heads, queries) = (s.batch * s.kv_heads, s.group() * s.seq_q);
    let dq = Rows::choose(s.batch * s.heads * s.seq_q, whole, seed);
    let chosen = if whole {
        (0..heads).collect()
    } else {
        let one = s.pairs() / heads as u64 * 2 * (s.head_dim_qk + s.head_dim_v) as u64;
        if one > WHOLE || heads == 1 { vec![heads - 1] } else { vec![0, heads - 1] }
    };
    // Query rows of KV head `h` (of all sequences) are contiguous, for heads of a group are neighbours.
    let rows: Vec<usize> = chosen.iter().flat_map(|h| h * queries..(h + 1) * queries).collect();
    let known = parallel(&rows, threads, &|row| oracle.query(row));
    let place = |row: usize| {
        let head = chosen.binary_search(&(row / queries)).expect("only queries of chosen heads");
        known[head * queries + row % queries]
    };
    let each = ROWS.div_ceil(chosen.len());
    let keys = || match whole {
        true => Rows::All(heads * s.seq_kv),
        false => Rows::Some(
            chosen
                .iter()
                .flat_map(|h| sample(h * s.seq_kv..(h + 1) * s.seq_kv, each, seed))
                .collect(),
        ),
    };
    vec![
        part(Role::DQ, dq, s.head_dim_qk, threads, |r| oracle.dq(r)),
        part(Role::DK, keys(), s.head_dim_qk, threads, |r| oracle.dk(r, place)),
        part(Role::DV, keys(), s.head_dim_v, threads, |r| oracle.dv(r, place)),
    ]
}

/// A weighted sum of vectors, and the sum of its terms' absolute values.
struct Sums {
    value: Vec<f64>,
    abs: Vec<f64>,
}

impl Sums {
    fn new(width: usize) -> Self {
        Sums { value: vec![0.0; width], abs: vec![0.0; width] }
    }

    /// Adds `weight·x` and `|weight_abs|·|x|`.
    fn add(&mut self, weight: f64, weight_abs: f64, x: &[f64]) {
        for ((value, abs), x) in self.value.iter_mut().zip(&mut self.abs).zip(x) {
            *value += weight * x;
            *abs += weight_abs * x.abs();
        }
    }

    fn row(mut self, scale: f64) -> Row {
        self.value.iter_mut().for_each(|x| *x *= scale);
        self.abs.iter_mut().for_each(|x| *x *= scale);
        (self.value, self.abs)
    }
}

/// Eight partial sums, so that the compiler may use vectors.
fn dot(a: &[f64], b: &[f64]) -> f64 {
    let mut sums = [0.0; 8];
    let (chunks_a, chunks_b) = (a.chunks_exact(8), b.chunks_exact(8));
    let rest: f64 = chunks_a.remainder().iter().zip(chunks_b.remainder()).map(|(x, y)| x * y).sum();
    for (a, b) in chunks_a.zip(chunks_b) {
        for i in 0..8 {
            sums[i] += a[i] * b[i];
        }
    }
    sums.iter().sum::<f64>() + rest
}

fn dot_abs(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(x, y)| (x * y).abs()).sum()
}
