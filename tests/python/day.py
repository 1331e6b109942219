"""Plays region and channel through a day against a running gateway.

Usage: day.py SANDBOX ADDRESS ORIGIN PROTO_DIR. Exits non-zero when anything is not as documented.
"""

import datetime
import hashlib
import sys
import time

from jjj_client import Client, Refused, load_protos, uuid7

sandbox, address, origin, proto_dir = sys.argv[1:5]
protos = load_protos(proto_dir)
client = lambda actor: Client(sandbox, actor, address, origin, protos)
beijing, hebei = client("regions/110000"), client("regions/130000")
unionpay = client("channels/unionpay")

SHANGHAI = datetime.timezone(datetime.timedelta(hours=8))
now = datetime.datetime.now(SHANGHAI)
today = now.date().isoformat()
month = today[:7]
first_of_month = f"{month}-01"
last_year, in_two_years = f"{now.year - 1}-01-01", f"{now.year + 1}-12-31"
digest = lambda text: hashlib.sha256(text.encode()).hexdigest()
now_us = lambda: int(time.time() * 1_000_000)


def check_digit_resident(body):
    weights = [7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2]
    return body + "10X98765432"[sum(int(d) * w for d, w in zip(body, weights)) % 11]


# Recognition: Hebei registers and rates an institution; Beijing recognizes at once.
institution = hebei.call(
    "InstitutionService/RegisterInstitution",
    uscc="52131082XXXX00043X", display_name="三河演示养老院", kind=1, division_code="131082", beds=100, residents=40,
).institution.name
rating = hebei.call(
    "RatingService/PublishRating",
    institution=institution, scheme=1, native_grade=4, state=3, document_number="评定-1", decided_by="评定委员会",
    decided_on=last_year, valid_from=last_year, valid_until=in_two_years, reason="等级评定",
).rating.name
recognitions = beijing.call("RecognitionService/ListRecognitions", filter=f'record = "{rating}"').recognitions
assert any(r.recognizer == "regions/110000" for r in recognitions), recognitions
print("recognized by", sorted(r.recognizer for r in recognitions))

# An elder, assessed severe.
elder = beijing.call(
    "ElderService/RegisterElder",
    salt=hashlib.sha256(b"a salt of the client's").digest(), household_division="110108",
    identifiers=[{"kind": 1, "value": check_digit_resident("11010818800101001")}],
    personal_data={"full_name": "演示老人", "birth_date": "1880-01-01", "sex": 1},
).elder.name
assessment = beijing.call(
    "AssessmentService/PublishAssessment",
    elder=elder, standard=1, assessment_reason=1, self_care_score=10, mobility_score=4, mental_state_score=18,
    perception_social_score=6, total_score=38, preliminary_level=3, final_level=3, state=3, document_number="评估-1",
    decided_by="评估机构", decided_on=last_year, valid_from=last_year, valid_until=in_two_years, reason="首次评估",
)
print("assessed", assessment.assessment.name)

# Contract: created, signed twice, filed online, active. The stay.
hebei.call("InstitutionService/SetSigningScope", institution=institution, in_scope=True, effective_on=last_year, document_number="网签-1")
document = digest("contract")
contract = hebei.call(
    "ContractService/CreateContract",
    institution=institution, elder=elder,
    parties=[{"party": institution, "roles": [1]}, {"party": elder, "roles": [2, 4]}], capacity=1,
    fees={"bed_fee_fen": 180000, "nursing_fee_fen": 200000, "meal_fee_fen": 90000, "deposit_fen": 100000, "prepaid_months": 1},
    starts_on=first_of_month, ends_on=in_two_years,
    documents=[{"kind": 1, "sha256": document, "size_bytes": 1000}],
).contract.name
for signer in (institution, elder):
    hebei.call(
        "ContractService/SignContract", contract=contract,
        signature={"signer": signer, "method": 1, "document_sha256": document, "signed_time_us": now_us() - 60_000_000,
                   "certificate_sha256": digest(signer), "certificate_issuer": "CN=CA", "signature_sha256": digest("s" + signer)},
    )
hebei.call("ContractService/FileContract", contract=contract, filing_number="HB-PY-0001", filed_on=today)
hebei.call("ContractService/ActivateContract", contract=contract, effective_on=today)
stay = hebei.call("StayService/AdmitElder", elder=elder, institution=institution, contract=contract, admitted_on=first_of_month).stay.name

# Entitlement: budget, funding, grant, credit.
beijing.call("EntitlementService/AllotBudget", programme="care_subsidy", funder_division="110108", budget_year=now.year, amount_fen=10_000_000, reference="预算")
beijing.call("EntitlementService/FundChannel", programme="care_subsidy", channel="channels/unionpay", amount_fen=10_000_000, reference="预存")
grant = beijing.call("EntitlementService/GrantEntitlement", elder=elder, programme="care_subsidy", month=month, channel="channels/unionpay").grant
assert grant.amount_fen == 60_000, grant
unionpay.call("EntitlementService/ReportCredit", grant=grant.name, outcome=1, amount_fen=60_000)

# The bill, by batch: one token, one root.
bill = hebei.batch(
    "BillService/BatchPublishBills", "BillService/PublishBill",
    [{"institution": institution, "elder": elder, "contract": contract, "stay": stay, "month": month, "bill_number": "B-1",
      "lines": [{"fee_type": 1, "due_fen": 180000}, {"fee_type": 2, "due_fen": 200000}]}],
)[0].bill.name

# Payment: check, a reasoned refusal, authorise, confirm; the whole call again changes nothing.
check = unionpay.call("PaymentService/CheckPayment", bill=bill, fee_type=1, programme="care_subsidy", amount_fen=180000)
assert check.payable_fen == 60_000, check
ask = dict(bill=bill, fee_type=1, programme="care_subsidy", merchant_id="898110000000001", consent_sha256=digest("consent"))
try:
    unionpay.call("PaymentService/AuthorizePayment", amount_fen=60_001, order_id="PYORDER0001", transaction_time_us=now_us(), **ask)
    sys.exit("more than the balance was approved")
except Refused as refused:
    assert refused.reason == "INSUFFICIENT_FUNDS", refused
request_id = uuid7()
request = protos[0]("AuthorizePaymentRequest")(
    request_id=request_id, amount_fen=50_000, order_id="PYORDER0002", transaction_time_us=now_us(), **ask
).SerializeToString()
path = "PaymentService/AuthorizePayment"
answer = unionpay.send(path, request, unionpay.token(f"/jjj.gateway.v1.{path}", [request]))
again = unionpay.send(path, request, unionpay.token(f"/jjj.gateway.v1.{path}", [request]))
assert answer.SerializeToString(deterministic=True) == again.SerializeToString(deterministic=True)
confirmed = unionpay.call("PaymentService/ConfirmPayment", payment=answer.payment.name, amount_fen=50_000)
print("paid", confirmed.payment.name)

# Refused: a token for another path, one bound to other content, an expired one, another's certificate.
body = request
for what, token, reason in [
    ("path", unionpay.token("/jjj.gateway.v1.PaymentService/ConfirmPayment", [body]), "TOKEN_PATH_WRONG"),
    ("content", unionpay.token(f"/jjj.gateway.v1.{path}", [body + b"x"]), "TOKEN_CONTENT_MISMATCH"),
    ("no content", unionpay.token(f"/jjj.gateway.v1.{path}"), "TOKEN_CONTENT_NOT_BOUND"),
    ("expired", unionpay.token(f"/jjj.gateway.v1.{path}", [body], iat=int(time.time()) - 900, exp=int(time.time()) - 800), "TOKEN_EXPIRED"),
    ("certificate", unionpay.token(f"/jjj.gateway.v1.{path}", [body], cnf={"x5t#S256": hebei.certificate_hash}), "TOKEN_CERTIFICATE_NOT_BOUND"),
]:
    try:
        unionpay.send(path, body, token)
        sys.exit(f"a token of the wrong {what} was accepted")
    except Refused as refused:
        assert refused.reason == reason, (what, refused.reason)

# Events: the paying region hears of the payment, in order, behind its cursor.
seen = []
for event in beijing.stream("EventService/StreamEvents", cursor=0, follow=True):
    seen.append((event.cursor, event.kind))
    if event.kind == "payment.confirmed":
        break
assert [c for c, _ in seen] == sorted(c for c, _ in seen)
assert ("payment.authorised" in [k for _, k in seen]) and ("grant.credited" in [k for _, k in seen]), seen
beijing.call("EventService/AcknowledgeEvents", cursor=seen[-1][0])

# The ledger: what was paid stands in clearing; a proof that the payment is in the log.
balance = beijing.call("EntitlementService/GetBalance", elder=elder, region="regions/110000", programme="care_subsidy", channel="channels/unionpay")
assert balance.available_fen == 10_000, balance
for attempt in range(100):  # a leaf is sealed within ten seconds, mostly within one
    try:
        proof = beijing.call("LedgerService/GetInclusionProof", record=confirmed.payment.name, version=2)
        break
    except Refused as refused:
        assert refused.reason == "RECORD_NOT_FOUND", refused
        time.sleep(0.1)
else:
    sys.exit("the payment is not in the log by its deadline")
node = lambda left, right: hashlib.sha256(b"\x01" + left + right).digest()
index, size, root = proof.leaf_index, proof.checkpoint.tree_size - 1, proof.leaf_hash
for sibling in proof.path:  # RFC 9162 section 2.1.3.2
    if index % 2 == 1 or index == size:
        root = node(sibling, root)
        while index % 2 == 0 and index != 0:
            index, size = index >> 1, size >> 1
    else:
        root = node(root, sibling)
    index, size = index >> 1, size >> 1
assert size == 0 and root == proof.checkpoint.root_hash, "the payment is not proven to be in the log"
print("proven in the log at size", proof.checkpoint.tree_size)
