//! Care: contracts, stays, bills, mandates.

pub mod bill;
pub mod contract;
pub mod mandate;
pub mod stay;
