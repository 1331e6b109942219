//! Reports: rows that the caller may read, at one moment, built and rendered by [`jjj_report`].

use std::collections::BTreeMap;
use std::sync::Arc;

use jjj_domain::close::{CloseRow, vouchers};
use jjj_domain::institution::InstitutionRow;
use jjj_domain::key;
use jjj_domain::ledger::{Book, GeneralLedgerRow};
use jjj_domain::names::{Collection, Participant, ParticipantKind};
use jjj_domain::policy::AccountingPolicy;
use jjj_domain::recon::report::Language;
use jjj_domain::recon::{BreakRow, RunRow, ViewRow};
use jjj_domain::rejection::{Reason, Rejection};
use jjj_domain::settlement::{StatementRow, StatementState};
use jjj_domain::value::Column;
use jjj_report::build::{self, AccountSums, Frame};
use jjj_report::{Report, render};
use jjj_store::{ListQuery, Op, Predicate, Session};
use jjj_wire::pb;
use jjj_wire::pb::report_service_server::ReportService;
use tonic::{Request, Response, Status};

use super::fields;
use super::month_close::check_reader;
use super::read::{Sees, failed, refuse};
use super::reconciliation::{is_hidden, is_of_another_channel, own_channel, sees};
use super::support::caller;
use crate::engine::ask;
use crate::gateway::Gateway;
use crate::identity::Caller;

pub struct ReportApi(pub Arc<Gateway>);

const ALL: i64 = i64::MAX;

#[tonic::async_trait]
impl ReportService for ReportApi {
    async fn get_report(&self, request: Request<pb::GetReportRequest>) -> Result<Response<pb::Report>, Status> {
        let caller = caller(&request)?;
        let q = request.get_ref();
        let kind = fields::enum_str::<pb::ReportKind>("kind", q.kind).map_err(refuse)?;
        let format = fields::enum_str::<pb::ReportFormat>("format", q.format).map_err(refuse)?;
        let language = match fields::enum_str::<pb::ReportLanguage>("language", q.language).map_err(refuse)? {
            "ZH" => Language::Zh,
            _ => Language::En,
        };
        let used: &[&str] = match kind {
            "RUN" => &["run"],
            "AGEING" => &["channel"],
            "BREAKS" => &["channel", "from_date", "to_date"],
            "TRIAL_BALANCE" | "VOUCHERS" => &["book", "month"],
            "SETTLEMENT" => &["channel", "from_date", "to_date"],
            _ => &["month"],
        };
        nothing_else(q, used).map_err(refuse)?;
        let mut session = self.0.store.read_at_once().await.map_err(failed)?;
        let ledger_number = session.tree_size().await.map_err(failed)?;
        let frame = Frame { language, today: self.0.clock.now().date(), ledger_number };
        let mut desk = Desk { caller: &caller, session, frame };
        let report = match kind {
            "RUN" => desk.run(q).await?,
            "AGEING" => desk.ageing(q).await?,
            "BREAKS" => desk.breaks(q).await?,
            "TRIAL_BALANCE" => desk.trial_balance(q).await?,
            "SETTLEMENT" => desk.settlement(q).await?,
            "VOUCHERS" => desk.vouchers(q).await?,
            _ => desk.month(q).await?,
        };
        drop(desk);
        let (media_type, ending, content) = match format {
            "JSON" => ("application/json", "json", render::json(&report).to_string().into_bytes()),
            "CSV" => ("text/csv; charset=utf-8", "csv", render::csv(&report)),
            "XLSX" => {
                ("application/vnd.openxmlformats-officedocument.spreadsheetml.sheet", "xlsx", render::xlsx(&report))
            }
            "HTML" => ("text/html; charset=utf-8", "html", render::html(&report).into_bytes()),
            _ => ("text/plain; charset=utf-8", "txt", render::text(&report).into_bytes()),
        };
        let file_name = format!("{}.{ending}", file_stem(&report, q));
        Ok(Response::new(pb::Report { media_type: media_type.to_owned(), file_name, content }))
    }
}

/// Refuses what the kind has no use for, rather than make another report than was meant.
fn nothing_else(q: &pb::GetReportRequest, used: &[&str]) -> Result<(), Rejection> {
    let stated = [
        ("run", &q.run),
        ("channel", &q.channel),
        ("from_date", &q.from_date),
        ("to_date", &q.to_date),
        ("book", &q.book),
        ("month", &q.month),
    ];
    match stated.into_iter().find(|(name, text)| !text.is_empty() && !used.contains(name)) {
        Some((name, _)) => Err(fields::malformed(name, "nothing: this kind of report has no use for it")),
        None => Ok(()),
    }
}

/// `run-unionpay-20261118-1`, `trial_balance-110000-care_subsidy-2026-11`, `ageing-2026-11-19`.
fn file_stem(report: &Report, q: &pb::GetReportRequest) -> String {
    let of = match report.id {
        "run" => q.run.trim_start_matches("runs/").to_owned(),
        "trial_balance" if q.month.is_empty() => q.book.replace('/', "-"),
        "trial_balance" | "vouchers" => format!("{}-{}", q.book.replace('/', "-"), q.month),
        "month" => q.month.clone(),
        _ => report.as_of.to_string(),
    };
    format!("{}-{of}", report.id)
}

/// Where a caller's report is put together, at one moment.
struct Desk<'a> {
    caller: &'a Caller,
    session: Session,
    frame: Frame,
}

impl Desk<'_> {
    async fn run(&mut self, q: &pb::GetReportRequest) -> Result<Report, Status> {
        let name = fields::name("run", &q.run, &[Collection::Run]).map_err(refuse)?;
        let missing = || refuse(Reason::RecordNotFound.field("run").var("name", &name));
        let run: Option<RunRow> = self.session.get(key![name.to_string()]).await.map_err(failed)?;
        let run = run.filter(|run| !is_of_another_channel(self.caller, Some(&run.channel))).ok_or_else(missing)?;
        let of_date =
            vec![("channel", Op::Eq, run.channel.to_value()), ("clearing_date", Op::Eq, run.clearing_date.to_value())];
        let breaks = self.break_rows(of_date).await?;
        let query =
            ListQuery { predicates: vec![("run", Op::Eq, run.run.to_value())], limit: ALL, ..ListQuery::default() };
        let mut views: Vec<ViewRow> = self.session.list(&query).await.map_err(failed)?;
        views.retain(|view| self.caller.sees_all() || view.participant == *self.caller.participant());
        Ok(build::run(&run, &breaks, &views, self.frame))
    }

    async fn ageing(&mut self, q: &pb::GetReportRequest) -> Result<Report, Status> {
        let (mut predicates, subject) = self.of_channel(q)?;
        predicates.push(("state", Op::Ne, "RESOLVED".to_owned().to_value()));
        let breaks = self.break_rows(predicates).await?;
        Ok(build::ageing(&breaks, &subject, self.frame))
    }

    async fn breaks(&mut self, q: &pb::GetReportRequest) -> Result<Report, Status> {
        let (mut predicates, subject, is_dated) = self.of_dates(q)?;
        if !is_dated {
            predicates.push(("state", Op::Ne, "RESOLVED".to_owned().to_value()));
        }
        let breaks = self.break_rows(predicates).await?;
        Ok(build::breaks(&breaks, &subject, self.frame))
    }

    /// Statements as those concerned read them: the paying region, the institution's, the channel.
    async fn settlement(&mut self, q: &pb::GetReportRequest) -> Result<Report, Status> {
        let (predicates, subject, is_dated) = self.of_dates(q)?;
        let own = self.caller.participant().to_string();
        let reader = (!self.caller.sees_all()).then_some(own.as_str());
        let query = ListQuery { predicates, reader, limit: ALL, ..ListQuery::default() };
        let mut rows: Vec<StatementRow> = self.session.list(&query).await.map_err(failed)?;
        if !is_dated {
            rows.retain(|row| matches!(row.state, StatementState::Open | StatementState::Carried));
        }
        rows.sort_by(|a, b| (a.clearing_date, &a.statement).cmp(&(b.clearing_date, &b.statement)));
        let mut names = BTreeMap::new();
        for institution in rows.iter().filter_map(|row| row.institution.as_ref()) {
            if !names.contains_key(institution) {
                let row: Option<InstitutionRow> = self.session.get(key![institution.clone()]).await.map_err(failed)?;
                names.insert(institution.clone(), row.map_or_else(|| institution.clone(), |row| row.display_name));
            }
        }
        Ok(build::settlement(&rows, &names, &subject, self.frame))
    }

    async fn vouchers(&mut self, q: &pb::GetReportRequest) -> Result<Report, Status> {
        let book: Book = fields::parse("book", &q.book, "{6 digits}/{programme}").map_err(refuse)?;
        let month = fields::month("month", &q.month).map_err(refuse)?;
        check_reader(self.caller, &book)?;
        let today = self.frame.today;
        let policy = ask(&mut self.session, |snapshot| AccountingPolicy::of_book(snapshot, &book, today)).await?;
        let predicates = vec![("book", Op::Eq, book.to_value()), ("booking_month", Op::Eq, month.to_value())];
        let query = ListQuery { predicates, limit: ALL, ..ListQuery::default() };
        let rows: Vec<GeneralLedgerRow> = self.session.list(&query).await.map_err(failed)?;
        let close: Option<CloseRow> = self.session.get(key![book.clone(), month]).await.map_err(failed)?;
        let close = close.filter(CloseRow::is_closed);
        let made = vouchers(&rows, month, &policy);
        Ok(build::vouchers(&book, month, &made, close.as_ref(), self.frame))
    }

    /// Of the channel and the clearing dates asked for, what to call that, and whether there are dates.
    fn of_dates(&self, q: &pb::GetReportRequest) -> Result<(Vec<Predicate>, String, bool), Status> {
        let (mut predicates, subject) = self.of_channel(q)?;
        let from = fields::optional_date("from_date", &q.from_date).map_err(refuse)?;
        let to = fields::optional_date("to_date", &q.to_date).map_err(refuse)?;
        if from.zip(to).is_some_and(|(from, to)| to < from) {
            return Err(refuse(Reason::FieldOutOfRange.field("to_date").var("range", format!("{}..", q.from_date))));
        }
        predicates.extend(from.map(|date| ("clearing_date", Op::Ge, date.to_value())));
        predicates.extend(to.map(|date| ("clearing_date", Op::Le, date.to_value())));
        let is_dated = from.is_some() || to.is_some();
        let subject = if is_dated { format!("{subject} · {} – {}", q.from_date, q.to_date) } else { subject };
        Ok((predicates, subject, is_dated))
    }

    async fn trial_balance(&mut self, q: &pb::GetReportRequest) -> Result<Report, Status> {
        let book: Book = fields::parse("book", &q.book, "{6 digits}/{programme}").map_err(refuse)?;
        let month = match q.month.as_str() {
            "" => None,
            text => Some(fields::month("month", text).map_err(refuse)?),
        };
        if !self.caller.sees_all() && self.caller.participant() != book.region() {
            return Err(refuse(Reason::NotYourRecord.field("book").var("name", &book)));
        }
        let rows = self.session.trial_balance(Some(&book)).await.map_err(failed)?;
        let sums = rows.into_iter().map(|row| AccountSums {
            kind: row.kind,
            layer: row.layer,
            month: row.booking_month,
            debit_fen: row.debit_fen,
            credit_fen: row.credit_fen,
        });
        Ok(build::trial_balance(&book, month, &sums.collect::<Vec<_>>(), self.frame))
    }

    async fn month(&mut self, q: &pb::GetReportRequest) -> Result<Report, Status> {
        let month = fields::month("month", &q.month).map_err(refuse)?;
        let reader = (!self.caller.sees_all()).then(|| self.caller.participant());
        let sums = self.session.month_sums(month, reader).await.map_err(failed)?;
        Ok(build::month(month, &self.subject(reader), &sums, self.frame))
    }

    /// The channel asked for, if any; and what to call that.
    fn of_channel(&self, q: &pb::GetReportRequest) -> Result<(Vec<Predicate>, String), Status> {
        if q.channel.is_empty() {
            return Ok((Vec::new(), self.subject(Some(self.caller.participant()))));
        }
        let channel = fields::participant("channel", &q.channel).map_err(refuse)?;
        if channel.kind() != ParticipantKind::Channel {
            return Err(refuse(fields::malformed("channel", "channels/{id}")));
        }
        Ok((vec![("channel", Op::Eq, channel.to_value())], channel.to_string()))
    }

    fn subject(&self, reader: Option<&Participant>) -> String {
        let all = if self.frame.language == Language::Zh { "全部" } else { "everything" };
        reader.filter(|_| !self.caller.sees_all()).map_or_else(|| all.to_owned(), ToString::to_string)
    }

    async fn break_rows(&mut self, mut predicates: Vec<Predicate>) -> Result<Vec<BreakRow>, Status> {
        predicates.extend(own_channel(self.caller));
        let own = self.caller.participant().to_string();
        let is_narrowed = sees(self.caller) == Sees::Readers && !self.caller.sees_all();
        let query =
            ListQuery { predicates, reader: is_narrowed.then_some(own.as_str()), limit: ALL, ..ListQuery::default() };
        let mut breaks: Vec<BreakRow> = self.session.list(&query).await.map_err(failed)?;
        breaks.retain(|row| !is_hidden(self.caller, row));
        Ok(breaks)
    }
}
