//! How a measurement is made.

pub mod clock;
pub mod covariates;
