//! A small day through the API: enough of everything that each RPC has something to act on.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use jjj_cli::sandbox::{Options, Sandbox};
use jjj_cli::session::Session;
use jjj_domain::recon::file::HEADER;
use jjj_server::{Clock, Config, Handle};
use jjj_store::Store;
use jjj_token::confirmation::{ConfirmationClaims, sign_confirmation};
use serde_json::{Value, json};
use tokio::sync::oneshot;

use crate::{enrol, people};

/// Wednesday 18 November 2026, 10:00 in Beijing.
pub const START_US: i64 = 1_794_967_200_000_000;
pub const BEIJING: &str = "regions/110000";
pub const HEBEI: &str = "regions/130000";
pub const UNIONPAY: &str = "channels/unionpay";
pub const BANK: &str = "channels/bank";
const DIVISION: &str = "131082";
const DISTRICT: &str = "110108";
const PROGRAMME: &str = "care_subsidy";
pub const MONTH: &str = "2026-11";

/// The running gateway; another one on the same files after each [`World::restore`].
struct Running {
    handle: Handle,
    stop: oneshot::Sender<()>,
    sessions: HashMap<String, Session>,
}

pub struct World {
    pub sandbox: Sandbox,
    /// Certificates and keys that this gateway knows nothing of.
    pub foreign: Sandbox,
    pub config: Config,
    pub clock: Clock,
    running: Option<Running>,
    /// What the scene made, by the tests' own short names.
    names: BTreeMap<&'static str, String>,
    dir: tempfile::TempDir,
}

/// SHA-256 of a text, hex.
pub fn digest(text: &str) -> String {
    hex::encode(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, text.as_bytes()))
}

pub fn salt(text: &str) -> String {
    BASE64_STANDARD.encode(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, text.as_bytes()))
}

impl World {
    pub async fn start(database_url: Option<&str>) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut options = Options::default();
        if let Some(url) = database_url {
            options.database_url = url.to_owned();
        }
        options.grpc.set_port(0);
        let sandbox = Sandbox::create(&dir.path().join("sandbox"), &options).unwrap();
        let foreign = Sandbox::create(&dir.path().join("foreign"), &options).unwrap();
        let clock = Clock::default();
        clock.advance_us(START_US - clock.now().0);
        enrol::found(&sandbox, &clock).await.unwrap();
        enrol::enrol_members(&sandbox, &clock).await.unwrap();
        let mut config = Config::load(&sandbox.config_path()).unwrap();
        config.public = None;
        config.metrics = None;
        let mut world = Self { sandbox, foreign, config, clock, running: None, names: BTreeMap::new(), dir };
        world.open().await;
        world.set_the_scene().await;
        world
    }

    async fn open(&mut self) {
        let (stop, stopped) = oneshot::channel::<()>();
        let handle =
            jjj_server::run(self.config.clone(), self.clock.clone(), async { drop(stopped.await) }).await.unwrap();
        let address = handle.grpc.to_string();
        let mut sessions = HashMap::new();
        for entry in std::fs::read_dir(self.sandbox.dir().join("identities")).unwrap() {
            let actor = std::fs::read_to_string(entry.unwrap().path().join("actor.txt")).unwrap();
            let now = enrol::now(&self.clock);
            let session = enrol::session(&self.sandbox, &actor, &address, &self.config.origin, now).unwrap();
            sessions.insert(actor, session);
        }
        self.running = Some(Running { handle, stop, sessions });
    }

    pub async fn close(&mut self) {
        if let Some(running) = self.running.take() {
            drop(running.stop);
            running.handle.join().await;
        }
    }

    pub fn address(&self) -> String {
        self.running.as_ref().unwrap().handle.grpc.to_string()
    }

    pub fn as_(&self, actor: &str) -> &Session {
        let sessions = &self.running.as_ref().unwrap().sessions;
        sessions.get(actor).unwrap_or_else(|| panic!("nobody is {actor}"))
    }

    /// Waits until the log has every leaf in its place: what the gateway does by itself is done.
    pub async fn settle(&self) {
        self.settle_quickly().await;
        // The checkpoint over them.
        tokio::time::sleep(std::time::Duration::from_millis(1_500)).await;
    }

    pub async fn settle_quickly(&self) {
        let pending = jjj_store::schema::tables().into_iter().find(|t| t.name == "leaf_pending").unwrap();
        for _ in 0..200 {
            let store = Store::open(&self.config.database.url).await.unwrap();
            let left = store.read().await.unwrap().scan(pending, None, 1).await.unwrap().len();
            store.close().await;
            if left == 0 {
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
        panic!("the log does not catch up");
    }

    /// Every row of every table, digested, but what the gateway writes on its own by the clock.
    pub async fn fingerprint(&self) -> BTreeMap<&'static str, (usize, String)> {
        let store = Store::open(&self.config.database.url).await.unwrap();
        let mut session = store.read().await.unwrap();
        let mut print = BTreeMap::new();
        for table in jjj_store::schema::tables() {
            let (mut rows, mut after, mut context) =
                (0, None, aws_lc_rs::digest::Context::new(&aws_lc_rs::digest::SHA256));
            loop {
                let page = session.scan(table, after.take(), 1_000).await.unwrap();
                let Some(last) = page.last() else { break };
                let key = table.key.iter().map(|k| table.columns.iter().position(|c| c.name == *k).unwrap());
                after = Some(key.map(|at| last[at].clone()).collect());
                rows += page.len();
                for row in &page {
                    context.update(format!("{row:?}\n").as_bytes());
                }
            }
            print.insert(table.name, (rows, hex::encode(context.finish())));
        }
        drop(session);
        store.close().await;
        print
    }

    /// The database files as they are now, the gateway stopped meanwhile.
    pub async fn keep(&mut self) -> Kept {
        self.settle().await;
        self.close().await;
        let files = self.database_files();
        let kept = Kept { files: files.iter().map(|p| (p.clone(), std::fs::read(p).unwrap())).collect() };
        self.open().await;
        kept
    }

    /// Back to what was kept.
    pub async fn restore(&mut self, kept: &Kept) {
        self.close().await;
        for file in self.database_files() {
            std::fs::remove_file(file).unwrap();
        }
        for (path, bytes) in &kept.files {
            std::fs::write(path, bytes).unwrap();
        }
        self.open().await;
    }

    fn database_files(&self) -> Vec<PathBuf> {
        let dir = self.dir.path().join("sandbox");
        let entries = std::fs::read_dir(dir).unwrap().map(|e| e.unwrap().path());
        entries.filter(|p| p.file_name().unwrap().to_string_lossy().starts_with("jjj.db")).collect()
    }

    pub fn name(&self, short: &str) -> &str {
        self.names.get(short).unwrap_or_else(|| panic!("the scene has no {short}"))
    }

    async fn call(&self, actor: &str, method: &str, request: Value) -> Value {
        let answer = self.as_(actor).call(method, request.clone()).await;
        answer.unwrap_or_else(|e| panic!("{method} as {actor}: {e} {:?}\n{request}", e.field))
    }

    /// Calls and keeps the name of the part under a short one.
    async fn make(&mut self, short: &'static str, actor: &str, method: &str, part: &str, request: Value) -> Value {
        let mut answer = self.call(actor, method, request).await;
        let part = answer[part].take();
        self.names.insert(short, part["name"].as_str().unwrap_or_else(|| panic!("{method}: {answer}")).to_owned());
        part
    }

    async fn set_the_scene(&mut self) {
        for (i, short) in ["i0", "i1"].into_iter().enumerate() {
            let request = self.institution(i + 1);
            self.make(short, HEBEI, "InstitutionService/RegisterInstitution", "institution", request).await;
            let rating = self.rating(self.name(short));
            let short = if i == 0 { "rating" } else { "rating1" };
            self.make(short, HEBEI, "RatingService/PublishRating", "rating", rating).await;
        }
        for short in ["i0", "i1"] {
            let scope = json!({"institution": self.name(short), "in_scope": true, "effective_on": "2026-01-01"});
            self.call(HEBEI, "InstitutionService/SetSigningScope", scope).await;
        }
        for (n, short) in ["e0", "e1", "e2", "e3", "e4", "e5", "e6"].into_iter().enumerate() {
            self.make(short, BEIJING, "ElderService/RegisterElder", "elder", self.elder(n)).await;
        }
        let of = [("e0", "a0"), ("e1", "a1"), ("e2", "a2"), ("e3", "a3"), ("e4", "a4"), ("e5", "a5")];
        for (elder, short) in of {
            let request = self.assessment(self.name(elder));
            self.make(short, BEIJING, "AssessmentService/PublishAssessment", "assessment", request).await;
        }
        let method = "DisabilityCertificateService/PublishDisabilityCertificate";
        let request = self.certificate(self.name("e1"));
        self.make("certificate", BEIJING, method, "disability_certificate", request).await;
        self.make("party", HEBEI, "ElderService/RegisterParty", "party", self.party(90)).await;
        self.contracts().await;
        self.money().await;
        self.reconciliation().await;
        let request = self.settlement_account();
        let method = "InstitutionService/ProposeSettlementAccount";
        self.make("account", "regions/130000/admins/ma", method, "settlement_account", request).await;
        let accept =
            json!({"record": self.name("a0"), "verdict": "RECOGNITION_VERDICT_ACCEPT", "reason": "免于重复评估"});
        self.make("recognition", HEBEI, "RecognitionService/DecideRecognition", "recognition", accept).await;
        self.registry().await;
    }

    async fn contracts(&mut self) {
        // Drafted, signed, filed, active: how far each contract has come.
        let cast = [("c0", "e0", "i0", 4), ("c1", "e1", "i0", 1), ("c2", "e2", "i0", 2), ("c3", "e3", "i0", 3)];
        for (short, elder, institution, steps) in cast.into_iter().chain([("c4", "e4", "i1", 4), ("c5", "e5", "i1", 4)])
        {
            let request = self.contract(self.name(elder), self.name(institution));
            self.make(short, HEBEI, "ContractService/CreateContract", "contract", request).await;
            let contract = self.name(short).to_owned();
            if steps >= 2 {
                for signer in [institution, elder] {
                    let request = self.sign(&contract, self.name(signer));
                    self.call(HEBEI, "ContractService/SignContract", request).await;
                }
            }
            if steps >= 3 {
                let number = format!("HB2026-{short}");
                let request = json!({"contract": contract, "filing_number": number, "filed_on": "2026-11-17"});
                self.call(HEBEI, "ContractService/FileContract", request).await;
            }
            if steps >= 4 {
                let request = json!({"contract": contract, "effective_on": "2026-10-01"});
                self.call(HEBEI, "ContractService/ActivateContract", request).await;
            }
        }
        for (elder, contract, institution, stay, bill) in
            [("e0", "c0", "i0", "s0", "b0"), ("e4", "c4", "i1", "s4", "b4"), ("e5", "c5", "i1", "s5", "b5")]
        {
            let request = json!({"elder": self.name(elder), "institution": self.name(institution),
                                 "contract": self.name(contract), "admitted_on": "2026-10-05"});
            self.make(stay, HEBEI, "StayService/AdmitElder", "stay", request).await;
            let request = self.bill(elder, institution, contract, stay, MONTH);
            self.make(bill, HEBEI, "BillService/PublishBill", "bill", request).await;
        }
        // A bill without payments, to be voided.
        let request = self.bill("e5", "i1", "c5", "s5", "2026-10");
        self.make("unpaid", HEBEI, "BillService/PublishBill", "bill", request).await;
    }

    async fn money(&mut self) {
        let budget = json!({"programme": PROGRAMME, "funder_division": DISTRICT, "budget_year": 2026,
                            "amount_fen": "1000000", "reference": "预算"});
        self.call(BEIJING, "EntitlementService/AllotBudget", budget).await;
        let funding = json!({"programme": PROGRAMME, "channel": UNIONPAY, "amount_fen": "900000", "reference": "预存"});
        self.call(BEIJING, "EntitlementService/FundChannel", funding).await;
        for (elder, short) in [("e0", "g0"), ("e4", "g4"), ("e5", "g5"), ("e1", "g1")] {
            let request = self.grant(self.name(elder), MONTH);
            let grant = self.make(short, BEIJING, "EntitlementService/GrantEntitlement", "grant", request).await;
            if short != "g1" {
                let credit = json!({"grant": self.name(short), "outcome": "CREDIT_OUTCOME_CREDITED",
                                    "amount_fen": grant["amount_fen"]});
                self.call(UNIONPAY, "EntitlementService/ReportCredit", credit).await;
            } else {
                self.names.insert("g1_fen", grant["amount_fen"].as_str().unwrap().to_owned());
            }
        }
        for (short, order, bill, fen) in [
            ("authorised", "20261118A1", "b0", 10_000),
            ("confirmed", "20261118A2", "b0", 12_000),
            ("paid5", "20261118A3", "b5", 500),
        ] {
            let request = self.authorise(self.name(bill), order, fen);
            self.make(short, UNIONPAY, "PaymentService/AuthorizePayment", "payment", request).await;
        }
        for (payment, fen) in [("confirmed", "12000"), ("paid5", "500")] {
            let request = json!({"payment": self.name(payment), "amount_fen": fen});
            self.call(UNIONPAY, "PaymentService/ConfirmPayment", request).await;
        }
        let refund = self.refund("20261118R0");
        self.make("refund", UNIONPAY, "PaymentService/RefundPayment", "refund", refund).await;
        let claw = json!({"grant": self.name("g5"), "reason": "多发"});
        self.call(BEIJING, "EntitlementService/ClawBackGrant", claw).await;
        let mandate = self.mandate("e4", "c4");
        self.make("mandate", BEIJING, "MandateService/CreateMandate", "mandate", mandate).await;
        let instruct = self.instruct(10_000);
        self.make("instructed", BEIJING, "PaymentService/InstructPayment", "payment", instruct).await;
        for (short, institution) in [("claim0", "i0"), ("claim1", "i1")] {
            let request = json!({"institution": self.name(institution), "payer": BEIJING, "month": "2026-10"});
            let claim = self.make(short, HEBEI, "OperatingSubsidyService/CreateClaim", "claim", request).await;
            let fen = claim["amount_fen"].as_str().unwrap().to_owned();
            if short == "claim1" {
                let approve =
                    json!({"claim": self.name(short), "amount_fen": fen, "funder_division": "110000", "channel": BANK});
                self.call(BEIJING, "OperatingSubsidyService/ApproveClaim", approve).await;
                self.names.insert("claim1_fen", fen);
            } else {
                self.names.insert("claim0_fen", fen);
            }
        }
    }

    async fn reconciliation(&mut self) {
        let text = self.file_text();
        let upload = |date: &str| {
            json!({"clearing_date": date, "format": "FILE_FORMAT_CSV", "content": "FILE_CONTENT_SETTLEMENT",
                   "file_name": "day.csv", "size_bytes": text.len().to_string(), "sha256": digest(&text)})
        };
        for (short, date) in [("file", "2026-11-17"), ("sent", "2026-11-16"), ("begun", "2026-11-15")] {
            self.make(short, UNIONPAY, "ChannelService/BeginUpload", "file", upload(date)).await;
            if short != "begun" {
                let chunk = json!({"file": self.name(short), "offset": "0", "data": BASE64_STANDARD.encode(&text)});
                self.call(UNIONPAY, "ChannelService/UploadChunk", chunk).await;
            }
        }
        let complete = json!({"file": self.name("file")});
        self.call(UNIONPAY, "ChannelService/CompleteUpload", complete).await;
        let start = json!({"channel": UNIONPAY, "clearing_date": "2026-11-17"});
        let chen = "regions/110000/admins/chen";
        self.make("run", chen, "ReconciliationService/StartRun", "run", start).await;
        let mut breaks =
            self.as_("gateway/admins/li").list("ReconciliationService/ListBreaks", "", "breaks").await.unwrap();
        breaks.sort_by_key(|b| b["order_id"].as_str().unwrap_or_default().to_owned());
        assert!(breaks.len() >= 2, "{breaks:?}");
        for (short, found) in [("break0", &breaks[0]), ("break1", &breaks[1])] {
            self.names.insert(short, found["name"].as_str().unwrap().to_owned());
        }
        let propose =
            json!({"reconciliation_break": self.name("break1"), "resolution": "RESOLUTION_REPAY", "reason": "核对"});
        self.call("gateway/admins/li", "ReconciliationService/ProposeResolution", propose).await;
        let view = format!("{}/views/110000", self.name("run"));
        let read = self.call("regions/110000/admins/sun", "ReconciliationService/GetView", json!({"name": view})).await;
        let root = read["root_hash"].as_str().or(read["view"]["root_hash"].as_str()).unwrap_or_default().to_owned();
        self.names.insert("view", view);
        self.names.insert("root", root);
    }

    async fn registry(&mut self) {
        let pem = std::fs::read_to_string(self.foreign.authority_path("channels/bank")).unwrap();
        let more = json!({"participant": BANK, "certificate_pem": pem});
        self.make("authority", BANK, "ParticipantService/AddAuthority", "authority", more).await;
        let (jwk, thumb) = self.foreign_key("channels/bank");
        let key = json!({"owner": BANK, "jwk": jwk, "fingerprint": thumb});
        self.make("key", BANK, "ParticipantService/AddKey", "key", key).await;
        let reason = json!({"participant": "regions/120000", "reason": "演练"});
        self.call("gateway/admins/li", "ParticipantService/SuspendParticipant", reason).await;
    }

    /// A key from elsewhere, as JWK and its thumbprint.
    pub fn foreign_key(&self, actor: &str) -> (String, String) {
        let bytes = std::fs::read(self.foreign.identity_dir(actor).join("signing-key.jwk.json")).unwrap();
        let jwk = jjj_token::Jwk::from_json(&bytes).unwrap();
        (jwk.to_json(), jwk.thumbprint())
    }

    pub fn foreign_authority(&self, participant: &str) -> String {
        std::fs::read_to_string(self.foreign.authority_path(participant)).unwrap()
    }

    /// Two administrators of the gateway say that they heard this fingerprint.
    pub fn confirmations(&self, holder: &str, fingerprint: &str) -> Value {
        let wang = &self.as_("gateway/admins/wang").client;
        let claims = ConfirmationClaims {
            iss: wang.actor().to_owned(),
            aud: self.config.origin.clone(),
            sub: holder.to_owned(),
            fingerprint: fingerprint.to_owned(),
            iat: wang.now_us() / 1_000_000,
        };
        let statement = sign_confirmation(&wang.identity().signing, &claims).unwrap();
        json!([{"administrator": "gateway/admins/li", "fingerprint": fingerprint},
               {"administrator": "gateway/admins/wang", "fingerprint": fingerprint, "statement": statement}])
    }

    pub fn institution(&self, n: usize) -> Value {
        json!({"uscc": people::uscc(DIVISION, n), "display_name": "某养老院", "kind": "INSTITUTION_KIND_CARE_INSTITUTION",
               "division_code": DIVISION, "beds": "300", "residents": "200"})
    }

    pub fn rating(&self, institution: &str) -> Value {
        json!({"institution": institution, "scheme": "RATING_SCHEME_GB_T_37276", "native_grade": 4,
               "state": "RECORD_STATE_VALID", "document_number": "评定1", "decided_by": "评定委员会",
               "decided_on": "2025-12-20", "valid_from": "2026-01-01", "valid_until": "2028-12-31", "reason": "评定"})
    }

    pub fn personal_data(&self, id: &str) -> Value {
        let sex = if id.as_bytes()[16] % 2 == 1 { "SEX_MALE" } else { "SEX_FEMALE" };
        let born = format!("{}-{}-{}", &id[6..10], &id[10..12], &id[12..14]);
        json!({"full_name": "某人", "birth_date": born, "sex": sex, "mobile": "13900000000", "address": "某街一号"})
    }

    pub fn elder(&self, n: usize) -> Value {
        let id = people::resident_id(DISTRICT, n);
        json!({"salt": salt(&format!("elder {n}")), "household_division": DISTRICT, "personal_data": self.personal_data(&id),
               "identifiers": [{"kind": "IDENTIFIER_KIND_RESIDENT_ID", "value": id}]})
    }

    pub fn party(&self, n: usize) -> Value {
        let mut request = self.elder(n);
        request.as_object_mut().unwrap().remove("household_division");
        request
    }

    pub fn assessment(&self, elder: &str) -> Value {
        json!({"elder": elder, "standard": "ASSESSMENT_STANDARD_GB_T_42195_2022", "assessment_reason": "ASSESSMENT_REASON_INITIAL",
               "self_care_score": 10, "mobility_score": 4, "mental_state_score": 18, "perception_social_score": 6,
               "total_score": 38, "preliminary_level": 3, "final_level": 3, "state": "RECORD_STATE_VALID",
               "document_number": "评估1", "decided_by": "评估机构", "decided_on": "2026-09-20",
               "valid_from": "2026-10-01", "valid_until": "2029-09-30", "reason": "首次"})
    }

    pub fn certificate(&self, elder: &str) -> Value {
        json!({"elder": elder, "categories": ["DISABILITY_CATEGORY_LIMB"], "grade": 1, "state": "RECORD_STATE_VALID",
               "document_number": "残1", "decided_by": "残联", "decided_on": "2026-01-10", "valid_from": "2026-01-10",
               "valid_until": "2036-01-09", "reason": "发证"})
    }

    pub fn document(&self) -> Value {
        json!({"kind": "CONTRACT_DOCUMENT_KIND_CONTRACT_TEXT", "sha256": digest("contract"), "size_bytes": "20480"})
    }

    pub fn fees(&self) -> Value {
        json!({"bed_fee_fen": "180000", "nursing_fee_fen": "200000", "meal_fee_fen": "90000", "other_fee_fen": "0",
               "deposit_fen": "300000", "prepaid_months": 1})
    }

    pub fn parties(&self, elder: &str, institution: &str) -> Value {
        json!([{"party": institution, "roles": ["PARTY_ROLE_INSTITUTION"]},
               {"party": elder, "roles": ["PARTY_ROLE_ELDER", "PARTY_ROLE_PAYMENT_OBLIGOR"]}])
    }

    pub fn contract(&self, elder: &str, institution: &str) -> Value {
        json!({"institution": institution, "elder": elder, "parties": self.parties(elder, institution),
               "capacity": "LEGAL_CAPACITY_FULL", "fees": self.fees(), "starts_on": "2026-10-01",
               "ends_on": "2027-09-30", "documents": [self.document()]})
    }

    pub fn signature(&self, signer: &str) -> Value {
        json!({"signer": signer, "method": "SIGNATURE_METHOD_ELECTRONIC", "document_sha256": digest("contract"),
               "signed_time_us": (START_US - 60_000_000).to_string(), "certificate_sha256": digest("certificate"),
               "certificate_issuer": "CN=CA", "signature_sha256": digest("signature")})
    }

    pub fn sign(&self, contract: &str, signer: &str) -> Value {
        json!({"contract": contract, "signature": self.signature(signer)})
    }

    pub fn lines(&self) -> Value {
        json!([{"fee_type": "FEE_TYPE_BED", "due_fen": "180000", "paid_elsewhere_fen": "0"},
               {"fee_type": "FEE_TYPE_NURSING", "due_fen": "200000", "paid_elsewhere_fen": "0"}])
    }

    pub fn bill(&self, elder: &str, institution: &str, contract: &str, stay: &str, month: &str) -> Value {
        json!({"institution": self.name(institution), "elder": self.name(elder), "contract": self.name(contract),
               "stay": self.name(stay), "month": month, "lines": self.lines(), "bill_number": format!("B-{stay}-{month}")})
    }

    pub fn grant(&self, elder: &str, month: &str) -> Value {
        json!({"elder": elder, "programme": PROGRAMME, "month": month, "channel": UNIONPAY})
    }

    pub fn authorise(&self, bill: &str, order: &str, fen: i64) -> Value {
        json!({"bill": bill, "fee_type": "FEE_TYPE_BED", "programme": PROGRAMME, "amount_fen": fen.to_string(),
               "order_id": order, "merchant_id": "898110000000001",
               "transaction_time_us": (START_US - 1_000_000).to_string(), "consent_sha256": digest("consent")})
    }

    pub fn refund(&self, order: &str) -> Value {
        json!({"payment": self.name("confirmed"), "amount_fen": "1000", "order_id": order,
               "transaction_time_us": (START_US + 1_000).to_string(), "reason": "退"})
    }

    pub fn mandate(&self, elder: &str, contract: &str) -> Value {
        json!({"programme": PROGRAMME, "elder": self.name(elder), "contract": self.name(contract), "channel": UNIONPAY,
               "fee_types": ["FEE_TYPE_BED", "FEE_TYPE_NURSING"], "monthly_cap_fen": "60000", "valid_from": "2026-11-01",
               "valid_until": "2027-10-31", "consent_sha256": digest("mandate")})
    }

    pub fn instruct(&self, fen: i64) -> Value {
        json!({"mandate": self.name("mandate"), "bill": self.name("b4"), "fee_type": "FEE_TYPE_NURSING",
               "amount_fen": fen.to_string()})
    }

    pub fn settlement_account(&self) -> Value {
        json!({"institution": self.name("i0"), "channel": UNIONPAY, "merchant_id": "898110048160001",
               "account_holder": "某养老院", "account_token": "tok-1", "account_last4": "0017",
               "effective_from": "2026-12-20", "reason": "开户"})
    }

    /// Two orders of the 17th that the ledger does not know.
    pub fn file_text(&self) -> String {
        let uscc = people::uscc(DIVISION, 1);
        let row = |order: &str| format!("PAYMENT,M1,{order},20261117100000,10000,20,SUCCESS,{uscc},\n");
        format!("{}\n{}{}TRAILER,2,20000,40,,,,,\n", HEADER.join(","), row("UNKNOWN1"), row("UNKNOWN2"))
    }
}

/// A database's files.
pub struct Kept {
    files: Vec<(PathBuf, Vec<u8>)>,
}
