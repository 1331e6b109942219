//! The published year end (北京市老龄事业发展报告（2024）) played through the gateway.
//!
//! The report's integers are carried in `data/report-2024.json`. What it does not say
//! — each institution's grade and beds, who lives where, ability levels, which of the
//! 558 contracts are Beijing elders', bills, payments — is synthesised from a seed and
//! labelled so. At the end the report's integers stand beside the gateway's own counts,
//! taken from list calls, and must be equal.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Context;
use jjj_cli::session::Session;
use serde::Deserialize;
use serde_json::{Value, json};

use super::cast::{self, BEIJING, HEBEI, PROGRAMME, Placement, Proof, TIANJIN, UNIONPAY};
use super::people::uscc;
use super::stage::{Stage, batch, call, int, name};
use crate::output::yuan;

/// Monday 30 December 2024, 10:00 in Beijing.
pub const START: i64 = 1_735_524_000_000_000;
const TODAY: &str = "2024-12-30";
const MONTH: &str = "2024-12";
const SEED: u64 = 20_241_231;
const MERCHANT: &str = "898110000000001";

/// The report's figures that the gateway must equal.
#[derive(Deserialize)]
struct Report {
    care_institutions: CareInstitutions,
    cross_region: CrossRegion,
}

#[derive(Deserialize)]
struct CareInstitutions {
    total: i64,
    stars_total: BTreeMap<i64, i64>,
    starred: i64,
    by_district: Vec<District>,
}

#[derive(Deserialize)]
struct District {
    division_code: String,
    district: String,
    institutions: i64,
    beds: i64,
    residents: i64,
    starred: i64,
}

#[derive(Deserialize)]
struct CrossRegion {
    beijing_elders_in_remote_institutions: ByRegion,
    remote_institutions_with_beijing_elders: ByRegion,
    institutions_in_online_signing_scope: i64,
    contracts_signed_online: i64,
}

#[derive(Deserialize)]
struct ByRegion {
    total: i64,
    #[serde(rename = "130000")]
    hebei: i64,
    #[serde(rename = "120000")]
    tianjin: i64,
}

/// Synthesised: of the online-signed contracts, those of other regions' elders.
const ONLINE_CONTRACTS_OF_OTHERS: i64 = 172;

pub async fn play(stage: &Stage) -> anyhow::Result<Value> {
    let report: Report = serde_json::from_str(include_str!("../../data/report-2024.json"))?;
    let mut synth = Synth(SEED);
    let beijing = stage.as_(BEIJING)?;
    beijing_institutions(stage, &beijing, &report, &mut synth).await?;
    let remote = remote_institutions(stage, &report, &mut synth).await?;
    let placements = elders_and_contracts(stage, &beijing, &report, &remote, &mut synth).await?;
    let served = policies_side_by_side(stage, &placements).await?;
    compare(stage, &report, served).await
}

/// Every district's institutions with its beds, residents and star totals.
async fn beijing_institutions(
    stage: &Stage,
    beijing: &Session,
    report: &Report,
    synth: &mut Synth,
) -> anyhow::Result<()> {
    stage.narrator.heading("北京市养老机构", "Beijing's care institutions");
    let mut requests = Vec::new();
    let mut starred = Vec::new();
    for district in &report.care_institutions.by_district {
        for i in 0..district.institutions {
            if i < district.starred {
                starred.push(requests.len());
            }
            requests.push(json!({
                "uscc": uscc(&district.division_code, i as usize),
                "display_name": format!("{}养老机构{:03}（合成）", district.district, i + 1),
                "kind": "INSTITUTION_KIND_CARE_INSTITUTION", "division_code": district.division_code,
                "beds": share(district.beds, district.institutions, i).to_string(),
                "residents": share(district.residents, district.institutions, i).to_string(),
            }));
        }
    }
    let institutions = batch(beijing, "InstitutionService/RegisterInstitution", requests, "institution").await?;
    let mut grades: Vec<i64> =
        report.care_institutions.stars_total.iter().flat_map(|(grade, n)| vec![*grade; *n as usize]).collect();
    synth.shuffle(&mut grades);
    let ratings = starred.iter().zip(grades).map(|(at, grade)| {
        cast::rating(&name(&institutions[*at]), "BEIJING_STAR", grade, "2024-06-20", "2024-07-01", "2027-06-30")
    });
    batch(beijing, "RatingService/PublishRating", ratings.collect(), "rating").await?;
    stage.narrator.say(
        format!("登记 {} 家机构并发布 {} 家星级；各区总数与星级总数出自报告，逐家床位与星级为【合成】。", institutions.len(), starred.len()),
        format!("{} institutions registered, {} rated; district and star totals are the report's, each institution's own are [synthesised].", institutions.len(), starred.len()),
    );
    Ok(())
}

/// A whole split over `n` as evenly as integers allow.
fn share(total: i64, n: i64, i: i64) -> i64 {
    total / n + i64::from(i < total % n)
}

/// Remote institutions: those with Beijing elders, and those only in signing scope.
struct Remote {
    region: &'static str,
    session: Session,
    institutions: Vec<String>,
    /// Of them, the first so many have Beijing elders.
    with_elders: usize,
    elders: i64,
}

async fn remote_institutions(stage: &Stage, report: &Report, synth: &mut Synth) -> anyhow::Result<Vec<Remote>> {
    stage.narrator.heading("津冀养老机构与网签范围", "Institutions in Tianjin and Hebei, and the signing scope");
    let cross = &report.cross_region;
    let with = &cross.remote_institutions_with_beijing_elders;
    let without = cross.institutions_in_online_signing_scope - with.total;
    let hebei_only_in_scope = without * with.hebei / with.total;
    let plan = [
        (HEBEI, with.hebei, hebei_only_in_scope, cross.beijing_elders_in_remote_institutions.hebei, HEBEI_DIVISIONS),
        (
            TIANJIN,
            with.tianjin,
            without - hebei_only_in_scope,
            cross.beijing_elders_in_remote_institutions.tianjin,
            TIANJIN_DIVISIONS,
        ),
    ];
    let mut remote = Vec::new();
    for (region, with_elders, only_in_scope, elders, divisions) in plan {
        let session = stage.as_(region)?;
        let requests = (0..with_elders + only_in_scope).map(|i| {
            let division = divisions[i as usize % divisions.len()];
            json!({"uscc": uscc(division, i as usize), "display_name": format!("津冀养老机构{:03}（合成）", i + 1),
                   "kind": "INSTITUTION_KIND_CARE_INSTITUTION", "division_code": division, "beds": "200", "residents": "120"})
        });
        let registered =
            batch(&session, "InstitutionService/RegisterInstitution", requests.collect(), "institution").await?;
        let institutions: Vec<String> = registered.iter().map(name).collect();
        let scope = institutions.iter().map(|institution| {
            json!({"institution": institution, "in_scope": true, "effective_on": "2024-06-01", "document_number": "网签-2024"})
        });
        batch(&session, "InstitutionService/SetSigningScope", scope.collect(), "institution").await?;
        let ratings = institutions.iter().map(|institution| {
            cast::rating(institution, "GB_T_37276", synth.between(1, 5), "2023-12-20", "2024-01-01", "2026-12-31")
        });
        batch(&session, "RatingService/PublishRating", ratings.collect(), "rating").await?;
        remote.push(Remote { region, session, institutions, with_elders: with_elders as usize, elders });
    }
    stage.narrator.say(
        format!("{} 家纳入网签范围，其中 {} 家有京籍老年人入住；等级为【合成】，北京即时互认。", cross.institutions_in_online_signing_scope, with.total),
        format!("{} institutions in signing scope, {} of them with Beijing elders; grades are [synthesised], recognized by Beijing at once.", cross.institutions_in_online_signing_scope, with.total),
    );
    Ok(remote)
}

const HEBEI_DIVISIONS: &[&str] = &["131082", "131024", "131028", "131022", "130681"];
const TIANJIN_DIVISIONS: &[&str] = &["120114", "120115", "120119"];

/// A Beijing elder's place, bill to pay and eligibility.
struct Place {
    bill: String,
    granted_fen: i64,
}

async fn elders_and_contracts(
    stage: &Stage,
    beijing: &Session,
    report: &Report,
    remote: &[Remote],
    synth: &mut Synth,
) -> anyhow::Result<Vec<Place>> {
    stage.narrator.heading("老年人、评估、合同、入住", "Elders, assessments, contracts, stays");
    let cross = &report.cross_region;
    let online_of_beijing = cross.contracts_signed_online - ONLINE_CONTRACTS_OF_OTHERS;
    let districts: Vec<&str> = report.care_institutions.by_district.iter().map(|d| d.division_code.as_str()).collect();
    cast::fund(beijing, "110000", 2024, 5_000_000).await?;
    let unionpay = stage.as_(UNIONPAY)?;
    let mut places = Vec::new();
    let (mut online_left, mut elders_left) = (online_of_beijing, cross.beijing_elders_in_remote_institutions.total);
    for remote in remote {
        let first = places_offset(&districts, cross, remote);
        let register = (0..remote.elders)
            .map(|i| cast::elder(districts[i as usize % districts.len()], first + i as usize / districts.len()));
        let elders: Vec<String> =
            batch(beijing, "ElderService/RegisterElder", register.collect(), "elder").await?.iter().map(name).collect();
        let levels: Vec<i64> = elders.iter().map(|_| synth.level()).collect();
        let assess = elders
            .iter()
            .zip(&levels)
            .map(|(e, level)| cast::assessment(e, *level, "2024-05-20", "2024-06-01", "2027-05-31"));
        batch(beijing, "AssessmentService/PublishAssessment", assess.collect(), "assessment").await?;

        // Elders share the online-signed contracts in proportion to the regions.
        let online = if elders_left == remote.elders { online_left } else { online_left * remote.elders / elders_left };
        (online_left, elders_left) = (online_left - online, elders_left - remote.elders);
        let placements: Vec<Placement> = elders
            .iter()
            .enumerate()
            .map(|(i, elder)| Placement {
                elder: elder.clone(),
                institution: remote.institutions[i % remote.with_elders].clone(),
                starts_on: "2024-06-01".into(),
                ends_on: "2025-05-31".into(),
                proof: if (i as i64) < online { Proof::Online } else { Proof::Attested },
            })
            .collect();
        let code = remote.region.trim_start_matches("regions/");
        let contracts = cast::contracts(&remote.session, &placements, TODAY, &format!("{code}B")).await?;
        let stays = cast::admit(&remote.session, &placements, &contracts, "2024-06-01").await?;
        local_elders(remote, online_share_of_others(remote, report), &format!("{code}L")).await?;

        let entitled: Vec<usize> = (0..elders.len()).filter(|i| levels[*i] >= 3).collect();
        let of_entitled: Vec<String> = entitled.iter().map(|i| elders[*i].clone()).collect();
        let grants = cast::grant_and_credit(beijing, &unionpay, &of_entitled, MONTH).await?;
        let bills = entitled.iter().map(|i| cast::bill(&placements[*i], &contracts[*i], &stays[*i], MONTH));
        let bills = batch(&remote.session, "BillService/PublishBill", bills.collect(), "bill").await?;
        places.extend(
            bills
                .iter()
                .zip(&grants)
                .map(|(bill, grant)| Place { bill: name(bill), granted_fen: int(&grant["amount_fen"]) }),
        );
    }
    stage.narrator.say(
        format!("{} 位京籍老年人入住津冀机构；能力等级、入住去向与 {online_of_beijing} 份京籍网签合同的归属为【合成】；{} 人达到补贴条件并已入账。", cross.beijing_elders_in_remote_institutions.total, places.len()),
        format!("{} Beijing elders live in remote institutions; levels, placements and which {online_of_beijing} of the online contracts are theirs are [synthesised]; {} are entitled and credited.", cross.beijing_elders_in_remote_institutions.total, places.len()),
    );
    Ok(places)
}

/// Synthetic resident ids must not repeat between the two regions' elders.
fn places_offset(districts: &[&str], cross: &CrossRegion, remote: &Remote) -> usize {
    if remote.region == HEBEI {
        0
    } else {
        cross.beijing_elders_in_remote_institutions.hebei as usize / districts.len() + 1
    }
}

fn online_share_of_others(remote: &Remote, report: &Report) -> i64 {
    let total = report.cross_region.remote_institutions_with_beijing_elders.total;
    let tianjin =
        ONLINE_CONTRACTS_OF_OTHERS * report.cross_region.remote_institutions_with_beijing_elders.tianjin / total;
    if remote.region == TIANJIN { tianjin } else { ONLINE_CONTRACTS_OF_OTHERS - tianjin }
}

/// Online-signed contracts of the region's own elders, in institutions of the scope.
async fn local_elders(remote: &Remote, n: i64, prefix: &str) -> anyhow::Result<()> {
    let division = if remote.region == HEBEI { "131082" } else { "120114" };
    let register = (0..n).map(|i| cast::elder(division, i as usize));
    let elders = batch(&remote.session, "ElderService/RegisterElder", register.collect(), "elder").await?;
    let placements: Vec<Placement> = elders
        .iter()
        .enumerate()
        .map(|(i, elder)| Placement {
            elder: name(elder),
            institution: remote.institutions[i % remote.institutions.len()].clone(),
            starts_on: "2024-07-01".into(),
            ends_on: "2025-06-30".into(),
            proof: Proof::Online,
        })
        .collect();
    cast::contracts(&remote.session, &placements, TODAY, prefix).await?;
    Ok(())
}

/// How many elders each contract policy serves.
struct Served {
    entitled: usize,
    online_only: usize,
    with_attested: usize,
    paid_fen: i64,
}

/// The month's payments under two contract policies, one after the other, by real decisions.
async fn policies_side_by_side(stage: &Stage, places: &[Place]) -> anyhow::Result<Served> {
    stage.narrator.heading("一个月的支付：两种合同政策", "A month of payments under two contract policies");
    let unionpay = stage.as_(UNIONPAY)?;
    let admin = stage.as_("regions/110000/admins/chen")?;
    set_gate(&admin, &["ONLINE_FILED"]).await?;
    let all: Vec<usize> = (0..places.len()).collect();
    let (mut approved, refused) = authorise(&unionpay, places, &all, "A").await?;
    let online_only = approved.len();
    set_gate(&admin, &["ONLINE_FILED", "REGION_ATTESTED"]).await?;
    let (more, still_refused) = authorise(&unionpay, places, &refused, "B").await?;
    anyhow::ensure!(still_refused.is_empty(), "{} elders are served by neither policy", still_refused.len());
    approved.extend(more);
    let confirm = approved.iter().map(|p| json!({"payment": name(p), "amount_fen": p["amount_fen"]}));
    let confirmed = batch(&unionpay, "PaymentService/ConfirmPayment", confirm.collect(), "payment").await?;
    let served = Served {
        entitled: places.len(),
        online_only,
        with_attested: confirmed.len(),
        paid_fen: confirmed.iter().map(|p| int(&p["amount_fen"])).sum(),
    };
    stage.narrator.say(
        format!(
            "只认网签备案合同：惠及 {} 人；并认地区核验的纸质合同：惠及 {} 人；共支付 {} 元。",
            served.online_only,
            served.with_attested,
            yuan(served.paid_fen)
        ),
        format!(
            "Online-filed contracts only: {} elders served; contracts attested by the region too: {}; {} yuan paid.",
            served.online_only,
            served.with_attested,
            yuan(served.paid_fen)
        ),
    );
    Ok(served)
}

/// Sets which contract evidence the care subsidy accepts, from today on.
async fn set_gate(admin: &Session, evidence: &[&str]) -> anyhow::Result<()> {
    let shown = call(
        admin,
        "PolicyService/GetPolicy",
        json!({"name": "policies/gate/110000/care_subsidy", "as_of": TODAY}),
        "",
    )
    .await?;
    let mut body: Value = serde_json::from_str(shown["body"].as_str().context("a policy has a body")?)?;
    body["contract_evidence"] = json!(evidence);
    let request = json!({"kind": "gate", "scope": "110000/care_subsidy", "effective_from": TODAY,
                         "body": body.to_string(), "reason": "两种政策对照"});
    call(admin, "PolicyService/SetPolicy", request, "").await?;
    Ok(())
}

/// Authorises each place's grant against its bed fee; what is refused for its contract's evidence comes back.
async fn authorise(
    unionpay: &Session,
    places: &[Place],
    which: &[usize],
    prefix: &str,
) -> anyhow::Result<(Vec<Value>, Vec<usize>)> {
    let requests = which.iter().map(|i| {
        let order = format!("20241230{prefix}{i:07}");
        cast::authorise(&places[*i].bill, "BED", places[*i].granted_fen, &order, MERCHANT, unionpay.client.now_us())
    });
    let results = unionpay.batch("PaymentService/AuthorizePayment", requests.collect()).await?;
    let (mut approved, mut refused) = (Vec::new(), Vec::new());
    for (i, result) in which.iter().zip(results) {
        match result {
            Ok(mut answer) => approved.push(answer["payment"].take()),
            Err(refusal) if refusal.reason == "CONDITION_UNMET" && refusal.message.contains("CONTRACT_EVIDENCE") => {
                refused.push(*i);
            }
            Err(refusal) => anyhow::bail!("an authorisation was refused for another reason: {refusal}"),
        }
    }
    Ok((approved, refused))
}

/// The report's integers beside the gateway's own counts.
async fn compare(stage: &Stage, report: &Report, served: Served) -> anyhow::Result<Value> {
    stage.narrator.heading("报告与网关对照", "The report beside the gateway");
    let mut table = Table::default();
    let gateway = stage.as_("gateway/admins/zhao")?;
    count_institutions(&gateway, report, &mut table).await?;
    count_remote(&gateway, report, &mut table).await?;
    if stage.narrator.aloud() {
        let shown = table.rows.iter().map(|(what, published, counted)| {
            let sign = if published == counted { "=" } else { "≠" };
            json!({"figure": what, "report": published, "gateway": counted, "": sign})
        });
        let rows: Vec<Value> = shown.collect();
        crate::output::table(&rows, &["figure", "report", "gateway", ""]);
    }
    let equal = table.rows.iter().all(|(_, published, counted)| published == counted);
    stage.narrator.say(
        format!("{} 项数字{}。", table.rows.len(), if equal { "全部相等" } else { "存在不等" }),
        format!("{} figures {}.", table.rows.len(), if equal { "are all equal" } else { "are not all equal" }),
    );
    Ok(json!({
        "ok": equal,
        "figures": table.rows.iter().map(|(what, published, counted)| json!({"figure": what, "report": published, "gateway": counted})).collect::<Vec<_>>(),
        "synthesised": {
            "seed": SEED, "entitled_elders": served.entitled,
            "served_online_filed_only": served.online_only, "served_with_region_attested": served.with_attested,
            "paid_fen": served.paid_fen, "programme": PROGRAMME, "month": MONTH,
        },
    }))
}

#[derive(Default)]
struct Table {
    rows: Vec<(String, i64, i64)>,
}

impl Table {
    fn row(&mut self, what: impl Into<String>, published: i64, counted: usize) {
        self.rows.push((what.into(), published, counted as i64));
    }

    fn sum(&mut self, what: impl Into<String>, published: i64, counted: i64) {
        self.rows.push((what.into(), published, counted));
    }
}

async fn count_institutions(gateway: &Session, report: &Report, table: &mut Table) -> anyhow::Result<()> {
    let filter = format!("region = \"{BEIJING}\"");
    let institutions = gateway.list("InstitutionService/ListInstitutions", &filter, "institutions").await?;
    let ratings = gateway.list("RatingService/ListRatings", "scheme = \"BEIJING_STAR\"", "ratings").await?;
    let care = &report.care_institutions;
    table.row("京 机构 institutions", care.total, institutions.len());
    table.row("京 星级机构 starred", care.starred, ratings.len());
    for (grade, published) in care.stars_total.iter().rev() {
        let counted = ratings.iter().filter(|r| int(&r["native_grade"]) == *grade).count();
        table.row(format!("京 {} {grade}", "★".repeat(*grade as usize)), *published, counted);
    }
    let rated: BTreeSet<String> =
        ratings.iter().filter_map(|r| Some(r["envelope"]["subject"].as_str()?.to_owned())).collect();
    for district in &care.by_district {
        let here: Vec<&Value> =
            institutions.iter().filter(|i| i["division_code"] == district.division_code.as_str()).collect();
        let total = |field: &str| here.iter().map(|i| int(&i[field])).sum::<i64>();
        table.row(format!("{} 机构", district.district), district.institutions, here.len());
        table.sum(format!("{} 床位", district.district), district.beds, total("beds"));
        table.sum(format!("{} 入住", district.district), district.residents, total("residents"));
        table.row(
            format!("{} 星级", district.district),
            district.starred,
            here.iter().filter(|i| rated.contains(&name(i))).count(),
        );
    }
    Ok(())
}

async fn count_remote(gateway: &Session, report: &Report, table: &mut Table) -> anyhow::Result<()> {
    let cross = &report.cross_region;
    let filter = format!("household_region = \"{BEIJING}\"");
    let there = format!("{filter} AND on = \"{TODAY}\"");
    let stays = gateway.list("StayService/ListStays", &there, "stays").await?;
    let distinct = |region: &str, field: &str| {
        let of_region = stays.iter().filter(|s| region.is_empty() || s["institution_region"] == region);
        of_region.filter_map(|s| s[field].as_str()).collect::<BTreeSet<_>>().len()
    };
    let elders = &cross.beijing_elders_in_remote_institutions;
    table.row("京籍老年人入住津冀 elders", elders.total, distinct("", "elder"));
    table.row("　河北 Hebei", elders.hebei, distinct(HEBEI, "elder"));
    table.row("　天津 Tianjin", elders.tianjin, distinct(TIANJIN, "elder"));
    let registered = gateway.list("ElderService/ListElders", &filter, "elders").await?;
    table.row("京籍老年人登记 registered", elders.total, registered.len());
    let institutions = &cross.remote_institutions_with_beijing_elders;
    table.row("有京籍老年人的津冀机构 institutions", institutions.total, distinct("", "institution"));
    table.row("　河北 Hebei", institutions.hebei, distinct(HEBEI, "institution"));
    table.row("　天津 Tianjin", institutions.tianjin, distinct(TIANJIN, "institution"));
    let mut in_scope = 0;
    for region in [HEBEI, TIANJIN] {
        let filter = format!("region = \"{region}\" AND signing_scope_on = \"{TODAY}\"");
        in_scope += gateway.list("InstitutionService/ListInstitutions", &filter, "institutions").await?.len();
    }
    table.row("网签范围机构 in signing scope", cross.institutions_in_online_signing_scope, in_scope);
    let filed = gateway.list("ContractService/ListContracts", "evidence = \"ONLINE_FILED\"", "contracts").await?;
    table.row("网签合同 signed online", cross.contracts_signed_online, filed.len());
    Ok(())
}

/// SplitMix64: a seed, and nothing else, decides what is synthesised.
struct Synth(u64);

impl Synth {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn between(&mut self, low: i64, high: i64) -> i64 {
        low + (self.next() % (high - low + 1) as u64) as i64
    }

    fn shuffle<T>(&mut self, items: &mut [T]) {
        for i in (1..items.len()).rev() {
            items.swap(i, (self.next() % (i as u64 + 1)) as usize);
        }
    }

    /// Ability levels: about two in five are severe or total.
    fn level(&mut self) -> i64 {
        match self.between(0, 99) {
            0..=14 => 0,
            15..=37 => 1,
            38..=58 => 2,
            59..=82 => 3,
            _ => 4,
        }
    }
}
