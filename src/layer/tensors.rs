//! The tensors of a layer, by name, and how they are lent to kernels.

use super::{Launch, Shape};
use crate::device::Pool;
use crate::kernels::Args;
use crate::ops::{DType, Role, Tensor, TensorSpec, random};

/// The variables of a layer's equations: weights `W`, gains `G`, reciprocal norms `R`, normed rows `N`; `D…` is the gradient
/// of `…`. Each is written by one thing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[rustfmt::skip]
pub enum Name {
    X, Wqkv, Wo, W1, W2, G1, G2, Dy,
    N1, R1, Qkv, Q, K, V, O, Lse, Rows, P, X1, N2, R2, U, H, Y2, Y,
    Dh, Du, DN2, DX1n, DX1, DRows, DO, DQ, DK, DV, DQkv, DN1, DXn, DX,
    DWqkv, DWo, DW1, DW2, DG1, DG2,
}

/// As many as there are names.
const COUNT: usize = Name::DG2 as usize + 1;

/// Parameters with their gradients, in the order of updates.
pub const PARAMETERS: [(Name, Name); 6] = [
    (Name::Wqkv, Name::DWqkv),
    (Name::Wo, Name::DWo),
    (Name::W1, Name::DW1),
    (Name::W2, Name::DW2),
    (Name::G1, Name::DG1),
    (Name::G2, Name::DG2),
];

/// The elements of a tensor.
pub fn size(shape: &Shape, name: Name) -> usize {
    use Name::*;
    let (t, h, f) = (shape.tokens(), shape.hidden, shape.ffn());
    match name {
        Wqkv | DWqkv => 3 * h * h,
        Wo | DWo => h * h,
        W1 | DW1 | W2 | DW2 => h * f,
        G1 | G2 | DG1 | DG2 => h,
        R1 | R2 => t,
        Qkv | DQkv => 3 * t * h,
        U | H | Dh | Du => t * f,
        Lse => t * shape.heads,
        _ => t * h,
    }
}

/// All tensors of a layer; those that are lent are gone until they are put back.
pub struct Tensors(Vec<Option<Tensor>>);

impl Tensors {
    /// Weights and inputs seeded and normal, of a scale that keeps rows from growing; everything else NaN until it is
    /// written.
    pub fn new(shape: &Shape, seed: u64) -> Tensors {
        use Name::*;
        let mut all = Tensors((0..COUNT).map(|_| None).collect());
        let seeded = |name: Name| {
            let scale = match name {
                Wqkv | Wo | W1 => (shape.hidden as f32).sqrt().recip(),
                W2 => (shape.ffn() as f32).sqrt().recip(),
                _ => 1.0,
            };
            let spec = TensorSpec::new(Role::Stream, DType::F32, &[size(shape, name)]);
            random::normal(spec, seed, name as u32, scale)
        };
        for name in [X, Wqkv, Wo, W1, W2, G1, G2, Dy] {
            all.put(name, seeded(name));
        }
        #[rustfmt::skip]
        let written = [
            N1, R1, Qkv, Q, K, V, O, Lse, Rows, P, X1, N2, R2, U, H, Y2, Y,
            Dh, Du, DN2, DX1n, DX1, DRows, DO, DQ, DK, DV, DQkv, DN1, DXn, DX,
            DWqkv, DWo, DW1, DW2, DG1, DG2,
        ];
        for name in written {
            // What attention saves for its backward pass is found by role.
            let role = match name {
                Q => Role::Q,
                K => Role::K,
                V => Role::V,
                _ => Role::Stream,
            };
            let spec = TensorSpec::new(role, DType::F32, &[size(shape, name)]);
            all.put(name, Tensor::poisoned(spec));
        }
        all
    }

    /// A tensor's elements.
    pub fn get(&self, name: Name) -> &[f32] {
        self.0[name as usize].as_ref().expect("a tensor that is not lent").as_ref()
    }

    /// Borrows a tensor until [`Tensors::put`].
    pub fn take(&mut self, name: Name) -> Tensor {
        self.0[name as usize].take().expect("a tensor that is not lent")
    }

    /// Gives a tensor back.
    pub fn put(&mut self, name: Name, tensor: Tensor) {
        self.0[name as usize] = Some(tensor);
    }

    fn lend(&mut self, names: &[Name]) -> Vec<Tensor> {
        names.iter().map(|&name| self.take(name)).collect()
    }

    fn give_back(&mut self, names: &[Name], tensors: Vec<Tensor>) {
        names.iter().zip(tensors).for_each(|(&name, tensor)| self.put(name, tensor));
    }

    /// Launches a kernel on its tensors.
    pub fn launch(&mut self, launch: &mut Launch, pool: &Pool) {
        let (read, mut written) = (self.lend(&launch.read), self.lend(&launch.written));
        (launch.body)(&mut Args { read: &read, written: &mut written, pool });
        self.give_back(&launch.read, read);
        self.give_back(&launch.written, written);
    }

    /// Calls `f` with the elements of what is read and of what is written.
    pub fn with(
        &mut self,
        read: &[Name],
        written: &[Name],
        f: impl Fn(&[&[f32]], &mut [&mut [f32]]),
    ) {
        let (reads, mut writes) = (self.lend(read), self.lend(written));
        let slices: Vec<&[f32]> = reads.iter().map(|tensor| tensor.as_ref()).collect();
        let mut targets: Vec<&mut [f32]> =
            writes.iter_mut().map(|tensor| tensor.as_mut()).collect();
        f(&slices, &mut targets);
        self.give_back(read, reads);
        self.give_back(written, writes);
    }
}
