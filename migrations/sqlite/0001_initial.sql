-- Generated from the tables' declarations by
--   cargo run -p jjj-store --example migration
-- Amounts are fen, times UTC microseconds, digests lower-case hex.

-- Regions, channels and the gateway itself.
CREATE TABLE participants (
    participant TEXT NOT NULL,
    kind TEXT NOT NULL CHECK (kind IN ('REGION', 'CHANNEL', 'GATEWAY')),
    display_name TEXT NOT NULL,
    standing TEXT NOT NULL CHECK (standing IN ('ACTIVE', 'SUSPENDED', 'REMOVED')),
    standing_reason TEXT NOT NULL,
    confirmed_by TEXT NOT NULL,
    recorded_at_us INTEGER NOT NULL,
    version INTEGER NOT NULL,
    PRIMARY KEY (participant)
) STRICT, WITHOUT ROWID;

-- Certificate authorities whose client certificates a participant uses.
CREATE TABLE authorities (
    participant TEXT NOT NULL,
    fingerprint TEXT NOT NULL,
    certificate_pem TEXT NOT NULL,
    not_before_us INTEGER NOT NULL,
    not_after_us INTEGER NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('ACTIVE', 'RETIRED', 'WITHDRAWN')),
    ended_at_us INTEGER,
    reason TEXT NOT NULL,
    recorded_at_us INTEGER NOT NULL,
    version INTEGER NOT NULL,
    PRIMARY KEY (participant, fingerprint)
) STRICT, WITHOUT ROWID;

-- Public keys that sign request tokens; `kid` is the RFC 7638 thumbprint.
CREATE TABLE keys (
    kid TEXT NOT NULL,
    holder TEXT NOT NULL,
    jwk TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('ACTIVE', 'RETIRED', 'WITHDRAWN')),
    added_at_us INTEGER NOT NULL,
    ended_at_us INTEGER,
    suspect_from_us INTEGER,
    reason TEXT NOT NULL,
    version INTEGER NOT NULL,
    PRIMARY KEY (kid)
) STRICT, WITHOUT ROWID;
-- Loaded and listed by holder, in the order of the key.
CREATE INDEX keys_by_holder ON keys (holder, kid);

-- The people who run reconciliation, policy and registry for a participant.
CREATE TABLE administrators (
    administrator TEXT NOT NULL,
    participant TEXT NOT NULL,
    display_name TEXT NOT NULL,
    standing TEXT NOT NULL CHECK (standing IN ('ACTIVE', 'SUSPENDED', 'REMOVED')),
    reason TEXT NOT NULL,
    recorded_at_us INTEGER NOT NULL,
    version INTEGER NOT NULL,
    PRIMARY KEY (administrator)
) STRICT, WITHOUT ROWID;
-- Loaded and listed by participant, in the order of the key.
CREATE INDEX administrators_by_participant ON administrators (participant, administrator);

-- Names that the log took after a restore, each with what it follows; the first has no row.
CREATE TABLE origins (
    origin TEXT NOT NULL,
    follows TEXT NOT NULL,
    tree_size INTEGER NOT NULL,
    root TEXT NOT NULL,
    witnessed_size INTEGER NOT NULL,
    reason TEXT NOT NULL,
    recorded_at_us INTEGER NOT NULL,
    version INTEGER NOT NULL,
    PRIMARY KEY (origin)
) STRICT, WITHOUT ROWID;

-- Policy bodies by kind, scope and effective date; the newest version of the newest date not after the day asked for is in force.
CREATE TABLE policies (
    kind TEXT NOT NULL CHECK (kind IN ('gate', 'programme', 'agreement', 'record_kind', 'contract_caps', 'channel',
        'operating_subsidy', 'settlement_account', 'calendar', 'breaks', 'accounting')),
    scope TEXT NOT NULL,
    effective_from TEXT NOT NULL,
    version INTEGER NOT NULL,
    body TEXT NOT NULL,
    set_by TEXT NOT NULL,
    reason TEXT NOT NULL,
    agreement TEXT,
    recorded_at_us INTEGER NOT NULL,
    PRIMARY KEY (kind, scope, effective_from, version)
) STRICT, WITHOUT ROWID;

-- Versions of agreements between two regions, as proposed by one and answered by the other.
CREATE TABLE agreements (
    agreement TEXT NOT NULL,
    scope TEXT NOT NULL,
    issuer TEXT NOT NULL,
    recognizer TEXT NOT NULL,
    record_kind TEXT NOT NULL CHECK (record_kind IN ('RATING', 'ASSESSMENT', 'DISABILITY_CERTIFICATE')),
    effective_from TEXT NOT NULL,
    body TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('PROPOSED', 'ACCEPTED', 'DECLINED', 'WITHDRAWN', 'ENDED', 'SUPERSEDED')),
    proposed_by TEXT NOT NULL,
    proposed_at_us INTEGER NOT NULL,
    answered_by TEXT,
    reason TEXT NOT NULL,
    policy TEXT,
    recorded_at_us INTEGER NOT NULL,
    version INTEGER NOT NULL,
    PRIMARY KEY (agreement)
) STRICT, WITHOUT ROWID;
-- Loaded and listed by scope and state, in the order of the key.
CREATE INDEX agreements_by_scope_state ON agreements (scope, state, agreement);

-- Care institutions, registered by the region of their division.
CREATE TABLE institutions (
    institution TEXT NOT NULL,
    uscc TEXT NOT NULL,
    kind TEXT NOT NULL CHECK (kind IN ('CARE_INSTITUTION', 'COMMUNITY_STATION')),
    display_name TEXT NOT NULL,
    division TEXT NOT NULL,
    region TEXT NOT NULL,
    beds INTEGER NOT NULL,
    residents INTEGER NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('OPERATING', 'SUSPENDED', 'CLOSED')),
    reason TEXT NOT NULL,
    recorded_at_us INTEGER NOT NULL,
    version INTEGER NOT NULL,
    PRIMARY KEY (institution)
) STRICT, WITHOUT ROWID;
-- Loaded and listed by region, in the order of the key.
CREATE INDEX institutions_by_region ON institutions (region, institution);

-- Dated membership in the online-signing scope (网签范围): counts are not monotone (DOMAIN.md §0).
CREATE TABLE signing_scope (
    institution TEXT NOT NULL,
    entered_on TEXT NOT NULL,
    left_on TEXT,
    document_number TEXT NOT NULL,
    recorded_at_us INTEGER NOT NULL,
    version INTEGER NOT NULL,
    PRIMARY KEY (institution, entered_on)
) STRICT, WITHOUT ROWID;

-- Settlement accounts: changed four-eyed, usable after a cooling-off time.
CREATE TABLE settlement_accounts (
    account TEXT NOT NULL,
    institution TEXT NOT NULL,
    region TEXT NOT NULL,
    channel TEXT NOT NULL,
    merchant_id TEXT NOT NULL,
    account_holder TEXT NOT NULL,
    bank_code TEXT NOT NULL,
    account_token TEXT NOT NULL,
    account_last4 TEXT NOT NULL,
    effective_from TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('PROPOSED', 'APPROVED', 'DECLINED')),
    proposed_by TEXT NOT NULL,
    decided_by TEXT,
    reason TEXT NOT NULL,
    usable_from_us INTEGER,
    recorded_at_us INTEGER NOT NULL,
    version INTEGER NOT NULL,
    PRIMARY KEY (account)
) STRICT, WITHOUT ROWID;
-- Loaded and listed by institution, in the order of the key.
CREATE INDEX settlement_accounts_by_institution ON settlement_accounts (institution, account);
-- Loaded and listed by channel and merchant_id, in the order of the key.
CREATE INDEX settlement_accounts_by_channel_merchant_id ON settlement_accounts (channel, merchant_id, account);

-- Persons by pseudonym. Nothing here names anybody.
CREATE TABLE persons (
    person TEXT NOT NULL,
    kind TEXT NOT NULL CHECK (kind IN ('ELDER', 'PARTY')),
    region TEXT NOT NULL,
    household_region TEXT NOT NULL,
    household_division TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('ACTIVE', 'DECEASED', 'MERGED', 'ERASED')),
    merged_into TEXT,
    died_on TEXT,
    reason TEXT NOT NULL,
    recorded_at_us INTEGER NOT NULL,
    version INTEGER NOT NULL,
    PRIMARY KEY (person)
) STRICT, WITHOUT ROWID;
-- Loaded and listed by region, in the order of the key.
CREATE INDEX persons_by_region ON persons (region, person);
-- Loaded and listed by merged_into, in the order of the key.
CREATE INDEX persons_by_merged_into ON persons (merged_into, person) WHERE merged_into IS NOT NULL;

-- Keyed hashes by which a person is found; erased with the person.
CREATE TABLE person_identifiers (
    person TEXT NOT NULL,
    holder TEXT NOT NULL CHECK (holder IN ('ELDER', 'PARTY')),
    lookup_hash TEXT NOT NULL,
    kind TEXT NOT NULL CHECK (kind IN ('RESIDENT_ID', 'SOCIAL_SECURITY_CARD', 'SENIOR_DISABILITY_CARD')),
    ciphertext TEXT NOT NULL,
    PRIMARY KEY (holder, lookup_hash)
) STRICT, WITHOUT ROWID;
-- Loaded and listed by person, in the order of the key.
CREATE INDEX person_identifiers_by_person ON person_identifiers (person, holder, lookup_hash);

-- Personal data without the identifiers, encrypted under the person's key.
CREATE TABLE person_data (
    person TEXT NOT NULL,
    ciphertext TEXT NOT NULL,
    PRIMARY KEY (person)
) STRICT, WITHOUT ROWID;

-- Each person's data key, wrapped under the master key, and the salt of the person's commitments.
CREATE TABLE person_keys (
    person TEXT NOT NULL,
    wrapped_key TEXT NOT NULL,
    salt TEXT NOT NULL,
    PRIMARY KEY (person)
) STRICT, WITHOUT ROWID;

-- Audit records of reads of personal data, written by the gateway.
CREATE TABLE accesses (
    access TEXT NOT NULL,
    kind TEXT NOT NULL CHECK (kind IN ('FIND', 'READ')),
    person TEXT NOT NULL,
    region TEXT NOT NULL,
    household_region TEXT NOT NULL,
    reader TEXT NOT NULL,
    reader_participant TEXT NOT NULL,
    purpose TEXT NOT NULL,
    token_digest TEXT NOT NULL,
    recorded_at_us INTEGER NOT NULL,
    PRIMARY KEY (access)
) STRICT, WITHOUT ROWID;
-- Loaded and listed by person, in the order of the key.
CREATE INDEX accesses_by_person ON accesses (person, access);
CREATE TRIGGER accesses_no_update BEFORE UPDATE ON accesses
BEGIN SELECT RAISE(ABORT, 'accesses is append-only'); END;
CREATE TRIGGER accesses_no_delete BEFORE DELETE ON accesses
BEGIN SELECT RAISE(ABORT, 'accesses is append-only'); END;

-- Ratings, assessments, certificates: the current version of each; earlier versions are in the log.
CREATE TABLE records (
    record TEXT NOT NULL,
    kind TEXT NOT NULL CHECK (kind IN ('RATING', 'ASSESSMENT', 'DISABILITY_CERTIFICATE')),
    issuer TEXT NOT NULL,
    subject TEXT NOT NULL,
    scheme TEXT NOT NULL,
    native_level INTEGER NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('APPLIED', 'PUBLICIZED', 'VALID', 'RECTIFYING', 'SUSPENDED', 'UPGRADED',
        'DOWNGRADED', 'AMENDED', 'REVOKED', 'SUPERSEDED', 'CANCELLED')),
    document_number TEXT NOT NULL,
    decided_by TEXT NOT NULL,
    decided_on TEXT NOT NULL,
    valid_from TEXT NOT NULL,
    valid_until TEXT NOT NULL,
    effective_on TEXT NOT NULL,
    recorded_at_us INTEGER NOT NULL,
    reason TEXT NOT NULL,
    supersedes TEXT,
    content TEXT NOT NULL,
    version INTEGER NOT NULL,
    PRIMARY KEY (record)
) STRICT, WITHOUT ROWID;
-- Loaded and listed by subject and kind, in the order of the key.
CREATE INDEX records_by_subject_kind ON records (subject, kind, record);
-- Loaded and listed by issuer and kind, in the order of the key.
CREATE INDEX records_by_issuer_kind ON records (issuer, kind, record);

-- One region's recognition of another region's record.
CREATE TABLE recognitions (
    recognition TEXT NOT NULL,
    record TEXT NOT NULL,
    kind TEXT NOT NULL CHECK (kind IN ('RATING', 'ASSESSMENT', 'DISABILITY_CERTIFICATE')),
    record_version INTEGER NOT NULL,
    issuer TEXT NOT NULL,
    recognizer TEXT NOT NULL,
    subject TEXT NOT NULL,
    scheme TEXT NOT NULL,
    native_level INTEGER NOT NULL,
    recognized_min INTEGER NOT NULL,
    recognized_max INTEGER NOT NULL,
    quality TEXT NOT NULL CHECK (quality IN ('EXACT', 'NOMINAL', 'AMBIGUOUS')),
    valid_from TEXT NOT NULL,
    valid_until TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('PENDING', 'RECOGNIZED', 'DECLINED', 'SUSPENDED', 'REVOKED', 'SUPERSEDED')),
    effective_on TEXT NOT NULL,
    reason TEXT NOT NULL,
    agreement TEXT NOT NULL,
    recorded_at_us INTEGER NOT NULL,
    stated_since INTEGER NOT NULL,
    version INTEGER NOT NULL,
    PRIMARY KEY (recognition)
) STRICT, WITHOUT ROWID;
-- Loaded and listed by record, in the order of the key.
CREATE INDEX recognitions_by_record ON recognitions (record, recognition);
-- Loaded and listed by subject and recognizer, in the order of the key.
CREATE INDEX recognitions_by_subject_recognizer ON recognitions (subject, recognizer, recognition);

-- Care contracts: the current version of each; earlier versions are in the log.
CREATE TABLE contracts (
    contract TEXT NOT NULL,
    institution TEXT NOT NULL,
    person TEXT NOT NULL,
    registrar TEXT NOT NULL,
    institution_region TEXT NOT NULL,
    household_region TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('DRAFT', 'SIGNING', 'SIGNED', 'FILED', 'ATTESTED', 'ACTIVE', 'TERMINATED',
        'VOIDED')),
    capacity TEXT NOT NULL CHECK (capacity IN ('FULL', 'LIMITED', 'NONE')),
    parties TEXT NOT NULL,
    bed_fee_fen INTEGER NOT NULL,
    nursing_fee_fen INTEGER NOT NULL,
    meal_fee_fen INTEGER NOT NULL,
    other_fee_fen INTEGER NOT NULL,
    deposit_fen INTEGER NOT NULL,
    prepaid_months INTEGER NOT NULL,
    starts_on TEXT NOT NULL,
    ends_on TEXT NOT NULL,
    documents TEXT NOT NULL,
    document_sha256 TEXT NOT NULL,
    signatures TEXT NOT NULL,
    evidence TEXT NOT NULL CHECK (evidence IN ('NONE', 'ONLINE_FILED', 'REGION_ATTESTED')),
    filing_number TEXT,
    filed_on TEXT,
    attester TEXT,
    activated_on TEXT,
    termination_reason TEXT CHECK (termination_reason IN ('AGREEMENT', 'WITHDRAWAL', 'ARREARS', 'UNSUITABLE_LEVEL', 'DEATH', 'CLOSURE')),
    ended_on TEXT,
    reason TEXT NOT NULL,
    document_number TEXT NOT NULL,
    effective_on TEXT NOT NULL,
    recorded_at_us INTEGER NOT NULL,
    version INTEGER NOT NULL,
    PRIMARY KEY (contract)
) STRICT, WITHOUT ROWID;
-- Loaded and listed by person, in the order of the key.
CREATE INDEX contracts_by_person ON contracts (person, contract);
-- Loaded and listed by institution, in the order of the key.
CREATE INDEX contracts_by_institution ON contracts (institution, contract);

-- Filing numbers (备案号) given by a registrar, each once and for good.
CREATE TABLE contract_filings (
    registrar TEXT NOT NULL,
    filing_number TEXT NOT NULL,
    contract TEXT NOT NULL,
    institution_region TEXT NOT NULL,
    household_region TEXT NOT NULL,
    contract_version INTEGER NOT NULL,
    filed_on TEXT NOT NULL,
    PRIMARY KEY (registrar, filing_number)
) STRICT, WITHOUT ROWID;
-- Loaded and listed by contract, in the order of the key.
CREATE INDEX contract_filings_by_contract ON contract_filings (contract, registrar, filing_number);
CREATE TRIGGER contract_filings_no_update BEFORE UPDATE ON contract_filings
BEGIN SELECT RAISE(ABORT, 'contract_filings is append-only'); END;
CREATE TRIGGER contract_filings_no_delete BEFORE DELETE ON contract_filings
BEGIN SELECT RAISE(ABORT, 'contract_filings is append-only'); END;

-- Who stays where, from when, until when.
CREATE TABLE stays (
    stay TEXT NOT NULL,
    contract TEXT,
    institution TEXT NOT NULL,
    person TEXT NOT NULL,
    institution_region TEXT NOT NULL,
    household_region TEXT NOT NULL,
    admitted_on TEXT NOT NULL,
    left_on TEXT,
    state TEXT NOT NULL CHECK (state IN ('ADMITTED', 'ENDED', 'VOIDED')),
    end_reason TEXT CHECK (end_reason IN ('LEFT', 'TRANSFERRED', 'DEATH', 'CLOSURE')),
    reason TEXT NOT NULL,
    recorded_at_us INTEGER NOT NULL,
    version INTEGER NOT NULL,
    PRIMARY KEY (stay)
) STRICT, WITHOUT ROWID;
-- Loaded and listed by person, in the order of the key.
CREATE INDEX stays_by_person ON stays (person, stay);
-- Loaded and listed by institution, in the order of the key.
CREATE INDEX stays_by_institution ON stays (institution, stay);

-- A month's bill of an institution to an elder.
CREATE TABLE bills (
    bill TEXT NOT NULL,
    contract TEXT NOT NULL,
    institution TEXT NOT NULL,
    person TEXT NOT NULL,
    institution_region TEXT NOT NULL,
    household_region TEXT NOT NULL,
    stay TEXT,
    month TEXT NOT NULL,
    bill_number TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('ISSUED', 'VOIDED')),
    reason TEXT NOT NULL,
    recorded_at_us INTEGER NOT NULL,
    version INTEGER NOT NULL,
    PRIMARY KEY (bill)
) STRICT, WITHOUT ROWID;
-- Loaded and listed by contract and month, in the order of the key.
CREATE INDEX bills_by_contract_month ON bills (contract, month, bill);
-- Loaded and listed by person, in the order of the key.
CREATE INDEX bills_by_person ON bills (person, bill);

-- A bill's lines with what is due, paid elsewhere, posted and held through the gateway.
CREATE TABLE bill_lines (
    bill TEXT NOT NULL,
    fee_type TEXT NOT NULL CHECK (fee_type IN ('BED', 'NURSING', 'MEAL', 'OTHER')),
    institution_region TEXT NOT NULL,
    household_region TEXT NOT NULL,
    due_fen INTEGER NOT NULL,
    paid_elsewhere_fen INTEGER NOT NULL,
    posted_fen INTEGER NOT NULL,
    held_fen INTEGER NOT NULL,
    PRIMARY KEY (bill, fee_type)
) STRICT, WITHOUT ROWID;

-- 委托扣款授权: elder, contract, fee types, monthly cap and term.
CREATE TABLE mandates (
    mandate TEXT NOT NULL,
    person TEXT NOT NULL,
    contract TEXT NOT NULL,
    institution_region TEXT NOT NULL,
    region TEXT NOT NULL,
    programme TEXT NOT NULL,
    channel TEXT NOT NULL,
    fee_types TEXT NOT NULL,
    monthly_cap_fen INTEGER NOT NULL,
    valid_from TEXT NOT NULL,
    valid_until TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('ACTIVE', 'REVOKED')),
    reason TEXT NOT NULL,
    consent_sha256 TEXT NOT NULL,
    recorded_at_us INTEGER NOT NULL,
    version INTEGER NOT NULL,
    PRIMARY KEY (mandate)
) STRICT, WITHOUT ROWID;
-- Loaded and listed by person, in the order of the key.
CREATE INDEX mandates_by_person ON mandates (person, mandate);
-- Loaded and listed by contract, in the order of the key.
CREATE INDEX mandates_by_contract ON mandates (contract, mandate);

-- An elder's entitlement of a month.
CREATE TABLE grants (
    "grant" TEXT NOT NULL,
    person TEXT NOT NULL,
    region TEXT NOT NULL,
    programme TEXT NOT NULL,
    month TEXT NOT NULL,
    channel TEXT NOT NULL,
    funder_division TEXT NOT NULL,
    tier TEXT NOT NULL,
    amount_fen INTEGER NOT NULL,
    basis TEXT NOT NULL,
    basis_version INTEGER NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('GRANTED', 'CREDITED', 'CREDIT_FAILED', 'CLAWBACK_REQUESTED', 'CLAWED_BACK')),
    credited_fen INTEGER NOT NULL,
    clawed_back_fen INTEGER NOT NULL,
    returned_fen INTEGER NOT NULL,
    reason TEXT NOT NULL,
    recorded_at_us INTEGER NOT NULL,
    version INTEGER NOT NULL,
    PRIMARY KEY ("grant")
) STRICT, WITHOUT ROWID;
-- Loaded and listed by person and programme and month, in the order of the key.
CREATE INDEX grants_by_person_programme_month ON grants (person, programme, month, "grant");
-- Loaded and listed by region and month, in the order of the key.
CREATE INDEX grants_by_region_month ON grants (region, month, "grant");

-- Allotments, fundings, outside spending, estate payouts, recoveries.
CREATE TABLE money_events (
    event TEXT NOT NULL,
    kind TEXT NOT NULL CHECK (kind IN ('BUDGET_ALLOTTED', 'CHANNEL_FUNDED', 'SPENT_ELSEWHERE', 'PAID_TO_ESTATE',
        'RECOVERED')),
    region TEXT NOT NULL,
    programme TEXT NOT NULL,
    reporter TEXT NOT NULL,
    channel TEXT,
    person TEXT,
    funder_division TEXT NOT NULL,
    amount_fen INTEGER NOT NULL,
    occurred_on TEXT NOT NULL,
    reference TEXT NOT NULL,
    recorded_at_us INTEGER NOT NULL,
    version INTEGER NOT NULL,
    PRIMARY KEY (event),
    UNIQUE (reporter, programme, kind, reference, funder_division)
) STRICT, WITHOUT ROWID;
-- Loaded and listed by region and programme, in the order of the key.
CREATE INDEX money_events_by_region_programme ON money_events (region, programme, event);

-- Order ids that a channel has used, one space for payments, refunds and payouts.
CREATE TABLE orders (
    channel TEXT NOT NULL,
    order_id TEXT NOT NULL,
    record TEXT NOT NULL,
    PRIMARY KEY (channel, order_id)
) STRICT, WITHOUT ROWID;
CREATE TRIGGER orders_no_update BEFORE UPDATE ON orders
BEGIN SELECT RAISE(ABORT, 'orders is append-only'); END;
CREATE TRIGGER orders_no_delete BEFORE DELETE ON orders
BEGIN SELECT RAISE(ABORT, 'orders is append-only'); END;

-- Payments of care fees from an entitlement.
CREATE TABLE payments (
    payment TEXT NOT NULL,
    origin TEXT NOT NULL CHECK (origin IN ('AUTHORISED', 'INSTRUCTED', 'ADVISED')),
    channel TEXT NOT NULL,
    merchant_id TEXT NOT NULL,
    order_id TEXT NOT NULL,
    person TEXT NOT NULL,
    contract TEXT NOT NULL,
    bill TEXT NOT NULL,
    fee_type TEXT NOT NULL CHECK (fee_type IN ('BED', 'NURSING', 'MEAL', 'OTHER')),
    institution TEXT NOT NULL,
    institution_region TEXT NOT NULL,
    region TEXT NOT NULL,
    programme TEXT NOT NULL,
    amount_fen INTEGER NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('RESERVED', 'CONFIRMED', 'REVERSED', 'REJECTED', 'CANCELLED', 'EXPIRED', 'VOIDED',
        'LATE')),
    transaction_time_us INTEGER NOT NULL,
    clearing_date TEXT NOT NULL,
    authorised_on TEXT NOT NULL,
    mandate TEXT,
    stands_on TEXT NOT NULL,
    unmet TEXT NOT NULL,
    consent_sha256 TEXT,
    refunded_fen INTEGER NOT NULL,
    kept_fen INTEGER NOT NULL,
    matched_by TEXT,
    reason TEXT NOT NULL,
    recorded_at_us INTEGER NOT NULL,
    version INTEGER NOT NULL,
    PRIMARY KEY (payment),
    UNIQUE (order_id, channel)
) STRICT, WITHOUT ROWID;
-- Loaded and listed by clearing_date and channel, in the order of the key.
CREATE INDEX payments_by_clearing_date_channel ON payments (clearing_date, channel, payment);
-- Loaded and listed by bill, in the order of the key.
CREATE INDEX payments_by_bill ON payments (bill, payment);
-- Loaded and listed by contract, in the order of the key.
CREATE INDEX payments_by_contract ON payments (contract, payment);
-- Loaded and listed by mandate, in the order of the key.
CREATE INDEX payments_by_mandate ON payments (mandate, payment) WHERE mandate IS NOT NULL;
-- Loaded and listed by institution and authorised_on, in the order of the key.
CREATE INDEX payments_by_institution_authorised_on ON payments (institution, authorised_on, payment);
-- Loaded and listed by person and authorised_on, in the order of the key.
CREATE INDEX payments_by_person_authorised_on ON payments (person, authorised_on, payment);
-- Walked by the queries' timer: as long as there are reservations, whatever the history.
CREATE INDEX payments_by_recorded_at_us_payment ON payments (recorded_at_us, payment) WHERE state = 'RESERVED';

-- How often a channel was asked what became of a reservation, and when it is asked next.
CREATE TABLE payment_queries (
    payment TEXT NOT NULL,
    channel TEXT NOT NULL,
    times_asked INTEGER NOT NULL,
    due_at_us INTEGER NOT NULL,
    PRIMARY KEY (payment)
) STRICT, WITHOUT ROWID;

-- How much of a channel's daily limit is leased.
CREATE TABLE channel_days (
    channel TEXT NOT NULL,
    clearing_date TEXT NOT NULL,
    leased_fen INTEGER NOT NULL,
    PRIMARY KEY (channel, clearing_date)
) STRICT, WITHOUT ROWID;

-- A lane's lease of a channel's daily limit, and what it has drawn.
CREATE TABLE quotas (
    channel TEXT NOT NULL,
    clearing_date TEXT NOT NULL,
    lane INTEGER NOT NULL,
    leased_fen INTEGER NOT NULL,
    used_fen INTEGER NOT NULL,
    PRIMARY KEY (channel, clearing_date, lane)
) STRICT, WITHOUT ROWID;

-- Refunds (退货) of confirmed payments, partial or full.
CREATE TABLE refunds (
    refund TEXT NOT NULL,
    payment TEXT NOT NULL,
    channel TEXT NOT NULL,
    merchant_id TEXT NOT NULL,
    order_id TEXT NOT NULL,
    region TEXT NOT NULL,
    institution_region TEXT NOT NULL,
    amount_fen INTEGER NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('CONFIRMED', 'MATCHED')),
    transaction_time_us INTEGER NOT NULL,
    clearing_date TEXT NOT NULL,
    matched_by TEXT,
    reason TEXT NOT NULL,
    recorded_at_us INTEGER NOT NULL,
    version INTEGER NOT NULL,
    PRIMARY KEY (refund),
    UNIQUE (order_id, channel)
) STRICT, WITHOUT ROWID;
-- Loaded and listed by clearing_date and channel, in the order of the key.
CREATE INDEX refunds_by_clearing_date_channel ON refunds (clearing_date, channel, refund);
-- Loaded and listed by payment, in the order of the key.
CREATE INDEX refunds_by_payment ON refunds (payment, refund);

-- An institution's claim for a month, from the stays of the paying region's elders.
CREATE TABLE operating_subsidy_claims (
    claim TEXT NOT NULL,
    region TEXT NOT NULL,
    payer TEXT NOT NULL,
    programme TEXT NOT NULL,
    institution TEXT NOT NULL,
    month TEXT NOT NULL,
    stays TEXT NOT NULL,
    amount_fen INTEGER NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('CLAIMED', 'APPROVED', 'DECLINED', 'PAID', 'ON_STATEMENT', 'RETURNED')),
    funder_division TEXT,
    channel TEXT,
    order_id TEXT,
    clearing_date TEXT,
    reason TEXT NOT NULL,
    recorded_at_us INTEGER NOT NULL,
    version INTEGER NOT NULL,
    PRIMARY KEY (claim),
    UNIQUE (order_id, channel)
) STRICT, WITHOUT ROWID;
-- Loaded and listed by institution and payer and month, in the order of the key.
CREATE INDEX operating_subsidy_claims_by_institution_payer_month ON operating_subsidy_claims (institution, payer, month, claim);
-- Loaded and listed by clearing_date and channel, in the order of the key.
CREATE INDEX operating_subsidy_claims_by_clearing_date_channel ON operating_subsidy_claims (clearing_date, channel, claim);

-- Account balances on the normal side, per layer; `balance + delta`, last before commit.
CREATE TABLE accounts (
    account TEXT NOT NULL,
    book TEXT NOT NULL,
    region TEXT NOT NULL,
    kind TEXT NOT NULL CHECK (kind IN ('bank', 'prefund', 'expense', 'receivable', 'suspense', 'appropriation', 'granted',
        'entitlement', 'clearing', 'payable', 'fee_payable')),
    posted_fen INTEGER NOT NULL,
    held_fen INTEGER NOT NULL,
    PRIMARY KEY (account)
) STRICT, WITHOUT ROWID;
-- Loaded and listed by book, in the order of the key.
CREATE INDEX accounts_by_book ON accounts (book, account);

-- The journal: one debit, one credit, one positive amount, inside one book and layer.
CREATE TABLE transfers (
    leaf_id TEXT NOT NULL,
    line INTEGER NOT NULL,
    book TEXT NOT NULL,
    region TEXT NOT NULL,
    entry TEXT NOT NULL CHECK (entry IN ('BUDGET_ALLOTTED', 'MONTH_GRANTED', 'CHANNEL_FUNDED', 'CREDITED', 'AUTHORISED',
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
    layer TEXT NOT NULL CHECK (layer IN ('held', 'posted')),
    debit TEXT NOT NULL,
    credit TEXT NOT NULL,
    amount_fen INTEGER NOT NULL,
    clearing_date TEXT,
    booking_month TEXT NOT NULL,
    corrects TEXT,
    PRIMARY KEY (leaf_id, line),
    CHECK (amount_fen > 0), -- A transfer moves something.
    CHECK (debit <> credit) -- From one account to another.
) STRICT, WITHOUT ROWID;
-- Loaded and listed by debit, in the order of the key.
CREATE INDEX transfers_by_debit ON transfers (debit, leaf_id, line);
-- Loaded and listed by credit, in the order of the key.
CREATE INDEX transfers_by_credit ON transfers (credit, leaf_id, line);
-- Loaded and listed by book and booking_month, in the order of the key.
CREATE INDEX transfers_by_book_booking_month ON transfers (book, booking_month, leaf_id, line);
CREATE TRIGGER transfers_no_update BEFORE UPDATE ON transfers
BEGIN SELECT RAISE(ABORT, 'transfers is append-only'); END;
CREATE TRIGGER transfers_no_delete BEFORE DELETE ON transfers
BEGIN SELECT RAISE(ABORT, 'transfers is append-only'); END;

-- What each entry moved between two control accounts in a booking month, posted layer, running: `sum + delta`, last before commit.
CREATE TABLE general_ledger (
    book TEXT NOT NULL,
    booking_month TEXT NOT NULL,
    entry TEXT NOT NULL CHECK (entry IN ('BUDGET_ALLOTTED', 'MONTH_GRANTED', 'CHANNEL_FUNDED', 'CREDITED', 'AUTHORISED',
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
    debit TEXT NOT NULL,
    credit TEXT NOT NULL,
    region TEXT NOT NULL,
    amount_fen INTEGER NOT NULL,
    transfers INTEGER NOT NULL,
    PRIMARY KEY (book, booking_month, entry, debit, credit)
) STRICT, WITHOUT ROWID;

-- What moved an account of money on a day, posted layer, running: `sum + delta`, last before commit.
CREATE TABLE cash_days (
    account TEXT NOT NULL,
    moved_on TEXT NOT NULL,
    region TEXT NOT NULL,
    posted_fen INTEGER NOT NULL,
    transfers INTEGER NOT NULL,
    PRIMARY KEY (account, moved_on)
) STRICT, WITHOUT ROWID;

-- Settlement files as they arrived, encrypted under a key per file.
CREATE TABLE files (
    file TEXT NOT NULL,
    sender TEXT NOT NULL,
    channel TEXT NOT NULL,
    clearing_date TEXT NOT NULL,
    format TEXT NOT NULL CHECK (format IN ('CSV', 'UNIONPAY_ZIP', 'UNIONPAY_ZM', 'UNIONPAY_ZME', 'CAMT_053', 'CAMT_054',
        'OTHER')),
    content TEXT NOT NULL CHECK (content IN ('SETTLEMENT', 'BALANCES', 'STATEMENT', 'REGIONAL_BOOK', 'EVIDENCE')),
    merchant_id TEXT NOT NULL,
    file_name TEXT NOT NULL,
    size_bytes INTEGER NOT NULL,
    sha256 TEXT NOT NULL,
    stored_sha256 TEXT NOT NULL,
    wrapped_key TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('UPLOADING', 'RECEIVED', 'REFUSED', 'SUPERSEDED')),
    rows INTEGER NOT NULL,
    rejected_rows INTEGER NOT NULL,
    rejections TEXT NOT NULL,
    refusal TEXT CHECK (refusal IN ('UNREADABLE', 'HEADER', 'ROW_TOO_LONG', 'NO_READABLE_ROW', 'ARCHIVE_DAMAGED',
        'ARCHIVE_UNSUPPORTED', 'ARCHIVE_TOO_LARGE', 'MEMBER_NAME', 'MEMBER_DUPLICATE',
        'MEMBER_UNKNOWN', 'MEMBER_NESTED', 'MEMBER_MISSING', 'XML_MALFORMED',
        'XML_DOCUMENT_TYPE', 'XML_ENTITY', 'XML_TOO_LARGE', 'ENCODING', 'MESSAGE_UNKNOWN',
        'SCHEMA', 'CURRENCY', 'BALANCE', 'CONTROL_TOTAL', 'TOO_MANY_ENTRIES')),
    refusal_detail TEXT NOT NULL,
    superseded_by TEXT,
    recorded_at_us INTEGER NOT NULL,
    version INTEGER NOT NULL,
    PRIMARY KEY (file)
) STRICT, WITHOUT ROWID;
-- Loaded and listed by channel and clearing_date, in the order of the key.
CREATE INDEX files_by_channel_clearing_date ON files (channel, clearing_date, file);

-- Statements of one bank account, as a file states them; their balances add up with their entries.
CREATE TABLE bank_statements (
    file TEXT NOT NULL,
    statement INTEGER NOT NULL,
    channel TEXT NOT NULL,
    clearing_date TEXT NOT NULL,
    reference TEXT NOT NULL,
    account TEXT NOT NULL,
    opening_fen INTEGER,
    opening_on TEXT,
    closing_fen INTEGER,
    closing_on TEXT,
    credit_fen INTEGER NOT NULL,
    debit_fen INTEGER NOT NULL,
    entries INTEGER NOT NULL,
    PRIMARY KEY (file, statement)
) STRICT, WITHOUT ROWID;
-- Loaded and listed by channel and clearing_date, in the order of the key.
CREATE INDEX bank_statements_by_channel_clearing_date ON bank_statements (channel, clearing_date, file, statement);
CREATE TRIGGER bank_statements_no_update BEFORE UPDATE ON bank_statements
BEGIN SELECT RAISE(ABORT, 'bank_statements is append-only'); END;
CREATE TRIGGER bank_statements_no_delete BEFORE DELETE ON bank_statements
BEGIN SELECT RAISE(ABORT, 'bank_statements is append-only'); END;

-- The transactions of bank statements: those of one bulk entry share its `entry`.
CREATE TABLE bank_entries (
    file TEXT NOT NULL,
    entry INTEGER NOT NULL,
    part INTEGER NOT NULL,
    statement INTEGER NOT NULL,
    channel TEXT NOT NULL,
    direction TEXT NOT NULL CHECK (direction IN ('CREDIT', 'DEBIT')),
    amount_fen INTEGER NOT NULL,
    entry_fen INTEGER NOT NULL,
    entry_status TEXT NOT NULL CHECK (entry_status IN ('BOOKED', 'PENDING', 'INFORMATION')),
    is_reversal INTEGER NOT NULL,
    booked_on TEXT NOT NULL,
    value_on TEXT,
    end_to_end_id TEXT NOT NULL,
    bank_reference TEXT NOT NULL,
    counterparty TEXT NOT NULL,
    counterparty_last4 TEXT NOT NULL,
    PRIMARY KEY (file, entry, part)
) STRICT, WITHOUT ROWID;
-- Loaded and listed by end_to_end_id, in the order of the key.
CREATE INDEX bank_entries_by_end_to_end_id ON bank_entries (end_to_end_id, file, entry, part);
-- Loaded and listed by channel and booked_on, in the order of the key.
CREATE INDEX bank_entries_by_channel_booked_on ON bank_entries (channel, booked_on, file, entry, part);
CREATE TRIGGER bank_entries_no_update BEFORE UPDATE ON bank_entries
BEGIN SELECT RAISE(ABORT, 'bank_entries is append-only'); END;
CREATE TRIGGER bank_entries_no_delete BEFORE DELETE ON bank_entries
BEGIN SELECT RAISE(ABORT, 'bank_entries is append-only'); END;

-- Reconciliation runs of a channel and clearing date.
CREATE TABLE runs (
    run TEXT NOT NULL,
    channel TEXT NOT NULL,
    clearing_date TEXT NOT NULL,
    number INTEGER NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('BALANCED', 'WITH_BREAKS', 'INCOMPLETE')),
    expected_files TEXT NOT NULL,
    files_complete INTEGER NOT NULL,
    cut INTEGER NOT NULL,
    ledger_leg TEXT NOT NULL,
    channel_leg TEXT NOT NULL,
    region_legs TEXT NOT NULL,
    identities TEXT NOT NULL,
    breaks_opened INTEGER NOT NULL,
    breaks_open INTEGER NOT NULL,
    reservations_expired INTEGER NOT NULL,
    terms TEXT NOT NULL,
    root TEXT NOT NULL,
    started_by TEXT NOT NULL,
    recorded_at_us INTEGER NOT NULL,
    version INTEGER NOT NULL,
    PRIMARY KEY (run)
) STRICT, WITHOUT ROWID;
-- Loaded and listed by channel and clearing_date, in the order of the key.
CREATE INDEX runs_by_channel_clearing_date ON runs (channel, clearing_date, run);

-- Each region's (and the gateway's) view of a run: its rows' root, and who signed it.
CREATE TABLE run_views (
    run TEXT NOT NULL,
    participant TEXT NOT NULL,
    rows INTEGER NOT NULL,
    debit_fen INTEGER NOT NULL,
    credit_fen INTEGER NOT NULL,
    root TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('OPEN', 'AGREED', 'DISPUTED', 'UNSIGNED')),
    sign_by TEXT NOT NULL,
    signed_by TEXT,
    signed_at_us INTEGER,
    differences TEXT NOT NULL,
    version INTEGER NOT NULL,
    PRIMARY KEY (run, participant)
) STRICT, WITHOUT ROWID;

-- The rows of a run's views, whole as the roots cover them: one per unit, in canonical order.
CREATE TABLE run_units (
    run TEXT NOT NULL,
    position INTEGER NOT NULL,
    region TEXT,
    institution_region TEXT,
    body TEXT NOT NULL,
    break_name TEXT,
    PRIMARY KEY (run, position)
) STRICT, WITHOUT ROWID;
CREATE TRIGGER run_units_no_update BEFORE UPDATE ON run_units
BEGIN SELECT RAISE(ABORT, 'run_units is append-only'); END;
CREATE TRIGGER run_units_no_delete BEFORE DELETE ON run_units
BEGIN SELECT RAISE(ABORT, 'run_units is append-only'); END;

-- Differences, findings and file faults under work; one id for life.
CREATE TABLE breaks (
    break_name TEXT NOT NULL,
    category TEXT NOT NULL CHECK (category IN ('DIFFERENCE', 'FINDING', 'FILE_FAULT')),
    class TEXT NOT NULL CHECK (class IN ('DUPLICATE', 'AMBIGUOUS', 'REFUND_ORPHAN', 'CUTOFF', 'CHANNEL_ONLY', 'LEDGER_ONLY',
        'REGION_ONLY', 'REGION_MISSING', 'PARTY_MISMATCH', 'STATUS_MISMATCH',
        'AMOUNT_MISMATCH', 'FEE_MISMATCH', 'PAID_AFTER_REVOCATION',
        'PAID_WITHOUT_CONTRACT', 'CONDITION_UNMET', 'LATE_CONFIRMATION', 'OVERSPENT',
        'BILL_EXCEEDED', 'GRANT_WITHOUT_BASIS', 'CREDIT_FAILED', 'CONTRADICTION',
        'FILE_MISSING', 'CONTROL_TOTAL', 'BALANCE_MISMATCH', 'MISSING_FIELD',
        'PAYOUT_MISMATCH', 'PAYOUT_MISSING')),
    condition TEXT CHECK (condition IN ('CONTRACT', 'CONTRACT_EVIDENCE', 'STAY', 'RATING', 'BASIS', 'FEE_TYPE', 'BILL',
        'FUNDS')),
    priority INTEGER NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('NEW', 'ASSIGNED', 'PROPOSED', 'RESOLVED')),
    channel TEXT,
    clearing_date TEXT NOT NULL,
    region TEXT,
    programme TEXT,
    institution_region TEXT,
    book_region TEXT,
    subject TEXT NOT NULL,
    person TEXT,
    fields TEXT NOT NULL,
    rows TEXT NOT NULL,
    rule TEXT NOT NULL,
    cause TEXT NOT NULL,
    alert TEXT NOT NULL,
    amount_fen INTEGER NOT NULL,
    stakes TEXT NOT NULL,
    opened_by TEXT,
    seen_by TEXT,
    opened_at_us INTEGER NOT NULL,
    due_on TEXT NOT NULL,
    assignee TEXT,
    resolution TEXT CHECK (resolution IN ('ACCEPT', 'REPAY', 'RELEASE', 'INSTITUTION_BEARS', 'WRITE_OFF', 'CORRECT_RECORD',
        'JUSTIFIED', 'CLEARED')),
    proposed_by TEXT,
    proposal_reason TEXT,
    decided_by TEXT,
    decision_reason TEXT,
    resolved_at_us INTEGER,
    entries TEXT NOT NULL,
    policy TEXT,
    attachments TEXT NOT NULL,
    hands TEXT NOT NULL,
    step TEXT NOT NULL CHECK (step IN ('OPENED', 'CHANGED', 'REOPENED', 'ASSIGNED', 'COMMENTED', 'EVIDENCE_ATTACHED',
        'PROPOSED', 'WITHDRAWN', 'DECLINED', 'APPROVED', 'AUTOMATIC', 'CLEARED')),
    step_by TEXT NOT NULL,
    step_at_us INTEGER NOT NULL,
    note TEXT NOT NULL,
    version INTEGER NOT NULL,
    PRIMARY KEY (break_name)
) STRICT, WITHOUT ROWID;
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
    alert TEXT NOT NULL,
    channel TEXT NOT NULL,
    clearing_date TEXT NOT NULL,
    class TEXT NOT NULL CHECK (class IN ('DUPLICATE', 'AMBIGUOUS', 'REFUND_ORPHAN', 'CUTOFF', 'CHANNEL_ONLY', 'LEDGER_ONLY',
        'REGION_ONLY', 'REGION_MISSING', 'PARTY_MISMATCH', 'STATUS_MISMATCH',
        'AMOUNT_MISMATCH', 'FEE_MISMATCH', 'PAID_AFTER_REVOCATION',
        'PAID_WITHOUT_CONTRACT', 'CONDITION_UNMET', 'LATE_CONFIRMATION', 'OVERSPENT',
        'BILL_EXCEEDED', 'GRANT_WITHOUT_BASIS', 'CREDIT_FAILED', 'CONTRADICTION',
        'FILE_MISSING', 'CONTROL_TOTAL', 'BALANCE_MISMATCH', 'MISSING_FIELD',
        'PAYOUT_MISMATCH', 'PAYOUT_MISSING')),
    cause TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('OPEN', 'OVER')),
    members INTEGER NOT NULL,
    amount_fen INTEGER NOT NULL,
    unopened INTEGER NOT NULL,
    unopened_fen INTEGER NOT NULL,
    most_unopened_fen TEXT NOT NULL,
    seen_by TEXT NOT NULL,
    opened_at_us INTEGER NOT NULL,
    recorded_at_us INTEGER NOT NULL,
    version INTEGER NOT NULL,
    PRIMARY KEY (alert)
) STRICT, WITHOUT ROWID;
-- Loaded and listed by channel and clearing_date, in the order of the key.
CREATE INDEX alerts_by_channel_clearing_date ON alerts (channel, clearing_date, alert);
-- Loaded and listed by state and channel, in the order of the key.
CREATE INDEX alerts_by_state_channel ON alerts (state, channel, alert);

-- Where a channel's settlement stands: the last cycle, and the ledger number up to which it has taken in the journal.
CREATE TABLE settlement_cycles (
    channel TEXT NOT NULL,
    clearing_date TEXT NOT NULL,
    cut INTEGER NOT NULL,
    recorded_at_us INTEGER NOT NULL,
    version INTEGER NOT NULL,
    PRIMARY KEY (channel)
) STRICT, WITHOUT ROWID;

-- What of a payee's account is stated: the balance at the last cut, and how much of it open statements have.
CREATE TABLE settlement_positions (
    account TEXT NOT NULL,
    channel TEXT NOT NULL,
    region TEXT NOT NULL,
    statement TEXT NOT NULL,
    balance_fen INTEGER NOT NULL,
    open_fen INTEGER NOT NULL,
    subsidy_fen INTEGER NOT NULL,
    version INTEGER NOT NULL,
    PRIMARY KEY (account)
) STRICT, WITHOUT ROWID;

-- Settlement statements (结算单) of a channel, cycle, book and payee.
CREATE TABLE settlement_statements (
    statement TEXT NOT NULL,
    channel TEXT NOT NULL,
    region TEXT NOT NULL,
    programme TEXT NOT NULL,
    account TEXT NOT NULL,
    institution TEXT,
    institution_region TEXT,
    from_date TEXT NOT NULL,
    clearing_date TEXT NOT NULL,
    gross_fen INTEGER NOT NULL,
    refunds_fen INTEGER NOT NULL,
    fees_fen INTEGER NOT NULL,
    adjustments_fen INTEGER NOT NULL,
    brought_forward_fen INTEGER NOT NULL,
    withheld_fen INTEGER NOT NULL,
    net_fen INTEGER NOT NULL,
    funders TEXT NOT NULL,
    settlement_account TEXT,
    account_last4 TEXT NOT NULL,
    end_to_end_id TEXT NOT NULL,
    due_on TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('OPEN', 'SETTLED', 'CARRIED', 'TAKEN')),
    paid_fen INTEGER NOT NULL,
    payout TEXT,
    recorded_at_us INTEGER NOT NULL,
    version INTEGER NOT NULL,
    PRIMARY KEY (statement)
) STRICT, WITHOUT ROWID;
-- Loaded and listed by channel and state, in the order of the key.
CREATE INDEX settlement_statements_by_channel_state ON settlement_statements (channel, state, statement);

-- Payouts as channels report them.
CREATE TABLE payouts (
    payout TEXT NOT NULL,
    channel TEXT NOT NULL,
    reference TEXT NOT NULL,
    end_to_end_id TEXT NOT NULL,
    institution TEXT,
    account_last4 TEXT NOT NULL,
    amount_fen INTEGER NOT NULL,
    paid_on TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('MATCHED', 'UNMATCHED')),
    rule TEXT NOT NULL CHECK (rule IN ('END_TO_END_ID', 'AMOUNT', 'PAYEE', 'CYCLE', 'CHANNEL', 'NONE')),
    statements TEXT NOT NULL,
    region TEXT,
    break_name TEXT,
    proof TEXT NOT NULL CHECK (proof IN ('NOT_EXPECTED', 'AWAITED', 'PROVEN')),
    proof_rule TEXT CHECK (proof_rule IN ('END_TO_END_ID', 'STATEMENT_IDS', 'AMOUNT_AND_DATE', 'BULK')),
    proof_file TEXT,
    bank_entries TEXT NOT NULL,
    proven_on TEXT,
    recorded_at_us INTEGER NOT NULL,
    version INTEGER NOT NULL,
    PRIMARY KEY (payout),
    UNIQUE (channel, reference)
) STRICT, WITHOUT ROWID;
-- Loaded and listed by proof and channel, in the order of the key.
CREATE INDEX payouts_by_proof_channel ON payouts (proof, channel, payout);
-- Loaded and listed by proof_file, in the order of the key.
CREATE INDEX payouts_by_proof_file ON payouts (proof_file, payout) WHERE proof_file IS NOT NULL;
-- Loaded and listed by proven_on and channel, in the order of the key.
CREATE INDEX payouts_by_proven_on_channel ON payouts (proven_on, channel, payout);

-- Month closes of a book, with the trial balance as it was closed.
CREATE TABLE month_closes (
    book TEXT NOT NULL,
    month TEXT NOT NULL,
    region TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('PROPOSED', 'CLOSED', 'DECLINED')),
    trial TEXT NOT NULL,
    transfers INTEGER NOT NULL,
    placed_fen TEXT NOT NULL,
    proposed_by TEXT NOT NULL,
    proposal_reason TEXT NOT NULL,
    decided_by TEXT,
    decision_reason TEXT,
    recorded_at_us INTEGER NOT NULL,
    version INTEGER NOT NULL,
    PRIMARY KEY (book, month)
) STRICT, WITHOUT ROWID;

-- Accepted requests: the same id with the same content gets the first answer again.
CREATE TABLE requests (
    participant TEXT NOT NULL,
    request_id TEXT NOT NULL,
    content_digest TEXT NOT NULL,
    leaf_id TEXT NOT NULL,
    PRIMARY KEY (participant, request_id)
) STRICT, WITHOUT ROWID;

-- Who signed what: the exact bytes of an accepted request, its path in the signed call, and the call's token,
CREATE TABLE evidence (
    leaf_id TEXT NOT NULL,
    method_path TEXT NOT NULL,
    item BLOB NOT NULL,
    sealed_for TEXT,
    token_leaf TEXT NOT NULL,
    token TEXT,
    item_index INTEGER NOT NULL,
    item_count INTEGER NOT NULL,
    item_path TEXT NOT NULL,
    receipt BLOB NOT NULL,
    PRIMARY KEY (leaf_id)
) STRICT;
CREATE TRIGGER evidence_no_update BEFORE UPDATE ON evidence
BEGIN SELECT RAISE(ABORT, 'evidence is append-only'); END;
CREATE TRIGGER evidence_no_delete BEFORE DELETE ON evidence
BEGIN SELECT RAISE(ABORT, 'evidence is append-only'); END;

-- The log's entries as accepted: what each leaf commits to, in canonical JSON.
CREATE TABLE leaves (
    leaf_id TEXT NOT NULL,
    record TEXT NOT NULL,
    version INTEGER NOT NULL,
    kind TEXT NOT NULL,
    author TEXT NOT NULL,
    recorded_at_us INTEGER NOT NULL,
    body BLOB NOT NULL,
    leaf_hash TEXT NOT NULL,
    PRIMARY KEY (leaf_id),
    UNIQUE (record, version)
) STRICT;
CREATE TRIGGER leaves_no_update BEFORE UPDATE ON leaves
BEGIN SELECT RAISE(ABORT, 'leaves is append-only'); END;
CREATE TRIGGER leaves_no_delete BEFORE DELETE ON leaves
BEGIN SELECT RAISE(ABORT, 'leaves is append-only'); END;

-- Accepted leaves that wait for their number; a queue, empty when the sequencer has caught up.
CREATE TABLE leaf_pending (
    pending_id INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL,
    leaf_id TEXT NOT NULL,
    leaf_hash TEXT NOT NULL,
    audience TEXT NOT NULL
) STRICT;

-- The one order of the log: contiguous from 0, numbered after commit.
CREATE TABLE leaf_order (
    leaf_index INTEGER NOT NULL,
    leaf_id TEXT NOT NULL,
    leaf_hash TEXT NOT NULL,
    PRIMARY KEY (leaf_index),
    UNIQUE (leaf_id)
) STRICT, WITHOUT ROWID;
CREATE TRIGGER leaf_order_no_update BEFORE UPDATE ON leaf_order
BEGIN SELECT RAISE(ABORT, 'leaf_order is append-only'); END;
CREATE TRIGGER leaf_order_no_delete BEFORE DELETE ON leaf_order
BEGIN SELECT RAISE(ABORT, 'leaf_order is append-only'); END;

-- Which leaves each participant's streams carry.
CREATE TABLE deliveries (
    participant TEXT NOT NULL,
    topic TEXT NOT NULL CHECK (topic IN ('EVENT', 'INSTRUCTION')),
    leaf_index INTEGER NOT NULL,
    PRIMARY KEY (participant, topic, leaf_index)
) STRICT, WITHOUT ROWID;
CREATE TRIGGER deliveries_no_update BEFORE UPDATE ON deliveries
BEGIN SELECT RAISE(ABORT, 'deliveries is append-only'); END;
CREATE TRIGGER deliveries_no_delete BEFORE DELETE ON deliveries
BEGIN SELECT RAISE(ABORT, 'deliveries is append-only'); END;

-- Hashes of complete subtrees of the log at levels 8, 16 and so on, for short proofs.
CREATE TABLE log_nodes (
    level INTEGER NOT NULL,
    node_index INTEGER NOT NULL,
    hash TEXT NOT NULL,
    PRIMARY KEY (level, node_index)
) STRICT, WITHOUT ROWID;
CREATE TRIGGER log_nodes_no_update BEFORE UPDATE ON log_nodes
BEGIN SELECT RAISE(ABORT, 'log_nodes is append-only'); END;
CREATE TRIGGER log_nodes_no_delete BEFORE DELETE ON log_nodes
BEGIN SELECT RAISE(ABORT, 'log_nodes is append-only'); END;

-- The one row from which the next leaves extend the tree.
CREATE TABLE log_frontier (
    id INTEGER NOT NULL,
    tree_size INTEGER NOT NULL,
    frontier TEXT NOT NULL,
    PRIMARY KEY (id),
    CHECK (id = 1) -- There is one log.
) STRICT, WITHOUT ROWID;

-- Signed tree heads.
CREATE TABLE checkpoints (
    tree_size INTEGER NOT NULL,
    root TEXT NOT NULL,
    note TEXT NOT NULL,
    sealed_at_us INTEGER NOT NULL,
    PRIMARY KEY (tree_size)
) STRICT, WITHOUT ROWID;
CREATE TRIGGER checkpoints_no_update BEFORE UPDATE ON checkpoints
BEGIN SELECT RAISE(ABORT, 'checkpoints is append-only'); END;
CREATE TRIGGER checkpoints_no_delete BEFORE DELETE ON checkpoints
BEGIN SELECT RAISE(ABORT, 'checkpoints is append-only'); END;

-- Witnesses' cosignatures of heads. Unprotected: who relies on one verifies it.
CREATE TABLE cosignatures (
    tree_size INTEGER NOT NULL,
    witness TEXT NOT NULL,
    line TEXT NOT NULL,
    cosigned_at_us INTEGER NOT NULL,
    PRIMARY KEY (tree_size, witness)
) STRICT, WITHOUT ROWID;

-- How far each participant has acknowledged each of its streams. Unprotected.
CREATE TABLE cursors (
    participant TEXT NOT NULL,
    topic TEXT NOT NULL CHECK (topic IN ('EVENT', 'INSTRUCTION')),
    leaf_index INTEGER NOT NULL,
    acknowledged_at_us INTEGER NOT NULL,
    PRIMARY KEY (participant, topic)
) STRICT, WITHOUT ROWID;

-- Uploads under way. Unprotected: the completing request signs size and digest.
CREATE TABLE uploads (
    upload TEXT NOT NULL,
    participant TEXT NOT NULL,
    declared_bytes INTEGER NOT NULL,
    declared_digest TEXT NOT NULL,
    wrapped_key TEXT NOT NULL,
    received_bytes INTEGER NOT NULL,
    next_chunk INTEGER NOT NULL,
    begun_at_us INTEGER NOT NULL,
    PRIMARY KEY (upload)
) STRICT, WITHOUT ROWID;
-- Loaded and listed by begun_at_us, in the order of the key.
CREATE INDEX uploads_by_begun_at_us ON uploads (begun_at_us, upload);

-- Files in encrypted pieces; protected by the digest in the completing leaf.
CREATE TABLE file_chunks (
    file TEXT NOT NULL,
    chunk_index INTEGER NOT NULL,
    ciphertext BLOB NOT NULL,
    PRIMARY KEY (file, chunk_index)
) STRICT;
