//! Keys in PKCS #11 modules (OASIS PKCS #11 v3.0). A module is one per process, and so is its login; one
//! lock keeps its calls apart. What fails is opened anew with the next signature: the session first, then, for
//! a token that was taken out and put back, the module.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, TryLockError};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use cryptoki::context::{CInitializeArgs, CInitializeFlags, Pkcs11};
use cryptoki::error::{Error, RvError};
use cryptoki::mechanism::Mechanism;
use cryptoki::mechanism::eddsa::{EddsaParams, EddsaSignatureScheme};
use cryptoki::object::{Attribute, AttributeType, KeyType, ObjectClass, ObjectHandle};
use cryptoki::session::{Session, UserType};
use cryptoki::slot::Slot;
use cryptoki::types::AuthPin;
use jjj_token::{Algorithm, Custodian, Jwk, SignError, SigningKey};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use crate::error::CustodyError;
use crate::uri::Uri;
use crate::{WITHIN, read_secret};

/// How long a key that failed is left alone: its module's own time-outs may be long, and callers wait.
const REST: Duration = Duration::from_millis(500);
/// DER of `prime256v1` and, as SoftHSM and PKCS #11 v3.0 have it or by its object identifier, of Ed25519.
pub(crate) const P256: &[u8] = b"\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07";
pub(crate) const ED25519: &[u8] = b"\x13\x0cedwards25519";
const ED25519_OID: &[u8] = b"\x06\x03\x2b\x65\x70";
/// What a key signs to show that it can: no message of ours begins so.
const PROBE: &[u8] = b"jjj-custody-probe\0";

/// A module, loaded once.
struct Module {
    path: PathBuf,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    context: Option<Pkcs11>,
    /// Sessions that are logged in, with the private key found, by URI.
    open: HashMap<String, Open>,
    /// PINs that were refused, by URI.
    refused: HashMap<String, Zeroizing<String>>,
    /// Until when keys that failed are left alone.
    rests: HashMap<String, Instant>,
}

struct Open {
    session: Session,
    key: ObjectHandle,
}

/// A key in a module.
struct Kept {
    module: Arc<Module>,
    uri: Uri,
    algorithm: Algorithm,
}

pub(crate) fn load(uri: &Uri) -> Result<SigningKey, CustodyError> {
    let module = module(&uri.module)?;
    let jwk = {
        let mut state = module.lock().ok_or_else(|| CustodyError::Silent { uri: uri.to_string() })?;
        let open = state.opened(&module.path, uri)?;
        let jwk = public(&open.session, open.key, uri)?;
        state.open.insert(name(uri), open);
        jwk
    };
    let other_kind = |_| CustodyError::OtherKind { uri: uri.to_string() };
    let algorithm = if jwk.kty == "OKP" { Algorithm::EdDsa } else { Algorithm::Es256 };
    let kept = Kept { module, uri: uri.clone(), algorithm };
    let key = SigningKey::kept_by(Box::new(kept), &jwk).map_err(other_kind)?;
    match key.sign(PROBE) {
        Ok(_) => Ok(key),
        Err(SignError::Failed) => Err(CustodyError::Mismatch { uri: uri.to_string() }),
        Err(SignError::Unreachable) => Err(CustodyError::Silent { uri: uri.to_string() }),
    }
}

/// Runs `make` in a session that may write.
pub(crate) fn in_token<T>(
    uri: &Uri,
    make: impl FnOnce(&Session) -> Result<T, CustodyError>,
) -> Result<T, CustodyError> {
    let module = module(&uri.module)?;
    let mut state = module.lock().ok_or_else(|| CustodyError::Silent { uri: uri.to_string() })?;
    let session = state.session(&module.path, uri, true)?;
    make(&session)
}

/// The one of this library in this process.
fn module(path: &Path) -> Result<Arc<Module>, CustodyError> {
    static MODULES: Mutex<BTreeMap<PathBuf, Arc<Module>>> = Mutex::new(BTreeMap::new());
    // One library under two names would be begun twice.
    let unloadable = |e: std::io::Error| CustodyError::Module { path: path.to_owned(), problem: e.to_string() };
    let path = path.canonicalize().map_err(unloadable)?;
    let mut modules = MODULES.lock().expect("no panic while held");
    Ok(modules
        .entry(path.clone())
        .or_insert_with(|| Arc::new(Module { path, state: Mutex::new(State::default()) }))
        .clone())
}

fn name(uri: &Uri) -> String {
    format!("{uri}?{}", uri.pin.display())
}

impl Module {
    /// `None` while another call hangs in it. A panic inside leaves nothing half done that matters: what is open is
    /// opened anew when it fails.
    fn lock(&self) -> Option<MutexGuard<'_, State>> {
        let began = Instant::now();
        loop {
            match self.state.try_lock() {
                Ok(state) => return Some(state),
                Err(TryLockError::Poisoned(state)) => return Some(state.into_inner()),
                Err(TryLockError::WouldBlock) if began.elapsed() > WITHIN => return None,
                Err(TryLockError::WouldBlock) => std::thread::sleep(Duration::from_millis(1)),
            }
        }
    }
}

impl State {
    /// The library, loaded and begun.
    fn context(&mut self, path: &Path) -> Result<&Pkcs11, CustodyError> {
        let failed = |e: Error| CustodyError::Module { path: path.to_owned(), problem: e.to_string() };
        if self.context.is_none() {
            let context = Pkcs11::new(path).map_err(failed)?;
            begin(&context).map_err(failed)?;
            self.context = Some(context);
        }
        Ok(self.context.as_ref().expect("just put there"))
    }

    /// Ends the module's work, all sessions with it, and begins anew: it looks again what tokens there are.
    fn restart(&mut self, path: &Path) -> Result<(), CustodyError> {
        self.open.clear();
        let failed = |e: Error| CustodyError::Module { path: path.to_owned(), problem: e.to_string() };
        let Some(context) = &self.context else { return Ok(()) };
        // One that was not begun cannot be ended, and need not be.
        let _ = context.clone().finalize();
        begin(context).map_err(failed)
    }

    fn session(&mut self, path: &Path, uri: &Uri, writes: bool) -> Result<Session, CustodyError> {
        let context = self.context(path)?.clone();
        let failed = |e: Error| failed(uri, &e);
        let slot = slot(&context, uri)?;
        let pin = read_secret(&uri.pin)?;
        let pin = Zeroizing::new(pin.trim_end_matches(['\r', '\n']).to_owned());
        let refused = || CustodyError::Pin { uri: uri.to_string(), pin: uri.pin.clone() };
        if self.refused.get(&name(uri)) == Some(&pin) {
            return Err(refused());
        }
        let opened = if writes { context.open_rw_session(slot) } else { context.open_ro_session(slot) };
        let session = opened.map_err(failed)?;
        match session.login(UserType::User, Some(&AuthPin::from(pin.as_str()))) {
            // Another session of this process did.
            Ok(()) | Err(Error::Pkcs11(RvError::UserAlreadyLoggedIn, _)) => Ok(session),
            Err(Error::Pkcs11(RvError::PinIncorrect | RvError::PinLenRange | RvError::PinInvalid, _)) => {
                self.refused.insert(name(uri), pin);
                Err(refused())
            }
            Err(Error::Pkcs11(RvError::PinLocked, _)) => Err(CustodyError::PinLocked { uri: uri.to_string() }),
            Err(error) => Err(failed(error)),
        }
    }

    fn opened(&mut self, path: &Path, uri: &Uri) -> Result<Open, CustodyError> {
        let session = self.session(path, uri, false)?;
        let key = private(&session, uri)?;
        Ok(Open { session, key })
    }

    fn sign(&mut self, kept: &Kept, message: &[u8]) -> Result<Vec<u8>, SignError> {
        let name = name(&kept.uri);
        if self.rests.get(&name).is_some_and(|until| Instant::now() < *until) {
            return Err(SignError::Unreachable);
        }
        if let Some(open) = self.open.get(&name) {
            if let Ok(signature) = signed(open, kept.algorithm, message) {
                return Ok(signature);
            }
            self.open.remove(&name);
        }
        let path = &kept.module.path;
        let again = match self.opened(path, &kept.uri) {
            // Beginning anew changes no PIN.
            Err(error @ (CustodyError::Pin { .. } | CustodyError::PinLocked { .. })) => Err(error),
            Err(_) => self.restart(path).and_then(|()| self.opened(path, &kept.uri)),
            Ok(open) => Ok(open),
        };
        let signature = again.and_then(|open| {
            let signature = signed(&open, kept.algorithm, message).map_err(|e| failed(&kept.uri, &e))?;
            self.open.insert(name.clone(), open);
            Ok(signature)
        });
        signature.map_err(|error| {
            tracing::warn!(cause = %error, "a module does not sign");
            self.rests.insert(name, Instant::now() + REST);
            SignError::Unreachable
        })
    }
}

impl Custodian for Kept {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SignError> {
        self.module.lock().ok_or(SignError::Unreachable)?.sign(self, message)
    }
}

fn begin(context: &Pkcs11) -> cryptoki::error::Result<()> {
    match context.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK)) {
        // Somebody else in this process uses it.
        Err(Error::Pkcs11(RvError::CryptokiAlreadyInitialized, _)) => Ok(()),
        other => other,
    }
}

fn failed(uri: &Uri, error: &Error) -> CustodyError {
    CustodyError::Failed { uri: uri.to_string(), problem: error.to_string() }
}

fn slot(context: &Pkcs11, uri: &Uri) -> Result<Slot, CustodyError> {
    let slots = context.get_slots_with_token().map_err(|e| failed(uri, &e))?;
    let is = |given: &Option<String>, found: &str| given.as_deref().is_none_or(|given| given == found);
    let fits = |slot: &Slot| {
        uri.slot_id.is_none_or(|id| id == slot.id())
            && context.get_token_info(*slot).is_ok_and(|info| {
                info.token_initialized()
                    && is(&uri.token, info.label())
                    && is(&uri.serial, info.serial_number())
                    && is(&uri.manufacturer, info.manufacturer_id())
                    && is(&uri.model, info.model())
            })
    };
    one(
        slots.into_iter().filter(fits),
        || CustodyError::NoToken { uri: uri.to_string() },
        || CustodyError::SeveralTokens { uri: uri.to_string() },
    )
}

fn one<T>(
    mut found: impl Iterator<Item = T>,
    none: impl Fn() -> CustodyError,
    several: impl Fn() -> CustodyError,
) -> Result<T, CustodyError> {
    let first = found.next().ok_or_else(none)?;
    if found.next().is_some() { Err(several()) } else { Ok(first) }
}

/// The attributes by which the URI names a key.
pub(crate) fn named(uri: &Uri, class: ObjectClass) -> Vec<Attribute> {
    let label = uri.object.clone().map(|label| Attribute::Label(label.into_bytes()));
    let id = uri.id.clone().map(Attribute::Id);
    [Attribute::Class(class), Attribute::Token(true)].into_iter().chain(label).chain(id).collect()
}

fn private(session: &Session, uri: &Uri) -> Result<ObjectHandle, CustodyError> {
    let found = session.find_objects(&named(uri, ObjectClass::PRIVATE_KEY)).map_err(|e| failed(uri, &e))?;
    one(
        found.into_iter(),
        || CustodyError::NoKey { uri: uri.to_string() },
        || CustodyError::SeveralKeys { uri: uri.to_string() },
    )
}

/// The public half of a private key: the public object of its type and id, or where it has none, label.
fn public(session: &Session, key: ObjectHandle, uri: &Uri) -> Result<Jwk, CustodyError> {
    let failed = |e: Error| failed(uri, &e);
    let other_kind = || CustodyError::OtherKind { uri: uri.to_string() };
    let asked = [AttributeType::KeyType, AttributeType::Id, AttributeType::Label];
    let (mut kind, mut id, mut label) = (None, None, None);
    for attribute in session.get_attributes(key, &asked).map_err(failed)? {
        match attribute {
            Attribute::KeyType(found) => kind = Some(found),
            Attribute::Id(found) if !found.is_empty() => id = Some(Attribute::Id(found)),
            Attribute::Label(found) => label = Some(Attribute::Label(found)),
            _ => {}
        }
    }
    let kind = kind.filter(|kind| [KeyType::EC, KeyType::EC_EDWARDS].contains(kind)).ok_or_else(other_kind)?;
    let template = [Attribute::Class(ObjectClass::PUBLIC_KEY), Attribute::Token(true), Attribute::KeyType(kind)];
    let template: Vec<_> = template.into_iter().chain(id.or(label)).collect();
    let found = session.find_objects(&template).map_err(failed)?;
    let object = *found.first().ok_or_else(|| CustodyError::NoPublicKey { uri: uri.to_string() })?;
    let attributes =
        session.get_attributes(object, &[AttributeType::EcParams, AttributeType::EcPoint]).map_err(failed)?;
    let (mut curve, mut point) = (Vec::new(), Vec::new());
    for attribute in attributes {
        match attribute {
            Attribute::EcParams(found) => curve = found,
            Attribute::EcPoint(found) => point = found,
            _ => {}
        }
    }
    jwk(&curve, &point).ok_or_else(other_kind)
}

/// The point is a DER octet string; some modules leave the wrapping off.
fn jwk(curve: &[u8], point: &[u8]) -> Option<Jwk> {
    let text = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
    let unwrapped = |length: u8| match point {
        [4, stated, point @ ..] if *stated == length && point.len() == usize::from(length) => Some(point),
        point => (point.len() == usize::from(length)).then_some(point),
    };
    match curve {
        ED25519 | ED25519_OID => {
            Some(Jwk { kty: "OKP".into(), crv: "Ed25519".into(), x: text(unwrapped(32)?), y: None })
        }
        P256 => match unwrapped(65)? {
            [4, xy @ ..] => {
                let (x, y) = xy.split_at(32);
                Some(Jwk { kty: "EC".into(), crv: "P-256".into(), x: text(x), y: Some(text(y)) })
            }
            _ => None,
        },
        _ => None,
    }
}

fn signed(open: &Open, algorithm: Algorithm, message: &[u8]) -> cryptoki::error::Result<Vec<u8>> {
    match algorithm {
        Algorithm::EdDsa => {
            let pure = Mechanism::Eddsa(EddsaParams::new(EddsaSignatureScheme::Ed25519));
            open.session.sign(&pure, open.key, message)
        }
        // Not every module hashes by itself.
        _ => open.session.sign(&Mechanism::Ecdsa, open.key, &Sha256::digest(message)),
    }
}
