"""Contracts signed, filed and in force; elders admitted; the month billed. All by Hebei, the institutions' region."""

from jjj_client import sha256, text

from .cast import told
from .people import ELDERS

TEXT, SUPPLEMENT = sha256("the contract's text"), sha256("the supplement's text")
FEES = {"bed_fee_fen": 180_000, "nursing_fee_fen": 200_000, "meal_fee_fen": 90_000, "deposit_fen": 300_000, "prepaid_months": 1}
# Who lives in the second institution.
ELSEWHERE = ("blind",)


def play(day):
    day.contracts = {}
    for_all(day)
    with_guardian(day)
    in_error(day)
    stays(day)
    bills(day)


def home_of(day, who):
    return day.second_home if who in ELSEWHERE else day.home


def contract(day, who, parties=None):
    home, elder = home_of(day, who), day.elders[who]
    parties = parties or [
        {"party": home, "roles": ["PARTY_ROLE_INSTITUTION"]},
        {"party": elder, "roles": ["PARTY_ROLE_ELDER", "PARTY_ROLE_PAYMENT_OBLIGOR"]},
    ]
    return {
        "institution": home, "elder": elder, "parties": parties, "capacity": "LEGAL_CAPACITY_FULL", "fees": FEES,
        "starts_on": day.valid_from, "ends_on": day.contract_until, "documents": [document(TEXT)],
    }


def document(digest):
    return {"kind": "CONTRACT_DOCUMENT_KIND_CONTRACT_TEXT", "sha256": digest, "size_bytes": 20_480}


def signature(day, signer, digest=TEXT):
    return {
        "signer": signer, "method": "SIGNATURE_METHOD_ELECTRONIC", "document_sha256": digest,
        "signed_time_us": day.now_us() - 60_000_000, "certificate_sha256": sha256(f"certificate {signer}"),
        "certificate_issuer": "CN=licensed CA", "signature_sha256": sha256(f"signature {signer} {digest}"),
    }


def for_all(day):
    """In bulk: created, signed by both sides, filed online under a number, active."""
    service = lambda method: f"ContractService/{method}"
    bulk = lambda method, single, requests: day.hebei.batch_all(service(method), service(single), requests)
    whos = [who for who in ELDERS if who != "voids"]
    created = bulk("BatchCreateContracts", "CreateContract", [contract(day, who) for who in whos])
    day.contracts = {who: answer.contract.name for who, answer in zip(whos, created)}
    for signers in ({who: home_of(day, who) for who in whos}, {who: day.elders[who] for who in whos}):
        signed = [{"contract": day.contracts[who], "signature": signature(day, signer)} for who, signer in signers.items()]
        bulk("BatchSignContracts", "SignContract", signed)
    numbered = [{"contract": day.contracts[who], "filing_number": f"HB-{n:05}", "filed_on": day.today} for n, who in enumerate(whos)]
    on_paper = numbered.pop()["contract"]
    bulk("BatchFileContracts", "FileContract", numbered)
    bulk("BatchAttestContracts", "AttestContract", [{"contract": on_paper, "attested_on": day.today, "attester": "三河市民政局"}])
    active = [{"contract": day.contracts[who], "effective_on": day.valid_from} for who in whos]
    answers = bulk("BatchActivateContracts", "ActivateContract", active)
    assert all(answer.contract.in_force for answer in answers)


def with_guardian(day):
    """One by one: limited capacity needs a guardian, who signs; later the terms change."""
    who, home, elder = "voids", day.home, day.elders["voids"]
    limited = {**contract(day, who), "capacity": "LEGAL_CAPACITY_LIMITED"}
    day.hebei.refused("GUARDIAN_MISSING", "ContractService/CreateContract", **limited)
    guardian = {"party": day.daughter, "roles": ["PARTY_ROLE_GUARDIAN", "PARTY_ROLE_PAYMENT_OBLIGOR"]}
    parties = [{"party": home, "roles": ["PARTY_ROLE_INSTITUTION"]}, {"party": elder, "roles": ["PARTY_ROLE_ELDER"]}, guardian]
    name = day.hebei.call("ContractService/CreateContract", **{**limited, "parties": parties}).contract.name
    wrong = signature(day, home, sha256("another text"))
    day.hebei.refused("DIGEST_MISMATCH", "ContractService/SignContract", contract=name, signature=wrong)
    signers = [home, elder, day.daughter]
    for signer in signers:
        signed = day.hebei.call("ContractService/SignContract", contract=name, signature=signature(day, signer)).contract
    assert text(signed, "state") == "SIGNED", signed
    day.hebei.call("ContractService/AttestContract", contract=name, attested_on=day.today, attester="三河市民政局")
    day.hebei.call("ContractService/ActivateContract", contract=name, effective_on=day.valid_from)
    amended = day.hebei.call(
        "ContractService/AmendContract",
        contract=name, parties=parties, capacity="LEGAL_CAPACITY_LIMITED", fees={**FEES, "nursing_fee_fen": 210_000},
        ends_on=day.contract_until, documents=[document(SUPPLEMENT)],
        signatures=[signature(day, signer, SUPPLEMENT) for signer in signers],
        evidence="CONTRACT_EVIDENCE_ONLINE_FILED", filing_number="HB-90001", effective_on=day.today, reason="护理费调整",
    ).contract
    assert amended.in_force and amended.fees.nursing_fee_fen == 210_000, amended
    assert len(day.beijing.list("ContractService/ListContractVersions", name=name)) == amended.version
    assert day.beijing.call("ContractService/GetContract", name=name).filing_number == "HB-90001"
    day.contracts[who] = name


def in_error(day):
    """One contract is ended early, another never was valid."""
    for verb, end in (
        ("Terminate", {"termination_reason": "TERMINATION_REASON_AGREEMENT", "ended_on": day.today, "reason": "换房另签"}),
        ("Void", {"reason": "重复签订", "document_number": "废-1"}),
    ):
        name = day.hebei.call("ContractService/CreateContract", **contract(day, "pays")).contract.name
        for signer in (day.home, day.elders["pays"]):
            day.hebei.call("ContractService/SignContract", contract=name, signature=signature(day, signer))
        day.hebei.call("ContractService/FileContract", contract=name, filing_number=f"HB-{verb}", filed_on=day.today)
        day.hebei.call("ContractService/ActivateContract", contract=name, effective_on=day.valid_from)
        day.ma.call(f"ContractService/{verb}Contract", contract=name, **end)
    in_force = day.beijing.list("ContractService/ListContracts", filter='in_force = "true"')
    assert {c.name for c in in_force} == set(day.contracts.values()), in_force


def stays(day):
    admit, end = "StayService/AdmitElder", "StayService/EndStay"
    stay = lambda who: {
        "elder": day.elders[who], "institution": home_of(day, who), "contract": day.contracts[who], "admitted_on": day.moved_in,
    }
    day.stays = {"pays": day.hebei.call(admit, **stay("pays")).stay.name}
    day.hebei.refused("STAY_OVERLAPS", admit, **stay("pays"))
    others = ELDERS[1:]
    answers = day.hebei.batch_all("StayService/BatchAdmitElders", admit, [stay(who) for who in others])
    day.stays |= {who: answer.stay.name for who, answer in zip(others, answers)}

    # She came a day later than was written; one stay was written for the wrong elder; two end.
    later = day.hebei.call(
        "StayService/AmendStay",
        stay=day.stays["pays"], contract=day.contracts["pays"], admitted_on=f"{day.last_month}-06", reason="入住日更正",
    ).stay
    assert later.version == 2 and later.admitted_on == f"{day.last_month}-06", later
    day.hebei.call(end, stay=day.stays["reverses"], left_on=day.today, end_reason="STAY_END_REASON_LEFT")
    again = day.hebei.call(admit, **{**stay("reverses"), "admitted_on": day.today}).stay.name
    day.ma.call("StayService/VoidStay", stay=again, reason="录错老人")
    day.hebei.batch_all(
        "StayService/BatchEndStays", end,
        [{"stay": day.stays["refunded"], "left_on": day.today, "end_reason": "STAY_END_REASON_TRANSFERRED"}],
    )
    assert text(day.beijing.call("StayService/GetStay", name=again), "state") == "VOIDED"
    assert len(day.beijing.list("StayService/ListStayVersions", name=day.stays["pays"])) == 2
    present = day.beijing.list("StayService/ListStays", filter=f'on = "{day.today}" AND state = "ADMITTED"')
    assert len(present) == len(ELDERS) - 2, present


def bills(day):
    publish, amend = "BillService/PublishBill", "BillService/AmendBill"
    lines = [
        {"fee_type": "FEE_TYPE_BED", "due_fen": 180_000}, {"fee_type": "FEE_TYPE_NURSING", "due_fen": 200_000},
        {"fee_type": "FEE_TYPE_MEAL", "due_fen": 90_000},
    ]
    bill = lambda who, month: {
        "institution": home_of(day, who), "elder": day.elders[who], "contract": day.contracts[who], "stay": day.stays[who],
        "month": month, "bill_number": f"B-{who}"[:64], "lines": lines,
    }
    day.bills = {"pays": day.hebei.call(publish, **bill("pays", day.month)).bill.name}
    others = ELDERS[1:]
    answers = day.hebei.batch_all("BillService/BatchPublishBills", publish, [bill(who, day.month) for who in others])
    day.bills |= {who: answer.bill.name for who, answer in zip(others, answers)}
    partly_paid = [{**lines[0], "paid_elsewhere_fen": 30_000}, *lines[1:]]
    amended = day.hebei.call(amend, bill=day.bills["pays"], expected_version=1, lines=partly_paid, reason="家属已付部分").bill
    assert amended.lines[0].open_fen == 150_000, amended
    day.hebei.batch_all("BillService/BatchAmendBills", amend, [{"bill": day.bills["voids"], "lines": lines, "reason": "重出"}])
    wrong = day.hebei.call(publish, **bill("pays", day.last_month)).bill.name
    day.ma.call("BillService/VoidBill", bill=wrong, reason="上月已线下结清")
    assert text(day.beijing.call("BillService/GetBill", name=wrong), "state") == "VOIDED"
    assert len(day.beijing.list("BillService/ListBillVersions", name=wrong)) == 2
    issued = day.beijing.list("BillService/ListBills", filter=f'month = "{day.month}" AND state = "ISSUED"', page_size=4)
    assert {b.name for b in issued} == set(day.bills.values()), issued
    told("billed", len(issued))
