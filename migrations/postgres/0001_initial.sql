-- Generated from the tables' declarations by
--   cargo run -p jjj-store --example migration
-- Amounts are fen, times UTC microseconds, digests lower-case hex.

-- What is written once stays as it is: corrections are new rows.
CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% is append-only', TG_TABLE_NAME USING ERRCODE = 'JJJ01';
END
$$;

-- Regions, channels and the gateway itself.
CREATE TABLE participants (
    participant TEXT COLLATE "C" NOT NULL,
    kind TEXT COLLATE "C" NOT NULL CHECK (kind IN ('REGION', 'CHANNEL', 'GATEWAY')),
    display_name TEXT COLLATE "C" NOT NULL,
    standing TEXT COLLATE "C" NOT NULL CHECK (standing IN ('ACTIVE', 'SUSPENDED', 'REMOVED')),
    standing_reason TEXT COLLATE "C" NOT NULL,
    confirmed_by TEXT COLLATE "C" NOT NULL,
    recorded_at_us BIGINT NOT NULL,
    version BIGINT NOT NULL,
    PRIMARY KEY (participant)
);

-- Certificate authorities whose client certificates a participant uses.
CREATE TABLE authorities (
    participant TEXT COLLATE "C" NOT NULL,
    fingerprint TEXT COLLATE "C" NOT NULL,
    certificate_pem TEXT COLLATE "C" NOT NULL,
    not_before_us BIGINT NOT NULL,
    not_after_us BIGINT NOT NULL,
    state TEXT COLLATE "C" NOT NULL CHECK (state IN ('ACTIVE', 'RETIRED', 'WITHDRAWN')),
    ended_at_us BIGINT,
    reason TEXT COLLATE "C" NOT NULL,
    recorded_at_us BIGINT NOT NULL,
    version BIGINT NOT NULL,
    PRIMARY KEY (participant, fingerprint)
);

-- Public keys that sign request tokens; `kid` is the RFC 7638 thumbprint.
CREATE TABLE keys (
    kid TEXT COLLATE "C" NOT NULL,
    holder TEXT COLLATE "C" NOT NULL,
    jwk TEXT COLLATE "C" NOT NULL,
    state TEXT COLLATE "C" NOT NULL CHECK (state IN ('ACTIVE', 'RETIRED', 'WITHDRAWN')),
    added_at_us BIGINT NOT NULL,
    ended_at_us BIGINT,
    suspect_from_us BIGINT,
    reason TEXT COLLATE "C" NOT NULL,
    version BIGINT NOT NULL,
    PRIMARY KEY (kid)
);
-- Loaded and listed by holder, in the order of the key.
CREATE INDEX keys_by_holder ON keys (holder, kid);

-- The people who run reconciliation, policy and registry for a participant.
CREATE TABLE administrators (
    administrator TEXT COLLATE "C" NOT NULL,
    participant TEXT COLLATE "C" NOT NULL,
    display_name TEXT COLLATE "C" NOT NULL,
    standing TEXT COLLATE "C" NOT NULL CHECK (standing IN ('ACTIVE', 'SUSPENDED', 'REMOVED')),
    reason TEXT COLLATE "C" NOT NULL,
    recorded_at_us BIGINT NOT NULL,
    version BIGINT NOT NULL,
    PRIMARY KEY (administrator)
);
-- Loaded and listed by participant, in the order of the key.
CREATE INDEX administrators_by_participant ON administrators (participant, administrator);

-- Names that the log took after a restore, each with what it follows; the first has no row.
CREATE TABLE origins (
    origin TEXT COLLATE "C" NOT NULL,
    follows TEXT COLLATE "C" NOT NULL,
    tree_size BIGINT NOT NULL,
    root TEXT COLLATE "C" NOT NULL,
    witnessed_size BIGINT NOT NULL,
    reason TEXT COLLATE "C" NOT NULL,
    recorded_at_us BIGINT NOT NULL,
    version BIGINT NOT NULL,
    PRIMARY KEY (origin)
);

-- Policy bodies by kind, scope and effective date; the newest version of the newest date not after the day asked for is in force.
CREATE TABLE policies (
    kind TEXT COLLATE "C" NOT NULL CHECK (kind IN ('gate', 'programme', 'agreement', 'record_kind', 'contract_caps', 'channel',
        'operating_subsidy', 'settlement_account', 'calendar', 'breaks', 'accounting')),
    scope TEXT COLLATE "C" NOT NULL,
    effective_from TEXT COLLATE "C" NOT NULL,
    version BIGINT NOT NULL,
    body TEXT COLLATE "C" NOT NULL,
    set_by TEXT COLLATE "C" NOT NULL,
    reason TEXT COLLATE "C" NOT NULL,
    agreement TEXT COLLATE "C",
    recorded_at_us BIGINT NOT NULL,
    PRIMARY KEY (kind, scope, effective_from, version)
);

-- Versions of agreements between two regions, as proposed by one and answered by the other.
CREATE TABLE agreements (
    agreement TEXT COLLATE "C" NOT NULL,
    scope TEXT COLLATE "C" NOT NULL,
    issuer TEXT COLLATE "C" NOT NULL,
    recognizer TEXT COLLATE "C" NOT NULL,
    record_kind TEXT COLLATE "C" NOT NULL CHECK (record_kind IN ('RATING', 'ASSESSMENT', 'DISABILITY_CERTIFICATE')),
    effective_from TEXT COLLATE "C" NOT NULL,
    body TEXT COLLATE "C" NOT NULL,
    state TEXT COLLATE "C" NOT NULL CHECK (state IN ('PROPOSED', 'ACCEPTED', 'DECLINED', 'WITHDRAWN', 'ENDED', 'SUPERSEDED')),
    proposed_by TEXT COLLATE "C" NOT NULL,
    proposed_at_us BIGINT NOT NULL,
    answered_by TEXT COLLATE "C",
    reason TEXT COLLATE "C" NOT NULL,
    policy TEXT COLLATE "C",
    recorded_at_us BIGINT NOT NULL,
    version BIGINT NOT NULL,
    PRIMARY KEY (agreement)
);
-- Loaded and listed by scope and state, in the order of the key.
CREATE INDEX agreements_by_scope_state ON agreements (scope, state, agreement);

-- Care institutions, registered by the region of their division.
CREATE TABLE institutions (
    institution TEXT COLLATE "C" NOT NULL,
    uscc TEXT COLLATE "C" NOT NULL,
    kind TEXT COLLATE "C" NOT NULL CHECK (kind IN ('CARE_INSTITUTION', 'COMMUNITY_STATION')),
    display_name TEXT COLLATE "C" NOT NULL,
    division TEXT COLLATE "C" NOT NULL,
    region TEXT COLLATE "C" NOT NULL,
    beds BIGINT NOT NULL,
    residents BIGINT NOT NULL,
    state TEXT COLLATE "C" NOT NULL CHECK (state IN ('OPERATING', 'SUSPENDED', 'CLOSED')),
    reason TEXT COLLATE "C" NOT NULL,
    recorded_at_us BIGINT NOT NULL,
    version BIGINT NOT NULL,
    PRIMARY KEY (institution)
);
-- Loaded and listed by region, in the order of the key.
CREATE INDEX institutions_by_region ON institutions (region, institution);

-- Dated membership in the online-signing scope (网签范围): counts are not monotone (DOMAIN.md §0).
CREATE TABLE signing_scope (
    institution TEXT COLLATE "C" NOT NULL,
    entered_on TEXT COLLATE "C" NOT NULL,
    left_on TEXT COLLATE "C",
    document_number TEXT COLLATE "C" NOT NULL,
    recorded_at_us BIGINT NOT NULL,
    version BIGINT NOT NULL,
    PRIMARY KEY (institution, entered_on)
);

-- Settlement accounts: changed four-eyed, usable after a cooling-off time.
CREATE TABLE settlement_accounts (
    account TEXT COLLATE "C" NOT NULL,
    institution TEXT COLLATE "C" NOT NULL,
    region TEXT COLLATE "C" NOT NULL,
    channel TEXT COLLATE "C" NOT NULL,
    merchant_id TEXT COLLATE "C" NOT NULL,
    account_holder TEXT COLLATE "C" NOT NULL,
    bank_code TEXT COLLATE "C" NOT NULL,
    account_token TEXT COLLATE "C" NOT NULL,
    account_last4 TEXT COLLATE "C" NOT NULL,
    effective_from TEXT COLLATE "C" NOT NULL,
    state TEXT COLLATE "C" NOT NULL CHECK (state IN ('PROPOSED', 'APPROVED', 'DECLINED')),
    proposed_by TEXT COLLATE "C" NOT NULL,
    decided_by TEXT COLLATE "C",
    reason TEXT COLLATE "C" NOT NULL,
    usable_from_us BIGINT,
    recorded_at_us BIGINT NOT NULL,
    version BIGINT NOT NULL,
    PRIMARY KEY (account)
);
-- Loaded and listed by institution, in the order of the key.
CREATE INDEX settlement_accounts_by_institution ON settlement_accounts (institution, account);
-- Loaded and listed by channel and merchant_id, in the order of the key.
CREATE INDEX settlement_accounts_by_channel_merchant_id ON settlement_accounts (channel, merchant_id, account);

-- Persons by pseudonym. Nothing here names anybody.
CREATE TABLE persons (
    person TEXT COLLATE "C" NOT NULL,
    kind TEXT COLLATE "C" NOT NULL CHECK (kind IN ('ELDER', 'PARTY')),
    region TEXT COLLATE "C" NOT NULL,
    household_region TEXT COLLATE "C" NOT NULL,
    household_division TEXT COLLATE "C" NOT NULL,
    state TEXT COLLATE "C" NOT NULL CHECK (state IN ('ACTIVE', 'DECEASED', 'MERGED', 'ERASED')),
    merged_into TEXT COLLATE "C",
    died_on TEXT COLLATE "C",
    reason TEXT COLLATE "C" NOT NULL,
    recorded_at_us BIGINT NOT NULL,
    version BIGINT NOT NULL,
    PRIMARY KEY (person)
);
-- Loaded and listed by region, in the order of the key.
CREATE INDEX persons_by_region ON persons (region, person);
-- Loaded and listed by merged_into, in the order of the key.
CREATE INDEX persons_by_merged_into ON persons (merged_into, person);

-- Keyed hashes by which a person is found; erased with the person.
CREATE TABLE person_identifiers (
    person TEXT COLLATE "C" NOT NULL,
    holder TEXT COLLATE "C" NOT NULL CHECK (holder IN ('ELDER', 'PARTY')),
    lookup_hash TEXT COLLATE "C" NOT NULL,
    kind TEXT COLLATE "C" NOT NULL CHECK (kind IN ('RESIDENT_ID', 'SOCIAL_SECURITY_CARD', 'SENIOR_DISABILITY_CARD')),
    ciphertext TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (holder, lookup_hash)
);
-- Loaded and listed by person, in the order of the key.
CREATE INDEX person_identifiers_by_person ON person_identifiers (person, holder, lookup_hash);

-- Personal data without the identifiers, encrypted under the person's key.
CREATE TABLE person_data (
    person TEXT COLLATE "C" NOT NULL,
    ciphertext TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (person)
);

-- Each person's data key, wrapped under the master key, and the salt of the person's commitments.
CREATE TABLE person_keys (
    person TEXT COLLATE "C" NOT NULL,
    wrapped_key TEXT COLLATE "C" NOT NULL,
    salt TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (person)
);

-- Audit records of reads of personal data, written by the gateway.
CREATE TABLE accesses (
    access TEXT COLLATE "C" NOT NULL,
    kind TEXT COLLATE "C" NOT NULL CHECK (kind IN ('FIND', 'READ')),
    person TEXT COLLATE "C" NOT NULL,
    region TEXT COLLATE "C" NOT NULL,
    household_region TEXT COLLATE "C" NOT NULL,
    reader TEXT COLLATE "C" NOT NULL,
    reader_participant TEXT COLLATE "C" NOT NULL,
    purpose TEXT COLLATE "C" NOT NULL,
    token_digest TEXT COLLATE "C" NOT NULL,
    recorded_at_us BIGINT NOT NULL,
    PRIMARY KEY (access)
);
-- Loaded and listed by person, in the order of the key.
CREATE INDEX accesses_by_person ON accesses (person, access);
CREATE TRIGGER accesses_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON accesses
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- Ratings, assessments, certificates: the current version of each; earlier versions are in the log.
CREATE TABLE records (
    record TEXT COLLATE "C" NOT NULL,
    kind TEXT COLLATE "C" NOT NULL CHECK (kind IN ('RATING', 'ASSESSMENT', 'DISABILITY_CERTIFICATE')),
    issuer TEXT COLLATE "C" NOT NULL,
    subject TEXT COLLATE "C" NOT NULL,
    scheme TEXT COLLATE "C" NOT NULL,
    native_level BIGINT NOT NULL,
    state TEXT COLLATE "C" NOT NULL CHECK (state IN ('APPLIED', 'PUBLICIZED', 'VALID', 'RECTIFYING', 'SUSPENDED', 'UPGRADED',
        'DOWNGRADED', 'AMENDED', 'REVOKED', 'SUPERSEDED', 'CANCELLED')),
    document_number TEXT COLLATE "C" NOT NULL,
    decided_by TEXT COLLATE "C" NOT NULL,
    decided_on TEXT COLLATE "C" NOT NULL,
    valid_from TEXT COLLATE "C" NOT NULL,
    valid_until TEXT COLLATE "C" NOT NULL,
    effective_on TEXT COLLATE "C" NOT NULL,
    recorded_at_us BIGINT NOT NULL,
    reason TEXT COLLATE "C" NOT NULL,
    supersedes TEXT COLLATE "C",
    content TEXT COLLATE "C" NOT NULL,
    version BIGINT NOT NULL,
    PRIMARY KEY (record)
);
-- Loaded and listed by subject and kind, in the order of the key.
CREATE INDEX records_by_subject_kind ON records (subject, kind, record);
-- Loaded and listed by issuer and kind, in the order of the key.
CREATE INDEX records_by_issuer_kind ON records (issuer, kind, record);

-- One region's recognition of another region's record.
CREATE TABLE recognitions (
    recognition TEXT COLLATE "C" NOT NULL,
    record TEXT COLLATE "C" NOT NULL,
    kind TEXT COLLATE "C" NOT NULL CHECK (kind IN ('RATING', 'ASSESSMENT', 'DISABILITY_CERTIFICATE')),
    record_version BIGINT NOT NULL,
    issuer TEXT COLLATE "C" NOT NULL,
    recognizer TEXT COLLATE "C" NOT NULL,
    subject TEXT COLLATE "C" NOT NULL,
    scheme TEXT COLLATE "C" NOT NULL,
    native_level BIGINT NOT NULL,
    recognized_min BIGINT NOT NULL,
    recognized_max BIGINT NOT NULL,
    quality TEXT COLLATE "C" NOT NULL CHECK (quality IN ('EXACT', 'NOMINAL', 'AMBIGUOUS')),
    valid_from TEXT COLLATE "C" NOT NULL,
    valid_until TEXT COLLATE "C" NOT NULL,
    state TEXT COLLATE "C" NOT NULL CHECK (state IN ('PENDING', 'RECOGNIZED', 'DECLINED', 'SUSPENDED', 'REVOKED', 'SUPERSEDED')),
    effective_on TEXT COLLATE "C" NOT NULL,
    reason TEXT COLLATE "C" NOT NULL,
    agreement TEXT COLLATE "C" NOT NULL,
    recorded_at_us BIGINT NOT NULL,
    stated_since BIGINT NOT NULL,
    version BIGINT NOT NULL,
    PRIMARY KEY (recognition)
);
-- Loaded and listed by record, in the order of the key.
CREATE INDEX recognitions_by_record ON recognitions (record, recognition);
-- Loaded and listed by subject and recognizer, in the order of the key.
CREATE INDEX recognitions_by_subject_recognizer ON recognitions (subject, recognizer, recognition);

-- Care contracts: the current version of each; earlier versions are in the log.
CREATE TABLE contracts (
    contract TEXT COLLATE "C" NOT NULL,
    institution TEXT COLLATE "C" NOT NULL,
    person TEXT COLLATE "C" NOT NULL,
    registrar TEXT COLLATE "C" NOT NULL,
    institution_region TEXT COLLATE "C" NOT NULL,
    household_region TEXT COLLATE "C" NOT NULL,
    state TEXT COLLATE "C" NOT NULL CHECK (state IN ('DRAFT', 'SIGNING', 'SIGNED', 'FILED', 'ATTESTED', 'ACTIVE', 'TERMINATED',
        'VOIDED')),
    capacity TEXT COLLATE "C" NOT NULL CHECK (capacity IN ('FULL', 'LIMITED', 'NONE')),
    parties TEXT COLLATE "C" NOT NULL,
    bed_fee_fen BIGINT NOT NULL,
    nursing_fee_fen BIGINT NOT NULL,
    meal_fee_fen BIGINT NOT NULL,
    other_fee_fen BIGINT NOT NULL,
    deposit_fen BIGINT NOT NULL,
    prepaid_months BIGINT NOT NULL,
    starts_on TEXT COLLATE "C" NOT NULL,
    ends_on TEXT COLLATE "C" NOT NULL,
    documents TEXT COLLATE "C" NOT NULL,
    document_sha256 TEXT COLLATE "C" NOT NULL,
    signatures TEXT COLLATE "C" NOT NULL,
    evidence TEXT COLLATE "C" NOT NULL CHECK (evidence IN ('NONE', 'ONLINE_FILED', 'REGION_ATTESTED')),
    filing_number TEXT COLLATE "C",
    filed_on TEXT COLLATE "C",
    attester TEXT COLLATE "C",
    activated_on TEXT COLLATE "C",
    termination_reason TEXT COLLATE "C" CHECK (termination_reason IN ('AGREEMENT', 'WITHDRAWAL', 'ARREARS', 'UNSUITABLE_LEVEL', 'DEATH', 'CLOSURE')),
    ended_on TEXT COLLATE "C",
    reason TEXT COLLATE "C" NOT NULL,
    document_number TEXT COLLATE "C" NOT NULL,
    effective_on TEXT COLLATE "C" NOT NULL,
    recorded_at_us BIGINT NOT NULL,
    version BIGINT NOT NULL,
    PRIMARY KEY (contract)
);
-- Loaded and listed by person, in the order of the key.
CREATE INDEX contracts_by_person ON contracts (person, contract);
-- Loaded and listed by institution, in the order of the key.
CREATE INDEX contracts_by_institution ON contracts (institution, contract);

-- Filing numbers (备案号) given by a registrar, each once and for good.
CREATE TABLE contract_filings (
    registrar TEXT COLLATE "C" NOT NULL,
    filing_number TEXT COLLATE "C" NOT NULL,
    contract TEXT COLLATE "C" NOT NULL,
    institution_region TEXT COLLATE "C" NOT NULL,
    household_region TEXT COLLATE "C" NOT NULL,
    contract_version BIGINT NOT NULL,
    filed_on TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (registrar, filing_number)
);
-- Loaded and listed by contract, in the order of the key.
CREATE INDEX contract_filings_by_contract ON contract_filings (contract, registrar, filing_number);
CREATE TRIGGER contract_filings_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON contract_filings
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- Who stays where, from when, until when.
CREATE TABLE stays (
    stay TEXT COLLATE "C" NOT NULL,
    contract TEXT COLLATE "C",
    institution TEXT COLLATE "C" NOT NULL,
    person TEXT COLLATE "C" NOT NULL,
    institution_region TEXT COLLATE "C" NOT NULL,
    household_region TEXT COLLATE "C" NOT NULL,
    admitted_on TEXT COLLATE "C" NOT NULL,
    left_on TEXT COLLATE "C",
    state TEXT COLLATE "C" NOT NULL CHECK (state IN ('ADMITTED', 'ENDED', 'VOIDED')),
    end_reason TEXT COLLATE "C" CHECK (end_reason IN ('LEFT', 'TRANSFERRED', 'DEATH', 'CLOSURE')),
    reason TEXT COLLATE "C" NOT NULL,
    recorded_at_us BIGINT NOT NULL,
    version BIGINT NOT NULL,
    PRIMARY KEY (stay)
);
-- Loaded and listed by person, in the order of the key.
CREATE INDEX stays_by_person ON stays (person, stay);
-- Loaded and listed by institution, in the order of the key.
CREATE INDEX stays_by_institution ON stays (institution, stay);

-- A month's bill of an institution to an elder.
CREATE TABLE bills (
    bill TEXT COLLATE "C" NOT NULL,
    contract TEXT COLLATE "C" NOT NULL,
    institution TEXT COLLATE "C" NOT NULL,
    person TEXT COLLATE "C" NOT NULL,
    institution_region TEXT COLLATE "C" NOT NULL,
    household_region TEXT COLLATE "C" NOT NULL,
    stay TEXT COLLATE "C",
    month TEXT COLLATE "C" NOT NULL,
    bill_number TEXT COLLATE "C" NOT NULL,
    state TEXT COLLATE "C" NOT NULL CHECK (state IN ('ISSUED', 'VOIDED')),
    reason TEXT COLLATE "C" NOT NULL,
    recorded_at_us BIGINT NOT NULL,
    version BIGINT NOT NULL,
    PRIMARY KEY (bill)
);
-- Loaded and listed by contract and month, in the order of the key.
CREATE INDEX bills_by_contract_month ON bills (contract, month, bill);
-- Loaded and listed by person, in the order of the key.
CREATE INDEX bills_by_person ON bills (person, bill);

-- A bill's lines with what is due, paid elsewhere, posted and held through the gateway.
CREATE TABLE bill_lines (
    bill TEXT COLLATE "C" NOT NULL,
    fee_type TEXT COLLATE "C" NOT NULL CHECK (fee_type IN ('BED', 'NURSING', 'MEAL', 'OTHER')),
    institution_region TEXT COLLATE "C" NOT NULL,
    household_region TEXT COLLATE "C" NOT NULL,
    due_fen BIGINT NOT NULL,
    paid_elsewhere_fen BIGINT NOT NULL,
    posted_fen BIGINT NOT NULL,
    held_fen BIGINT NOT NULL,
    PRIMARY KEY (bill, fee_type)
);

-- 委托扣款授权: elder, contract, fee types, monthly cap and term.
CREATE TABLE mandates (
    mandate TEXT COLLATE "C" NOT NULL,
    person TEXT COLLATE "C" NOT NULL,
    contract TEXT COLLATE "C" NOT NULL,
    institution_region TEXT COLLATE "C" NOT NULL,
    region TEXT COLLATE "C" NOT NULL,
    programme TEXT COLLATE "C" NOT NULL,
    channel TEXT COLLATE "C" NOT NULL,
    fee_types TEXT COLLATE "C" NOT NULL,
    monthly_cap_fen BIGINT NOT NULL,
    valid_from TEXT COLLATE "C" NOT NULL,
    valid_until TEXT COLLATE "C" NOT NULL,
    state TEXT COLLATE "C" NOT NULL CHECK (state IN ('ACTIVE', 'REVOKED')),
    reason TEXT COLLATE "C" NOT NULL,
    consent_sha256 TEXT COLLATE "C" NOT NULL,
    recorded_at_us BIGINT NOT NULL,
    version BIGINT NOT NULL,
    PRIMARY KEY (mandate)
);
-- Loaded and listed by person, in the order of the key.
CREATE INDEX mandates_by_person ON mandates (person, mandate);
-- Loaded and listed by contract, in the order of the key.
CREATE INDEX mandates_by_contract ON mandates (contract, mandate);

-- An elder's entitlement of a month.
CREATE TABLE grants (
    "grant" TEXT COLLATE "C" NOT NULL,
    person TEXT COLLATE "C" NOT NULL,
    region TEXT COLLATE "C" NOT NULL,
    programme TEXT COLLATE "C" NOT NULL,
    month TEXT COLLATE "C" NOT NULL,
    channel TEXT COLLATE "C" NOT NULL,
    funder_division TEXT COLLATE "C" NOT NULL,
    tier TEXT COLLATE "C" NOT NULL,
    amount_fen BIGINT NOT NULL,
    basis TEXT COLLATE "C" NOT NULL,
    basis_version BIGINT NOT NULL,
    state TEXT COLLATE "C" NOT NULL CHECK (state IN ('GRANTED', 'CREDITED', 'CREDIT_FAILED', 'CLAWBACK_REQUESTED', 'CLAWED_BACK')),
    credited_fen BIGINT NOT NULL,
    clawed_back_fen BIGINT NOT NULL,
    returned_fen BIGINT NOT NULL,
    reason TEXT COLLATE "C" NOT NULL,
    recorded_at_us BIGINT NOT NULL,
    version BIGINT NOT NULL,
    PRIMARY KEY ("grant")
);
-- Loaded and listed by person and programme and month, in the order of the key.
CREATE INDEX grants_by_person_programme_month ON grants (person, programme, month, "grant");
-- Loaded and listed by region and month, in the order of the key.
CREATE INDEX grants_by_region_month ON grants (region, month, "grant");

-- Allotments, fundings, outside spending, estate payouts, recoveries.
CREATE TABLE money_events (
    event TEXT COLLATE "C" NOT NULL,
    kind TEXT COLLATE "C" NOT NULL CHECK (kind IN ('BUDGET_ALLOTTED', 'CHANNEL_FUNDED', 'SPENT_ELSEWHERE', 'PAID_TO_ESTATE',
        'RECOVERED')),
    region TEXT COLLATE "C" NOT NULL,
    programme TEXT COLLATE "C" NOT NULL,
    reporter TEXT COLLATE "C" NOT NULL,
    channel TEXT COLLATE "C",
    person TEXT COLLATE "C",
    funder_division TEXT COLLATE "C" NOT NULL,
    amount_fen BIGINT NOT NULL,
    occurred_on TEXT COLLATE "C" NOT NULL,
    reference TEXT COLLATE "C" NOT NULL,
    recorded_at_us BIGINT NOT NULL,
    version BIGINT NOT NULL,
    PRIMARY KEY (event),
    UNIQUE (reporter, programme, kind, reference, funder_division)
);
-- Loaded and listed by region and programme, in the order of the key.
CREATE INDEX money_events_by_region_programme ON money_events (region, programme, event);

-- Order ids that a channel has used, one space for payments, refunds and payouts.
CREATE TABLE orders (
    channel TEXT COLLATE "C" NOT NULL,
    order_id TEXT COLLATE "C" NOT NULL,
    record TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (channel, order_id)
);
CREATE TRIGGER orders_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON orders
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- Payments of care fees from an entitlement.
CREATE TABLE payments (
    payment TEXT COLLATE "C" NOT NULL,
    origin TEXT COLLATE "C" NOT NULL CHECK (origin IN ('AUTHORISED', 'INSTRUCTED', 'ADVISED')),
    channel TEXT COLLATE "C" NOT NULL,
    merchant_id TEXT COLLATE "C" NOT NULL,
    order_id TEXT COLLATE "C" NOT NULL,
    person TEXT COLLATE "C" NOT NULL,
    contract TEXT COLLATE "C" NOT NULL,
    bill TEXT COLLATE "C" NOT NULL,
    fee_type TEXT COLLATE "C" NOT NULL CHECK (fee_type IN ('BED', 'NURSING', 'MEAL', 'OTHER')),
    institution TEXT COLLATE "C" NOT NULL,
    institution_region TEXT COLLATE "C" NOT NULL,
    region TEXT COLLATE "C" NOT NULL,
    programme TEXT COLLATE "C" NOT NULL,
    amount_fen BIGINT NOT NULL,
    state TEXT COLLATE "C" NOT NULL CHECK (state IN ('RESERVED', 'CONFIRMED', 'REVERSED', 'REJECTED', 'CANCELLED', 'EXPIRED', 'VOIDED',
        'LATE')),
    transaction_time_us BIGINT NOT NULL,
    clearing_date TEXT COLLATE "C" NOT NULL,
    authorised_on TEXT COLLATE "C" NOT NULL,
    mandate TEXT COLLATE "C",
    stands_on TEXT COLLATE "C" NOT NULL,
    unmet TEXT COLLATE "C" NOT NULL,
    consent_sha256 TEXT COLLATE "C",
    refunded_fen BIGINT NOT NULL,
    kept_fen BIGINT NOT NULL,
    matched_by TEXT COLLATE "C",
    reason TEXT COLLATE "C" NOT NULL,
    recorded_at_us BIGINT NOT NULL,
    version BIGINT NOT NULL,
    PRIMARY KEY (payment),
    UNIQUE (order_id, channel)
);
-- Loaded and listed by clearing_date and channel, in the order of the key.
CREATE INDEX payments_by_clearing_date_channel ON payments (clearing_date, channel, payment);
-- Loaded and listed by bill, in the order of the key.
CREATE INDEX payments_by_bill ON payments (bill, payment);
-- Loaded and listed by contract, in the order of the key.
CREATE INDEX payments_by_contract ON payments (contract, payment);
-- Loaded and listed by mandate, in the order of the key.
CREATE INDEX payments_by_mandate ON payments (mandate, payment);
-- Loaded and listed by institution and authorised_on, in the order of the key.
CREATE INDEX payments_by_institution_authorised_on ON payments (institution, authorised_on, payment);
-- Loaded and listed by person and authorised_on, in the order of the key.
CREATE INDEX payments_by_person_authorised_on ON payments (person, authorised_on, payment);
-- Walked by the queries' timer: as long as there are reservations, whatever the history.
CREATE INDEX payments_by_recorded_at_us_payment ON payments (recorded_at_us, payment) WHERE state = 'RESERVED';

-- How often a channel was asked what became of a reservation, and when it is asked next.
CREATE TABLE payment_queries (
    payment TEXT COLLATE "C" NOT NULL,
    channel TEXT COLLATE "C" NOT NULL,
    times_asked BIGINT NOT NULL,
    due_at_us BIGINT NOT NULL,
    PRIMARY KEY (payment)
);

-- How much of a channel's daily limit is leased.
CREATE TABLE channel_days (
    channel TEXT COLLATE "C" NOT NULL,
    clearing_date TEXT COLLATE "C" NOT NULL,
    leased_fen BIGINT NOT NULL,
    PRIMARY KEY (channel, clearing_date)
);

-- A lane's lease of a channel's daily limit, and what it has drawn.
CREATE TABLE quotas (
    channel TEXT COLLATE "C" NOT NULL,
    clearing_date TEXT COLLATE "C" NOT NULL,
    lane BIGINT NOT NULL,
    leased_fen BIGINT NOT NULL,
    used_fen BIGINT NOT NULL,
    PRIMARY KEY (channel, clearing_date, lane)
);

-- Refunds (退货) of confirmed payments, partial or full.
CREATE TABLE refunds (
    refund TEXT COLLATE "C" NOT NULL,
    payment TEXT COLLATE "C" NOT NULL,
    channel TEXT COLLATE "C" NOT NULL,
    merchant_id TEXT COLLATE "C" NOT NULL,
    order_id TEXT COLLATE "C" NOT NULL,
    region TEXT COLLATE "C" NOT NULL,
    institution_region TEXT COLLATE "C" NOT NULL,
    amount_fen BIGINT NOT NULL,
    state TEXT COLLATE "C" NOT NULL CHECK (state IN ('CONFIRMED', 'MATCHED')),
    transaction_time_us BIGINT NOT NULL,
    clearing_date TEXT COLLATE "C" NOT NULL,
    matched_by TEXT COLLATE "C",
    reason TEXT COLLATE "C" NOT NULL,
    recorded_at_us BIGINT NOT NULL,
    version BIGINT NOT NULL,
    PRIMARY KEY (refund),
    UNIQUE (order_id, channel)
);
-- Loaded and listed by clearing_date and channel, in the order of the key.
CREATE INDEX refunds_by_clearing_date_channel ON refunds (clearing_date, channel, refund);
-- Loaded and listed by payment, in the order of the key.
CREATE INDEX refunds_by_payment ON refunds (payment, refund);

-- An institution's claim for a month, from the stays of the paying region's elders.
CREATE TABLE operating_subsidy_claims (
    claim TEXT COLLATE "C" NOT NULL,
    region TEXT COLLATE "C" NOT NULL,
    payer TEXT COLLATE "C" NOT NULL,
    programme TEXT COLLATE "C" NOT NULL,
    institution TEXT COLLATE "C" NOT NULL,
    month TEXT COLLATE "C" NOT NULL,
    stays TEXT COLLATE "C" NOT NULL,
    amount_fen BIGINT NOT NULL,
    state TEXT COLLATE "C" NOT NULL CHECK (state IN ('CLAIMED', 'APPROVED', 'DECLINED', 'PAID', 'ON_STATEMENT', 'RETURNED')),
    funder_division TEXT COLLATE "C",
    channel TEXT COLLATE "C",
    order_id TEXT COLLATE "C",
    clearing_date TEXT COLLATE "C",
    reason TEXT COLLATE "C" NOT NULL,
    recorded_at_us BIGINT NOT NULL,
    version BIGINT NOT NULL,
    PRIMARY KEY (claim),
    UNIQUE (order_id, channel)
);
-- Loaded and listed by institution and payer and month, in the order of the key.
CREATE INDEX operating_subsidy_claims_by_institution_payer_month ON operating_subsidy_claims (institution, payer, month, claim);
-- Loaded and listed by clearing_date and channel, in the order of the key.
CREATE INDEX operating_subsidy_claims_by_clearing_date_channel ON operating_subsidy_claims (clearing_date, channel, claim);

-- Account balances on the normal side, per layer; `balance + delta`, last before commit.
CREATE TABLE accounts (
    account TEXT COLLATE "C" NOT NULL,
    book TEXT COLLATE "C" NOT NULL,
    region TEXT COLLATE "C" NOT NULL,
    kind TEXT COLLATE "C" NOT NULL CHECK (kind IN ('bank', 'prefund', 'expense', 'receivable', 'suspense', 'appropriation', 'granted',
        'entitlement', 'clearing', 'payable', 'fee_payable')),
    posted_fen BIGINT NOT NULL,
    held_fen BIGINT NOT NULL,
    PRIMARY KEY (account)
);
-- Loaded and listed by book, in the order of the key.
CREATE INDEX accounts_by_book ON accounts (book, account);

-- The journal: one debit, one credit, one positive amount, inside one book and layer.
CREATE TABLE transfers (
    leaf_id TEXT COLLATE "C" NOT NULL,
    line BIGINT NOT NULL,
    book TEXT COLLATE "C" NOT NULL,
    region TEXT COLLATE "C" NOT NULL,
    entry TEXT COLLATE "C" NOT NULL CHECK (entry IN ('BUDGET_ALLOTTED', 'MONTH_GRANTED', 'CHANNEL_FUNDED', 'CREDITED', 'AUTHORISED',
        'HOLD_REVERSED', 'CONFIRMED', 'ADVISED', 'MATCHED', 'HELD_BUT_IN_FILE',
        'FEE_INSTITUTION', 'FEE_REGION', 'SETTLED', 'SETTLED_FEE', 'VOIDED',
        'REFUND_CONFIRMED', 'REFUND_IN_FILE', 'LATE_CONFIRMATION', 'LATE_KEPT',
        'LATE_ACCEPTED', 'LATE_SHORTFALL', 'LATE_REFUNDED', 'CHANNEL_ONLY', 'DUPLICATE',
        'LEDGER_ONLY_CLEARED', 'AMOUNT_FILE_LESS', 'AMOUNT_FILE_MORE', 'SUSPENSE_REPAID',
        'FEE_FILE_MORE', 'FEE_MORE_ACCEPTED', 'FEE_MORE_REPAID', 'FEE_FILE_LESS',
        'REFUND_ORPHAN', 'REFUND_ORPHAN_ACCEPTED', 'CLAWBACK_UNCREDITED',
        'CLAWBACK_RETURNED', 'CLAWBACK_SPENT', 'RECOVERED', 'SPENT_ELSEWHERE',
        'PAID_TO_ESTATE', 'WRITTEN_OFF', 'OPERATING_SUBSIDY_APPROVED',
        'OPERATING_SUBSIDY_CONFIRMED', 'OPERATING_SUBSIDY_ON_STATEMENT',
        'OPERATING_SUBSIDY_RETURNED')),
    layer TEXT COLLATE "C" NOT NULL CHECK (layer IN ('held', 'posted')),
    debit TEXT COLLATE "C" NOT NULL,
    credit TEXT COLLATE "C" NOT NULL,
    amount_fen BIGINT NOT NULL,
    clearing_date TEXT COLLATE "C",
    booking_month TEXT COLLATE "C" NOT NULL,
    corrects TEXT COLLATE "C",
    PRIMARY KEY (leaf_id, line),
    CHECK (amount_fen > 0), -- A transfer moves something.
    CHECK (debit <> credit) -- From one account to another.
);
-- Loaded and listed by debit, in the order of the key.
CREATE INDEX transfers_by_debit ON transfers (debit, leaf_id, line);
-- Loaded and listed by credit, in the order of the key.
CREATE INDEX transfers_by_credit ON transfers (credit, leaf_id, line);
-- Loaded and listed by book and booking_month, in the order of the key.
CREATE INDEX transfers_by_book_booking_month ON transfers (book, booking_month, leaf_id, line);
CREATE TRIGGER transfers_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON transfers
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- What each entry moved between two control accounts in a booking month, posted layer, running: `sum + delta`, last before commit.
CREATE TABLE general_ledger (
    book TEXT COLLATE "C" NOT NULL,
    booking_month TEXT COLLATE "C" NOT NULL,
    entry TEXT COLLATE "C" NOT NULL CHECK (entry IN ('BUDGET_ALLOTTED', 'MONTH_GRANTED', 'CHANNEL_FUNDED', 'CREDITED', 'AUTHORISED',
        'HOLD_REVERSED', 'CONFIRMED', 'ADVISED', 'MATCHED', 'HELD_BUT_IN_FILE',
        'FEE_INSTITUTION', 'FEE_REGION', 'SETTLED', 'SETTLED_FEE', 'VOIDED',
        'REFUND_CONFIRMED', 'REFUND_IN_FILE', 'LATE_CONFIRMATION', 'LATE_KEPT',
        'LATE_ACCEPTED', 'LATE_SHORTFALL', 'LATE_REFUNDED', 'CHANNEL_ONLY', 'DUPLICATE',
        'LEDGER_ONLY_CLEARED', 'AMOUNT_FILE_LESS', 'AMOUNT_FILE_MORE', 'SUSPENSE_REPAID',
        'FEE_FILE_MORE', 'FEE_MORE_ACCEPTED', 'FEE_MORE_REPAID', 'FEE_FILE_LESS',
        'REFUND_ORPHAN', 'REFUND_ORPHAN_ACCEPTED', 'CLAWBACK_UNCREDITED',
        'CLAWBACK_RETURNED', 'CLAWBACK_SPENT', 'RECOVERED', 'SPENT_ELSEWHERE',
        'PAID_TO_ESTATE', 'WRITTEN_OFF', 'OPERATING_SUBSIDY_APPROVED',
        'OPERATING_SUBSIDY_CONFIRMED', 'OPERATING_SUBSIDY_ON_STATEMENT',
        'OPERATING_SUBSIDY_RETURNED')),
    debit TEXT COLLATE "C" NOT NULL,
    credit TEXT COLLATE "C" NOT NULL,
    region TEXT COLLATE "C" NOT NULL,
    amount_fen BIGINT NOT NULL,
    transfers BIGINT NOT NULL,
    PRIMARY KEY (book, booking_month, entry, debit, credit)
);

-- What moved an account of money on a day, posted layer, running: `sum + delta`, last before commit.
CREATE TABLE cash_days (
    account TEXT COLLATE "C" NOT NULL,
    moved_on TEXT COLLATE "C" NOT NULL,
    region TEXT COLLATE "C" NOT NULL,
    posted_fen BIGINT NOT NULL,
    transfers BIGINT NOT NULL,
    PRIMARY KEY (account, moved_on)
);

-- Settlement files as they arrived, encrypted under a key per file.
CREATE TABLE files (
    file TEXT COLLATE "C" NOT NULL,
    sender TEXT COLLATE "C" NOT NULL,
    channel TEXT COLLATE "C" NOT NULL,
    clearing_date TEXT COLLATE "C" NOT NULL,
    format TEXT COLLATE "C" NOT NULL CHECK (format IN ('CSV', 'UNIONPAY_ZIP', 'UNIONPAY_ZM', 'UNIONPAY_ZME', 'CAMT_053', 'CAMT_054',
        'OTHER')),
    content TEXT COLLATE "C" NOT NULL CHECK (content IN ('SETTLEMENT', 'BALANCES', 'STATEMENT', 'REGIONAL_BOOK', 'EVIDENCE')),
    merchant_id TEXT COLLATE "C" NOT NULL,
    file_name TEXT COLLATE "C" NOT NULL,
    size_bytes BIGINT NOT NULL,
    sha256 TEXT COLLATE "C" NOT NULL,
    stored_sha256 TEXT COLLATE "C" NOT NULL,
    wrapped_key TEXT COLLATE "C" NOT NULL,
    state TEXT COLLATE "C" NOT NULL CHECK (state IN ('UPLOADING', 'RECEIVED', 'REFUSED', 'SUPERSEDED')),
    rows BIGINT NOT NULL,
    rejected_rows BIGINT NOT NULL,
    rejections TEXT COLLATE "C" NOT NULL,
    refusal TEXT COLLATE "C" CHECK (refusal IN ('UNREADABLE', 'HEADER', 'ROW_TOO_LONG', 'NO_READABLE_ROW', 'ARCHIVE_DAMAGED',
        'ARCHIVE_UNSUPPORTED', 'ARCHIVE_TOO_LARGE', 'MEMBER_NAME', 'MEMBER_DUPLICATE',
        'MEMBER_UNKNOWN', 'MEMBER_NESTED', 'MEMBER_MISSING', 'XML_MALFORMED',
        'XML_DOCUMENT_TYPE', 'XML_ENTITY', 'XML_TOO_LARGE', 'ENCODING', 'MESSAGE_UNKNOWN',
        'SCHEMA', 'CURRENCY', 'BALANCE', 'CONTROL_TOTAL', 'TOO_MANY_ENTRIES')),
    refusal_detail TEXT COLLATE "C" NOT NULL,
    superseded_by TEXT COLLATE "C",
    recorded_at_us BIGINT NOT NULL,
    version BIGINT NOT NULL,
    PRIMARY KEY (file)
);
-- Loaded and listed by channel and clearing_date, in the order of the key.
CREATE INDEX files_by_channel_clearing_date ON files (channel, clearing_date, file);

-- Statements of one bank account, as a file states them; their balances add up with their entries.
CREATE TABLE bank_statements (
    file TEXT COLLATE "C" NOT NULL,
    statement BIGINT NOT NULL,
    channel TEXT COLLATE "C" NOT NULL,
    clearing_date TEXT COLLATE "C" NOT NULL,
    reference TEXT COLLATE "C" NOT NULL,
    account TEXT COLLATE "C" NOT NULL,
    opening_fen BIGINT,
    opening_on TEXT COLLATE "C",
    closing_fen BIGINT,
    closing_on TEXT COLLATE "C",
    credit_fen BIGINT NOT NULL,
    debit_fen BIGINT NOT NULL,
    entries BIGINT NOT NULL,
    PRIMARY KEY (file, statement)
);
-- Loaded and listed by channel and clearing_date, in the order of the key.
CREATE INDEX bank_statements_by_channel_clearing_date ON bank_statements (channel, clearing_date, file, statement);
CREATE TRIGGER bank_statements_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON bank_statements
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- The transactions of bank statements: those of one bulk entry share its `entry`.
CREATE TABLE bank_entries (
    file TEXT COLLATE "C" NOT NULL,
    entry BIGINT NOT NULL,
    part BIGINT NOT NULL,
    statement BIGINT NOT NULL,
    channel TEXT COLLATE "C" NOT NULL,
    direction TEXT COLLATE "C" NOT NULL CHECK (direction IN ('CREDIT', 'DEBIT')),
    amount_fen BIGINT NOT NULL,
    entry_fen BIGINT NOT NULL,
    entry_status TEXT COLLATE "C" NOT NULL CHECK (entry_status IN ('BOOKED', 'PENDING', 'INFORMATION')),
    is_reversal BIGINT NOT NULL,
    booked_on TEXT COLLATE "C" NOT NULL,
    value_on TEXT COLLATE "C",
    end_to_end_id TEXT COLLATE "C" NOT NULL,
    bank_reference TEXT COLLATE "C" NOT NULL,
    counterparty TEXT COLLATE "C" NOT NULL,
    counterparty_last4 TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (file, entry, part)
);
-- Loaded and listed by end_to_end_id, in the order of the key.
CREATE INDEX bank_entries_by_end_to_end_id ON bank_entries (end_to_end_id, file, entry, part);
-- Loaded and listed by channel and booked_on, in the order of the key.
CREATE INDEX bank_entries_by_channel_booked_on ON bank_entries (channel, booked_on, file, entry, part);
CREATE TRIGGER bank_entries_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON bank_entries
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- Reconciliation runs of a channel and clearing date.
CREATE TABLE runs (
    run TEXT COLLATE "C" NOT NULL,
    channel TEXT COLLATE "C" NOT NULL,
    clearing_date TEXT COLLATE "C" NOT NULL,
    number BIGINT NOT NULL,
    state TEXT COLLATE "C" NOT NULL CHECK (state IN ('BALANCED', 'WITH_BREAKS', 'INCOMPLETE')),
    expected_files TEXT COLLATE "C" NOT NULL,
    files_complete BIGINT NOT NULL,
    cut BIGINT NOT NULL,
    ledger_leg TEXT COLLATE "C" NOT NULL,
    channel_leg TEXT COLLATE "C" NOT NULL,
    region_legs TEXT COLLATE "C" NOT NULL,
    identities TEXT COLLATE "C" NOT NULL,
    breaks_opened BIGINT NOT NULL,
    breaks_open BIGINT NOT NULL,
    reservations_expired BIGINT NOT NULL,
    terms TEXT COLLATE "C" NOT NULL,
    root TEXT COLLATE "C" NOT NULL,
    started_by TEXT COLLATE "C" NOT NULL,
    recorded_at_us BIGINT NOT NULL,
    version BIGINT NOT NULL,
    PRIMARY KEY (run)
);
-- Loaded and listed by channel and clearing_date, in the order of the key.
CREATE INDEX runs_by_channel_clearing_date ON runs (channel, clearing_date, run);

-- Each region's (and the gateway's) view of a run: its rows' root, and who signed it.
CREATE TABLE run_views (
    run TEXT COLLATE "C" NOT NULL,
    participant TEXT COLLATE "C" NOT NULL,
    rows BIGINT NOT NULL,
    debit_fen BIGINT NOT NULL,
    credit_fen BIGINT NOT NULL,
    root TEXT COLLATE "C" NOT NULL,
    state TEXT COLLATE "C" NOT NULL CHECK (state IN ('OPEN', 'AGREED', 'DISPUTED', 'UNSIGNED')),
    sign_by TEXT COLLATE "C" NOT NULL,
    signed_by TEXT COLLATE "C",
    signed_at_us BIGINT,
    differences TEXT COLLATE "C" NOT NULL,
    version BIGINT NOT NULL,
    PRIMARY KEY (run, participant)
);

-- The rows of a run's views, whole as the roots cover them: one per unit, in canonical order.
CREATE TABLE run_units (
    run TEXT COLLATE "C" NOT NULL,
    position BIGINT NOT NULL,
    region TEXT COLLATE "C",
    institution_region TEXT COLLATE "C",
    body TEXT COLLATE "C" NOT NULL,
    break_name TEXT COLLATE "C",
    PRIMARY KEY (run, position)
);
CREATE TRIGGER run_units_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON run_units
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- Differences, findings and file faults under work; one id for life.
CREATE TABLE breaks (
    break_name TEXT COLLATE "C" NOT NULL,
    category TEXT COLLATE "C" NOT NULL CHECK (category IN ('DIFFERENCE', 'FINDING', 'FILE_FAULT')),
    class TEXT COLLATE "C" NOT NULL CHECK (class IN ('DUPLICATE', 'AMBIGUOUS', 'REFUND_ORPHAN', 'CUTOFF', 'CHANNEL_ONLY', 'LEDGER_ONLY',
        'REGION_ONLY', 'REGION_MISSING', 'PARTY_MISMATCH', 'STATUS_MISMATCH',
        'AMOUNT_MISMATCH', 'FEE_MISMATCH', 'PAID_AFTER_REVOCATION',
        'PAID_WITHOUT_CONTRACT', 'CONDITION_UNMET', 'LATE_CONFIRMATION', 'OVERSPENT',
        'BILL_EXCEEDED', 'GRANT_WITHOUT_BASIS', 'CREDIT_FAILED', 'CONTRADICTION',
        'FILE_MISSING', 'CONTROL_TOTAL', 'BALANCE_MISMATCH', 'MISSING_FIELD',
        'PAYOUT_MISMATCH', 'PAYOUT_MISSING')),
    condition TEXT COLLATE "C" CHECK (condition IN ('CONTRACT', 'CONTRACT_EVIDENCE', 'STAY', 'RATING', 'BASIS', 'FEE_TYPE', 'BILL',
        'FUNDS')),
    priority BIGINT NOT NULL,
    state TEXT COLLATE "C" NOT NULL CHECK (state IN ('NEW', 'ASSIGNED', 'PROPOSED', 'RESOLVED')),
    channel TEXT COLLATE "C",
    clearing_date TEXT COLLATE "C" NOT NULL,
    region TEXT COLLATE "C",
    programme TEXT COLLATE "C",
    institution_region TEXT COLLATE "C",
    book_region TEXT COLLATE "C",
    subject TEXT COLLATE "C" NOT NULL,
    person TEXT COLLATE "C",
    fields TEXT COLLATE "C" NOT NULL,
    rows TEXT COLLATE "C" NOT NULL,
    rule TEXT COLLATE "C" NOT NULL,
    cause TEXT COLLATE "C" NOT NULL,
    alert TEXT COLLATE "C" NOT NULL,
    amount_fen BIGINT NOT NULL,
    stakes TEXT COLLATE "C" NOT NULL,
    opened_by TEXT COLLATE "C",
    seen_by TEXT COLLATE "C",
    opened_at_us BIGINT NOT NULL,
    due_on TEXT COLLATE "C" NOT NULL,
    assignee TEXT COLLATE "C",
    resolution TEXT COLLATE "C" CHECK (resolution IN ('ACCEPT', 'REPAY', 'RELEASE', 'INSTITUTION_BEARS', 'WRITE_OFF', 'CORRECT_RECORD',
        'JUSTIFIED', 'CLEARED')),
    proposed_by TEXT COLLATE "C",
    proposal_reason TEXT COLLATE "C",
    decided_by TEXT COLLATE "C",
    decision_reason TEXT COLLATE "C",
    resolved_at_us BIGINT,
    entries TEXT COLLATE "C" NOT NULL,
    policy TEXT COLLATE "C",
    attachments TEXT COLLATE "C" NOT NULL,
    hands TEXT COLLATE "C" NOT NULL,
    step TEXT COLLATE "C" NOT NULL CHECK (step IN ('OPENED', 'CHANGED', 'REOPENED', 'ASSIGNED', 'COMMENTED', 'EVIDENCE_ATTACHED',
        'PROPOSED', 'WITHDRAWN', 'DECLINED', 'APPROVED', 'AUTOMATIC', 'CLEARED')),
    step_by TEXT COLLATE "C" NOT NULL,
    step_at_us BIGINT NOT NULL,
    note TEXT COLLATE "C" NOT NULL,
    version BIGINT NOT NULL,
    PRIMARY KEY (break_name)
);
-- Loaded and listed by channel and clearing_date, in the order of the key.
CREATE INDEX breaks_by_channel_clearing_date ON breaks (channel, clearing_date, break_name);
-- Loaded and listed by state and channel, in the order of the key.
CREATE INDEX breaks_by_state_channel ON breaks (state, channel, break_name);
-- Loaded and listed by subject, in the order of the key.
CREATE INDEX breaks_by_subject ON breaks (subject, break_name);
-- Loaded and listed by alert, in the order of the key.
CREATE INDEX breaks_by_alert ON breaks (alert, break_name);

-- Systemic alerts: floods of alike breaks, of one channel, clearing date, class and cause.
CREATE TABLE alerts (
    alert TEXT COLLATE "C" NOT NULL,
    channel TEXT COLLATE "C" NOT NULL,
    clearing_date TEXT COLLATE "C" NOT NULL,
    class TEXT COLLATE "C" NOT NULL CHECK (class IN ('DUPLICATE', 'AMBIGUOUS', 'REFUND_ORPHAN', 'CUTOFF', 'CHANNEL_ONLY', 'LEDGER_ONLY',
        'REGION_ONLY', 'REGION_MISSING', 'PARTY_MISMATCH', 'STATUS_MISMATCH',
        'AMOUNT_MISMATCH', 'FEE_MISMATCH', 'PAID_AFTER_REVOCATION',
        'PAID_WITHOUT_CONTRACT', 'CONDITION_UNMET', 'LATE_CONFIRMATION', 'OVERSPENT',
        'BILL_EXCEEDED', 'GRANT_WITHOUT_BASIS', 'CREDIT_FAILED', 'CONTRADICTION',
        'FILE_MISSING', 'CONTROL_TOTAL', 'BALANCE_MISMATCH', 'MISSING_FIELD',
        'PAYOUT_MISMATCH', 'PAYOUT_MISSING')),
    cause TEXT COLLATE "C" NOT NULL,
    state TEXT COLLATE "C" NOT NULL CHECK (state IN ('OPEN', 'OVER')),
    members BIGINT NOT NULL,
    amount_fen BIGINT NOT NULL,
    unopened BIGINT NOT NULL,
    unopened_fen BIGINT NOT NULL,
    most_unopened_fen TEXT COLLATE "C" NOT NULL,
    seen_by TEXT COLLATE "C" NOT NULL,
    opened_at_us BIGINT NOT NULL,
    recorded_at_us BIGINT NOT NULL,
    version BIGINT NOT NULL,
    PRIMARY KEY (alert)
);
-- Loaded and listed by channel and clearing_date, in the order of the key.
CREATE INDEX alerts_by_channel_clearing_date ON alerts (channel, clearing_date, alert);
-- Loaded and listed by state and channel, in the order of the key.
CREATE INDEX alerts_by_state_channel ON alerts (state, channel, alert);

-- Where a channel's settlement stands: the last cycle, and the ledger number up to which it has taken in the journal.
CREATE TABLE settlement_cycles (
    channel TEXT COLLATE "C" NOT NULL,
    clearing_date TEXT COLLATE "C" NOT NULL,
    cut BIGINT NOT NULL,
    recorded_at_us BIGINT NOT NULL,
    version BIGINT NOT NULL,
    PRIMARY KEY (channel)
);

-- What of a payee's account is stated: the balance at the last cut, and how much of it open statements have.
CREATE TABLE settlement_positions (
    account TEXT COLLATE "C" NOT NULL,
    channel TEXT COLLATE "C" NOT NULL,
    region TEXT COLLATE "C" NOT NULL,
    statement TEXT COLLATE "C" NOT NULL,
    balance_fen BIGINT NOT NULL,
    open_fen BIGINT NOT NULL,
    subsidy_fen BIGINT NOT NULL,
    version BIGINT NOT NULL,
    PRIMARY KEY (account)
);

-- Settlement statements (结算单) of a channel, cycle, book and payee.
CREATE TABLE settlement_statements (
    statement TEXT COLLATE "C" NOT NULL,
    channel TEXT COLLATE "C" NOT NULL,
    region TEXT COLLATE "C" NOT NULL,
    programme TEXT COLLATE "C" NOT NULL,
    account TEXT COLLATE "C" NOT NULL,
    institution TEXT COLLATE "C",
    institution_region TEXT COLLATE "C",
    from_date TEXT COLLATE "C" NOT NULL,
    clearing_date TEXT COLLATE "C" NOT NULL,
    gross_fen BIGINT NOT NULL,
    refunds_fen BIGINT NOT NULL,
    fees_fen BIGINT NOT NULL,
    adjustments_fen BIGINT NOT NULL,
    brought_forward_fen BIGINT NOT NULL,
    withheld_fen BIGINT NOT NULL,
    net_fen BIGINT NOT NULL,
    funders TEXT COLLATE "C" NOT NULL,
    settlement_account TEXT COLLATE "C",
    account_last4 TEXT COLLATE "C" NOT NULL,
    end_to_end_id TEXT COLLATE "C" NOT NULL,
    due_on TEXT COLLATE "C" NOT NULL,
    state TEXT COLLATE "C" NOT NULL CHECK (state IN ('OPEN', 'SETTLED', 'CARRIED', 'TAKEN')),
    paid_fen BIGINT NOT NULL,
    payout TEXT COLLATE "C",
    recorded_at_us BIGINT NOT NULL,
    version BIGINT NOT NULL,
    PRIMARY KEY (statement)
);
-- Loaded and listed by channel and state, in the order of the key.
CREATE INDEX settlement_statements_by_channel_state ON settlement_statements (channel, state, statement);

-- Payouts as channels report them.
CREATE TABLE payouts (
    payout TEXT COLLATE "C" NOT NULL,
    channel TEXT COLLATE "C" NOT NULL,
    reference TEXT COLLATE "C" NOT NULL,
    end_to_end_id TEXT COLLATE "C" NOT NULL,
    institution TEXT COLLATE "C",
    account_last4 TEXT COLLATE "C" NOT NULL,
    amount_fen BIGINT NOT NULL,
    paid_on TEXT COLLATE "C" NOT NULL,
    state TEXT COLLATE "C" NOT NULL CHECK (state IN ('MATCHED', 'UNMATCHED')),
    rule TEXT COLLATE "C" NOT NULL CHECK (rule IN ('END_TO_END_ID', 'AMOUNT', 'PAYEE', 'CYCLE', 'CHANNEL', 'NONE')),
    statements TEXT COLLATE "C" NOT NULL,
    region TEXT COLLATE "C",
    break_name TEXT COLLATE "C",
    proof TEXT COLLATE "C" NOT NULL CHECK (proof IN ('NOT_EXPECTED', 'AWAITED', 'PROVEN')),
    proof_rule TEXT COLLATE "C" CHECK (proof_rule IN ('END_TO_END_ID', 'STATEMENT_IDS', 'AMOUNT_AND_DATE', 'BULK')),
    proof_file TEXT COLLATE "C",
    bank_entries TEXT COLLATE "C" NOT NULL,
    proven_on TEXT COLLATE "C",
    recorded_at_us BIGINT NOT NULL,
    version BIGINT NOT NULL,
    PRIMARY KEY (payout),
    UNIQUE (channel, reference)
);
-- Loaded and listed by proof and channel, in the order of the key.
CREATE INDEX payouts_by_proof_channel ON payouts (proof, channel, payout);
-- Loaded and listed by proof_file, in the order of the key.
CREATE INDEX payouts_by_proof_file ON payouts (proof_file, payout);
-- Loaded and listed by proven_on and channel, in the order of the key.
CREATE INDEX payouts_by_proven_on_channel ON payouts (proven_on, channel, payout);

-- Month closes of a book, with the trial balance as it was closed.
CREATE TABLE month_closes (
    book TEXT COLLATE "C" NOT NULL,
    month TEXT COLLATE "C" NOT NULL,
    region TEXT COLLATE "C" NOT NULL,
    state TEXT COLLATE "C" NOT NULL CHECK (state IN ('PROPOSED', 'CLOSED', 'DECLINED')),
    trial TEXT COLLATE "C" NOT NULL,
    transfers BIGINT NOT NULL,
    placed_fen TEXT COLLATE "C" NOT NULL,
    proposed_by TEXT COLLATE "C" NOT NULL,
    proposal_reason TEXT COLLATE "C" NOT NULL,
    decided_by TEXT COLLATE "C",
    decision_reason TEXT COLLATE "C",
    recorded_at_us BIGINT NOT NULL,
    version BIGINT NOT NULL,
    PRIMARY KEY (book, month)
);

-- Accepted requests: the same id with the same content gets the first answer again.
CREATE TABLE requests (
    participant TEXT COLLATE "C" NOT NULL,
    request_id TEXT COLLATE "C" NOT NULL,
    content_digest TEXT COLLATE "C" NOT NULL,
    leaf_id TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (participant, request_id)
);

-- Who signed what: the exact bytes of an accepted request, its path in the signed call, and the call's token,
CREATE TABLE evidence (
    leaf_id TEXT COLLATE "C" NOT NULL,
    method_path TEXT COLLATE "C" NOT NULL,
    item BYTEA NOT NULL,
    sealed_for TEXT COLLATE "C",
    token_leaf TEXT COLLATE "C" NOT NULL,
    token TEXT COLLATE "C",
    item_index BIGINT NOT NULL,
    item_count BIGINT NOT NULL,
    item_path TEXT COLLATE "C" NOT NULL,
    receipt BYTEA NOT NULL,
    PRIMARY KEY (leaf_id)
);
CREATE TRIGGER evidence_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON evidence
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- The log's entries as accepted: what each leaf commits to, in canonical JSON.
CREATE TABLE leaves (
    leaf_id TEXT COLLATE "C" NOT NULL,
    record TEXT COLLATE "C" NOT NULL,
    version BIGINT NOT NULL,
    kind TEXT COLLATE "C" NOT NULL,
    author TEXT COLLATE "C" NOT NULL,
    recorded_at_us BIGINT NOT NULL,
    body BYTEA NOT NULL,
    leaf_hash TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (leaf_id),
    UNIQUE (record, version)
);
CREATE TRIGGER leaves_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON leaves
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- Accepted leaves that wait for their number; a queue, empty when the sequencer has caught up.
CREATE TABLE leaf_pending (
    pending_id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY NOT NULL,
    leaf_id TEXT COLLATE "C" NOT NULL,
    leaf_hash TEXT COLLATE "C" NOT NULL,
    audience TEXT COLLATE "C" NOT NULL
);

-- The one order of the log: contiguous from 0, numbered after commit.
CREATE TABLE leaf_order (
    leaf_index BIGINT NOT NULL,
    leaf_id TEXT COLLATE "C" NOT NULL,
    leaf_hash TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (leaf_index),
    UNIQUE (leaf_id)
);
CREATE TRIGGER leaf_order_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON leaf_order
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- Which leaves each participant's streams carry.
CREATE TABLE deliveries (
    participant TEXT COLLATE "C" NOT NULL,
    topic TEXT COLLATE "C" NOT NULL CHECK (topic IN ('EVENT', 'INSTRUCTION')),
    leaf_index BIGINT NOT NULL,
    PRIMARY KEY (participant, topic, leaf_index)
);
CREATE TRIGGER deliveries_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON deliveries
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- Hashes of complete subtrees of the log at levels 8, 16 and so on, for short proofs.
CREATE TABLE log_nodes (
    level BIGINT NOT NULL,
    node_index BIGINT NOT NULL,
    hash TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (level, node_index)
);
CREATE TRIGGER log_nodes_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON log_nodes
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- The one row from which the next leaves extend the tree.
CREATE TABLE log_frontier (
    id BIGINT NOT NULL,
    tree_size BIGINT NOT NULL,
    frontier TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (id),
    CHECK (id = 1) -- There is one log.
);

-- Signed tree heads.
CREATE TABLE checkpoints (
    tree_size BIGINT NOT NULL,
    root TEXT COLLATE "C" NOT NULL,
    note TEXT COLLATE "C" NOT NULL,
    sealed_at_us BIGINT NOT NULL,
    PRIMARY KEY (tree_size)
);
CREATE TRIGGER checkpoints_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON checkpoints
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- Witnesses' cosignatures of heads. Unprotected: who relies on one verifies it.
CREATE TABLE cosignatures (
    tree_size BIGINT NOT NULL,
    witness TEXT COLLATE "C" NOT NULL,
    line TEXT COLLATE "C" NOT NULL,
    cosigned_at_us BIGINT NOT NULL,
    PRIMARY KEY (tree_size, witness)
);

-- How far each participant has acknowledged each of its streams. Unprotected.
CREATE TABLE cursors (
    participant TEXT COLLATE "C" NOT NULL,
    topic TEXT COLLATE "C" NOT NULL CHECK (topic IN ('EVENT', 'INSTRUCTION')),
    leaf_index BIGINT NOT NULL,
    acknowledged_at_us BIGINT NOT NULL,
    PRIMARY KEY (participant, topic)
);

-- Uploads under way. Unprotected: the completing request signs size and digest.
CREATE TABLE uploads (
    upload TEXT COLLATE "C" NOT NULL,
    participant TEXT COLLATE "C" NOT NULL,
    declared_bytes BIGINT NOT NULL,
    declared_digest TEXT COLLATE "C" NOT NULL,
    wrapped_key TEXT COLLATE "C" NOT NULL,
    received_bytes BIGINT NOT NULL,
    next_chunk BIGINT NOT NULL,
    begun_at_us BIGINT NOT NULL,
    PRIMARY KEY (upload)
);
-- Loaded and listed by begun_at_us, in the order of the key.
CREATE INDEX uploads_by_begun_at_us ON uploads (begun_at_us, upload);

-- Files in encrypted pieces; protected by the digest in the completing leaf.
CREATE TABLE file_chunks (
    file TEXT COLLATE "C" NOT NULL,
    chunk_index BIGINT NOT NULL,
    ciphertext BYTEA NOT NULL,
    PRIMARY KEY (file, chunk_index)
);
