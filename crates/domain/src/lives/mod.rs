//! `docs/payments.md`: what every command does in every state, as it went on the simulated world.
//!
//! `UPDATE_SNAPSHOT=1` writes the document; otherwise it must be the one on file.

mod grants;
mod payments;
mod settlements;
mod subsidies;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use crate::decision::Command;
use crate::ledger::{EntryKind, Layer, TransferRow};
use crate::payment::world::World;
use crate::payment::{CONTRADICTED, refusal_of_contradiction};
use crate::recon::run::tests::told;
use crate::recon::{BreakRow, BreakState};
use crate::rejection::Rejection;

/// The document as it grows.
#[derive(Default)]
struct Document {
    text: String,
    entries: BTreeMap<EntryKind, BTreeSet<String>>,
}

/// What came of a command.
#[derive(Clone, PartialEq)]
struct Outcome {
    /// The state after it, or the refusal; and the breaks opened or cleared.
    then: String,
    transfers: Vec<TransferRow>,
}

/// Commands in a state, by what came of them.
type Rows = Vec<(String, Outcome)>;

/// Runs a command and notes what came of it; the identities hold afterwards.
fn outcome(
    mut world: World,
    command: impl FnOnce(&mut World) -> Result<(), Rejection>,
    state: impl Fn(&World) -> String,
) -> Outcome {
    let (booked, breaks) = (world.sim.transfers.len(), breaks(&world));
    let before = state(&world);
    let mut then = match command(&mut world) {
        Ok(()) => match world.sim.decisions.last().and_then(|d| d.leaves.first()) {
            Some(leaf) if leaf.kind == CONTRADICTED => {
                assert_eq!(
                    (state(&world), world.sim.transfers.len()),
                    (before, booked),
                    "a contradiction moves nothing"
                );
                let row: BreakRow = world.sim.get(crate::key![leaf.record.clone()]).unwrap();
                refused(&refusal_of_contradiction(&row).expect("an answer"))
            }
            _ if state(&world) == before => "as before".to_owned(),
            _ => state(&world),
        },
        Err(refusal) => {
            assert_eq!((state(&world), world.sim.transfers.len()), (before, booked), "a refusal changes nothing");
            refused(&refusal)
        }
    };
    for (name, row) in self::breaks(&world) {
        let was_open = breaks.get(&name).is_some_and(|b| b.state != BreakState::Resolved);
        match (was_open, row.state != BreakState::Resolved) {
            (false, true) => write!(then, "; opens `{}`", row.class).unwrap(),
            (true, false) => write!(then, "; clears `{}`", row.class).unwrap(),
            (true, true) | (false, false) => {}
        }
    }
    world.check_identities();
    Outcome { then, transfers: world.sim.transfers[booked..].to_vec() }
}

fn accepted(world: &mut World, caller: &str, command: &dyn Command) -> Result<(), Rejection> {
    world.execute(caller, command).map(drop)
}

fn refused(refusal: &Rejection) -> String {
    format!("refused: `{}`", refusal.reason.code())
}

fn breaks(world: &World) -> BTreeMap<String, BreakRow> {
    world.sim.all::<BreakRow>().into_iter().map(|b| (b.break_name.clone(), b)).collect()
}

/// `MATCHED: clearing → payable`, or `AUTHORISED (held): …`.
fn spell(t: &TransferRow) -> String {
    let layer = if t.layer == Layer::Held { " (held)" } else { "" };
    format!("`{}`{layer} {} → {}", t.entry, t.debit.kind, t.credit.kind)
}

impl Document {
    fn line(&mut self, text: &str) {
        self.text.push_str(text);
        self.text.push('\n');
    }

    fn heading(&mut self, text: &str) {
        self.line(&format!("\n{text}\n"));
    }

    /// A table whose rows with one outcome stand together.
    fn table(&mut self, columns: &str, rows: Rows) {
        self.line(&format!("| {columns} | Then | Books |\n|---|---|---|"));
        let mut shown: Vec<(Vec<String>, Outcome)> = Vec::new();
        for (name, outcome) in rows {
            let same = |o: &Outcome| o.then == outcome.then && books(o) == books(&outcome);
            match shown.iter_mut().find(|(_, o)| same(o)) {
                Some((names, _)) => names.push(name),
                None => shown.push((vec![name], outcome)),
            }
        }
        for (names, outcome) in shown {
            for t in &outcome.transfers {
                self.entries.entry(t.entry).or_default().insert(spell(t));
            }
            self.line(&format!("| {} | {} | {} |", names.join("; "), outcome.then, books(&outcome)));
        }
    }

    /// Several states, those in which everything comes out the same in one table.
    fn states(&mut self, states: Vec<(String, Rows)>) {
        let mut shown: Vec<(Vec<String>, Rows)> = Vec::new();
        for (state, rows) in states {
            let same = |other: &Rows| {
                let shape =
                    |rows: &Rows| rows.iter().map(|(n, o)| (n.clone(), o.then.clone(), books(o))).collect::<Vec<_>>();
                shape(other) == shape(&rows)
            };
            match shown.iter_mut().find(|(_, known)| same(known)) {
                Some((names, _)) => names.push(state),
                None => shown.push((vec![state], rows)),
            }
        }
        for (names, rows) in shown {
            self.heading(&format!("### {}", names.join("; ")));
            self.table("Command", rows);
        }
    }

    fn reconciliation(&mut self) {
        self.heading("## Reconciliation: what a run finds, and what a resolution books");
        self.line("One difference each, as the only one of its day; the tests of `recon::run` hold the amounts.\n");
        let row = |told: crate::recon::run::tests::Told| {
            let classes: Vec<String> = told.classes.iter().map(|c| format!("`{c}`")).collect();
            let then = match told.resolution {
                None if classes.is_empty() => "matched".to_owned(),
                None => format!("opens {}", classes.join(", ")),
                Some(resolution) => format!("{} resolved by `{resolution}`", classes.join(", ")),
            };
            (told.day.to_owned(), Outcome { then, transfers: told.transfers })
        };
        let rows = told().into_iter().map(row).collect();
        self.table("Day", rows);
    }

    fn index(&mut self) {
        self.heading("## Entries");
        self.line("Every entry of the ledger, with the accounts between which these tables book it.\n");
        self.line("| Entry | Books |\n|---|---|");
        for entry in EntryKind::ALL {
            let prefix = format!("`{entry}` ");
            let spelled = self.entries.get(entry).into_iter().flatten();
            let short: Vec<&str> = spelled.map(|s| s.strip_prefix(&prefix).unwrap_or(s)).collect();
            let booked = short.join("; ");
            self.line(&format!("| `{entry}` | {booked} |"));
        }
    }
}

fn books(outcome: &Outcome) -> String {
    let spelled: Vec<String> = outcome.transfers.iter().map(spell).collect();
    if spelled.is_empty() { "—".to_owned() } else { spelled.join("<br>") }
}

#[test]
fn the_document_is_what_happens() {
    let mut document = Document { text: include_str!("head.md").to_owned(), ..Document::default() };
    payments::write(&mut document);
    grants::write(&mut document);
    subsidies::write(&mut document);
    document.reconciliation();
    settlements::write(&mut document);
    document.index();

    let unbooked: Vec<EntryKind> =
        EntryKind::ALL.iter().copied().filter(|e| !document.entries.contains_key(e)).collect();
    assert_eq!(unbooked, [], "every entry of the ledger is booked by some row");

    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/payments.md");
    if std::env::var_os("UPDATE_SNAPSHOT").is_some() {
        std::fs::create_dir_all(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs")).unwrap();
        std::fs::write(file, &document.text).unwrap();
    }
    let on_file = std::fs::read_to_string(file).unwrap_or_default();
    for (n, (is, was)) in document.text.lines().zip(on_file.lines()).enumerate() {
        assert_eq!(is, was, "docs/payments.md:{}; UPDATE_SNAPSHOT=1 writes it anew", n + 1);
    }
    assert_eq!(document.text.lines().count(), on_file.lines().count(), "docs/payments.md ends otherwise");
}
