//! What a directory holds, found out at opening.
//!
//! Owns the judgement of every fault. The series of segments must be whole: each has the number and
//! begins with the offsets and the time at which the one before ended. A sealed segment (it has an
//! index, or another after it) must be as it was sealed. Only at the end of an unsealed last one
//! can something be that no sync covered, and only that is cut off: a fault is *torn* if no block
//! after it belongs to a later group, for a group is written only after the sync of the one before.
//! Every other fault is damage, and the log does not open. (A bit that decays in the very last group
//! before a crash cannot be told from a torn write. A clean stop seals, and leaves no such place.)
//!
//! Content of sealed segments is checked when it is read.

use std::fs::{self, File, TryLockError};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use uuid::Uuid;

use super::block::{self, NotABlock};
use super::durable::Segment;
use super::meta::Meta;
use super::segment::{self, Entry, Head, Sequence, index_path, number_in, segment_path};
use super::writer::Active;
use super::{GROUP_BYTES_MAX, OpenError, Options, SEGMENT_BYTES_MAX};

const LOCK: &str = "lock";

/// Larger files are not looked into: no segment grows past its limit by more than a group.
const FILE_BYTES_MAX: u64 = SEGMENT_BYTES_MAX as u64 + 2 * GROUP_BYTES_MAX as u64;

/// A log that was found in order, or put in order.
pub struct Recovered {
    /// Held as long as the log is open.
    pub lock: File,
    /// Which log it is.
    pub meta: Meta,
    /// All segments, oldest first; the last is the active one.
    pub segments: Vec<Segment>,
    /// What is written to.
    pub active: Active,
}

/// Locks the directory and recovers its log, or makes a new one.
pub fn open(options: &Options) -> Result<Recovered, OpenError> {
    let dir = options.dir.as_path();
    fs::create_dir_all(dir).map_err(OpenError::io(dir))?;
    let lock = lock(dir)?;
    let meta = match Meta::read(dir)? {
        Some(meta) => meta,
        None => create(dir, options.partitions.get())?,
    };
    let mut series = Series {
        dir,
        meta: &meta,
        segments: Vec::new(),
        nexts: None,
    };
    let numbers = series.numbers()?;
    let (last, sealed) = numbers.split_last().ok_or_else(|| no_segment(dir))?;
    for number in sealed {
        series.sealed(*number)?;
    }
    let active = series.last(*last, options)?;
    let segments = series.segments;
    Ok(Recovered {
        lock,
        meta,
        segments,
        active,
    })
}

fn lock(dir: &Path) -> Result<File, OpenError> {
    let path = dir.join(LOCK);
    let open = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path);
    let file = open.map_err(OpenError::io(&path))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(OpenError::Locked(dir.to_owned())),
        Err(TryLockError::Error(error)) => Err(OpenError::io(path)(error)),
    }
}

/// Makes a new log. Without `meta.json` the most that can be there is an unfinished first segment.
fn create(dir: &Path, partitions: u32) -> Result<Meta, OpenError> {
    let meta = Meta::new(Uuid::new_v4(), partitions);
    let head = Head {
        identity: meta.identity,
        number: 1,
        logged_at: i64::MIN,
        starts: vec![0; partitions as usize],
    };
    let path = segment_path(dir, 1);
    let unfinished = fs::metadata(&path).is_ok_and(|file| {
        let bytes_max = Head::bytes_len(super::PARTITIONS_MAX as usize);
        file.len() <= bytes_max as u64
    });
    let series = Series {
        dir,
        meta: &meta,
        segments: Vec::new(),
        nexts: None,
    };
    match series.numbers()?.as_slice() {
        [] => {}
        [1] if unfinished => fs::remove_file(&path).map_err(OpenError::io(&path))?,
        _ => return Err(OpenError::damaged(dir, "it has segments but no meta.json")),
    }
    segment::create(dir, &head).map_err(OpenError::io(&path))?;
    meta.write(dir).map_err(OpenError::io(dir))?;
    if let Some(parent) = dir.canonicalize().ok().as_deref().and_then(Path::parent) {
        segment::sync_dir(parent).map_err(OpenError::io(parent))?;
    }
    Ok(meta)
}

fn no_segment(dir: &Path) -> OpenError {
    OpenError::damaged(dir, "it has a meta.json but no segment")
}

/// The segments of a log, oldest first, as far as they have been recovered.
struct Series<'a> {
    dir: &'a Path,
    meta: &'a Meta,
    segments: Vec<Segment>,
    /// Where the last of them ended.
    nexts: Option<Sequence>,
}

/// Where a segment is not as it was written.
struct Fault {
    what: NotABlock,
    /// A block is there, but not the one that follows.
    is_block: bool,
}

impl Series<'_> {
    /// The numbers of the segments, which follow one another; removes what an interruption left.
    fn numbers(&self) -> Result<Vec<u64>, OpenError> {
        let mut numbers = Vec::new();
        let mut indexes = Vec::new();
        for file in fs::read_dir(self.dir).map_err(OpenError::io(self.dir))? {
            let name = file.map_err(OpenError::io(self.dir))?.file_name();
            let name = name.to_string_lossy();
            numbers.extend(number_in(&name, "seg"));
            indexes.extend(number_in(&name, "idx"));
        }
        numbers.sort_unstable();
        if let Some(gap) = numbers.windows(2).find(|pair| pair[0] + 1 != pair[1]) {
            return Err(self.damaged(gap[0] + 1, "it is missing"));
        }
        for index in indexes {
            if numbers.first().is_none_or(|oldest| index < *oldest) {
                let path = index_path(self.dir, index);
                fs::remove_file(&path).map_err(OpenError::io(path))?;
            } else if numbers.last().is_some_and(|newest| index > *newest) {
                return Err(self.damaged(index, "its index is there, but not the segment"));
            }
        }
        Ok(numbers)
    }

    /// A segment that nothing more was written to, from its index if that is whole.
    fn sealed(&mut self, number: u64) -> Result<(), OpenError> {
        let path = segment_path(self.dir, number);
        let mut file = File::open(&path).map_err(OpenError::io(&path))?;
        let len = file.metadata().map_err(OpenError::io(&path))?.len();
        let head = self.read_head(&mut file, number)?;
        let Some((bytes, entries)) = self.index(&head)? else {
            return self.sealed_by_scan(head);
        };
        let mut sequence = self.join(&head)?;
        let follow = entries.iter().try_for_each(|entry| sequence.pass(entry));
        follow.map_err(|fault| self.damaged(number, fault.0))?;
        if sequence.at() != bytes || len != u64::from(bytes) {
            return Err(self.damaged(number, "its size is not what it was sealed with"));
        }
        self.push(head, entries, sequence);
        Ok(())
    }

    fn sealed_by_scan(&mut self, head: Head) -> Result<(), OpenError> {
        let number = head.number;
        tracing::warn!(
            segment = number,
            "its index is missing or damaged; scanning the segment"
        );
        let bytes = self.read(number)?;
        let mut sequence = self.join(&head)?;
        let (entries, fault) = scan(&bytes, &head, &mut sequence);
        if let Some(fault) = fault {
            return Err(self.damaged(number, format!("{} at {}", fault.what.0, sequence.at())));
        }
        segment::write_index(self.dir, &head, sequence.at(), &entries)
            .map_err(OpenError::io(self.dir))?;
        self.push(head, entries, sequence);
        Ok(())
    }

    /// The last segment, and the one to write to: the same, unless it is sealed.
    fn last(&mut self, number: u64, options: &Options) -> Result<Active, OpenError> {
        if index_path(self.dir, number).exists() {
            self.sealed(number)?;
            return self.begin(number + 1, options);
        }
        let path = segment_path(self.dir, number);
        let bytes = self.read(number)?;
        let partitions = self.meta.partitions as usize;
        let Some(head) = Head::decode(&bytes, self.meta.identity, number, partitions) else {
            // A segment gets its first block only after the sync of its head.
            if bytes.len() > Head::bytes_len(partitions) || self.segments.is_empty() {
                return Err(self.damaged(number, "its head is damaged"));
            }
            tracing::warn!(
                segment = number,
                "its making was interrupted; making it again"
            );
            fs::remove_file(&path).map_err(OpenError::io(path))?;
            return self.begin(number, options);
        };
        let mut sequence = self.join(&head)?;
        let (entries, fault) = scan(&bytes, &head, &mut sequence);
        let end = sequence.at();
        if let Some(fault) = fault {
            if fault.is_block || later_group(&bytes, &head, end) {
                return Err(self.damaged(number, format!("{} at {end}", fault.what.0)));
            }
            let cut = bytes.len() as u64 - u64::from(end);
            tracing::warn!(
                segment = number,
                at = end,
                bytes = cut,
                why = fault.what.0,
                "a torn tail is cut off"
            );
        }
        let file = File::options().read(true).write(true).open(&path);
        let file = file
            .and_then(|file| settle_tail(file, end))
            .map_err(OpenError::io(path))?;
        let (salt, logged_at) = (head.salt(), sequence.logged_at());
        self.push(head, entries, sequence);
        Ok(Active {
            file,
            number,
            salt,
            at: end,
            logged_at,
        })
    }

    fn begin(&mut self, number: u64, options: &Options) -> Result<Active, OpenError> {
        let before = self.nexts.as_ref().ok_or_else(|| no_segment(self.dir))?;
        let head = Head {
            identity: self.meta.identity,
            number,
            logged_at: before.logged_at(),
            starts: before.nexts().to_vec(),
        };
        let active = Active::create(options, &head);
        let active = active.map_err(OpenError::io(segment_path(self.dir, number)))?;
        let sequence = Sequence::new(&head);
        self.push(head, Vec::new(), sequence);
        Ok(active)
    }

    /// Checks that a segment begins where the one before ended.
    fn join(&self, head: &Head) -> Result<Sequence, OpenError> {
        let follows = self.nexts.as_ref().is_none_or(|before| {
            before.nexts() == head.starts && before.logged_at() <= head.logged_at
        });
        match follows {
            true => Ok(Sequence::new(head)),
            false => Err(self.damaged(head.number, "it does not follow the one before")),
        }
    }

    fn push(&mut self, head: Head, entries: Vec<Entry>, sequence: Sequence) {
        let mut segment = Segment::new(head);
        entries.into_iter().for_each(|entry| segment.push(entry));
        self.segments.push(segment);
        self.nexts = Some(sequence);
    }

    fn index(&self, head: &Head) -> Result<Option<(u32, Vec<Entry>)>, OpenError> {
        match read_bounded(&index_path(self.dir, head.number)) {
            Ok(bytes) => Ok(segment::decode_index(&bytes, head)),
            Err(OpenError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    fn read_head(&self, file: &mut File, number: u64) -> Result<Head, OpenError> {
        let partitions = self.meta.partitions as usize;
        let mut bytes = Vec::new();
        file.take(Head::bytes_len(partitions) as u64)
            .read_to_end(&mut bytes)
            .map_err(OpenError::io(segment_path(self.dir, number)))?;
        let head = Head::decode(&bytes, self.meta.identity, number, partitions);
        head.ok_or_else(|| self.damaged(number, "its head is damaged"))
    }

    fn read(&self, number: u64) -> Result<Vec<u8>, OpenError> {
        read_bounded(&segment_path(self.dir, number))
    }

    fn damaged(&self, number: u64, what: impl Into<String>) -> OpenError {
        OpenError::damaged(segment_path(self.dir, number), what)
    }
}

/// Reads the blocks of a segment until its end or a fault.
fn scan(bytes: &[u8], head: &Head, sequence: &mut Sequence) -> (Vec<Entry>, Option<Fault>) {
    let mut entries: Vec<Entry> = Vec::new();
    let mut group = 0;
    while (sequence.at() as usize) < bytes.len() {
        let at = sequence.at();
        let header = match block::check(&bytes[at as usize..], head.salt()) {
            Ok(header) => header,
            Err(what) => {
                return (
                    entries,
                    Some(Fault {
                        what,
                        is_block: false,
                    }),
                );
            }
        };
        let entry = Entry::new(at, &header);
        let in_group = header.group == at || (header.group == group && !entries.is_empty());
        let passed = match in_group {
            true => sequence.pass(&entry),
            false => Err(NotABlock("a block is of no group here")),
        };
        if let Err(what) = passed {
            return (
                entries,
                Some(Fault {
                    what,
                    is_block: true,
                }),
            );
        }
        group = header.group;
        entries.push(entry);
    }
    (entries, None)
}

/// Whether after a fault there is a block of a group that began after it.
fn later_group(bytes: &[u8], head: &Head, fault: u32) -> bool {
    let salt = head.salt();
    let rest = &bytes[fault as usize..];
    let blocks = (0..rest.len()).filter(|at| block::begins(&rest[*at..]));
    let mut headers = blocks.filter_map(|at| block::check(&rest[at..], salt).ok());
    headers.any(|header| header.group > fault)
}

/// Cuts a segment at `end` and makes sure that all before it is durable, so that it may be shown.
fn settle_tail(file: File, end: u32) -> io::Result<File> {
    file.set_len(u64::from(end))?;
    file.sync_all()?;
    Ok(file)
}

fn read_bounded(path: &PathBuf) -> Result<Vec<u8>, OpenError> {
    let file = File::open(path).map_err(OpenError::io(path))?;
    let mut bytes = Vec::new();
    file.take(FILE_BYTES_MAX + 1)
        .read_to_end(&mut bytes)
        .map_err(OpenError::io(path))?;
    match bytes.len() as u64 > FILE_BYTES_MAX {
        true => Err(OpenError::damaged(
            path,
            "it is larger than it can have become",
        )),
        false => Ok(bytes),
    }
}
