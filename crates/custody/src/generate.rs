//! New keys, made in a module and never outside.

use aws_lc_rs::rand::{SecureRandom, SystemRandom};
use cryptoki::mechanism::Mechanism;
use cryptoki::object::{Attribute, ObjectClass};
use jjj_token::{Algorithm, SigningKey};

use crate::error::CustodyError;
use crate::module::{ED25519, P256, in_token, load, named};
use crate::uri::Uri;

/// Makes a key in a module under the URI's `object` and its `id` or a random one: sensitive, not extractable.
///
/// # Errors
/// [`CustodyError::Exists`]; [`CustodyError::NotMade`] for SM2, for which PKCS #11 has no mechanism, and without
/// `object`; what the module says.
pub fn generate(uri: &Uri, algorithm: Algorithm) -> Result<SigningKey, CustodyError> {
    let not_made = |problem| CustodyError::NotMade { uri: uri.to_string(), problem };
    let (mechanism, curve) = match algorithm {
        Algorithm::EdDsa => (Mechanism::EccEdwardsKeyPairGen, ED25519),
        Algorithm::Es256 => (Mechanism::EccKeyPairGen, P256),
        Algorithm::Sm2 => return Err(not_made("PKCS #11 has no mechanism of SM2")),
    };
    let label = uri.object().ok_or_else(|| not_made("a new key needs a label, object="))?;
    let mut id = uri.id.clone().unwrap_or_else(|| vec![0; 16]);
    if uri.id.is_none() {
        SystemRandom::new().fill(&mut id).map_err(|_| not_made("no randomness"))?;
    }
    in_token(uri, |session| {
        let failed = |e: cryptoki::error::Error| CustodyError::Failed { uri: uri.to_string(), problem: e.to_string() };
        for class in [ObjectClass::PRIVATE_KEY, ObjectClass::PUBLIC_KEY] {
            if !session.find_objects(&named(uri, class)).map_err(failed)?.is_empty() {
                return Err(CustodyError::Exists { uri: uri.to_string() });
            }
        }
        let both = [Attribute::Token(true), Attribute::Label(label.as_bytes().to_vec()), Attribute::Id(id.clone())];
        let public = [Attribute::EcParams(curve.to_vec()), Attribute::Private(false), Attribute::Verify(true)];
        let private = [
            Attribute::Private(true),
            Attribute::Sensitive(true),
            Attribute::Extractable(false),
            Attribute::Sign(true),
        ];
        let public = [&both[..], &public].concat();
        session.generate_key_pair(&mechanism, &public, &[&both[..], &private].concat()).map_err(failed)
    })?;
    load(uri)
}
