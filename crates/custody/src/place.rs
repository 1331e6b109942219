//! One notation for both kinds of places.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use serde::Deserialize;

use crate::uri::{SCHEME, Uri, UriError};

/// Where a signing key is kept.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub enum Place {
    /// PKCS#8 in PEM, mode 0600.
    File(PathBuf),
    /// A key in a PKCS #11 module.
    Module(Box<Uri>),
}

impl Place {
    /// The same, relative paths taken from `dir`.
    #[must_use]
    pub fn rooted(&self, dir: &Path) -> Self {
        match self {
            Self::File(path) => Self::File(dir.join(path)),
            Self::Module(uri) => Self::Module(Box::new(uri.rooted(dir))),
        }
    }
}

impl FromStr for Place {
    type Err = UriError;

    fn from_str(text: &str) -> Result<Self, UriError> {
        if text.starts_with(SCHEME) {
            text.parse().map(|uri| Self::Module(Box::new(uri)))
        } else {
            Ok(Self::File(text.into()))
        }
    }
}

impl TryFrom<String> for Place {
    type Error = UriError;

    fn try_from(text: String) -> Result<Self, UriError> {
        text.parse()
    }
}

impl From<PathBuf> for Place {
    fn from(path: PathBuf) -> Self {
        Self::File(path)
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Module(uri) => write!(f, "{uri}"),
        }
    }
}
