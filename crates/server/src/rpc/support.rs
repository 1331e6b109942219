//! What every mutating method does: the caller, the request id, the command, the
//! engine, the answer.

use jjj_domain::decision::Command;
use jjj_domain::names::RequestId;
use jjj_domain::payment::{CONTRADICTED, refusal_of_contradiction};
use jjj_domain::recon::BreakRow;
use jjj_domain::rejection::{Reason, Rejection};
use jjj_domain::row::StoredFault;
use jjj_wire::pb;
use jjj_wire::pb::batch_mutate_result::Outcome as ItemOutcome;
use prost::Message;
use tonic::{Request, Response, Status};

use super::fields;
use crate::engine::{Accepted, Evidence, Job, LeafView, Origin, SealedFor};
use crate::gateway::Gateway;
use crate::identity::Caller;
use crate::receipt;
use crate::status::Refused;

/// A parsed mutation, ready for the engine.
pub struct Mutation {
    command: Box<dyn Command>,
    sealed_for: Option<SealedFor>,
    alone: bool,
    completes_upload: Option<String>,
}

impl Mutation {
    pub fn new(command: impl Command + 'static) -> Self {
        Self { command: Box::new(command), sealed_for: None, alone: false, completes_upload: None }
    }

    /// Stores the request's bytes under this person's key: they hold personal data.
    pub fn sealed_for(self, person: SealedFor) -> Self {
        Self { sealed_for: Some(person), ..self }
    }

    /// Decides it in a transaction of its own.
    pub fn alone(self) -> Self {
        Self { alone: true, ..self }
    }

    /// Ends this upload together with the command.
    pub fn completes_upload(self, upload: impl Into<String>) -> Self {
        Self { completes_upload: Some(upload.into()), ..self }
    }
}

/// What a parser may look at beside the message.
pub struct Asked<'a> {
    pub gateway: &'a Gateway,
    pub caller: &'a Caller,
    pub request_id: RequestId,
}

/// What a parser gives.
pub type Parsed = Result<Mutation, Rejection>;

/// The parser of a message that is a command by its conversion alone.
pub fn command<Q, C>(message: &Q, _: &Asked<'_>) -> Parsed
where
    C: Command + for<'a> TryFrom<&'a Q, Error = Rejection> + 'static,
{
    Ok(Mutation::new(C::try_from(message)?))
}

/// The verified caller that the identity layer left with a call.
pub fn caller<T>(request: &Request<T>) -> Result<Caller, Status> {
    // Absent only when a service is mounted outside the layer.
    request.extensions().get::<Caller>().cloned().ok_or_else(|| Refused::Internal.into())
}

/// A single mutation. `render` makes the answer from the recorded leaf alone, so that a replay
/// gets the first answer byte for byte.
pub async fn mutate<Q, A>(
    gateway: &Gateway,
    request: Request<Q>,
    parse: impl Fn(&Q, &Asked<'_>) -> Parsed,
    render: impl Fn(&LeafView, pb::Receipt) -> Result<A, StoredFault>,
) -> Result<Response<A>, Status> {
    let caller = caller(&request)?;
    let job = job(gateway, &caller, 0, request.get_ref(), &parse)?;
    let accepted = gateway.engine.submit(job).await?;
    answer(&accepted, &render).map(Response::new)
}

/// A bulk mutation: the same parser and renderer as the single one's, item by item.
pub async fn batch<Q, A>(
    gateway: &Gateway,
    request: Request<pb::BatchMutateRequest>,
    parse: impl Fn(&Q, &Asked<'_>) -> Parsed,
    render: impl Fn(&LeafView, pb::Receipt) -> Result<A, StoredFault>,
) -> Result<Response<pb::BatchMutateResponse>, Status>
where
    Q: Message + Default,
    A: Message,
{
    let caller = caller(&request)?;
    let parsed: Vec<Result<Job, Status>> = (0..caller.items.len())
        .map(|index| {
            let item = Q::decode(caller.items[index].bytes.clone());
            let item =
                item.map_err(|_| Refused::from(fields::malformed("items", "serialized requests of one kind")))?;
            Ok(job(gateway, &caller, index, &item, &parse)?)
        })
        .collect();
    let mut refused = Vec::with_capacity(parsed.len());
    let mut jobs = Vec::with_capacity(parsed.len());
    for job in parsed {
        refused.push(job.map(|job| jobs.push(job)).err());
    }
    let mut outcomes = gateway.engine.submit_all(jobs).await.into_iter();
    let results = refused.into_iter().map(|refused| {
        let answered = match refused {
            Some(status) => Err(status),
            None => outcomes.next().unwrap_or(Err(Refused::Internal)).map_err(Status::from),
        };
        let outcome = match answered.and_then(|accepted| answer(&accepted, &render)) {
            Ok(response) => ItemOutcome::Response(response.encode_to_vec().into()),
            // What a single call carries in `grpc-status-details-bin`: a serialized google.rpc.Status.
            Err(status) => ItemOutcome::Status(status.details().to_vec().into()),
        };
        pb::BatchMutateResult { outcome: Some(outcome) }
    });
    Ok(Response::new(pb::BatchMutateResponse { results: results.collect() }))
}

fn job<Q>(
    gateway: &Gateway,
    caller: &Caller,
    index: usize,
    message: &Q,
    parse: &impl Fn(&Q, &Asked<'_>) -> Parsed,
) -> Result<Job, Refused> {
    let item = caller.items.get(index).ok_or(Refused::Internal)?;
    let request_id = request_id(&item.bytes)?;
    let asked = Asked { gateway, caller, request_id };
    let Mutation { command, sealed_for, alone, completes_upload } = parse(message, &asked)?;
    let origin = Origin::Signed(Evidence::of(caller, index, item));
    Ok(Job { actor: caller.actor.clone(), request_id, origin, command, sealed_for, alone, completes_upload })
}

/// Field 1 of every mutating request.
#[derive(Clone, PartialEq, Message)]
struct OnlyId {
    #[prost(string, tag = "1")]
    request_id: String,
}

fn request_id(message: &[u8]) -> Result<RequestId, Rejection> {
    let id = OnlyId::decode(message).map_err(|_| Reason::FieldMissing.field("request_id"))?;
    fields::request_id(&id.request_id)
}

fn answer<A>(
    accepted: &Accepted,
    render: &impl Fn(&LeafView, pb::Receipt) -> Result<A, StoredFault>,
) -> Result<A, Status> {
    if accepted.leaf.kind == CONTRADICTED {
        return Err(contradicted(&accepted.leaf));
    }
    let receipt = accepted.receipt.as_deref().map(receipt::to_wire).unwrap_or_default();
    render(&accepted.leaf, receipt).map_err(|fault| Refused::internal("rendering", &fault).into())
}

/// A message that was kept and is refused all the same: the refusal, as its leaf has it.
fn contradicted(leaf: &LeafView) -> Status {
    match leaf.row::<BreakRow>().map(|row| refusal_of_contradiction(&row)) {
        Ok(Some(rejection)) => super::read::refuse(rejection),
        Ok(None) => Refused::Internal.into(),
        Err(fault) => Refused::internal("rendering", &fault).into(),
    }
}
