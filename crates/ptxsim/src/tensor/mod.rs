//! Layouts and products of matrices, pure: nothing here knows of registers, memory or warps.

mod column;
pub mod descriptor;
pub mod element;
mod element_type;
pub mod form;
pub mod fragment;
pub mod group;
pub mod map;
pub mod product;
pub mod swizzle;
pub mod tile;
pub mod transpose;
pub mod warp;
