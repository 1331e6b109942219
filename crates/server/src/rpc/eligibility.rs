//! The eligibility list: who may pay how much on a day, for channels that cannot ask.
//!
//! It goes through the accounts with a balance, in their order, and judges every open
//! bill line of each elder as an authorisation would.

use jjj_domain::care::bill::{BillLineRow, BillRow, BillState, FeeType};
use jjj_domain::entitlement::book;
use jjj_domain::key;
use jjj_domain::ledger::{AccountKind, AccountRow, Book};
use jjj_domain::names::{Collection, Name, Participant, ParticipantKind};
use jjj_domain::payment::{Ask, Judgement, judge};
use jjj_domain::person::{names_of, resolve_person};
use jjj_domain::rejection::{Reason, Rejection};
use jjj_domain::snapshot::{Snapshot, Stop};
use jjj_domain::time::{Date, Timestamp};
use jjj_domain::value::{Column, ColumnType, Value};
use jjj_store::{ListQuery, Op};
use jjj_wire::pb;
use tonic::Status;

use super::fields;
use super::filter::{Comparison, Field, Filter};
use super::page::Paging;
use super::read::{failed, refuse};
use crate::gateway::Gateway;
use crate::identity::Caller;

const FILTER: &[Field] = &[("elder", None), ("institution", None), ("bill", None), ("fee_type", None)];
/// Accounts read at a time.
const CHUNK: i64 = 200;
/// Chunks looked through for one page.
const MAX_CHUNKS: usize = 8;

/// What the list is computed for.
struct Terms {
    region: Participant,
    channel: Participant,
    book: Book,
    on: Date,
}

impl Terms {
    fn parse(q: &pb::ListEligibilityRequest, caller: &Caller, today: Date) -> Result<Self, Rejection> {
        let own = caller.participant();
        let region = fields::participant("region", &q.region)?;
        let channel = match own.kind() == ParticipantKind::Channel && q.channel.is_empty() {
            true => own.clone(),
            false => fields::participant("channel", &q.channel)?,
        };
        let foreign = |field, name: &Participant| Err(Reason::NotYourRecord.field(field).var("name", name));
        match own.kind() {
            ParticipantKind::Channel if channel != *own => return foreign("channel", &channel),
            ParticipantKind::Region if region != *own => return foreign("region", &region),
            ParticipantKind::Channel | ParticipantKind::Region | ParticipantKind::Gateway => {}
        }
        let book = book(&region, &q.programme)?;
        let on = fields::date("date", &q.date)?;
        if on < today {
            return Err(Reason::FieldOutOfRange.field("date").var("range", format!("{today}..")));
        }
        Ok(Self { region, channel, book, on })
    }

    fn ask(&self, line: &BillLineRow) -> Option<Ask> {
        Some(Ask {
            bill: line.bill.parse().ok()?,
            fee_type: line.fee_type,
            region: Some(self.region.clone()),
            programme: self.book.programme().to_owned(),
            channel: self.channel.clone(),
            amount_fen: 0,
        })
    }

    /// What may be paid from one account: every open line that draws on it, by bill and fee type.
    fn of_account(&self, snapshot: &Snapshot, row: &AccountRow, now: Timestamp) -> Result<Vec<pb::Eligibility>, Stop> {
        let at = self.on.starts_at().max(now);
        let name = Name::of(Collection::Elder, &row.account.a);
        let person = resolve_person(snapshot, &name)?;
        let mut lines = Vec::new();
        for name in names_of(snapshot, &person.person)? {
            let bills = snapshot.list::<BillRow>(&["person"], key![name])?;
            let issued = bills.iter().filter(|b| b.state == BillState::Issued);
            lines.extend(all(issued.map(|b| snapshot.list::<BillLineRow>(&["bill"], key![b.bill.clone()])))?);
        }
        let mut open: Vec<_> = lines.into_iter().flatten().filter(|line| line.open_fen() > 0).collect();
        open.sort_by(|a, b| (&a.bill, a.fee_type).cmp(&(&b.bill, b.fee_type)));
        let asks: Vec<Ask> = open.iter().filter_map(|line| self.ask(line)).collect();
        let judged = all(asks.iter().map(|ask| judge(snapshot, ask, at).map(|j| (ask.fee_type, j))))?;
        // Of an elder's several names, each line is listed with the account that would pay it.
        let own = |(_, judgement): &&(FeeType, Judgement)| judgement.payer == name.as_str();
        Ok(judged.iter().filter(own).filter_map(|(fee, j)| jjj_wire::payment::eligibility(j, *fee, self.on)).collect())
    }
}

/// All, or the first that stopped; every one is asked first, so that few rounds load everything.
fn all<T>(results: impl Iterator<Item = Result<T, Stop>>) -> Result<Vec<T>, Stop> {
    results.collect::<Vec<_>>().into_iter().collect()
}

/// One page of the list.
pub async fn list(
    gateway: &Gateway,
    caller: &Caller,
    q: &pb::ListEligibilityRequest,
) -> Result<pb::ListEligibilityResponse, Status> {
    let terms = Terms::parse(q, caller, gateway.clock.now().date()).map_err(refuse)?;
    let mut filter = Filter::parse(&q.filter, FILTER).map_err(refuse)?;
    let wanted: Vec<Comparison> = FILTER.iter().flat_map(|(field, _)| filter.take(field)).collect();
    let binding = format!("{} {} {} {}", terms.book, terms.channel, terms.on, q.filter);
    let paging = Paging::new(caller.method.path, &binding, q.page_size, &q.page_token).map_err(refuse)?;
    let Place { mut after, cut } = resume(&paging).map_err(refuse)?;
    let mut eligibilities = Vec::new();
    for _ in 0..MAX_CHUNKS {
        let accounts = accounts(gateway, &terms, after.clone()).await?;
        let of_each = |snapshot: &Snapshot, now| {
            all(accounts.iter().map(|row| match row.account.b == terms.channel.code() {
                true => terms.of_account(snapshot, row, now),
                false => Ok(Vec::new()),
            }))
        };
        let found = gateway.engine.read(of_each).await?;
        for (row, lines) in accounts.iter().zip(found) {
            let account = row.account.to_string();
            // The account at which the page before was cut is gone through again, from there.
            let begun = cut.as_ref().filter(|(at, _)| *at == account).map_or(0, |(_, lines)| *lines);
            for (at, line) in lines.into_iter().enumerate().skip(begun) {
                if eligibilities.len() as i64 == paging.size {
                    let next_page_token = Place { after, cut: Some((account, at)) }.token(&paging);
                    return Ok(pb::ListEligibilityResponse { eligibilities, next_page_token });
                }
                if matches(&line, &wanted) {
                    eligibilities.push(line);
                }
            }
            after = Some(account);
        }
        if (accounts.len() as i64) < CHUNK {
            return Ok(pb::ListEligibilityResponse { eligibilities, next_page_token: String::new() });
        }
    }
    let next_page_token = Place { after, cut: None }.token(&paging);
    Ok(pb::ListEligibilityResponse { eligibilities, next_page_token })
}

/// Where the next page begins.
struct Place {
    /// The last account that was given whole.
    after: Option<String>,
    /// The account that was given in part, and how many of its lines.
    cut: Option<(String, usize)>,
}

impl Place {
    fn token(self, paging: &Paging<'_>) -> String {
        let (account, lines) = self.cut.map_or((None, 0), |(account, lines)| (Some(account), lines as i64));
        paging.encode(&[self.after.to_value(), account.to_value(), lines.to_value()])
    }
}

fn resume(paging: &Paging<'_>) -> Result<Place, Rejection> {
    if paging.token.is_empty() {
        return Ok(Place { after: None, cut: None });
    }
    let mut values = paging.decode(&[ColumnType::Text, ColumnType::Text, ColumnType::Int])?.into_iter();
    let mut next = || values.next().unwrap_or(Value::Null);
    let read = |after, account, lines| {
        let account = Option::<String>::from_value(account)?;
        let lines = usize::try_from(i64::from_value(lines)?).map_err(|e| e.to_string())?;
        Ok(Place { after: Option::from_value(after)?, cut: account.map(|account| (account, lines)) })
    };
    let place: Result<Place, String> = read(next(), next(), next());
    place.map_err(|_| Paging::malformed())
}

async fn accounts(gateway: &Gateway, terms: &Terms, after: Option<String>) -> Result<Vec<AccountRow>, Status> {
    let query = ListQuery {
        predicates: vec![
            ("book", Op::Eq, terms.book.to_value()),
            ("kind", Op::Eq, AccountKind::Entitlement.to_value()),
            ("posted_fen", Op::Gt, Value::Int(0)),
        ],
        after_key: after.map(|account| vec![account.to_value()]),
        limit: CHUNK,
        ..ListQuery::default()
    };
    let mut session = gateway.store.read().await.map_err(failed)?;
    session.list(&query).await.map_err(failed)
}

fn matches(line: &pb::Eligibility, wanted: &[Comparison]) -> bool {
    wanted.iter().all(|comparison| match comparison.field {
        "elder" => comparison.holds_for(&line.elder),
        "institution" => comparison.holds_for(&line.institution),
        "bill" => comparison.holds_for(&line.bill),
        _ => comparison.holds_for(line.fee_type().as_str_name().trim_start_matches("FEE_TYPE_")),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_does_not_begin_before_its_account() {
        let begun = |lines: i64| {
            let first = Paging::new("/a", "", 0, "").unwrap();
            let token = first.encode(&[Value::Null, Value::Text("a".into()), Value::Int(lines)]);
            resume(&Paging::new("/a", "", 0, &token).unwrap()).map(|place| place.cut)
        };
        assert_eq!(begun(3).unwrap(), Some(("a".into(), 3)));
        assert_eq!(begun(-1).unwrap_err().reason, Reason::PageTokenMalformed);
    }
}
