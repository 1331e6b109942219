//! Zip archives, read front to back in bounded memory, and written.
//!
//! Strict on purpose: an archive says everything twice, in front of each member and in the central
//! directory at the end, and readers that believe different places see different files. Here both
//! must agree, nothing may stand between or behind them, and every checksum must fit. Taken are
//! stored and deflated members (with sizes in front or in a data descriptor), no encryption, no
//! Zip64, no folders. Unpacking stops at [`MAX_UNPACKED_BYTES`], at [`MAX_RATIO`], and at the size stated.

use std::collections::BTreeSet;
use std::io::{self, BufRead, BufReader, Read, Write};

use flate2::{Compress, Compression, Crc, Decompress, FlushCompress, FlushDecompress, Status};
use jjj_domain::recon::refusal::{FileRefusal, RefusalReason};

use crate::unreadable;

/// The most that the members unpack to together: 16 GiB.
pub const MAX_UNPACKED_BYTES: u64 = 16 << 30;
/// The most that a member unpacks to for each packed byte, beyond its first [`FREE_BYTES`]. Rows
/// that differ in a few digits come to about 20; a bomb to about 1,000.
pub const MAX_RATIO: u64 = 200;
/// What a member may unpack to whatever its ratio.
const FREE_BYTES: u64 = 1 << 20;
/// The most members.
pub const MAX_MEMBERS: usize = 64;
/// The longest name and the longest extra field, bytes.
const MAX_NAME_LEN: usize = 255;
const MAX_EXTRA_LEN: usize = 4_096;

const LOCAL: u32 = 0x0403_4b50;
const DESCRIPTOR: u32 = 0x0807_4b50;
const CENTRAL: u32 = 0x0201_4b50;
const END: u32 = 0x0605_4b50;

/// Flags taken: sizes follow in a data descriptor; the name is UTF-8; how hard it was compressed.
const FLAG_DESCRIPTOR: u16 = 1 << 3;
const FLAGS_TAKEN: u16 = FLAG_DESCRIPTOR | 1 << 11 | 0b110;

const STORED: u16 = 0;
const DEFLATED: u16 = 8;

/// What both places say of a member.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Entry {
    name: Vec<u8>,
    flags: u16,
    method: u16,
    crc: u32,
    packed: u32,
    unpacked: u32,
    offset: u32,
}

/// An archive being read. [`Archive::next_member`], then [`Read`] to the member's end, and so on.
pub struct Archive<R> {
    source: Counted<R>,
    seen: Vec<Entry>,
    names: BTreeSet<String>,
    member: Option<Member>,
    unpacked_bytes: u64,
    most_unpacked_bytes: u64,
    /// Why reading stopped, for [`Archive::refusal`].
    refused: Option<FileRefusal>,
}

/// The member being read.
struct Member {
    entry: Entry,
    inflate: Option<Decompress>,
    crc: Crc,
    packed: u64,
    unpacked: u64,
    begins: Vec<u8>,
}

fn damaged(detail: impl std::fmt::Display) -> FileRefusal {
    FileRefusal::new(RefusalReason::ArchiveDamaged, detail)
}

impl<R: Read> Archive<R> {
    pub fn new(source: R) -> Self {
        Self {
            source: Counted { inner: BufReader::new(source), at: 0 },
            seen: Vec::new(),
            names: BTreeSet::new(),
            member: None,
            unpacked_bytes: 0,
            most_unpacked_bytes: MAX_UNPACKED_BYTES,
            refused: None,
        }
    }

    /// The next member's name; `None` at the end, when the archive is proved whole. What is left of
    /// the member before is read through first.
    pub fn next_member(&mut self) -> Result<Option<String>, FileRefusal> {
        while self.member.is_some() {
            let mut rest = [0; 8 * 1024];
            if self.read(&mut rest).map_err(|error| self.refusal(&error))? == 0 {
                break;
            }
        }
        let offset = self.source.at;
        match self.source.u32()? {
            LOCAL => self.begin(offset).map(Some),
            CENTRAL => self.directory(offset).map(|()| None),
            END if self.seen.is_empty() => Err(FileRefusal::new(RefusalReason::MemberMissing, "no member")),
            _ => Err(damaged(format!("byte {offset}"))),
        }
    }

    /// Why a read failed.
    pub fn refusal(&mut self, error: &io::Error) -> FileRefusal {
        self.refused.take().unwrap_or_else(|| unreadable(error))
    }

    fn begin(&mut self, offset: u64) -> Result<String, FileRefusal> {
        if self.seen.len() == MAX_MEMBERS {
            return Err(FileRefusal::new(RefusalReason::ArchiveTooLarge, format!("more than {MAX_MEMBERS} members")));
        }
        let source = &mut self.source;
        let (_version, flags, method) = (source.u16()?, source.u16()?, source.u16()?);
        source.skip(4)?;
        let (crc, packed, unpacked) = (source.u32()?, source.u32()?, source.u32()?);
        let (name_len, extra_len) = (source.u16()?.into(), source.u16()?.into());
        let name = source.bytes(name_len, MAX_NAME_LEN)?;
        source.bytes(extra_len, MAX_EXTRA_LEN)?;
        let offset = u32::try_from(offset).map_err(|_| FileRefusal::new(RefusalReason::ArchiveUnsupported, "Zip64"))?;
        let entry = Entry { name, flags, method, crc, packed, unpacked, offset };
        let plain = plain_name(&entry)?;
        if flags & !FLAGS_TAKEN != 0 {
            return Err(FileRefusal::new(RefusalReason::ArchiveUnsupported, format!("{plain}: flags {flags:#06x}")));
        }
        let by_descriptor = flags & FLAG_DESCRIPTOR != 0;
        if !(method == DEFLATED || method == STORED && !by_descriptor) {
            return Err(FileRefusal::new(RefusalReason::ArchiveUnsupported, format!("{plain}: method {method}")));
        }
        if !by_descriptor && (packed == u32::MAX || unpacked == u32::MAX) {
            return Err(FileRefusal::new(RefusalReason::ArchiveUnsupported, format!("{plain}: Zip64")));
        }
        if !by_descriptor && u64::from(unpacked) > allowed(packed.into()) {
            return Err(FileRefusal::new(RefusalReason::ArchiveTooLarge, plain));
        }
        if !self.names.insert(plain.to_lowercase()) {
            return Err(FileRefusal::new(RefusalReason::MemberDuplicate, plain));
        }
        let inflate = (method == DEFLATED).then(|| Decompress::new(false));
        let member = Member { entry, inflate, crc: Crc::new(), packed: 0, unpacked: 0, begins: Vec::new() };
        self.member = Some(member);
        Ok(plain)
    }

    /// Some more of the member; 0 at its end, when its sizes and checksum are proved.
    fn step(&mut self, into: &mut [u8]) -> Result<usize, FileRefusal> {
        let Some(member) = &mut self.member else { return Ok(0) };
        let name = String::from_utf8_lossy(&member.entry.name).into_owned();
        let sizes_known = member.entry.flags & FLAG_DESCRIPTOR == 0;
        loop {
            let ready = self.source.inner.fill_buf().map_err(|error| unreadable(&error))?;
            let (taken, made, is_over) = match &mut member.inflate {
                None => {
                    let left = u64::from(member.entry.packed) - member.packed;
                    let n = ready.len().min(into.len()).min(usize::try_from(left).unwrap_or(usize::MAX));
                    into[..n].copy_from_slice(&ready[..n]);
                    (n, n, left == n as u64)
                }
                Some(inflate) => {
                    let (before_in, before_out) = (inflate.total_in(), inflate.total_out());
                    let status = inflate
                        .decompress(ready, into, FlushDecompress::None)
                        .map_err(|_| damaged(format!("{name}: deflate")))?;
                    let taken = (inflate.total_in() - before_in) as usize;
                    (taken, (inflate.total_out() - before_out) as usize, status == Status::StreamEnd)
                }
            };
            let is_cut = taken == 0 && made == 0 && !is_over;
            self.source.consume(taken);
            if is_cut {
                return Err(damaged(format!("{name}: cut short")));
            }
            member.packed += taken as u64;
            member.unpacked += made as u64;
            member.crc.update(&into[..made]);
            self.unpacked_bytes += made as u64;
            let beyond = sizes_known && member.unpacked > member.entry.unpacked.into();
            if beyond || member.unpacked > allowed(member.packed) || self.unpacked_bytes > self.most_unpacked_bytes {
                return Err(FileRefusal::new(RefusalReason::ArchiveTooLarge, name));
            }
            let wanted = 4 - member.begins.len().min(4);
            member.begins.extend(&into[..made.min(wanted)]);
            if member.begins == LOCAL.to_le_bytes() {
                return Err(FileRefusal::new(RefusalReason::MemberNested, name));
            }
            if is_over && made == 0 {
                self.end()?;
                return Ok(0);
            }
            if is_over && member.inflate.is_some() {
                // Nothing further comes; the next call proves the end.
                member.inflate = None;
                member.entry.packed = if sizes_known { member.entry.packed } else { member.packed as u32 };
                if sizes_known && u64::from(member.entry.packed) != member.packed {
                    return Err(damaged(format!("{name}: size")));
                }
            }
            if made > 0 {
                return Ok(made);
            }
        }
    }

    fn end(&mut self) -> Result<(), FileRefusal> {
        let Some(member) = self.member.take() else { return Ok(()) };
        let mut entry = member.entry;
        let fault = |what: &str| damaged(format!("{}: {what}", String::from_utf8_lossy(&entry.name)));
        let actual = (member.crc.sum(), member.packed, member.unpacked);
        if entry.flags & FLAG_DESCRIPTOR != 0 {
            let first = self.source.u32()?;
            let crc = if first == DESCRIPTOR { self.source.u32()? } else { first };
            let (packed, unpacked) = (self.source.u32()?, self.source.u32()?);
            if (crc, u64::from(packed), u64::from(unpacked)) != actual {
                return Err(fault("data descriptor"));
            }
            (entry.crc, entry.packed, entry.unpacked) = (crc, packed, unpacked);
        } else if (entry.crc, u64::from(entry.packed), u64::from(entry.unpacked)) != actual {
            return Err(fault("checksum or size"));
        }
        self.seen.push(entry);
        Ok(())
    }

    /// The central directory must say what the members said, and end the file.
    fn directory(&mut self, begins: u64) -> Result<(), FileRefusal> {
        let source = &mut self.source;
        for (i, seen) in self.seen.iter().enumerate() {
            if i > 0 && source.u32()? != CENTRAL {
                return Err(damaged("central directory lacks a member"));
            }
            source.skip(4)?;
            let (flags, method) = (source.u16()?, source.u16()?);
            source.skip(4)?;
            let (crc, packed, unpacked) = (source.u32()?, source.u32()?, source.u32()?);
            let lens: [usize; 3] = [source.u16()?.into(), source.u16()?.into(), source.u16()?.into()];
            source.skip(8)?;
            let offset = source.u32()?;
            let name = source.bytes(lens[0], MAX_NAME_LEN)?;
            source.bytes(lens[1], MAX_EXTRA_LEN)?;
            source.bytes(lens[2], MAX_EXTRA_LEN)?;
            let stated = Entry { name, flags, method, crc, packed, unpacked, offset };
            if stated != *seen {
                return Err(damaged("central directory contradicts a member"));
            }
        }
        let ends = source.at;
        if source.u32()? != END {
            return Err(damaged("central directory has a further member"));
        }
        let counts = [source.u16()?, source.u16()?, source.u16()?, source.u16()?];
        let n = self.seen.len() as u16;
        let (size, offset) = (u64::from(source.u32()?), u64::from(source.u32()?));
        if counts != [0, 0, n, n] || size != ends - begins || offset != begins {
            return Err(damaged("end of central directory"));
        }
        let comment = source.u16()?.into();
        source.bytes(comment, MAX_EXTRA_LEN)?;
        if source.inner.fill_buf().map_err(|error| unreadable(&error))?.is_empty() {
            Ok(())
        } else {
            Err(damaged("something follows the end"))
        }
    }
}

impl<R: Read> Read for Archive<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if into.is_empty() {
            return Ok(0);
        }
        self.step(into).map_err(|refusal| {
            self.member = None;
            self.refused = Some(refusal);
            io::Error::other("archive refused")
        })
    }
}

/// What so many packed bytes may unpack to.
fn allowed(packed: u64) -> u64 {
    FREE_BYTES + packed.saturating_mul(MAX_RATIO)
}

/// A plain file name: no path, nothing that leads elsewhere.
fn plain_name(entry: &Entry) -> Result<String, FileRefusal> {
    let shown = String::from_utf8_lossy(&entry.name).into_owned();
    let is_plain = entry.name.iter().all(|b| b.is_ascii_graphic() && !b"/\\:*?\"<>|".contains(b));
    if !is_plain || entry.name.is_empty() || entry.name.starts_with(b".") {
        return Err(FileRefusal::new(RefusalReason::MemberName, shown));
    }
    Ok(shown)
}

/// A source that knows where it is.
struct Counted<R> {
    inner: BufReader<R>,
    at: u64,
}

impl<R: Read> Counted<R> {
    fn consume(&mut self, n: usize) {
        self.inner.consume(n);
        self.at += n as u64;
    }

    fn exact<const N: usize>(&mut self) -> Result<[u8; N], FileRefusal> {
        let mut bytes = [0; N];
        self.inner.read_exact(&mut bytes).map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => damaged("cut short"),
            _ => unreadable(&error),
        })?;
        self.at += N as u64;
        Ok(bytes)
    }

    fn u16(&mut self) -> Result<u16, FileRefusal> {
        self.exact().map(u16::from_le_bytes)
    }

    fn u32(&mut self) -> Result<u32, FileRefusal> {
        self.exact().map(u32::from_le_bytes)
    }

    fn skip(&mut self, n: usize) -> Result<(), FileRefusal> {
        (0..n).try_for_each(|_| self.exact::<1>().map(drop))
    }

    fn bytes(&mut self, n: usize, most: usize) -> Result<Vec<u8>, FileRefusal> {
        if n > most {
            return Err(FileRefusal::new(
                RefusalReason::ArchiveUnsupported,
                format!("{n} bytes of name, extra field or comment"),
            ));
        }
        (0..n).map(|_| self.exact::<1>().map(|[b]| b)).collect()
    }
}

/// Writes an archive; the same members give the same bytes.
pub struct Writer<W> {
    to: W,
    at: u64,
    entries: Vec<Entry>,
}

/// 1980-01-01 00:00, the format's first time: no clock is known here.
const NO_TIME: [u8; 4] = [0, 0, 0x21, 0];

impl<W: Write> Writer<W> {
    pub fn new(to: W) -> Self {
        Self { to, at: 0, entries: Vec::new() }
    }

    /// Adds a member, deflated as it is read; its sizes follow in a data descriptor.
    pub fn member(&mut self, name: &str, content: &mut dyn Read) -> io::Result<()> {
        let too_large = || io::Error::other("beyond what a zip without Zip64 holds");
        let offset = u32::try_from(self.at).map_err(|_| too_large())?;
        let mut entry = Entry {
            name: name.as_bytes().to_vec(),
            flags: FLAG_DESCRIPTOR,
            method: DEFLATED,
            crc: 0,
            packed: 0,
            unpacked: 0,
            offset,
        };
        self.put(&[&LOCAL.to_le_bytes()[..], &common(&entry), &[0, 0], name.as_bytes()].concat())?;
        let (mut deflate, mut crc) = (Compress::new(Compression::default(), false), Crc::new());
        let mut plain = vec![0; 64 * 1024];
        let mut packed = Vec::with_capacity(64 * 1024);
        loop {
            let n = content.read(&mut plain)?;
            crc.update(&plain[..n]);
            let flush = if n == 0 { FlushCompress::Finish } else { FlushCompress::None };
            let mut taken = 0;
            loop {
                let before = deflate.total_in();
                packed.clear();
                let status = deflate.compress_vec(&plain[taken..n], &mut packed, flush)?;
                taken += (deflate.total_in() - before) as usize;
                self.put(&packed)?;
                let is_done =
                    if n == 0 { status == Status::StreamEnd } else { taken == n && packed.len() < packed.capacity() };
                if is_done {
                    break;
                }
            }
            if n == 0 {
                break;
            }
        }
        entry.crc = crc.sum();
        entry.packed = u32::try_from(deflate.total_out()).map_err(|_| too_large())?;
        entry.unpacked = u32::try_from(deflate.total_in()).map_err(|_| too_large())?;
        let sizes = [DESCRIPTOR, entry.crc, entry.packed, entry.unpacked];
        self.put(&sizes.map(u32::to_le_bytes).concat())?;
        self.entries.push(entry);
        Ok(())
    }

    /// Writes the central directory.
    pub fn finish(mut self) -> io::Result<W> {
        let begins = self.at;
        let entries = std::mem::take(&mut self.entries);
        for entry in &entries {
            let made_by = 20u16.to_le_bytes();
            let head = [&CENTRAL.to_le_bytes()[..], &made_by, &common(entry)].concat();
            self.put(&[&head[..], &[0; 12], &entry.offset.to_le_bytes(), &entry.name].concat())?;
        }
        let too_large = |_| io::Error::other("beyond what a zip without Zip64 holds");
        let size = u32::try_from(self.at - begins).map_err(too_large)?.to_le_bytes();
        let begins = u32::try_from(begins).map_err(too_large)?.to_le_bytes();
        let n = (entries.len() as u16).to_le_bytes();
        self.put(&[&END.to_le_bytes()[..], &[0; 4], &n, &n, &size, &begins, &[0; 2]].concat())?;
        Ok(self.to)
    }

    fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.at += bytes.len() as u64;
        self.to.write_all(bytes)
    }
}

/// What stands in front of a member and in the central directory alike, up to the name's length.
fn common(entry: &Entry) -> Vec<u8> {
    let version = 20u16;
    let words = [version, entry.flags, entry.method].map(u16::to_le_bytes).concat();
    let sizes = [entry.crc, entry.packed, entry.unpacked].map(u32::to_le_bytes).concat();
    [&words[..], &NO_TIME, &sizes, &(entry.name.len() as u16).to_le_bytes()].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn archive(members: &[(&str, &[u8])]) -> Vec<u8> {
        let mut writer = Writer::new(Vec::new());
        for (name, content) in members {
            writer.member(name, &mut &content[..]).unwrap();
        }
        writer.finish().unwrap()
    }

    fn read(bytes: &[u8]) -> Result<Vec<(String, Vec<u8>)>, FileRefusal> {
        read_all(Archive::new(bytes))
    }

    fn read_all(mut archive: Archive<&[u8]>) -> Result<Vec<(String, Vec<u8>)>, FileRefusal> {
        let mut members = Vec::new();
        while let Some(name) = archive.next_member()? {
            let mut content = Vec::new();
            if let Err(error) = archive.read_to_end(&mut content) {
                return Err(archive.refusal(&error));
            }
            members.push((name, content));
        }
        Ok(members)
    }

    fn reason(bytes: &[u8]) -> RefusalReason {
        read(bytes).unwrap_err().reason
    }

    /// A stored member by hand: header, content, and its line of the directory.
    fn by_hand(name: &str, content: &[u8], change: impl Fn(&mut Entry)) -> Vec<u8> {
        let mut crc = Crc::new();
        crc.update(content);
        let len = content.len() as u32;
        let name = name.as_bytes().to_vec();
        let mut entry = Entry { name, flags: 0, method: STORED, crc: crc.sum(), packed: len, unpacked: len, offset: 0 };
        change(&mut entry);
        let mut bytes = [&LOCAL.to_le_bytes()[..], &common(&entry), &[0; 2], &entry.name, content].concat();
        let begins = (bytes.len() as u32).to_le_bytes();
        let line = [&CENTRAL.to_le_bytes()[..], &[20, 0], &common(&entry), &[0; 16], &entry.name].concat();
        let size = (line.len() as u32).to_le_bytes();
        bytes.extend([&line[..], &END.to_le_bytes(), &[0; 4], &[1, 0, 1, 0], &size, &begins, &[0; 2]].concat());
        bytes
    }

    #[test]
    fn what_is_written_reads_back() {
        let long: Vec<u8> = (0..300_000u32).flat_map(u32::to_le_bytes).collect();
        let members: [(&str, &[u8]); 3] = [("INN01", b""), ("ZM_1", b"row"), ("ZME_1", &long)];
        let read = read(&archive(&members)).unwrap();
        let expected = members.map(|(name, content)| (name.to_owned(), content.to_vec()));
        assert_eq!(read, expected);
        assert_eq!(self::read(&by_hand("ZM_1", b"row", |_| ())).unwrap(), [("ZM_1".to_owned(), b"row".to_vec())]);
    }

    #[test]
    fn an_archive_cut_anywhere_or_changed_anywhere_is_refused() {
        let good = archive(&[("ZM_1", &b"0123456789".repeat(50)), ("ZME_1", b"abc")]);
        for len in 0..good.len() {
            assert!(read(&good[..len]).is_err(), "cut at {len}");
        }
        assert_eq!(reason(&[&good[..], b"x"].concat()), RefusalReason::ArchiveDamaged);
        let original = read(&good).unwrap();
        for at in 0..good.len() {
            let mut changed = good.clone();
            changed[at] ^= 0x10;
            // Versions, times and attributes mean nothing here; nothing else may change unnoticed.
            assert!(read(&changed).is_err() || read(&changed).unwrap() == original, "byte {at}");
        }
    }

    #[test]
    fn names_that_lead_elsewhere_are_refused() {
        for name in
            ["../ZM_1", "/ZM_1", "a/ZM_1", "a\\ZM_1", "C:ZM_1", "ZM_\0", "..", ".ZM_1", "", "ZM_ 1", "ZM_\u{1b}"]
        {
            assert_eq!(reason(&archive(&[(name, b"row")])), RefusalReason::MemberName, "{name:?}");
        }
        assert_eq!(reason(&archive(&[("ZM_a", b"1"), ("zm_A", b"2")])), RefusalReason::MemberDuplicate);
        assert_eq!(reason(&archive(&[("ZM_1", &archive(&[("ZM_1", b"")]))])), RefusalReason::MemberNested);
        let many: Vec<String> = (0..=MAX_MEMBERS).map(|n| format!("ZM_{n}")).collect();
        let many: Vec<(&str, &[u8])> = many.iter().map(|name| (name.as_str(), &b""[..])).collect();
        assert_eq!(reason(&archive(&many)), RefusalReason::ArchiveTooLarge);
        assert_eq!(reason(&archive(&[])), RefusalReason::MemberMissing);
    }

    #[test]
    fn bombs_are_refused_by_what_they_state_and_by_what_they_unpack_to() {
        let zeros = vec![0; 8 << 20];
        assert_eq!(reason(&archive(&[("ZM_1", &zeros)])), RefusalReason::ArchiveTooLarge);
        let stated = by_hand("ZM_1", b"row", |e| (e.method, e.unpacked) = (DEFLATED, u32::MAX - 1));
        assert_eq!(reason(&stated), RefusalReason::ArchiveTooLarge);
        // States little, unpacks to more.
        let mut deflate = Compress::new(Compression::default(), false);
        let mut packed = Vec::with_capacity(4_096);
        deflate.compress_vec(&[b'1'; 1_000], &mut packed, FlushCompress::Finish).unwrap();
        let lying = by_hand("ZM_1", &packed, |e| (e.method, e.unpacked) = (DEFLATED, 10));
        assert_eq!(reason(&lying), RefusalReason::ArchiveTooLarge);
    }

    #[test]
    fn members_together_unpack_to_a_limit() {
        let members = archive(&[("ZM_1", &[b'1'; 600]), ("ZM_2", &[b'2'; 400]), ("ZM_3", b"3")]);
        let most = |most_unpacked_bytes| read_all(Archive { most_unpacked_bytes, ..Archive::new(&members[..]) });
        assert_eq!(most(1_001).unwrap().len(), 3);
        assert_eq!(most(1_000).unwrap_err().reason, RefusalReason::ArchiveTooLarge);
    }

    #[test]
    fn extra_fields_and_comments_have_a_limit() {
        let good = by_hand("ZM_1", b"row", |_| ());
        let name_ends = 30 + "ZM_1".len();
        let extra = |len: usize| {
            let stated = (len as u16).to_le_bytes();
            let mut bytes =
                [&good[..28], &stated, &good[30..name_ends], &vec![0; len][..], &good[name_ends..]].concat();
            // The central directory begins so much later.
            let at = bytes.len() - 6;
            let begins = u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap()) + len as u32;
            bytes[at..at + 4].copy_from_slice(&begins.to_le_bytes());
            bytes
        };
        let comment = |len: usize| {
            let (stated, before) = ((len as u16).to_le_bytes(), good.len() - 2);
            [&good[..before], &stated, &vec![b'c'; len][..]].concat()
        };
        for with in [&extra as &dyn Fn(usize) -> Vec<u8>, &comment] {
            assert_eq!(read(&with(MAX_EXTRA_LEN)).unwrap(), read(&good).unwrap());
            assert_eq!(reason(&with(MAX_EXTRA_LEN + 1)), RefusalReason::ArchiveUnsupported);
        }
    }

    #[test]
    fn what_is_not_taken_is_named() {
        use RefusalReason::{ArchiveDamaged, ArchiveUnsupported};
        type Change = fn(&mut Entry);
        let table: [(Change, RefusalReason); 8] = [
            (|e| e.flags = 1, ArchiveUnsupported),
            (|e| e.flags = FLAG_DESCRIPTOR, ArchiveUnsupported),
            (|e| e.method = 14, ArchiveUnsupported),
            (|e| e.packed = u32::MAX, ArchiveUnsupported),
            (|e| e.unpacked = 2, ArchiveTooLarge),
            (|e| e.unpacked = 4, ArchiveDamaged),
            (|e| e.crc ^= 1, ArchiveDamaged),
            (|e| e.method = DEFLATED, ArchiveDamaged),
        ];
        use RefusalReason::ArchiveTooLarge;
        for (i, (change, expected)) in table.into_iter().enumerate() {
            assert_eq!(reason(&by_hand("ZM_1", b"row", change)), expected, "case {i}");
        }
    }
}
