//! What a settlement cycle reads of the journal, and of the payments behind it.

use jjj_domain::ledger::Account;
use jjj_domain::names::Participant;
use jjj_domain::settlement::{Activity, FunderShare};
use jjj_domain::time::Date;
use jjj_domain::value::{Column, ColumnType, Value};

use crate::Result;
use crate::read::parse;
use crate::session::{Args, Session};

/// Entered by the order of the ledger: what came before the last cycle is not looked at.
const ACTIVITY: &str = "SELECT t.entry, t.debit, t.credit, t.clearing_date, CAST(SUM(t.amount_fen) AS BIGINT) \
     FROM leaf_order AS o JOIN transfers AS t ON t.leaf_id = o.leaf_id \
     WHERE o.leaf_index >= $1 AND o.leaf_index < $2 AND t.layer = 'posted' \
     AND (t.debit LIKE $3 OR t.credit LIKE $3 OR t.debit LIKE $4 OR t.credit LIKE $4) \
     GROUP BY t.entry, t.debit, t.credit, t.clearing_date ORDER BY t.entry, t.debit, t.credit, t.clearing_date";

const PAID: &str = "SELECT p.region, p.programme, p.institution, e.household_division, \
     COUNT(*), CAST(SUM(p.amount_fen) AS BIGINT) FROM payments AS p JOIN persons AS e ON e.person = p.person \
     WHERE p.channel = $1 AND p.clearing_date >= $2 AND p.clearing_date <= $3 AND p.matched_by IS NOT NULL \
     GROUP BY p.region, p.programme, p.institution, e.household_division";

const REFUNDED: &str = "SELECT p.region, p.programme, p.institution, e.household_division, \
     COUNT(*), CAST(SUM(r.amount_fen) AS BIGINT) FROM refunds AS r JOIN payments AS p ON p.payment = r.payment \
     JOIN persons AS e ON e.person = p.person \
     WHERE r.channel = $1 AND r.clearing_date >= $2 AND r.clearing_date <= $3 AND r.matched_by IS NOT NULL \
     GROUP BY p.region, p.programme, p.institution, e.household_division";

/// A district's payments or refunds at an institution, out of one book.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Funded {
    pub region: Participant,
    pub programme: String,
    /// `institutions/{uscc}`.
    pub institution: String,
    pub share: FunderShare,
}

impl Session {
    /// What was posted to payees of a channel by leaves from index `since` up to `cut`, alike entries summed.
    pub async fn settlement_activity(&mut self, channel: &Participant, since: i64, cut: i64) -> Result<Vec<Activity>> {
        let payable = format!("%:payable:%:{}", channel.code());
        let fee = format!("%:fee_payable:{}:", channel.code());
        let args = [Value::Int(since), Value::Int(cut), Value::Text(payable), Value::Text(fee)];
        use ColumnType::{Int, Text};
        let rows = self.fetch(ACTIVITY.into(), Args::Values(&args), &[Text, Text, Text, Text, Int]).await?;
        let mut activity = Vec::new();
        for row in rows {
            let mut cells = row.into_iter();
            let mut cell = || cells.next().unwrap_or(Value::Null);
            let entry = parse("transfers", "entry", cell())?;
            let debit: Account = parse("transfers", "debit", cell())?;
            let credit: Account = parse("transfers", "credit", cell())?;
            let date: Option<Date> = parse("transfers", "clearing_date", cell())?;
            activity.extend(Activity::of(
                entry,
                &debit,
                &credit,
                date,
                parse("transfers", "amount_fen", cell())?,
                channel,
            ));
        }
        Ok(activity)
    }

    /// Who funded what was matched on these clearing dates, by household registration.
    pub async fn settlement_funders(&mut self, channel: &Participant, from: Date, to: Date) -> Result<Vec<Funded>> {
        let args = [channel.to_value(), from.to_value(), to.to_value()];
        use ColumnType::{Int, Text};
        let mut funded: Vec<Funded> = Vec::new();
        for (sql, is_refund) in [(PAID, false), (REFUNDED, true)] {
            let rows = self.fetch(sql.into(), Args::Values(&args), &[Text, Text, Text, Text, Int, Int]).await?;
            for row in rows {
                let mut cells = row.into_iter();
                let mut cell = || cells.next().unwrap_or(Value::Null);
                let (region, programme) =
                    (parse("payments", "region", cell())?, parse("payments", "programme", cell())?);
                let (institution, division) =
                    (parse("payments", "institution", cell())?, parse("payments", "household_division", cell())?);
                let (count, fen): (i64, i64) =
                    (parse("payments", "count", cell())?, parse("payments", "amount_fen", cell())?);
                let none = FunderShare { division, payments: 0, gross_fen: 0, refunds: 0, refunds_fen: 0 };
                let share = match is_refund {
                    false => FunderShare { payments: count, gross_fen: fen, ..none },
                    true => FunderShare { refunds: count, refunds_fen: fen, ..none },
                };
                funded.push(Funded { region, programme, institution, share });
            }
        }
        Ok(funded)
    }
}
