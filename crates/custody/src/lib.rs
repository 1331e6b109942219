//! Where signing keys are kept: in files that only their owner may read, or in PKCS #11 modules, which
//! sign and give no secret away.
//!
//! Wherever a signing key is named, in configuration or on the command line, a [`Place`] may stand: the path
//! of a file, or a `pkcs11:` URI (RFC 7512) that names token, key, module and the file of the PIN.
//!
//! Architecture invariants: no secret of a module is read, no PIN is logged, shown or part of an error.
//! A module's calls are made one at a time, off the asynchronous threads ([`aside`]), and, once its key is
//! loaded, never waited for without end.

mod error;
mod generate;
mod module;
mod place;
mod uri;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use jjj_token::{SignError, SigningKey};
use zeroize::Zeroizing;

pub use error::CustodyError;
pub use generate::generate;
pub use place::Place;
pub use uri::{Uri, UriError};

/// How long a module is waited for before it counts as unreachable.
pub const WITHIN: Duration = Duration::from_secs(5);

/// The key that is kept there. Of a module's key one signature is made and verified: the two halves belong
/// together, and the module knows the mechanism.
///
/// # Errors
/// See [`CustodyError`].
pub fn load(place: &Place) -> Result<SigningKey, CustodyError> {
    match place {
        Place::File(path) => SigningKey::from_pkcs8_pem(&read_secret(path)?)
            .map_err(|error| CustodyError::Key { path: path.clone(), error }),
        Place::Module(uri) => module::load(uri),
    }
}

/// Signs where it may take its time: with a key in memory at once, with one in a module on a thread that may
/// block, for at most [`WITHIN`].
///
/// # Errors
/// [`SignError::Unreachable`] after that time; a thread that hangs in the module is left behind.
pub async fn aside<T, F>(key: &Arc<SigningKey>, sign: F) -> Result<T, SignError>
where
    T: Send + 'static,
    F: FnOnce(&SigningKey) -> T + Send + 'static,
{
    if !key.may_block() {
        return Ok(sign(key));
    }
    let key = key.clone();
    let signed = tokio::task::spawn_blocking(move || sign(&key));
    match tokio::time::timeout(WITHIN, signed).await {
        Ok(Ok(signed)) => Ok(signed),
        Ok(Err(_)) => Err(SignError::Failed),
        Err(_) => Err(SignError::Unreachable),
    }
}

/// Reads a file that nobody but its owner may read.
///
/// # Errors
/// [`CustodyError::Unreadable`], [`CustodyError::Mode`].
pub fn read_secret(path: &Path) -> Result<Zeroizing<String>, CustodyError> {
    use std::os::unix::fs::PermissionsExt;
    let unreadable = |problem| CustodyError::Unreadable { path: path.to_owned(), problem };
    let mode = std::fs::metadata(path).map_err(unreadable)?.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(CustodyError::Mode { path: path.to_owned(), mode });
    }
    std::fs::read_to_string(path).map(Zeroizing::new).map_err(unreadable)
}
