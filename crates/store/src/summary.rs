//! Sums of a month for a report. Every statement goes by an index to the month's rows, so that its time
//! does not grow with the history.

use std::collections::BTreeMap;

use jjj_domain::institution::InstitutionRow;
use jjj_domain::key;
use jjj_domain::ledger::{Account, AccountKind, Book, EntryKind};
use jjj_domain::names::{Participant, ParticipantKind};
use jjj_domain::recon::summary::{BreakSums, FunderSums, GrantSums, InstitutionSums, MonthSums, PaymentSums};
use jjj_domain::time::Month;
use jjj_domain::value::{Column, ColumnType, Value};

use crate::Result;
use crate::session::{Args, Session};

const GRANTS: &str = "SELECT region, programme, COUNT(DISTINCT person), CAST(SUM(amount_fen) AS BIGINT), \
     CAST(SUM(credited_fen) AS BIGINT), CAST(SUM(clawed_back_fen) AS BIGINT) FROM grants \
     WHERE month = $1 AND READER GROUP BY region, programme ORDER BY region, programme";

const FUNDERS: &str = "SELECT region, programme, funder_division, COUNT(DISTINCT person), \
     CAST(SUM(amount_fen) AS BIGINT), CAST(SUM(credited_fen) AS BIGINT), CAST(SUM(clawed_back_fen) AS BIGINT) FROM grants \
     WHERE month = $1 AND READER GROUP BY region, programme, funder_division ORDER BY region, programme, funder_division";

const PAYMENTS: &str = "SELECT region, programme, COUNT(DISTINCT person), COUNT(*), CAST(SUM(amount_fen) AS BIGINT), \
     CAST(SUM(refunded_fen) AS BIGINT), CAST(SUM(CASE WHEN matched_by IS NULL THEN 0 ELSE amount_fen END) AS BIGINT) \
     FROM payments WHERE clearing_date >= $1 AND clearing_date <= $2 AND state = 'CONFIRMED' AND READER \
     GROUP BY region, programme ORDER BY region, programme";

const INSTITUTIONS: &str = "SELECT institution, COUNT(DISTINCT person), COUNT(*), CAST(SUM(amount_fen) AS BIGINT), \
     CAST(SUM(refunded_fen) AS BIGINT), CAST(SUM(CASE WHEN matched_by IS NULL THEN 0 ELSE amount_fen END) AS BIGINT) \
     FROM payments WHERE clearing_date >= $1 AND clearing_date <= $2 AND state = 'CONFIRMED' AND READER \
     GROUP BY institution ORDER BY institution";

const BREAKS: &str = "SELECT COALESCE(region, ''), COALESCE(programme, ''), \
     CAST(SUM(CASE WHEN state = 'RESOLVED' THEN 0 ELSE 1 END) AS BIGINT), \
     CAST(SUM(CASE WHEN state = 'RESOLVED' THEN 0 ELSE amount_fen END) AS BIGINT), \
     CAST(SUM(CASE WHEN state = 'RESOLVED' THEN 1 ELSE 0 END) AS BIGINT) FROM breaks \
     WHERE clearing_date >= $1 AND clearing_date <= $2 AND READER GROUP BY region, programme ORDER BY region, programme";

const BOOKS: &str = "SELECT DISTINCT book FROM accounts WHERE kind = 'payable' ORDER BY book";

/// What settlements took from each payable account; one that went the other way is taken off.
const SETTLED: &str = "SELECT debit, credit, CAST(SUM(amount_fen) AS BIGINT) FROM transfers \
     WHERE book = $1 AND booking_month = $2 AND entry = $3 GROUP BY debit, credit";

impl Session {
    /// What a participant may see of a month; `None`: everything.
    pub async fn month_sums(&mut self, month: Month, reader: Option<&Participant>) -> Result<MonthSums> {
        use ColumnType::{Int, Text};
        let (first, last) = (month.first_day().to_value(), month.last_day().to_value());
        let is_channel = reader.is_some_and(|reader| reader.kind() == ParticipantKind::Channel);
        let (granted, paid) = match (reader, is_channel) {
            // A region each: the index begins with it.
            (None, _) => ("region IN (SELECT participant FROM participants)", "TRUE"),
            (Some(_), false) => ("region = READS", "(region = READS OR institution_region = READS)"),
            (Some(_), true) => ("channel = READS", "channel = READS"),
        };
        let by_month = |sql: &str| sql.replace("READER", granted).replace("READS", "$2");
        let by_days = |sql: &str| sql.replace("READER", paid).replace("READS", "$3");
        let reads = reader.map(Column::to_value);
        let of_month: Vec<Value> = [month.to_value()].into_iter().chain(reads.clone()).collect();
        let of_days: Vec<Value> = [first, last].into_iter().chain(reads).collect();

        let rows = self.sums(&by_month(GRANTS), &of_month, &[Text, Text, Int, Int, Int, Int]).await?;
        let grants = rows.into_iter().map(|mut cells| GrantSums {
            region: cells.text(),
            programme: cells.text(),
            elders: cells.int(),
            granted_fen: cells.int(),
            credited_fen: cells.int(),
            clawed_back_fen: cells.int(),
        });
        let grants: Vec<GrantSums> = grants.collect();
        let rows = self.sums(&by_month(FUNDERS), &of_month, &[Text, Text, Text, Int, Int, Int, Int]).await?;
        let funders = rows.into_iter().map(|mut cells| FunderSums {
            region: cells.text(),
            programme: cells.text(),
            funder_division: cells.text(),
            elders: cells.int(),
            granted_fen: cells.int(),
            credited_fen: cells.int(),
            clawed_back_fen: cells.int(),
        });
        let funders = funders.collect();
        let rows = self.sums(&by_days(PAYMENTS), &of_days, &[Text, Text, Int, Int, Int, Int, Int]).await?;
        let payments = rows.into_iter().map(|mut cells| PaymentSums {
            region: cells.text(),
            programme: cells.text(),
            payers: cells.int(),
            payments: cells.int(),
            paid_fen: cells.int(),
            refunded_fen: cells.int(),
            matched_fen: cells.int(),
        });
        let payments = payments.collect();
        let rows = self.sums(&by_days(BREAKS), &of_days, &[Text, Text, Int, Int, Int]).await?;
        let breaks = rows.into_iter().map(|mut cells| BreakSums {
            region: cells.text(),
            programme: cells.text(),
            open: cells.int(),
            open_fen: cells.int(),
            resolved: cells.int(),
        });
        let breaks = breaks.collect();
        let rows = self.sums(&by_days(INSTITUTIONS), &of_days, &[Text, Int, Int, Int, Int, Int]).await?;
        let paid = rows.into_iter().map(|mut cells| InstitutionSums {
            institution: cells.text(),
            payers: cells.int(),
            payments: cells.int(),
            paid_fen: cells.int(),
            refunded_fen: cells.int(),
            matched_fen: cells.int(),
            ..InstitutionSums::default()
        });
        let paid = paid.collect();
        let institutions = self.institutions(month, reader, paid).await?;
        Ok(MonthSums { grants, payments, breaks, funders, institutions })
    }

    /// Adds what was settled, and what the institutions are called.
    async fn institutions(
        &mut self,
        month: Month,
        reader: Option<&Participant>,
        paid: Vec<InstitutionSums>,
    ) -> Result<Vec<InstitutionSums>> {
        let mut sums: BTreeMap<String, (InstitutionSums, Option<InstitutionRow>)> = BTreeMap::new();
        for sum in paid {
            let row = self.get(key![sum.institution.clone()]).await?;
            sums.insert(sum.institution.clone(), (sum, row));
        }
        for mut book in self.sums(BOOKS, &[], &[ColumnType::Text]).await? {
            let Ok(book) = book.text().parse::<Book>() else { continue };
            let args = key![book, month, EntryKind::Settled];
            let types = [ColumnType::Text, ColumnType::Text, ColumnType::Int];
            for mut cells in self.sums(SETTLED, &args, &types).await? {
                let accounts = [cells.text(), cells.text()].map(|text| text.parse::<Account>().ok());
                let fen = cells.int();
                for (account, fen) in accounts.into_iter().zip([fen, -fen]) {
                    let Some(account) = account.filter(|account| account.kind == AccountKind::Payable) else {
                        continue;
                    };
                    let institution = format!("institutions/{}", account.a);
                    if !sums.contains_key(&institution) {
                        let row = self.get(key![institution.clone()]).await?;
                        let sum = InstitutionSums { institution: institution.clone(), ..InstitutionSums::default() };
                        sums.insert(institution.clone(), (sum, row));
                    }
                    let Some((sum, row)) = sums.get_mut(&institution) else { continue };
                    let is_told = reader.is_none_or(|reader| {
                        let home = row.as_ref().is_some_and(|row| row.region == *reader);
                        home || account.book.region() == reader || format!("channels/{}", account.b) == reader.as_str()
                    });
                    if is_told {
                        sum.settled_fen += fen;
                    }
                }
            }
        }
        let named = |(mut sum, row): (InstitutionSums, Option<InstitutionRow>)| {
            let row = row?;
            (sum.display_name, sum.region) = (row.display_name, row.region.to_string());
            (sum.payments > 0 || sum.settled_fen != 0).then_some(sum)
        };
        Ok(sums.into_values().filter_map(named).collect())
    }

    async fn sums(&mut self, sql: &str, args: &[Value], types: &[ColumnType]) -> Result<Vec<Cells>> {
        let rows = self.fetch(sql.into(), Args::Values(args), types).await?;
        Ok(rows.into_iter().map(|row| Cells(row.into_iter())).collect())
    }
}

/// A row's cells, one after the other; a sum of nothing is 0.
struct Cells(std::vec::IntoIter<Value>);

impl Cells {
    fn text(&mut self) -> String {
        match self.0.next() {
            Some(Value::Text(text)) => text,
            _ => String::new(),
        }
    }

    fn int(&mut self) -> i64 {
        match self.0.next() {
            Some(Value::Int(n)) => n,
            _ => 0,
        }
    }
}
