//! Harness of the black-box tests.

pub mod postgres;
