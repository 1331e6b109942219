//! A gateway in this process, on either database, called over real mutual TLS.

mod crowd;
mod forged;
mod harness;
mod money;
mod policy;
mod rating;
mod recognition;
