//! Work on a break before it is resolved: assign, comment, attach evidence, withdraw a proposal.
//! Every step is a version of the break, signed by who took it; the versions are its history.

use super::resolve::{REASON_LIMIT, check_actor, concerned, find, finish, unproposed};
use super::rows::{Attachment, BreakRow, BreakState, BreakStep, FileContent, FileRow, FileState};
use crate::decision::{Call, Command, Decision};
use crate::guard;
use crate::key;
use crate::names::Actor;
use crate::participant::{AdministratorRow, Standing};
use crate::rejection::Reason;
use crate::snapshot::{Snapshot, Stop};
use crate::value::Json;

/// The most documents attached to one break.
const MAX_ATTACHMENTS: i64 = 50;

/// Gives a break to an administrator of the gateway or of a region concerned.
#[derive(Clone, Debug)]
pub struct AssignBreak {
    pub break_name: String,
    pub assignee: Actor,
}

impl Command for AssignBreak {
    fn decide(&self, snapshot: &Snapshot, call: &Call) -> Result<Decision, Stop> {
        let row = find(snapshot, &self.break_name)?;
        check_actor(call, &row)?;
        guard::state(row.state, &[BreakState::New, BreakState::Assigned], "reconciliation_break", &self.break_name)?;
        if !self.assignee.is_admin() {
            return Err(Reason::FieldMalformed.field("assignee").var("expected", "an administrator").into());
        }
        if !concerned(self.assignee.participant(), &row) {
            return Err(Reason::NotYourRecord.field("assignee").var("name", &self.break_name).into());
        }
        let assignee = snapshot.get::<AdministratorRow>(key![self.assignee.clone()])?;
        let assignee = guard::found(assignee, "assignee", &self.assignee)?;
        guard::state(assignee.standing, &[Standing::Active], "assignee", &self.assignee)?;
        let row = BreakRow {
            state: BreakState::Assigned,
            assignee: Some(self.assignee.clone()),
            ..row.step(BreakStep::Assigned, &call.actor, call.now, "")
        };
        Ok(finish(call, "break.assigned", &row))
    }
}

/// Says something about a break, resolved or not.
#[derive(Clone, Debug)]
pub struct CommentBreak {
    pub break_name: String,
    pub text: String,
}

impl Command for CommentBreak {
    fn decide(&self, snapshot: &Snapshot, call: &Call) -> Result<Decision, Stop> {
        let row = find(snapshot, &self.break_name)?;
        check_actor(call, &row)?;
        guard::text("text", &self.text, REASON_LIMIT)?;
        let row = row.step(BreakStep::Commented, &call.actor, call.now, &self.text);
        Ok(finish(call, "break.commented", &row))
    }
}

/// Attaches a document that the caller's participant has uploaded.
#[derive(Clone, Debug)]
pub struct AttachEvidence {
    pub break_name: String,
    /// `files/{uuid}`, of content `EVIDENCE`, whole.
    pub file: String,
    /// What it shows; may be empty.
    pub note: String,
}

impl Command for AttachEvidence {
    fn decide(&self, snapshot: &Snapshot, call: &Call) -> Result<Decision, Stop> {
        let row = find(snapshot, &self.break_name)?;
        check_actor(call, &row)?;
        guard::optional_text("note", &self.note, REASON_LIMIT)?;
        guard::state(row.state, &BreakState::OPEN, "reconciliation_break", &self.break_name)?;
        let file = guard::found(snapshot.get::<FileRow>(key![self.file.clone()])?, "file", &self.file)?;
        guard::own(call, &file.sender, "file", &self.file)?;
        guard::state(file.content, &[FileContent::Evidence], "file", &self.file)?;
        guard::state(file.state, &[FileState::Received], "file", &self.file)?;
        let mut attachments = row.attachments.0.clone();
        if attachments.iter().any(|a| a.file == self.file) {
            return Err(Reason::FieldRepeated.field("file").var("item", &self.file).into());
        }
        attachments.push(Attachment { file: file.file.clone(), sha256: file.sha256.clone(), by: call.actor.clone() });
        guard::range("attachments", attachments.len() as i64, 0, MAX_ATTACHMENTS)?;
        let row = BreakRow {
            attachments: Json(attachments),
            ..row.step(BreakStep::EvidenceAttached, &call.actor, call.now, &self.note)
        };
        Ok(finish(call, "break.evidence_attached", &row))
    }
}

/// Takes one's own proposal back; the break is open again.
#[derive(Clone, Debug)]
pub struct WithdrawProposal {
    pub break_name: String,
    pub reason: String,
}

impl Command for WithdrawProposal {
    fn decide(&self, snapshot: &Snapshot, call: &Call) -> Result<Decision, Stop> {
        let row = find(snapshot, &self.break_name)?;
        check_actor(call, &row)?;
        guard::text("reason", &self.reason, REASON_LIMIT)?;
        guard::state(row.state, &[BreakState::Proposed], "reconciliation_break", &self.break_name)?;
        if row.proposed_by.as_ref() != Some(&call.actor) {
            return Err(Reason::NotYourRecord.field("reconciliation_break").var("name", &self.break_name).into());
        }
        let row = unproposed(row.step(BreakStep::Withdrawn, &call.actor, call.now, &self.reason));
        Ok(finish(call, "break.withdrawn", &row))
    }
}
