//! The one message of a call, out of its HTTP body, uncompressed, with its exact bytes.

use std::time::Duration;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use http_body_util::BodyExt;
use jjj_token::Hash;
use jjj_token::merkle::{items_root, leaf_hash};
use jjj_wire::methods::Method;
use jjj_wire::pb::BatchMutateRequest;
use prost::Message as _;
use tokio::sync::Semaphore;
use tonic::body::Body;

use super::{Item, MAX_ITEMS, MAX_MESSAGE_LEN, Refusal};

/// Flag and length before each gRPC message.
const PREFIX_LEN: usize = 5;

/// How long a message may take to arrive.
pub(super) const READ_WITHIN: Duration = Duration::from_secs(20);
/// Bytes of messages that one connection may have on their way at once: eight of the largest.
pub(crate) const UNREAD_LEN: usize = 8 * (MAX_MESSAGE_LEN + PREFIX_LEN);

/// That the message is not compressed: signatures cover the plain bytes.
pub(super) fn check_plain(headers: &http::HeaderMap) -> Result<(), Refusal> {
    match headers.get("grpc-encoding").is_some_and(|encoding| encoding != "identity") {
        true => Err(Refusal::Compressed),
        false => Ok(()),
    }
}

/// Reads the body of a call that carries exactly one message. What is read and not whole yet counts
/// against the connection's `unread`; beyond, the call is refused rather than kept waiting: what waits
/// would take the room of what is under way.
pub(super) async fn read_message(body: Body, unread: &Semaphore, within: Duration) -> Result<Bytes, Refusal> {
    tokio::time::timeout(within, read(body, unread)).await.map_err(|_| Refusal::MessageLate)?
}

async fn read(mut body: Body, unread: &Semaphore) -> Result<Bytes, Refusal> {
    let mut frame = BytesMut::new();
    let mut held = unread.try_acquire_many(0).map_err(|_| Refusal::ConnectionBusy)?;
    while let Some(part) = body.frame().await {
        let Ok(data) = part.map_err(|_| Refusal::MessageMalformed)?.into_data() else { continue };
        if frame.len() + data.len() > MAX_MESSAGE_LEN + PREFIX_LEN {
            return Err(Refusal::MessageTooLarge);
        }
        held.merge(unread.try_acquire_many(data.len() as u32).map_err(|_| Refusal::ConnectionBusy)?);
        frame.extend_from_slice(&data);
    }
    let mut frame = frame.freeze();
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

#[cfg(test)]
mod tests {
    use futures_util::{StreamExt, stream};
    use http_body_util::StreamBody;
    use hyper::body::Frame;
    use tonic_types::StatusExt;

    use super::*;
    use crate::status;

    #[tokio::test]
    async fn a_message_that_does_not_end_is_refused_and_may_be_sent_again() {
        let unread = Semaphore::new(UNREAD_LEN);
        let begun = stream::iter([Ok::<_, tonic::Status>(Frame::data(Bytes::from_static(b"\0\0\0\0\x05ab")))]);
        let body = Body::new(StreamBody::new(begun.chain(stream::pending())));
        let refusal = read_message(body, &unread, Duration::from_millis(50)).await.unwrap_err();
        assert_eq!(refusal, Refusal::MessageLate);
        assert_eq!(unread.available_permits(), UNREAD_LEN, "its room is free again");
        let status = status::refused(&refusal);
        assert_eq!(status.code(), tonic::Code::DeadlineExceeded);
        assert!(status.get_details_retry_info().is_some());
    }
}
