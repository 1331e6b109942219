//! A file's lines as a run holds them: of a day of a million lines all are at hand, few are looked at at once.

use std::collections::HashMap;

use super::file::{ControlTotals, LineKind, LineStatus, SettlementLine};
use crate::time::Timestamp;

/// Lines in the file's order, 64 bytes each and their order ids.
#[derive(Clone, Debug, Default)]
pub struct PackedLines {
    /// All full, but for the last.
    segments: Vec<Segment>,
    merchants: Names,
    /// Unified social credit codes.
    institutions: Names,
}

/// A full segment never moves: one array of all lines would be copied whenever it is full, old and new in memory at once.
const SEGMENT_LINES: usize = if cfg!(debug_assertions) { 8 } else { 8_192 };

#[derive(Clone, Debug, Default)]
struct Segment {
    packed: Vec<Packed>,
    /// Of each line its order, and the order that it refunds.
    orders: String,
}

impl Segment {
    /// The line as it lies, and the text that begins with its orders.
    fn at(&self, at: usize) -> (&Packed, &str) {
        let packed = &self.packed[at];
        (packed, &self.orders[packed.orders_from..])
    }
}

#[derive(Clone, Debug)]
struct Packed {
    line: i64,
    byte_offset: i64,
    transaction_time: Timestamp,
    amount_fen: i64,
    fee_fen: i64,
    orders_from: usize,
    merchant: u32,
    institution: u32,
    order_len: u16,
    original_len: Option<u16>,
    kind: LineKind,
    status: LineStatus,
}

/// What a line says, without a copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LineRef<'a> {
    pub line: i64,
    pub kind: LineKind,
    pub order_id: &'a str,
    pub merchant_id: &'a str,
    pub institution: &'a str,
    pub amount_fen: i64,
    pub moves_money: bool,
}

impl PackedLines {
    /// # Panics
    ///
    /// When an order id has more than 65,535 bytes; no reader of files lets more than 32 pass.
    pub fn push(&mut self, line: &SettlementLine) {
        let len = |text: &String| u16::try_from(text.len()).expect("an order id is short");
        let (merchant, institution) =
            (self.merchants.number(&line.merchant_id), self.institutions.number(&line.institution));
        if self.segments.last().is_none_or(|last| last.packed.len() == SEGMENT_LINES) {
            self.segments.push(Segment::default());
        }
        let Segment { packed, orders } = self.segments.last_mut().expect("there is one with room");
        packed.push(Packed {
            line: line.line,
            byte_offset: line.byte_offset,
            transaction_time: line.transaction_time,
            amount_fen: line.amount_fen,
            fee_fen: line.fee_fen,
            orders_from: orders.len(),
            merchant,
            institution,
            order_len: len(&line.order_id),
            original_len: line.original_order_id.as_ref().map(len),
            kind: line.kind,
            status: line.status,
        });
        orders.push_str(&line.order_id);
        orders.push_str(line.original_order_id.as_deref().unwrap_or_default());
    }

    pub fn len(&self) -> usize {
        let full = self.segments.len().saturating_sub(1) * SEGMENT_LINES;
        full + self.segments.last().map_or(0, |last| last.packed.len())
    }

    pub fn is_empty(&self) -> bool {
        self.segments.is_empty()
    }

    fn at(&self, at: usize) -> (&Packed, &str) {
        self.segments[at / SEGMENT_LINES].at(at % SEGMENT_LINES)
    }

    /// A copy of the line.
    pub fn unpack(&self, at: usize) -> SettlementLine {
        self.copy(self.at(at))
    }

    fn copy(&self, of: (&Packed, &str)) -> SettlementLine {
        let (packed, orders) = of;
        let seen = self.see(of);
        let original = &orders[seen.order_id.len()..];
        SettlementLine {
            line: seen.line,
            byte_offset: packed.byte_offset,
            kind: seen.kind,
            merchant_id: seen.merchant_id.to_owned(),
            order_id: seen.order_id.to_owned(),
            transaction_time: packed.transaction_time,
            amount_fen: seen.amount_fen,
            fee_fen: packed.fee_fen,
            status: packed.status,
            institution: seen.institution.to_owned(),
            original_order_id: packed.original_len.map(|len| original[..usize::from(len)].to_owned()),
        }
    }

    /// What the line says.
    pub fn get(&self, at: usize) -> LineRef<'_> {
        self.see(self.at(at))
    }

    fn see<'a>(&'a self, (packed, orders): (&Packed, &'a str)) -> LineRef<'a> {
        LineRef {
            line: packed.line,
            kind: packed.kind,
            order_id: &orders[..usize::from(packed.order_len)],
            merchant_id: self.merchants.name(packed.merchant),
            institution: self.institutions.name(packed.institution),
            amount_fen: packed.amount_fen,
            moves_money: packed.status == LineStatus::Success,
        }
    }

    pub fn iter(&self) -> impl Iterator<Item = LineRef<'_>> {
        (0..self.len()).map(|at| self.get(at))
    }

    /// Copies of all lines, one after the other.
    pub fn unpacked(&self) -> impl Iterator<Item = SettlementLine> {
        (0..self.len()).map(|at| self.unpack(at))
    }

    /// The lines that are left, as they are left. Segments are given back as they come by: at no time is all there twice.
    pub fn filter_map(mut self, mut each: impl FnMut(SettlementLine) -> Option<SettlementLine>) -> Self {
        let mut left = Self::default();
        for segment in std::mem::take(&mut self.segments) {
            for at in 0..segment.packed.len() {
                if let Some(line) = each(self.copy(segment.at(at))) {
                    left.push(&line);
                }
            }
        }
        left
    }

    /// The sums over all lines, whatever their kind and status.
    pub fn totals(&self) -> ControlTotals {
        let packed = || self.segments.iter().flat_map(|segment| &segment.packed);
        ControlTotals {
            rows: self.len() as i64,
            amount_fen: packed().map(|line| line.amount_fen).sum(),
            fee_fen: packed().map(|line| line.fee_fen).sum(),
        }
    }
}

impl Extend<SettlementLine> for PackedLines {
    fn extend<I: IntoIterator<Item = SettlementLine>>(&mut self, lines: I) {
        lines.into_iter().for_each(|line| self.push(&line));
    }
}

impl FromIterator<SettlementLine> for PackedLines {
    fn from_iter<I: IntoIterator<Item = SettlementLine>>(lines: I) -> Self {
        let mut packed = Self::default();
        packed.extend(lines);
        packed
    }
}

/// The same lines, however they came to be packed.
impl PartialEq for PackedLines {
    fn eq(&self, other: &Self) -> bool {
        self.unpacked().eq(other.unpacked())
    }
}

impl Eq for PackedLines {}

/// Names that many lines share.
#[derive(Clone, Debug, Default)]
struct Names {
    numbers: HashMap<Box<str>, u32>,
    names: Vec<Box<str>>,
}

impl Names {
    fn number(&mut self, name: &str) -> u32 {
        if let Some(number) = self.numbers.get(name) {
            return *number;
        }
        let number = self.names.len() as u32;
        self.numbers.insert(name.into(), number);
        self.names.push(name.into());
        number
    }

    fn name(&self, number: u32) -> &str {
        &self.names[number as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_line_takes_64_bytes_beside_its_orders() {
        assert_eq!(size_of::<Packed>(), 64);
    }

    fn line() -> impl Strategy<Value = SettlementLine> {
        let kind = prop_oneof![Just(LineKind::Payment), Just(LineKind::Refund), Just(LineKind::OperatingSubsidy)];
        let status = prop_oneof![Just(LineStatus::Success), Just(LineStatus::Failed)];
        let names = ("[0-9a-z]{0,2}", "[0-9A-Z]{0,32}", "[0-9A-Z]{0,2}", proptest::option::of("[0-9A-Z]{0,32}"));
        ((kind, status), any::<[i64; 5]>(), names).prop_map(|((kind, status), numbers, names)| {
            let ([line, byte_offset, time, amount_fen, fee_fen], (merchant_id, order_id, institution, original)) =
                (numbers, names);
            SettlementLine {
                line,
                byte_offset,
                kind,
                merchant_id,
                order_id,
                transaction_time: Timestamp(time),
                amount_fen,
                fee_fen,
                status,
                institution,
                original_order_id: original,
            }
        })
    }

    proptest! {
        #[test]
        fn lines_come_out_as_they_were_put_in(lines in proptest::collection::vec(line(), 0..3 * SEGMENT_LINES)) {
            let packed: PackedLines = lines.iter().cloned().collect();
            prop_assert_eq!((packed.len(), packed.is_empty()), (lines.len(), lines.is_empty()));
            prop_assert_eq!(packed.unpacked().collect::<Vec<_>>(), lines.as_slice());
            let small = |line: &SettlementLine| SettlementLine {
                amount_fen: line.amount_fen >> 20,
                fee_fen: line.fee_fen >> 20,
                ..line.clone()
            };
            prop_assert_eq!(lines.iter().map(small).collect::<PackedLines>().totals(), ControlTotals {
                rows: lines.len() as i64,
                amount_fen: lines.iter().map(|line| line.amount_fen >> 20).sum(),
                fee_fen: lines.iter().map(|line| line.fee_fen >> 20).sum(),
            });
            let is_left = |line: &SettlementLine| line.line % 3 != 0;
            let left = packed.filter_map(|line| is_left(&line).then_some(line));
            prop_assert_eq!(left.unpacked().collect::<Vec<_>>(), lines.into_iter().filter(is_left).collect::<Vec<_>>());
        }
    }
}
