use super::*;
use crate::care::testing::{
    BEIJING_HOME, Case, World, actor, date, digest, new_contract, new_institution, party, signature,
};
use crate::decision::Command;
use crate::institution::{InstitutionState, SetSigningScope, UpdateInstitution};
use crate::names::Collection;
use crate::payment::PaymentRow;
use crate::person::{MergePersons, RecordDeath};
use crate::recon::BreakClass;
use crate::rejection::Reason;
use crate::time::DAY_US;

const BEIJING: &str = "regions/110000";
const HEBEI: &str = "regions/130000";

/// A Hebei home in the signing scope, a Beijing elder, a contract that Hebei registers.
struct Given {
    world: World,
    home: Name,
    elder: Name,
    contract: Name,
}

impl Given {
    fn draft() -> Self {
        let mut world = World::new();
        let (home, elder) = (world.home(), world.elder());
        let enter = SetSigningScope {
            institution: home.clone(),
            in_scope: true,
            effective_on: date("2024-06-01"),
            document_number: String::new(),
        };
        world.ok(HEBEI, &enter);
        let contract = world.name(HEBEI, &new_contract(&home, &elder));
        Self { world, home, elder, contract }
    }

    fn sign(&self, signer: &Name) -> SignContract {
        SignContract { contract: self.contract.clone(), signature: signature(signer, self.world.now) }
    }

    fn file(&self) -> FileContract {
        FileContract { contract: self.contract.clone(), filing_number: "冀-0001".into(), filed_on: date("2026-06-01") }
    }

    fn attest(&self) -> AttestContract {
        AttestContract {
            contract: self.contract.clone(),
            attested_on: date("2026-06-01"),
            attester: "三河市民政局".into(),
        }
    }

    fn activate(&self) -> ActivateContract {
        ActivateContract { contract: self.contract.clone(), effective_on: date("2026-02-01") }
    }

    fn amend(&self) -> AmendContract {
        AmendContract {
            contract: self.contract.clone(),
            expected_version: 0,
            terms: new_contract(&self.home, &self.elder).terms,
            signatures: [&self.home, &self.elder].map(|signer| signature(signer, self.world.now)).into(),
            evidence: ContractEvidence::RegionAttested,
            filing_number: None,
            effective_on: date("2026-06-10"),
            reason: "调整护理等级".into(),
        }
    }

    fn terminate(&self, ended_on: &str) -> TerminateContract {
        TerminateContract {
            contract: self.contract.clone(),
            termination_reason: TerminationReason::Agreement,
            ended_on: date(ended_on),
            reason: String::new(),
        }
    }

    fn void(&self) -> VoidContract {
        VoidContract {
            contract: self.contract.clone(),
            reason: "欺诈".into(),
            document_number: "冀民〔2026〕1号".into(),
        }
    }

    fn ok(&mut self, command: &dyn Command) {
        self.world.ok(HEBEI, command);
    }

    /// The world in which the contract has come to a state.
    fn reach(state: ContractState) -> Self {
        let mut given = Self::draft();
        let [home, elder] = [given.sign(&given.home), given.sign(&given.elder)];
        let (file, attest, activate) = (given.file(), given.attest(), given.activate());
        let (terminate, void) = (given.terminate("2026-06-01"), given.void());
        let steps: &[&dyn Command] = match state {
            ContractState::Draft => &[],
            ContractState::Signing => &[&home],
            ContractState::Signed => &[&home, &elder],
            ContractState::Filed => &[&home, &elder, &file],
            ContractState::Attested => &[&home, &elder, &attest],
            ContractState::Active => &[&home, &elder, &file, &activate],
            ContractState::Terminated => &[&home, &elder, &file, &activate, &terminate],
            ContractState::Voided => &[&void],
        };
        for step in steps {
            given.ok(*step);
        }
        assert_eq!(given.row().state, state);
        given
    }

    fn row(&self) -> ContractRow {
        self.world.sim.get(key![self.contract.clone()]).unwrap()
    }
}

/// The whole of the module's table: every state, every command.
#[test]
fn every_state_and_every_command() {
    use ContractState::*;
    let no = Err(Reason::StateNotAllowed);
    let unsigned = Err(Reason::SignatureMissing);
    let taken = Err(Reason::RecordExists);
    // Sign (by the institution, by the elder), file, attest, activate, amend, terminate, void.
    let table = [
        (Draft, [Ok(Signing), Ok(Signing), unsigned, unsigned, no, no, no, Ok(Voided)]),
        (Signing, [taken, Ok(Signed), unsigned, unsigned, no, no, no, Ok(Voided)]),
        (Signed, [no, no, Ok(Filed), Ok(Attested), no, no, no, Ok(Voided)]),
        (Filed, [no, no, no, no, Ok(Active), no, no, Ok(Voided)]),
        (Attested, [no, no, no, no, Ok(Active), no, no, Ok(Voided)]),
        (Active, [no, no, no, no, no, Ok(Active), Ok(Terminated), Ok(Voided)]),
        (Terminated, [no, no, no, no, no, no, no, Ok(Voided)]),
        (Voided, [no; 8]),
    ];
    assert_eq!(table.map(|(state, _)| state), ContractState::ALL, "no state is left out");
    for (state, outcomes) in table {
        let given = Given::reach(state);
        let commands: [Box<dyn Command>; 8] = [
            Box::new(given.sign(&given.home)),
            Box::new(given.sign(&given.elder)),
            Box::new(given.file()),
            Box::new(given.attest()),
            Box::new(given.activate()),
            Box::new(given.amend()),
            Box::new(given.terminate("2026-06-01")),
            Box::new(given.void()),
        ];
        for (n, (command, expected)) in commands.iter().zip(outcomes).enumerate() {
            let mut world = given.world.clone();
            let before = given.row();
            let outcome = world.run(HEBEI, &**command).map_err(|refused| refused.reason);
            let after: ContractRow = world.sim.get(key![given.contract.clone()]).unwrap();
            match expected {
                Ok(state) => {
                    assert_eq!((after.state, after.version), (state, before.version + 1), "{state} command {n}");
                    let leaf = &outcome.unwrap().leaves[0];
                    assert_eq!((leaf.record.as_str(), leaf.version), (given.contract.as_str(), after.version));
                    let told: Vec<_> = leaf.audience.iter().map(|(who, _)| who.as_str()).collect();
                    assert_eq!(told, [BEIJING, HEBEI]);
                }
                Err(reason) => {
                    assert_eq!(outcome.unwrap_err(), reason, "{state} command {n}");
                    assert_eq!(after, before);
                }
            }
        }
    }
}

#[test]
fn a_contract_of_three_parties_comes_into_force() {
    let mut world = World::new();
    let (home, elder, daughter) = (world.home(), world.elder(), world.party());
    let mut command = new_contract(&home, &elder);
    command.terms.capacity = Capacity::Limited;
    command.terms.parties.push(party(&daughter, &[PartyRole::Guardian, PartyRole::PaymentObligor]));
    let contract = world.name(BEIJING, &command);
    let sign = |world: &mut World, signer: &Name| {
        let decision =
            world.ok(BEIJING, &SignContract { contract: contract.clone(), signature: signature(signer, world.now) });
        assert_eq!(decision.leaves[0].kind, "contract.signed");
        world.sim.get::<ContractRow>(key![contract.clone()]).unwrap().state
    };
    assert_eq!(sign(&mut world, &home), ContractState::Signing);
    // The elder may sign; it is the guardian's signature that counts.
    assert_eq!(sign(&mut world, &elder), ContractState::Signing);
    assert_eq!(sign(&mut world, &daughter), ContractState::Signed);
    let attest = AttestContract { contract: contract.clone(), attested_on: world.today(), attester: "海淀".into() };
    world.ok(BEIJING, &attest);
    world.ok(BEIJING, &ActivateContract { contract: contract.clone(), effective_on: date("2026-02-01") });
    let row: ContractRow = world.sim.get(key![contract]).unwrap();
    assert_eq!((row.evidence, row.version), (ContractEvidence::RegionAttested, 6));
    assert_eq!(row.signatures.0[2].attested_by, actor(BEIJING));
    for (day, binds) in [("2026-01-31", false), ("2026-02-01", true), ("2026-12-31", true), ("2027-01-01", false)] {
        assert_eq!(row.in_force_on(date(day)), binds, "{day}");
    }
}

#[test]
fn drafts_refused() {
    let mut world = World::new();
    let (home, elder, daughter) = (world.home(), world.elder(), world.party());
    let beijing_home = world.name(BEIJING, &new_institution(BEIJING_HOME, "110108"));
    let dead = world.elder();
    world
        .ok(BEIJING, &RecordDeath { elder: dead.clone(), died_on: date("2026-06-01"), document_number: String::new() });
    let merged = world.elder();
    world.ok(BEIJING, &MergePersons { elder: merged.clone(), into: elder.clone(), reason: "同一人".into() });
    let closed = world.name(HEBEI, &new_institution("91130606XXXX000518", "130606"));
    let close = UpdateInstitution {
        institution: closed.clone(),
        expected_version: 1,
        display_name: "颐养院".into(),
        division: "130606".parse().unwrap(),
        beds: 0,
        residents: 0,
        state: InstitutionState::Closed,
        reason: String::new(),
    };
    world.ok(HEBEI, &close);
    let (unknown, nowhere) =
        (Name::of(Collection::Elder, "nobody"), Name::of(Collection::Institution, "12110105XXXX00027C"));

    let with = |change: &dyn Fn(&mut CreateContract)| -> Box<dyn Command> {
        let mut command = new_contract(&home, &elder);
        change(&mut command);
        Box::new(command)
    };
    let roles = |roles: &'static [PartyRole], who: &Name| {
        let added = party(who, roles);
        with(&move |c| c.terms.parties.push(added.clone()))
    };
    use PartyRole::*;
    use Reason::*;
    world.refuses(vec![
        ("neither region's", "regions/120000", with(&|_| {}), NotYourRecord, "institution"),
        (
            "neither side is theirs",
            HEBEI,
            with(&|c| c.institution = beijing_home.clone()),
            NotYourRecord,
            "institution",
        ),
        ("no such institution", HEBEI, with(&|c| c.institution = nowhere.clone()), RecordNotFound, "institution"),
        ("no such elder", HEBEI, with(&|c| c.elder = unknown.clone()), RecordNotFound, "elder"),
        ("a party is no elder", BEIJING, with(&|c| c.elder = daughter.clone()), FieldMalformed, "elder"),
        ("dead", BEIJING, with(&|c| c.elder = dead.clone()), PersonDeceased, "elder"),
        ("merged", BEIJING, with(&|c| c.elder = merged.clone()), PersonMerged, "elder"),
        ("closed", HEBEI, with(&|c| c.institution = closed.clone()), StateNotAllowed, "institution"),
        ("ends first", HEBEI, with(&|c| c.terms.ends_on = date("2025-12-31")), DateOrder, "ends_on"),
        ("negative", HEBEI, with(&|c| c.terms.fees.bed_fee_fen = -1), FieldOutOfRange, "fees.bed_fee_fen"),
        ("negative", HEBEI, with(&|c| c.terms.fees.nursing_fee_fen = -1), FieldOutOfRange, "fees.nursing_fee_fen"),
        ("negative", HEBEI, with(&|c| c.terms.fees.meal_fee_fen = -1), FieldOutOfRange, "fees.meal_fee_fen"),
        ("too much", HEBEI, with(&|c| c.terms.fees.other_fee_fen = i64::MAX), FieldOutOfRange, "fees.other_fee_fen"),
        ("negative", HEBEI, with(&|c| c.terms.fees.deposit_fen = -1), FieldOutOfRange, "fees.deposit_fen"),
        ("negative", HEBEI, with(&|c| c.terms.fees.prepaid_months = -1), FieldOutOfRange, "fees.prepaid_months"),
        ("no documents", HEBEI, with(&|c| c.terms.documents.clear()), FieldMissing, "documents"),
        ("no text", HEBEI, with(&|c| c.terms.documents[0].kind = DocumentKind::CarePlan), FieldMalformed, "documents"),
        (
            "two texts",
            HEBEI,
            with(&|c| c.terms.documents = vec![c.terms.documents[0].clone(); 2]),
            FieldMalformed,
            "documents",
        ),
        (
            "too many documents",
            HEBEI,
            with(&|c| c.terms.documents = vec![c.terms.documents[0].clone(); 21]),
            FieldOutOfRange,
            "documents",
        ),
        (
            "empty document",
            HEBEI,
            with(&|c| c.terms.documents[0].size_bytes = 0),
            FieldOutOfRange,
            "documents[0].size_bytes",
        ),
        ("no institution", HEBEI, with(&|c| drop(c.terms.parties.remove(0))), PartyMissing, "parties"),
        ("no elder", HEBEI, with(&|c| drop(c.terms.parties.remove(1))), PartyMissing, "parties"),
        ("no parties", HEBEI, with(&|c| c.terms.parties.clear()), PartyMissing, "parties"),
        ("twice", HEBEI, roles(&[Agent], &elder), FieldRepeated, "parties"),
        ("no role", HEBEI, roles(&[], &daughter), FieldMissing, "parties[2].roles"),
        ("role twice", HEBEI, roles(&[Agent, Agent], &daughter), FieldRepeated, "parties[2].roles"),
        ("a second elder", HEBEI, roles(&[Elder], &daughter), FieldMalformed, "parties[2].roles"),
        ("a person as institution", HEBEI, roles(&[Institution], &daughter), FieldMalformed, "parties[2].roles"),
        ("another institution", HEBEI, roles(&[Institution], &beijing_home), FieldMalformed, "parties[2].roles"),
        ("institution as guardian", HEBEI, roles(&[Guardian], &beijing_home), FieldMalformed, "parties[2].roles"),
        ("unknown party", HEBEI, roles(&[Agent], &unknown), RecordNotFound, "parties[2].party"),
        ("merged party", HEBEI, roles(&[Agent], &merged), PersonMerged, "parties[2].party"),
        ("no guardian", HEBEI, with(&|c| c.terms.capacity = Capacity::Limited), GuardianMissing, "parties"),
        (
            "one's own guardian",
            HEBEI,
            with(&|c| {
                c.terms.capacity = Capacity::None;
                c.terms.parties[1].roles.push(Guardian);
            }),
            GuardianMissing,
            "parties",
        ),
    ]);
}

/// Caps by division and date: Beijing's since March 2026, the national ones before and elsewhere.
#[test]
fn caps_follow_division_and_date() {
    let mut world = World::new();
    let elder = world.elder();
    let hebei = world.home();
    let beijing = world.name(BEIJING, &new_institution(BEIJING_HOME, "110108"));
    // Bed 3,000 and nursing 1,500 yuan. Beijing: 4 months of both and 3 ahead; national: 12 of bed and 12 ahead.
    let cases = [
        (&beijing, "2026-03-01", 1_800_000, 3, None),
        (&beijing, "2026-03-01", 1_800_001, 3, Some("fees.deposit_fen")),
        (&beijing, "2026-03-01", 0, 4, Some("fees.prepaid_months")),
        (&beijing, "2026-02-28", 3_600_000, 12, None),
        (&beijing, "2026-02-28", 3_600_001, 12, Some("fees.deposit_fen")),
        (&hebei, "2026-03-01", 3_600_000, 12, None),
        (&hebei, "2026-03-01", 3_600_001, 0, Some("fees.deposit_fen")),
        (&hebei, "2026-03-01", 0, 13, Some("fees.prepaid_months")),
    ];
    for (institution, starts_on, deposit_fen, prepaid_months, refused) in cases {
        let mut command = new_contract(institution, &elder);
        command.starts_on = date(starts_on);
        command.terms.fees = Fees { deposit_fen, prepaid_months, ..command.terms.fees };
        match refused {
            None => drop(world.ok(BEIJING, &command)),
            Some(field) => {
                let expected = (Reason::CapExceeded, Some(field.to_owned()));
                assert_eq!(world.refused(BEIJING, &command), expected, "{institution} {starts_on}");
            }
        }
    }
    // A county's own rule goes before its province's.
    world.ok(
        "gateway/admins/a",
        &crate::policy::SetPolicy {
            kind: crate::policy::PolicyKind::ContractCaps,
            scope: "131082".into(),
            effective_from: date("2026-01-01"),
            body: serde_json::json!({
                "deposit_months": 1, "deposit_base": "BED_FEE", "prepaid_months": 1, "source": "test",
            }),
            reason: "test".into(),
        },
    );
    let refused = world.run(HEBEI, &new_contract(&hebei, &elder)).unwrap_err();
    assert_eq!(refused.message_en(), "fees.deposit_fen is 1000000; the cap in division 131082 is 300000");
}

#[test]
fn a_division_without_caps_has_no_contracts() {
    let mut world = World::new();
    let elder = world.elder();
    let mut home: crate::institution::InstitutionRow = {
        let name = world.home();
        world.sim.get(key![name]).unwrap()
    };
    home.institution = format!("institutions/{BEIJING_HOME}");
    home.division = "150102".into();
    world.sim.given(&home);
    let home: Name = home.institution.parse().unwrap();
    assert_eq!(world.refused(HEBEI, &new_contract(&home, &elder)), (Reason::PolicyMissing, None));
}

#[test]
fn signatures_refused() {
    let mut given = Given::draft();
    let (contact, other) = (given.world.party(), given.world.elder());
    let mut with_contact = new_contract(&given.home, &given.elder);
    with_contact.terms.parties.push(party(&contact, &[PartyRole::Contact]));
    given.contract = given.world.name(HEBEI, &with_contact);
    let electronic = |change: &dyn Fn(&mut SignatureEvidence)| -> Box<dyn Command> {
        let mut command = given.sign(&given.elder);
        command.signature.method = SignatureMethod::Electronic;
        command.signature.certificate_sha256 = Some(digest(7));
        command.signature.certificate_issuer = Some("CA".into());
        command.signature.signature_sha256 = Some(digest(8));
        change(&mut command.signature);
        Box::new(command)
    };
    let now = given.world.now;
    let mut unknown = given.sign(&given.elder);
    unknown.contract = Name::of(Collection::Contract, "none");
    use Reason::*;
    let cases: Vec<Case> = vec![
        ("not the registrar", BEIJING, electronic(&|_| {}), NotYourRecord, "contract"),
        ("no such contract", HEBEI, Box::new(unknown), RecordNotFound, "contract"),
        ("not a party", HEBEI, electronic(&|s| s.signer = other.clone()), PartyMissing, "signature.signer"),
        ("contacts sign nothing", HEBEI, electronic(&|s| s.signer = contact.clone()), PartyMissing, "signature.signer"),
        (
            "another text",
            HEBEI,
            electronic(&|s| s.document_sha256 = digest(9)),
            DigestMismatch,
            "signature.document_sha256",
        ),
        (
            "in the future",
            HEBEI,
            electronic(&|s| s.signed_at_us = now.plus_us(1)),
            FieldOutOfRange,
            "signature.signed_time_us",
        ),
        (
            "no certificate",
            HEBEI,
            electronic(&|s| s.certificate_sha256 = None),
            FieldMissing,
            "signature.certificate_sha256",
        ),
        ("no CA", HEBEI, electronic(&|s| s.certificate_issuer = None), FieldMissing, "signature.certificate_issuer"),
        ("no value", HEBEI, electronic(&|s| s.signature_sha256 = None), FieldMissing, "signature.signature_sha256"),
        (
            "a long CA",
            HEBEI,
            electronic(&|s| s.certificate_issuer = Some("甲".repeat(201))),
            FieldTooLong,
            "signature.certificate_issuer",
        ),
    ];
    let accepted = electronic(&|_| {});
    let mut world = given.world.clone();
    world.refuses(cases);
    world.ok(HEBEI, &*accepted);
    assert_eq!(world.refused(HEBEI, &*accepted), (RecordExists, Some("signature.signer".into())));
}

/// Who must sign, by capacity and roles: the first missing, until all have.
#[test]
fn who_must_sign() {
    let name = |text: &str| text.parse::<Name>().unwrap();
    let [home, elder, son, payer] = ["institutions/i", "elders/e", "parties/son", "parties/payer"].map(name);
    use PartyRole::*;
    let parties = vec![
        party(&home, &[Institution]),
        party(&elder, &[Elder, PaymentObligor]),
        party(&son, &[Guardian, JointGuarantor]),
        party(&payer, &[PaymentObligor]),
    ];
    let attested =
        |signer: &Name| Signature { evidence: signature(signer, crate::time::Timestamp(0)), attested_by: actor(HEBEI) };
    let cases: [(Capacity, &[&Name], Option<&Name>); 10] = [
        (Capacity::Full, &[], Some(&home)),
        (Capacity::Full, &[&home], Some(&elder)),
        (Capacity::Full, &[&home, &son, &payer], Some(&elder)),
        (Capacity::Full, &[&home, &elder], Some(&payer)),
        (Capacity::Full, &[&home, &elder, &payer], None),
        (Capacity::Limited, &[&elder, &son, &payer], Some(&home)),
        (Capacity::Limited, &[&home, &elder, &payer], Some(&son)),
        (Capacity::None, &[&home, &son], Some(&payer)),
        (Capacity::None, &[&home, &payer], Some(&son)),
        (Capacity::None, &[&home, &son, &payer], None),
    ];
    for (capacity, signers, missing) in cases {
        let signatures: Vec<_> = signers.iter().map(|signer| attested(signer)).collect();
        assert_eq!(signing::unsigned(&parties, capacity, &signatures), missing, "{capacity} {signers:?}");
    }
}

#[test]
fn filing_needs_scope_and_a_number_of_its_own() {
    let mut given = Given::reach(ContractState::Signed);
    let before_scope = FileContract { filed_on: date("2024-05-31"), ..given.file() };
    let tomorrow = FileContract { filed_on: given.world.today().plus_days(1), ..given.file() };
    let unnumbered = FileContract { filing_number: " ".into(), ..given.file() };
    let long = FileContract { filing_number: "9".repeat(65), ..given.file() };
    let attest_tomorrow = AttestContract { attested_on: given.world.today().plus_days(1), ..given.attest() };
    let by_nobody = AttestContract { attester: String::new(), ..given.attest() };
    use Reason::*;
    given.world.refuses(vec![
        ("before the scope", HEBEI, Box::new(before_scope), StateNotAllowed, "contract"),
        ("in the future", HEBEI, Box::new(tomorrow), FieldOutOfRange, "filed_on"),
        ("no number", HEBEI, Box::new(unnumbered), FieldMissing, "filing_number"),
        ("long number", HEBEI, Box::new(long), FieldTooLong, "filing_number"),
        ("in the future", HEBEI, Box::new(attest_tomorrow), FieldOutOfRange, "attested_on"),
        ("by nobody", HEBEI, Box::new(by_nobody), FieldMissing, "attester"),
    ]);
    let file = given.file();
    given.ok(&file);

    // The number is given once by this registrar, even to a contract voided since.
    let void = given.void();
    given.ok(&void);
    let second = |given: &mut Given, who: &str| {
        given.contract = given.world.name(who, &new_contract(&given.home, &given.elder));
        for signer in [given.home.clone(), given.elder.clone()] {
            let sign = given.sign(&signer);
            given.world.ok(who, &sign);
        }
    };
    let first = given.contract.clone();
    second(&mut given, HEBEI);
    let refused = given.world.run(HEBEI, &given.file()).unwrap_err();
    assert_eq!((refused.reason, refused.field.as_deref()), (FilingNumberTaken, Some("filing_number")));
    assert!(refused.message_en().contains(first.as_str()));
    // Another registrar counts for itself.
    second(&mut given, BEIJING);
    let file = given.file();
    given.world.ok(BEIJING, &file);
    assert_eq!(given.world.sim.all::<FilingRow>().len(), 2);
}

#[test]
fn activation_lies_within_the_term() {
    let mut given = Given::reach(ContractState::Filed);
    for outside in ["2025-12-31", "2027-01-01"] {
        let activate = ActivateContract { effective_on: date(outside), ..given.activate() };
        assert_eq!(given.world.refused(HEBEI, &activate), (Reason::FieldOutOfRange, Some("effective_on".into())));
    }
}

#[test]
fn an_amendment_brings_terms_signatures_and_evidence_anew() {
    let mut given = Given::reach(ContractState::Active);
    let with = |change: &dyn Fn(&mut AmendContract)| -> Box<dyn Command> {
        let mut command = given.amend();
        change(&mut command);
        Box::new(command)
    };
    let filed = |number: Option<&'static str>| {
        with(&move |a| {
            a.evidence = ContractEvidence::OnlineFiled;
            a.filing_number = number.map(Into::into);
        })
    };
    let text = |sha256| with(&move |a| a.terms.documents[0].sha256 = sha256);
    use Reason::*;
    let cases: Vec<Case> = vec![
        ("not the registrar", BEIJING, with(&|_| {}), NotYourRecord, "contract"),
        ("seen another", HEBEI, with(&|a| a.expected_version = 1), StateNotAllowed, "expected_version"),
        ("no reason", HEBEI, with(&|a| a.reason.clear()), FieldMissing, "reason"),
        ("before it began", HEBEI, with(&|a| a.effective_on = date("2026-01-31")), DateOrder, "effective_on"),
        ("ends before it counts", HEBEI, with(&|a| a.terms.ends_on = date("2026-06-09")), DateOrder, "ends_on"),
        (
            "counts from a day to come",
            HEBEI,
            with(&|a| a.effective_on = date("2026-06-11")),
            FieldOutOfRange,
            "effective_on",
        ),
        ("over the cap", HEBEI, with(&|a| a.terms.fees.prepaid_months = 13), CapExceeded, "fees.prepaid_months"),
        ("no guardian", HEBEI, with(&|a| a.terms.capacity = Capacity::None), GuardianMissing, "parties"),
        ("not signed", HEBEI, with(&|a| a.signatures.clear()), SignatureMissing, "signatures"),
        ("signed by one", HEBEI, with(&|a| drop(a.signatures.pop())), SignatureMissing, "signatures"),
        (
            "signed twice",
            HEBEI,
            with(&|a| a.signatures = vec![a.signatures[0].clone(); 2]),
            FieldRepeated,
            "signatures",
        ),
        ("the old text signed", HEBEI, text(digest(5)), DigestMismatch, "signatures[0].document_sha256"),
        ("no evidence", HEBEI, with(&|a| a.evidence = ContractEvidence::None), EnumUnspecified, "evidence"),
        ("no number", HEBEI, filed(None), FieldMissing, "filing_number"),
    ];
    let mut amend = given.amend();
    amend.terms.fees.nursing_fee_fen = 200_000;
    amend.terms.ends_on = date("2027-12-31");
    amend.evidence = ContractEvidence::OnlineFiled;
    amend.filing_number = Some("冀-0001-补".into());
    amend.expected_version = given.row().version;
    given.world.refuses(cases);

    given.ok(&amend);
    let row = given.row();
    assert_eq!((row.state, row.nursing_fee_fen), (ContractState::Active, 200_000));
    assert_eq!((row.effective_on, row.activated_on), (date("2026-06-10"), Some(date("2026-02-01"))));
    assert!(row.in_force_on(date("2026-03-01")) && row.in_force_on(date("2027-12-31")));
    // Its own number may serve again, and is written down once.
    let again = AmendContract { expected_version: 0, ..amend };
    given.ok(&again);
    let numbers: Vec<_> = given.world.sim.all::<FilingRow>().into_iter().map(|f| f.filing_number).collect();
    assert_eq!(numbers, ["冀-0001", "冀-0001-补"]);
}

#[test]
fn an_end_may_be_dated_back_but_not_out_of_the_term() {
    let mut given = Given::reach(ContractState::Active);
    given.world.now = given.world.now.plus_us(30 * DAY_US);
    let (early, late) = (given.terminate("2026-01-31"), given.terminate("2027-01-01"));
    given.world.refuses(vec![
        ("before it began", HEBEI, Box::new(early), Reason::DateOrder, "ended_on"),
        ("after it ends", HEBEI, Box::new(late), Reason::FieldOutOfRange, "ended_on"),
    ]);
    let back = given.terminate("2026-04-01");
    given.ok(&back);
    let row = given.row();
    assert_eq!((row.effective_on, row.recorded_at_us), (date("2026-04-01"), given.world.now));
    assert!(row.in_force_on(date("2026-03-31")) && !row.in_force_on(date("2026-04-01")));
    assert!(!row.in_force_within(date("2026-04-01"), date("2026-12-31")));
    // Void, it never was in force.
    let void = given.void();
    given.ok(&void);
    assert!(!given.row().in_force_on(date("2026-03-31")));
    assert_eq!(given.row().document_number, "冀民〔2026〕1号");
}

#[test]
fn voiding_needs_a_reason() {
    let mut given = Given::draft();
    let (bare, long) = (
        VoidContract { reason: String::new(), ..given.void() },
        VoidContract { document_number: "1".repeat(101), ..given.void() },
    );
    given.world.refuses(vec![
        ("no reason", HEBEI, Box::new(bare), Reason::FieldMissing, "reason"),
        ("long number", HEBEI, Box::new(long), Reason::FieldTooLong, "document_number"),
    ]);
}

/// A May bill paid on 20 May, standing on the contract: what a change makes of it.
#[test]
fn payments_on_a_contract_that_ended_or_was_void_surface() {
    use crate::payment::PaymentState::{Confirmed, Reserved};
    let paid = [(BreakClass::PaidAfterRevocation, 60_000)];
    let cases: [(&str, &dyn Fn(&Given) -> Box<dyn Command>, _, &[_]); 7] = [
        ("ended in April", &|g| Box::new(g.terminate("2026-04-15")), Confirmed, &paid),
        ("ended on 1 May", &|g| Box::new(g.terminate("2026-05-01")), Confirmed, &paid),
        // A bill of a month in which it was in force may be paid after its end.
        ("ended in May", &|g| Box::new(g.terminate("2026-05-02")), Confirmed, &[]),
        ("ends later", &|g| Box::new(g.terminate("2026-08-01")), Confirmed, &[]),
        ("void", &|g| Box::new(g.void()), Confirmed, &paid),
        // Judged by the run of its clearing date, if it is ever confirmed.
        ("void, still reserved", &|g| Box::new(g.void()), Reserved, &[]),
        ("amended", &|g| Box::new(g.amend()), Confirmed, &[]),
    ];
    for (title, change, state, expected) in cases {
        let mut given = Given::reach(ContractState::Active);
        let bill = given.world.bill(&given.home.clone(), &given.elder.clone(), &given.contract.clone());
        let version = given.row().version;
        let payment = given.world.pays(&bill, (&given.contract.clone(), version), "2026-05-20", state);
        let decision = given.world.ok(HEBEI, &*change(&given));
        let found: Vec<_> = given.world.breaks().into_iter().map(|(class, _, fen)| (class, fen)).collect();
        assert_eq!(found, expected, "{title}");
        if let Some(leaf) = decision.leaves.get(1) {
            assert_eq!((leaf.kind, leaf.by_gateway), ("break.opened", true));
            assert_eq!(given.world.breaks()[0].1, payment.payment);
            // Judged once more, it is found once.
            if title != "void" {
                let void = given.void();
                assert_eq!(given.world.ok(HEBEI, &void).leaves.len(), 1, "{title}");
            }
        }
        assert_eq!(given.world.sim.get::<PaymentRow>(key![payment.payment.clone()]).unwrap(), payment);
    }
}
