//! Reports for administrators.
//!
//! A report is data ([`Report`]: facts, charts, tables of typed cells, in one language), made by a pure
//! function of rows ([`build`]) and shown by [`render`] as text for a terminal, JSON, CSV, XLSX or HTML.
//! Amounts stay integer fen up to the last step.

pub mod build;
mod cell;
mod model;
pub mod render;
mod words;

pub use cell::neutral;
pub use model::{Cell, Chart, Column, ColumnKind, Fact, Part, Report, Shape, Table, Tone};
pub use words::Words;
