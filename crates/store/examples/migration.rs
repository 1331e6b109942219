//! Writes `migrations/{sqlite,postgres}/0001_initial.sql` from the tables' declarations.
//! Only until the first release: a released migration is never edited.

use jjj_store::dialect::Dialect;
use jjj_store::schema::initial_migration;

fn main() -> std::io::Result<()> {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../../migrations");
    std::fs::write(format!("{root}/sqlite/0001_initial.sql"), initial_migration(Dialect::Sqlite))?;
    std::fs::write(format!("{root}/postgres/0001_initial.sql"), initial_migration(Dialect::Postgres))
}
