//! The tower layer itself.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::{Request, Response};
use tokio::sync::OwnedSemaphorePermit;
use tonic::Status;
use tonic::body::Body;
use tower::{Layer, Service};

use super::verify::{self, Door};
use super::{Refusal, body, heavy};
use crate::status::{self, Refused};
use crate::tls::Peer;

/// Puts [`Identify`] before services.
#[derive(Clone)]
pub struct IdentifyLayer {
    door: Arc<Door>,
}

impl IdentifyLayer {
    pub fn new(registry: Arc<crate::registry::Registry>, clock: crate::Clock, audience: String) -> Self {
        Self { door: Arc::new(Door { registry, clock, audience, turns: heavy::turns() }) }
    }
}

impl<S> Layer<S> for IdentifyLayer {
    type Service = Identify<S>;
    fn layer(&self, inner: S) -> Identify<S> {
        Identify { door: self.door.clone(), inner }
    }
}

/// Passes on verified calls, with a [`super::Caller`] in their extensions.
#[derive(Clone)]
pub struct Identify<S> {
    door: Arc<Door>,
    inner: S,
}

/// What the certificate alone opens.
const CERTIFICATE_ONLY: [&str; 2] = ["/grpc.health.v1.", "/grpc.reflection."];

impl<S> Service<Request<Body>> for Identify<S>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let door = self.door.clone();
        // The instance that was polled ready takes the call; its clone waits for the next.
        let next = self.inner.clone();
        let mut inner = std::mem::replace(&mut self.inner, next);
        Box::pin(async move {
            match admit(&door, request).await {
                Ok((request, _turn)) => inner.call(request).await.map(malformed_is_said),
                Err(refused) => {
                    if let Refused::AtTheDoor(refusal) = &refused {
                        tracing::debug!(reason = refusal.reason(), "refused");
                    }
                    Ok(Status::from(refused).into_http())
                }
            }
        })
    }
}

/// What is behind says a reason with every status of its own. A bare INTERNAL is the framework's, which
/// could not decode the message: the caller's fault, and to be said as such.
fn malformed_is_said(response: Response<Body>) -> Response<Body> {
    let headers = response.headers();
    let is_internal = headers.get(Status::GRPC_STATUS).is_some_and(|code| code == "13");
    match is_internal && !headers.contains_key(Status::GRPC_STATUS_DETAILS) {
        true => status::refused(&Refusal::MessageMalformed).into_http(),
        false => response,
    }
}

/// The call as its service gets it, and what it holds while it lasts.
async fn admit(door: &Door, request: Request<Body>) -> Result<(Request<Body>, Option<OwnedSemaphorePermit>), Refused> {
    let (mut parts, body) = request.into_parts();
    let peer = parts.extensions.get::<Arc<Peer>>().ok_or(Refusal::CertificateNotInDate)?.clone();
    door.check_certificate(&peer)?;
    let path = parts.uri.path();
    if CERTIFICATE_ONLY.iter().any(|open| path.starts_with(open)) {
        return Ok((Request::from_parts(parts, body), None));
    }
    let method = verify::method(path)?;
    body::check_plain(&parts.headers)?;
    let admitted = door.verify(&peer, method, verify::bearer(&parts.headers)?)?;
    // Nobody's message is taken in before it is known whose it is.
    let message = body::read_message(body, &peer.unread, body::READ_WITHIN).await?;
    let caller = admitted.with(&message)?;
    let turn = heavy::turn(&door.turns, &caller).await?;
    parts.extensions.insert(caller);
    Ok((Request::from_parts(parts, body::framed(&message)), turn))
}
