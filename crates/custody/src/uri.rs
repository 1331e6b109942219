//! `pkcs11:` URIs (RFC 7512), read strictly: what is not understood is refused, for ignored it would name
//! another key than was meant.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

pub(crate) const SCHEME: &str = "pkcs11:";

/// A private key in a module: which token, which key, which module, and the file of the PIN.
///
/// `pkcs11:token=jjj;object=gateway-2026?module-path=/usr/lib/softhsm/libsofthsm2.so&pin-source=file:/etc/jjj/pin`
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Uri {
    /// `token`, `serial`, `manufacturer`, `model`: each that is given must be the token's.
    pub(crate) token: Option<String>,
    pub(crate) serial: Option<String>,
    pub(crate) manufacturer: Option<String>,
    pub(crate) model: Option<String>,
    /// `slot-id`, decimal.
    pub(crate) slot_id: Option<u64>,
    /// `object`: the key's label.
    pub(crate) object: Option<String>,
    /// `id`: the key's `CKA_ID`.
    pub(crate) id: Option<Vec<u8>>,
    /// `module-path`.
    pub(crate) module: PathBuf,
    /// `pin-source`, a file. Its mode must be 0600.
    pub(crate) pin: PathBuf,
    /// The path's attributes as they were given, which is what is shown.
    shown: String,
}

/// Why a text is no URI of a key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UriError {
    /// Neither `name=value`, nor a name that is known.
    #[error("the pkcs11 URI has an attribute that is not supported: {name}")]
    Attribute {
        /// What stands there, cut to 32 characters, without its value.
        name: String,
    },
    /// An attribute is given twice.
    #[error("the pkcs11 URI says {name} twice")]
    Twice {
        /// Which.
        name: String,
    },
    /// A value is not percent-encoded UTF-8, or not of its attribute's form.
    #[error("the pkcs11 URI's {name} is malformed")]
    Value {
        /// Of which attribute.
        name: String,
    },
    /// Neither `object` nor `id`, or no `module-path` or `pin-source`.
    #[error("the pkcs11 URI lacks {name}")]
    Missing {
        /// What is missing.
        name: &'static str,
    },
    /// `pin-value`: configurations, processes' arguments and shells' histories are read by others.
    #[error("the pkcs11 URI must not hold the PIN: name a file of mode 0600 as pin-source")]
    PinInside,
}

impl Uri {
    pub(crate) fn rooted(&self, dir: &Path) -> Self {
        Self { module: dir.join(&self.module), pin: dir.join(&self.pin), ..self.clone() }
    }

    /// The label of the key, where the URI names it so.
    pub fn object(&self) -> Option<&str> {
        self.object.as_deref()
    }

    fn set(&mut self, name: &str, value: &str) -> Result<(), UriError> {
        let malformed = || UriError::Value { name: name.to_owned() };
        let bytes = decoded(value).ok_or_else(malformed)?;
        let text = || String::from_utf8(bytes.clone()).ok().filter(|text| !text.contains('\0')).ok_or_else(malformed);
        let fresh = match name {
            "token" => self.token.replace(text()?).is_none(),
            "serial" => self.serial.replace(text()?).is_none(),
            "manufacturer" => self.manufacturer.replace(text()?).is_none(),
            "model" => self.model.replace(text()?).is_none(),
            "slot-id" => self.slot_id.replace(text()?.parse().map_err(|_| malformed())?).is_none(),
            "object" => self.object.replace(text()?).is_none(),
            "id" if bytes.is_empty() => return Err(malformed()),
            "id" => self.id.replace(bytes).is_none(),
            // What is meant is always the private key.
            "type" if value == "private" => true,
            "module-path" => place(&mut self.module, text()?.into()),
            "pin-source" => place(&mut self.pin, pin_file(&text()?).ok_or_else(malformed)?),
            "pin-value" => return Err(UriError::PinInside),
            _ => return Err(unsupported(name)),
        };
        if fresh { Ok(()) } else { Err(UriError::Twice { name: name.to_owned() }) }
    }
}

fn place(to: &mut PathBuf, path: PathBuf) -> bool {
    std::mem::replace(to, path).as_os_str().is_empty()
}

/// A file's URI or path. `|command` of RFC 7512 §2.4 is not run.
fn pin_file(source: &str) -> Option<PathBuf> {
    let path = match source.strip_prefix("file:") {
        Some(rest) => rest.strip_prefix("//").unwrap_or(rest),
        None if source.starts_with('|') || source.contains("://") => return None,
        None => source,
    };
    (!path.is_empty()).then(|| path.into())
}

fn unsupported(name: &str) -> UriError {
    UriError::Attribute { name: name.chars().take(32).collect() }
}

impl FromStr for Uri {
    type Err = UriError;

    fn from_str(text: &str) -> Result<Self, UriError> {
        let rest = text.strip_prefix(SCHEME).ok_or_else(|| unsupported(text))?;
        let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
        let mut uri = Self { shown: format!("{SCHEME}{path}"), ..Self::default() };
        let attributes = path.split(';').map(|given| (given, false)).chain(query.split('&').map(|given| (given, true)));
        for (given, in_query) in attributes.filter(|(given, _)| !given.is_empty()) {
            let (name, value) = given.split_once('=').ok_or_else(|| unsupported(given))?;
            if in_query != matches!(name, "module-path" | "pin-source" | "pin-value") {
                return Err(unsupported(name));
            }
            uri.set(name, value)?;
        }
        let missing = |name| Err(UriError::Missing { name });
        match &uri {
            Self { object: None, id: None, .. } => missing("object or id"),
            Self { module, .. } if module.as_os_str().is_empty() => missing("module-path"),
            Self { pin, .. } if pin.as_os_str().is_empty() => missing("pin-source"),
            _ => Ok(uri),
        }
    }
}

/// Without module and PIN file.
impl fmt::Display for Uri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}

/// RFC 3986 §2.1.
fn decoded(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, tail)) = rest.split_first() {
        rest = tail;
        if *first != b'%' {
            bytes.push(*first);
            continue;
        }
        let (digits, tail) = rest.split_at_checked(2)?;
        let digits = std::str::from_utf8(digits).ok().filter(|d| d.bytes().all(|b| b.is_ascii_hexdigit()))?;
        bytes.push(u8::from_str_radix(digits, 16).ok()?);
        rest = tail;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUERY: &str = "?module-path=/m.so&pin-source=file:/etc/pin";

    #[test]
    fn a_key_is_named_by_token_and_label_or_id() {
        let uri: Uri = format!("pkcs11:token=The%20token;serial=7;id=%01%ff;type=private{QUERY}").parse().unwrap();
        assert_eq!((uri.token.as_deref(), uri.serial.as_deref()), (Some("The token"), Some("7")));
        assert_eq!((uri.id.as_deref(), uri.object()), (Some(&[1, 255][..]), None));
        assert_eq!((uri.module.as_path(), uri.pin.as_path()), (Path::new("/m.so"), Path::new("/etc/pin")));
        assert_eq!(uri.to_string(), "pkcs11:token=The%20token;serial=7;id=%01%ff;type=private");
        for (source, file) in
            [("file:pin", "/etc/jjj/pin"), ("file:///etc/pin", "/etc/pin"), ("pin", "/etc/jjj/pin"), ("/p", "/p")]
        {
            let uri: Uri = format!("pkcs11:object=k?pin-source={source}&module-path=m.so").parse().unwrap();
            let uri = uri.rooted(Path::new("/etc/jjj"));
            assert_eq!((uri.pin.as_path(), uri.module.as_path()), (Path::new(file), Path::new("/etc/jjj/m.so")));
        }
    }

    #[test]
    fn what_would_name_another_key_is_refused() {
        let named = |name: &str| name.to_owned();
        for (text, expected) in [
            (format!("pkcs11:{QUERY}"), UriError::Missing { name: "object or id" }),
            (named("pkcs11:object=k?pin-source=file:p"), UriError::Missing { name: "module-path" }),
            (named("pkcs11:object=k?module-path=m"), UriError::Missing { name: "pin-source" }),
            (format!("pkcs11:object=k{QUERY}&pin-value=1234"), UriError::PinInside),
            (format!("pkcs11:object=k;object=l{QUERY}"), UriError::Twice { name: named("object") }),
            (format!("pkcs11:object=k{QUERY}&module-path=n"), UriError::Twice { name: named("module-path") }),
            (format!("pkcs11:object=k;type=public{QUERY}"), UriError::Attribute { name: named("type") }),
            (format!("pkcs11:object=k;x-vendor=1{QUERY}"), UriError::Attribute { name: named("x-vendor") }),
            (format!("pkcs11:object=k;pin-source=file:p{QUERY}"), UriError::Attribute { name: named("pin-source") }),
            (format!("pkcs11:k{QUERY}"), UriError::Attribute { name: named("k") }),
            (format!("pkcs11:object=%{QUERY}"), UriError::Value { name: named("object") }),
            (format!("pkcs11:object=%+1{QUERY}"), UriError::Value { name: named("object") }),
            (format!("pkcs11:object=%ff{QUERY}"), UriError::Value { name: named("object") }),
            (format!("pkcs11:id={QUERY}"), UriError::Value { name: named("id") }),
            (format!("pkcs11:object=k;slot-id=x{QUERY}"), UriError::Value { name: named("slot-id") }),
            (named("pkcs11:object=k?pin-source=|cat&module-path=m"), UriError::Value { name: named("pin-source") }),
            (named("pkcs11:object=k?pin-source=http://x&module-path=m"), UriError::Value { name: named("pin-source") }),
        ] {
            assert_eq!(text.parse::<Uri>(), Err(expected), "{text}");
        }
    }
}
