//! Lists of a month and of a day are read page by page, each page an index range however many rows there are.

use jjj_domain::entitlement::GrantRow;
use jjj_domain::ledger::AccountRow;
use jjj_domain::person::PersonRow;
use jjj_domain::recon::UnitRow;
use jjj_domain::row::{Row as _, TableSpec};
use jjj_domain::value::Value;
use jjj_store::{ListQuery, Op, POSTGRES_READ_SETTINGS, Predicate, Store};
use jjj_tests::both_databases;
use jjj_tests::postgres::TestDatabase;
use sqlx::{AssertSqlSafe, Connection, PgConnection, Row, SqliteConnection};

both_databases!(pages_are_index_ranges);

const BEIJING: &str = "regions/110000";

/// Twelve months of 2,000 elders' grants, the elders, and their accounts; a run's units.
const ROWS: &str = "
CREATE TABLE n AS WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < 23999)
    SELECT i, CAST(100000 + i AS TEXT) AS id, SUBSTR(CAST(101 + i / 2000 AS TEXT), 2) AS month FROM n;
INSERT INTO grants SELECT 'grants/' || id, 'elders/' || id, 'regions/110000', 'care_subsidy', '2026-' || month,
    'channels/unionpay', '110108', '1', 60000, 'assessments/' || id, 1, CASE i % 2 WHEN 0 THEN 'GRANTED' ELSE 'CREDITED' END,
    0, 0, 0, '', 0, 1 FROM n;
INSERT INTO persons SELECT 'elders/' || id, 'ELDER', 'regions/110000', 'regions/110000', '110108',
    CASE i % 50 WHEN 0 THEN 'DECEASED' ELSE 'ACTIVE' END, NULL, NULL, '', 0, 1 FROM n;
INSERT INTO accounts SELECT '110000/care_subsidy:' || kind || ':' || id || ':unionpay', '110000/care_subsidy',
    'regions/110000', kind, 1, 0 FROM n, (SELECT 'entitlement' AS kind UNION ALL SELECT 'granted' UNION ALL SELECT 'payable') AS kinds;
INSERT INTO run_units SELECT 'runs/unionpay-20260701-1', i, 'regions/110000', 'regions/130000', '{}', NULL FROM n;
DROP TABLE n;
ANALYZE;
";

async fn pages_are_index_ranges(db: TestDatabase) {
    let store = Store::open(db.url()).await.unwrap();
    store.migrate().await.unwrap();
    store.close().await;
    run(&db, ROWS).await;
    let text = |text: &str| Value::Text(text.to_owned());
    let is = |column, value| (column, Op::Eq, text(value));
    let grants = vec![
        is("region", BEIJING),
        is("month", "2026-07"),
        is("programme", "care_subsidy"),
        is("channel", "channels/unionpay"),
        is("state", "GRANTED"),
    ];
    let elders = vec![is("household_region", BEIJING), is("state", "ACTIVE"), is("kind", "ELDER")];
    let accounts = vec![
        is("book", "110000/care_subsidy"),
        is("kind", "entitlement"),
        ("account", Op::Lt, text("110000/care_subsidy:entitlement;")),
    ];
    let run = "runs/unionpay-20260701-1";
    let pages: [(&TableSpec, Vec<Predicate>, Option<_>, _, &[_]); 5] = [
        (GrantRow::spec(), grants.clone(), None, "channels/unionpay", &["grants_by_region_month"]),
        (GrantRow::spec(), grants, Some(vec![text("grants/113000")]), "channels/unionpay", &["grants_by_region_month"]),
        (
            PersonRow::spec(),
            elders,
            Some(vec![text("elders/113000")]),
            BEIJING,
            &["persons_pkey", "persons USING PRIMARY KEY (person>?)"],
        ),
        (
            AccountRow::spec(),
            accounts,
            Some(vec![text("110000/care_subsidy:entitlement:113000:unionpay")]),
            BEIJING,
            &["accounts_by_book", "accounts_pkey"],
        ),
        (
            UnitRow::spec(),
            vec![is("run", run)],
            Some(vec![text(run), Value::Int(12_000)]),
            BEIJING,
            // Not from the run's first unit on.
            &["run_units USING PRIMARY KEY (run=? AND position>?)", "run_units_pkey"],
        ),
    ];
    for (spec, predicates, after_key, reader, indexes) in pages {
        // A page is small beside a month.
        let query = ListQuery { predicates, reader: Some(reader), after_key, limit: 20 };
        for mode in ["force_custom_plan", "force_generic_plan"] {
            let plan = plan(&db, &query, spec, mode).await;
            assert!(indexes.iter().any(|index| plan.contains(index)), "{}, {mode}: {plan}", spec.name);
            for whole in ["Seq Scan", "Sort", "Bitmap", "SCAN", "TEMP B-TREE"] {
                assert!(!plan.contains(whole), "{}, {mode}: {plan}", spec.name);
            }
        }
    }
}

async fn run(db: &TestDatabase, sql: &str) {
    let sql = AssertSqlSafe(sql.to_owned());
    if db.is_postgres() {
        sqlx::raw_sql(sql).execute(&mut PgConnection::connect(db.url()).await.unwrap()).await.unwrap();
    } else {
        sqlx::raw_sql(sql).execute(&mut SqliteConnection::connect(db.url()).await.unwrap()).await.unwrap();
    }
}

/// The plan of a page; on PostgreSQL with the values known, or as of a statement that was prepared.
async fn plan(db: &TestDatabase, query: &ListQuery<'_>, spec: &TableSpec, mode: &str) -> String {
    let (sql, args) = query.statement(spec);
    let lines: Vec<String> = if db.is_postgres() {
        let values: Vec<String> = args
            .iter()
            .map(|arg| match arg {
                Value::Int(n) => n.to_string(),
                Value::Text(text) => format!("'{text}'"),
                other => panic!("{other:?}"),
            })
            .collect();
        let settings = POSTGRES_READ_SETTINGS.map(|(name, value)| format!("SET {name} = '{value}';")).concat();
        let script = format!(
            "{settings} SET plan_cache_mode = {mode}; PREPARE page AS {sql}; EXPLAIN EXECUTE page({})",
            values.join(", ")
        );
        let mut connection = PgConnection::connect(db.url()).await.unwrap();
        let rows = sqlx::raw_sql(AssertSqlSafe(script)).fetch_all(&mut connection).await.unwrap();
        rows.iter().map(|row| row.get(0)).collect()
    } else {
        let mut connection = SqliteConnection::connect(db.url()).await.unwrap();
        let rows = sqlx::query(AssertSqlSafe(format!("EXPLAIN QUERY PLAN {sql}"))).fetch_all(&mut connection).await;
        rows.unwrap().iter().map(|row| row.get(3)).collect()
    };
    lines.join("\n")
}
