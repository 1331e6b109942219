//! Setting and reading policy.

use jjj_tests::both_databases;
use jjj_tests::postgres::TestDatabase;
use jjj_wire::pb;
use prost::Message;

use crate::harness::{World, reason};

const SET: &str = "/jjj.gateway.v1.PolicyService/SetPolicy";
const GET: &str = "/jjj.gateway.v1.PolicyService/GetPolicy";
const LIST: &str = "/jjj.gateway.v1.PolicyService/ListPolicies";
const VERSIONS: &str = "/jjj.gateway.v1.PolicyService/ListPolicyVersions";

both_databases!(policy_is_set_by_whom_it_belongs_to_and_read_by_all,);

async fn policy_is_set_by_whom_it_belongs_to_and_read_by_all(database: TestDatabase) {
    let mut world = World::start(database).await;
    let mut wanted = pb::SetPolicyRequest {
        request_id: jjj_server::bootstrap::fresh_id(&world.clock).to_string(),
        kind: "settlement_account".into(),
        scope: "default".into(),
        effective_from: world.clock.now().date().to_string(),
        body: r#"{"cooling_off_hours": 48}"#.into(),
        reason: "shorter".into(),
    };
    let refused = world.hebei_admin.call(SET, &wanted.encode_to_vec(), world.now_s()).await.unwrap_err();
    assert_eq!(reason(&refused), "NOT_YOUR_RECORD");
    let refused = world.hebei.call(SET, &wanted.encode_to_vec(), world.now_s()).await.unwrap_err();
    assert_eq!(reason(&refused), "ROLE_NOT_ALLOWED");
    let answer = world.gateway_admin.call(SET, &wanted.encode_to_vec(), world.now_s()).await.unwrap();
    let policy = pb::SetPolicyResponse::decode(answer).unwrap().policy.unwrap();
    assert_eq!((policy.author.as_str(), policy.version), ("gateway/admins/li", 2));

    wanted.request_id = jjj_server::bootstrap::fresh_id(&world.clock).to_string();
    wanted.body = r#"{"grace": 1}"#.into();
    let refused = world.gateway_admin.call(SET, &wanted.encode_to_vec(), world.now_s()).await.unwrap_err();
    assert_eq!(reason(&refused), "POLICY_BODY_INVALID");

    let name = "policies/settlement_account/default".to_owned();
    let get = pb::GetPolicyRequest { name: name.clone(), as_of: String::new() }.encode_to_vec();
    let read = pb::Policy::decode(world.unionpay.call(GET, &get, world.now_s()).await.unwrap()).unwrap();
    assert_eq!(read, policy);

    let mut list = pb::ListPoliciesRequest { page_size: 7, ..Default::default() };
    let mut names = Vec::new();
    loop {
        let page = world.beijing.call(LIST, &list.encode_to_vec(), world.now_s()).await.unwrap();
        let page = pb::ListPoliciesResponse::decode(page).unwrap();
        names.extend(page.policies.into_iter().map(|p| p.name));
        if page.next_page_token.is_empty() {
            break;
        }
        list.page_token = page.next_page_token;
    }
    let distinct: std::collections::BTreeSet<&String> = names.iter().collect();
    assert_eq!(distinct.len(), names.len(), "one version of each is in force");
    assert!(names.contains(&name));

    let versions = pb::ListPolicyVersionsRequest { name, ..Default::default() }.encode_to_vec();
    let page = world.beijing.call(VERSIONS, &versions, world.now_s()).await.unwrap();
    let versions: Vec<i64> =
        pb::ListPolicyVersionsResponse::decode(page).unwrap().policies.iter().map(|p| p.version).collect();
    assert_eq!(versions, [2, 1]);
    let mut one = pb::ListPolicyVersionsRequest { name: read.name, page_size: 1, ..Default::default() };
    for version in [2, 1] {
        let page = world.beijing.call(VERSIONS, &one.encode_to_vec(), world.now_s()).await.unwrap();
        let page = pb::ListPolicyVersionsResponse::decode(page).unwrap();
        assert_eq!(page.policies.iter().map(|p| p.version).collect::<Vec<_>>(), [version], "newest first");
        one.page_token = page.next_page_token;
    }
    assert!(one.page_token.is_empty());
    world.stop().await;
}
