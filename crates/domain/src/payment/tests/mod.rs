//! Payments, on the simulated world.

mod gate;
mod journal;
mod laws;
mod queries;
mod quota;
mod refusals;
mod states;
mod stories;
