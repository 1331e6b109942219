//! ISO 20022 bank statements (camt.053) and debit or credit notices (camt.054).
//!
//! Read are the versions 8 to 14, which agree in all that is used here; written is the current one.
//! Order and presence of elements are checked down to the entry, amounts must be CNY with two
//! decimals, and a statement's balances must add up with its entries.

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::io::{self, Read, Write};

use jjj_domain::id::{OrderId, Uscc};
use jjj_domain::recon::bank::{Balance, BankEntry, BankStatement, EntryDirection, EntryStatus, MAX_ENTRIES};
use jjj_domain::recon::file::{FaultReason, LineFault, LineKind, LineStatus, SettlementLine};
use jjj_domain::recon::refusal::{FileRefusal, RefusalReason};
use jjj_domain::time::{Date, Timestamp};
use quick_xml::escape::escape;

use crate::xml::{Node, Reader as XmlReader, Step};
use crate::{Pending, Record, Row};

/// The version of both messages that is written: the current one.
pub const VERSION: u32 = 14;
/// The oldest version read.
pub const OLDEST_VERSION: u32 = 8;
/// The only currency (ISO 4217).
const CURRENCY: &str = "CNY";
/// The largest amount, fen: sums of [`MAX_ENTRIES`] stay inside `i64`.
const AMOUNT_LIMIT_FEN: i64 = 100_000_000_000_000;

/// Which message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Message {
    /// camt.053, BankToCustomerStatement: a day with its balances.
    Statement,
    /// camt.054, BankToCustomerDebitCreditNotification: entries without balances.
    Notification,
}

impl Message {
    const fn number(self) -> u32 {
        match self {
            Self::Statement => 53,
            Self::Notification => 54,
        }
    }

    /// The message's element below `Document`, and that of one account below it.
    const fn elements(self) -> (&'static str, &'static str) {
        match self {
            Self::Statement => ("BkToCstmrStmt", "Stmt"),
            Self::Notification => ("BkToCstmrDbtCdtNtfctn", "Ntfctn"),
        }
    }

    /// The namespace of a version.
    pub fn namespace(self, version: u32) -> String {
        format!("urn:iso:std:iso:20022:tech:xsd:camt.{:03}.001.{version:02}", self.number())
    }
}

/// A child element as the schema lists it.
struct Child {
    name: &'static str,
    is_required: bool,
    repeats: bool,
}

const fn once(name: &'static str) -> Child {
    Child { name, is_required: true, repeats: false }
}
const fn maybe(name: &'static str) -> Child {
    Child { name, is_required: false, repeats: false }
}
const fn any(name: &'static str) -> Child {
    Child { name, is_required: false, repeats: true }
}
const fn some(name: &'static str) -> Child {
    Child { name, is_required: true, repeats: true }
}

const STATEMENT_MESSAGE: &[Child] = &[once("GrpHdr"), some("Stmt"), any("SplmtryData")];
const NOTIFICATION_MESSAGE: &[Child] = &[once("GrpHdr"), some("Ntfctn"), any("SplmtryData")];
const STATEMENT: &[Child] = &[
    once("Id"),
    maybe("StmtPgntn"),
    maybe("ElctrncSeqNb"),
    maybe("RptgSeq"),
    maybe("LglSeqNb"),
    maybe("CreDtTm"),
    maybe("FrToDt"),
    maybe("CpyDplctInd"),
    maybe("RptgSrc"),
    once("Acct"),
    maybe("RltdAcct"),
    any("Intrst"),
    some("Bal"),
    maybe("TxsSummry"),
    any("Ntry"),
    maybe("AddtlStmtInf"),
];
const NOTIFICATION: &[Child] = &[
    once("Id"),
    maybe("NtfctnPgntn"),
    maybe("ElctrncSeqNb"),
    maybe("RptgSeq"),
    maybe("LglSeqNb"),
    maybe("CreDtTm"),
    maybe("FrToDt"),
    maybe("CpyDplctInd"),
    maybe("RptgSrc"),
    once("Acct"),
    maybe("RltdAcct"),
    any("Intrst"),
    maybe("TxsSummry"),
    any("Ntry"),
    maybe("AddtlNtfctnInf"),
];
const BALANCE: &[Child] = &[once("Tp"), any("CdtLine"), once("Amt"), once("CdtDbtInd"), once("Dt"), any("Avlbty")];
const ENTRY: &[Child] = &[
    maybe("NtryRef"),
    once("Amt"),
    once("CdtDbtInd"),
    maybe("RvslInd"),
    once("Sts"),
    maybe("BookgDt"),
    maybe("ValDt"),
    maybe("AcctSvcrRef"),
    any("Avlbty"),
    once("BkTxCd"),
    maybe("ComssnWvrInd"),
    maybe("AddtlInfInd"),
    maybe("AmtDtls"),
    maybe("Chrgs"),
    maybe("TechInptChanl"),
    maybe("Intrst"),
    maybe("CardTx"),
    any("NtryDtls"),
    maybe("AddtlNtryInf"),
];
const DETAILS: &[Child] = &[maybe("Btch"), any("TxDtls")];

/// Where in a list of children a reader stands.
struct Order {
    children: &'static [Child],
    at: usize,
    is_repeat: bool,
}

/// A child out of place or lacking: its name, and which of the two.
type Disorder = (String, FaultReason);

impl Order {
    const fn of(children: &'static [Child]) -> Self {
        Self { children, at: 0, is_repeat: false }
    }

    /// Takes the next child.
    fn take(&mut self, name: &str) -> Result<(), Disorder> {
        if self.is_repeat && self.children[self.at].name == name {
            return if self.children[self.at].repeats {
                Ok(())
            } else {
                Err((name.to_owned(), FaultReason::Malformed))
            };
        }
        let from = self.at + usize::from(self.is_repeat);
        let found = self.children[from..].iter().position(|child| child.name == name);
        let found = found.ok_or_else(|| (name.to_owned(), FaultReason::Malformed))?;
        self.lacking(from, from + found)?;
        (self.at, self.is_repeat) = (from + found, true);
        Ok(())
    }

    fn end(&self) -> Result<(), Disorder> {
        self.lacking(self.at + usize::from(self.is_repeat), self.children.len())
    }

    fn lacking(&self, from: usize, to: usize) -> Result<(), Disorder> {
        match self.children[from..to].iter().find(|child| child.is_required) {
            Some(child) => Err((child.name.to_owned(), FaultReason::Missing)),
            None => Ok(()),
        }
    }

    /// A whole element's children.
    fn check(children: &'static [Child], node: &Node) -> Result<(), Disorder> {
        let mut order = Self::of(children);
        node.children.iter().try_for_each(|child| order.take(&child.name))?;
        order.end()
    }
}

fn schema((name, reason): Disorder) -> FileRefusal {
    FileRefusal::new(RefusalReason::Schema, format!("{name} {}", reason.message_en()))
}

/// Entries of a message, each statement's own record behind its entries.
pub struct Reader<R: Read> {
    message: Message,
    source: Option<R>,
    open: Option<Open<R>>,
    pending: Pending,
}

/// A message being read.
struct Open<R: Read> {
    xml: XmlReader<R>,
    order: Order,
    account: Option<Account>,
    statements: i64,
    entries: i64,
}

/// One account's statement or notice being read.
struct Account {
    order: Order,
    statement: BankStatement,
    summary: Option<Node>,
    sums: Sums,
    /// An entry without a readable amount: the sums prove nothing.
    is_unsummed: bool,
}

/// Over all entries, whatever their status.
#[derive(Default)]
struct Sums {
    credits: i64,
    credit_fen: i64,
    debits: i64,
    debit_fen: i64,
}

impl<R: Read> Reader<R> {
    pub fn new(message: Message, source: R) -> Self {
        Self { message, source: Some(source), open: None, pending: Pending::default() }
    }
}

impl<R: Read> Iterator for Reader<R> {
    type Item = Row;

    fn next(&mut self) -> Option<Row> {
        let Self { message, source, open, pending } = self;
        pending.next(|pending| match open {
            Some(open) => open.advance(*message, pending),
            None => {
                // Only the first call comes here.
                let Some(source) = source.take() else {
                    pending.is_over = true;
                    return Ok(());
                };
                *open = Some(Open::begin(*message, source)?);
                Ok(())
            }
        })
    }
}

impl<R: Read> Open<R> {
    fn begin(message: Message, source: R) -> Result<Self, FileRefusal> {
        let taken: Vec<String> = (OLDEST_VERSION..=VERSION).map(|version| message.namespace(version)).collect();
        let mut xml = XmlReader::new(source, |namespace| taken.iter().any(|known| known == namespace))?;
        let name = message.elements().0;
        match xml.step()? {
            Step::Child(child) if child.name == name => {}
            Step::Child(child) => return Err(FileRefusal::new(RefusalReason::Schema, child.name)),
            Step::End => return Err(schema((name.to_owned(), FaultReason::Missing))),
        }
        let children = match message {
            Message::Statement => STATEMENT_MESSAGE,
            Message::Notification => NOTIFICATION_MESSAGE,
        };
        Ok(Self { xml, order: Order::of(children), account: None, statements: 0, entries: 0 })
    }

    fn advance(&mut self, message: Message, pending: &mut Pending) -> Result<(), FileRefusal> {
        if let Some(account) = self.account.take() {
            return self.account(message, account, pending);
        }
        let Step::Child(child) = self.xml.step()? else {
            self.order.end().map_err(schema)?;
            if let Step::Child(child) = self.xml.step()? {
                return Err(FileRefusal::new(RefusalReason::Schema, child.name));
            }
            self.xml.end()?;
            pending.is_over = true;
            return Ok(());
        };
        self.order.take(&child.name).map_err(schema)?;
        if child.name == message.elements().1 {
            let children = match message {
                Message::Statement => STATEMENT,
                Message::Notification => NOTIFICATION,
            };
            self.account = Some(Account::begin(children));
            return Ok(());
        }
        let node = self.xml.node(child)?;
        if node.name == "GrpHdr" {
            required_text(&node, "MsgId")?;
            let created = node.text_at("CreDtTm");
            time_of_day(created).ok_or_else(|| FileRefusal::new(RefusalReason::Schema, "CreDtTm"))?;
        }
        Ok(())
    }

    /// One child of a statement, or its end.
    fn account(&mut self, message: Message, mut account: Account, pending: &mut Pending) -> Result<(), FileRefusal> {
        let Step::Child(child) = self.xml.step()? else {
            account.order.end().map_err(schema)?;
            account.prove(message)?;
            pending.ready.push_back(Ok(Record::Statement(account.statement)));
            self.statements += 1;
            return Ok(());
        };
        account.order.take(&child.name).map_err(schema)?;
        if child.name == "Ntry" {
            self.entries += 1;
            let at = (self.entries, self.xml.position() as i64);
            let read = self.entry(at)?;
            account.count(&read)?;
            pending.ready.extend(read.rows(at, self.statements));
        } else {
            let node = self.xml.node(child)?;
            account.take(node)?;
        }
        self.account = Some(account);
        Ok(())
    }

    /// An entry, transaction by transaction.
    fn entry(&mut self, (entry, _): (i64, i64)) -> Result<Entry, FileRefusal> {
        let mut read = Entry::default();
        let mut order = Order::of(ENTRY);
        while let Step::Child(child) = self.xml.step()? {
            let disorder = order.take(&child.name);
            read.note(disorder);
            if child.name != "NtryDtls" {
                let node = self.xml.node(child)?;
                read.take(node)?;
                continue;
            }
            let mut order = Order::of(DETAILS);
            let batches = read.batches.len();
            while let Step::Child(child) = self.xml.step()? {
                let node = self.xml.node(child)?;
                read.note(order.take(&node.name));
                read.detail(&node)?;
                if read.parts.len() > MAX_ENTRIES {
                    return Err(FileRefusal::new(
                        RefusalReason::TooManyEntries,
                        format!("entry {entry}: {MAX_ENTRIES}"),
                    ));
                }
            }
            read.note(order.end());
            let ends = read.parts.len();
            read.batches[batches..].iter_mut().for_each(|batch| batch.parts.end = ends);
        }
        read.note(order.end());
        read.prove();
        Ok(read)
    }
}

impl Account {
    fn begin(children: &'static [Child]) -> Self {
        let statement = BankStatement {
            reference: String::new(),
            account: String::new(),
            opening: None,
            closing: None,
            credit_fen: 0,
            debit_fen: 0,
            entries: 0,
        };
        Self { order: Order::of(children), statement, summary: None, sums: Sums::default(), is_unsummed: false }
    }

    fn take(&mut self, node: Node) -> Result<(), FileRefusal> {
        match node.name.as_str() {
            "Id" => self.statement.reference = bounded("Id", &node.text)?.to_owned(),
            "Acct" => {
                let currency = node.text_at("Ccy");
                if !currency.is_empty() && currency != CURRENCY {
                    return Err(FileRefusal::new(RefusalReason::Currency, currency));
                }
                let account = account_of(&node);
                self.statement.account = bounded("Acct/Id", account)?.to_owned();
            }
            "Bal" => self.balance(&node)?,
            "TxsSummry" => self.summary = Some(node),
            _ => {}
        }
        Ok(())
    }

    fn balance(&mut self, node: &Node) -> Result<(), FileRefusal> {
        Order::check(BALANCE, node).map_err(schema)?;
        let kind = node.text_at("Tp/CdOrPrtry/Cd");
        if !matches!(kind, "OPBD" | "PRCD" | "CLBD") {
            // Available, interim and forward balances prove nothing about booked entries.
            return Ok(());
        }
        let malformed = |what: &str| FileRefusal::new(RefusalReason::Schema, format!("Bal/{what}"));
        let amount_fen = node.child("Amt").and_then(amount).ok_or_else(|| malformed("Amt"))?;
        currency(node)?;
        let way = direction(node.text_at("CdtDbtInd")).ok_or_else(|| malformed("CdtDbtInd"))?;
        let on = node.child("Dt").and_then(date_of).ok_or_else(|| malformed("Dt"))?;
        let balance = Balance { on, amount_fen: way.signed(amount_fen) };
        let place = if kind == "CLBD" { &mut self.statement.closing } else { &mut self.statement.opening };
        match place {
            Some(known) if known.amount_fen != balance.amount_fen || kind == "CLBD" => {
                Err(FileRefusal::new(RefusalReason::Balance, format!("{kind} twice")))
            }
            // The opening balance of a day is the closing one of the day before.
            Some(_) if kind == "PRCD" => Ok(()),
            _ => {
                *place = Some(balance);
                Ok(())
            }
        }
    }

    fn count(&mut self, entry: &Entry) -> Result<(), FileRefusal> {
        self.statement.entries += 1;
        let (Some(amount_fen), Some(way), Some(status)) = (entry.amount_fen, entry.direction, entry.status) else {
            self.is_unsummed = true;
            return Ok(());
        };
        let (number, sum, booked) = match way {
            EntryDirection::Credit => {
                (&mut self.sums.credits, &mut self.sums.credit_fen, &mut self.statement.credit_fen)
            }
            EntryDirection::Debit => (&mut self.sums.debits, &mut self.sums.debit_fen, &mut self.statement.debit_fen),
        };
        let too_large = || FileRefusal::new(RefusalReason::ControlTotal, "beyond what is counted");
        *number += 1;
        *sum = sum.checked_add(amount_fen).ok_or_else(too_large)?;
        if status == EntryStatus::Booked {
            *booked += amount_fen;
        }
        Ok(())
    }

    /// Balances and stated totals must be those of the entries.
    fn prove(&self, message: Message) -> Result<(), FileRefusal> {
        let at = &self.statement.reference;
        if message == Message::Statement {
            let lacks = |name: &str| FileRefusal::new(RefusalReason::Balance, format!("{at} lacks {name}"));
            let opening = self.statement.opening.ok_or_else(|| lacks("OPBD"))?;
            let closing = self.statement.closing.ok_or_else(|| lacks("CLBD"))?;
            let moved = i128::from(self.statement.credit_fen) - i128::from(self.statement.debit_fen);
            if self.is_unsummed || i128::from(opening.amount_fen) + moved != i128::from(closing.amount_fen) {
                return Err(FileRefusal::new(RefusalReason::Balance, at));
            }
        }
        let Some(summary) = &self.summary else { return Ok(()) };
        if self.is_unsummed {
            return Err(FileRefusal::new(RefusalReason::ControlTotal, at));
        }
        let sums = &self.sums;
        let all = (sums.credits + sums.debits, i128::from(sums.credit_fen) + i128::from(sums.debit_fen));
        let stated = [
            ("TtlNtries", all),
            ("TtlCdtNtries", (sums.credits, sums.credit_fen.into())),
            ("TtlDbtNtries", (sums.debits, sums.debit_fen.into())),
        ];
        for (name, (number, sum)) in stated {
            let Some(total) = summary.child(name) else { continue };
            let number_agrees = total.child("NbOfNtries").is_none_or(|n| n.text.parse() == Ok(number));
            let sum_agrees = total.child("Sum").is_none_or(|n| parse_fen(&n.text).map(i128::from) == Some(sum));
            let net_agrees = total.child("TtlNetNtry").is_none_or(|net| {
                let net_fen = i128::from(sums.credit_fen) - i128::from(sums.debit_fen);
                let way = direction(net.text_at("CdtDbtInd")).unwrap_or(EntryDirection::Credit);
                parse_fen(net.text_at("Amt")).map(|fen| i128::from(way.signed(fen))) == Some(net_fen)
            });
            if !(number_agrees && sum_agrees && net_agrees) {
                return Err(FileRefusal::new(RefusalReason::ControlTotal, format!("{at} {name}")));
            }
        }
        Ok(())
    }
}

/// An entry as it is read; what is wrong with it first.
#[derive(Default)]
struct Entry {
    amount_fen: Option<i64>,
    direction: Option<EntryDirection>,
    status: Option<EntryStatus>,
    is_reversal: bool,
    booked_on: Option<Date>,
    value_on: Option<Date>,
    bank_reference: String,
    parts: Vec<Part>,
    batches: Vec<Batch>,
    fault: Option<Disorder>,
}

/// What one `NtryDtls` states of its transactions.
struct Batch {
    /// The first of its parts, and the first that is not.
    parts: std::ops::Range<usize>,
    number: Option<i64>,
    total_fen: Option<i64>,
}

/// A transaction of an entry.
struct Part {
    amount_fen: Option<i64>,
    direction: Option<EntryDirection>,
    end_to_end_id: String,
    bank_reference: String,
    /// Creditor, then debtor: unified social credit code and account.
    parties: [(String, String); 2],
}

impl Entry {
    fn note(&mut self, found: Result<(), Disorder>) {
        if let Err(disorder) = found {
            self.fault.get_or_insert(disorder);
        }
    }

    fn fail(&mut self, name: &str, reason: FaultReason) {
        self.note(Err((name.to_owned(), reason)));
    }

    fn take(&mut self, node: Node) -> Result<(), FileRefusal> {
        let name = node.name.as_str();
        let is_read = match name {
            "Amt" => {
                currency_of(&node)?;
                self.amount_fen = amount(&node);
                self.amount_fen.is_some()
            }
            "CdtDbtInd" => {
                self.direction = direction(&node.text);
                self.direction.is_some()
            }
            "RvslInd" => {
                self.is_reversal = matches!(node.text.as_str(), "true" | "1");
                matches!(node.text.as_str(), "true" | "1" | "false" | "0")
            }
            "Sts" => {
                self.status = match node.text_at("Cd") {
                    "BOOK" => Some(EntryStatus::Booked),
                    "PDNG" | "FUTR" => Some(EntryStatus::Pending),
                    "INFO" => Some(EntryStatus::Information),
                    _ => None,
                };
                self.status.is_some()
            }
            "BookgDt" => {
                self.booked_on = date_of(&node);
                self.booked_on.is_some()
            }
            "ValDt" => {
                self.value_on = date_of(&node);
                self.value_on.is_some()
            }
            "AcctSvcrRef" => {
                self.bank_reference.clone_from(&node.text);
                has_length(&node.text, 35)
            }
            "NtryRef" => has_length(&node.text, 35),
            _ => true,
        };
        if !is_read {
            self.fail(name, FaultReason::Malformed);
        }
        Ok(())
    }

    /// A batch's own statement, or one transaction.
    fn detail(&mut self, node: &Node) -> Result<(), FileRefusal> {
        if node.name == "Btch" {
            let number = node.child("NbOfTxs").map(|n| n.text.parse().unwrap_or(-1));
            let total_fen = node.child("TtlAmt").map(|n| amount(n).unwrap_or(-1));
            let begins = self.parts.len();
            self.batches.push(Batch { parts: begins..begins, number, total_fen });
            return Ok(());
        }
        currency(node)?;
        let refs = |name: &str| node.text_at(&format!("Refs/{name}")).to_owned();
        let party = |name: &str| {
            let ids = node.at(&format!("RltdPties/{name}/Pty/Id/OrgId"));
            let ids = ids.into_iter().flat_map(|ids| &ids.children).filter(|id| id.name == "Othr");
            let uscc = ids.filter_map(|id| id.text_at("Id").parse::<Uscc>().ok()).next();
            let account = node.at(&format!("RltdPties/{name}Acct")).map_or("", account_of);
            (uscc.map(|code| code.to_string()).unwrap_or_default(), account.to_owned())
        };
        let part = Part {
            amount_fen: node.child("Amt").map(|n| amount(n).unwrap_or(-1)),
            direction: node.child("CdtDbtInd").and_then(|n| direction(&n.text)),
            end_to_end_id: refs("EndToEndId"),
            bank_reference: refs("AcctSvcrRef"),
            parties: [party("Cdtr"), party("Dbtr")],
        };
        for (name, text) in [("EndToEndId", &part.end_to_end_id), ("AcctSvcrRef", &part.bank_reference)] {
            if !text.is_empty() && !has_length(text, 35) {
                self.fail(&format!("NtryDtls/TxDtls/Refs/{name}"), FaultReason::Malformed);
            }
        }
        // `Max34Text`, an IBAN at most that.
        let is_odd = |account: &str| !account.is_empty() && !has_length(account, 34);
        if part.parties.iter().any(|(_, account)| is_odd(account)) {
            self.fail("NtryDtls/TxDtls/RltdPties", FaultReason::Malformed);
        }
        if part.amount_fen == Some(-1) {
            self.fail("NtryDtls/TxDtls/Amt", FaultReason::Malformed);
        }
        if node.child("CdtDbtInd").is_some() && part.direction.is_none() {
            self.fail("NtryDtls/TxDtls/CdtDbtInd", FaultReason::Malformed);
        }
        self.parts.push(part);
        Ok(())
    }

    /// The transactions must come to the entry, and to what its batch states.
    fn prove(&mut self) {
        let (Some(amount_fen), Some(way)) = (self.amount_fen, self.direction) else { return };
        if let [only] = &mut self.parts[..] {
            only.amount_fen.get_or_insert(amount_fen);
        }
        if self.parts.iter().any(|part| part.amount_fen.is_none()) {
            return self.fail("NtryDtls/TxDtls/Amt", FaultReason::Missing);
        }
        let sum: i128 = self.parts.iter().map(|part| i128::from(part.signed(way))).sum();
        if !self.parts.is_empty() && sum != i128::from(way.signed(amount_fen)) {
            return self.fail("NtryDtls", FaultReason::OutOfRange);
        }
        let contradicts = |batch: &Batch| {
            let parts = &self.parts[batch.parts.clone()];
            let sum: i128 = parts.iter().map(|part| i128::from(part.signed(EntryDirection::Credit)).abs()).sum();
            let number = batch.number.is_some_and(|n| n != parts.len() as i64);
            // Without its transactions a batch states what cannot be compared.
            !parts.is_empty() && (number || batch.total_fen.is_some_and(|fen| i128::from(fen) != sum))
        };
        if self.batches.iter().any(contradicts) {
            self.fail("NtryDtls/Btch", FaultReason::OutOfRange);
        }
    }

    fn rows(self, (entry, byte_offset): (i64, i64), statement: i64) -> VecDeque<Result<Record, LineFault>> {
        let fault = |(name, reason): Disorder| {
            VecDeque::from([Err(LineFault { line: entry, byte_offset, field: format!("Ntry/{name}"), reason })])
        };
        if let Some(found) = self.fault {
            return fault(found);
        }
        let (Some(amount_fen), Some(way), Some(entry_status)) = (self.amount_fen, self.direction, self.status) else {
            return fault((String::new(), FaultReason::Missing));
        };
        let row = BankEntry {
            entry,
            part: 0,
            statement,
            direction: way,
            amount_fen,
            entry_fen: way.signed(amount_fen),
            entry_status,
            is_reversal: self.is_reversal,
            booked_on: self.booked_on,
            value_on: self.value_on,
            end_to_end_id: String::new(),
            bank_reference: self.bank_reference,
            counterparty: String::new(),
            counterparty_account: String::new(),
        };
        if self.parts.is_empty() {
            return VecDeque::from([Ok(Record::Entry(row))]);
        }
        let row_of = |(part, of): (i64, Part)| {
            let direction = of.direction.unwrap_or(way);
            // Money goes out to the creditor and comes in from the debtor.
            let [creditor, debtor] = of.parties;
            let (counterparty, counterparty_account) =
                if direction == EntryDirection::Debit { creditor } else { debtor };
            Ok(Record::Entry(BankEntry {
                part,
                direction,
                amount_fen: of.amount_fen.unwrap_or(amount_fen),
                end_to_end_id: if of.end_to_end_id == NOT_PROVIDED { String::new() } else { of.end_to_end_id },
                bank_reference: if of.bank_reference.is_empty() {
                    row.bank_reference.clone()
                } else {
                    of.bank_reference
                },
                counterparty,
                counterparty_account,
                ..row.clone()
            }))
        };
        (1..).zip(self.parts).map(row_of).collect()
    }
}

impl Part {
    fn signed(&self, way: EntryDirection) -> i64 {
        self.direction.unwrap_or(way).signed(self.amount_fen.unwrap_or(0))
    }
}

/// What stands for an end-to-end id that the payer did not give.
const NOT_PROVIDED: &str = "NOTPROVIDED";

/// A transaction as a line of the run: booked money out under an order id. Whether the order is one
/// of the ledger's is not known here.
pub fn settlement_line(entry: &BankEntry, line: i64, clearing_date: Date) -> Option<SettlementLine> {
    let is_payout =
        entry.direction == EntryDirection::Debit && entry.entry_status == EntryStatus::Booked && !entry.is_reversal;
    let order: OrderId = entry.end_to_end_id.parse().ok()?;
    is_payout.then(|| SettlementLine {
        line,
        byte_offset: 0,
        kind: LineKind::OperatingSubsidy,
        merchant_id: String::new(),
        order_id: order.to_string(),
        transaction_time: entry.booked_on.unwrap_or(clearing_date).starts_at(),
        amount_fen: entry.amount_fen,
        fee_fen: 0,
        status: LineStatus::Success,
        institution: entry.counterparty.clone(),
        original_order_id: None,
    })
}

fn required_text(node: &Node, name: &str) -> Result<(), FileRefusal> {
    bounded(name, node.text_at(name)).map(drop)
}

/// `Max35Text`.
fn bounded<'a>(name: &str, text: &'a str) -> Result<&'a str, FileRefusal> {
    if has_length(text, 35) { Ok(text) } else { Err(FileRefusal::new(RefusalReason::Schema, name)) }
}

/// So many characters, on one line.
fn has_length(text: &str, most: usize) -> bool {
    (1..=most).contains(&text.chars().count()) && !text.chars().any(char::is_control)
}

fn account_of(node: &Node) -> &str {
    match node.text_at("Id/IBAN") {
        "" => node.text_at("Id/Othr/Id"),
        iban => iban,
    }
}

fn currency(node: &Node) -> Result<(), FileRefusal> {
    node.child("Amt").map_or(Ok(()), currency_of)
}

fn currency_of(amount: &Node) -> Result<(), FileRefusal> {
    match amount.attribute("Ccy") {
        Some(CURRENCY) => Ok(()),
        Some(other) => Err(FileRefusal::new(RefusalReason::Currency, other)),
        None => Err(FileRefusal::new(RefusalReason::Schema, "Ccy is missing")),
    }
}

fn amount(node: &Node) -> Option<i64> {
    parse_fen(&node.text)
}

/// A decimal with at most two decimals that count; further ones must be zeros.
fn parse_fen(text: &str) -> Option<i64> {
    let (whole, part) = text.split_once('.').unwrap_or((text, ""));
    let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    let fits = (1..=16).contains(&whole.len()) && part.len() <= 17 && digits(whole) && digits(part);
    if !fits {
        return None;
    }
    let (cents, rest) = part.split_at(part.len().min(2));
    if rest.bytes().any(|b| b != b'0') {
        return None;
    }
    let fen = whole.parse::<i64>().ok()?.checked_mul(100)? + format!("{cents:0<2}").parse::<i64>().ok()?;
    (fen <= AMOUNT_LIMIT_FEN).then_some(fen)
}

fn direction(text: &str) -> Option<EntryDirection> {
    match text {
        "CRDT" => Some(EntryDirection::Credit),
        "DBIT" => Some(EntryDirection::Debit),
        _ => None,
    }
}

/// `Dt`, or the Beijing date of `DtTm`.
fn date_of(node: &Node) -> Option<Date> {
    match (node.child("Dt"), node.child("DtTm")) {
        (Some(date), None) => date.text.parse().ok(),
        (None, Some(time)) => time_of_day(&time.text).map(Timestamp::date),
        _ => None,
    }
}

/// An `ISODateTime`: local to Beijing unless it names an offset.
fn time_of_day(text: &str) -> Option<Timestamp> {
    let (date, rest) = text.split_once('T')?;
    let date: Date = date.parse().ok()?;
    let clock = rest.get(..8)?;
    let number = |at: usize| -> Option<i64> {
        let digits = clock.get(at..at + 2).filter(|d| d.bytes().all(|b| b.is_ascii_digit()))?;
        digits.parse().ok()
    };
    let (h, m, s) = (number(0)?, number(3)?, number(6)?);
    if h > 23 || m > 59 || s > 59 || clock.as_bytes()[2] != b':' || clock.as_bytes()[5] != b':' {
        return None;
    }
    let mut zone = &rest[8..];
    if let Some(fraction) = zone.strip_prefix('.') {
        let end = fraction.find(|c: char| !c.is_ascii_digit()).unwrap_or(fraction.len());
        zone = &fraction[end..];
    }
    const BEIJING_MINUTES: i64 = 8 * 60;
    let offset = match zone.as_bytes() {
        [] => BEIJING_MINUTES,
        b"Z" => 0,
        [sign @ (b'+' | b'-'), a, b, b':', c, d] => {
            let digits = [a, b, c, d].map(|d| i64::from(*d) - i64::from(b'0'));
            if digits.iter().any(|d| !(0..=9).contains(d)) {
                return None;
            }
            let minutes = (digits[0] * 10 + digits[1]) * 60 + digits[2] * 10 + digits[3];
            if *sign == b'-' { -minutes } else { minutes }
        }
        _ => return None,
    };
    let seconds = h * 3600 + m * 60 + s + (BEIJING_MINUTES - offset) * 60;
    Some(date.starts_at().plus_us(seconds * 1_000_000))
}

/// One account's statement to write; its balances and sums are written as given.
#[derive(Clone, Debug)]
pub struct Statement {
    pub statement: BankStatement,
    /// In the order of their entries and parts.
    pub entries: Vec<BankEntry>,
}

/// Writes a message. `message_id` and the statements' references have at most 35 characters.
pub fn write(
    message: Message,
    message_id: &str,
    created_at: Timestamp,
    statements: &[Statement],
    mut to: impl Write,
) -> io::Result<()> {
    let (root, account) = message.elements();
    let time = jjj_domain::recon::file::beijing_text(created_at);
    let time = format!("{}T{}:{}:{}+08:00", created_at.date(), &time[8..10], &time[10..12], &time[12..]);
    let mut xml = Xml { text: String::new(), depth: 0 };
    xml.text.push_str("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    xml.open(&format!("Document xmlns=\"{}\"", message.namespace(VERSION)));
    xml.open(root);
    xml.open("GrpHdr");
    xml.leaf("MsgId", message_id);
    xml.leaf("CreDtTm", &time);
    xml.close("GrpHdr");
    for Statement { statement, entries } in statements {
        xml.open(account);
        xml.leaf("Id", &statement.reference);
        xml.leaf("CreDtTm", &time);
        xml.open("Acct");
        xml.account(&statement.account);
        xml.leaf("Ccy", CURRENCY);
        xml.close("Acct");
        if message == Message::Statement {
            for (kind, balance) in [("OPBD", statement.opening), ("CLBD", statement.closing)] {
                if let Some(balance) = balance {
                    xml.balance(kind, balance);
                }
            }
        }
        for group in entries.chunk_by(|a, b| a.entry == b.entry) {
            xml.entry(group);
            to.write_all(xml.text.as_bytes())?;
            xml.text.clear();
        }
        xml.close(account);
    }
    xml.close(root);
    xml.close("Document");
    to.write_all(xml.text.as_bytes())?;
    to.flush()
}

/// Indented text.
struct Xml {
    text: String,
    depth: usize,
}

impl Xml {
    fn line(&mut self, text: &str) {
        let _ = writeln!(self.text, "{:1$}{text}", "", 2 * self.depth);
    }

    fn open(&mut self, tag: &str) {
        self.line(&format!("<{tag}>"));
        self.depth += 1;
    }

    fn close(&mut self, name: &str) {
        self.depth -= 1;
        self.line(&format!("</{name}>"));
    }

    fn leaf(&mut self, name: &str, text: &str) {
        self.line(&format!("<{name}>{}</{name}>", escape(text)));
    }

    fn amount(&mut self, amount_fen: i64) {
        let (yuan, fen) = (amount_fen.unsigned_abs() / 100, amount_fen.unsigned_abs() % 100);
        self.line(&format!("<Amt Ccy=\"{CURRENCY}\">{yuan}.{fen:02}</Amt>"));
    }

    fn direction(&mut self, direction: EntryDirection) {
        self.leaf("CdtDbtInd", if direction == EntryDirection::Credit { "CRDT" } else { "DBIT" });
    }

    fn date(&mut self, name: &str, date: Option<Date>) {
        if let Some(date) = date {
            self.line(&format!("<{name}><Dt>{date}</Dt></{name}>"));
        }
    }

    fn account(&mut self, account: &str) {
        self.line(&format!("<Id><Othr><Id>{}</Id></Othr></Id>", escape(account)));
    }

    fn balance(&mut self, kind: &str, balance: Balance) {
        let way = if balance.amount_fen < 0 { EntryDirection::Debit } else { EntryDirection::Credit };
        self.open("Bal");
        self.line(&format!("<Tp><CdOrPrtry><Cd>{kind}</Cd></CdOrPrtry></Tp>"));
        self.amount(balance.amount_fen);
        self.direction(way);
        self.date("Dt", Some(balance.on));
        self.close("Bal");
    }

    fn entry(&mut self, parts: &[BankEntry]) {
        let Some(first) = parts.first() else { return };
        let way = if first.entry_fen < 0 { EntryDirection::Debit } else { EntryDirection::Credit };
        let status = match first.entry_status {
            EntryStatus::Booked => "BOOK",
            EntryStatus::Pending => "PDNG",
            EntryStatus::Information => "INFO",
        };
        self.open("Ntry");
        self.amount(first.entry_fen);
        // An entry of nothing has the direction of its transactions.
        self.direction(if first.entry_fen == 0 { first.direction } else { way });
        if first.is_reversal {
            self.leaf("RvslInd", "true");
        }
        self.line(&format!("<Sts><Cd>{status}</Cd></Sts>"));
        self.date("BookgDt", first.booked_on);
        self.date("ValDt", first.value_on);
        if first.part == 0 && !first.bank_reference.is_empty() {
            self.leaf("AcctSvcrRef", &first.bank_reference);
        }
        // Payments: issued or received credit transfers, of domestic kind.
        let family = if way == EntryDirection::Debit { "ICDT" } else { "RCDT" };
        self.line(&format!(
            "<BkTxCd><Domn><Cd>PMNT</Cd><Fmly><Cd>{family}</Cd><SubFmlyCd>DMCT</SubFmlyCd></Fmly></Domn></BkTxCd>"
        ));
        if first.part > 0 {
            self.open("NtryDtls");
            if parts.len() > 1 {
                self.line(&format!("<Btch><NbOfTxs>{}</NbOfTxs></Btch>", parts.len()));
            }
            for part in parts {
                self.transaction(part);
            }
            self.close("NtryDtls");
        }
        self.close("Ntry");
    }

    fn transaction(&mut self, part: &BankEntry) {
        self.open("TxDtls");
        self.open("Refs");
        if !part.bank_reference.is_empty() {
            self.leaf("AcctSvcrRef", &part.bank_reference);
        }
        let end_to_end_id = if part.end_to_end_id.is_empty() { NOT_PROVIDED } else { &part.end_to_end_id };
        self.leaf("EndToEndId", end_to_end_id);
        self.close("Refs");
        self.amount(part.amount_fen);
        self.direction(part.direction);
        let party = if part.direction == EntryDirection::Debit { "Cdtr" } else { "Dbtr" };
        if !(part.counterparty.is_empty() && part.counterparty_account.is_empty()) {
            self.open("RltdPties");
            if !part.counterparty.is_empty() {
                self.line(&format!(
                    "<{party}><Pty><Id><OrgId><Othr><Id>{}</Id></Othr></OrgId></Id></Pty></{party}>",
                    escape(&part.counterparty)
                ));
            }
            if !part.counterparty_account.is_empty() {
                self.open(&format!("{party}Acct"));
                self.account(&part.counterparty_account);
                self.close(&format!("{party}Acct"));
            }
            self.close("RltdPties");
        }
        self.close("TxDtls");
    }
}
