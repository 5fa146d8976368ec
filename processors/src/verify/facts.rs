//! A room's facts in the history, row by row in the order of their keys, against those of the log.
//!
//! Of one kind, keys and log have the same order, so a key and no more is held of what is compared.

use danmu_projections::history::layout::{self, FactKind, Key, Table};
use danmu_projections::history::{HistoryReader, HistoryStore};
use danmu_projections::projection::StoreError;
use danmu_schemas::fact::{Fact, FactBody, Moderation};
use danmu_schemas::{Cursor, Position, RoomId};

use super::VerifyError;
use super::chunks::ChunkSource;
use super::report::Report;

/// How far the facts of one kind are compared.
pub(super) struct FactTrail {
    kind: FactKind,
    /// The last row that was compared, or should have been there.
    past: Option<Key>,
    /// A row cannot be read, so neither can those after it.
    is_broken: bool,
}

impl FactTrail {
    pub fn of_each_kind() -> [Self; FactKind::ALL.len()] {
        FactKind::ALL.map(|kind| Self {
            kind,
            past: None,
            is_broken: false,
        })
    }

    /// Compares the facts of this kind among `facts`, which go on where the last ones ended.
    pub async fn expect<H: HistoryStore>(
        &mut self,
        facts: &[Fact],
        source: &ChunkSource<'_, H>,
        report: &mut Report,
    ) -> Result<(), VerifyError> {
        let ChunkSource {
            history,
            room,
            watermark,
            ..
        } = *source;
        let ours = facts.iter().filter(|f| FactKind::of(&f.body) == self.kind);
        let mut expected: Vec<(Position, Key, &Fact)> = ours
            .map(|fact| (fact.position, layout::fact_row(room, fact).key, fact))
            .collect();
        // One record may make several facts true, in another order than that of their keys.
        expected.sort_by(|a, b| (a.0, &a.1).cmp(&(b.0, &b.1)));
        expected.dedup_by(|a, b| a.1 == b.1);
        for (_, key, fact) in expected {
            report.facts += 1;
            self.pass_until(Some(&key), history, room, watermark, report)
                .await?;
            if self.is_broken {
                return Ok(());
            }
            let past = self.past.replace(key.clone());
            match self.read(past.as_deref(), history, room, report).await? {
                Some((stored_key, stored)) if stored_key == key => {
                    let altered = stored.filter(|stored| stored != fact);
                    if let Some(altered) = altered
                        && !is_same_but_erased(&altered, fact, source).await?
                    {
                        report.differ(room, describe(fact), "is another");
                    }
                }
                _ if self.is_broken => return Ok(()),
                _ => report.differ(room, describe(fact), "is missing"),
            }
        }
        Ok(())
    }

    /// The log has no more of them up to the watermark.
    pub async fn end<H: HistoryStore>(
        &mut self,
        history: &HistoryReader<H>,
        room: &RoomId,
        watermark: Position,
        report: &mut Report,
    ) -> Result<(), VerifyError> {
        self.pass_until(None, history, room, watermark, report)
            .await
    }

    /// Goes past the rows before `key`: at or below the watermark there must be none.
    async fn pass_until<H: HistoryStore>(
        &mut self,
        key: Option<&Key>,
        history: &HistoryReader<H>,
        room: &RoomId,
        watermark: Position,
        report: &mut Report,
    ) -> Result<(), VerifyError> {
        while !self.is_broken {
            let past = self.past.take();
            let read = self.read(past.as_deref(), history, room, report).await?;
            self.past = past;
            let Some((stored_key, stored)) = read else {
                return Ok(());
            };
            if key.is_some_and(|key| stored_key >= *key) {
                return Ok(());
            }
            if let Some(surplus) = stored.filter(|fact| fact.position <= watermark) {
                report.differ(room, describe(&surplus), "is not in the log");
            }
            self.past = Some(stored_key);
        }
        Ok(())
    }

    /// The row after `past`; its fact is `None` where it is no such fact, which is a difference.
    async fn read<H: HistoryStore>(
        &mut self,
        past: Option<&[u8]>,
        history: &HistoryReader<H>,
        room: &RoomId,
        report: &mut Report,
    ) -> Result<Option<(Key, Option<Fact>)>, VerifyError> {
        let row = match history.row_past(Table::Facts(self.kind), room, past).await {
            Ok(row) => row,
            Err(StoreError::Damaged { what, source }) => {
                self.is_broken = true;
                report.differ(room, what, source.to_string());
                return Ok(None);
            }
            Err(error) => return Err(error.into()),
        };
        Ok(
            row.map(|row| match layout::read_fact(room, self.kind, &row) {
                Ok(fact) => (row.key, Some(fact)),
                Err(error) => {
                    report.differ(room, layout::describe(&row.key), error.to_string());
                    (row.key, None)
                }
            }),
        )
    }
}

/// Whether two facts are the same where nothing was erased.
async fn is_same_but_erased<H: HistoryStore>(
    stored: &Fact,
    expected: &Fact,
    source: &ChunkSource<'_, H>,
) -> Result<bool, VerifyError> {
    let erasures = source.erasures;
    let (FactBody::BroadcastStarted { broadcast, .. } | FactBody::SegmentOpened { broadcast, .. }) =
        expected.body
    else {
        return Ok(false);
    };
    let starter = starter(source, broadcast).await?;
    let blanked = |fact: &Fact| {
        let mut fact = fact.clone();
        erasures.blank_fact(&mut fact, starter.as_deref());
        fact
    };
    Ok(blanked(stored) == blanked(expected))
}

/// Who did a broadcast's first event, where that matters for what was erased.
pub(super) async fn starter<H: HistoryStore>(
    source: &ChunkSource<'_, H>,
    broadcast: Cursor,
) -> Result<Option<String>, VerifyError> {
    if !source.erasures.name_users() {
        return Ok(None);
    }
    match source.history.author(source.room, broadcast).await {
        Ok(starter) => Ok(starter),
        // The damage is found where the events are compared.
        Err(StoreError::Damaged { .. }) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// A fact by its name, without its content.
fn describe(fact: &Fact) -> String {
    match &fact.body {
        FactBody::BroadcastStarted { broadcast, .. } => {
            format!("the beginning of broadcast {broadcast}")
        }
        FactBody::BroadcastEnded { broadcast, .. } => format!("the end of broadcast {broadcast}"),
        FactBody::Interruption {
            broadcast, by_seq, ..
        } => {
            format!("interruption {by_seq} of broadcast {broadcast}")
        }
        FactBody::SegmentOpened { broadcast, n, .. } => {
            format!("segment {n} of broadcast {broadcast}")
        }
        FactBody::HeatBucketOpened { broadcast, n, .. } => {
            format!("heat bucket {n} of broadcast {broadcast}")
        }
        FactBody::Moderated { by, moderation } => {
            let act = match moderation {
                Moderation::Deleted { .. } => "deletion",
                Moderation::Hidden { .. } => "hiding",
                Moderation::Erased { .. } | Moderation::UserErased { .. } => "erasure",
            };
            format!("the {act} by {by}")
        }
    }
}
