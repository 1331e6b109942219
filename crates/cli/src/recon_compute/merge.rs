//! Sorted records from memory and from spilled files, as one sequence.

use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Seek, Write};

use jjj_domain::recon::stream::{Rows, key_of};

/// The rows of one side: what is still in memory, sorted, and what was spilled.
pub struct Side {
    pub rows: Rows,
    spilled: Vec<File>,
}

impl Side {
    pub fn new(rows: Rows, spilled: Vec<File>) -> Self {
        Self { rows, spilled }
    }

    pub fn merge(&self) -> io::Result<Merge<'_>> {
        let mut sources = vec![Source::Memory { records: Box::new(self.rows.records()), current: None }];
        for file in &self.spilled {
            let mut file = file.try_clone()?;
            file.rewind()?;
            let reader = BufReader::with_capacity(256 << 10, file);
            sources.push(Source::Spilled { reader, current: Vec::new() });
        }
        Merge::new(sources)
    }
}

/// Sorts and writes out what memory no longer holds.
pub fn spill(rows: &mut Rows, into: File) -> io::Result<File> {
    rows.sort();
    let mut writer = BufWriter::with_capacity(1 << 20, into);
    for record in rows.records() {
        writer.write_all(record)?;
    }
    rows.clear();
    writer.into_inner().map_err(io::IntoInnerError::into_error)
}

enum Source<'a> {
    Memory { records: Box<dyn Iterator<Item = &'a [u8]> + Send + 'a>, current: Option<&'a [u8]> },
    Spilled { reader: BufReader<File>, current: Vec<u8> },
}

impl Source<'_> {
    fn current(&self) -> Option<&[u8]> {
        match self {
            Self::Memory { current, .. } => *current,
            Self::Spilled { current, .. } => Some(current.as_slice()).filter(|record| !record.is_empty()),
        }
    }

    fn advance(&mut self) -> io::Result<()> {
        match self {
            Self::Memory { records, current } => *current = records.next(),
            Self::Spilled { reader, current } => {
                current.clear();
                // A record begins with its length.
                if reader.by_ref().take(2).read_to_end(current)? == 2 {
                    let len = u64::from(u16::from_le_bytes([current[0], current[1]]));
                    if reader.by_ref().take(len - 2).read_to_end(current)? as u64 != len - 2 {
                        return Err(io::ErrorKind::UnexpectedEof.into());
                    }
                }
            }
        }
        Ok(())
    }
}

/// The least record of all sources first.
pub struct Merge<'a> {
    sources: Vec<Source<'a>>,
    /// Numbers of the sources that are not at their end, as a heap by their current key.
    heap: Vec<usize>,
}

impl<'a> Merge<'a> {
    fn new(mut sources: Vec<Source<'a>>) -> io::Result<Self> {
        for source in &mut sources {
            source.advance()?;
        }
        let heap = (0..sources.len()).filter(|at| sources[*at].current().is_some()).collect();
        let mut merge = Self { sources, heap };
        (0..merge.heap.len()).rev().for_each(|at| merge.sink(at));
        Ok(merge)
    }

    pub fn current(&self) -> Option<&[u8]> {
        self.heap.first().and_then(|at| self.sources[*at].current())
    }

    pub fn advance(&mut self) -> io::Result<()> {
        let Some(first) = self.heap.first().copied() else { return Ok(()) };
        self.sources[first].advance()?;
        if self.sources[first].current().is_none() {
            self.heap.swap_remove(0);
        }
        self.sink(0);
        Ok(())
    }

    fn is_less(&self, a: usize, b: usize) -> bool {
        let key = |at: usize| self.sources[self.heap[at]].current().map(key_of);
        key(a) < key(b)
    }

    fn sink(&mut self, mut at: usize) {
        loop {
            let mut least = at;
            for child in [2 * at + 1, 2 * at + 2] {
                if child < self.heap.len() && self.is_less(child, least) {
                    least = child;
                }
            }
            if least == at {
                return;
            }
            self.heap.swap(at, least);
            at = least;
        }
    }
}
