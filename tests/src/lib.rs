//! Harness of the black-box tests.
//!
//! - [`campaign`]: how often, and from which seed. [`postgres`]: databases, `both_databases!`.
//!   [`proxy`]: a wire to PostgreSQL that can be cut. [`python`]: the interpreter of the foreign libraries.
//!   [`raw`]: a database without its gateway, for attackers.
//! - [`gateway`]: the real `jjj` binary, as sandboxes and servers that die with the test.
//! - [`events`], the subscribers.
//! - [`world`]: institutions, elders, contracts, bills and money, set up in bulk through the API.
//! - [`load`]: clients that keep every request and every answer; [`clients`]: what they do; [`crowd`]: all of them.

pub mod campaign;
pub mod clients;
pub mod crowd;
pub mod events;
pub mod gateway;
pub mod load;
pub mod postgres;
pub mod proxy;
pub mod python;
pub mod raw;
pub mod world;
