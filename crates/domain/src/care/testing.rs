//! A world for tests: three regions, a channel, two administrators of the gateway and two
//! of each region, all enrolled by real commands.

use crate::care::bill::{BillRow, FeeType, NewLine, PublishBill};
use crate::care::contract::{
    ActivateContract, AttestContract, Capacity, CreateContract, Document, DocumentKind, Fees, Party, PartyRole,
    SignContract, SignatureEvidence, SignatureMethod, Terms,
};
use crate::decision::{Call, Command, Decision};
use crate::id::Digest;
use crate::institution::{InstitutionKind, RegisterInstitution};
use crate::key;
use crate::names::{Actor, Name, Participant, RequestId};
use crate::participant::{AddAdministrator, CreateParticipant, FoundGateway, KeyConfirmation, NewAuthority, NewKey};
use crate::payment::{Origin, PaymentRow, PaymentState, StandsOn};
use crate::person::{IdentifierKind, NewIdentifier, NewPerson, RegisterElder, RegisterParty};
use crate::recon::{BreakClass, BreakRow};
use crate::rejection::{Reason, Rejection};
use crate::sim::Sim;
use crate::time::{DAY_US, Date, HOUR_US, Timestamp};
use crate::value::Json;

pub const HEBEI_HOME: &str = "52131082XXXX00043X";
pub const BEIJING_HOME: &str = "52110108XXXX00019Q";

pub fn date(text: &str) -> Date {
    text.parse().unwrap()
}

/// A made-up digest.
pub fn digest(n: u8) -> Digest {
    Digest::from_bytes([n; 32])
}

pub fn actor(text: &str) -> Actor {
    text.parse().unwrap()
}

/// A case that is refused: its title, who asks, what, with which reason and field (empty: none).
pub type Case<'a> = (&'a str, &'a str, Box<dyn Command>, Reason, &'a str);

/// What a refusal says: reason and field.
pub type Refusal = (Reason, Option<String>);

#[derive(Clone)]
pub struct World {
    pub sim: Sim,
    pub now: Timestamp,
    calls: u64,
}

impl World {
    /// On 10 June 2026 at ten in the morning.
    pub fn new() -> Self {
        let now = date("2026-06-10").starts_at().plus_us(10 * HOUR_US);
        let mut world = Self { sim: Sim::default(), now, calls: 0 };
        let call = world.call("gateway");
        world.sim = Sim::with_defaults(&call);
        let administrators = ["a", "b"].map(|id| new_admin(&format!("gateway/admins/{id}"))).into();
        world.ok(
            "gateway",
            &FoundGateway {
                display_name: "网关".into(),
                authority: authority("gateway", now),
                first_key: new_key("gateway"),
                administrators,
            },
        );
        for name in ["regions/110000", "regions/120000", "regions/130000", "channels/unionpay"] {
            world.ok("gateway/admins/a", &new_participant(name, now));
        }
        for region in ["regions/110000", "regions/120000", "regions/130000"] {
            world.ok(region, &new_admin(&format!("{region}/admins/li")));
            world.ok(&format!("{region}/admins/li"), &new_admin(&format!("{region}/admins/wang")));
        }
        world
    }

    /// The next call of an actor, under an id of its own.
    pub fn call(&mut self, who: &str) -> Call {
        self.calls += 1;
        let mut random = [0; 10];
        random[2..].copy_from_slice(&self.calls.to_be_bytes());
        let uuid = uuid::Builder::from_unix_timestamp_millis(self.now.0 as u64 / 1_000, &random).into_uuid();
        Call { actor: actor(who), request_id: RequestId::new(uuid).unwrap(), now: self.now, lane: 0 }
    }

    pub fn run(&mut self, who: &str, command: &dyn Command) -> Result<Decision, Rejection> {
        let call = self.call(who);
        self.sim.execute(&call, command)
    }

    /// Runs what must be accepted.
    pub fn ok(&mut self, who: &str, command: &dyn Command) -> Decision {
        self.run(who, command).unwrap_or_else(|refused| panic!("{who}: {refused} ({:?})", refused.field))
    }

    /// Runs what must be accepted and names what it made or changed.
    pub fn name(&mut self, who: &str, command: &dyn Command) -> Name {
        self.ok(who, command).leaves[0].record.parse().unwrap()
    }

    /// Runs what must be refused: and then changes nothing.
    pub fn refused(&mut self, who: &str, command: &dyn Command) -> Refusal {
        let before = self.sim.decisions.len();
        let refused = self.run(who, command).expect_err("must be refused");
        assert_eq!(self.sim.decisions.len(), before);
        for variable in refused.reason.template_en().split('{').skip(1).map(|rest| rest.split('}').next().unwrap()) {
            let given = refused.vars.iter().any(|(name, _)| *name == variable);
            assert!(given || (variable == "field" && refused.field.is_some()), "{refused}: {variable} is not given");
        }
        (refused.reason, refused.field)
    }

    /// Runs each refused case on the same world.
    pub fn refuses(&mut self, cases: Vec<Case>) {
        for (title, who, command, reason, field) in cases {
            let field = (!field.is_empty()).then(|| field.to_owned());
            assert_eq!(self.refused(who, &*command), (reason, field), "{title}");
        }
    }

    pub fn today(&self) -> Date {
        self.now.date()
    }

    /// An elder of Haidian, Beijing.
    pub fn elder(&mut self) -> Name {
        let person = new_person(&format!("elder-{}", self.calls));
        self.name("regions/110000", &RegisterElder { household_division: "110108".parse().unwrap(), person })
    }

    pub fn party(&mut self) -> Name {
        let person = new_person(&format!("party-{}", self.calls));
        self.name("regions/110000", &RegisterParty { person })
    }

    /// A home in Sanhe, Hebei.
    pub fn home(&mut self) -> Name {
        self.name("regions/130000", &new_institution(HEBEI_HOME, "131082"))
    }

    /// An active contract between the two, attested by Beijing.
    pub fn contract(&mut self, institution: &Name, elder: &Name) -> Name {
        let who = "regions/110000";
        let contract = self.name(who, &new_contract(institution, elder));
        for signer in [institution, elder] {
            self.ok(who, &SignContract { contract: contract.clone(), signature: signature(signer, self.now) });
        }
        let attested_on = self.today();
        self.ok(who, &AttestContract { contract: contract.clone(), attested_on, attester: "海淀区民政局".into() });
        self.ok(who, &ActivateContract { contract: contract.clone(), effective_on: date("2026-01-01") });
        contract
    }

    /// A bill of May: 3,000 yuan of bed and 1,500 of nursing fees.
    pub fn bill(&mut self, institution: &Name, elder: &Name, contract: &Name) -> Name {
        self.name("regions/130000", &new_bill(institution, elder, contract))
    }

    /// As if 600 yuan of the bill's bed fee had been paid on a day, standing on a record's version.
    pub fn pays(&mut self, bill: &Name, stands_on: (&Name, i64), paid_on: &str, state: PaymentState) -> PaymentRow {
        let bill: BillRow = self.sim.get(key![bill.clone()]).unwrap();
        self.calls += 1;
        let row = PaymentRow {
            payment: format!("payments/{}", self.calls),
            origin: Origin::Authorised,
            channel: "channels/unionpay".parse().unwrap(),
            merchant_id: String::new(),
            order_id: format!("order{}", self.calls),
            person: bill.person,
            contract: bill.contract,
            bill: bill.bill,
            fee_type: FeeType::Bed,
            institution: bill.institution,
            institution_region: bill.institution_region,
            region: bill.household_region,
            programme: "care_subsidy".into(),
            amount_fen: 60_000,
            state,
            transaction_time_us: date(paid_on).starts_at(),
            clearing_date: date(paid_on),
            authorised_on: date(paid_on),
            mandate: None,
            stands_on: Json(vec![StandsOn { record: stands_on.0.to_string(), version: stands_on.1 }]),
            unmet: Json(Vec::new()),
            consent_sha256: None,
            refunded_fen: 0,
            kept_fen: 0,
            matched_by: None,
            reason: String::new(),
            recorded_at_us: self.now,
            version: 2,
        };
        self.sim.given(&row);
        row
    }

    /// The open breaks: class, subject, amount.
    pub fn breaks(&self) -> Vec<(BreakClass, String, i64)> {
        self.sim.all::<BreakRow>().into_iter().map(|b| (b.class, b.subject, b.amount_fen)).collect()
    }
}

pub fn authority(of: &str, now: Timestamp) -> NewAuthority {
    NewAuthority {
        fingerprint: format!("fingerprint of {of}"),
        certificate_pem: format!("certificate of {of}"),
        not_before_us: now,
        not_after_us: now.plus_us(365 * DAY_US),
    }
}

pub fn new_key(of: &str) -> NewKey {
    NewKey { kid: format!("kid of {of}"), jwk: format!("jwk of {of}"), fingerprint: format!("kid of {of}") }
}

pub fn new_admin(name: &str) -> AddAdministrator {
    AddAdministrator { name: actor(name), display_name: "管理员".into(), first_key: new_key(name) }
}

/// As one administrator of the gateway enrols it with the other's confirmation.
pub fn new_participant(name: &str, now: Timestamp) -> CreateParticipant {
    let participant: Participant = name.parse().unwrap();
    let confirmation =
        KeyConfirmation { administrator: actor("gateway/admins/b"), kid: new_key("gateway/admins/b").kid };
    CreateParticipant {
        kind: participant.kind(),
        name: participant,
        display_name: name.into(),
        authority: authority(name, now),
        first_key: new_key(name),
        confirmations: vec![confirmation],
    }
}

pub fn identifier(kind: IdentifierKind, who: &str) -> NewIdentifier {
    NewIdentifier { kind, lookup_hash: format!("hash of {who}"), ciphertext: format!("sealed {who}") }
}

pub fn new_person(who: &str) -> NewPerson {
    NewPerson {
        identifiers: vec![identifier(IdentifierKind::ResidentId, who)],
        ciphertext: format!("sealed data of {who}"),
        wrapped_key: format!("wrapped key of {who}"),
        salt: format!("salt of {who}"),
    }
}

pub fn new_institution(uscc: &str, division: &str) -> RegisterInstitution {
    RegisterInstitution {
        uscc: uscc.parse().unwrap(),
        display_name: "颐养院".into(),
        kind: InstitutionKind::CareInstitution,
        division: division.parse().unwrap(),
        beds: 300,
        residents: 210,
    }
}

pub fn party(name: &Name, roles: &[PartyRole]) -> Party {
    Party { party: name.clone(), roles: roles.into() }
}

/// A contract of 2026 at 4,500 yuan a month, deposit and prepayment within every cap.
pub fn new_contract(institution: &Name, elder: &Name) -> CreateContract {
    let fees = Fees {
        bed_fee_fen: 300_000,
        nursing_fee_fen: 150_000,
        deposit_fen: 1_000_000,
        prepaid_months: 3,
        ..Fees::default()
    };
    let text = Document { kind: DocumentKind::ContractText, sha256: digest(1), sm3: Some(digest(2)), size_bytes: 1 };
    CreateContract {
        institution: institution.clone(),
        elder: elder.clone(),
        starts_on: date("2026-01-01"),
        terms: Terms {
            parties: vec![party(institution, &[PartyRole::Institution]), party(elder, &[PartyRole::Elder])],
            capacity: Capacity::Full,
            fees,
            ends_on: date("2026-12-31"),
            documents: vec![text],
        },
    }
}

/// By hand, on the text of [`new_contract`].
pub fn signature(signer: &Name, at: Timestamp) -> SignatureEvidence {
    SignatureEvidence {
        signer: signer.clone(),
        method: SignatureMethod::Handwritten,
        document_sha256: digest(1),
        signed_at_us: at,
        certificate_sha256: None,
        certificate_issuer: None,
        signature_sha256: None,
        timestamp_sha256: None,
    }
}

pub fn line(fee_type: FeeType, due_fen: i64, paid_elsewhere_fen: i64) -> NewLine {
    NewLine { fee_type, due_fen, paid_elsewhere_fen }
}

pub fn new_bill(institution: &Name, elder: &Name, contract: &Name) -> PublishBill {
    PublishBill {
        institution: institution.clone(),
        elder: elder.clone(),
        contract: contract.clone(),
        stay: None,
        month: "2026-05".parse().unwrap(),
        lines: vec![line(FeeType::Bed, 300_000, 0), line(FeeType::Nursing, 150_000, 0)],
        bill_number: "2026-05/17".into(),
    }
}
