//! The gateway as a running thing: listeners, identity, authorisation, the batched
//! write path, sequencing and sealing, streams.
//!
//! One call, top to bottom: [`tls`] accepts the connection, [`identity`] finds out
//! who calls and what exactly was signed, [`authorise`] whether the role may, a thin
//! file of [`rpc`] parses the message into a domain command, [`engine`] decides and
//! records it, [`status`] words a refusal.
//!
//! Architecture invariants: no rule of the domain is decided here; no time is read
//! except through [`clock::Clock`] and the database; nothing personal is logged.

mod accept;
pub mod authorise;
pub mod bootstrap;
pub mod clock;
pub mod config;
mod cosign;
mod disclosure;
pub mod engine;
mod evidence;
pub mod files;
pub mod gateway;
pub mod identity;
pub mod keys;
mod loopback;
pub mod origin;
pub mod privacy;
mod proof;
mod public;
mod query;
pub mod receipt;
mod reconcile;
pub mod registry;
pub mod rpc;
pub mod seal;
pub mod status;
mod status_list;
mod stop;
pub mod streams;
pub mod sweep;
pub mod tls;
mod turns;
pub mod verify;
pub mod witness;

pub use clock::Clock;
pub use config::Config;
pub use gateway::{Ended, Gateway, Handle, run};
