//! Sums of a month, as the store adds them up and a report shows them. Regions, programmes and
//! institutions by their names; empty where a row has none.

/// What was granted for a month.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GrantSums {
    pub region: String,
    pub programme: String,
    pub elders: i64,
    pub granted_fen: i64,
    pub credited_fen: i64,
    pub clawed_back_fen: i64,
}

/// What was paid with clearing dates in a month.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PaymentSums {
    pub region: String,
    pub programme: String,
    pub payers: i64,
    /// Confirmed ones.
    pub payments: i64,
    pub paid_fen: i64,
    pub refunded_fen: i64,
    /// Of what was paid: found in the channel's file.
    pub matched_fen: i64,
}

/// What became of breaks with clearing dates in a month.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BreakSums {
    pub region: String,
    pub programme: String,
    pub open: i64,
    pub open_fen: i64,
    pub resolved: i64,
}

/// What was granted at a funder's cost.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FunderSums {
    pub region: String,
    pub programme: String,
    /// Six digits.
    pub funder_division: String,
    pub elders: i64,
    pub granted_fen: i64,
    pub credited_fen: i64,
    pub clawed_back_fen: i64,
}

/// What was paid to an institution, whoever paid.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InstitutionSums {
    pub institution: String,
    pub display_name: String,
    pub region: String,
    pub payers: i64,
    pub payments: i64,
    pub paid_fen: i64,
    pub refunded_fen: i64,
    pub matched_fen: i64,
    /// Paid out by the channels in the month.
    pub settled_fen: i64,
}

/// All of it, as far as its reader may see.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MonthSums {
    pub grants: Vec<GrantSums>,
    pub payments: Vec<PaymentSums>,
    pub breaks: Vec<BreakSums>,
    pub funders: Vec<FunderSums>,
    pub institutions: Vec<InstitutionSums>,
}
