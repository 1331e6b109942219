//! One binary for all tests of the public API.

mod support;

mod attacks;
mod cosignature;
mod merkle;
mod merkle_proofs;
mod note;
mod receipt;
mod recognition;
mod request;
mod request_forged;
mod sd_jwt;
mod sd_recognition;
mod seal;
mod sm2;
mod status_list;
mod suite;
mod witness;
