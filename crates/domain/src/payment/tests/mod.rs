//! Payments, on the simulated world.

mod gate;
mod journal;
mod laws;
mod queries;
mod refusals;
mod states;
mod stories;
