//! The one message of a call, out of its HTTP body, uncompressed, with its exact bytes.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use jjj_token::Hash;
use jjj_token::merkle::{items_root, leaf_hash};
use jjj_wire::methods::Method;
use jjj_wire::pb::BatchMutateRequest;
use prost::Message as _;
use tonic::body::Body;

use super::{Item, MAX_ITEMS, MAX_MESSAGE_LEN, Refusal};

/// Flag and length before each gRPC message.
const PREFIX_LEN: usize = 5;

/// Reads the body of a call that carries exactly one message.
pub(super) async fn read_message(headers: &http::HeaderMap, body: Body) -> Result<Bytes, Refusal> {
    if headers.get("grpc-encoding").is_some_and(|encoding| encoding != "identity") {
        return Err(Refusal::Compressed);
    }
    let collected = Limited::new(body, MAX_MESSAGE_LEN + PREFIX_LEN).collect().await;
    let mut frame = collected
        .map_err(|e| if e.is::<LengthLimitError>() { Refusal::MessageTooLarge } else { Refusal::MessageMalformed })?
        .to_bytes();
    if frame.len() < PREFIX_LEN {
        return Err(Refusal::MessageMalformed);
    }
    let compressed = frame.get_u8() != 0;
    let length = frame.get_u32() as usize;
    match (compressed, length == frame.len()) {
        (true, _) => Err(Refusal::Compressed),
        (false, false) => Err(Refusal::MessageMalformed),
        (false, true) => Ok(frame),
    }
}

/// The message framed again, for the service behind.
pub(super) fn framed(message: &Bytes) -> Body {
    let mut frame = BytesMut::with_capacity(PREFIX_LEN + message.len());
    frame.put_u8(0);
    frame.put_u32(message.len() as u32);
    frame.extend_from_slice(message);
    Body::new(http_body_util::Full::new(frame.freeze()))
}

/// What a token for this message must bind, and the items it covers.
pub(super) fn items(method: &Method, message: &Bytes) -> Result<(Hash, Vec<Item>), Refusal> {
    if !method.batch {
        let leaf_hash = leaf_hash(message);
        return Ok((leaf_hash, vec![Item { bytes: message.clone(), leaf_hash, path: Vec::new() }]));
    }
    let batch = BatchMutateRequest::decode(message.clone()).map_err(|_| Refusal::BatchMalformed)?;
    if !(1..=MAX_ITEMS).contains(&batch.items.len()) {
        return Err(Refusal::BatchSize);
    }
    let bytes: Vec<&[u8]> = batch.items.iter().map(|item| item.as_ref()).collect();
    let (root, paths) = items_root(&bytes);
    let items = batch.items.iter().zip(paths).map(|(item, path)| {
        let bytes = item.clone();
        Item { leaf_hash: leaf_hash(&bytes), bytes, path }
    });
    Ok((root, items.collect()))
}
