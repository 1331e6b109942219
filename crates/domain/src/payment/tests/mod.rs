//! Payments, on the simulated world.

mod gate;
mod journal;
mod laws;
mod refusals;
mod states;
mod stories;
