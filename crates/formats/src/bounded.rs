//! A reader that gives up on a row, or a piece of markup, without end.

use std::io::{self, Read};

/// Reads `inner`, but no more than about `most_bytes` from one [`Bounded::mark`] to the next: the limit holds to
/// the reads of whoever buffers it.
pub struct Bounded<R> {
    inner: R,
    most_bytes: usize,
    since_mark: usize,
    is_over: bool,
}

impl<R> Bounded<R> {
    pub fn new(inner: R, most_bytes: usize) -> Self {
        Self { inner, most_bytes, since_mark: 0, is_over: false }
    }

    /// What was read so far has ended well.
    pub fn mark(&mut self) {
        self.since_mark = 0;
    }

    /// Whether it gave up, which the reader above has as an error of some kind.
    pub fn is_over(&self) -> bool {
        self.is_over
    }
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.since_mark > self.most_bytes {
            self.is_over = true;
            return Err(io::Error::other("too long"));
        }
        let n = self.inner.read(into)?;
        self.since_mark += n;
        Ok(n)
    }
}
