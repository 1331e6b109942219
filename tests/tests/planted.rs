//! Days with planted differences, findings and file faults on a real gateway and both databases: each
//! is found with its class and about its own row, none is invented, and the identities close. Days by
//! the hundred, of every class, are in the domain's tests (`recon::run::tests::planted`).

use std::collections::BTreeSet;

use jjj_domain::recon::file::{HEADER, beijing_text};
use jjj_domain::time::Timestamp;
use jjj_tests::both_databases;
use jjj_tests::campaign::{seed, sized};
use jjj_tests::gateway::Site;
use jjj_tests::postgres::TestDatabase;
use jjj_tests::world::{self, CREDITED_FEN, PROGRAMME, Systems, World, done};
use serde_json::{Value, json};

both_databases!(what_is_planted_is_found);

/// Cases that an elder's payment may be.
const CASES: usize = 14;

struct Day<'a> {
    systems: &'a Systems,
    world: &'a World,
    at: Timestamp,
    /// Lines of the file, without their totals.
    lines: Vec<(String, i64)>,
    expected: BTreeSet<(&'static str, String)>,
    rejected: usize,
}

impl Day<'_> {
    /// A line as a payment of the first institution's.
    fn line(&mut self, order: &str, amount_fen: i64) {
        let institution = self.world.institutions[0].replace("institutions/", "");
        self.line_like(order, amount_fen, fee_of(amount_fen), &institution, self.at);
    }

    fn line_like(&mut self, order: &str, amount_fen: i64, fee_fen: i64, institution: &str, at: Timestamp) {
        let time = beijing_text(at);
        let text = format!("PAYMENT,898110000000001,{order},{time},{amount_fen},{fee_fen},SUCCESS,{institution},");
        self.lines.push((text, amount_fen));
    }

    fn expect(&mut self, class: &'static str, subject: &str) {
        self.expected.insert((class, subject.to_owned()));
    }

    async fn authorised(&self, elder: usize, order: &str, amount_fen: i64) -> String {
        let ask = world::authorise(&self.world.bills[elder], amount_fen, order, self.at.0);
        let answer = done(&self.systems.unionpay, "PaymentService/AuthorizePayment", ask).await;
        answer["payment"]["name"].as_str().expect("a name").to_owned()
    }

    async fn confirm(&self, payment: &str, amount_fen: i64) {
        let date = &self.world.yesterday;
        let confirm = json!({"payment": payment, "amount_fen": amount_fen.to_string(), "clearing_date": date});
        done(&self.systems.unionpay, "PaymentService/ConfirmPayment", confirm).await;
    }

    async fn paid(&self, elder: usize, order: &str, amount_fen: i64) -> String {
        let payment = self.authorised(elder, order, amount_fen).await;
        self.confirm(&payment, amount_fen).await;
        payment
    }

    /// Plants one case; what is in the file but not in the ledger is named by its order.
    async fn plant(&mut self, case: usize, elder: usize, order: &str, fen: i64) {
        let (unionpay, beijing) = (&self.systems.unionpay, &self.systems.beijing);
        match case {
            0 => {
                self.paid(elder, order, fen).await;
                self.line(order, fen);
            }
            1 => {
                let payment = self.paid(elder, order, fen).await;
                self.line(order, fen);
                self.line(order, fen);
                self.expect("DUPLICATE", &payment);
            }
            2 => {
                let payment = self.paid(elder, order, fen).await;
                self.expect("CUTOFF", &payment);
            }
            3 => {
                let payment = self.paid(elder, order, fen).await;
                self.line(order, fen + 1);
                self.expect("AMOUNT_MISMATCH", &payment);
            }
            4 => {
                let payment = self.paid(elder, order, fen).await;
                let institution = self.world.institutions[0].replace("institutions/", "");
                self.line_like(order, fen, fee_of(fen) + 3, &institution, self.at);
                self.expect("FEE_MISMATCH", &payment);
            }
            5 => {
                let payment = self.paid(elder, order, fen).await;
                let other = self.world.institutions[1].replace("institutions/", "");
                self.line_like(order, fen, fee_of(fen), &other, self.at);
                self.expect("PARTY_MISMATCH", &payment);
            }
            6 => {
                let payment = self.authorised(elder, order, fen).await;
                self.line(order, fen);
                self.expect("STATUS_MISMATCH", &payment);
            }
            7 => {
                let payment = self.paid(elder, order, fen).await;
                self.line(order, fen);
                let reverse = json!({"payment": payment, "reason": "超时"});
                let refused = unionpay.call("PaymentService/ReversePayment", reverse).await.expect_err("contradicts");
                assert_eq!(refused.reason, "STATE_NOT_ALLOWED");
                self.expect("CONTRADICTION", &payment);
            }
            8 => {
                let payment = self.authorised(elder, order, fen).await;
                let reverse = json!({"payment": payment, "reason": "超时"});
                done(unionpay, "PaymentService/ReversePayment", reverse).await;
                self.confirm(&payment, fen).await;
                self.line(order, fen);
                self.expect("LATE_CONFIRMATION", &payment);
            }
            9 => {
                let payment = self.paid(elder, order, fen).await;
                self.line(order, fen);
                let revoke = json!({
                    "name": self.world.assessments[elder], "new_state": "RECORD_STATE_REVOKED", "reason": "作假",
                    "decided_by": "评估机构", "document_number": "撤-1",
                    "effective_on": format!("{}-01", self.world.month),
                });
                done(beijing, "AssessmentService/ChangeAssessment", revoke).await;
                self.expect("PAID_AFTER_REVOCATION", &payment);
                let grant = self.world.grants[elder].clone();
                self.expect("GRANT_WITHOUT_BASIS", &grant);
            }
            10 => {
                let today = Timestamp(unionpay.client.now_us()).date().to_string();
                let spent = json!({"elder": self.world.elders[elder], "programme": PROGRAMME, "occurred_on": today,
                                   "amount_fen": (CREDITED_FEN + fen).to_string(), "reference": order});
                done(unionpay, "EntitlementService/ReportOutsideSpending", spent).await;
                let id = self.world.elders[elder].replace("elders/", "");
                self.expect("OVERSPENT", &format!("{id}/unionpay"));
            }
            11 => {
                self.line(order, fen);
                self.expect("CHANNEL_ONLY", order);
            }
            12 => {
                let payment = self.paid(elder, order, fen).await;
                let institution = self.world.institutions[0].replace("institutions/", "");
                for (minutes, fen) in [(1, fen / 2), (2, fen / 3)] {
                    let at = self.at.plus_us(minutes * 60_000_000);
                    self.line_like(order, fen, fee_of(fen), &institution, at);
                }
                self.expect("AMBIGUOUS", &payment);
            }
            _ => self.rejected += 1,
        }
    }

    /// The file's text, in an order of the draw's.
    fn file(&self, draw: &mut fastrand::Rng) -> String {
        let mut rows: Vec<(String, i64)> = self.lines.clone();
        rows.extend((0..self.rejected).map(|n| (format!("PAYMENT,damaged{n}"), 0)));
        draw.shuffle(&mut rows);
        let (amount_fen, count) = (rows.iter().map(|(_, fen)| fen).sum::<i64>(), rows.len());
        let fees: i64 = rows.iter().filter_map(|(text, _)| text.split(',').nth(5)?.parse::<i64>().ok()).sum();
        let lines: String = rows.iter().map(|(text, _)| format!("{text}\n")).collect();
        format!("{}\n{lines}TRAILER,{count},{amount_fen},{fees},,,,,\n", HEADER.join(","))
    }
}

fn fee_of(amount_fen: i64) -> i64 {
    (amount_fen * 20 + 5_000) / 10_000
}

/// Class and what it is about: a record, an account's elder and channel, or the order of a file's row.
fn found(breaks: &[Value], lines: &str) -> BTreeSet<(String, String)> {
    let about = |found: &Value| {
        let subject = found["subject"].as_str().expect("a subject");
        match subject.split_once('#') {
            Some((file, line)) if file.starts_with("files/") => {
                let line = lines.lines().nth(line.parse::<usize>().expect("a line") - 1).expect("in the file");
                line.split(',').nth(2).expect("an order").to_owned()
            }
            _ if subject.starts_with("accounts/") => {
                let mut parts = subject.rsplit(':');
                let (channel, elder) = (parts.next().expect("a channel"), parts.next().expect("an elder"));
                format!("{elder}/{channel}")
            }
            _ => subject.to_owned(),
        }
    };
    let class = |found: &Value| found["break_class"].as_str().expect("a class").replace("BREAK_CLASS_", "");
    breaks.iter().map(|found| (class(found), about(found))).collect()
}

async fn what_is_planted_is_found(db: TestDatabase) {
    let (elders, seed) = (sized(CASES * 2, CASES * 30), seed());
    let mut draw = fastrand::Rng::with_seed(seed);
    let site = Site::init(db.url());
    let gateway = site.serve();
    let systems = Systems::of(&gateway);
    // The elders of the first institution pay; the second is there to be confused with.
    let world = World::build(&systems, 2, elders * 2).await;
    let at = Timestamp(systems.unionpay.client.now_us() / 1_000_000 * 1_000_000);
    let (lines, expected) = (Vec::new(), BTreeSet::new());
    let mut day = Day { systems: &systems, world: &world, at, lines, expected, rejected: 0 };
    for n in 0..elders {
        // Every case, then as drawn.
        let case = if n < CASES { n } else { draw.usize(..CASES) };
        day.plant(case, n * 2, &format!("PLANTED{n:05}"), 1_000 + draw.i64(0..9_000)).await;
    }
    let start = |allow: bool| json!({"channel": world::UNIONPAY, "clearing_date": world.yesterday, "allow_missing_files": allow});
    let run = done(&systems.chen, "ReconciliationService/StartRun", start(true)).await;
    assert_eq!(run["run"]["state"], "RUN_STATE_INCOMPLETE", "its file is not there yet");
    let text = day.file(&mut draw);
    world::deliver(&systems.unionpay, &world.yesterday, &text).await;
    let run = &done(&systems.chen, "ReconciliationService/StartRun", start(false)).await["run"];
    let identities = run["identities"].as_array().expect("identities");
    assert!(!identities.is_empty() && identities.iter().all(|i| i["holds"] == true), "{identities:#?}");

    let filter = r#"state != "RESOLVED""#;
    let breaks = systems.chen.list("ReconciliationService/ListBreaks", filter, "breaks").await.expect("breaks");
    let li = gateway.session("gateway/admins/li");
    let all = li.list("ReconciliationService/ListBreaks", filter, "breaks").await.expect("breaks");
    let faults: Vec<&str> = all
        .iter()
        .filter(|b| b["category"] == "BREAK_CATEGORY_FILE_FAULT")
        .filter_map(|b| b["break_class"].as_str())
        .collect();
    assert_eq!(faults, ["BREAK_CLASS_MISSING_FIELD"], "the missing file's fault is over");
    let expected: BTreeSet<(String, String)> =
        day.expected.iter().map(|(class, about)| ((*class).to_owned(), about.clone())).collect();
    assert_eq!(found(&breaks, &text), expected, "JJJ_SEED={seed}: found, and planted");
    assert_eq!(breaks.len(), expected.len(), "none twice");
    done(&systems.chen, "ReconciliationService/StartRun", start(false)).await;
    let again = systems.chen.list("ReconciliationService/ListBreaks", filter, "breaks").await.expect("breaks");
    assert_eq!(again.len(), breaks.len(), "a second run opens nothing");
    assert!(gateway.stop().success());
    site.verify();
}
