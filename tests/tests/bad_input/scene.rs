//! What the requests are about: a small world in which every method has something to act on. Each
//! record that a method uses up is that method's own, so that the right requests can all be made one
//! after the other.

use std::collections::BTreeMap;

use jjj_domain::recon::bank::{Balance, BankEntry, BankStatement, EntryDirection, EntryStatus};
use jjj_domain::recon::file::HEADER;
use jjj_domain::time::Date;
use jjj_formats::camt;
use jjj_tests::postgres::TestDatabase;
use jjj_tests::world::{self, BEIJING, Days, HEBEI, PROGRAMME, Systems, UNIONPAY, World, digest, signature};
use jjj_token::Jwk;
use jjj_token::confirmation::{ConfirmationClaims, sign_confirmation};
use serde_json::{Value, json};

use crate::stage::Stage;

pub const BANK: &str = "channels/bank";
/// A channel that is suspended.
pub const SPARE: &str = "channels/spare";
pub const LI: &str = "gateway/admins/li";
pub const WANG: &str = "gateway/admins/wang";
pub const CHEN: &str = "regions/110000/admins/chen";
pub const MA: &str = "regions/130000/admins/ma";
pub const HAIDIAN: &str = "110108";
const DOCUMENT: &str = "%PDF-1.7 the channel's letter";

/// The stage, and names of what is on it.
pub struct Scene {
    pub stage: Stage,
    pub world: World,
    /// What the world lacks, by a word for what it is there for.
    names: BTreeMap<&'static str, String>,
}

impl Scene {
    /// Institutions, elders, contracts and money of September; everything else on 18 November.
    pub async fn set(database: TestDatabase) -> Self {
        let stage = Stage::open(database).await;
        let session = |actor| stage.as_(actor).clone();
        let systems = Systems {
            beijing: session(BEIJING),
            hebei: session(HEBEI),
            unionpay: session(UNIONPAY),
            chen: session(CHEN),
        };
        let world = World::build(&systems, 3, 9).await;
        drop(systems);
        stage.sleep_days(74).await;
        let mut scene = Self { stage, world, names: BTreeMap::new() };
        scene.people().await;
        scene.contracts().await;
        scene.money().await;
        scene.payments().await;
        scene.subsidies().await;
        scene.records().await;
        scene.registry().await;
        scene.reconciliation().await;
        scene.close().await;
        scene.agreements().await;
        scene
    }

    /// The name of what is there for a purpose.
    pub fn name(&self, of: &str) -> &str {
        self.names.get(of).unwrap_or_else(|| panic!("the scene has no {of}"))
    }

    pub fn days(&self) -> Days {
        Days::now(self.stage.as_(BEIJING))
    }

    pub fn now_us(&self) -> i64 {
        self.stage.clock.now().0
    }

    /// Calls, and keeps the name of the part that the answer holds.
    async fn make(&mut self, of: &'static str, actor: &str, method: &str, part: &str, request: Value) -> Value {
        let mut answer = self.stage.call(actor, method, request).await;
        let made = answer[part].take();
        let name = made["name"].as_str().unwrap_or_else(|| panic!("{method} answers without {part}.name: {answer}"));
        self.names.insert(of, name.to_owned());
        made
    }

    /// Elders of whom no more is known yet, each for another method's use.
    async fn people(&mut self) {
        let people =
            ["new", "merged", "into", "dying", "erased", "drafting", "signing", "filing", "arriving", "leaving"];
        for (n, of) in people.into_iter().enumerate() {
            self.make(of, BEIJING, "ElderService/RegisterElder", "elder", world::elder(100 + n)).await;
        }
        for (of, n) in [("party", 200), ("forgotten party", 201)] {
            self.make(of, HEBEI, "ElderService/RegisterParty", "party", party(n)).await;
        }
        let death = json!({"elder": self.world.elders[8], "died_on": "2026-11-10"});
        self.stage.call(BEIJING, "ElderService/RecordDeath", death).await;
    }

    /// Contracts on their way, by how far they have come.
    async fn contracts(&mut self) {
        let institution = self.world.institutions[0].clone();
        let cast = [
            ("draft", "drafting", 0),
            ("void draft", "drafting", 0),
            ("signed", "signing", 1),
            ("signed on paper", "leaving", 1),
            ("filed", "filing", 2),
            ("active", "arriving", 3),
        ];
        for (of, elder, steps) in cast {
            let elder = self.name(elder).to_owned();
            let request = world::contract(&institution, &elder, &self.days());
            self.make(of, HEBEI, "ContractService/CreateContract", "contract", request).await;
            let contract = self.name(of);
            let call = async |method: &str, request| self.stage.call(HEBEI, method, request).await;
            if steps >= 1 {
                for signer in [&institution, &elder] {
                    let signature = signature(signer, &elder, self.now_us() - 60_000_000);
                    call("ContractService/SignContract", json!({"contract": contract, "signature": signature})).await;
                }
            }
            if steps >= 2 {
                let filed = json!({"contract": contract, "filing_number": format!("冀{of}"), "filed_on": "2026-11-17"});
                call("ContractService/FileContract", filed).await;
            }
            if steps >= 3 {
                let active = json!({"contract": contract, "effective_on": "2026-11-18"});
                call("ContractService/ActivateContract", active).await;
            }
        }
    }

    /// A grant not yet credited, one to be returned, one that was spent meanwhile and is owed.
    async fn money(&mut self) {
        let grant = world::grant(&self.world.elders[6], "2026-10");
        self.make("uncredited", BEIJING, "EntitlementService/GrantEntitlement", "grant", grant).await;
        for grant in [3, 4] {
            let claw = json!({"grant": self.world.grants[grant], "reason": "多发"});
            self.stage.call(BEIJING, "EntitlementService/ClawBackGrant", claw).await;
        }
        let spent = json!({"elder": self.world.elders[4], "programme": PROGRAMME, "amount_fen": "20000",
                           "occurred_on": "2026-11-17", "reference": "OUT0"});
        self.stage.call(UNIONPAY, "EntitlementService/ReportOutsideSpending", spent).await;
        let returned = json!({"grant": self.world.grants[4], "returned_fen": "40000"});
        self.stage.call(UNIONPAY, "EntitlementService/ReportClawbackReturn", returned).await;
    }

    async fn payments(&mut self) {
        let bill = self.world.bills[0].clone();
        for (n, of) in ["to confirm", "to reverse", "to void", "to refund"].into_iter().enumerate() {
            let order = format!("20261118A{n}");
            let request = world::authorise(&bill, 10_000, &order, self.now_us() - 1_000_000);
            self.make(of, UNIONPAY, "PaymentService/AuthorizePayment", "payment", request).await;
        }
        for of in ["to void", "to refund"] {
            let confirm = json!({"payment": self.name(of), "amount_fen": "10000"});
            self.stage.call(UNIONPAY, "PaymentService/ConfirmPayment", confirm).await;
        }
        let refund = self.refund("20261118R0");
        self.make("refund", UNIONPAY, "PaymentService/RefundPayment", "refund", refund).await;
        for (of, n) in [("mandate", 1), ("mandate to revoke", 2)] {
            self.make(of, BEIJING, "MandateService/CreateMandate", "mandate", self.mandate(n)).await;
        }
        for of in ["to reject", "to cancel"] {
            self.make(of, BEIJING, "PaymentService/InstructPayment", "payment", self.instruct()).await;
        }
    }

    /// Claims: two to be decided, one approved, one paid.
    async fn subsidies(&mut self) {
        let cast = [
            ("to approve", 0, "2026-09"),
            ("to decline", 0, "2026-10"),
            ("to pay", 1, "2026-09"),
            ("paid", 1, "2026-10"),
        ];
        for (of, institution, month) in cast {
            let request =
                json!({"institution": self.world.institutions[institution], "payer": BEIJING, "month": month});
            let method = "OperatingSubsidyService/CreateClaim";
            let claim = self.make(of, HEBEI, method, "claim", request).await;
            // Three elders each, alike: every claim comes to the same.
            self.names.insert("claimed fen", claim["amount_fen"].as_str().unwrap().to_owned());
            if institution == 1 {
                let approve = json!({"claim": self.name(of), "amount_fen": claim["amount_fen"],
                                     "funder_division": "110000", "channel": BANK});
                self.stage.call(BEIJING, "OperatingSubsidyService/ApproveClaim", approve).await;
            }
            if of == "paid" {
                let paid = json!({"claim": self.name(of), "amount_fen": claim["amount_fen"], "order_id": "20261118P0",
                                  "clearing_date": "2026-11-18"});
                self.stage.call(BANK, "OperatingSubsidyService/ConfirmPayout", paid).await;
            }
        }
    }

    async fn records(&mut self) {
        let certificate = self.certificate(&self.world.elders[7]);
        let method = "DisabilityCertificateService/PublishDisabilityCertificate";
        self.make("certificate", BEIJING, method, "disability_certificate", certificate).await;
        let accept =
            json!({"record": self.world.assessments[0], "verdict": "RECOGNITION_VERDICT_ACCEPT", "reason": "互认"});
        self.make("recognition", HEBEI, "RecognitionService/DecideRecognition", "recognition", accept).await;
        let method = "InstitutionService/ProposeSettlementAccount";
        self.make("account", MA, method, "settlement_account", self.settlement_account(0)).await;
    }

    /// A second authority and key of the bank, and a channel that is suspended.
    async fn registry(&mut self) {
        let authority = json!({"participant": BANK, "certificate_pem": self.foreign_authority(UNIONPAY)});
        self.make("authority", BANK, "ParticipantService/AddAuthority", "authority", authority).await;
        for (of, actor) in [("key to retire", "regions/130000"), ("key to withdraw", "regions/130000/admins/ma")] {
            let (jwk, fingerprint) = self.foreign_key(actor);
            let key = json!({"owner": BANK, "jwk": jwk, "fingerprint": fingerprint});
            self.make(of, BANK, "ParticipantService/AddKey", "key", key).await;
        }
        self.stage.call(LI, "ParticipantService/CreateParticipant", self.participant(SPARE, BANK)).await;
        let suspend = json!({"participant": SPARE, "reason": "演练"});
        self.stage.call(LI, "ParticipantService/SuspendParticipant", suspend).await;
    }

    /// Files announced, sent and read; a run over the last, its breaks and its view.
    async fn reconciliation(&mut self) {
        for (of, date) in
            [("announced", "2026-11-14"), ("sent", "2026-11-15"), ("settled", "2026-11-16"), ("file", "2026-11-17")]
        {
            self.make(of, UNIONPAY, "ChannelService/BeginUpload", "file", self.upload(date)).await;
            if of != "announced" {
                let data = base64(settlement_file_of(date));
                let chunk = json!({"file": self.name(of), "offset": "0", "data": data});
                self.stage.call(UNIONPAY, "ChannelService/UploadChunk", chunk).await;
            }
        }
        self.settlement().await;
        self.bank_statement().await;
        self.stage.call(UNIONPAY, "ChannelService/CompleteUpload", json!({"file": self.name("file")})).await;
        let start = json!({"channel": UNIONPAY, "clearing_date": "2026-11-17"});
        self.make("run", CHEN, "ReconciliationService/StartRun", "run", start).await;
        let breaks = self.stage.as_(LI).list("ReconciliationService/ListBreaks", "", "breaks").await.unwrap();
        let of_file: Vec<_> =
            breaks.iter().filter(|found| found["subject"].as_str().unwrap().starts_with(self.name("file"))).collect();
        assert_eq!(of_file.len(), 3, "{breaks:#?}");
        for (of, found) in ["break", "proposed", "withdrawn"].into_iter().zip(of_file) {
            self.names.insert(of, found["name"].as_str().unwrap().to_owned());
        }
        for of in ["document", "attached"] {
            self.make(of, LI, "ChannelService/BeginUpload", "file", self.evidence()).await;
            let chunk = json!({"file": self.name(of), "offset": "0", "data": base64(DOCUMENT)});
            self.stage.call(LI, "ChannelService/UploadChunk", chunk).await;
            self.stage.call(LI, "ChannelService/CompleteUpload", json!({"file": self.name(of)})).await;
        }
        let attach = json!({"reconciliation_break": self.name("proposed"), "file": self.name("attached")});
        self.stage.call(LI, "ReconciliationService/AttachEvidence", attach).await;
        for of in ["proposed", "withdrawn"] {
            let propose =
                json!({"reconciliation_break": self.name(of), "resolution": "RESOLUTION_REPAY", "reason": "核对"});
            self.stage.call(LI, "ReconciliationService/ProposeResolution", propose).await;
        }
        let view = format!("{}/views/110000", self.name("run"));
        let read = self.stage.call(CHEN, "ReconciliationService/GetView", json!({"name": view})).await;
        let root = read["root_hash"].as_str().or(read["view"]["root_hash"].as_str()).unwrap().to_owned();
        self.names.extend([("view", view), ("root", root)]);
    }
}

impl Scene {
    /// A bank's statement of one transaction.
    async fn bank_statement(&mut self) {
        let (text, date) = (bank_statement_of("2026-11-10"), "2026-11-10");
        let announced = json!({"clearing_date": date, "format": "FILE_FORMAT_CAMT_053",
                               "content": "FILE_CONTENT_STATEMENT", "file_name": "statement.xml",
                               "size_bytes": text.len().to_string(), "sha256": digest(&text)});
        self.make("statement file", BANK, "ChannelService/BeginUpload", "file", announced).await;
        let file = self.name("statement file").to_owned();
        let chunk = json!({"file": file, "offset": "0", "data": base64(text)});
        self.stage.call(BANK, "ChannelService/UploadChunk", chunk).await;
        self.stage.call(BANK, "ChannelService/CompleteUpload", json!({"file": file})).await;
        let read = json!({"name": format!("{file}/statements/0")});
        let stated = self.stage.call(BANK, "ChannelService/GetBankStatement", read).await;
        assert_eq!(stated["page_entries"][0]["amount_fen"], "20000", "{stated:#}");
        self.names.insert("bank statement", stated["name"].as_str().unwrap().to_owned());
    }

    /// A day run and stated, whose statement awaits its payout, which was reported before there was a statement.
    async fn settlement(&mut self) {
        let date = "2026-11-16";
        // Three rows of 100 yuan, less 20 fen each.
        let payout = json!({"reference": "P1", "amount_fen": "29940", "paid_on": "2026-11-18"});
        self.make("payout", UNIONPAY, "SettlementService/ReportPayout", "payout", payout).await;
        self.stage.call(UNIONPAY, "ChannelService/CompleteUpload", json!({"file": self.name("settled")})).await;
        let of_date = json!({"channel": UNIONPAY, "clearing_date": date});
        self.stage.call(CHEN, "ReconciliationService/StartRun", of_date.clone()).await;
        self.stage.settle().await;
        self.stage.call(CHEN, "SettlementService/PrepareSettlement", of_date).await;
        let stated = self.stage.as_(CHEN).list("SettlementService/ListSettlementStatements", "", "statements").await;
        let stated =
            stated.unwrap().iter().find(|s| s["institution"] != "").expect("of the institution")["name"].clone();
        self.names.insert("statement", stated.as_str().unwrap().to_owned());
    }

    /// A month in which nothing was booked, to be closed by a second person.
    async fn close(&mut self) {
        let propose = json!({"book": world::BOOK, "month": "2026-09", "reason": "月结"});
        self.make("close", CHEN, "MonthCloseService/ProposeClose", "month_close", propose).await;
    }
}

impl Scene {
    /// Proposals of Hebei's that wait for Beijing's answer, between one scope each.
    async fn agreements(&mut self) {
        let proposals = [("proposal to accept", "RATING"), ("proposal to withdraw", "DISABILITY_CERTIFICATE")];
        for (of, kind) in proposals {
            let made =
                self.make(of, HEBEI, "AgreementService/ProposeAgreement", "agreement", self.agreement(kind)).await;
            if kind == "RATING" {
                self.names.insert("terms to accept", made["terms_sha256"].as_str().unwrap().to_owned());
            }
        }
        // The other direction is another scope.
        let mut back = self.agreement("DISABILITY_CERTIFICATE");
        (back["issuer"], back["recognizer"]) = (json!(BEIJING), json!(HEBEI));
        self.make("proposal to decline", HEBEI, "AgreementService/ProposeAgreement", "agreement", back).await;
    }
}

/// Requests that both the scene and the table make.
impl Scene {
    /// What Beijing is to recognize of Hebei's, from next month on.
    pub fn agreement(&self, kind: &str) -> Value {
        let scheme = match kind {
            "RATING" => "GB_T_37276",
            "ASSESSMENT" => "GB_T_42195_2022",
            _ => "NATIONAL",
        };
        let line = json!({"native": 4, "recognized": 4, "quality": "EXACT"});
        let body = json!({"automatic": true, "schemes": {scheme: [line]}, "source": "协议"});
        json!({"issuer": HEBEI, "recognizer": BEIJING, "record_kind": format!("RECORD_KIND_{kind}"),
               "effective_from": "2026-12-01", "body": body.to_string(), "reason": "会商"})
    }

    pub fn refund(&self, order: &str) -> Value {
        json!({"payment": self.name("to refund"), "amount_fen": "1000", "order_id": order,
               "transaction_time_us": self.now_us().to_string(), "reason": "退"})
    }

    /// Of the `n`th elder of the world.
    pub fn mandate(&self, n: usize) -> Value {
        json!({"programme": PROGRAMME, "elder": self.world.elders[n], "contract": self.world.contracts[n],
               "channel": UNIONPAY, "fee_types": ["FEE_TYPE_BED"], "monthly_cap_fen": "60000",
               "valid_from": "2026-11-01", "valid_until": "2027-10-31", "consent_sha256": digest("mandate")})
    }

    pub fn instruct(&self) -> Value {
        json!({"mandate": self.name("mandate"), "bill": self.world.bills[1], "fee_type": "FEE_TYPE_BED",
               "amount_fen": "5000"})
    }

    pub fn certificate(&self, elder: &str) -> Value {
        json!({"elder": elder, "categories": ["DISABILITY_CATEGORY_LIMB"], "grade": 1, "state": "RECORD_STATE_VALID",
               "document_number": "残1", "decided_by": "残联", "decided_on": "2026-01-10", "valid_from": "2026-01-10",
               "valid_until": "2036-01-09", "reason": "发证"})
    }

    /// Of the `n`th institution of the world.
    pub fn settlement_account(&self, n: usize) -> Value {
        json!({"institution": self.world.institutions[n], "channel": UNIONPAY, "merchant_id": format!("89811004816000{n}"),
               "account_holder": "某养老院", "account_token": "tok-1", "account_last4": "0017",
               "effective_from": "2026-12-20", "reason": "开户"})
    }

    pub fn upload(&self, date: &str) -> Value {
        let text = settlement_file_of(date);
        json!({"clearing_date": date, "format": "FILE_FORMAT_CSV", "content": "FILE_CONTENT_SETTLEMENT",
               "file_name": "day.csv", "size_bytes": text.len().to_string(), "sha256": digest(&text)})
    }

    /// A document about a break.
    pub fn evidence(&self) -> Value {
        json!({"clearing_date": "2026-11-17", "format": "FILE_FORMAT_OTHER", "content": "FILE_CONTENT_EVIDENCE",
               "file_name": "letter.pdf", "size_bytes": DOCUMENT.len().to_string(),
               "sha256": digest(DOCUMENT)})
    }

    /// A new channel, with another's authority and key out of the foreign sandbox.
    pub fn participant(&self, name: &str, foreign: &str) -> Value {
        let (jwk, fingerprint) = self.foreign_key(foreign);
        json!({"name": name, "display_name": "新渠道", "kind": "PARTICIPANT_KIND_CHANNEL",
               "authority_pem": self.foreign_authority(foreign), "first_key_jwk": jwk,
               "first_key_fingerprint": fingerprint, "confirmations": self.confirmations(name, &fingerprint)})
    }

    /// A key that nobody has registered: JWK and thumbprint.
    pub fn foreign_key(&self, actor: &str) -> (String, String) {
        let file = self.stage.foreign.identity_dir(actor).join(jjj_cli::identity::PUBLIC_JWK_FILE);
        let jwk = Jwk::from_json(&std::fs::read(file).unwrap()).unwrap();
        (jwk.to_json(), jwk.thumbprint())
    }

    pub fn foreign_authority(&self, participant: &str) -> String {
        std::fs::read_to_string(self.stage.foreign.authority_path(participant)).unwrap()
    }

    /// Two administrators of the gateway have heard this fingerprint.
    fn confirmations(&self, holder: &str, fingerprint: &str) -> Value {
        let wang = &self.stage.as_(WANG).client;
        let claims = ConfirmationClaims {
            iss: WANG.to_owned(),
            aud: self.stage.config.origin.clone(),
            sub: holder.to_owned(),
            fingerprint: fingerprint.to_owned(),
            iat: wang.now_us() / 1_000_000,
        };
        let statement = sign_confirmation(&wang.identity().signing, &claims).unwrap();
        json!([{"administrator": LI, "fingerprint": fingerprint},
               {"administrator": WANG, "fingerprint": fingerprint, "statement": statement}])
    }
}

/// A request to register the `n`th person as a party of contracts.
pub fn party(n: usize) -> Value {
    let mut request = world::elder(n);
    request.as_object_mut().unwrap().remove("household_division");
    request
}

/// Two orders of a date that the ledger does not know.
pub fn settlement_file_of(date: &str) -> String {
    let (institution, day) = (world::institution(0), date.replace('-', ""));
    let row = |n| {
        let uscc = institution["uscc"].as_str().unwrap();
        format!("PAYMENT,M1,UNKNOWN{}{n},{day}100000,10000,20,SUCCESS,{uscc},\n", &day[6..])
    };
    format!("{}\n{}{}{}TRAILER,3,30000,60,,,,,\n", HEADER.join(","), row(1), row(2), row(3))
}

fn bank_statement_of(date: &str) -> String {
    let on: Date = date.parse().unwrap();
    let balance = |amount_fen| Some(Balance { on, amount_fen });
    let statement = BankStatement {
        reference: "S1".into(),
        account: "11001018400000001234".into(),
        opening: balance(50_000),
        closing: balance(30_000),
        credit_fen: 0,
        debit_fen: 20_000,
        entries: 1,
    };
    let entry = BankEntry {
        entry: 1,
        part: 1,
        statement: 0,
        direction: EntryDirection::Debit,
        amount_fen: 20_000,
        entry_fen: -20_000,
        entry_status: EntryStatus::Booked,
        is_reversal: false,
        booked_on: Some(on),
        value_on: None,
        end_to_end_id: "E2E9".into(),
        bank_reference: "B1".into(),
        counterparty: String::new(),
        counterparty_account: String::new(),
    };
    let mut bytes = Vec::new();
    let statement = camt::Statement { statement, entries: vec![entry] };
    camt::write(camt::Message::Statement, "MSG1", on.starts_at(), &[statement], &mut bytes).unwrap();
    String::from_utf8(bytes).unwrap()
}

pub fn base64(bytes: impl AsRef<[u8]>) -> String {
    use base64::Engine as _;
    base64::prelude::BASE64_STANDARD.encode(bytes)
}
