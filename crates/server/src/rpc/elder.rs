//! Persons: register, amend, merge, erase, find, read. Personal data is sealed before it becomes
//! part of a command ([`crate::privacy`]); a read of it is recorded before it is answered.

use std::sync::Arc;

use jjj_domain::key;
use jjj_domain::names::{Collection, Name};
use jjj_domain::person::{
    AddIdentifier, AmendElder, AmendParty, ErasePerson, FindElder, MergePersons, PersonKeyRow, PersonKind, PersonRow,
    ReadPersonalData, Reader, RecordDeath, RegisterElder, RegisterParty, sealed,
};
use jjj_domain::rejection::{Reason, Rejection};
use jjj_domain::row::{Row, StoredFault};
use jjj_domain::time::Date;
use jjj_domain::value::Column;
use jjj_store::{Condition, Op};
use jjj_token::seal::DataKey;
use jjj_wire::elder::{ClearAddition, ClearElder, ClearElderAmendment, ClearPartyAmendment, ClearPerson, identifier};
use jjj_wire::pb;
use jjj_wire::pb::elder_service_server::ElderService;
use tonic::{Request, Response, Status};

use super::fields;
use super::filter::{Field, Filter};
use super::page::Paging;
use super::read::{Sees, failed, get, refuse};
use super::search::{equals, is, search};
use super::stay::covering;
use super::support::{Asked, Mutation, Parsed, batch, caller, command, mutate};
use crate::disclosure;
use crate::engine::{LeafView, SealedFor};
use crate::gateway::Gateway;
use crate::identity::Caller;
use crate::privacy::{self, KeyGone, system_random};
use crate::status::Refused;

pub struct ElderApi(pub Arc<Gateway>);

const FILTER: &[Field] = &[
    ("region", Some("region")),
    ("household_region", Some("household_region")),
    ("household_division", Some("household_division")),
    ("state", Some("state")),
    ("died_on", Some("died_on")),
    ("institution", None),
    ("institution_region", None),
];

#[tonic::async_trait]
impl ElderService for ElderApi {
    async fn register_elder(
        &self,
        request: Request<pb::RegisterElderRequest>,
    ) -> Result<Response<pb::RegisterElderResponse>, Status> {
        mutate(&self.0, request, parse_elder, elder_registered).await
    }

    async fn batch_register_elders(
        &self,
        request: Request<pb::BatchMutateRequest>,
    ) -> Result<Response<pb::BatchMutateResponse>, Status> {
        batch(&self.0, request, parse_elder, elder_registered).await
    }

    async fn add_identifier(
        &self,
        request: Request<pb::AddIdentifierRequest>,
    ) -> Result<Response<pb::AddIdentifierResponse>, Status> {
        let clear = ClearAddition::try_from(request.get_ref()).map_err(refuse)?;
        let key = self.key_of(&clear.elder).await?;
        let parse = |_: &_, asked: &Asked<'_>| {
            let Some(key) = &key else { return key_gone("elder", &clear.elder) };
            let master = &asked.gateway.keys.master;
            let identifier = privacy::seal_identifier(master, key, &clear.elder, &clear.identifier, &mut system_random);
            let command = AddIdentifier { elder: clear.elder.clone(), identifier };
            Ok(Mutation::new(command).sealed_for(SealedFor::Known { person: clear.elder.to_string() }))
        };
        mutate(&self.0, request, parse, |leaf, receipt| {
            Ok(pb::AddIdentifierResponse { elder: Some(elder(leaf)?), receipt: Some(receipt) })
        })
        .await
    }

    async fn amend_elder(
        &self,
        request: Request<pb::AmendElderRequest>,
    ) -> Result<Response<pb::AmendElderResponse>, Status> {
        let clear = ClearElderAmendment::try_from(request.get_ref()).map_err(refuse)?;
        let key = self.key_of(&clear.elder).await?;
        let parse = |_: &_, _: &Asked<'_>| {
            let Some(key) = &key else { return key_gone("elder", &clear.elder) };
            let command = AmendElder {
                elder: clear.elder.clone(),
                expected_version: clear.expected_version,
                household_division: clear.household_division,
                ciphertext: privacy::seal_data(key, &clear.elder, &clear.data, &mut system_random),
            };
            Ok(Mutation::new(command).sealed_for(SealedFor::Known { person: clear.elder.to_string() }))
        };
        mutate(&self.0, request, parse, |leaf, receipt| {
            Ok(pb::AmendElderResponse { elder: Some(elder(leaf)?), receipt: Some(receipt) })
        })
        .await
    }

    async fn merge_elders(
        &self,
        request: Request<pb::MergeEldersRequest>,
    ) -> Result<Response<pb::MergeEldersResponse>, Status> {
        mutate(&self.0, request, command::<_, MergePersons>, |leaf, receipt| {
            Ok(pb::MergeEldersResponse { elder: Some(elder(leaf)?), receipt: Some(receipt) })
        })
        .await
    }

    async fn record_death(
        &self,
        request: Request<pb::RecordDeathRequest>,
    ) -> Result<Response<pb::RecordDeathResponse>, Status> {
        mutate(&self.0, request, command::<_, RecordDeath>, |leaf, receipt| {
            Ok(pb::RecordDeathResponse { elder: Some(elder(leaf)?), receipt: Some(receipt) })
        })
        .await
    }

    async fn erase_elder(
        &self,
        request: Request<pb::EraseElderRequest>,
    ) -> Result<Response<pb::EraseElderResponse>, Status> {
        mutate(&self.0, request, command::<_, ErasePerson>, |leaf, receipt| {
            Ok(pb::EraseElderResponse { elder: Some(elder(leaf)?), receipt: Some(receipt) })
        })
        .await
    }

    async fn find_elder(&self, request: Request<pb::FindElderRequest>) -> Result<Response<pb::Elder>, Status> {
        let caller = caller(&request)?;
        let q = request.get_ref();
        let asked = q.identifier.as_ref().ok_or_else(|| refuse(Reason::FieldMissing.field("identifier")))?;
        let asked = identifier("identifier", asked).map_err(refuse)?;
        let reader = reader(&caller, &q.purpose).map_err(refuse)?;
        let lookup_hash = privacy::lookup_hash(&self.0.keys.master, &asked);
        let access = disclosure::record(&self.0, &caller, FindElder { lookup_hash, reader }).await?;
        let row: PersonRow = get(&self.0, &caller, key![access.person.clone()], &access.person, Sees::Everyone).await?;
        Ok(Response::new(pb::Elder::from(&row)))
    }

    async fn get_elder(&self, request: Request<pb::GetElderRequest>) -> Result<Response<pb::Elder>, Status> {
        let caller = caller(&request)?;
        let name = fields::name("name", &request.get_ref().name, &[Collection::Elder]).map_err(refuse)?;
        let row: PersonRow = get(&self.0, &caller, key![name.to_string()], name.as_str(), Sees::Everyone).await?;
        Ok(Response::new(pb::Elder::from(&row)))
    }

    async fn list_elders(
        &self,
        request: Request<pb::ListEldersRequest>,
    ) -> Result<Response<pb::ListEldersResponse>, Status> {
        let caller = caller(&request)?;
        let q = request.get_ref();
        let mut filter = Filter::parse(&q.filter, FILTER).map_err(refuse)?;
        let conditions = conditions(&mut filter, self.0.clock.now().date()).map_err(refuse)?;
        let mut predicates = filter.predicates(PersonRow::spec()).map_err(refuse)?;
        predicates.push(("kind", Op::Eq, PersonKind::Elder.to_value()));
        let paging = Paging::new(caller.method.path, &q.filter, q.page_size, &q.page_token).map_err(refuse)?;
        let (rows, next_page_token): (Vec<PersonRow>, _) =
            search(&self.0, &caller, predicates, &conditions, &paging, Sees::Everyone).await?;
        let elders = rows.iter().map(pb::Elder::from).collect();
        Ok(Response::new(pb::ListEldersResponse { elders, next_page_token }))
    }

    async fn read_personal_data(
        &self,
        request: Request<pb::ReadPersonalDataRequest>,
    ) -> Result<Response<pb::PersonalDataRecord>, Status> {
        let caller = caller(&request)?;
        let q = request.get_ref();
        let person = fields::name("name", &q.name, &[Collection::Elder, Collection::Party]).map_err(refuse)?;
        let reader = reader(&caller, &q.purpose).map_err(refuse)?;
        let access = disclosure::record(&self.0, &caller, ReadPersonalData { person, reader }).await?;
        let person = access.person;
        let sealed = self.0.engine.read(|snapshot, _| sealed(snapshot, &person)).await?;
        // Erased since the reading was recorded.
        let gone = || refuse(Reason::PersonErased.field("name").var("name", &person));
        let opened = privacy::open(&self.0.keys.master, &sealed.ok_or_else(gone)?);
        let (identifiers, data) = opened.map_err(|error| Refused::internal("opening personal data", &error))?;
        Ok(Response::new(pb::PersonalDataRecord {
            name: person,
            identifiers,
            personal_data: Some(data),
            audit_record: access.access,
        }))
    }

    async fn register_party(
        &self,
        request: Request<pb::RegisterPartyRequest>,
    ) -> Result<Response<pb::RegisterPartyResponse>, Status> {
        mutate(&self.0, request, parse_party, party_registered).await
    }

    async fn batch_register_parties(
        &self,
        request: Request<pb::BatchMutateRequest>,
    ) -> Result<Response<pb::BatchMutateResponse>, Status> {
        batch(&self.0, request, parse_party, party_registered).await
    }

    async fn amend_party(
        &self,
        request: Request<pb::AmendPartyRequest>,
    ) -> Result<Response<pb::AmendPartyResponse>, Status> {
        let clear = ClearPartyAmendment::try_from(request.get_ref()).map_err(refuse)?;
        let key = self.key_of(&clear.party).await?;
        let parse = |_: &_, asked: &Asked<'_>| {
            let Some(key) = &key else { return key_gone("party", &clear.party) };
            let master = &asked.gateway.keys.master;
            let identifiers = clear.person.identifiers.iter();
            let command = AmendParty {
                party: clear.party.clone(),
                identifiers: identifiers
                    .map(|id| privacy::seal_identifier(master, key, &clear.party, id, &mut system_random))
                    .collect(),
                ciphertext: privacy::seal_data(key, &clear.party, &clear.person.data, &mut system_random),
            };
            Ok(Mutation::new(command).sealed_for(SealedFor::Known { person: clear.party.to_string() }))
        };
        mutate(&self.0, request, parse, |leaf, receipt| {
            Ok(pb::AmendPartyResponse { party: Some(party(leaf)?), receipt: Some(receipt) })
        })
        .await
    }

    async fn erase_party(
        &self,
        request: Request<pb::ErasePartyRequest>,
    ) -> Result<Response<pb::ErasePartyResponse>, Status> {
        mutate(&self.0, request, command::<_, ErasePerson>, |leaf, receipt| {
            Ok(pb::ErasePartyResponse { party: Some(party(leaf)?), receipt: Some(receipt) })
        })
        .await
    }

    async fn get_party(&self, request: Request<pb::GetPartyRequest>) -> Result<Response<pb::Party>, Status> {
        let caller = caller(&request)?;
        let name = fields::name("name", &request.get_ref().name, &[Collection::Party]).map_err(refuse)?;
        let row: PersonRow = get(&self.0, &caller, key![name.to_string()], name.as_str(), Sees::Everyone).await?;
        Ok(Response::new(pb::Party::from(&row)))
    }
}

impl ElderApi {
    /// The key of a known person; `None` for a name nobody bears, and for one who is erased.
    async fn key_of(&self, person: &Name) -> Result<Option<DataKey>, Status> {
        let mut session = self.0.store.read().await.map_err(failed)?;
        let row: Option<PersonKeyRow> = session.get(key![person.to_string()]).await.map_err(failed)?;
        let opened = row.map(|row| privacy::known_key(&self.0.keys.master, &row)).transpose();
        Ok(opened.map_err(|error| Refused::internal("opening a person's key", &error))?)
    }
}

/// What the filter asks of where an elder stays today. Both fields speak of one stay.
fn conditions(filter: &mut Filter, today: Date) -> Result<Vec<Condition>, Rejection> {
    let mut that = Vec::new();
    for (field, column) in [("institution", "institution"), ("institution_region", "institution_region")] {
        for asked in filter.take(field) {
            that.push(equals(&asked, is(column, Op::Eq, asked.value.clone()))?);
        }
    }
    if that.is_empty() {
        return Ok(Vec::new());
    }
    that.push(covering(today));
    let spec = jjj_domain::care::stay::StayRow::spec();
    Ok(vec![Condition::Exists { spec, column: "person", equals: "person", that }])
}

fn reader(caller: &Caller, purpose: &str) -> Result<Reader, Rejection> {
    Ok(Reader {
        actor: caller.actor.clone(),
        purpose: fields::required_text("purpose", purpose, 200)?,
        token_digest: caller.token_digest.clone(),
    })
}

fn parse_elder(request: &pb::RegisterElderRequest, asked: &Asked<'_>) -> Parsed {
    let clear = ClearElder::try_from(request)?;
    let name = Name::created(Collection::Elder, asked.request_id);
    let (person, key) = privacy::seal_person(&asked.gateway.keys.master, &name, &clear.person, &mut system_random);
    let command = RegisterElder { household_division: clear.household_division, person };
    Ok(Mutation::new(command).sealed_for(SealedFor::New { person: name.to_string(), key }))
}

fn parse_party(request: &pb::RegisterPartyRequest, asked: &Asked<'_>) -> Parsed {
    let clear = ClearPerson::try_from(request)?;
    let name = Name::created(Collection::Party, asked.request_id);
    let (person, key) = privacy::seal_person(&asked.gateway.keys.master, &name, &clear, &mut system_random);
    Ok(Mutation::new(RegisterParty { person }).sealed_for(SealedFor::New { person: name.to_string(), key }))
}

fn key_gone(field: &'static str, person: &Name) -> Parsed {
    Ok(Mutation::new(KeyGone { field, person: person.clone() }))
}

fn elder_registered(leaf: &LeafView, receipt: pb::Receipt) -> Result<pb::RegisterElderResponse, StoredFault> {
    Ok(pb::RegisterElderResponse { elder: Some(elder(leaf)?), receipt: Some(receipt) })
}

fn party_registered(leaf: &LeafView, receipt: pb::Receipt) -> Result<pb::RegisterPartyResponse, StoredFault> {
    Ok(pb::RegisterPartyResponse { party: Some(party(leaf)?), receipt: Some(receipt) })
}

fn elder(leaf: &LeafView) -> Result<pb::Elder, StoredFault> {
    Ok(pb::Elder::from(&leaf.row::<PersonRow>()?))
}

fn party(leaf: &LeafView) -> Result<pb::Party, StoredFault> {
    Ok(pb::Party::from(&leaf.row::<PersonRow>()?))
}
