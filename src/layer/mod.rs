//! A transformer layer of our own CPU kernels, run end to end: forward, backward, update.
//!
//! It is what plans are checked against. The layer has RMSNorm before attention and MLP, causal multi-head attention, an MLP
//! of four times the width with ReLU, no biases, AdamW on every parameter; f32, one thread. Tensors flow from
//! kernel to kernel as in a training step, and every kernel's answer is used by the next.

mod elementwise;
mod tensors;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Instant;

use elementwise::{Heads, add, relu, relu_back, rms_norm, rms_norm_back};
use tensors::{Name, PARAMETERS, Tensors, size};

use crate::device::{CpuDevice, Pool};
use crate::error::{Error, Result};
use crate::kernels::{Args, Body, CpuKernel, Prologue, Registry};
use crate::ops::{
    Attention, Case, DType, Inputs, Matmul, Pass, Precision, Problem, Role, Rule, Tensor,
    TensorSpec, Transpose, Update,
};

/// The sizes of a layer and of the tokens that pass it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shape {
    /// Sequences.
    pub batch: usize,
    /// Tokens a sequence.
    pub seq: usize,
    /// Width; a multiple of the heads.
    pub hidden: usize,
    /// Heads.
    pub heads: usize,
}

impl Shape {
    /// Tokens in all.
    pub fn tokens(&self) -> usize {
        self.batch * self.seq
    }

    /// Width of the MLP.
    pub fn ffn(&self) -> usize {
        4 * self.hidden
    }

    /// Length of a head.
    pub fn head_dim(&self) -> usize {
        self.hidden / self.heads
    }
}

/// The time that one thing took.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Lap {
    /// The part of the model, or `streams` for what stands between kernels.
    pub name: &'static str,
    /// `forward`, `backward` or `update`.
    pub phase: &'static str,
    /// Nanoseconds.
    pub ns: f64,
}

/// A kernel made ready, and what it reads and writes.
struct Launch {
    name: &'static str,
    phase: &'static str,
    body: Body,
    read: Vec<Name>,
    written: Vec<Name>,
}

/// A layer with its tensors and kernels.
pub struct Layer {
    shape: Shape,
    heads: Heads,
    device: CpuDevice,
    pool: Pool,
    tensors: Tensors,
    /// First and second moment of each parameter tensor.
    moments: Vec<[Tensor; 2]>,
    products: Vec<Launch>,
    updates: Vec<Body>,
    attention: Case,
    attention_back: Launch,
    save: Prologue,
    phase: &'static str,
    /// What the last step spent its time on.
    pub laps: Vec<Lap>,
}

impl Layer {
    /// A layer with seeded weights and inputs, on one thread of `device`.
    ///
    /// # Errors
    /// [`Error::Usage`] when heads do not divide the width, or a kernel refuses the sizes.
    pub fn new(shape: Shape, device: CpuDevice, seed: u64) -> Result<Layer> {
        if shape.heads == 0 || !shape.hidden.is_multiple_of(shape.heads) {
            let Shape { heads, hidden, .. } = shape;
            return Err(Error::Usage(format!("{heads} heads do not divide a width of {hidden}")));
        }
        let pool = device.pool(1);
        let build = |kernel: &str, case: Case| body(&device, kernel, &case, &pool);
        let attention = Attention {
            batch: shape.batch,
            ..Attention::new(shape.heads, shape.seq, shape.head_dim(), true)
        };
        let attention = Case {
            pass: Pass::Backward,
            ..Case::new(Problem::Attention(attention), Precision::F32)
        };
        let save = cpu_kernel("attention/simd")?.prologue.ok_or_else(|| {
            Error::Usage("attention/simd saves nothing for its backward pass".to_owned())
        })?;
        use Name::{DK, DO, DQ, DV, K, Lse, O, Q, V};
        let attention_back = Launch {
            name: "attention",
            phase: "backward",
            body: build("attention/simd", attention)?,
            read: vec![Q, K, V, DO, O, Lse],
            written: vec![DQ, DK, DV],
        };
        let update = |&(name, _): &(Name, Name)| {
            let update = Update { rule: Rule::Adamw, params: size(&shape, name) };
            let precision = Rule::Adamw.precision(Precision::F32);
            build("optimizer/simd", Case::new(Problem::Update(update), precision))
        };
        let updates = PARAMETERS.iter().map(update).collect::<Result<Vec<_>>>()?;
        let products = products(&shape, build)?;
        let moment = |role, n| Tensor::zeroed(TensorSpec::new(role, DType::F32, &[n]));
        let moments = PARAMETERS.iter().map(|(name, _)| {
            let n = size(&shape, *name);
            [moment(Role::Moment1, n), moment(Role::Moment2, n)]
        });
        let Shape { batch, seq, heads, .. } = shape;
        Ok(Layer {
            shape,
            heads: Heads { batch, seq, heads, dim: shape.head_dim() },
            tensors: Tensors::new(&shape, seed),
            moments: moments.collect(),
            products,
            updates,
            attention,
            attention_back,
            save,
            phase: "forward",
            laps: Vec::new(),
            pool,
            device,
        })
    }

    /// One training step; the gradient of the layer's output is `dy`, as a layer above would send it. What each thing took
    /// stands in [`Layer::laps`].
    ///
    /// # Errors
    /// When a kernel breaks.
    pub fn step(&mut self) -> Result<()> {
        self.laps.clear();
        self.forward()?;
        self.backward()?;
        self.update();
        Ok(())
    }

    /// The output of the layer, `[tokens, hidden]`, after a forward pass.
    pub fn output(&self) -> &[f32] {
        self.tensors.get(Name::Y)
    }

    fn forward(&mut self) -> Result<()> {
        use Name::*;
        self.phase = "forward";
        self.stream(&[X, G1], &[N1, R1], |r, w| rms_norm(r[0], r[1], w));
        self.product(0, Qkv);
        self.apart(Qkv, [Q, K, V]);
        self.attend()?;
        self.together([O], Rows);
        self.product(1, P);
        self.stream(&[X, P], &[X1], |r, w| add(r[0], r[1], w[0]));
        self.stream(&[X1, G2], &[N2, R2], |r, w| rms_norm(r[0], r[1], w));
        self.product(2, U);
        self.stream(&[U], &[H], |r, w| relu(r[0], w[0]));
        self.product(3, Y2);
        self.stream(&[X1, Y2], &[Y], |r, w| add(r[0], r[1], w[0]));
        Ok(())
    }

    fn backward(&mut self) -> Result<()> {
        use Name::*;
        self.phase = "backward";
        self.product(4, Dh);
        self.product(5, DW2);
        self.stream(&[Dh, U], &[Du], |r, w| relu_back(r[0], r[1], w[0]));
        self.product(6, DN2);
        self.product(7, DW1);
        self.stream(&[DN2, X1, G2, R2], &[DX1n, DG2], rms_norm_back);
        self.stream(&[Dy, DX1n], &[DX1], |r, w| add(r[0], r[1], w[0]));
        self.product(8, DRows);
        self.product(9, DWo);
        self.apart(DRows, [DO]);
        let began = Instant::now();
        self.tensors.launch(&mut self.attention_back, &self.pool);
        self.lap("attention", began);
        self.together([DQ, DK, DV], DQkv);
        self.product(10, DN1);
        self.product(11, DWqkv);
        self.stream(&[DN1, X, G1, R1], &[DXn, DG1], rms_norm_back);
        self.stream(&[DX1, DXn], &[DX], |r, w| add(r[0], r[1], w[0]));
        Ok(())
    }

    fn update(&mut self) {
        self.phase = "update";
        let began = Instant::now();
        for (((params, grads), body), moments) in
            PARAMETERS.into_iter().zip(&mut self.updates).zip(&mut self.moments)
        {
            let read = [self.tensors.take(grads)];
            let [m, v] = moments;
            let empty = || Tensor::zeroed(TensorSpec::new(Role::Stream, DType::F32, &[0]));
            let mut written = [
                self.tensors.take(params),
                std::mem::replace(m, empty()),
                std::mem::replace(v, empty()),
            ];
            body(&mut Args { read: &read, written: &mut written, pool: &self.pool });
            let [grad] = read;
            let [param, first, second] = written;
            (*m, *v) = (first, second);
            self.tensors.put(grads, grad);
            self.tensors.put(params, param);
        }
        self.lap("update", began);
    }

    /// Attention forward, as its kernel does it for a backward pass to come: the output and the log-sum-exp of each row.
    fn attend(&mut self) -> Result<()> {
        use Name::{K, Lse, O, Q, V};
        let began = Instant::now();
        let operands = [Q, K, V].map(|name| self.tensors.take(name));
        let inputs = Inputs { seed: 0, tensors: Arc::new(operands.into()) };
        let saved = (self.save)(&self.device.capabilities, &self.attention, &inputs, &self.pool)?;
        let back = Arc::try_unwrap(inputs.tensors).unwrap_or_else(|shared| shared.to_vec());
        [Q, K, V].into_iter().zip(back).for_each(|(name, tensor)| self.tensors.put(name, tensor));
        [O, Lse].into_iter().zip(saved).for_each(|(name, tensor)| self.tensors.put(name, tensor));
        self.lap("attention", began);
        Ok(())
    }

    fn product(&mut self, index: usize, result: Name) {
        let launch = &mut self.products[index];
        debug_assert_eq!((launch.written[0], launch.phase), (result, self.phase));
        let name = launch.name;
        let began = Instant::now();
        self.tensors.launch(launch, &self.pool);
        self.lap(name, began);
    }

    /// Something between kernels: `f` on what is read and what is written.
    fn stream(
        &mut self,
        read: &[Name],
        written: &[Name],
        f: impl Fn(&[&[f32]], &mut [&mut [f32]]),
    ) {
        let began = Instant::now();
        self.tensors.with(read, written, f);
        self.lap("streams", began);
    }

    /// Rows of `parts` times the width of all heads into heads.
    fn apart<const N: usize>(&mut self, rows: Name, parts: [Name; N]) {
        let (heads, hidden) = (self.heads, self.shape.hidden);
        self.stream(&[rows], &parts, |r, w| {
            w.iter_mut()
                .enumerate()
                .for_each(|(i, part)| heads.apart(r[0], N * hidden, i * hidden, part));
        });
    }

    fn together<const N: usize>(&mut self, parts: [Name; N], rows: Name) {
        let (heads, hidden) = (self.heads, self.shape.hidden);
        self.stream(&parts, &[rows], |r, w| {
            r.iter()
                .enumerate()
                .for_each(|(i, part)| heads.together(part, w[0], N * hidden, i * hidden));
        });
    }

    fn lap(&mut self, name: &'static str, began: Instant) {
        let ns = began.elapsed().as_nanos() as f64;
        match self.laps.iter_mut().find(|lap| lap.name == name && lap.phase == self.phase) {
            Some(lap) => lap.ns += ns,
            None => self.laps.push(Lap { name, phase: self.phase, ns }),
        }
    }
}

/// The products in the order of a step; a linear layer with its weight stored `[out, in]`.
fn products(shape: &Shape, build: impl Fn(&str, Case) -> Result<Body>) -> Result<Vec<Launch>> {
    use Name::*;
    use Transpose::{Nn, Nt, Tn};
    let (t, h, f) = (shape.tokens(), shape.hidden, shape.ffn());
    let list = [
        ("qkv", "forward", Nt, [t, 3 * h, h], [N1, Wqkv], Qkv),
        ("attn-out", "forward", Nt, [t, h, h], [Rows, Wo], P),
        ("mlp-up", "forward", Nt, [t, f, h], [N2, W1], U),
        ("mlp-down", "forward", Nt, [t, h, f], [H, W2], Y2),
        ("mlp-down", "backward", Nn, [t, f, h], [Dy, W2], Dh),
        ("mlp-down", "backward", Tn, [h, f, t], [Dy, H], DW2),
        ("mlp-up", "backward", Nn, [t, h, f], [Du, W1], DN2),
        ("mlp-up", "backward", Tn, [f, h, t], [Du, N2], DW1),
        ("attn-out", "backward", Nn, [t, h, h], [DX1, Wo], DRows),
        ("attn-out", "backward", Tn, [h, h, t], [DX1, Rows], DWo),
        ("qkv", "backward", Nn, [t, h, 3 * h], [DQkv, Wqkv], DN1),
        ("qkv", "backward", Tn, [3 * h, h, t], [DQkv, N1], DWqkv),
    ];
    let launch = |(name, phase, transpose, [m, n, k], read, written): (
        _,
        _,
        _,
        [usize; 3],
        [Name; 2],
        _,
    )| {
        let problem = Problem::Matmul(Matmul { transpose, ..Matmul::new(m, n, k) });
        let body = build("matmul/simd", Case::new(problem, Precision::F32))?;
        Ok(Launch { name, phase, body, read: read.to_vec(), written: vec![written] })
    };
    list.into_iter().map(launch).collect()
}

fn cpu_kernel(id: &str) -> Result<&'static CpuKernel> {
    let kernel = Registry::default().get(id).and_then(|kernel| kernel.as_cpu());
    kernel.ok_or_else(|| Error::Usage(format!("there is no kernel {id}")))
}

fn body(device: &CpuDevice, id: &str, case: &Case, pool: &Pool) -> Result<Body> {
    let kernel = cpu_kernel(id)?;
    if let Some(reason) = crate::kernels::Kernel::refuses(kernel, &device.capabilities, case) {
        return Err(Error::Refused(format!("{id} refuses {case}: {reason}")));
    }
    (kernel.build)(&device.capabilities, case, pool)
}
