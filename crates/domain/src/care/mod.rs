//! Care: contracts, stays, bills, mandates.

pub mod bill;
pub mod contract;
mod found;
pub mod mandate;
pub mod stay;
#[cfg(test)]
pub(crate) mod testing;
