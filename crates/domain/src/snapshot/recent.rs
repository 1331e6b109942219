//! What earlier batches read, as a guess at what the next will read. Where others write too, nothing that was read holds
//! longer than its transaction; but a batch that guesses right asks the database once, under its locks.

use foldhash::HashMap;

use super::{Columns, Known, Load, Snapshot};
use crate::row::TableKind;
use crate::value::Value;

/// What each load found, and each row by its key, as the last batch that knew it left the rows. None are personal: what is
/// erased is not to be remembered here.
///
/// In two generations: when the younger is full it becomes the older, and what was in that is forgotten, except
/// where a batch has meanwhile known the same.
#[derive(Default)]
pub struct Recent {
    young: Generation,
    old: Generation,
}

/// Loads of about one time.
#[derive(Default)]
pub struct Generation {
    /// By table and index, then by the values asked for.
    found: HashMap<(&'static str, Columns), HashMap<Vec<Value>, Vec<Known>>>,
    rows: usize,
}

impl Recent {
    /// Takes in what is guessed of these misses, and returns those of which nothing is known.
    pub fn guess(&self, misses: Vec<Load>, into: &mut Snapshot) -> Vec<Load> {
        let mut unknown = Vec::new();
        for load in misses {
            match self.young.get(&load).or_else(|| self.old.get(&load)).cloned() {
                Some(known) => into.take_in(load, known),
                None => unknown.push(load),
            }
        }
        unknown
    }

    /// Remembers what a batch has loaded and written, as it left it; nothing of one that knows more rows than a generation is
    /// to hold. What is forgotten, once the younger generation has so many, is returned: it takes its time to drop.
    ///
    /// Only after the batch's commit: a row that is guessed to be there must be there to be locked, or it would be
    /// written without a lock once it appears.
    pub fn note(&mut self, batch: &Snapshot, most_rows: usize) -> Option<Generation> {
        if batch.rows_known() > most_rows {
            return None;
        }
        let forgotten =
            (self.young.rows >= most_rows).then(|| std::mem::replace(&mut self.old, std::mem::take(&mut self.young)));
        for load in batch.loads().iter().filter(|load| load.spec.kind != TableKind::Private) {
            let known = batch.known(load);
            if !load.is_by_key() || known.is_empty() {
                self.young.put(load.clone(), known);
            }
        }
        // Also what it wrote or found in lists: the next may ask for it by its key.
        for (spec, key, row) in batch.there().filter(|(spec, ..)| spec.kind != TableKind::Private) {
            let load = Load { spec, columns: spec.key, values: key.clone() };
            self.young.put(load, vec![Known { key: key.clone(), row: row.clone() }]);
        }
        forgotten
    }
}

impl Generation {
    fn get(&self, load: &Load) -> Option<&Vec<Known>> {
        self.found.get(&(load.spec.name, load.columns))?.get(&load.values)
    }

    fn put(&mut self, load: Load, known: Vec<Known>) {
        self.rows += known.len().max(1);
        let lists = self.found.entry((load.spec.name, load.columns)).or_default();
        if let Some(before) = lists.insert(load.values, known) {
            self.rows -= before.len().max(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key;
    use crate::row::Row;
    use crate::snapshot::Stop;
    use crate::table;

    table! {
        /// A table of the test.
        pub struct Marble in "marbles", Head
        key [name] index [colour] readers []
        {
            pub name: String,
            pub colour: String,
        }
    }

    table! {
        /// A table of the test, personal.
        pub struct Secret in "secrets", Private
        key [name] readers []
        {
            pub name: String,
        }
    }

    fn by_name<T: Row>(name: &str) -> Load {
        Load { spec: T::spec(), columns: T::spec().key, values: key![name.to_owned()] }
    }

    fn by_colour(colour: &str) -> Load {
        Load { spec: Marble::spec(), columns: Marble::spec().indexes[0], values: key![colour.to_owned()] }
    }

    fn marble(name: &str, colour: &str) -> Vec<Value> {
        Marble { name: name.into(), colour: colour.into() }.to_values()
    }

    fn colours(snapshot: &Snapshot, names: &[&str]) -> Vec<Option<String>> {
        let colour = |name: &&str| match snapshot.get::<Marble>(key![(*name).to_owned()]) {
            Ok(row) => row.map(|row| row.colour.clone()),
            Err(Stop::Miss | Stop::Reject(_)) => Some("?".to_owned()),
        };
        names.iter().map(colour).collect()
    }

    #[test]
    fn what_a_batch_left_is_the_next_ones_guess() {
        let mut first = Snapshot::default();
        first.insert(by_name::<Marble>("a"), vec![marble("a", "red")]).unwrap();
        first.insert(by_name::<Marble>("b"), vec![]).unwrap();
        first.insert(by_colour("red"), vec![marble("a", "red")]).unwrap();
        first.put(Marble::spec(), &marble("b", "red")).unwrap();
        first.put(Marble::spec(), &marble("written", "blue")).unwrap();
        let mut recent = Recent::default();
        recent.note(&first, 100);

        let mut next = Snapshot::default();
        let unknown = recent.guess(vec![by_name::<Marble>("b"), by_name::<Marble>("c"), by_colour("red")], &mut next);
        assert!(unknown == [by_name::<Marble>("c")]);
        assert_eq!(colours(&next, &["a", "b", "c"]), [Some("red".into()), Some("red".into()), Some("?".into())]);
        assert_eq!(next.list::<Marble>(&["colour"], key!["red".to_owned()]).unwrap().len(), 2);
        assert_eq!(next.loads().len(), 2, "what this batch is to read again, and nothing that it did not ask for");

        assert!(recent.guess(vec![by_name::<Marble>("written")], &mut next).is_empty());
        assert_eq!(colours(&next, &["written"]), [Some("blue".into())]);

        let mut later = Snapshot::default();
        later.insert(by_name::<Marble>("b"), vec![]).unwrap();
        recent.note(&later, 100);
        let mut next = Snapshot::default();
        assert!(recent.guess(vec![by_name::<Marble>("b")], &mut next).is_empty());
        assert_eq!(colours(&next, &["b"]), [None], "the last that was seen of it");
    }

    #[test]
    fn what_is_too_much_to_remember_is_not() {
        let mut recent = Recent::default();
        let mut batch = Snapshot::default();
        for name in ["a", "b"] {
            batch.insert(by_name::<Marble>(name), vec![marble(name, "red")]).unwrap();
        }
        batch.insert(by_name::<Marble>("c"), vec![]).unwrap();
        assert!(recent.note(&batch, 2).is_none() && recent.young.rows == 0);
        assert!(recent.note(&batch, 3).is_none() && recent.young.rows == 3);
    }

    #[test]
    fn it_grows_to_a_limit_and_holds_nothing_personal() {
        let mut recent = Recent::default();
        let knows = |recent: &Recent, load: Load| recent.guess(vec![load], &mut Snapshot::default()).is_empty();
        for n in 0..100 {
            let mut batch = Snapshot::default();
            for name in [n.to_string(), "always".to_owned()] {
                batch.insert(by_name::<Marble>(&name), vec![marble(&name, "red")]).unwrap();
            }
            let secret = Secret { name: n.to_string() };
            batch.insert(by_name::<Secret>(&secret.name), vec![secret.to_values()]).unwrap();
            let forgotten = recent.note(&batch, 10).map(|forgotten| forgotten.rows);
            assert_eq!(
                forgotten.is_some(),
                n > 0 && n % 9 == 0,
                "at the {n}th: nine, and the one that is always there"
            );
            recent.note(&batch, 100);
            assert!(knows(&recent, by_name::<Marble>(&n.to_string())) && knows(&recent, by_name::<Marble>("always")));
            assert!(!knows(&recent, by_name::<Secret>(&secret.name)));
            assert_eq!(knows(&recent, by_name::<Marble>(&(n - 9).to_string())), n >= 9, "of the generation before");
            assert!(!knows(&recent, by_name::<Marble>(&(n - 18).to_string())));
        }
    }
}
