"""Hebei registers and rates institutions; Beijing and Tianjin recognize the ratings, and can prove it."""

from identifiers import uscc
from jjj_client import text

from .cast import BEIJING, HEBEI, MERCHANT, SANHE, TIANJIN, UNIONPAY, told


def play(day):
    institutions(day)
    ratings(day)
    decisions(day)
    settlement_accounts(day)


def institution(sequence, title):
    return {
        "uscc": uscc(SANHE, sequence), "display_name": title, "kind": "INSTITUTION_KIND_CARE_INSTITUTION",
        "division_code": SANHE, "beds": 300, "residents": 210,
    }


def institutions(day):
    register = "InstitutionService/RegisterInstitution"
    wrong = institution(9, "校验位有误")
    wrong["uscc"] = wrong["uscc"][:-1] + ("A" if wrong["uscc"][-1] != "A" else "B")
    day.hebei.refused("CHECKSUM_WRONG", register, **wrong)
    day.home = day.hebei.call(register, **institution(1, "三河颐养院（演示）")).institution.name
    # A refused item costs the others nothing, and says why as the single call would.
    answers = day.hebei.batch(
        "InstitutionService/BatchRegisterInstitutions", register,
        [institution(2, "三河康宁院（演示）"), institution(1, "重复登记"), institution(3, "三河旧院（演示）")],
    )
    assert answers[1].reason == "RECORD_EXISTS" and answers[1].code == "ALREADY_EXISTS", answers[1]
    day.second_home, day.closed_home = answers[0].institution.name, answers[2].institution.name

    same = {"division_code": SANHE, "beds": 320, "residents": 215, "state": "INSTITUTION_STATE_OPERATING"}
    updated = day.hebei.call(
        "InstitutionService/UpdateInstitution",
        institution=day.home, expected_version=1, display_name="三河颐养院（演示）", **same, reason="床位核增",
    ).institution
    assert (updated.version, updated.beds) == (2, 320), updated
    closed = {**same, "state": "INSTITUTION_STATE_CLOSED", "residents": 0}
    day.hebei.batch_all(
        "InstitutionService/BatchUpdateInstitutions", "InstitutionService/UpdateInstitution",
        [{"institution": day.closed_home, "display_name": "三河旧院（演示）", **closed, "reason": "注销"}],
    )
    scope = {"in_scope": True, "effective_on": day.valid_from, "document_number": "网签-1"}
    day.hebei.call("InstitutionService/SetSigningScope", institution=day.home, **scope)
    day.hebei.batch_all(
        "InstitutionService/BatchSetSigningScopes", "InstitutionService/SetSigningScope",
        [{"institution": day.second_home, **scope}],
    )
    assert len(day.beijing.list("InstitutionService/ListInstitutionVersions", name=day.home)) == 2


def ratings(day):
    publish = "RatingService/PublishRating"
    rating = lambda home, grade: {
        "institution": home, "scheme": "RATING_SCHEME_GB_T_37276", "native_grade": grade, **day.decided("评定-1"),
    }
    day.rating = day.hebei.call(publish, **rating(day.home, 4)).rating.name
    answers = day.hebei.batch_all("RatingService/BatchPublishRatings", publish, [rating(day.second_home, 3)])
    day.second_rating = answers[0].rating.name
    day.beijing.refused("NOT_YOUR_RECORD", publish, **rating(day.home, 5))

    # Faults to be rectified do not end a recognition; an upgrade is a new version.
    change = "RatingService/ChangeRating"
    day.hebei.call(change, name=day.rating, expected_version=1, **day.change("RECTIFYING"))
    better = {"name": day.second_rating, **day.change("UPGRADED", new_grade=4)}
    day.hebei.batch_all("RatingService/BatchChangeRatings", change, [better])
    assert text(day.unionpay.call("RatingService/GetRating", name=day.rating).envelope, "state") == "RECTIFYING"
    versions = day.beijing.list("RatingService/ListRatingVersions", name=day.second_rating)
    assert [v.native_grade for v in versions] == [4, 3], versions
    assert len(day.tianjin.list("RatingService/ListRatings", filter='native_grade = "4" AND in_force = "true"')) == 2

    known = day.unionpay.call("InstitutionService/GetInstitution", name=day.home)
    assert {r.recognizer for r in known.ratings[0].recognitions} == {BEIJING, TIANJIN}, known
    graded = day.beijing.list("InstitutionService/ListInstitutions", filter=f'recognized_by = "{BEIJING}"')
    assert {i.name for i in graded} == {day.home, day.second_home}, graded
    told("recognized by", sorted(r.recognizer for r in known.ratings[0].recognitions))


def decisions(day):
    """Each region may leave a recognition and come back, without touching the record."""
    decide = "RecognitionService/DecideRecognition"
    verdict = lambda record, verdict: {"record": record, "verdict": f"RECOGNITION_VERDICT_{verdict}", "reason": "动态管理"}
    suspended = day.beijing.call(decide, **verdict(day.rating, "SUSPEND")).recognition
    day.beijing.refused("NOT_RECOGNIZED", "RecognitionService/GetRecognitionToken", name=suspended.name)
    day.beijing.call(decide, **verdict(day.rating, "REINSTATE"))
    both = [verdict(day.second_rating, "SUSPEND"), verdict(day.second_rating, "REINSTATE")]
    answers = day.tianjin.batch_all("RecognitionService/BatchDecideRecognitions", decide, both)
    assert [text(a.recognition, "state") for a in answers] == ["SUSPENDED", "RECOGNIZED"], answers

    day.recognition = suspended.name
    assert day.hebei.call("RecognitionService/GetRecognition", name=day.recognition).in_force
    assert len(day.beijing.list("RecognitionService/ListRecognitionVersions", name=day.recognition)) >= 3
    found = day.beijing.list("RecognitionService/ListRecognitions", filter=f'record = "{day.rating}"')
    assert BEIJING in {r.recognizer for r in found}, found
    day.sd_recognition = day.beijing.call("RecognitionService/GetSdRecognition", name=day.recognition)
    day.recognition_token = day.beijing.call("RecognitionService/GetRecognitionToken", name=day.recognition)


def settlement_accounts(day):
    """Where an institution is paid is proposed by one person, decided by another, and cools off."""
    account = {
        "channel": UNIONPAY, "merchant_id": MERCHANT, "account_holder": "三河颐养院", "account_token": "tok-0001",
        "account_last4": "0018", "effective_from": f"{day.next_month}-01", "reason": "首次登记",
    }
    propose, decide = "InstitutionService/ProposeSettlementAccount", "InstitutionService/DecideSettlementAccount"
    proposed = day.ma.call(propose, institution=day.home, **account).settlement_account.name
    approve = {"settlement_account": proposed, "approve": True, "reason": "已与银行核对"}
    day.ma.refused("SAME_PERSON", decide, **approve)
    approved = day.hu.call(decide, **approve).settlement_account
    assert approved.usable_from_time_us > day.now_us(), "the cooling-off time has begun"
    listed = day.hebei.list("InstitutionService/ListSettlementAccounts", filter=f'institution = "{day.home}"')
    assert [text(a, "state") for a in listed] == ["APPROVED"], listed
    told("settlement account", proposed, "of", HEBEI)
