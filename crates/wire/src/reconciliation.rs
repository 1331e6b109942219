//! Runs, breaks, views.

use jjj_domain::names::{Actor, Collection, Participant};
use jjj_domain::recon::breaks::age_days;
use jjj_domain::recon::report::AgeBucket;
use jjj_domain::recon::resolve::{DecideResolution, ProposeResolution};
use jjj_domain::recon::schedule::Day;
use jjj_domain::recon::view::SignView;
use jjj_domain::recon::work::{AssignBreak, AttachEvidence, CommentBreak, WithdrawProposal};
use jjj_domain::recon::{
    AlertRow, Attachment, BreakRow, ExpectedFile, FieldDifference, IdentityResult, LegCounts, Resolution, RunRow,
    UnitRow, ViewDifference, ViewRow,
};
use jjj_domain::rejection::{Reason, Rejection};
use jjj_domain::time::Date;
use jjj_domain::value::canonical_json;

use crate::enums::enum_value;
use crate::parse::{choice, name, optional, or_empty, parsed, text, who};
use crate::pb;

impl TryFrom<&pb::AssignBreakRequest> for AssignBreak {
    type Error = Rejection;
    fn try_from(request: &pb::AssignBreakRequest) -> Result<Self, Rejection> {
        Ok(Self {
            break_name: break_name(&request.reconciliation_break)?,
            assignee: who::<Actor>("assignee", &request.assignee, "{participant}/admins/{id}")?,
        })
    }
}

impl TryFrom<&pb::CommentBreakRequest> for CommentBreak {
    type Error = Rejection;
    fn try_from(request: &pb::CommentBreakRequest) -> Result<Self, Rejection> {
        Ok(Self { break_name: break_name(&request.reconciliation_break)?, text: text("text", &request.text)? })
    }
}

impl TryFrom<&pb::AttachEvidenceRequest> for AttachEvidence {
    type Error = Rejection;
    fn try_from(request: &pb::AttachEvidenceRequest) -> Result<Self, Rejection> {
        Ok(Self {
            break_name: break_name(&request.reconciliation_break)?,
            file: name("file", &request.file, Collection::File)?.to_string(),
            note: text("note", &request.note)?,
        })
    }
}

impl TryFrom<&pb::WithdrawProposalRequest> for WithdrawProposal {
    type Error = Rejection;
    fn try_from(request: &pb::WithdrawProposalRequest) -> Result<Self, Rejection> {
        Ok(Self { break_name: break_name(&request.reconciliation_break)?, reason: text("reason", &request.reason)? })
    }
}

impl TryFrom<&pb::ProposeResolutionRequest> for ProposeResolution {
    type Error = Rejection;
    fn try_from(request: &pb::ProposeResolutionRequest) -> Result<Self, Rejection> {
        Ok(Self {
            break_name: break_name(&request.reconciliation_break)?,
            resolution: choice::<pb::Resolution, Resolution>("resolution", request.resolution)?,
            reason: text("reason", &request.reason)?,
            elder: optional(&request.elder, |elder| name("elder", elder, Collection::Elder))?.map(|n| n.to_string()),
        })
    }
}

impl TryFrom<&pb::DecideResolutionRequest> for DecideResolution {
    type Error = Rejection;
    fn try_from(request: &pb::DecideResolutionRequest) -> Result<Self, Rejection> {
        Ok(Self {
            break_name: break_name(&request.reconciliation_break)?,
            expected_version: request.expected_version,
            approve: request.approve,
            reason: text("reason", &request.reason)?,
        })
    }
}

impl TryFrom<&pb::SignViewRequest> for SignView {
    type Error = Rejection;
    fn try_from(request: &pb::SignViewRequest) -> Result<Self, Rejection> {
        let (run, participant) = view_name("view", &request.view)?;
        if request.root_hash.len() != 32 {
            let missing = request.root_hash.is_empty();
            let reason = if missing { Reason::FieldMissing } else { Reason::FieldMalformed };
            return Err(reason.field("root_hash").var("expected", "32 bytes"));
        }
        let root = request.root_hash.iter().map(|byte| format!("{byte:02x}")).collect();
        let differences = request.differences.iter().enumerate().map(|(at, d)| view_difference(at, d));
        Ok(Self { run, participant, root, differences: differences.collect::<Result<_, _>>()? })
    }
}

fn break_name(text: &str) -> Result<String, Rejection> {
    name("reconciliation_break", text, Collection::Break).map(|name| name.to_string())
}

/// `runs/{channel}-{YYYYMMDD}-{n}/views/{region code or "gateway"}`: the run and whose view it is.
pub fn view_name(field: &str, text: &str) -> Result<(String, Participant), Rejection> {
    let expected = || Reason::FieldMalformed.field(field).var("expected", "runs/{run}/views/{region code or gateway}");
    if text.is_empty() {
        return Err(Reason::FieldMissing.field(field));
    }
    let (run, code) = text.split_once("/views/").ok_or_else(expected)?;
    let run = name(field, run, Collection::Run).map_err(|_| expected())?;
    let participant = if code == "gateway" { code.to_owned() } else { format!("regions/{code}") };
    Ok((run.to_string(), participant.parse().map_err(|_| expected())?))
}

fn view_difference(at: usize, difference: &pb::ViewDifference) -> Result<ViewDifference, Rejection> {
    let field = |name: &str, value: &str, limit: usize| {
        let field = format!("differences[{at}].{name}");
        if value.chars().count() > limit {
            return Err(Reason::FieldTooLong.field(field).var("limit", limit));
        }
        text(&field, value)
    };
    Ok(ViewDifference {
        record: field("record", &difference.record, 200)?,
        field: field("field", &difference.field, 100)?,
        ours: field("ours", &difference.ours, 1_000)?,
        theirs: field("theirs", &difference.theirs, 1_000)?,
        note: field("note", &difference.note, 1_000)?,
    })
}

/// A channel whose clearing date is to be run.
pub fn run_of(request: &pb::StartRunRequest) -> Result<(Participant, Date), Rejection> {
    let channel: Participant = who("channel", &request.channel, "channels/{id}")?;
    if channel.kind() != jjj_domain::names::ParticipantKind::Channel {
        return Err(Reason::FieldMalformed.field("channel").var("expected", "channels/{id}"));
    }
    Ok((channel, parsed("clearing_date", &request.clearing_date, "YYYY-MM-DD")?))
}

/// A run with its views, their signatures as they stand on a day.
pub fn run(row: &RunRow, views: &[ViewRow], today: Date) -> pb::Run {
    pb::Run {
        name: row.run.clone(),
        channel: row.channel.to_string(),
        clearing_date: row.clearing_date.to_string(),
        number: row.number as i32,
        state: enum_value::<pb::RunState>(row.state.as_str()),
        ledger_number: row.cut,
        legs: legs(row),
        expected_files: row.expected_files.0.iter().map(expected_file).collect(),
        identities: row.identities.0.iter().map(identity).collect(),
        files_complete: row.files_complete,
        breaks_opened: row.breaks_opened,
        reservations_expired: row.reservations_expired,
        breaks_open: row.breaks_open,
        root_hash: hash(&row.root),
        views: views.iter().map(|view| format!("{}/views/{}", row.run, view.participant.code())).collect(),
        started_by: row.started_by.to_string(),
        recorded_time_us: row.recorded_at_us.0,
        version: row.version,
        terms: canonical_json(&row.terms.0),
        signatures: views.iter().map(|view| signature(view, today)).collect(),
    }
}

fn signature(row: &ViewRow, today: Date) -> pb::ViewSignature {
    pb::ViewSignature {
        participant: row.participant.to_string(),
        state: enum_value::<pb::ViewState>(row.state_on(today).as_str()),
        signed_by: or_empty(&row.signed_by),
        sign_by: row.sign_by.to_string(),
    }
}

/// A clearing date with the views of its newest run, as they stand on a day.
pub fn clearing_day(
    channel: &Participant,
    day: &Day,
    breaks_open: i64,
    views: &[ViewRow],
    today: Date,
) -> pb::ClearingDay {
    pb::ClearingDay {
        channel: channel.to_string(),
        clearing_date: day.date.to_string(),
        expected_files: day.policy.expected_files as i32,
        arrived_files: day.files.len() as i32,
        run: day.last_run.as_ref().map_or_else(String::new, |run| run.run.clone()),
        run_state: day.last_run.as_ref().map_or(0, |run| enum_value::<pb::RunState>(run.state.as_str())),
        breaks_open,
        signatures: views.iter().map(|view| signature(view, today)).collect(),
        run_due_time_us: day.due_at().map_or(0, |at| at.0),
        expected_books: day.policy.expected_books.len() as i32,
        arrived_books: day.books.len() as i32,
        region_legs: day.last_run.iter().flat_map(|run| region_legs(run)).collect(),
    }
}

/// A systemic alert.
pub fn alert(row: &AlertRow) -> pb::Alert {
    pb::Alert {
        name: row.alert.clone(),
        channel: row.channel.to_string(),
        clearing_date: row.clearing_date.to_string(),
        break_class: enum_value::<pb::BreakClass>(row.class.as_str()),
        cause: row.cause.clone(),
        state: enum_value::<pb::AlertState>(row.state.as_str()),
        members: row.members,
        amount_fen: row.amount_fen,
        seen_by: row.seen_by.clone(),
        opened_time_us: row.opened_at_us.0,
        version: row.version,
        unopened: row.unopened,
        unopened_fen: row.unopened_fen,
    }
}

fn age_bucket(days: i64) -> pb::AgeBucket {
    match AgeBucket::of(days) {
        AgeBucket::Days0To1 => pb::AgeBucket::UpTo1,
        AgeBucket::Days2To7 => pb::AgeBucket::UpTo7,
        AgeBucket::Days8To30 => pb::AgeBucket::UpTo30,
        AgeBucket::Over30 => pb::AgeBucket::Over30,
    }
}

fn attachment(attachment: &Attachment) -> pb::Attachment {
    pb::Attachment {
        file: attachment.file.clone(),
        sha256: attachment.sha256.clone(),
        attached_by: attachment.by.to_string(),
    }
}

fn legs(row: &RunRow) -> Vec<pb::LegTotal> {
    let mut legs = vec![leg(pb::Leg::Ledger, &row.ledger_leg.0), leg(pb::Leg::Channel, &row.channel_leg.0)];
    legs.extend(region_legs(row));
    legs
}

fn region_legs(row: &RunRow) -> impl Iterator<Item = pb::LegTotal> {
    row.region_legs.0.iter().map(|of| pb::LegTotal {
        region: of.region.to_string(),
        file: or_empty(&of.file),
        sha256: or_empty(&of.sha256),
        ..leg(pb::Leg::Region, &of.counts)
    })
}

fn leg(leg: pb::Leg, counts: &LegCounts) -> pb::LegTotal {
    pb::LegTotal {
        leg: leg.into(),
        region: String::new(),
        file: String::new(),
        sha256: String::new(),
        rows: counts.rows,
        matched: counts.matched,
        broken: counts.broken,
        rejected: counts.rejected,
        debit_fen: counts.debit_fen,
        credit_fen: counts.credit_fen,
    }
}

fn expected_file(file: &ExpectedFile) -> pb::ExpectedFile {
    pb::ExpectedFile {
        merchant_id: file.merchant_id.clone(),
        file: or_empty(&file.file),
        sha256: or_empty(&file.sha256),
    }
}

fn identity(result: &IdentityResult) -> pb::IdentityResult {
    pb::IdentityResult {
        number: result.number as i32,
        book: result.book.clone(),
        holds: result.holds,
        difference_fen: result.difference_fen,
        detail: result.detail.clone(),
    }
}

/// A break, its age on a day.
pub fn reconciliation_break(row: &BreakRow, today: Date) -> pb::Break {
    pb::Break {
        name: row.break_name.clone(),
        category: enum_value::<pb::BreakCategory>(row.category.as_str()),
        break_class: enum_value::<pb::BreakClass>(row.class.as_str()),
        condition: row.condition.map_or(0, |c| enum_value::<pb::GateCondition>(c.as_str())),
        priority: row.priority as i32,
        state: enum_value::<pb::BreakState>(row.state.as_str()),
        channel: or_empty(&row.channel),
        clearing_date: row.clearing_date.to_string(),
        region: or_empty(&row.region),
        programme: or_empty(&row.programme),
        institution_region: or_empty(&row.institution_region),
        book_region: or_empty(&row.book_region),
        subject: row.subject.clone(),
        elder: or_empty(&row.person),
        fields: row.fields.0.iter().map(field_difference).collect(),
        rows: row.rows.0.clone(),
        rule: row.rule.clone(),
        amount_fen: row.amount_fen,
        opened_by: or_empty(&row.opened_by),
        seen_by: or_empty(&row.seen_by),
        opened_time_us: row.opened_at_us.0,
        age_days: age_days(row, today) as i32,
        due_on: row.due_on.to_string(),
        assignee: or_empty(&row.assignee),
        resolution: row.resolution.map_or(0, |r| enum_value::<pb::Resolution>(r.as_str())),
        proposed_by: or_empty(&row.proposed_by),
        proposal_reason: or_empty(&row.proposal_reason),
        decided_by: or_empty(&row.decided_by),
        decision_reason: or_empty(&row.decision_reason),
        resolved_time_us: row.resolved_at_us.map_or(0, |at| at.0),
        entries: row.entries.0.iter().map(|id| format!("entries/{id}")).collect(),
        version: row.version,
        cause: row.cause.clone(),
        alert: row.alert.clone(),
        age_bucket: age_bucket(age_days(row, today)).into(),
        policy: or_empty(&row.policy),
        attachments: row.attachments.0.iter().map(attachment).collect(),
        step: enum_value::<pb::BreakStep>(row.step.as_str()),
        step_by: row.step_by.to_string(),
        step_time_us: row.step_at_us.0,
        note: row.note.clone(),
    }
}

fn field_difference(difference: &FieldDifference) -> pb::FieldDifference {
    pb::FieldDifference {
        field: difference.field.clone(),
        ledger: difference.ledger.clone(),
        channel: difference.channel.clone(),
        region: difference.region.clone(),
    }
}

/// A view as it stands on a day, without its rows.
pub fn view(row: &ViewRow, today: Date) -> pb::View {
    pb::View {
        name: format!("{}/views/{}", row.run, row.participant.code()),
        run: row.run.clone(),
        participant: row.participant.to_string(),
        rows: row.rows,
        debit_fen: row.debit_fen,
        credit_fen: row.credit_fen,
        root_hash: hash(&row.root),
        page_rows: Vec::new(),
        next_page_token: String::new(),
        state: enum_value::<pb::ViewState>(row.state_on(today).as_str()),
        signed_by: or_empty(&row.signed_by),
        signed_time_us: row.signed_at_us.map_or(0, |at| at.0),
        sign_by: row.sign_by.to_string(),
        differences: row.differences.0.iter().map(stated).collect(),
        version: row.version,
    }
}

/// A row of a view.
pub fn view_row(row: UnitRow) -> pb::ViewRow {
    pb::ViewRow { body: row.body, unit_break: or_empty(&row.break_name) }
}

fn stated(difference: &ViewDifference) -> pb::ViewDifference {
    pb::ViewDifference {
        record: difference.record.clone(),
        field: difference.field.clone(),
        ours: difference.ours.clone(),
        theirs: difference.theirs.clone(),
        note: difference.note.clone(),
    }
}

/// A stored hash as bytes. Stored hashes are lower-case hex.
fn hash(text: &str) -> Vec<u8> {
    let pairs = text.as_bytes().chunks(2);
    let digit = |b: u8| (b as char).to_digit(16).unwrap_or(0) as u8;
    pairs.map(|pair| pair.iter().fold(0, |byte, b| byte << 4 | digit(*b))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn view_names_are_read_strictly() {
        let (run, of) = view_name("view", "runs/unionpay-20261118-1/views/110000").unwrap();
        assert_eq!((run.as_str(), of.as_str()), ("runs/unionpay-20261118-1", "regions/110000"));
        assert_eq!(view_name("view", "runs/a/views/gateway").unwrap().1, Participant::gateway());
        for bad in ["runs/a", "breaks/a/views/110000", "runs/a/views/11", "runs/a/views/channels/unionpay"] {
            assert_eq!(view_name("view", bad).unwrap_err().reason, Reason::FieldMalformed, "{bad}");
        }
        assert_eq!(view_name("view", "").unwrap_err().reason, Reason::FieldMissing);
    }

    #[test]
    fn a_signature_names_a_root_of_32_bytes() {
        let mut request = pb::SignViewRequest { view: "runs/a/views/110000".into(), ..Default::default() };
        assert_eq!(SignView::try_from(&request).unwrap_err().reason, Reason::FieldMissing);
        request.root_hash = vec![1];
        assert_eq!(SignView::try_from(&request).unwrap_err().reason, Reason::FieldMalformed);
        request.root_hash = vec![0xab; 32];
        assert_eq!(SignView::try_from(&request).unwrap().root, "ab".repeat(32));
        request.differences = vec![pb::ViewDifference { note: "x".repeat(1_001), ..Default::default() }];
        assert_eq!(SignView::try_from(&request).unwrap_err().field.as_deref(), Some("differences[0].note"));
    }

    #[test]
    fn hashes_are_bytes() {
        assert_eq!(hash("00ff10"), [0, 255, 16]);
    }

    #[test]
    fn only_a_channels_day_can_be_run() {
        let request = |channel: &str, date: &str| pb::StartRunRequest {
            channel: channel.into(),
            clearing_date: date.into(),
            ..Default::default()
        };
        assert!(run_of(&request("channels/unionpay", "2026-11-18")).is_ok());
        for (channel, date, field) in
            [("regions/110000", "2026-11-18", "channel"), ("channels/unionpay", "", "clearing_date")]
        {
            assert_eq!(run_of(&request(channel, date)).unwrap_err().field.as_deref(), Some(field));
        }
    }
}
