//! Old values off the disk: out of the journal, out of the tables.
//!
//! fjall keeps a value that was written over in its journal until the journal is long enough to be
//! replaced, and in its tables until they are compacted. A purge makes both happen: it lengthens the
//! journal with bytes of no meaning, has everything flushed, and compacts all tables.

use std::io;
use std::time::{Duration, Instant};

use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode};

/// The length past which fjall begins a new journal at a flush.
const JOURNAL_BYTES: usize = 64_000_000;
/// The journal is lengthened by so much at once.
const FILLER_BYTES: usize = 1_024 * 1_024;
/// How long fjall's own threads may take to remove a journal that is flushed.
const REMOVED_WITHIN: Duration = Duration::from_secs(120);
/// How often it is looked whether they have.
const LOOKED_EVERY: Duration = Duration::from_millis(20);

/// Returns when no value that was written over before is in any file.
pub(super) fn purge(database: &Database, rows: &Keyspace) -> fjall::Result<()> {
    let filler = database.keyspace("filler", KeyspaceCreateOptions::default)?;
    let mut noise = Noise(0x9e37_79b9_7f4a_7c15);
    for _ in 0..=JOURNAL_BYTES / FILLER_BYTES {
        filler.insert("filler", noise.bytes(FILLER_BYTES))?;
    }
    rows.rotate_memtable_and_wait()?;
    filler.rotate_memtable_and_wait()?;
    let deadline = Instant::now() + REMOVED_WITHIN;
    while database.journal_count() > 1 {
        if Instant::now() > deadline {
            return Err(io::Error::new(io::ErrorKind::TimedOut, "a journal stays").into());
        }
        std::thread::sleep(LOOKED_EVERY);
        // A journal stays while it has rows that were written after the first flush and before it ended.
        rows.rotate_memtable_and_wait()?;
        filler.insert("filler", noise.bytes(8))?;
        filler.rotate_memtable_and_wait()?;
    }
    rows.major_compact()?;
    filler.major_compact()?;
    filler.clear()?;
    // A flush has fjall remove the tables that the compactions left behind.
    filler.insert("filler", noise.bytes(8))?;
    filler.rotate_memtable_and_wait()?;
    database.persist(PersistMode::SyncAll)
}

/// Bytes that nothing can compress: SplitMix64.
struct Noise(u64);

impl Noise {
    fn bytes(&mut self, len: usize) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(len);
        while bytes.len() < len {
            self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut mixed = self.0;
            mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            bytes.extend_from_slice(&(mixed ^ (mixed >> 31)).to_le_bytes());
        }
        bytes
    }
}
