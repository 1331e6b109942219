//! Channels as they are: `jjj channel-sim` in every manner against the real gateway. At the end of
//! each run no payment is doubled or lost, none is left without a question, and the channel's books
//! are the gateway's; at the end of each test the database verifies.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use jjj_domain::recon::file::{LineKind, LineStatus, SettlementLine};
use jjj_domain::time::Date;
use jjj_tests::both_databases;
use jjj_tests::gateway::{Gateway, Site, binary};
use jjj_tests::postgres::TestDatabase;
use jjj_tests::world::{
    BEIJING, CREDITED_FEN, Days, HEBEI, PROGRAMME, Systems, UNIONPAY, World, assessment, deliver, done, elder, grant,
    int, names, settlement_file,
};
use jjj_wire::pb;
use serde_json::{Value, json};

both_databases!(
    answers_that_come_late_never_or_twice,
    answers_that_are_wrong,
    credits_returns_and_transfers,
    channels_that_are_slow_away_or_killed,
    an_unanswered_reservation_stays_reserved_and_is_asked_about,
);

/// Orders of each kind in a run: those the channel asks for, and those it is instructed.
const EACH: u64 = 4;

/// A gateway that asks quickly, and what payments stand on.
struct Stage {
    site: Site,
    gateway: Gateway,
    systems: Systems,
    world: World,
    /// Payments by state, number and fen, as all runs so far add up.
    payments: BTreeMap<String, (i64, i64)>,
    runs: usize,
}

impl Stage {
    async fn open(db: &TestDatabase) -> Self {
        let site = Site::init(db.url());
        let gateway = site.serve();
        let systems = Systems::of(&gateway);
        let world = World::build(&systems, 2, EACH as usize).await;
        let days = Days::now(&systems.beijing);
        let li = gateway.session("gateway/admins/li");
        for channel in ["unionpay", "bank"] {
            let scope = json!({"name": format!("policies/channel/{channel}")});
            let policy = done(&li, "PolicyService/GetPolicy", scope).await;
            let mut body: Value = serde_json::from_str(policy["body"].as_str().expect("a body")).expect("JSON");
            body["queries"] = json!({"first_s": 1, "most_s": 1});
            let set = json!({"kind": "channel", "scope": channel, "effective_from": days.today,
                             "body": body.to_string(), "reason": "测试"});
            done(&li, "PolicyService/SetPolicy", set).await;
        }
        let stage = Self { site, gateway, systems, world, payments: BTreeMap::new(), runs: 0 };
        // What the world was built with is done.
        stage.acknowledge_all().await;
        stage
    }

    /// A new channel on this stage begins after this.
    async fn acknowledge_all(&self) {
        let last = self.instructions(UNIONPAY).await.last().expect("instructions").cursor;
        let request = json!({"cursor": last.to_string()});
        done(&self.systems.unionpay, "ChannelService/AcknowledgeInstructions", request).await;
    }

    /// A channel's whole instruction stream.
    async fn instructions(&self, channel: &str) -> Vec<pb::Instruction> {
        let path = "/jjj.gateway.v1.ChannelService/StreamInstructions";
        let request = pb::StreamInstructionsRequest { cursor: 0, follow: false };
        let session = self.gateway.session(channel);
        let mut stream = session.client.stream::<_, pb::Instruction>(path, &request).await.expect("a stream");
        let mut found = Vec::new();
        while let Some(instruction) = stream.message().await.expect("an instruction") {
            found.push(instruction);
        }
        found
    }

    /// Instructs as many payments of 2 yuan, over all mandates.
    async fn instruct(&self, count: u64) -> Vec<String> {
        let instruct = |i: u64| {
            let at = i as usize % self.world.mandates.len();
            json!({"mandate": self.world.mandates[at], "bill": self.world.bills[at], "fee_type": "FEE_TYPE_BED", "amount_fen": "200"})
        };
        let requests = (0..count).map(instruct).collect();
        names(&self.systems.beijing, "PaymentService/InstructPayment", requests, "payment").await
    }

    /// State file of the `n`th run.
    fn state(&self, n: usize) -> PathBuf {
        self.site.dir().join(format!("channel-{n}.jsonl"))
    }

    /// Starts a channel on the state file of a run.
    fn start(&self, channel: &str, n: usize, options: &str) -> Child {
        Command::new(binary())
            .args(["channel-sim", "--json", "--as", channel, "--gateway", &self.gateway.address, "--origin"])
            .arg(&self.gateway.origin)
            .arg("--sandbox")
            .arg(self.site.dir())
            .arg("--state")
            .arg(self.state(n))
            .args(options.split_whitespace())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("jjj runs")
    }

    /// Plays a channel to its end on work of its own; its summary.
    async fn run(&mut self, options: &str) -> Value {
        self.instruct(EACH).await;
        let options = format!("--ask {EACH} --ask-per-s 50 --until-idle-ms 2600 {options}");
        let child = self.start(UNIONPAY, self.runs, &options);
        let summary = ended(child).await;
        self.runs += 1;
        self.check(&summary).await;
        summary
    }

    /// The summary, with those of earlier runs, is what the gateway lists.
    async fn check(&mut self, summary: &Value) {
        assert_eq!(summary["unanswered"], 0, "{summary:#}");
        for (state, sum) in summary["payments"].as_object().expect("states") {
            let total = self.payments.entry(state.clone()).or_default();
            total.0 += sum["count"].as_i64().expect("a count");
            total.1 += sum["amount_fen"].as_i64().expect("fen");
        }
        self.check_payments().await;
    }

    async fn check_payments(&self) {
        let listed = self.systems.unionpay.list("PaymentService/ListPayments", "", "payments").await.expect("payments");
        let orders: std::collections::BTreeSet<_> = listed.iter().map(|p| p["order_id"].to_string()).collect();
        assert_eq!(orders.len(), listed.len(), "one payment for each order");
        let mut states: BTreeMap<String, (i64, i64)> = BTreeMap::new();
        for payment in &listed {
            let state = payment["state"].as_str().expect("a state").trim_start_matches("PAYMENT_STATE_");
            let total = states.entry(state.to_owned()).or_default();
            total.0 += 1;
            total.1 += int(&payment["amount_fen"]);
        }
        assert_eq!(states, self.payments);
        let fen = |state: &str| states.get(state).map_or(0, |(_, fen)| *fen);
        let mut available = 0;
        for elder in &self.world.elders {
            let request = json!({"elder": elder, "region": BEIJING, "programme": PROGRAMME, "channel": UNIONPAY});
            available +=
                int(&done(&self.systems.unionpay, "EntitlementService/GetBalance", request).await["available_fen"]);
        }
        let credited = CREDITED_FEN * self.world.elders.len() as i64;
        // What was confirmed late is kept for the elder, in suspense.
        assert_eq!(available, credited - fen("CONFIRMED") - fen("RESERVED") - fen("LATE"));
    }

    fn close(self) {
        assert!(self.gateway.stop().success());
        self.site.verify();
    }
}

/// What a channel that ends by itself says at its end.
async fn ended(child: Child) -> Value {
    let output = tokio::task::spawn_blocking(move || child.wait_with_output().expect("our child")).await;
    let Output { status, stdout, stderr } = output.expect("a thread");
    assert!(status.success(), "jjj channel-sim: {}", String::from_utf8_lossy(&stderr));
    serde_json::from_slice(&stdout).expect("a summary")
}

/// Payments of a summary, by state.
fn payments(summary: &Value) -> BTreeMap<&str, u64> {
    let states = summary["payments"].as_object().expect("states");
    states.iter().map(|(state, sum)| (state.as_str(), sum["count"].as_u64().expect("a count"))).collect()
}

fn refusals(summary: &Value) -> BTreeMap<&str, u64> {
    let reasons = summary["refusals"].as_object().expect("reasons");
    reasons.iter().map(|(reason, count)| (reason.as_str(), count.as_u64().expect("a count"))).collect()
}

async fn answers_that_come_late_never_or_twice(db: TestDatabase) {
    let mut stage = Stage::open(&db).await;
    let plain = stage.run("").await;
    assert_eq!((payments(&plain), refusals(&plain)), ([("CONFIRMED", 2 * EACH)].into(), [].into()), "{plain:#}");

    // Late, and asked about before; the answer is the one that came.
    let late = stage.run("--late 1000 --late-ms 3500").await;
    assert_eq!((payments(&late), refusals(&late)), ([("CONFIRMED", 2 * EACH)].into(), [].into()), "{late:#}");
    assert!(late["instructions"]["QUERY"].as_u64() >= Some(2 * EACH), "{late:#}");

    // `00` means accepted only: what became of it is learnt by asking, and no sooner.
    let silent = stage.run("--silent 1000 --answers-at 2").await;
    let states = payments(&silent);
    assert!(states.keys().all(|state| ["CONFIRMED", "REVERSED", "REJECTED"].contains(state)), "{silent:#}");
    assert_eq!(states.values().sum::<u64>(), 2 * EACH);
    assert!(states.len() > 1, "it confirms some and rejects some: {silent:#}");
    assert!(silent["instructions"]["QUERY"].as_u64() >= Some(2 * 2 * EACH), "{silent:#}");

    // Approved too late: declined, and reversed by the name that the request id gives.
    let timed_out = stage.run("--times-out 1000").await;
    assert_eq!(payments(&timed_out), [("CONFIRMED", EACH), ("REVERSED", EACH)].into(), "{timed_out:#}");
    assert_eq!(refusals(&timed_out), [].into());

    // The reversal came first: only the question ends what was approved for nobody.
    let overtaken = stage.run("--overtaken 1000").await;
    assert_eq!(payments(&overtaken), [("CONFIRMED", EACH), ("REVERSED", EACH)].into(), "{overtaken:#}");
    assert_eq!(refusals(&overtaken), [("RECORD_NOT_FOUND", EACH)].into());
    assert!(overtaken["instructions"]["QUERY"].as_u64() >= Some(EACH), "{overtaken:#}");

    // The same request id gets the first answer, a new one a refusal.
    let twice = stage.run("--duplicates 1000").await;
    assert_eq!(payments(&twice), [("CONFIRMED", 2 * EACH)].into(), "{twice:#}");
    assert_eq!(refusals(&twice), [("ORDER_ID_TAKEN", EACH), ("STATE_NOT_ALLOWED", 2 * EACH)].into());
    // Asked about in between, it says the same once more.
    assert!(twice["calls"]["ConfirmPayment"]["accepted"].as_u64() >= Some(2 * 2 * EACH), "{twice:#}");
    stage.close();
}

async fn answers_that_are_wrong(db: TestDatabase) {
    let mut stage = Stage::open(&db).await;
    let rejects = stage.run("--rejects 1000").await;
    assert_eq!(payments(&rejects), [("REJECTED", EACH), ("REVERSED", EACH)].into(), "{rejects:#}");

    // Confirmed after all: late, a fact. Reversed after all: refused.
    let contradicts = stage.run("--contradicts 1000").await;
    let states = payments(&contradicts);
    assert_eq!(states.keys().copied().collect::<Vec<_>>(), ["CONFIRMED", "LATE"], "{contradicts:#}");
    assert_eq!(states.values().sum::<u64>(), 2 * EACH);
    assert_eq!(refusals(&contradicts), [("STATE_NOT_ALLOWED", states["CONFIRMED"])].into());

    let amount = stage.run("--wrong-amount 1000").await;
    assert_eq!(payments(&amount), [("CONFIRMED", 2 * EACH)].into(), "{amount:#}");
    assert_eq!(refusals(&amount), [("AMOUNT_MISMATCH", 2 * EACH)].into());

    let date = stage.run("--wrong-date 1000").await;
    assert_eq!(payments(&date), [("CONFIRMED", 2 * EACH)].into(), "{date:#}");
    assert_eq!(refusals(&date), [("FIELD_OUT_OF_RANGE", 2 * EACH)].into());

    // Everything at once, twice from one seed: the same goes wrong.
    let mixed = "--seed 20 --rejects 100 --late 100 --silent 150 --times-out 100 --overtaken 100 --duplicates 100 \
                 --contradicts 100 --wrong-amount 100 --wrong-date 100";
    let (first, second) = (stage.run(mixed).await, stage.run(mixed).await);
    for what in ["orders", "payments", "refusals"] {
        assert_eq!(first[what], second[what], "{what}");
    }
    assert!(first["orders"]["ASK"].as_object().expect("manners").len() > 1, "{first:#}");
    stage.close();
}

async fn credits_returns_and_transfers(db: TestDatabase) {
    let stage = Stage::open(&db).await;
    let (beijing, hebei) = (&stage.systems.beijing, &stage.systems.hebei);
    let month = stage.world.month.parse::<jjj_domain::time::Month>().expect("a month").plus(-1).to_string();
    let grants = stage.world.elders.iter().map(|elder| grant(elder, &month)).collect();
    let grants = names(beijing, "EntitlementService/GrantEntitlement", grants, "grant").await;
    // Another channel at the same time: grants of its own, and a subsidy to transfer.
    let other = jjj_domain::time::Month::plus(month.parse().expect("a month"), -1).to_string();
    let of_bank = stage.world.elders.iter().map(|elder| {
        let request = grant(elder, &other);
        json!({"elder": request["elder"], "programme": PROGRAMME, "month": other, "channel": "channels/bank"})
    });
    names(beijing, "EntitlementService/GrantEntitlement", of_bank.collect(), "grant").await;
    let claim = claim(&stage, &month).await;

    let unionpay = stage.start(UNIONPAY, 0, "--until-idle-ms 1500 --credit-fails 1000 --late-ms 300");
    let bank = stage.start("channels/bank", 1, "--until-idle-ms 1500 --duplicates 1000");
    let (unionpay, bank) = (ended(unionpay).await, ended(bank).await);
    let all = EACH as i64 * CREDITED_FEN;
    assert_eq!(unionpay["grants"], json!({"CREDITED": {"count": EACH, "amount_fen": all}}), "{unionpay:#}");
    assert_eq!(unionpay["calls"]["ReportCredit"]["accepted"], 2 * EACH, "each failed first");
    assert_eq!(bank["grants"], json!({"CREDITED": {"count": EACH, "amount_fen": all}}), "{bank:#}");
    assert_eq!(bank["claims"], json!({"PAID": {"count": 1, "amount_fen": int(&claim["amount_fen"])}}), "{bank:#}");
    assert_eq!(refusals(&bank), [("STATE_NOT_ALLOWED", EACH + 1)].into());

    // Taken back, and transferred again after a return, by channels that resume on their books.
    let back = json!({"grant": grants[0], "reason": "误发"});
    done(beijing, "EntitlementService/ClawBackGrant", back).await;
    let returned = json!({"claim": claim["name"], "reason": "账户已销"});
    done(&stage.gateway.session("channels/bank"), "OperatingSubsidyService/ReturnPayout", returned).await;
    let unionpay = ended(stage.start(UNIONPAY, 0, "--until-idle-ms 1500 --wrong-amount 1000")).await;
    let bank = ended(stage.start("channels/bank", 1, "--until-idle-ms 1500 --wrong-amount 1000")).await;
    assert_eq!(unionpay["grants"]["CLAWED_BACK"]["count"], 1, "{unionpay:#}");
    assert_eq!(unionpay["grants"]["CREDITED"]["count"], EACH - 1);
    assert_eq!(refusals(&unionpay), [("FIELD_OUT_OF_RANGE", 1)].into(), "it may return no more than was credited");
    assert_eq!(refusals(&bank)["AMOUNT_MISMATCH"], 1, "{bank:#}");
    for (channel, summary) in [(UNIONPAY, &unionpay), ("channels/bank", &bank)] {
        let told = stage.instructions(channel).await.len() as u64;
        let before = if channel == UNIONPAY { EACH } else { 0 };
        let taken: u64 = summary["instructions"].as_object().expect("kinds").values().filter_map(Value::as_u64).sum();
        assert_eq!(taken, told - before, "{channel} takes each instruction once");
    }
    let listed = hebei.list("OperatingSubsidyService/ListClaims", "state = \"PAID\"", "claims").await.expect("claims");
    assert_eq!(listed.len(), 1);
    an_export_has_a_claim_of_another_date(&stage, &listed[0]).await;
    stage.close();
}

/// A line of days before names the payout: what that date's run rests on has its claim.
async fn an_export_has_a_claim_of_another_date(stage: &Stage, claim: &Value) {
    let date = stage.world.yesterday.parse::<Date>().expect("a date").plus_days(-3);
    let field = |name: &str| claim[name].as_str().expect("a text").to_owned();
    let line = SettlementLine {
        line: 2,
        byte_offset: 0,
        kind: LineKind::OperatingSubsidy,
        merchant_id: String::new(),
        order_id: field("order_id"),
        transaction_time: date.starts_at(),
        amount_fen: int(&claim["amount_fen"]),
        fee_fen: 0,
        status: LineStatus::Success,
        institution: field("institution").replace("institutions/", ""),
        original_order_id: None,
    };
    let date = date.to_string();
    deliver(&stage.gateway.session("channels/bank"), &date, &settlement_file(&[line])).await;
    let start = json!({"channel": "channels/bank", "clearing_date": date});
    let run = done(&stage.systems.chen, "ReconciliationService/StartRun", start).await["run"].take();
    let out = stage.site.dir().join("export");
    let exported = Command::new(binary())
        .args(["recon", "export", run["name"].as_str().expect("a name"), "--as", "gateway/admins/li"])
        .args(["--gateway", &stage.gateway.address, "--sandbox"])
        .arg(stage.site.dir())
        .arg("--out")
        .arg(&out)
        .output()
        .expect("jjj runs");
    assert!(exported.status.success(), "{}", String::from_utf8_lossy(&exported.stderr));
    let rows = std::fs::read_to_string(out.join("ledger.csv")).expect("rows");
    let of_claim = rows.lines().filter(|row| row.starts_with("OPERATING_SUBSIDY,") && row.contains(&field("name")));
    assert_eq!(of_claim.count(), 1, "{rows}");
}

/// An approved claim for an elder who lives in an institution since a month before.
async fn claim(stage: &Stage, month: &str) -> Value {
    let (beijing, hebei) = (&stage.systems.beijing, &stage.systems.hebei);
    let days = Days::now(beijing);
    let elders = names(beijing, "ElderService/RegisterElder", vec![elder(900)], "elder").await;
    names(beijing, "AssessmentService/PublishAssessment", vec![assessment(&elders[0], &days)], "assessment").await;
    let institution = &stage.world.institutions[0];
    let stay = json!({"elder": elders[0], "institution": institution, "admitted_on": format!("{month}-01")});
    done(hebei, "StayService/AdmitElder", stay).await;
    let create = json!({"institution": institution, "payer": BEIJING, "month": month});
    let claim = done(hebei, "OperatingSubsidyService/CreateClaim", create).await["claim"].clone();
    let approve = json!({"claim": claim["name"], "amount_fen": claim["amount_fen"], "funder_division": "110000",
                         "channel": "channels/bank"});
    done(beijing, "OperatingSubsidyService/ApproveClaim", approve).await;
    claim
}

async fn channels_that_are_slow_away_or_killed(db: TestDatabase) {
    let mut stage = Stage::open(&db).await;
    // Away for a while, and back at an older cursor: told again what it has done, which it does not do again.
    stage.instruct(6).await;
    let away = stage.start(UNIONPAY, 0, "--until-idle-ms 2000 --away-after 5 --away-ms 1500 --rewind 3");
    tokio::time::sleep(Duration::from_millis(900)).await;
    stage.instruct(6).await;
    let away = ended(away).await;
    stage.check(&away).await;
    assert_eq!(payments(&away), [("CONFIRMED", 12)].into(), "{away:#}");
    assert_eq!((away["redelivered"].as_u64(), refusals(&away)), (Some(3), [].into()), "{away:#}");

    stage.instruct(12).await;
    let mut slow = stage.start(UNIONPAY, 1, "--until-idle-ms 2000 --slow-ms 100 --late 500 --late-ms 300");
    tokio::time::sleep(Duration::from_millis(700)).await;
    // Killed in the middle, it goes on with its books, its requests under the ids they had.
    slow.kill().expect("our child");
    slow.wait().expect("our child");
    let cancelled = stage.instruct(2).await;
    for payment in &cancelled {
        let cancel = json!({"payment": payment, "reason": "退住"});
        done(&stage.systems.beijing, "PaymentService/CancelInstruction", cancel).await;
    }
    let again = ended(stage.start(UNIONPAY, 1, "--until-idle-ms 2000 --slow-ms 20 --late 1000 --late-ms 3000")).await;
    stage.check(&again).await;
    assert_eq!(payments(&again), [("CANCELLED", 2), ("CONFIRMED", 12)].into(), "{again:#}");
    assert_eq!(refusals(&again), [].into(), "{again:#}");
    assert_eq!((&again["instructions"]["PAY"], &again["instructions"]["CANCEL"]), (&json!(14), &json!(2)));

    // A channel that has lost its books says of what is still reserved that there was no payment.
    let forgotten = stage.instruct(3).await;
    let began = Instant::now();
    loop {
        let told = stage.instructions(UNIONPAY).await;
        if forgotten.iter().all(|payment| told.iter().any(|told| told.record == *payment)) {
            break;
        }
        assert!(began.elapsed() < Duration::from_secs(30), "instructions do not come");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    stage.acknowledge_all().await;
    let lost = ended(stage.start(UNIONPAY, 2, "--until-idle-ms 4000")).await;
    stage.check(&lost).await;
    assert_eq!(payments(&lost), [("REVERSED", 3)].into(), "{lost:#}");
    assert_eq!(lost["orders"], json!({"UNKNOWN": {"PLAIN": 3}}));
    stage.close();
}

async fn an_unanswered_reservation_stays_reserved_and_is_asked_about(db: TestDatabase) {
    let mut stage = Stage::open(&db).await;
    stage.instruct(EACH).await;
    let options = format!("--ask {EACH} --silent 1000 --answers-at 4");
    let silent = ended(stage.start(UNIONPAY, 0, &format!("{options} --for-s 2"))).await;
    assert_eq!(payments(&silent), [("RESERVED", 2 * EACH)].into(), "{silent:#}");
    assert_eq!(silent["unanswered"], 2 * EACH);
    stage.payments.insert("RESERVED".into(), (2 * EACH as i64, EACH as i64 * 300));
    stage.check_payments().await;
    // Nobody is there, and everybody is still asked about, in order, and told when the channel is back.
    tokio::time::sleep(Duration::from_secs(3)).await;
    let told = stage.instructions(UNIONPAY).await;
    assert!(told.is_sorted_by(|a, b| a.cursor < b.cursor));
    let asked = told.iter().filter(|told| told.kind() == pb::InstructionKind::Query).count() as u64;
    assert!(asked >= 2 * 2 * EACH, "{asked} queries");
    stage.payments.clear();
    let answered = ended(stage.start(UNIONPAY, 0, &format!("{options} --until-idle-ms 2600"))).await;
    stage.check(&answered).await;
    assert!(!payments(&answered).contains_key("RESERVED"), "{answered:#}");
    let regions = stage.gateway.session(HEBEI);
    let open = regions.list("PaymentService/ListPayments", "state = \"RESERVED\"", "payments").await.expect("payments");
    assert_eq!(open, Vec::<Value>::new());
    stage.close();
}
