//! Files as they arrive: announced with size and digest, sent in chunks (the store's), stated
//! whole. The same file twice changes nothing; another one for the same content, merchant and
//! date supersedes the earlier, and both are kept.

use super::bank::{BankFile, BankStatementRow};
use super::file::LineFault;
use super::refusal::FileRefusal;
use super::rows::{FileContent, FileFormat, FileRow, FileState};
use crate::decision::{Call, Command, Decision};
use crate::guard;
use crate::id::Digest;
use crate::key;
use crate::names::{Collection, Name, Participant, ParticipantKind};
use crate::participant::ParticipantRow;
use crate::rejection::{Reason, Rejection};
use crate::snapshot::{Snapshot, Stop};
use crate::time::Date;
use crate::value::Json;

/// The largest file: 4 GiB.
const MAX_SIZE_BYTES: i64 = 4 << 30;
/// Rows set aside that a file's record lists.
pub const LISTED_REJECTIONS: usize = 100;

/// The largest regional book: 256 MiB, some two million rows; a run holds it in memory.
const MAX_BOOK_BYTES: i64 = 256 << 20;
/// The largest document attached as evidence: 64 MiB.
const MAX_EVIDENCE_BYTES: i64 = 64 << 20;

/// Announces a file. The caller is the channel, a region with its own book, or an administrator
/// with evidence.
#[derive(Clone, Debug)]
pub struct BeginUpload {
    pub clearing_date: Date,
    pub format: FileFormat,
    pub content: FileContent,
    /// The channel it is about; a channel's own otherwise.
    pub channel: Option<Participant>,
    pub merchant_id: String,
    pub file_name: String,
    pub size_bytes: i64,
    pub sha256: Digest,
}

impl BeginUpload {
    /// The merchant that the file covers, empty for all. UnionPay's files are settlement files of one
    /// merchant, and their zip bears merchant and date in its name; a bank's are statements.
    fn merchant(&self) -> Result<String, Rejection> {
        let content = match self.format {
            FileFormat::Csv => self.content,
            FileFormat::UnionpayZip | FileFormat::UnionpayZm | FileFormat::UnionpayZme => FileContent::Settlement,
            FileFormat::Camt053 | FileFormat::Camt054 => FileContent::Statement,
            FileFormat::Other => FileContent::Evidence,
        };
        if self.content != content {
            return Err(Reason::FieldNotApplicable.field("content").var("scheme", self.format));
        }
        if content == FileContent::RegionalBook && !self.merchant_id.is_empty() {
            return Err(Reason::FieldNotApplicable.field("merchant_id").var("scheme", content));
        }
        let is_of_merchant =
            matches!(self.format, FileFormat::UnionpayZip | FileFormat::UnionpayZm | FileFormat::UnionpayZme);
        let is_named = self.format == FileFormat::UnionpayZip && !self.file_name.is_empty();
        if !is_named {
            let is_missing = self.merchant_id.is_empty() && is_of_merchant;
            let missing = || Reason::FieldMissing.field("merchant_id");
            return if is_missing { Err(missing()) } else { Ok(self.merchant_id.clone()) };
        }
        let date = self.clearing_date.to_string().replace('-', "");
        let stated = self.file_name.strip_suffix(&format!("_{date}.zip")).unwrap_or_default();
        let is_merchant = (1..=15).contains(&stated.len()) && stated.bytes().all(|b| b.is_ascii_alphanumeric());
        if is_merchant && [stated, ""].contains(&self.merchant_id.as_str()) {
            return Ok(stated.to_owned());
        }
        let merchant = if self.merchant_id.is_empty() { "{merchant}" } else { &self.merchant_id };
        Err(Reason::FieldMalformed.field("file_name").var("expected", format!("{merchant}_{date}.zip")))
    }
}

impl Command for BeginUpload {
    fn decide(&self, snapshot: &Snapshot, call: &Call) -> Result<Decision, Stop> {
        let sender = call.participant();
        let (least, most) = match self.content {
            FileContent::Evidence => (1, MAX_EVIDENCE_BYTES),
            FileContent::RegionalBook => (0, MAX_BOOK_BYTES),
            FileContent::Settlement | FileContent::Balances | FileContent::Statement => (0, MAX_SIZE_BYTES),
        };
        guard::range("size_bytes", self.size_bytes, least, most)?;
        guard::optional_text("file_name", &self.file_name, 200)?;
        guard::optional_text("merchant_id", &self.merchant_id, 15)?;
        let (is_region, is_evidence) =
            (sender.kind() == ParticipantKind::Region, self.content == FileContent::Evidence);
        let is_book = self.content == FileContent::RegionalBook;
        if is_evidence != call.actor.is_admin() || (!is_evidence && is_region != is_book) {
            return Err(Reason::RoleNotAllowed.field("content").into());
        }
        if is_evidence != (self.format == FileFormat::Other) {
            return Err(Reason::FieldNotApplicable.field("format").var("scheme", self.content).into());
        }
        if is_evidence && self.channel.is_some() {
            return Err(Reason::FieldNotApplicable.field("channel").var("scheme", self.content).into());
        }
        let merchant_id = self.merchant()?;
        let channel = self.channel.clone().or_else(|| (!is_region || is_evidence).then(|| sender.clone()));
        let channel = channel.ok_or_else(|| Reason::FieldMissing.field("channel"))?;
        if !is_region && !is_evidence {
            guard::own(call, &channel, "channel", &channel)?;
        }
        let name = Name::created(Collection::File, call.request_id).to_string();
        guard::absent(&snapshot.get::<FileRow>(key![name.clone()])?, &name)?;
        let row = FileRow {
            file: name,
            sender: sender.clone(),
            channel,
            clearing_date: self.clearing_date,
            format: self.format,
            content: self.content,
            merchant_id,
            file_name: self.file_name.clone(),
            size_bytes: self.size_bytes,
            sha256: self.sha256.to_string(),
            stored_sha256: String::new(),
            wrapped_key: String::new(),
            state: FileState::Uploading,
            rows: 0,
            rejected_rows: 0,
            rejections: Json(Vec::new()),
            refusal: None,
            refusal_detail: String::new(),
            superseded_by: None,
            recorded_at_us: call.now,
            version: 1,
        };
        let mut decision = Decision::new(call);
        let leaf = decision.leaf("file.announced", &row.file, 1);
        leaf.put(&row);
        if !is_evidence {
            leaf.tell(&row.channel);
        }
        Ok(decision)
    }
}

/// What the server found when it read the whole file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reading {
    pub rows: i64,
    pub rejected_rows: i64,
    /// The first [`LISTED_REJECTIONS`].
    pub rejections: Vec<LineFault>,
    /// What a bank's file states; empty for any other.
    pub bank: BankFile,
}

/// States that the file is whole. The server has compared size and digest
/// (`FILE_DIGEST_MISMATCH`), stored the bytes and read them.
#[derive(Clone, Debug)]
pub struct CompleteUpload {
    pub file: Name,
    pub stored_sha256: String,
    pub wrapped_key: String,
    /// Or why the file is refused whole; it is kept all the same.
    pub reading: Result<Reading, FileRefusal>,
}

impl Command for CompleteUpload {
    fn decide(&self, snapshot: &Snapshot, call: &Call) -> Result<Decision, Stop> {
        let row = guard::found(snapshot.get::<FileRow>(key![self.file.to_string()])?, "file", &self.file)?;
        guard::own(call, &row.sender, "file", &self.file)?;
        guard::state(row.state, &[FileState::Uploading], "file", &self.file)?;
        let mut row = FileRow {
            stored_sha256: self.stored_sha256.clone(),
            wrapped_key: self.wrapped_key.clone(),
            recorded_at_us: call.now,
            version: row.version + 1,
            ..(*row).clone()
        };
        match &self.reading {
            Ok(reading) => {
                row.state = FileState::Received;
                row.rows = reading.rows;
                row.rejected_rows = reading.rejected_rows;
                row.rejections = Json(reading.rejections.iter().take(LISTED_REJECTIONS).cloned().collect());
            }
            Err(refusal) => {
                row.state = FileState::Refused;
                row.refusal = Some(refusal.reason);
                row.refusal_detail.clone_from(&refusal.detail);
            }
        }
        let earlier = self.earlier(snapshot, &row)?;
        if let Some(same) = earlier.iter().find(|f| f.sha256 == row.sha256 && row.state == FileState::Received) {
            row.state = FileState::Superseded;
            row.superseded_by = Some(same.file.clone());
        }
        let mut decision = Decision::new(call);
        let leaf = decision.leaf("file.completed", &row.file, row.version);
        // Which file is in force rests on which others there are.
        leaf.put(&row).tell(&row.sender).guard::<ParticipantRow>(key![row.channel.clone()]);
        if row.content != FileContent::Evidence {
            leaf.tell(&row.channel);
        }
        if row.state == FileState::Received {
            if let Ok(reading) = &self.reading {
                reading.bank.record(&row, &mut decision);
            }
            for old in earlier {
                let old = FileRow {
                    state: FileState::Superseded,
                    superseded_by: Some(row.file.clone()),
                    recorded_at_us: call.now,
                    version: old.version + 1,
                    ..old
                };
                decision.leaf("file.superseded", &old.file, old.version).put(&old).tell(&old.channel).tell(&old.sender);
            }
        }
        Ok(decision)
    }
}

impl CompleteUpload {
    /// Received files that the file replaces: of the same content, merchant and date; of a bank, with an
    /// account of this one.
    fn earlier(&self, snapshot: &Snapshot, row: &FileRow) -> Result<Vec<FileRow>, Stop> {
        if row.content == FileContent::Evidence {
            return Ok(Vec::new());
        }
        let of_date = key![row.channel.clone(), row.clearing_date];
        let files = snapshot.list::<FileRow>(&["channel", "clearing_date"], of_date.clone())?;
        let same = |f: &FileRow| {
            f.state == FileState::Received
                && f.file != row.file
                && (&f.sender, f.content, &f.merchant_id) == (&row.sender, row.content, &row.merchant_id)
                && f.format.replaces(row.format)
        };
        let mut files: Vec<FileRow> = files.iter().map(|f| (**f).clone()).filter(same).collect();
        if let Ok(Reading { bank, .. }) = &self.reading
            && !bank.statements.is_empty()
        {
            let known = snapshot.list::<BankStatementRow>(&["channel", "clearing_date"], of_date)?;
            let is_ours = |s: &BankStatementRow| bank.statements.iter().any(|own| own.account == s.account);
            files.retain(|f| known.iter().any(|s| s.file == f.file && is_ours(s)));
        }
        Ok(files)
    }
}

/// A file's whole chain of earlier versions, for a run's `supersedes`.
pub fn earlier_versions(file: &str, files: &[FileRow]) -> Vec<String> {
    let mut found = vec![file.to_owned()];
    let mut i = 0;
    while i < found.len() {
        let by = found[i].clone();
        let older = files.iter().filter(|f| f.superseded_by.as_deref() == Some(&by) && !found.contains(&f.file));
        let older: Vec<String> = older.map(|f| f.file.clone()).collect();
        found.extend(older);
        i += 1;
    }
    found.split_off(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::Sim;
    use crate::time::Timestamp;

    fn call(n: u64) -> Call {
        Call {
            actor: "channels/unionpay".parse().unwrap(),
            request_id: format!("01980000-0000-7000-8000-{n:012x}").parse().unwrap(),
            now: Timestamp(1_795_000_000_000_000),
            lane: 0,
        }
    }

    fn upload_announced(sim: &mut Sim, n: u64, digest: char) -> Name {
        let begin = BeginUpload {
            clearing_date: "2026-11-16".parse().unwrap(),
            format: FileFormat::Csv,
            content: FileContent::Settlement,
            channel: None,
            merchant_id: String::new(),
            file_name: "20261116.csv".into(),
            size_bytes: 10,
            sha256: digest.to_string().repeat(64).parse().unwrap(),
        };
        sim.execute(&call(n), &begin).unwrap();
        Name::created(Collection::File, call(n).request_id)
    }

    fn upload(sim: &mut Sim, n: u64, digest: char) -> FileRow {
        let name = upload_announced(sim, n, digest);
        let reading = Ok(Reading { rows: 1, rejected_rows: 0, rejections: vec![], bank: BankFile::default() });
        let complete =
            CompleteUpload { file: name.clone(), stored_sha256: "0".into(), wrapped_key: "k".into(), reading };
        sim.execute(&call(n + 100), &complete).unwrap();
        assert_eq!(sim.execute(&call(n + 200), &complete).unwrap_err().reason, Reason::StateNotAllowed);
        sim.get(key![name.to_string()]).unwrap()
    }

    #[test]
    fn a_corrected_file_supersedes_and_the_same_file_changes_nothing() {
        let mut sim = Sim::default();
        let first = upload(&mut sim, 1, 'a');
        assert_eq!(first.state, FileState::Received);
        let again = upload(&mut sim, 2, 'a');
        assert_eq!((again.state, again.superseded_by.as_ref()), (FileState::Superseded, Some(&first.file)));
        assert_eq!(sim.get::<FileRow>(key![first.file.clone()]).unwrap(), first);
        let corrected = upload(&mut sim, 3, 'b');
        assert_eq!(corrected.state, FileState::Received);
        let first: FileRow = sim.get(key![first.file]).unwrap();
        assert_eq!((first.state, first.superseded_by.as_ref()), (FileState::Superseded, Some(&corrected.file)));
        assert_eq!(earlier_versions(&corrected.file, &sim.all()), [first.file.clone(), again.file.clone()]);
        // The correction was wrong: what was there before, delivered again, counts again.
        let back = upload(&mut sim, 4, 'a');
        assert_eq!(back.state, FileState::Received);
        let corrected: FileRow = sim.get(key![corrected.file]).unwrap();
        assert_eq!((corrected.state, corrected.superseded_by.as_ref()), (FileState::Superseded, Some(&back.file)));
        assert_eq!(earlier_versions(&back.file, &sim.all()), [corrected.file, first.file, again.file]);
    }

    #[test]
    fn each_content_has_its_own_size() {
        use FileContent::{Evidence, RegionalBook, Settlement};
        let (channel, region, admin) = ("channels/unionpay", "regions/130000", "regions/130000/admins/ma");
        for (actor, content, size_bytes, is_taken) in [
            (channel, Settlement, 0, true),
            (channel, Settlement, MAX_SIZE_BYTES, true),
            (channel, Settlement, MAX_SIZE_BYTES + 1, false),
            (channel, Settlement, -1, false),
            (region, RegionalBook, MAX_BOOK_BYTES, true),
            (region, RegionalBook, MAX_BOOK_BYTES + 1, false),
            (admin, Evidence, 0, false),
            (admin, Evidence, MAX_EVIDENCE_BYTES, true),
            (admin, Evidence, MAX_EVIDENCE_BYTES + 1, false),
        ] {
            let begin = BeginUpload {
                clearing_date: "2026-11-16".parse().unwrap(),
                format: if content == Evidence { FileFormat::Other } else { FileFormat::Csv },
                content,
                channel: (content == RegionalBook).then(|| channel.parse().unwrap()),
                merchant_id: String::new(),
                file_name: String::new(),
                size_bytes,
                sha256: "a".repeat(64).parse().unwrap(),
            };
            let by = Call { actor: actor.parse().unwrap(), ..call(1) };
            let said = Sim::default().execute(&by, &begin).map(drop).map_err(|refused| (refused.reason, refused.field));
            let wanted = if is_taken { Ok(()) } else { Err((Reason::FieldOutOfRange, Some("size_bytes".into()))) };
            assert_eq!(said, wanted, "{content} of {size_bytes} bytes");
        }
    }

    #[test]
    fn a_banks_statements_become_rows_and_accounts_are_cut() {
        use crate::recon::bank::{Balance, BankEntry, BankEntryRow, BankStatement, EntryDirection, EntryStatus};
        let mut sim = Sim::default();
        let announced = upload_announced(&mut sim, 1, 'a');
        let on: Date = "2026-11-16".parse().unwrap();
        let statement = BankStatement {
            reference: "S1".into(),
            account: "ACCOUNT1".into(),
            opening: Some(Balance { on, amount_fen: -5 }),
            closing: None,
            credit_fen: 0,
            debit_fen: 7,
            entries: 1,
        };
        let entry = |part, account: &str| BankEntry {
            entry: 1,
            part,
            statement: 0,
            direction: EntryDirection::Debit,
            amount_fen: 3,
            entry_fen: 7,
            entry_status: EntryStatus::Booked,
            is_reversal: false,
            booked_on: None,
            value_on: Some(on),
            end_to_end_id: "ORDER0001".into(),
            bank_reference: String::new(),
            counterparty: String::new(),
            counterparty_account: account.into(),
        };
        let entries = (1..=501).map(|part| entry(part, if part == 2 { "汉123" } else { "6200000001234" })).collect();
        let bank = BankFile { statements: vec![statement], entries };
        let complete = CompleteUpload {
            file: announced.clone(),
            stored_sha256: "0".into(),
            wrapped_key: "k".into(),
            reading: Ok(Reading { rows: 501, rejected_rows: 0, rejections: vec![], bank }),
        };
        sim.execute(&call(101), &complete).unwrap();
        let statements: Vec<BankStatementRow> = sim.all();
        assert_eq!((statements.len(), statements[0].opening_fen, statements[0].closing_fen), (1, Some(-5), None));
        let rows: Vec<BankEntryRow> = sim.all();
        assert_eq!((rows.len(), rows[0].booked_on, rows[0].counterparty_last4.as_str()), (501, on, "1234"));
        assert_eq!(rows[1].counterparty_last4, "汉123");
    }
}
