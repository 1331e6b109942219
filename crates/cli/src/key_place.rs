//! Where a signing key is kept, as typed. What was typed is not repeated when it is wrong: it may hold a PIN.

use std::ffi::OsStr;

use clap::builder::TypedValueParser;
use clap::error::ErrorKind;
use jjj_custody::{Place, UriError};

/// Parses a [`Place`].
#[derive(Clone)]
pub struct KeyPlace;

impl TypedValueParser for KeyPlace {
    type Value = Place;

    fn parse_ref(&self, command: &clap::Command, arg: Option<&clap::Arg>, value: &OsStr) -> Result<Place, clap::Error> {
        let wrong = |problem: &str| {
            let named = arg.map(ToString::to_string).unwrap_or_default();
            clap::Error::raw(ErrorKind::ValueValidation, format!("{named}: {problem}\n")).with_cmd(command)
        };
        let text = value.to_str().ok_or_else(|| wrong("is not UTF-8"))?;
        text.parse().map_err(|e: UriError| wrong(&e.to_string()))
    }
}
