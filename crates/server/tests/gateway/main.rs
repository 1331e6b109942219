//! A gateway in this process, on either database, called over real mutual TLS.

mod care;
mod crowd;
mod forged;
mod harness;
mod institution;
mod money;
mod person;
mod policy;
mod rating;
mod recognition;
mod registry;
mod talk;
