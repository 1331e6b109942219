use jjj_token::seal::{
    DataKey, MasterKey, OVERHEAD_LEN, SealError, commitment, decrypt, encrypt, lookup_hash, unwrap_key, wrap_key,
};
use jjj_token::thumbprint;
use proptest::prelude::*;

use crate::support::hash;

/// NIST's GCM test case 14: AES-256, zero key, zero nonce, 16 zero bytes.
#[test]
fn aes_256_gcm_vector() {
    let sealed = encrypt(&DataKey::new(&[0; 32]), b"", [0; 12], &[0; 16]).unwrap();
    let expected = "01\
                    000000000000000000000000\
                    cea7403d4d606b6e074ec5d3baf39d18\
                    d0d1c8a799996bf0265b98b5d48ab919";
    assert_eq!(hex::encode(sealed), expected);
}

#[test]
fn wrapped_and_unwrapped() {
    let master = MasterKey::new(&[1; 32]);
    let mut filled = 0;
    let key = DataKey::generate(&mut |bytes| {
        filled += bytes.len();
        bytes.fill(5);
    });
    assert_eq!(filled, 32);
    let wrapped = wrap_key(&master, &key, b"persons/1", [2; 12]).unwrap();
    assert_eq!(wrapped.len(), 32 + OVERHEAD_LEN);
    let sealed = encrypt(&key, b"persons/1/name", [3; 12], "王".as_bytes()).unwrap();
    let unwrapped = unwrap_key(&master, b"persons/1", &wrapped).unwrap();
    let opened = decrypt(&unwrapped, b"persons/1/name", &sealed).unwrap();
    assert_eq!(opened.as_slice(), "王".as_bytes());

    let refused = |master: &MasterKey, aad: &[u8]| unwrap_key(master, aad, &wrapped).unwrap_err();
    assert_eq!(refused(&master, b"persons/2"), SealError::Unauthentic);
    assert_eq!(refused(&MasterKey::new(&[9; 32]), b"persons/1"), SealError::Unauthentic);
    assert_eq!(decrypt(&unwrapped, b"persons/1/card", &sealed), Err(SealError::Unauthentic));
}

/// Data sealed under the same bytes as the master secret does not open as a key: the wrapping key
/// is derived.
#[test]
fn the_master_secret_encrypts_nothing() {
    let sealed = encrypt(&DataKey::new(&[1; 32]), b"", [0; 12], &[0; 32]).unwrap();
    let refused = unwrap_key(&MasterKey::new(&[1; 32]), b"", &sealed).unwrap_err();
    assert_eq!(refused, SealError::Unauthentic);
}

#[test]
fn damaged_values_refused() {
    let key = DataKey::new(&[4; 32]);
    let sealed = encrypt(&key, b"aad", [3; 12], b"content").unwrap();
    let reason = |sealed: &[u8]| decrypt(&key, b"aad", sealed).unwrap_err().reason();
    for len in 0..OVERHEAD_LEN {
        assert_eq!(reason(&sealed[..len]), "SEAL_TRUNCATED");
    }
    for len in OVERHEAD_LEN..sealed.len() {
        assert_eq!(reason(&sealed[..len]), "SEAL_NOT_AUTHENTIC");
    }
    assert_eq!(reason(&[&sealed[..], &[0]].concat()), "SEAL_NOT_AUTHENTIC");
    for at in 0..sealed.len() {
        let mut changed = sealed.clone();
        changed[at] ^= 0x80;
        let expected = if at == 0 { "SEAL_FORMAT_UNKNOWN" } else { "SEAL_NOT_AUTHENTIC" };
        assert_eq!(reason(&changed), expected);
    }
    let empty = encrypt(&key, b"", [3; 12], b"").unwrap();
    assert_eq!(empty.len(), OVERHEAD_LEN);
    assert!(decrypt(&key, b"", &empty).unwrap().is_empty());
}

/// Frozen: stored hashes must be found again by every later version.
#[test]
fn golden_lookup_hash() {
    let master = MasterKey::new(&[1; 32]);
    let found = lookup_hash(&master, "RESIDENT_ID", "11010519491231002X");
    assert_eq!(found, include_str!("golden/lookup_hash.txt").trim_end());
    assert_ne!(found, lookup_hash(&master, "SOCIAL_SECURITY", "11010519491231002X"));
    assert_ne!(found, lookup_hash(&MasterKey::new(&[2; 32]), "RESIDENT_ID", "11010519491231002X"));
    // Where the kind ends is part of what is hashed.
    assert_ne!(lookup_hash(&master, "AB", "C"), lookup_hash(&master, "A", "BC"));
}

#[test]
fn commitments() {
    use sha2::{Digest, Sha256};
    let expected: [u8; 32] = Sha256::digest([&[7u8; 32][..], b"{}"].concat()).into();
    assert_eq!(commitment(&[7; 32], b"{}"), expected);
    assert_ne!(commitment(&[8; 32], b"{}"), expected);
    assert_ne!(commitment(&[7; 32], b"{ }"), expected);
}

#[test]
fn debug_shows_no_secret() {
    assert_eq!(format!("{:?}", MasterKey::new(&[1; 32])), "MasterKey([redacted])");
    assert_eq!(format!("{:?}", DataKey::new(&[1; 32])), "DataKey([redacted])");
}

#[test]
fn certificate_thumbprints() {
    let empty = hash("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    assert_eq!(thumbprint::certificate_sha256(b""), empty);
    let text = thumbprint::x5t_s256(b"");
    assert_eq!(text, "47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU");
    assert_eq!(thumbprint::parse_x5t_s256(&text), Some(empty));
    assert_eq!(thumbprint::parse_x5t_s256(&format!("{text}=")), None);
    assert_eq!(thumbprint::parse_x5t_s256(&text[1..]), None);
}

proptest! {
    #[test]
    fn sealed_values_open(plaintext: Vec<u8>, aad: Vec<u8>, nonce: [u8; 12], secret: [u8; 32]) {
        let key = DataKey::new(&secret);
        let sealed = encrypt(&key, &aad, nonce, &plaintext).unwrap();
        prop_assert_eq!(sealed.len(), plaintext.len() + OVERHEAD_LEN);
        let opened = decrypt(&key, &aad, &sealed).unwrap();
        prop_assert_eq!(opened.as_slice(), plaintext);
    }

    #[test]
    fn arbitrary_values_are_refused(sealed: Vec<u8>) {
        prop_assert!(decrypt(&DataKey::new(&[0; 32]), b"", &sealed).is_err());
    }
}
