use jjj_token::SigningKey;
use jjj_token::merkle::leaf_hash;
use jjj_token::receipt::{Receipt, ReceiptBody, ReceiptError, sign_receipts};

use crate::support::{ed25519, keys, stranger};

fn body(number: usize) -> ReceiptBody {
    ReceiptBody {
        record: format!("ratings/{number}"),
        version: 1 + number as i64,
        leaf_hash: leaf_hash(&number.to_be_bytes()),
        log_deadline_us: 1_767_225_660_000_000,
    }
}

fn receipts(key: &SigningKey, count: usize) -> Vec<Receipt> {
    let bodies: Vec<_> = (0..count).map(body).collect();
    sign_receipts(key, "gateway.example", &bodies).unwrap()
}

#[test]
fn every_receipt_of_a_batch_verifies_alone() {
    for key in keys() {
        for count in [1, 2, 3, 7, 8, 33] {
            let receipts = receipts(&key, count);
            assert_eq!(receipts.len(), count);
            for (number, receipt) in receipts.iter().enumerate() {
                assert_eq!(receipt.body(), body(number));
                assert_eq!(receipt.signature, receipts[0].signature);
                assert_eq!(receipt.verify(key.verifying_key()), Ok(()));
            }
        }
    }
    assert_eq!(sign_receipts(&ed25519(), "gateway.example", &[]), Ok(vec![]));
}

#[test]
fn anything_changed_is_refused() {
    let key = ed25519();
    let receipt = receipts(&key, 5).remove(1);
    let reason = |change: &dyn Fn(&mut Receipt)| {
        let mut changed = receipt.clone();
        change(&mut changed);
        changed.verify(key.verifying_key()).unwrap_err().reason()
    };
    let invalid = "RECEIPT_SIGNATURE_INVALID";
    assert_eq!(reason(&|r| r.origin = "other.example".into()), invalid);
    assert_eq!(reason(&|r| r.record = "ratings/2".into()), invalid);
    assert_eq!(reason(&|r| r.version += 1), invalid);
    assert_eq!(reason(&|r| r.leaf_hash[0] ^= 1), invalid);
    assert_eq!(reason(&|r| r.log_deadline_us += 1), invalid);
    assert_eq!(reason(&|r| r.batch_index = 0), invalid);
    assert_eq!(reason(&|r| r.batch_size = 6), invalid);
    assert_eq!(reason(&|r| r.path[0][0] ^= 1), invalid);
    assert_eq!(reason(&|r| r.signature[0] ^= 1), invalid);
    assert_eq!(reason(&|r| r.signature.clear()), "RECEIPT_SIGNATURE_LENGTH_WRONG");
    assert_eq!(reason(&|r| r.batch_index = 5), "PROOF_INDEX_OUT_OF_RANGE");
    assert_eq!(reason(&|r| r.batch_size = 0), "PROOF_INDEX_OUT_OF_RANGE");
    assert_eq!(reason(&|r| r.batch_size = u32::MAX), "PROOF_TOO_SHORT");
    assert_eq!(reason(&|r| r.path.truncate(1)), "PROOF_TOO_SHORT");
    assert_eq!(reason(&|r| r.path.push([0; 32])), "PROOF_TOO_LONG");
    assert_eq!(reason(&|r| r.kid = stranger().kid().into()), "RECEIPT_KEY_UNKNOWN");
    // A line more, so that the leaf reads as another receipt's.
    assert_eq!(reason(&|r| r.record = "ratings/1\n2".into()), "RECEIPT_NAME_MALFORMED");
    assert_eq!(receipt.verify(stranger().verifying_key()), Err(ReceiptError::UnknownKey));
}

#[test]
fn names_that_would_be_ambiguous_are_not_signed() {
    for (origin, record, name) in [
        ("", "ratings/1", "origin"),
        ("a\nb", "ratings/1", "origin"),
        ("a", "", "record"),
        ("a", "ratings/1\n2", "record"),
        ("a", "ratings/\u{85}", "record"),
    ] {
        let body = ReceiptBody { record: record.into(), ..body(0) };
        let refused = sign_receipts(&ed25519(), origin, &[body]).unwrap_err();
        assert_eq!(refused, ReceiptError::Name { name });
    }
}

/// Frozen: the format that offline verifiers rely on.
#[test]
fn golden_receipt() {
    let golden = include_str!("golden/receipt.json").trim_end();
    let receipt = receipts(&ed25519(), 3).remove(2);
    assert_eq!(serde_json::to_string(&receipt).unwrap(), golden);
    let read = Receipt::from_json(golden.as_bytes()).unwrap();
    assert_eq!(read, receipt);
    read.verify(ed25519().verifying_key()).unwrap();
}

#[test]
fn json_is_read_strictly() {
    let good = include_str!("golden/receipt.json").trim_end();
    let malformed = [
        good.replacen('{', r#"{"note":1,"#, 1),
        good.replacen('{', r#"{"origin":"gateway.example","#, 1),
        good.replace(r#""version":"3""#, r#""version":3"#),
        good.replace(r#""version":"3""#, r#""version":"03""#),
        good.replace(r#""version":"3""#, r#""version":"9223372036854775808""#),
        good.replace(r#""batch_size":3"#, r#""batch_size":4294967296"#),
        good.to_uppercase(),
        format!("{good}{good}"),
        "[]".into(),
    ];
    for json in malformed {
        assert_eq!(Receipt::from_json(json.as_bytes()), Err(ReceiptError::Malformed), "{json}");
    }
}
