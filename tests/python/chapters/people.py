"""Beijing registers its elders, assesses them, and keeps what is personal to itself."""

import os

from identifiers import resident_id
from jjj_client import text

from .cast import HAIDIAN, told

# Who is who; the story of each is told in the later chapters.
ELDERS = ["pays", "refunded", "reverses", "voids", "advised", "instructed", "overspends", "dies", "clawed_back", "blind"]
LEVEL_3 = {
    "self_care_score": 10, "mobility_score": 4, "mental_state_score": 18, "perception_social_score": 6, "total_score": 38,
    "preliminary_level": 3, "final_level": 3,
}


def play(day):
    elders(day)
    parties(day)
    assessments(day)
    certificates(day)


def elder(sequence):
    return {
        "salt": os.urandom(32), "household_division": HAIDIAN,
        "identifiers": [{"kind": "IDENTIFIER_KIND_RESIDENT_ID", "value": resident_id(HAIDIAN, sequence)}],
        "personal_data": person(sequence),
    }


def person(sequence):
    sex = "SEX_MALE" if sequence % 2 else "SEX_FEMALE"
    return {"full_name": f"演示老人{sequence:03}", "birth_date": "1880-01-01", "sex": sex}


def elders(day):
    register = "ElderService/RegisterElder"
    answers = day.beijing.batch_all("ElderService/BatchRegisterElders", register, [elder(n) for n in range(1, len(ELDERS) + 1)])
    day.elders = {name: answer.elder.name for name, answer in zip(ELDERS, answers)}
    pays = day.elders["pays"]
    taken = day.beijing.refused("IDENTIFIER_TAKEN", register, **elder(1))
    assert pays in taken.metadata.values(), taken

    # One person behind several identifiers; the channel finds her by the card she presents.
    card = {"kind": "IDENTIFIER_KIND_SENIOR_DISABILITY_CARD", "value": "BJT0000000001"}
    day.beijing.call("ElderService/AddIdentifier", salt=os.urandom(32), elder=pays, identifier=card)
    assert day.unionpay.call("ElderService/FindElder", identifier=card, purpose="支付").name == pays
    moved = {**person(1), "mobile": "13800000000"}
    day.beijing.call(
        "ElderService/AmendElder", salt=os.urandom(32), elder=pays, household_division=HAIDIAN, personal_data=moved
    )
    record = day.chen.call("ElderService/ReadPersonalData", name=pays, purpose="核对手机号")
    assert record.personal_data.mobile == "13800000000" and len(record.identifiers) == 2 and record.audit_record
    day.ma.refused("NOT_YOUR_RECORD", "ElderService/ReadPersonalData", name=pays, purpose="无权")

    # Registered twice by different documents: the second is merged into the first. Another is erased.
    double = day.beijing.call(register, **elder(101)).elder.name
    merged = day.chen.call("ElderService/MergeElders", elder=double, into=pays, reason="同一人").elder
    assert merged.merged_into == pays, merged
    erased = day.beijing.call(register, **elder(102)).elder.name
    day.chen.call("ElderService/EraseElder", elder=erased, reason="登记错误")
    gone = {"kind": "IDENTIFIER_KIND_RESIDENT_ID", "value": resident_id(HAIDIAN, 102)}
    day.beijing.refused("RECORD_NOT_FOUND", "ElderService/FindElder", identifier=gone, purpose="核对")
    assert text(day.hebei.call("ElderService/GetElder", name=erased), "state") == "ERASED"
    active = day.beijing.list("ElderService/ListElders", filter='state = "ACTIVE"', page_size=3)
    assert {e.name for e in active} == set(day.elders.values()), active


def parties(day):
    """Those who sign or pay beside the elder, registered by the institution's region."""
    party = lambda name: {"salt": os.urandom(32), "personal_data": {"full_name": name, "birth_date": "1960-02-03", "sex": "SEX_FEMALE"}}
    register = "ElderService/RegisterParty"
    day.daughter = day.hebei.call(register, **party("演示女儿")).party.name
    second = day.hebei.batch_all("ElderService/BatchRegisterParties", register, [party("误登记")])[0].party.name
    day.hebei.call("ElderService/AmendParty", party=day.daughter, **party("演示女儿（更名）"))
    day.hebei.call("ElderService/EraseParty", party=second, reason="误登记")
    assert text(day.hebei.call("ElderService/GetParty", name=second), "state") == "ERASED"


def assessments(day):
    publish, change = "AssessmentService/PublishAssessment", "AssessmentService/ChangeAssessment"
    assessment = lambda who: {
        "elder": day.elders[who], "standard": "ASSESSMENT_STANDARD_GB_T_42195_2022",
        "assessment_reason": "ASSESSMENT_REASON_INITIAL", **LEVEL_3, **day.decided("评估-1"),
    }
    day.beijing.refused("TOTAL_MISMATCH", publish, **{**assessment("pays"), "total_score": 39})
    first = day.beijing.call(publish, **assessment("pays")).assessment.name
    others = [assessment(who) for who in ELDERS if who not in ("pays", "blind")]
    answers = day.beijing.batch_all("AssessmentService/BatchPublishAssessments", publish, others)
    # Suspended by mistake, and in force again.
    day.beijing.call(change, name=first, **day.change("SUSPENDED"))
    day.chen.call(change, name=first, **day.change("VALID"))
    shorter = day.change("AMENDED", new_valid_until=f"{day.year + 2}-05-31")
    day.beijing.batch_all("AssessmentService/BatchChangeAssessments", change, [{"name": answers[0].assessment.name, **shorter}])

    # Hebei recognizes hers, so the institution need not assess again; only then may it read it.
    ask = {"record": first, "verdict": "RECOGNITION_VERDICT_ACCEPT", "reason": "入住时免于重复评估"}
    day.hebei.call("RecognitionService/DecideRecognition", **ask)
    assert day.hebei.call("AssessmentService/GetAssessment", name=first).final_level == 3
    assert len(day.hebei.list("AssessmentService/ListAssessmentVersions", name=first)) == 3
    severe = day.beijing.list("AssessmentService/ListAssessments", filter='final_level >= "3" AND in_force = "true"')
    assert len(severe) == len(ELDERS) - 1, severe
    told("assessed", len(severe))


def certificates(day):
    """Another basis: a disability certificate. The blind elder's second grade earns the second tier."""
    publish = "DisabilityCertificateService/PublishDisabilityCertificate"
    certificate = lambda who, category, grade: {
        "elder": day.elders[who], "categories": [f"DISABILITY_CATEGORY_{category}"], "grade": grade, **day.decided("残-1"),
    }
    first = day.beijing.call(publish, **certificate("blind", "VISUAL", 1)).disability_certificate.name
    answers = day.beijing.batch_all(
        "DisabilityCertificateService/BatchPublishDisabilityCertificates", publish,
        [certificate("voids", "HEARING", 2), certificate("advised", "SPEECH", 2)],
    )
    milder = day.change("UPGRADED", new_grade=2)
    day.chen.call("DisabilityCertificateService/ChangeDisabilityCertificate", name=first, expected_version=1, **milder)
    current = day.beijing.call("DisabilityCertificateService/GetDisabilityCertificate", name=first)
    assert (current.grade, current.envelope.version) == (2, 2), current
    versions = day.beijing.list("DisabilityCertificateService/ListDisabilityCertificateVersions", name=first)
    assert [v.grade for v in versions] == [2, 1], versions
    listed = day.beijing.list("DisabilityCertificateService/ListDisabilityCertificates", filter='grade = "2"')
    assert {c.name for c in listed} == {first, *(a.disability_certificate.name for a in answers)}, listed
