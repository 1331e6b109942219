//! One day: records in, payments through; and with the next mornings ([`super::morning`])
//! the ledger reconciled.

use anyhow::{Context, ensure};
use jjj_cli::session::Session;
use serde_json::{Value, json};

use super::cast::{self, BEIJING, HEBEI, PROGRAMME, Placement, Proof, TIANJIN, UNIONPAY};
use super::morning;
use super::people::uscc;
use super::stage::{Stage, batch, call, int, name};
use crate::output::yuan;

/// Wednesday 18 November 2026, 10:00 in Beijing.
pub const START: i64 = 1_794_967_200_000_000;
const TODAY: &str = "2026-11-18";
const MONTH: &str = "2026-11";
/// Household district: Haidian.
const DISTRICT: &str = "110108";
/// Sanhe, Hebei, across the river from Beijing.
const SANHE: &str = "131082";
pub const MERCHANT: &str = "898110000000001";

/// How many elders the day needs: one per story.
const ELDERS: usize = 20;

/// Everything the morning after needs to know of the day.
pub struct Day {
    pub institution: String,
    pub other_institution: String,
    pub elders: Vec<String>,
    pub contracts: Vec<String>,
    pub bills: Vec<String>,
    pub assessments: Vec<String>,
    pub other_rating: String,
    pub payments: Vec<Value>,
}

/// The systems that take part.
pub struct Systems {
    pub beijing: Session,
    pub hebei: Session,
    pub unionpay: Session,
    pub bank: Session,
}

pub async fn play(stage: &Stage) -> anyhow::Result<Value> {
    let systems = Systems {
        beijing: stage.as_(BEIJING)?,
        hebei: stage.as_(HEBEI)?,
        unionpay: stage.as_(UNIONPAY)?,
        bank: stage.as_("channels/bank")?,
    };
    let (institution, other_institution, other_rating) = recognition(stage, &systems).await?;
    let (elders, assessments) = elders(stage, &systems).await?;
    let institutions = [institution.clone(), other_institution.clone()];
    let (contracts, bills) = contracts_and_bills(stage, &systems, &institutions, &elders).await?;
    entitlements(stage, &systems, &elders).await?;
    let mut day = Day {
        institution,
        other_institution,
        elders,
        contracts,
        bills,
        assessments,
        other_rating,
        payments: Vec::new(),
    };
    day.payments = payments(stage, &systems, &day).await?;
    let instructed = mandate(stage, &systems, &day).await?;
    day.payments.push(instructed);
    subsidy(stage, &systems, &day).await?;
    morning::play(stage, &systems, &day).await
}

/// What Beijing recognizes of Hebei's ratings: proposed by Hebei, accepted by Beijing, each with its own key.
async fn agreement(stage: &Stage, systems: &Systems) -> anyhow::Result<()> {
    let shipped = json!({"name": "policies/agreement/130000>110000/RATING"});
    let shipped = call(&systems.hebei, "PolicyService/GetPolicy", shipped, "").await?;
    let mut terms: Value = serde_json::from_str(shipped["body"].as_str().context("a policy has a body")?)?;
    terms["min_grade"] = 2.into();
    terms["notice_days"] = 30.into();
    terms["source"] = "京冀养老机构等级评定互认协议（演示）".into();
    let proposal = json!({"issuer": HEBEI, "recognizer": BEIJING, "record_kind": "RECORD_KIND_RATING",
                          "effective_from": TODAY, "body": terms.to_string(), "reason": "联席会议议定"});
    let proposed = call(&systems.hebei, "AgreementService/ProposeAgreement", proposal, "agreement").await?;
    let acceptance = json!({"agreement": name(&proposed), "terms_sha256": proposed["terms_sha256"], "reason": "同意"});
    let accepted = call(&systems.beijing, "AgreementService/AcceptAgreement", acceptance, "agreement").await?;
    let version = accepted["policy"].as_str().context("it is in force")?;
    stage.narrator.say(
        format!("河北提议等级评定互认协议（二级以上），北京同意，即日生效：{version}。"),
        format!("Hebei proposes an agreement on ratings (grade 2 and above), Beijing accepts, in force from today: {version}."),
    );
    Ok(())
}

/// Hebei rates two institutions; Beijing and Tianjin recognize the ratings at once.
async fn recognition(stage: &Stage, systems: &Systems) -> anyhow::Result<(String, String, String)> {
    stage.narrator.heading("一、互认", "1. Recognition");
    agreement(stage, systems).await?;
    let register = [("三河颐养院（演示）", 1), ("三河康宁院（演示）", 2)].map(|(title, n)| {
        json!({"uscc": uscc(SANHE, n), "display_name": title, "kind": "INSTITUTION_KIND_CARE_INSTITUTION",
               "division_code": SANHE, "beds": "300", "residents": "210"})
    });
    let registered =
        batch(&systems.hebei, "InstitutionService/RegisterInstitution", register.into(), "institution").await?;
    let institutions: Vec<String> = registered.iter().map(name).collect();
    let mut ratings = Vec::new();
    for (institution, grade) in institutions.iter().zip([4, 3]) {
        let request = cast::rating(institution, "GB_T_37276", grade, "2025-12-20", "2026-01-01", "2028-12-31");
        ratings.push(name(&call(&systems.hebei, "RatingService/PublishRating", request, "rating").await?));
    }
    let filter = format!("record = \"{}\"", ratings[0]);
    let recognized = systems.beijing.list("RecognitionService/ListRecognitions", &filter, "recognitions").await?;
    stage.narrator.say(
        format!("河北发布等级评定：{} 四级（GB/T 37276，三年）。北京、天津依协议即时互认。", institutions[0]),
        format!("Hebei publishes a rating: {} is grade 4 (GB/T 37276, three years). Beijing and Tianjin recognize it under the agreement in force.", institutions[0]),
    );
    let own = recognized.iter().find(|r| r["recognizer"] == BEIJING).context("Beijing has a recognition")?;
    let agreement = own["agreement"].as_str().unwrap_or_default();
    ensure!(agreement.ends_with(&format!("/{TODAY}/2")), "it stands on what was agreed today, not on {agreement}");
    let token =
        call(&systems.beijing, "RecognitionService/GetRecognitionToken", json!({"name": name(own)}), "").await?;
    let token = token["token"].as_str().unwrap_or_default();
    ensure!(token.split('.').count() == 3, "a recognition token is a compact JWT");
    stage.narrator.say(
        format!("北京取得互认凭证（JWT，{} 字节），可离线核验。", token.len()),
        format!("Beijing fetches the recognition token (JWT, {} bytes), which anyone can check offline.", token.len()),
    );
    let tianjin = stage.as_(TIANJIN)?.list("RecognitionService/ListRecognitions", &filter, "recognitions").await?;
    ensure!(tianjin.iter().any(|r| r["recognizer"] == TIANJIN), "Tianjin has a recognition too");
    Ok((institutions[0].clone(), institutions[1].clone(), ratings[1].clone()))
}

/// Beijing registers and assesses its elders; Hebei asks to recognize one assessment.
async fn elders(stage: &Stage, systems: &Systems) -> anyhow::Result<(Vec<String>, Vec<String>)> {
    let register = (0..ELDERS).map(|n| cast::elder(DISTRICT, n)).collect();
    let elders = batch(&systems.beijing, "ElderService/RegisterElder", register, "elder").await?;
    let elders: Vec<String> = elders.iter().map(name).collect();
    let assess = elders.iter().map(|e| cast::assessment(e, 3, "2026-09-20", "2026-10-01", "2029-09-30")).collect();
    let assessed = batch(&systems.beijing, "AssessmentService/PublishAssessment", assess, "assessment").await?;
    let assessments: Vec<String> = assessed.iter().map(name).collect();
    let ask =
        json!({"record": assessments[0], "verdict": "RECOGNITION_VERDICT_ACCEPT", "reason": "入住时免于重复评估"});
    call(&systems.hebei, "RecognitionService/DecideRecognition", ask, "recognition").await?;
    stage.narrator.say(
        format!("北京登记 {ELDERS} 位老人并发布能力评估（重度失能，GB/T 42195-2022）；河北承认其评估，机构不再重评。"),
        format!("Beijing registers {ELDERS} elders and publishes their assessments (severe, GB/T 42195-2022); Hebei recognizes one, so the institution need not assess again."),
    );
    Ok((elders, assessments))
}

/// Contracts signed, filed online, active; elders admitted; the month billed.
async fn contracts_and_bills(
    stage: &Stage,
    systems: &Systems,
    institutions: &[String; 2],
    elders: &[String],
) -> anyhow::Result<(Vec<String>, Vec<String>)> {
    stage.narrator.heading("二、合同、入住与账单", "2. Contracts, stays, bills");
    for institution in institutions {
        let scope = json!({"institution": institution, "in_scope": true, "effective_on": "2026-01-01", "document_number": "网签-2026-1"});
        call(&systems.hebei, "InstitutionService/SetSigningScope", scope, "").await?;
    }
    let placements: Vec<Placement> = elders
        .iter()
        .enumerate()
        .map(|(i, elder)| Placement {
            elder: elder.clone(),
            // The last two live in the second institution: its rating will be revoked, dated back.
            institution: institutions[usize::from(i >= ELDERS - 2)].clone(),
            starts_on: "2026-10-01".into(),
            ends_on: "2027-09-30".into(),
            proof: Proof::Online,
        })
        .collect();
    let contracts = cast::contracts(&systems.hebei, &placements, TODAY, "HB2026").await?;
    let stays = cast::admit(&systems.hebei, &placements, &contracts, "2026-10-05").await?;
    let bills = placements.iter().zip(&contracts).zip(&stays).map(|((p, c), s)| cast::bill(p, c, s, MONTH)).collect();
    let bills = batch(&systems.hebei, "BillService/PublishBill", bills, "bill").await?;
    stage.narrator.say(
        format!("{} 份合同网签备案生效，老人入住，河北发布 {MONTH} 账单（床位费 1800 元、护理费 2000 元、膳食费 900 元）。", contracts.len()),
        format!("{} contracts are signed online, filed and active; the elders are admitted; Hebei publishes the bills of {MONTH} (bed 1800, nursing 2000, meals 900 yuan).", contracts.len()),
    );
    Ok((contracts, bills.iter().map(name).collect()))
}

/// Budget, funding, grants, credits; one credit fails.
async fn entitlements(stage: &Stage, systems: &Systems, elders: &[String]) -> anyhow::Result<()> {
    stage.narrator.heading("三、补贴", "3. Entitlement");
    cast::fund(&systems.beijing, DISTRICT, 2026, 100_000).await?;
    let credited = cast::grant_and_credit(&systems.beijing, &systems.unionpay, elders, MONTH).await?;
    let tier = int(&credited[0]["amount_fen"]);
    stage.narrator.say(
        format!("北京按标准发放 {MONTH} 失能护理补贴每人 {} 元，银联回报入账。", yuan(tier)),
        format!(
            "Beijing grants the care subsidy of {MONTH} by the rate table, {} yuan each; UnionPay reports the credits.",
            yuan(tier)
        ),
    );
    // October is paid late; the credit fails and stays granted.
    let late = json!({"elder": elders[0], "programme": PROGRAMME, "month": "2026-10", "channel": UNIONPAY});
    let grant = call(&systems.beijing, "EntitlementService/GrantEntitlement", late, "grant").await?;
    let failed = json!({"grant": name(&grant), "outcome": "CREDIT_OUTCOME_FAILED", "reason": "账户状态异常"});
    call(&systems.unionpay, "EntitlementService/ReportCredit", failed, "grant").await?;
    Ok(())
}

/// Each elder pays 500 yuan of the bed fee in UnionPay's app; some stories go their own ways.
async fn payments(stage: &Stage, systems: &Systems, day: &Day) -> anyhow::Result<Vec<Value>> {
    stage.narrator.heading("四、支付", "4. Payments");
    let check =
        json!({"bill": day.bills[0], "fee_type": "FEE_TYPE_BED", "programme": PROGRAMME, "amount_fen": "180000"});
    let answer = call(&systems.unionpay, "PaymentService/CheckPayment", check, "").await?;
    let payable = int(&answer["payable_fen"]);
    stage.narrator.say(
        format!("银联先询：床位费 1800 元可付多少？网关答：{} 元（受补贴余额所限），并逐条给出条件。", yuan(payable)),
        format!("UnionPay checks first: how much of the 1800 yuan? The gateway: {} yuan, bounded by the balance, with every condition explained.", yuan(payable)),
    );
    ensure!(payable == 60_000, "600 yuan may be paid, not {payable} fen");
    let too_much = cast::authorise(&day.bills[0], "BED", 70_000, "20261118REFUSED0", MERCHANT, stage.now().0);
    match systems.unionpay.call("PaymentService/AuthorizePayment", too_much).await {
        Err(refused) if refused.reason == "INSUFFICIENT_FUNDS" => stage
            .narrator
            .say(format!("付 700 元被拒：{}", refused.message_zh), format!("700 yuan is refused: {}", refused.message)),
        other => anyhow::bail!("700 yuan ought to be refused for want of funds: {other:?}"),
    }
    let mut authorised = Vec::new();
    for (i, bill) in day.bills.iter().enumerate().take(ELDERS - 1) {
        let order = format!("20261118{i:08}");
        let request = cast::authorise(bill, "BED", 50_000, &order, MERCHANT, stage.now().0 - 1_000_000);
        authorised.push(call(&systems.unionpay, "PaymentService/AuthorizePayment", request, "payment").await?);
    }
    stage.narrator.say(
        format!("{} 位老人在云闪付各付床位费 500 元：批准并占用额度。", authorised.len()),
        format!(
            "{} elders pay 500 yuan of the bed fee each in UnionPay's app: approved and reserved.",
            authorised.len()
        ),
    );
    let mut payments = Vec::new();
    for (i, payment) in authorised.into_iter().enumerate() {
        payments.push(match i {
            // Stays reserved: the channel never confirms, and yet its file will have it.
            morning::STATUS => payment,
            // Reversed, then confirmed all the same: late.
            morning::LATE => {
                let reverse = json!({"payment": name(&payment), "reason": "超时冲正"});
                call(&systems.unionpay, "PaymentService/ReversePayment", reverse, "payment").await?;
                confirm(systems, &payment).await?
            }
            _ => confirm(systems, &payment).await?,
        });
    }
    stage.narrator.say("银联逐笔确认：占用转为入账。", "UnionPay confirms each: reserved becomes posted.");
    let refund = json!({"payment": name(&payments[morning::REFUNDED]), "amount_fen": "10000", "order_id": "20261118REFUND01",
                        "transaction_time_us": stage.now().0.to_string(), "reason": "退餐补差"});
    call(&systems.unionpay, "PaymentService/RefundPayment", refund, "refund").await?;
    facts(stage, systems, day).await?;
    Ok(payments)
}

async fn confirm(systems: &Systems, payment: &Value) -> anyhow::Result<Value> {
    let request = json!({"payment": name(payment), "amount_fen": payment["amount_fen"]});
    call(&systems.unionpay, "PaymentService/ConfirmPayment", request, "payment").await
}

/// Facts a channel reports afterwards: booked whatever they are, judged as findings.
async fn facts(stage: &Stage, systems: &Systems, day: &Day) -> anyhow::Result<()> {
    let advise = |order: &str, bill: &str, fee_type: &str, amount_fen: i64| {
        let mut request = cast::authorise(bill, fee_type, amount_fen, order, MERCHANT, stage.now().0 - 2_000_000);
        request["clearing_date"] = TODAY.into();
        request.as_object_mut().expect("a request is an object").remove("consent_sha256");
        request
    };
    // Meals are not among the fees the programme may pay.
    let meal = advise("20261118ADVICE01", &day.bills[morning::ADVISED], "MEAL", 5_000);
    call(&systems.unionpay, "PaymentService/AdvisePayment", meal, "payment").await?;
    // The family has paid the rest of the bed fee elsewhere: now it is more than is due.
    let lines = [("BED", "180000", "130000"), ("NURSING", "200000", "0"), ("MEAL", "90000", "0")].map(
        |(fee, due, paid)| json!({"fee_type": format!("FEE_TYPE_{fee}"), "due_fen": due, "paid_elsewhere_fen": paid}),
    );
    let amended = json!({"bill": day.bills[morning::EXCEEDED], "lines": lines, "reason": "家属已付"});
    call(&systems.hebei, "BillService/AmendBill", amended, "").await?;
    let excess = advise("20261118ADVICE02", &day.bills[morning::EXCEEDED], "BED", 10_000);
    call(&systems.unionpay, "PaymentService/AdvisePayment", excess, "payment").await?;
    // Money spent elsewhere that the account did not have.
    let outside = json!({"elder": day.elders[morning::OVERSPENT], "programme": PROGRAMME, "amount_fen": "30000",
                         "occurred_on": TODAY, "reference": "OUT00000001"});
    call(&systems.unionpay, "EntitlementService/ReportOutsideSpending", outside, "").await?;
    stage.narrator.say(
        "三笔事后通知照实入账：膳食费、超出账单的床位费、账户外消费超支——次日成为发现项。",
        "Three reports are booked as facts: a meal fee, more than the bill's line, spending beyond the balance. They will be findings.",
    );
    Ok(())
}

/// Under a mandate Beijing instructs a transfer; UnionPay takes it from its stream.
async fn mandate(stage: &Stage, systems: &Systems, day: &Day) -> anyhow::Result<Value> {
    let at = ELDERS - 1;
    let request = json!({
        "programme": PROGRAMME, "elder": day.elders[at], "contract": day.contracts[at], "channel": UNIONPAY,
        "fee_types": ["FEE_TYPE_BED", "FEE_TYPE_NURSING"], "monthly_cap_fen": "60000",
        "valid_from": "2026-11-01", "valid_until": "2027-10-31", "consent_sha256": cast::digest("mandate consent"),
    });
    let mandate = call(&systems.beijing, "MandateService/CreateMandate", request, "mandate").await?;
    let instruct = json!({"mandate": name(&mandate), "bill": day.bills[at], "fee_type": "FEE_TYPE_NURSING",
                          "amount_fen": "40000"});
    let payment = call(&systems.beijing, "PaymentService/InstructPayment", instruct, "payment").await?;
    let taken = next_instruction(systems, &payment).await?;
    stage.narrator.say(
        format!("依委托授权，北京指令支付护理费 400 元；银联从指令流取得（游标 {taken}）并确认。"),
        format!("Under a mandate Beijing instructs 400 yuan of the nursing fee; UnionPay takes it from its stream (cursor {taken}) and confirms."),
    );
    // The channel's own time of an order that it was instructed to make.
    let request = json!({"payment": name(&payment), "amount_fen": payment["amount_fen"],
                         "transaction_time_us": stage.now().0.to_string()});
    call(&systems.unionpay, "PaymentService/ConfirmPayment", request, "payment").await
}

/// Reads the instruction stream until the payment is in it; acknowledges and tells the cursor.
async fn next_instruction(systems: &Systems, payment: &Value) -> anyhow::Result<i64> {
    use jjj_wire::pb;
    let path = "/jjj.gateway.v1.ChannelService/StreamInstructions";
    let request = pb::StreamInstructionsRequest { cursor: 0, follow: true };
    let mut stream = systems.unionpay.client.stream::<_, pb::Instruction>(path, &request).await?;
    let deadline = tokio::time::Instant::now() + std::time::Duration::from_secs(10);
    loop {
        let next = tokio::time::timeout_at(deadline, stream.message()).await.context("the instruction stream")??;
        let instruction = next.context("the instruction stream ended")?;
        if instruction.record == name(payment) {
            let acknowledge = json!({"cursor": instruction.cursor.to_string()});
            call(&systems.unionpay, "ChannelService/AcknowledgeInstructions", acknowledge, "").await?;
            return Ok(instruction.cursor);
        }
    }
}

/// The institution's region claims the operating subsidy of the past month; Beijing approves; the bank pays.
async fn subsidy(stage: &Stage, systems: &Systems, day: &Day) -> anyhow::Result<()> {
    stage.narrator.heading("五、运营补贴", "5. Operating subsidy");
    let claim = json!({"institution": day.institution, "payer": BEIJING, "month": "2026-10"});
    let claim = call(&systems.hebei, "OperatingSubsidyService/CreateClaim", claim, "claim").await?;
    let approve = json!({"claim": name(&claim), "amount_fen": claim["amount_fen"], "funder_division": "110000", "channel": "channels/bank"});
    call(&systems.beijing, "OperatingSubsidyService/ApproveClaim", approve, "claim").await?;
    let paid = json!({"claim": name(&claim), "amount_fen": claim["amount_fen"], "order_id": "20261118SUBSIDY1", "clearing_date": TODAY});
    call(&systems.bank, "OperatingSubsidyService/ConfirmPayout", paid, "claim").await?;
    stage.narrator.say(
        format!("河北按入住情况申领 2026-10 运营补贴 {} 元，北京核准，银行拨付。", yuan(int(&claim["amount_fen"]))),
        format!(
            "Hebei claims the operating subsidy of 2026-10, {} yuan from the stays; Beijing approves, the bank pays.",
            yuan(int(&claim["amount_fen"]))
        ),
    );
    Ok(())
}
