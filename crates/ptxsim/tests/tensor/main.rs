//! Tensor-core instructions as PTX: what they compute, what they refuse, and what misuse of them is found.

mod corpus;
mod eight;
mod image;
mod misuse;
mod mma;
mod refusal;
mod warp;
mod wgmma;
mod wmma;
