//! Calls that are repeated until the gateway answers, several under way at once.

use std::time::{Duration, Instant};

use anyhow::Context;
use bytes::Bytes;
use indicatif::ProgressBar;
use jjj_cli::client::Client;
use jjj_cli::session::{CallError, find, item_status};
use jjj_wire::methods::{METHODS, Method};
use prost::Message;
use tokio::task::JoinSet;
use tonic::{Code, Status};
use tonic_types::StatusExt;

use super::job::{Answer, Job, Plan};
use super::tally::Tally;
use super::task::Task;

/// The answer of a call that takes longer is asked for again: the gateway decides a full batch in seconds.
const TIMEOUT: Duration = Duration::from_secs(120);
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// Sends what has no answer yet and keeps the answers, to the end.
pub async fn send(job: &mut Job, plan: &Plan, caller: &Caller, in_flight: usize) -> anyhow::Result<Tally> {
    let mut tally = job.resume(plan)?;
    caller.bar.set_position(tally.answered());
    caller.bar.reset_eta();
    let mut waiting = job.unanswered()?;
    let mut under_way = JoinSet::new();
    loop {
        while under_way.len() < in_flight.max(1)
            && let Some(next) = waiting.next()
        {
            let (call, requests) = next?;
            let (caller, task) = (caller.clone(), job.terms.task.clone());
            under_way.spawn(async move { caller.answer(&task, call, requests).await });
        }
        let Some(answer) = under_way.join_next().await else { return Ok(tally) };
        let answer = answer.context("a call came to grief")??;
        job.answered(&answer)?;
        tally.add(&answer.told);
        caller.bar.set_position(tally.answered());
    }
}

/// Calls and repeats.
#[derive(Clone)]
pub struct Caller {
    pub client: Client,
    /// How long a call is repeated before the job gives up; it can be continued.
    pub patience: Duration,
    /// Tells what is done, and why nothing is.
    pub bar: ProgressBar,
}

impl Caller {
    /// A read.
    pub async fn read<Q: Message, A: Message + Default>(&self, name: &str, request: &Q) -> anyhow::Result<A> {
        let method = find(name)?;
        self.until_answered(method, || self.client.call(method.path, request)).await
    }

    async fn answer(&self, task: &Task, call: usize, requests: Vec<Bytes>) -> anyhow::Result<Answer> {
        let method = task.method();
        let answers = self.until_answered(method, || self.attempt(method, requests.clone())).await?;
        let told = requests.iter().zip(&answers).map(|(request, answer)| task.told(request, answer.as_deref()));
        Ok(Answer { call, told: told.collect::<Result<_, _>>().context("an answer does not decode")? })
    }

    /// One answer for each request. As long as one of them has none, all of them have none: they are
    /// sent again together, and what was recorded is answered as before.
    async fn attempt(&self, method: &Method, requests: Vec<Bytes>) -> Result<Vec<Result<Bytes, Status>>, Status> {
        let Some(batch) = METHODS.iter().find(|m| m.item == Some(method.path)) else {
            let [request] = &requests[..] else { return Err(Status::internal("one request, or a batch method")) };
            let answer = self.client.call_bytes(method.path, request.clone()).await;
            return match answer {
                Err(status) if !is_decided(&status) => Err(status),
                decided => Ok(vec![decided]),
            };
        };
        let sent = requests.len();
        let answers = self.client.batch(batch.path, requests).await?;
        if answers.len() != sent {
            return Err(Status::data_loss("the gateway answered another number of requests"));
        }
        let answers = answers.into_iter().map(|answer| match answer.map_err(|status| item_status(&status)) {
            Err(status) if !is_decided(&status) => Err(status),
            decided => Ok(decided),
        });
        answers.collect()
    }

    async fn until_answered<T, F: Future<Output = Result<T, Status>>>(
        &self,
        method: &Method,
        mut attempt: impl FnMut() -> F,
    ) -> anyhow::Result<T> {
        let started = Instant::now();
        let mut pause = FIRST_PAUSE;
        loop {
            let heard = tokio::time::timeout(TIMEOUT, attempt()).await;
            let status = match heard.unwrap_or_else(|_| Err(Status::unavailable("no answer in time"))) {
                Ok(answer) => {
                    self.bar.set_message("");
                    return Ok(answer);
                }
                Err(status) => status,
            };
            let Some(wanted) = retry_after(&status).filter(|_| started.elapsed() < self.patience) else {
                return Err(CallError::from(status))
                    .with_context(|| format!("{}; give the command again", method.name));
            };
            self.bar.set_message(format!("waiting for the gateway: {}", status.message()));
            tokio::time::sleep(pause.max(wanted)).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }
}

/// When to send the same again: as the gateway says; at once when nothing was heard from it; never when it
/// has said no.
fn retry_after(status: &Status) -> Option<Duration> {
    let details = status.get_error_details();
    match (details.retry_info(), details.error_info()) {
        (Some(retry), _) => Some(retry.retry_delay.unwrap_or_default()),
        (None, None) if status.code() != Code::DataLoss => Some(Duration::ZERO),
        (None, _) => None,
    }
}

/// Whether a request was refused by a rule, rather than not decided. What is refused at the door is about the
/// caller, and an id's age about the day: the job can go on once that is mended, or be made anew.
fn is_decided(status: &Status) -> bool {
    let details = status.get_error_details();
    let reason = details.error_info().map_or("", |info| &info.reason);
    details.retry_info().is_none() && !reason.is_empty() && reason != "INTERNAL" && !is_of_the_door(status, reason)
}

/// A rule's own PERMISSION_DENIED is NOT_YOUR_RECORD and the like; whoever is not authenticated met no rule.
fn is_of_the_door(status: &Status, reason: &str) -> bool {
    const DENIED: [&str; 3] = ["PARTICIPANT_SUSPENDED", "ADMINISTRATOR_NOT_ACTIVE", "ROLE_NOT_ALLOWED"];
    status.code() == Code::Unauthenticated || DENIED.contains(&reason) || reason == "REQUEST_ID_AGE"
}

#[cfg(test)]
mod tests {
    use tonic_types::{ErrorDetails, RetryInfo};

    use super::*;

    fn status(code: Code, reason: Option<&str>, retry_ms: Option<u64>) -> Status {
        let mut details = ErrorDetails::new();
        if let Some(reason) = reason {
            details.set_error_info(reason, "gateway.jjj", []);
        }
        if let Some(ms) = retry_ms {
            details.set_retry_info(RetryInfo::new(Some(Duration::from_millis(ms))).retry_delay);
        }
        Status::with_error_details(code, "", details)
    }

    #[test]
    fn a_call_is_repeated_when_the_gateway_says_so_or_says_nothing() {
        for (status, retry_ms, decided) in [
            (status(Code::ResourceExhausted, Some("GATEWAY_BUSY"), Some(500)), Some(500), false),
            (status(Code::Unavailable, Some("GATEWAY_STOPPING"), Some(700)), Some(700), false),
            (Status::unavailable("connection refused"), Some(0), false),
            (Status::unknown("the connection was reset"), Some(0), false),
            (status(Code::ResourceExhausted, Some("CONNECTION_BUSY"), Some(500)), Some(500), false),
            (status(Code::DeadlineExceeded, Some("MESSAGE_LATE"), Some(500)), Some(500), false),
            (status(Code::ResourceExhausted, Some("MESSAGE_TOO_LARGE"), None), None, true),
            (status(Code::FailedPrecondition, Some("NO_RATE"), None), None, true),
            (status(Code::AlreadyExists, Some("ALREADY_GRANTED"), None), None, true),
            (status(Code::PermissionDenied, Some("NOT_YOUR_RECORD"), None), None, true),
            (status(Code::Unauthenticated, Some("TOKEN_EXPIRED"), None), None, false),
            (status(Code::Unauthenticated, Some("CERTIFICATE_NOT_IN_DATE"), None), None, false),
            (status(Code::Unauthenticated, Some("KEY_NOT_IN_FORCE"), None), None, false),
            (status(Code::PermissionDenied, Some("PARTICIPANT_SUSPENDED"), None), None, false),
            (status(Code::PermissionDenied, Some("ROLE_NOT_ALLOWED"), None), None, false),
            (status(Code::InvalidArgument, Some("REQUEST_ID_AGE"), None), None, false),
            (status(Code::Internal, Some("INTERNAL"), None), None, false),
            (Status::data_loss("short"), None, false),
        ] {
            let after = retry_after(&status).map(|after| after.as_millis());
            assert_eq!((after, is_decided(&status)), (retry_ms, decided), "{status:?}");
        }
    }
}
