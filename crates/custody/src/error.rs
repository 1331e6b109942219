//! Why a key cannot be had. No error holds a PIN or a secret.

use std::path::PathBuf;

use jjj_token::KeyError;

/// Why a key cannot be loaded from where it is kept, or made there.
#[derive(Debug, thiserror::Error)]
pub enum CustodyError {
    /// A file that is not there, or not ours to read.
    #[error("{}: {problem}", path.display())]
    Unreadable { path: PathBuf, problem: std::io::Error },
    /// Others may read a secret.
    #[error("{} has mode {mode:04o}; it must be 0600", path.display())]
    Mode { path: PathBuf, mode: u32 },
    /// The file holds no key.
    #[error("{}: {error}", path.display())]
    Key { path: PathBuf, error: KeyError },
    /// The module's library cannot be loaded, or does not begin.
    #[error("the module {}: {problem}", path.display())]
    Module { path: PathBuf, problem: String },
    /// No token in the module is the one that is named.
    #[error("{uri}: the module has no such token")]
    NoToken { uri: String },
    /// Several are.
    #[error("{uri}: the module has several such tokens")]
    SeveralTokens { uri: String },
    /// The token refuses the PIN. The same PIN is not tried again, for tokens lock themselves.
    #[error("{uri}: the token refuses the PIN in {}", pin.display())]
    Pin { uri: String, pin: PathBuf },
    /// The token has locked itself.
    #[error("{uri}: the token has locked the PIN")]
    PinLocked { uri: String },
    /// No private key of the token is the one that is named.
    #[error("{uri}: the token has no such private key")]
    NoKey { uri: String },
    /// Several are.
    #[error("{uri}: the token has several such private keys")]
    SeveralKeys { uri: String },
    /// A key's public half is not in the token as an object of the same id or label.
    #[error("{uri}: the token has no public key beside the private one")]
    NoPublicKey { uri: String },
    /// Neither Ed25519 nor P-256. PKCS #11 knows no SM2.
    #[error("{uri}: the key is neither an Ed25519 nor a P-256 key")]
    OtherKind { uri: String },
    /// Its signature does not verify with the public key beside it.
    #[error("{uri}: the private key and the public one beside it do not belong together")]
    Mismatch { uri: String },
    /// There is a key of this name already.
    #[error("{uri}: there is such a key already")]
    Exists { uri: String },
    /// Only Ed25519 and P-256 keys are made in modules, and with a label.
    #[error("{uri}: {problem}")]
    NotMade { uri: String, problem: &'static str },
    /// The module failed otherwise.
    #[error("{uri}: {problem}")]
    Failed { uri: String, problem: String },
    /// The module did not answer.
    #[error("{uri}: the module does not answer")]
    Silent { uri: String },
}
