//! The `jjj` command's parts that tests and the demo share: the signed client and
//! the sandbox. The binary itself is `main.rs`, one file per subcommand.

pub mod client;
pub mod identity;
pub mod sandbox;
pub mod session;
