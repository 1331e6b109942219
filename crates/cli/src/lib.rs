//! The `jjj` command's parts that tests and the demo share: the signed client, the
//! sandbox and its enrolment. The binary itself is `main.rs`, one file per subcommand.

pub mod client;
pub mod enrol;
pub mod identity;
pub mod recon_compute;
pub mod sandbox;
pub mod session;
