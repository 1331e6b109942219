//! Status lists: the draft's own examples, round trips, refusals.

use jjj_token::JwsError;
use jjj_token::status_list::{
    EncodedList, STATUS_LIST_LEN, StatusList, StatusListClaims, StatusListError, TokenStatus, sign_status_list,
    status_of, status_place, verify_status_list,
};

use crate::support::{ed25519, keys, p256};

const BASE: &str = "https://gateway.test";
const URI: &str = "https://gateway.test/status/0";

fn claims(list: &StatusList) -> StatusListClaims {
    StatusListClaims { sub: URI.into(), iat: 1_000, exp: 1_060, ttl: 55, status_list: list.encode() }
}

/// draft-ietf-oauth-status-list §4.1 and §4.2: the examples of 1 and 2 bits.
#[test]
fn the_drafts_examples_are_read() {
    let of = |bits, lst: &str| StatusList::decode(&EncodedList { bits, lst: lst.into() }).unwrap();
    let one = of(1, "eNrbuRgAAhcBXQ");
    let expected = [1, 0, 0, 1, 1, 1, 0, 1, 1, 1, 0, 0, 0, 1, 0, 1];
    for (idx, status) in (0..).zip(expected) {
        let status = if status == 0 { TokenStatus::Valid } else { TokenStatus::Invalid };
        assert_eq!(one.get(idx), Some(status), "{idx}");
    }
    assert_eq!(one.get(16), None);
    let two = of(2, "eNo76fITAAPfAgc");
    use TokenStatus::{Invalid, Other, Suspended, Valid};
    let expected =
        [Invalid, Suspended, Valid, Other(3), Valid, Invalid, Valid, Invalid, Invalid, Suspended, Other(3), Other(3)];
    let read: Vec<_> = (0..12).map(|idx| two.get(idx).unwrap()).collect();
    assert_eq!(read, expected);
}

#[test]
fn what_a_list_does_not_vouch_for_is_invalid() {
    let mut list = StatusList::new();
    list.set(7, TokenStatus::Valid);
    list.set(8, TokenStatus::Suspended);
    list.set(STATUS_LIST_LEN - 1, TokenStatus::Valid);
    list.set(STATUS_LIST_LEN, TokenStatus::Valid);
    for key in keys() {
        let token = sign_status_list(&key, &claims(&list)).unwrap();
        assert!(token.len() < 1_000, "{} bytes: sparse lists are small", token.len());
        let (claims, read) = verify_status_list(&token, key.verifying_key(), URI, 1_059).unwrap();
        let at = |leaf| status_of(&claims, &read, &status_place(BASE, leaf));
        assert_eq!(at(7), Ok(TokenStatus::Valid));
        assert_eq!(at(8), Ok(TokenStatus::Suspended));
        assert_eq!(at(9), Ok(TokenStatus::Invalid));
        assert_eq!(at(STATUS_LIST_LEN - 1), Ok(TokenStatus::Valid));
        assert_eq!(at(STATUS_LIST_LEN), Err(StatusListError::SubjectMismatch));
        let beyond = jjj_token::recognition::StatusListReference { idx: STATUS_LIST_LEN, uri: URI.into() };
        assert_eq!(status_of(&claims, &read, &beyond).unwrap_err().reason(), "STATUS_LIST_NO_SUCH_PLACE");
    }
}

/// Even a list that does not compress stays within what is read.
#[test]
fn the_worst_list_is_short_enough() {
    let mut list = StatusList::new();
    let mut random = fastrand::Rng::with_seed(5);
    for idx in 0..STATUS_LIST_LEN {
        list.set(idx, if random.bool() { TokenStatus::Valid } else { TokenStatus::Other(random.u8(1..4)) });
    }
    let key = ed25519();
    let token = sign_status_list(&key, &claims(&list)).unwrap();
    let (_, read) = verify_status_list(&token, key.verifying_key(), URI, 1_000).unwrap();
    assert_eq!(read, list);
}

#[test]
fn bad_lists_are_refused_each_for_its_own_reason() {
    let key = ed25519();
    let good = claims(&StatusList::new());
    let zlib = |bytes: Vec<u8>| {
        use base64::Engine as _;
        use std::io::Write as _;
        let mut to = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::best());
        to.write_all(&bytes).unwrap();
        base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(to.finish().unwrap())
    };
    // 64 MiB of zeros in 64 KiB.
    let bomb = zlib(vec![0; 64 << 20]);
    let with =
        |bits, lst: &str| StatusListClaims { status_list: EncodedList { bits, lst: lst.into() }, ..good.clone() };
    for (claims, now_s, expected) in [
        (good.clone(), 1_060, "STATUS_LIST_STALE"),
        (good.clone(), 969, "STATUS_LIST_NOT_YET_VALID"),
        (StatusListClaims { sub: format!("{URI}0"), ..good.clone() }, 1_000, "STATUS_LIST_SUBJECT_MISMATCH"),
        (with(3, "eNrbuRgAAhcBXQ"), 1_000, "STATUS_LIST_BITS_INVALID"),
        (with(0, "eNrbuRgAAhcBXQ"), 1_000, "STATUS_LIST_BITS_INVALID"),
        (with(1, "eNrbuRgAAhcBXQ="), 1_000, "STATUS_LIST_NOT_COMPRESSED"),
        (with(1, "AAAA"), 1_000, "STATUS_LIST_NOT_COMPRESSED"),
        (with(1, "eNrbuRgAAhcBX"), 1_000, "STATUS_LIST_NOT_COMPRESSED"),
        (with(1, &bomb), 1_000, "STATUS_LIST_TOO_LONG"),
    ] {
        let token = sign_status_list(&key, &claims).unwrap();
        let refused = verify_status_list(&token, key.verifying_key(), URI, now_s).unwrap_err();
        assert_eq!(refused.reason(), expected);
    }
    let token = sign_status_list(&key, &good).unwrap();
    let refused = verify_status_list(&token, p256().verifying_key(), URI, 1_000).unwrap_err();
    assert_eq!(refused, StatusListError::Jws(JwsError::UnknownKey));
    let long = "a".repeat(jjj_token::status_list::MAX_STATUS_LIST_LEN + 1);
    assert_eq!(verify_status_list(&long, key.verifying_key(), URI, 0), Err(JwsError::TooLong.into()));
}
