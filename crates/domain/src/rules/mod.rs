//! What the standards say, as pure functions: ability assessment, institution rating,
//! disability, validity, and how one standard's levels are read in another's.
//!
//! A rule that a published standard fixes is code here. What DOMAIN.md marks [M] or [D]
//! (grades, validities, mappings between standards) comes in as a parameter from policy;
//! the defaults below only document it.

pub mod assessment;
pub mod disability;
pub mod mapping;
pub mod rating;
pub mod validity;
